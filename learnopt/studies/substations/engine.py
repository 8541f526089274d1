"""Least-cost substations, sizes and routes: the expansion model on HiGHS, tangents where costs are quadratic."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np

from learnopt.engines.base import Stopwatch
from learnopt.engines.milp import highs
from learnopt.errors import DataError
from learnopt.formulations.expansion import build_expansion, cost_scale
from learnopt.network import Status
from learnopt.network.expansion import ExpansionProblem
from learnopt.studies.substations.ac import evaluate_plan
from learnopt.studies.substations.check import check_plan
from learnopt.studies.substations.conflicts import explain_conflicts, unreachable
from learnopt.studies.substations.cuts import SupplyCuts
from learnopt.studies.substations.local_search import find_plan
from learnopt.studies.substations.plan import (
    BuiltLine,
    BuiltSubstation,
    ExpansionPlan,
    ExpansionResult,
    Flow,
    plan_cost,
)
from learnopt.studies.substations.squares import PIECES, Squares

ROUNDING = 1e-6
"""Relative margin taken off a bound for the tolerances of the solver."""
_NO_FLOW = 1e-7
"""Power that counts as none, relative to the total demand."""
_ROOT_PATIENCE = 5
_ROOT_PROGRESS = 1e-4
"""The relaxation is given up when so many rounds raise its bound by less than this share."""
_MOST_REGIONS = 200
"""Most regions of site decisions that are looked at before HiGHS takes over."""
_SITES_SHARE = 0.6
"""Share of the time for branching on sites."""
_LEAST_SHARE = 5.0
"""Least time for one mixed-integer problem of several, doubled each time it comes back [s]."""
_INTEGRAL = 1e-6


class Treatment(StrEnum):
    """How the squares of powers in costs and losses are approximated; the cost reported is exact with each."""

    TANGENT = "tangent"
    """One tangent, at half the capacity."""
    PIECEWISE = "piecewise"
    """Eight tangents spread over the capacity."""
    QUADRATIC = "quadratic"
    """Tangents are added where the solution lies until the gap is closed."""


@dataclass(frozen=True)
class PlanOptions:
    """How hard to try.

    Parameters
    ----------
    gap
        Relative gap at which to stop.
    time_limit
        Seconds; None = no limit.
    treatment
        Of quadratic costs and losses.
    seed
        Of the local search.
    """

    gap: float = 1e-4
    time_limit: float | None = None
    treatment: Treatment = Treatment.QUADRATIC
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if not (math.isfinite(self.gap) and self.gap >= 0):
            problems.append(f"gap = {self.gap} must be a finite number >= 0")
        if self.time_limit is not None and not self.time_limit > 0:
            problems.append(f"time_limit = {self.time_limit} must be > 0 [s]")
        if problems:
            raise DataError("options", problems)


def plan_substations(problem: ExpansionProblem, options: PlanOptions | None = None) -> ExpansionResult:
    """Find the plan of least cost, prove it within a gap, and check it.

    The dual bound holds for every plan that meets the problem, exact quadratic costs and losses included, whatever the
    treatment. Limits reached and infeasibility are statuses; an infeasible problem comes with its conflicts. Ctrl-C
    returns the best plan so far.
    """
    options = options or PlanOptions()
    if unreachable(problem):
        conflicts = tuple(explain_conflicts(problem, options.time_limit or 30.0))
        return ExpansionResult(Status.INFEASIBLE, message="A demand has no way to any site.", conflicts=conflicts)
    search = _Search(problem, options)
    try:
        result = search.run()
    except KeyboardInterrupt:
        result = search.result(Status.INTERRUPTED, "Interrupted; this is the best plan so far.")
    if result.status is Status.INFEASIBLE:
        left = math.inf if options.time_limit is None else max(options.time_limit - search.watch.elapsed, 1.0)
        result = replace(result, conflicts=tuple(explain_conflicts(problem, min(left, 30.0))))
    if result.plan is not None:
        result = replace(result, evaluations=evaluate_plan(problem, result.plan))
    return replace(result, solve_time_s=search.watch.elapsed)


@dataclass(order=True)
class _Region:
    """Plans in which some site decisions are taken: a bound of their cost [scaled], and bounds of the decisions."""

    bound: float
    number: int
    lower: np.ndarray = field(compare=False)
    upper: np.ndarray = field(compare=False)
    tries: int = field(default=0, compare=False)


class _Search:
    """State of one run: the compiled model, the best plan and the bound."""

    def __init__(self, problem: ExpansionProblem, options: PlanOptions) -> None:
        self.problem, self.options = problem, options
        self.watch = Stopwatch()
        self.scale = cost_scale(problem)
        self.plan: ExpansionPlan | None = None
        self.cost = math.inf
        self.bound = 0.0  # no cost is negative
        self.wanted = max(options.gap, 2 * ROUNDING)
        self.rounds = self.nodes = 0
        pyomo_model = build_expansion(problem)
        self.model = highs.CompiledModel(pyomo_model)
        self.size = (self.model.n_columns, self.model.n_integers, self.model.n_rows)
        self.columns = _Columns(problem, pyomo_model, self.model)
        self.squares = Squares(problem, pyomo_model, self.model)
        self.cuts = SupplyCuts(problem, pyomo_model, self.model)
        self.adaptive = options.treatment is Treatment.QUADRATIC and self.squares.any

    @property
    def gap(self) -> float:
        return math.inf if self.plan is None else max(0.0, self.cost - self.bound) / max(abs(self.cost), 1e-12)

    def run(self) -> ExpansionResult:
        """Local search for a plan; cuts and tangents on the relaxation; sites by branching; the rest by HiGHS."""
        options, squares = self.options, self.squares
        limit = math.inf if options.time_limit is None else options.time_limit
        self.offer(find_plan(self.problem, np.random.default_rng(options.seed)))
        squares.spread(PIECES if options.treatment is Treatment.PIECEWISE else 1)
        regions = self._branch_on_sites(limit)
        while regions and self.gap > self.wanted:
            if self.watch.elapsed >= limit:
                return self.result(self._stopped, f"Time limit of {limit:g} s reached.")
            region = heapq.heappop(regions)
            left = limit - self.watch.elapsed
            share = max(left / (len(regions) + 1), _LEAST_SHARE * 2**region.tries)
            region.tries += 1
            run, faults = self._solve(region, min(left, share))
            if run.outcome is highs.Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is highs.Outcome.FAILED:
                return self.result(self._stopped, "HiGHS reported an error; the result is what was known before.")
            if faults:
                return self.result(self._stopped, self._why(faults))
            if region.bound < self._cutoff:
                heapq.heappush(regions, region)
            self._raise_bound(min([r.bound for r in regions], default=self._cutoff))
        if self.plan is None:
            return self.result(Status.INFEASIBLE, "No plan meets every demand within the limits.")
        if self.gap > self.wanted:
            return self.result(Status.FEASIBLE, "The tolerances of HiGHS leave this gap.")
        return self.result(Status.OPTIMAL, f"No plan costs less by more than {self.wanted:g} of the cost.")

    @property
    def _cutoff(self) -> float:
        """Objective [scaled] that a plan must stay below to be of interest: it closes a part of the gap."""
        return self.cost / self.scale * (1 - 0.5 * self.wanted)

    def _solve(self, region: _Region, time_limit: float) -> tuple[highs.SolverRun, list[str]]:
        """One mixed-integer problem: raises the region's bound, offers its plan, adds tangents there.

        Returns the rules that its plan breaks where nothing can be added to mend that.
        """
        self.model.set_bounds(self.columns.sites, region.lower, region.upper)
        cutoff = self._cutoff
        run = self.model.solve(cutoff=cutoff, gap=0.3 * self.wanted, time_limit=time_limit, heuristics=True)
        self.rounds += 1
        self.nodes += run.nodes
        if run.outcome is highs.Outcome.INFEASIBLE:
            region.bound = cutoff
            return run, []
        if math.isfinite(run.bound):
            region.bound = max(region.bound, run.bound)
        if run.values is None:
            return run, []
        known = self.cost
        faults = self.offer(self.columns.plan(run.values))
        added = self.squares.at_values(run.values) if self.adaptive else 0
        stuck = (
            run.outcome is highs.Outcome.OPTIMAL and not added and region.bound < self._cutoff and self.cost >= known
        )
        return run, (faults or ["its exact cost is above the model's"]) if stuck else []

    def _branch_on_sites(self, limit: float) -> list[_Region]:
        """Regions of site decisions that hold every plan below the cutoff, each with its bound; best first.

        Substations are few and dear, and the relaxation builds fractions of them: branching on them first, with cuts
        and tangents in every region, raises the bound more than anything else. A region is left alone when its sites
        are decided, and all are when there are many or a part of the time is gone.
        """
        n = len(self.columns.sites)
        todo, decided = [_Region(0.0, 0, np.zeros(n), np.ones(n))], []
        count = 0
        while todo:
            region = heapq.heappop(todo)
            if count >= _MOST_REGIONS or self.watch.elapsed > _SITES_SHARE * limit or self.gap <= self.wanted:
                decided.append(region)
                continue
            values = self._tighten(region, limit)
            if region.bound >= self._cutoff:
                continue
            shares = np.full(n, 0.5) if values is None else values[self.columns.sites]
            open_ = np.flatnonzero((region.lower < region.upper) & (np.abs(shares - np.round(shares)) > _INTEGRAL))
            if values is None or not len(open_):
                decided.append(region)
            else:
                k = int(open_[np.argmin(np.abs(shares[open_] - 0.5))])
                for side in (0.0, 1.0):
                    count += 1
                    lower, upper = region.lower.copy(), region.upper.copy()
                    lower[k] = upper[k] = side
                    heapq.heappush(todo, _Region(region.bound, count, lower, upper))
            self._raise_bound(min([r.bound for r in (*todo, *decided)], default=self._cutoff))
        heapq.heapify(decided)
        self._raise_bound(min([r.bound for r in decided], default=self._cutoff))
        return decided

    def offer(self, plan: ExpansionPlan | None) -> list[str]:
        """Take a plan that keeps every rule and is cheaper than the best so far; returns the rules it breaks."""
        if plan is None:
            return []
        faults = check_plan(self.problem, plan)
        if not faults and (cost := plan_cost(self.problem, plan).total) < self.cost:
            self.plan, self.cost = plan, cost
        return faults

    def _raise_bound(self, value: float) -> None:
        """A bound of the model [scaled] is a bound of the cost, less a margin for rounding."""
        if math.isfinite(value):
            self.bound = max(self.bound, (value - ROUNDING * abs(value)) * self.scale)

    def _tighten(self, region: _Region, limit: float) -> np.ndarray | None:
        """Rounds of tangents and supply cuts on the relaxation in a region, while they raise its bound.

        Returns the last solution; None where a limit stopped it. All rows are valid everywhere.
        """
        self.model.set_bounds(self.columns.sites, region.lower, region.upper)
        history: list[float] = []
        while self.watch.elapsed < limit:
            run = self.model.solve_relaxation(limit - self.watch.elapsed)
            if run.outcome is highs.Outcome.INFEASIBLE:
                region.bound = math.inf
                return None
            if run.outcome is not highs.Outcome.OPTIMAL or run.values is None:
                return None
            region.bound = max(region.bound, run.bound)
            history.append(run.bound)
            added = self.cuts.at_values(run.values) + (self.squares.at_values(run.values) if self.adaptive else 0)
            slow = len(history) > _ROOT_PATIENCE and run.bound - history[-_ROOT_PATIENCE] <= _ROOT_PROGRESS * run.bound
            if not added or slow or run.bound >= self._cutoff:
                return run.values
        return None

    def _why(self, faults: list[str]) -> str:
        if self.plan is None:
            return "The plan of the model breaks a rule: " + "; ".join(faults[:3])
        if self.options.treatment is not Treatment.QUADRATIC:
            return (
                f"The treatment {self.options.treatment.value!r} leaves this gap between the model and the exact cost."
            )
        return "The tolerances of HiGHS leave this gap."

    @property
    def _stopped(self) -> Status:
        return Status.NO_SOLUTION if self.plan is None else Status.FEASIBLE

    def result(self, status: Status, message: str) -> ExpansionResult:
        """The result as it stands."""
        variables, integers, rows = self.size
        proven = self.bound > 0 and status is not Status.INFEASIBLE
        return ExpansionResult(
            status=status,
            plan=self.plan,
            costs=None if self.plan is None else plan_cost(self.problem, self.plan),
            dual_bound=min(self.bound, self.cost) if proven else None,
            message=message,
            variables=variables,
            integers=integers,
            constraints=rows,
            tangents=self.squares.count,
            rounds=self.rounds,
            nodes=self.nodes,
            engine_version=f"HiGHS {highs.VERSION}",
        )


class _Columns:
    """Where the decisions lie in a solution."""

    def __init__(self, problem: ExpansionProblem, m: Any, model: highs.CompiledModel) -> None:
        self.problem = problem
        stages, links = list(m.stages), list(m.links)
        self.offers = list(m.offers)
        self.options = list(m.options)
        self.delta = [model.columns([m.delta[(*o, t)] for o in self.offers]) for t in stages]
        self.sites = np.concatenate(self.delta)
        self.beta = [model.columns([m.beta[k, t] for k in links]) for t in stages]
        self.power = [model.columns([m.P[k, t] for k in links]) for t in stages]
        single = isinstance(m.y, dict)
        self.y = None if single else [model.columns([m.y[(*o, t)] for o in self.options]) for t in stages]

    def plan(self, values: np.ndarray) -> ExpansionPlan:
        """The plan of a solution: what carries no power is left out, radial flows are computed anew."""
        problem, links = self.problem, self.problem.links
        flows = []
        for t in range(len(problem.stages)):
            power = np.where(self.power[t] >= 0, values[self.power[t]], 0.0)
            least = _NO_FLOW * max(problem.total_mva(t), 1e-9)
            used = np.flatnonzero((values[self.beta[t]] > 0.5) & (power > least))
            found = [
                Flow(t, int(links.route[k]), int(links.tail[k]), int(links.head[k]), float(power[k])) for k in used
            ]
            flows += _exact(problem, t, found)
        sites = self._first([values[c] > 0.5 for c in self.delta])
        substations = tuple(BuiltSubstation(self.offers[k][0], self.offers[k][1], t) for k, t in sorted(sites.items()))
        if self.y is not None:
            built = {self.options[k]: t for k, t in self._first([values[c] > 0.5 for c in self.y]).items()}
        else:
            chosen = np.flatnonzero(values[self.beta[0]] > 0.5)
            carrying = {(flow.route, flow.tail) for flow in flows}
            kept = [k for k in chosen if (int(links.route[k]), int(links.tail[k])) in carrying]
            built = {(int(links.route[k]), int(links.line_type[k])): 0 for k in kept}
        lines = tuple(BuiltLine(e, k, t) for (e, k), t in sorted(built.items()))
        return ExpansionPlan(substations, lines, tuple(flows))

    @staticmethod
    def _first(states: list[np.ndarray]) -> dict[int, int]:
        """First stage in which each thing is built."""
        first: dict[int, int] = {}
        for t, state in enumerate(states):
            for k in np.flatnonzero(state):
                first.setdefault(int(k), t)
        return first


def _exact(problem: ExpansionProblem, stage: int, flows: list[Flow]) -> list[Flow]:
    """Flows without the rounding of the solver, where every node is fed by one line: sums of the demands beyond."""
    heads = [flow.head for flow in flows]
    if len(set(heads)) < len(heads) or any(head < problem.n_site for head in heads):
        return flows
    onward: dict[int, list[int]] = {}
    for flow in flows:
        onward.setdefault(flow.tail, []).append(flow.head)
    beyond: dict[int, float] = {}
    reached = [i for i in range(problem.n_site) if i in onward]
    for node in reached:  # grows while it is read: tails come before heads
        reached += onward.get(node, [])
    for node in reversed(reached):
        beyond[node] = problem.demand(stage, node) + sum(beyond[head] for head in onward.get(node, []))
    return [replace(flow, mva=beyond[flow.head]) for flow in flows if flow.head in beyond]
