"""The learned pipeline on problems with controls or several scenarios: fix by belief, solve the rest, audit.

Switches are fixed where the predictions of all scenarios agree (:mod:`learnopt.pipeline.belief`); the reduced problem,
with all its controls, goes to the MILP, or to the tree search where there are no controls and its tight bound covers
the scenarios. What is proven after fixing is labelled as reduced; certified mode proves the full problem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from learnopt.engines import Engine, SolveOptions, Stopwatch, load_engine
from learnopt.engines.base import infeasible
from learnopt.engines.tree.coverage import tight_obstacles
from learnopt.learning.predict import Predictor
from learnopt.network import Certificate, Configuration, LearnedSummary, ReconfigurationProblem, Result, Status
from learnopt.pipeline.belief import Belief, predict_together
from learnopt.pipeline.policy import Decision, FixingPolicy, consistent, surest_half
from learnopt.pipeline.reduction import Reduction

NAME = "learned"
ATTEMPTS = 3
"""Reduced problems tried, each with half of the fixings before, until nothing is fixed."""


def solve_together(
    predictor: Predictor,
    policy: FixingPolicy,
    problem: ReconfigurationProblem,
    options: SolveOptions,
    start: Configuration | None,
    reduced_limit: float,
) -> Result:
    """Fast mode (``certify`` absent or none) or certified mode on a problem with controls or several scenarios.

    Parameters
    ----------
    reduced_limit
        Seconds for the reduced problem where the options set none.
    """
    name = "tree" if not problem.controls and not tight_obstacles(problem) else "milp"
    engine, watch = load_engine(name), Stopwatch()
    if (failure := infeasible(problem, NAME, watch, several_scenarios=True, controls=True)) is not None:
        return failure
    with watch.stage("predict"):
        belief = predict_together(predictor, problem)
    begin = belief.most_probable if start is None else start
    certified = (options.certify or Certificate.NONE) is not Certificate.NONE
    limit = reduced_limit if options.time_limit is None else 0.5 * options.time_limit
    reduced = _Reduced(predictor, policy, belief, problem, limit, certified)
    with watch.stage("solve"):
        summary, result = reduced.solve(engine, options, begin, watch)
    if result is not None and (not certified or result.status is Status.INTERRUPTED):
        answer = result
        if result.status is Status.OPTIMAL:
            answer = replace(result, status=Status.FEASIBLE)
        if result.status is not Status.INFEASIBLE:
            answer = replace(
                answer,
                certificate=Certificate.NONE,
                dual_bound_kw=None,
                message="Fast mode: exact for the reduced problem only; nothing is proven for the full problem.",
            )
    else:
        with watch.stage("audit"):
            answer = _audit(problem, options, engine, begin, result, watch)
    times = {"solve_time_s": watch.elapsed, "stage_times_s": dict(watch.stages)}
    return replace(answer, engine=NAME, learned=summary, **times)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Reduced:
    """The problem with switches fixed by a belief; half of them are freed while it has no solution.

    In certified mode there is no result where nothing is fixed: the audit solves that problem.
    """

    predictor: Predictor
    policy: FixingPolicy
    belief: Belief
    problem: ReconfigurationProblem
    limit: float
    certified: bool

    def solve(
        self, engine: Engine, options: SolveOptions, begin: Configuration, watch: Stopwatch
    ) -> tuple[LearnedSummary, Result | None]:
        """What was fixed, and the result of the reduced problem."""
        p_closed = self.belief.p_closed
        decisions = consistent(self.problem, self.belief.decide(self.policy), p_closed)
        for attempt in range(ATTEMPTS + 1):
            fixed = bool(np.any(decisions != Decision.FREE))
            reduction = Reduction.apply(self.problem, decisions)
            summary = self._summary(reduction)
            if not fixed and self.certified:
                return summary, None
            left = max(self.limit - watch.elapsed, 1e-3) if options.time_limit is not None else self.limit
            inner = replace(options, certify=Certificate.AC, time_limit=left)
            result = engine.solve(reduction.reduced, inner, begin)
            if result.configuration is not None or result.status is Status.INTERRUPTED or not fixed:
                break
            decisions = surest_half(decisions, p_closed)
            if attempt == ATTEMPTS - 1:
                decisions = np.full_like(decisions, Decision.FREE)
        bound = result.dual_bound_kw if result.certificate is Certificate.AC else None
        return replace(summary, reduced_bound_kw=bound), result

    def _summary(self, reduction: Reduction) -> LearnedSummary:
        return LearnedSummary(
            checkpoint=self.predictor.name,
            alpha=self.policy.alpha,
            fixed_closed=int(reduction.fixed_closed.sum()),
            fixed_open=int(reduction.fixed_open.sum()),
            free=reduction.n_free,
            reduced_bound_kw=None,
            used_alpha=self.belief.used_alpha(self.policy),
            novelty=self.belief.novelty,
        )


def _audit(
    problem: ReconfigurationProblem,
    options: SolveOptions,
    engine: Engine,
    begin: Configuration,
    known: Result | None,
    watch: Stopwatch,
) -> Result:
    """The full problem from the best configuration known; an audit cut short keeps what was known."""
    left = None if options.time_limit is None else max(options.time_limit - watch.elapsed, 1e-3)
    wanted = options.certify if engine.name == "tree" else Certificate.AC
    found = None if known is None else known.configuration
    audit = engine.solve(problem, replace(options, certify=wanted, time_limit=left), found or begin)
    message = f"Audited by {engine.name}: {audit.message}"
    if known is None or known.objective_kw is None or audit.status is Status.INFEASIBLE:
        return replace(audit, message=message)
    nodes, bound = audit.nodes + known.nodes, audit.dual_bound_kw
    if audit.objective_kw is not None and audit.objective_kw <= known.objective_kw:
        return replace(audit, message=message, nodes=nodes)
    return replace(
        known,
        status=audit.status if audit.status in (Status.OPTIMAL, Status.INTERRUPTED) else Status.FEASIBLE,
        certificate=audit.certificate,
        dual_bound_kw=None if bound is None else min(bound, known.objective_kw),
        message=message,
        nodes=nodes,
    )
