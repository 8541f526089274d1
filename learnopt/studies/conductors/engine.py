"""Conductor problems: incumbent by local search, bound by branch and cut, every plan judged, gap stated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from learnopt.engines.base import AGREEMENT, Stopwatch, disagreement, unsettled
from learnopt.engines.enumeration import count_configurations
from learnopt.engines.exchange import random_start
from learnopt.engines.milp.results import SMALLEST_GAP
from learnopt.formulations.conductor_selection import economic_limit_reason
from learnopt.network import Configuration, Evaluation, ReconfigurationProblem, Status
from learnopt.network.conductors import ConductorPlan, ConductorProblem
from learnopt.network.loop_reduction import refuse_fixed_loops
from learnopt.network.names import branch_quoted
from learnopt.physics import evaluate, power_flow
from learnopt.studies.conductors.bound import KEPT, SEEN, bound_data, survive, survivors_of
from learnopt.studies.conductors.search import PlanSearch
from learnopt.studies.conductors.tree import BranchAndCut, Relaxation

DEFAULT_GAP = 1e-3
MOST_SURVIVORS = 500
"""Configurations that may stay in question after their bounds."""
_ENUMERATION_GAP = 1e-6
_BATCH = 100_000
"""Configurations bounded between two looks at the clock."""


@dataclass(frozen=True)
class ConductorParams:
    """Effort of the search for a plan and its proof.

    Parameters
    ----------
    random_starts
        Random trees for the incumbent, besides the installed plan.
    most_configurations
        Up to this many radial configurations are bounded one by one, where the bound covers the problem; else branch
        and cut.
    """

    random_starts: int = 2
    most_configurations: float = 3e6


@dataclass(frozen=True)
class ConductorResult:
    """What planning returns: complete even in failure.

    Parameters
    ----------
    status
        How it ended.
    plan
        The best plan that respects everything asked for, judged; None without one.
    evaluation
        Its power flow by the independent judge.
    total_cost, investment_cost, energy_cost
        Per year [currency]; None without a plan.
    dual_bound
        Proven lower bound of the annual cost of every admissible plan; None where nothing is proven.
    message
        Why it ended so, and which limit cannot be met.
    """

    status: Status
    plan: ConductorPlan | None
    evaluation: Evaluation | None
    total_cost: float | None
    investment_cost: float | None
    energy_cost: float | None
    dual_bound: float | None
    message: str = ""
    nodes: int = 0
    solve_time_s: float = 0.0
    stage_times_s: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        cost = "no plan" if self.total_cost is None else f"cost a year {self.total_cost:,.6g}"
        return f"ConductorResult({self.status.value}: {cost})"

    @property
    def gap(self) -> float | None:
        """(cost - bound) / cost."""
        if self.total_cost is None or self.dual_bound is None:
            return None
        return max(0.0, self.total_cost - self.dual_bound) / max(self.total_cost, 1e-12)


def assess(problem: ConductorProblem, plan: ConductorPlan) -> tuple[Evaluation, list[str]]:
    """Power flow of a plan by the independent judge, and everything that speaks against it."""
    evaluation = evaluate(problem.equipped(plan.conductor), plan.configuration)
    reasons = [*problem.faults(plan), *evaluation.violations]
    if problem.no_thicker_downstream and evaluation.converged:
        reasons += _thicker_downstream(problem, plan)
    return evaluation, reasons


def _thicker_downstream(problem: ConductorProblem, plan: ConductorPlan) -> list[str]:
    """Branches that are thicker than the branch that feeds them."""
    net, kind = problem.network, plan.conductor
    flow = power_flow(problem.equipped(kind), plan.configuration)
    found = []
    for k in np.flatnonzero(flow.parent >= 0):
        e, above = flow.feed[k], flow.feed[flow.parent[k]]
        if above >= 0 <= kind[above] < kind[e]:
            thin, thick = problem.catalogue[kind[above]].name, problem.catalogue[kind[e]].name
            found.append(
                f"branch {branch_quoted(net, e)} ({thick}) is fed by branch {branch_quoted(net, above)} ({thin})"
            )
    return found


@dataclass
class _Search:
    """The best plan so far, and what is proven, of one branch and cut."""

    problem: ConductorProblem
    local: PlanSearch
    best: ConductorPlan | None = None
    evaluation: Evaluation | None = None
    cost: float = math.inf
    bound: float = -math.inf
    nodes: int = 0
    seen: set[ConductorPlan] = field(default_factory=set)
    doubted: set[ConductorPlan] = field(default_factory=set)

    def doubts(self, plan: ConductorPlan) -> bool:
        """The power flow of a plan that was offered is not settled."""
        return plan in self.doubted

    def offer(self, plan: ConductorPlan) -> bool:
        """Take a plan as incumbent if the judge finds it feasible and cheaper."""
        if plan in self.seen:
            return False
        self.seen.add(plan)
        evaluation, reasons = assess(self.problem, plan)
        equipped = self.problem.equipped(plan.conductor)
        if unsettled(equipped, plan.configuration, evaluation) and not self.problem.faults(plan):
            self.doubted.add(plan)
        if not evaluation.converged or reasons:
            return False
        cost = self.problem.investment_cost(plan.conductor) + self.problem.costs.per_kw * evaluation.loss_kw
        if cost >= self.cost:
            return False
        self.best, self.evaluation, self.cost = plan, evaluation, cost
        return True

    def complete(self, plan: ConductorPlan) -> bool:
        """Offer a plan of the relaxation and what its configuration can be made of; False where it is known."""
        known = plan in self.seen
        self.offer(plan)
        if not known and self.problem.feeder.admits(plan.configuration):
            self.offer(self.local.choose(plan.configuration, plan.conductor)[0])
        return not known


def solve_plan(
    problem: ConductorProblem,
    *,
    gap: float = DEFAULT_GAP,
    time_limit: float = math.inf,
    starts: tuple[ConductorPlan, ...] = (),
    seed: int = 0,
    params: ConductorParams | None = None,
) -> ConductorResult:
    """Plan of least annual cost, proven within ``gap``, or the best found with the gap reached.

    Parameters
    ----------
    gap
        Relative gap; what the tolerances of the linear solver cannot resolve counts as ``SMALLEST_GAP``.
    starts
        Plans to improve first; they may break limits.
    """
    watch = Stopwatch()
    gap = max(gap, SMALLEST_GAP)
    search = _Search(problem, PlanSearch(problem))
    try:
        status, message = _prove(search, gap, time_limit, starts, seed, params or ConductorParams(), watch)
    except KeyboardInterrupt:
        status, message = Status.INTERRUPTED, "Interrupted; this is the best plan so far."
    return _result(search, status, message, watch, gap)


def _result(search: _Search, status: Status, message: str, watch: Stopwatch, gap: float) -> ConductorResult:
    """What is known, judged: optimal where the reported gap is at most the one asked for (as ``engines.conclude``)."""
    problem, plan = search.problem, search.best
    known = plan is not None and search.evaluation is not None
    bound = min(search.bound, search.cost)
    if plan is not None and search.evaluation is not None:
        equipped = problem.equipped(plan.conductor)
        if doubt := disagreement(equipped, plan.configuration, search.evaluation):
            bound, message = -math.inf, f"{message} Nothing is proven: {doubt}."
        if status is Status.OPTIMAL and search.cost - bound > max(gap, AGREEMENT) * search.cost:
            status = Status.FEASIBLE
    return ConductorResult(
        status=status,
        plan=plan,
        evaluation=search.evaluation,
        total_cost=search.cost if known else None,
        investment_cost=problem.investment_cost(plan.conductor) if plan is not None else None,
        energy_cost=problem.costs.per_kw * search.evaluation.loss_kw if search.evaluation is not None else None,
        dual_bound=bound if math.isfinite(bound) and status is not Status.INFEASIBLE else None,
        message=message,
        nodes=search.nodes,
        solve_time_s=watch.elapsed,
        stage_times_s=dict(watch.stages),
    )


def _prove(
    search: _Search,
    gap: float,
    limit: float,
    starts: tuple[ConductorPlan, ...],
    seed: int,
    params: ConductorParams,
    watch: Stopwatch,
) -> tuple[Status, str]:
    problem = search.problem
    feeder = problem.feeder
    refuse_fixed_loops(feeder, "conductor planning", advice="leave one branch of each loop out of the file")
    if feeder.contradictions:
        return Status.INFEASIBLE, "No radial configuration exists: " + "; ".join(feeder.contradictions)
    with watch.stage("incumbent"):
        rng = np.random.default_rng(seed)
        free = feeder.free.any()
        candidates = [*starts, problem.installed_plan]
        for i in range(len(candidates) + (params.random_starts if free else 0)):
            if watch.elapsed > 0.2 * limit and search.best is not None:
                break
            start = candidates[i] if i < len(candidates) else None
            if start is not None and not problem.faults(start):
                search.offer(start)
            if start is None or not feeder.admits(start.configuration):
                start = search.local.choose(random_start(feeder, rng))[0]
            search.offer(search.local.improve(start, 0.3 * limit - watch.elapsed)[0])
    if not economic_limit_reason(problem) and count_configurations(feeder) <= params.most_configurations:
        with watch.stage("enumeration"):
            settled = _enumerate(search, gap, limit, watch)
        if settled is not None:
            return settled
    with watch.stage("build"):
        relaxation = Relaxation(problem, search.cost)
        if search.best is not None:
            relaxation.touch(problem, search.best)
    bounds = relaxation.data.flow.bounds
    if not bounds.proven:
        return _stopped(search), f"No bound: {bounds.reason}."
    # A squared current that is off by this much changes no cost by more than a tenth of the gap.
    per_unit = problem.costs.per_kw * feeder.network.base.kw
    scale = search.cost if math.isfinite(search.cost) else float(problem.least_investment.sum())
    tolerance = 0.1 * gap * scale / max(per_unit * float(problem.network.r.sum()), 1e-9)
    tree = BranchAndCut(relaxation, search, tolerance, gap)
    try:
        with watch.stage("branch and cut"):
            tree.run(watch, limit)
    finally:
        search.nodes = tree.nodes
        search.bound = min(tree.bound, search.cost)
    if not tree.complete:
        return _stopped(search), f"Time limit of {limit:g} s reached."
    if search.best is None and search.doubted:
        return Status.NO_SOLUTION, "No plan was found; some power flows could not be settled."
    if search.best is None:
        return Status.INFEASIBLE, "No plan respects the limits: a relaxation of the problem is infeasible."
    return Status.OPTIMAL, f"Least annual cost within a gap of {gap:g}."


def _enumerate(search: _Search, gap: float, limit: float, watch: Stopwatch) -> tuple[Status, str] | None:
    """Prove by the bound of every radial configuration; None where too many stay in question."""
    problem, feeder = search.problem, search.problem.feeder
    cutoff = search.cost * (1 - min(0.9 * gap, _ENUMERATION_GAP))  # a tighter bound costs nothing here
    data, (grid, found) = bound_data(problem), survivors_of(problem, MOST_SURVIVORS)
    least = math.inf
    while found.walk.depth[0] >= 0:
        least = min(least, float(survive(grid, data, found, cutoff, int(found.counts[SEEN]) + _BATCH)))
        if found.counts[KEPT] == MOST_SURVIVORS or watch.elapsed >= limit:
            return None
    search.nodes = int(found.counts[SEEN])
    for i in range(int(found.counts[KEPT])):
        configuration = Configuration(found.kept[i])
        search.offer(search.local.choose(configuration)[0])
        # What stays in question is settled by the linear relaxation of this configuration alone.
        bound = float(found.bounds[i])
        if bound < search.cost * (1 - 0.9 * gap) and feeder.free.any():
            alone = solve_plan(
                problem.replace(feeder=locked(feeder, configuration)),
                gap=gap,
                time_limit=limit - watch.elapsed,
                starts=() if search.best is None else (replace(search.best, configuration=configuration),),
                params=ConductorParams(most_configurations=0),
            )
            if alone.plan is not None:
                search.offer(alone.plan)
            settled = math.inf if alone.status is Status.INFEASIBLE else (alone.dual_bound or -math.inf)
            bound = max(bound, settled)
        least = min(least, bound)
        if watch.elapsed >= limit:
            return None
    if not feeder.free.any() and least < search.cost * (1 - 0.9 * gap):
        return None
    search.bound = min(least, search.cost)
    if search.best is None:
        if math.isfinite(least):
            return None
        return Status.INFEASIBLE, "No plan respects the limits: none of the radial configurations can."
    return Status.OPTIMAL, f"Least annual cost within a gap of {gap:g}, by bounds of all radial configurations."


def locked(feeder: ReconfigurationProblem, configuration: Configuration) -> ReconfigurationProblem:
    """The feeder with every switch locked in a configuration."""
    states = np.where(configuration.closed, 1, 0).astype(np.int8)
    return feeder.replace(locked=states)


def _stopped(search: _Search) -> Status:
    return Status.NO_SOLUTION if search.best is None else Status.FEASIBLE
