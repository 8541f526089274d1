"""The learned engine: predict, start, decide, reduce, solve the rest exactly, audit.

*Fast mode* (``certify none``) returns the exact solution of the reduced problem; its bound is labelled as one of the
reduced problem and proves nothing about the full one. *Certified mode* frees every switch again and proves the answer
against the full problem, with the fast answer as incumbent; a better configuration replaces it. Where nothing was fixed
there is no reduced problem, and certified mode solves once.

One load situation or several, with controls or without, go the same way. Belief and starts are those of all situations.
With controls fast mode looks around the best answer (:mod:`learnopt.engines.milp.neighbourhoods`); in the reduced
problem they are held where it has them. Where no calibration covers the class of the
problem no switch is fixed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from learnopt._version import __version__
from learnopt.engines import SolveOptions, Stopwatch, conclude, load_engine
from learnopt.engines.base import infeasible
from learnopt.engines.exchange import find_incumbent
from learnopt.engines.fixed_loops import solve_without_loops
from learnopt.engines.tree.coverage import mixed_signs, tight_obstacles
from learnopt.engines.tree.probing import fix_by_bounds
from learnopt.errors import DataError
from learnopt.learned.answers import Best
from learnopt.learned.belief import Belief
from learnopt.learned.policy import DEFAULT_ALPHA, HEADS_ALPHA, Decision, FixingPolicy, consistent, ladder
from learnopt.learned.problem_class import ProblemClass
from learnopt.learned.reduction import Reduction, undecided
from learnopt.learned.starts import LARGE, SAMPLES, confidence_in, learned_start
from learnopt.learning.checkpoint import REFERENCE, load_checkpoint
from learnopt.learning.predict import Predictor
from learnopt.network import (
    Certificate,
    Configuration,
    LearnedSummary,
    Limits,
    ReconfigurationProblem,
    Result,
    Status,
)
from learnopt.physics import evaluate

if TYPE_CHECKING:
    from learnopt.engines.milp.incumbent import Incumbent
    from learnopt.learned.root import Holding

REDUCED_WORK, LEAST_NODES = 4e8, 1000
"""Work of the tree search in a reduced problem where the user sets no limit: buses times loops in all nodes, some
seconds, since fast mode is for answers now; and its least nodes. The answer is the same on every machine."""
FIRST_NODES = 200
"""Nodes of the MILP where the user sets no limit: it is asked only where no admissible configuration is known."""
MIXED_SHARE = 0.02
"""Share of this work with generation, capacitors or charging: there a node takes that much longer."""
AROUND_GAP, HELD_NODES = 3e-4, 300
"""With controls: least progress that is looked for around the best answer, and nodes for what is not held."""
BOUND_MARGIN = 1e-6
"""Relative margin above the incumbent at which bounds fix switches, so that they never exclude the incumbent."""


@dataclass(frozen=True)
class _Task:
    """One call of :meth:`LearnedEngine.solve` once the model was asked."""

    options: SolveOptions
    watch: Stopwatch
    belief: Belief
    best: Best
    binding: bool
    holding: Holding | None = None

    @property
    def certify(self) -> Certificate:
        return self.options.certify or Certificate.NONE

    @property
    def holds(self) -> bool:
        """Heads held something of a plan while the rest was looked for."""
        return self.holding is not None and self.holding.threshold is not None

    def remaining(self, share: float) -> float | None:
        """A share of the seconds left; None = no limit."""
        if self.options.time_limit is None:
            return None
        return max(share * (self.options.time_limit - self.watch.elapsed), 1e-3)


class LearnedEngine:
    """Learned fixing and starts around an exact engine.

    Parameters
    ----------
    predictor
        A trained model; the reference checkpoint is loaded where none is given.
    alpha
        Accepted risk of a wrong fixing, see :class:`~learnopt.learned.policy.FixingPolicy`; where absent
        :data:`~learnopt.learned.policy.DEFAULT_ALPHA`, with controls :data:`~learnopt.learned.policy.HEADS_ALPHA`.
    samples
        Trees drawn from the predicted distribution as further starts.
    exact
        Engine for the reduced problem: ``tree``, ``milp``, or ``auto``: tree search wherever it has a start.
    """

    name = "learned"

    def __init__(
        self,
        predictor: Predictor | Path | str = REFERENCE,
        alpha: float | None = None,
        samples: int = SAMPLES,
        exact: str = "auto",
    ) -> None:
        self.predictor = predictor if isinstance(predictor, Predictor) else load_checkpoint(predictor)
        self.policy = FixingPolicy(DEFAULT_ALPHA if alpha is None else alpha)
        self.heads_alpha = HEADS_ALPHA if alpha is None else alpha
        self.samples = samples
        if exact not in ("auto", "tree", "milp"):
            raise DataError("learned engine", [f"exact = {exact!r} must be 'auto', 'tree' or 'milp'"])
        self.exact = exact

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Solve in fast mode (``certify`` absent or none) or certified mode (``model``, ``ac``).

        A radial configuration with an AC power flow is returned whenever prediction, exchange or an exact engine
        finds one that respects the limits.
        """
        for engine in {"tree", proving_engine(problem), *({self.exact} - {"auto"})}:
            load_engine(engine)  # before the clock starts: the first call imports a solver
        watch, serves = Stopwatch(), {"several_scenarios": True, "controls": True, "fixed_loops": True}
        if (failure := infeasible(problem, self.name, watch, **serves)) is not None:
            return failure
        if problem.chords.any():
            return solve_without_loops(self.name, self.solve, problem, options, start)
        best, answer, reason = Best(problem), Result(Status.NO_SOLUTION, self.name, __version__), ""
        try:
            with watch.stage("predict"):
                belief = Belief.of(self.predictor, problem)
            with watch.stage("start"):
                binding = self._starts(problem, belief, start, options, best)
            task = _Task(options, watch, belief, best, binding)
            if task.certify is Certificate.NONE and problem.controls and best.feasible:
                task = self._around(task)
            answer, reason = self._reduced(task, binding)
            best.offer(answer.configuration, answer.settings, answer.objective_kw)
            if answer.status is Status.INTERRUPTED:
                raise KeyboardInterrupt  # engines turn Ctrl-C into a result, but it was meant for all of this
            if answer.status is Status.INFEASIBLE:  # nothing was fixed any more, so this is the full problem
                return self._timed(answer, watch)
            if task.certify is not Certificate.NONE:
                with watch.stage("audit"):
                    audit = self._audit(task)
                message = f"{reason} Audited by {audit.engine}: {audit.message}".strip()
                proof = replace(audit, learned=answer.learned, nodes=answer.nodes + audit.nodes, message=message)
                return self._timed(proof, watch)
        except KeyboardInterrupt:
            return replace(self._fast(best, watch, answer), status=Status.INTERRUPTED)
        return self._fast(best, watch, answer, reason)

    def _starts(
        self,
        problem: ReconfigurationProblem,
        belief: Belief,
        start: Configuration | None,
        options: SolveOptions,
        best: Best,
    ) -> bool:
        """Offer what to begin with; whether a limit binds."""
        return offer_starts(problem, belief, start, options, best, self.samples)

    def _around(self, task: _Task) -> _Task:
        """Better answers around the best one, switches and controls together: in turns they get stuck."""
        best = task.best
        if best.configuration is None:
            return task
        # They load Pyomo, which takes longer than an answer without controls.
        from learnopt.engines.milp.results import searching

        inner = replace(task.options, time_limit=task.remaining(0.8), progress=None)
        search = searching(best.problem, self.name, AROUND_GAP, inner, Stopwatch())
        search.offer(search.coupled.served(best.configuration, best.common))
        try:
            return replace(task, holding=self._look(task, search))
        finally:
            best.offer_plan(search.plan)
            for stage, seconds in search.watch.stages.items():
                task.watch.stages[stage] = task.watch.stages.get(stage, 0.0) + seconds

    def _look(self, task: _Task, search: Incumbent) -> Holding | None:
        """Look around the incumbent of a search: hold what is sure and solve the rest, or what needs no model."""
        from learnopt.engines.milp.neighbourhoods import worth_looking
        from learnopt.learned.root import RootLook, holding, known_at

        look = RootLook(search)
        if not worth_looking(search) or (found := look.read()) is None:
            return None
        model, readout = found
        held = None
        if readout is not None:
            with search.watch.stage("features"):
                kind = ProblemClass.of(task.best.problem, self.predictor.coverage, task.binding)
                known, heads = known_at(search, task.belief.p_closed), self.predictor.heads
                held = holding(heads, kind, self.heads_alpha, task.belief.novelty, known, readout)
        if held is None or held.threshold is None:
            look.look(model)
            return held
        model.hold(known.plan, held.branches, held.devices)
        look.solve_rest(model, HELD_NODES)
        return held

    def _decisions(
        self, problem: ReconfigurationProblem, belief: Belief, kind: ProblemClass, best: Best
    ) -> NDArray[np.int8]:
        """Decision per branch, shape (n_branch,): free where the class of the problem is not calibrated."""
        if not kind.calibrated:
            return np.full(problem.network.n_branch, Decision.FREE, dtype=np.int8)
        (prediction,) = belief.predictions  # no calibration has several situations
        found = None if best.configuration is None else (best.configuration, best.merit)
        confidence = confidence_in(problem, prediction, found)
        return consistent(problem, self.policy.decide(prediction, confidence), prediction.p_closed)

    def _reduced(self, task: _Task, binding: bool) -> tuple[Result, str]:
        """The answer of the reduced problem, and why nothing was fixed.

        Limits that no calibration had and that do not bind are left out, as the calibration would have; where one binds
        after all the problem is of another class.
        """
        problem = task.best.problem
        while True:
            with task.watch.stage("decide"):
                kind = ProblemClass.of(problem, self.predictor.coverage, binding)
                decisions = self._decisions(problem, task.belief, kind, task.best)
            posed = problem if binding or not kind.calibrated else problem.replace(limits=Limits())
            result = self._unfixing(task, posed, kind, decisions)
            if posed is problem or result.configuration is None or evaluate(problem, result.configuration).feasible:
                return result, kind.sentence if task.holding is None else task.holding.sentence
            binding = True

    def _unfixing(
        self, task: _Task, posed: ReconfigurationProblem, kind: ProblemClass, decisions: NDArray[np.int8]
    ) -> Result:
        """Solve the problem with confident switches fixed; free the less sure ones where that is infeasible.

        By tree search, in the calibrated-current model where its AC bound does not reach: milliseconds either way.
        Without a start within the limits it has nothing to prune by. Nothing is solved in certified mode once no switch
        is fixed: the audit does that.
        """
        best, watch, p_closed = task.best, task.watch, task.belief.p_closed
        within = best.feasible
        rest = best.held(posed) if within else posed
        engine = "tree" if within else proving_engine(rest)
        if self.exact != "auto" and not rest.controls:
            engine = self.exact
        proven = rest
        if engine == "milp" and within and best.configuration is not None:
            with watch.stage("bounds"):
                cutoff, left = best.merit * (1 + BOUND_MARGIN) / rest.network.base.kw, task.remaining(0.5)
                end = math.inf if left is None else watch.elapsed + left
                proven = fix_by_bounds(rest, best.configuration, cutoff, goes_on=lambda: watch.elapsed < end)
        for chosen in ladder(decisions, p_closed):
            fixed = bool((chosen != Decision.FREE).any())
            with watch.stage("reduce"):
                reduction = Reduction.with_proven(rest, proven if fixed else rest, chosen, p_closed)
            summary = self._summary(task, kind, reduction, proven)
            if not fixed and task.certify is not Certificate.NONE:
                nothing = conclude(posed, self.name, watch, configuration=None, status=Status.NO_SOLUTION)
                return replace(nothing, learned=summary)
            with watch.stage("solve"):
                result = self._rest(task, reduction, engine)
            if result.configuration is not None or result.status is Status.INTERRUPTED:
                break
        bound = result.dual_bound_kw if result.certificate is Certificate.AC else None
        if posed.controls and not rest.controls:
            result = best.of_held(result)
        return replace(
            reduction.invert(result), learned=replace(summary, reduced_bound_kw=None if task.holds else bound)
        )

    def _rest(self, task: _Task, reduction: Reduction, engine: str) -> Result:
        """What is left after fixing, solved from the best answer known."""
        reduced, options, best = reduction.reduced, task.options, task.best
        starts = [] if best.configuration is None else [task.belief.canonical(best.configuration)]
        begin = next((each for each in (*starts, task.belief.most_probable) if reduced.admits(each)), None)
        inner = replace(options, certify=Certificate.AC, time_limit=task.remaining(0.5))
        if options.time_limit is None and engine == "milp":
            inner = replace(inner, node_limit=min(FIRST_NODES, options.node_limit or FIRST_NODES))
        elif options.time_limit is None:
            loops = max(len(reduction.problem.core.branches) - reduction.problem.core.n_nodes + 1, 1)
            work = REDUCED_WORK * (MIXED_SHARE if mixed_signs(reduced) else 1.0)
            nodes = max(int(work / (reduced.network.n_bus * loops)), LEAST_NODES)
            inner = replace(inner, node_limit=min(nodes, options.node_limit or nodes))
        engine = engine if reduction.n_free or reduced.controls else "tree"
        return load_engine(engine).solve(reduced, inner, begin)

    def _summary(
        self, task: _Task, kind: ProblemClass, reduction: Reduction, proven: ReconfigurationProblem
    ) -> LearnedSummary:
        belief = task.belief
        summary = LearnedSummary(
            checkpoint=self.predictor.name,
            alpha=self.policy.alpha if kind.calibrated else None,
            fixed_closed=int(reduction.fixed_closed.sum()),
            fixed_open=int(reduction.fixed_open.sum()),
            free=reduction.n_free,
            reduced_bound_kw=None,
            used_alpha=self.policy.used_alpha(belief.predictions[0]) if kind.calibrated else None,
            novelty=belief.novelty,
            proven=int(np.count_nonzero(undecided(reduction.problem) & ~undecided(proven))),
            problem_class=kind.name,
            family=kind.family,
        )
        if summary.used_alpha is not None:
            return replace(summary, threshold=belief.predictions[0].thresholds[summary.used_alpha])
        if (held := task.holding) is None:
            return summary
        summary = replace(summary, fixed_devices=len(held.devices), free_devices=held.free_devices)
        if held.threshold is None:
            return summary
        return replace(
            summary,
            alpha=self.heads_alpha,
            used_alpha=held.alpha,
            threshold=held.threshold,
            fixed_closed=held.closed,
            fixed_open=int(held.branches.sum()) - held.closed,
            free=held.free_branches,
            proven=0,
        )

    def _audit(self, task: _Task) -> Result:
        """Prove the full problem from the best configuration found."""
        problem = task.best.problem
        engine = "tree" if task.certify is Certificate.MODEL and not problem.controls else proving_engine(problem)
        certify = Certificate.AC if engine == "milp" else task.certify
        inner = replace(task.options, certify=certify, time_limit=task.remaining(1.0))
        if problem.controls and task.best.configuration is not None:
            return self._proven_from(task, inner)
        return load_engine(engine).solve(problem, inner, task.best.configuration)

    def _proven_from(self, task: _Task, options: SolveOptions) -> Result:
        """The MILP from the best answer, settings of its controls included; it looks around as fast mode does."""
        from learnopt.engines.milp import highs
        from learnopt.engines.milp.model import JointModel
        from learnopt.engines.milp.results import DEFAULT_GAP, SMALLEST_GAP, searching, solve_by_rounds
        from learnopt.engines.milp.rounds import Effort

        best = task.best
        gap = DEFAULT_GAP if options.gap is None else max(options.gap, SMALLEST_GAP)
        search = searching(best.problem, "milp", gap, options, Stopwatch())
        assert best.configuration is not None
        search.offer(search.coupled.served(best.configuration, best.common))
        version = f"HiGHS {highs.VERSION}"

        def look(incumbent: Incumbent) -> None:
            self._look(task, incumbent)

        return solve_by_rounds(best.problem, search, JointModel, Effort(), best.configuration, version, look)

    def _fast(self, best: Best, watch: Stopwatch, reduced: Result, reason: str = "") -> Result:
        """The best answer of fast mode, as the judge sees it."""
        exact = "Fast mode: exact for the reduced problem only; nothing is proven for the full problem."
        result = conclude(
            best.problem,
            self.name,
            watch,
            configuration=best.configuration,
            status=Status.NO_SOLUTION if best.configuration is None else Status.FEASIBLE,
            message=f"{reason} {exact}".strip(),
            nodes=reduced.nodes,
            settings=best.settings,
        )
        return replace(result, learned=reduced.learned)

    def _timed(self, result: Result, watch: Stopwatch) -> Result:
        """A result of another engine as one of this."""
        return replace(result, engine=self.name, solve_time_s=watch.elapsed, stage_times_s=dict(watch.stages))


