"""Least-cost substations, sizes and routes: the expansion model on HiGHS, tangents where costs are quadratic."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from learnopt.engines import highs
from learnopt.engines.base import Stopwatch
from learnopt.errors import DataError
from learnopt.formulations.expansion import build_expansion, cost_scale
from learnopt.network import Status
from learnopt.network.expansion import ExpansionProblem
from learnopt.planning.ac import evaluate_plan
from learnopt.planning.check import check_plan
from learnopt.planning.conflicts import explain_conflicts
from learnopt.planning.plan import BuiltLine, BuiltSubstation, Flow, Plan, PlanResult, plan_cost
from learnopt.planning.squares import PIECES, Squares

ROUNDING = 1e-6
"""Relative margin taken off a bound for the tolerances of the solver."""
_NO_FLOW = 1e-7
"""Power that counts as none, relative to the total demand."""
_STALE_ROUNDS = 3
"""Rounds without a better plan or bound after which tangents are given up."""


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
    """

    gap: float = 1e-4
    time_limit: float | None = None
    treatment: Treatment = Treatment.QUADRATIC

    def __post_init__(self) -> None:
        problems = []
        if not (math.isfinite(self.gap) and self.gap >= 0):
            problems.append(f"gap = {self.gap} must be a finite number >= 0")
        if self.time_limit is not None and not self.time_limit > 0:
            problems.append(f"time_limit = {self.time_limit} must be > 0 [s]")
        if problems:
            raise DataError("options", problems)


def plan_substations(problem: ExpansionProblem, options: PlanOptions | None = None) -> PlanResult:
    """Find the plan of least cost, prove it within a gap, and check it.

    The dual bound holds for every plan that meets the problem, exact quadratic costs and losses included, whatever the
    treatment. Limits reached and infeasibility are statuses; an infeasible problem comes with its conflicts. Ctrl-C
    returns the best plan so far.
    """
    options = options or PlanOptions()
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


class _Search:
    """State of one run: the compiled model, the best plan and the bound."""

    def __init__(self, problem: ExpansionProblem, options: PlanOptions) -> None:
        self.problem, self.options = problem, options
        self.watch = Stopwatch()
        self.scale = cost_scale(problem)
        self.plan: Plan | None = None
        self.cost = math.inf
        self.bound = 0.0  # no cost is negative
        self.rounds = self.nodes = 0
        pyomo_model = build_expansion(problem)
        self.model = highs.CompiledModel(pyomo_model)
        self.size = (self.model.n_columns, self.model.n_integers, self.model.n_rows)
        self.columns = _Columns(problem, pyomo_model, self.model)
        self.squares = Squares(problem, pyomo_model, self.model)

    @property
    def gap(self) -> float:
        return math.inf if self.plan is None else max(0.0, self.cost - self.bound) / max(abs(self.cost), 1e-12)

    def run(self) -> PlanResult:
        """Rounds of mixed-integer problems until the gap is closed; one round where nothing is quadratic."""
        problem, options, squares = self.problem, self.options, self.squares
        limit = math.inf if options.time_limit is None else options.time_limit
        squares.spread(1 if options.treatment is Treatment.TANGENT else PIECES)
        adaptive = options.treatment is Treatment.QUADRATIC and squares.any
        wanted = max(options.gap, 2 * ROUNDING)
        stale = 0
        while True:
            # Only plans that close the gap are of interest, so the rest of it is left to the tangents.
            run = self.model.solve(gap=0.3 * wanted if adaptive else options.gap, time_limit=limit - self.watch.elapsed)
            self.rounds += 1
            self.nodes += run.nodes
            before = (self.cost, self.bound)
            if run.outcome is highs.Outcome.INFEASIBLE:
                if self.plan is None:
                    return self.result(Status.INFEASIBLE, "No plan meets every demand within the limits.")
                return self.result(
                    Status.FEASIBLE, "The model became infeasible by rounding; nothing further is proven."
                )
            if math.isfinite(run.bound):
                self.bound = max(self.bound, (run.bound - ROUNDING * abs(run.bound)) * self.scale)
            faults = ["HiGHS found no plan"]
            if run.values is not None:
                plan = self.columns.plan(run.values)
                faults = check_plan(problem, plan)
                if not faults and (cost := plan_cost(problem, plan).total) < self.cost:
                    self.plan, self.cost = plan, cost
            if run.outcome is highs.Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is highs.Outcome.FAILED:
                return self.result(self._stopped, "HiGHS reported an error; the result is what was known before.")
            if self.gap <= wanted:
                return self.result(Status.OPTIMAL, f"No plan costs less by more than {wanted:g} of the cost.")
            if self.watch.elapsed >= limit or run.outcome is highs.Outcome.LIMIT:
                return self.result(self._stopped, f"Time limit of {limit:g} s reached.")
            stale = stale + 1 if (self.cost, self.bound) == before else 0
            added = squares.at_values(run.values) if adaptive and run.values is not None else 0
            if not added or stale >= _STALE_ROUNDS:
                return self.result(self._stopped, self._why(faults))

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

    def result(self, status: Status, message: str) -> PlanResult:
        """The result as it stands."""
        variables, integers, rows = self.size
        proven = self.rounds > 0 and status is not Status.INFEASIBLE
        return PlanResult(
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
        self.beta = [model.columns([m.beta[k, t] for k in links]) for t in stages]
        self.power = [model.columns([m.P[k, t] for k in links]) for t in stages]
        single = isinstance(m.y, dict)
        self.y = None if single else [model.columns([m.y[(*o, t)] for o in self.options]) for t in stages]

    def plan(self, values: np.ndarray) -> Plan:
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
        return Plan(substations, lines, tuple(flows))

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
