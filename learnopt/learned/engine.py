"""The learned engine: predict, decide, reduce, start, solve the rest exactly, audit.

*Fast mode* (``certify none``) returns the exact solution of the reduced problem; its bound is labelled as one of the
reduced problem and proves nothing about the full one. *Certified mode* frees every switch again and proves the answer
against the full problem, with the fast answer as incumbent; a better configuration replaces it. Where nothing was fixed
there is no reduced problem, and certified mode solves once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from learnopt.engines import SolveOptions, Stopwatch, conclude, load_engine
from learnopt.engines.base import infeasible
from learnopt.engines.exchange import find_incumbent, radial_start
from learnopt.engines.fixed_loops import solve_without_loops
from learnopt.engines.tree.coverage import tight_obstacles
from learnopt.engines.tree.probing import fix_by_bounds
from learnopt.errors import DataError
from learnopt.learned.policy import DEFAULT_ALPHA, Decision, FixingPolicy, consistent, surest_half
from learnopt.learned.problem_class import ProblemClass
from learnopt.learned.reduction import Reduction, undecided
from learnopt.learned.sets import solve_together
from learnopt.learned.starts import LARGE, SAMPLES, confidence_in, learned_start
from learnopt.learning.checkpoint import REFERENCE, load_checkpoint
from learnopt.learning.predict import Prediction, Predictor
from learnopt.network import (
    Certificate,
    Configuration,
    Floats,
    LearnedSummary,
    Limits,
    ReconfigurationProblem,
    Result,
    Status,
)
from learnopt.physics import evaluate

UNFIXING_ROUNDS = 2
"""Times the surer half of the decisions is tried after an infeasible reduced problem, before nothing is fixed."""


REDUCED_WORK, LEAST_NODES = 4e8, 1000
"""Work of the tree search in a reduced problem where the user sets no limit: buses times loops in all nodes, some
seconds, since fast mode is for answers now; and its least nodes. The answer is the same on every machine."""
FIRST_LIMIT = 10.0
"""Seconds for the MILP where the user sets no limit: it is asked only where no admissible configuration is known."""
BOUND_MARGIN = 1e-6
"""Relative margin above the incumbent at which bounds fix switches, so that they never exclude the incumbent."""


def proving_engine(problem: ReconfigurationProblem) -> str:
    """The engine that proves a problem in AC: the tree search where its tight bound covers it, else the MILP."""
    return "milp" if tight_obstacles(problem) else "tree"


@dataclass
class _Best:
    """Best configuration so far, by the compiled AC power flow [kW]; limit violations count as heavy losses."""

    configuration: Configuration | None = None
    merit: float = math.inf

    def offer(self, found: tuple[Configuration, float] | None) -> None:
        if found is not None and found[1] < self.merit:
            self.configuration, self.merit = found


class LearnedEngine:
    """Learned fixing and starts around an exact engine.

    Parameters
    ----------
    predictor
        A trained model; the reference checkpoint is loaded where none is given.
    alpha
        Accepted risk of a wrong fixing, see :class:`~learnopt.learned.policy.FixingPolicy`.
    samples
        Trees drawn from the predicted distribution as further starts.
    exact
        Engine for the reduced problem: ``tree``, ``milp``, or ``auto``: tree search wherever it has a start.
    """

    name = "learned"

    def __init__(
        self,
        predictor: Predictor | Path | str = REFERENCE,
        alpha: float = DEFAULT_ALPHA,
        samples: int = SAMPLES,
        exact: str = "auto",
    ) -> None:
        self.predictor = predictor if isinstance(predictor, Predictor) else load_checkpoint(predictor)
        self.policy = FixingPolicy(alpha)
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
        if problem.chords.any():
            return solve_without_loops(self.name, self.solve, problem, options, start)
        if problem.controls or len(problem.situations) > 1:
            return solve_together(self.predictor, problem, options, start, fast_nodes(problem), FIRST_LIMIT)
        for engine in {"tree", proving_engine(problem), *({self.exact} - {"auto"})}:
            load_engine(engine)  # before the clock starts: the first call imports a solver
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch)) is not None:
            return failure
        best = _Best()
        summary: LearnedSummary | None = None
        nodes = 0
        try:
            with watch.stage("predict"):
                prediction = self.predictor.predict(problem)
            with watch.stage("start"):
                binding = self._starts(problem, prediction, start, options, best)
            with watch.stage("decide"):
                kind = ProblemClass.of(problem, self.predictor.coverage, binding)
                decisions = self._decisions(problem, prediction, kind, best)
            certify = options.certify or Certificate.NONE
            # Limits that no calibration had and that do not bind are left out, as the calibration would have.
            posed = problem if not kind.calibrated or binding else problem.replace(limits=Limits())
            result, summary = self._reduced(posed, prediction, kind, decisions, certify, options, best, watch)
            if posed is not problem and not _within(problem, result.configuration):  # one binds after all
                kind = ProblemClass.of(problem, self.predictor.coverage, binding=True)
                decisions = self._decisions(problem, prediction, kind, best)
                result, summary = self._reduced(problem, prediction, kind, decisions, certify, options, best, watch)
            nodes = result.nodes
            self._keep(problem, result, best)
            if result.status is Status.INTERRUPTED:
                raise KeyboardInterrupt  # engines turn Ctrl-C into a result, but it was meant for all of this
            if result.status is Status.INFEASIBLE:  # nothing was fixed any more, so this is the full problem
                return replace(
                    result,
                    engine=self.name,
                    learned=summary,
                    solve_time_s=watch.elapsed,
                    stage_times_s=dict(watch.stages),
                )
            if certify is not Certificate.NONE:
                with watch.stage("audit"):
                    audit = self._audit(problem, certify, options, best, watch)
                return replace(
                    audit,
                    engine=self.name,
                    learned=summary,
                    nodes=nodes + audit.nodes,
                    solve_time_s=watch.elapsed,
                    stage_times_s=dict(watch.stages),
                    message=f"{kind.sentence} Audited by {audit.engine}: {audit.message}".strip(),
                )
        except KeyboardInterrupt:
            interrupted = self._fast(problem, best, watch, nodes)
            return replace(interrupted, status=Status.INTERRUPTED, learned=summary)
        return replace(self._fast(problem, best, watch, nodes, kind.sentence), learned=summary)

    def _starts(
        self,
        problem: ReconfigurationProblem,
        prediction: Prediction,
        start: Configuration | None,
        options: SolveOptions,
        best: _Best,
    ) -> bool:
        """Branch exchange and guided kicks from predicted starts and a given one; whether a limit binds.

        Without limits first: what respects them all the same is as good with them, and none of them binds.
        """
        further = [] if start is None else [start]
        rng = np.random.default_rng(options.seed)
        if prediction.graph.n_undecided < LARGE:  # never worse than what needs no model
            plain = find_incumbent(problem, None, np.random.default_rng(options.seed))
            further += [] if plain is None else [plain]
        found = learned_start(problem.replace(limits=Limits()), prediction, rng, self.samples, further)
        if found is None or evaluate(problem, found[0]).feasible:
            best.offer(found)
            return False
        best.offer(learned_start(problem, prediction, rng, self.samples, [found[0], *further]))
        return True

    def _decisions(
        self, problem: ReconfigurationProblem, prediction: Prediction, kind: ProblemClass, best: _Best
    ) -> NDArray[np.int8]:
        """Decision per branch, shape (n_branch,): free where the class of the problem is not calibrated."""
        if not kind.calibrated:
            return np.full(problem.network.n_branch, Decision.FREE, dtype=np.int8)
        found = None if best.configuration is None else (best.configuration, best.merit)
        confidence = confidence_in(problem, prediction, found)
        return consistent(problem, self.policy.decide(prediction, confidence), prediction.p_closed)

    def _reduced(
        self,
        problem: ReconfigurationProblem,
        prediction: Prediction,
        kind: ProblemClass,
        decisions: NDArray[np.int8],
        certify: Certificate,
        options: SolveOptions,
        best: _Best,
        watch: Stopwatch,
    ) -> tuple[Result, LearnedSummary]:
        """Solve the problem with confident switches fixed; free the less sure ones where that is infeasible.

        By tree search, in the calibrated-current model where its AC bound does not reach: milliseconds either way.
        Nothing is solved in certified mode once no switch is fixed: the audit does that.
        """
        # Without a start within the limits the tree search has nothing to prune by.
        within = best.configuration is not None and evaluate(problem, best.configuration).feasible
        engine = self.exact if self.exact != "auto" else "tree" if within else proving_engine(problem)
        proven = problem
        if engine == "milp" and within and best.configuration is not None:
            with watch.stage("bounds"):
                proven = _proven(problem, best.configuration)
        for attempt in range(UNFIXING_ROUNDS + 2):
            fixed = bool(np.any(decisions != Decision.FREE))
            with watch.stage("reduce"):
                reduction = _union(problem, proven if fixed else problem, decisions, prediction.p_closed)
            summary = LearnedSummary(
                checkpoint=self.predictor.name,
                alpha=self.policy.alpha if kind.calibrated else None,
                fixed_closed=int(reduction.fixed_closed.sum()),
                fixed_open=int(reduction.fixed_open.sum()),
                free=reduction.n_free,
                reduced_bound_kw=None,
                used_alpha=self.policy.used_alpha(prediction) if kind.calibrated else None,
                novelty=prediction.novelty,
                proven=int(np.count_nonzero(undecided(problem) & ~undecided(proven))),
                problem_class=kind.name,
            )
            if not fixed and certify is not Certificate.NONE:
                return conclude(problem, self.name, watch, configuration=None, status=Status.NO_SOLUTION), summary
            with watch.stage("solve"):
                begin = None if best.configuration is None else prediction.graph.canonical(best.configuration)
                if begin is None or not reduction.reduced.admits(begin):
                    begin = prediction.most_probable if reduction.reduced.admits(prediction.most_probable) else None
                inner = replace(options, certify=Certificate.AC, time_limit=self._remaining(options, watch, 0.5))
                if options.time_limit is None and engine == "milp":
                    inner = replace(inner, time_limit=FIRST_LIMIT)
                elif options.time_limit is None:
                    nodes = fast_nodes(problem)
                    inner = replace(inner, node_limit=min(nodes, options.node_limit or nodes))
                if fixed and reduction.n_free == 0:
                    result = _only(reduction.reduced, watch)
                else:
                    result = load_engine(engine).solve(reduction.reduced, inner, begin)
            if result.configuration is not None or result.status is Status.INTERRUPTED or not fixed:
                break
            decisions = surest_half(decisions, prediction.p_closed)
            if attempt == UNFIXING_ROUNDS:
                decisions = np.full_like(decisions, Decision.FREE)
        bound = result.dual_bound_kw if result.certificate is Certificate.AC else None
        return reduction.invert(result), replace(summary, reduced_bound_kw=bound)

    def _audit(
        self,
        problem: ReconfigurationProblem,
        certify: Certificate,
        options: SolveOptions,
        best: _Best,
        watch: Stopwatch,
    ) -> Result:
        """Prove the full problem from the best configuration found."""
        engine = proving_engine(problem) if certify is Certificate.AC else "tree"
        inner = replace(options, certify=certify, time_limit=self._remaining(options, watch, 1.0))
        return load_engine(engine).solve(problem, inner, best.configuration)

    @staticmethod
    def _remaining(options: SolveOptions, watch: Stopwatch, share: float) -> float | None:
        if options.time_limit is None:
            return None
        return max(share * (options.time_limit - watch.elapsed), 1e-3)

    @staticmethod
    def _keep(problem: ReconfigurationProblem, result: Result, best: _Best) -> None:
        if result.configuration is not None and result.objective_kw is not None:
            best.offer((result.configuration, result.objective_kw))

    def _fast(
        self, problem: ReconfigurationProblem, best: _Best, watch: Stopwatch, nodes: int, reason: str = ""
    ) -> Result:
        found = best.configuration
        exact = "Fast mode: exact for the reduced problem only; nothing is proven for the full problem."
        message = f"{reason} {exact}".strip()
        status = Status.NO_SOLUTION if found is None else Status.FEASIBLE
        return conclude(problem, self.name, watch, configuration=found, status=status, message=message, nodes=nodes)


def fast_nodes(problem: ReconfigurationProblem) -> int:
    """Nodes of the tree search in fast mode."""
    core = problem.core
    loops = max(len(core.branches) - core.n_nodes + 1, 1)
    return max(int(REDUCED_WORK / (problem.network.n_bus * loops)), LEAST_NODES)


def _within(problem: ReconfigurationProblem, configuration: Configuration | None) -> bool:
    """A configuration, where there is one, respects the limits of the problem."""
    return configuration is None or evaluate(problem, configuration).feasible


def _proven(problem: ReconfigurationProblem, incumbent: Configuration) -> ReconfigurationProblem:
    """The problem with the switches locked whose other state costs more than the incumbent; it keeps that one."""
    kw = problem.network.base.kw
    ceiling = evaluate(problem, incumbent).loss_kw + problem.switching_cost * problem.operations(incumbent)
    return fix_by_bounds(problem, incumbent, ceiling * (1 + BOUND_MARGIN) / kw)


def _only(problem: ReconfigurationProblem, watch: Stopwatch) -> Result:
    """Answer of a reduced problem that leaves one configuration."""
    only = radial_start(problem)
    return conclude(
        problem,
        "learned",
        watch,
        configuration=only,
        status=Status.OPTIMAL,
        certificate=Certificate.AC,
        dual_bound_kw=math.inf,
    )


def _union(
    problem: ReconfigurationProblem, proven: ReconfigurationProblem, decisions: NDArray[np.int8], p_closed: Floats
) -> Reduction:
    """The reduction by decisions and by proven fixings; a decision that contradicts those is dropped."""
    if proven is problem:
        return Reduction.apply(problem, decisions)
    left = np.where(proven.free, decisions, Decision.FREE).astype(np.int8)
    union = consistent(proven, left, p_closed)
    locked = proven.locked
    return Reduction.apply(problem, np.where(proven.free, union, np.where(problem.free, locked, Decision.FREE)))