def proving_engine(problem: ReconfigurationProblem) -> str:
    """The engine that proves a problem in AC: the tree search where its tight bound covers it, else the MILP."""
    return "milp" if tight_obstacles(problem) else "tree"


def offer_starts(
    problem: ReconfigurationProblem,
    belief: Belief,
    start: Configuration | None,
    options: SolveOptions,
    best: Best,
    samples: int = SAMPLES,
) -> bool:
    """Branch exchange and guided kicks from predicted starts and a given one; whether a limit binds.

    Exchange sees the mean loads, controls neutral. Without limits first: what respects them all the same is as good
    with them, and none of them binds.
    """
    plain = problem.applied(None).mean
    further = [] if start is None else [start]
    rng = np.random.default_rng(options.seed)
    if belief.graph.n_undecided < LARGE:  # never worse than what needs no model
        rival = find_incumbent(plain, None, np.random.default_rng(options.seed))
        further += [] if rival is None else [rival]
    binding, known = False, list[Configuration]()
    for limits in (Limits(), plain.limits):
        found = learned_start(plain.replace(limits=limits), belief, rng, samples, [*known, *further])
        if found is None:
            break
        best.offer(found[0])
        if best.feasible:
            break
        binding, known = True, [found[0]]
    for each in filter(problem.admits, further):
        best.offer(each)
    return binding
