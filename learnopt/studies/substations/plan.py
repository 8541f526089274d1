"""A plan of substations and lines, what it costs, and the result of a planning run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from learnopt.network import Evaluation, Floats, Status
from learnopt.network.expansion import ExpansionProblem


@dataclass(frozen=True)
class BuiltSubstation:
    """A substation: indices of its site and size, and of the stage that builds it."""

    site: int
    size: int
    stage: int


@dataclass(frozen=True)
class BuiltLine:
    """A line: indices of its route and line type, and of the stage that builds it."""

    route: int
    line_type: int
    stage: int


@dataclass(frozen=True)
class Flow:
    """Power over a line in a stage [MVA], from the node ``tail`` to the node ``head``."""

    stage: int
    route: int
    tail: int
    head: int
    mva: float


@dataclass(frozen=True)
class ExpansionPlan:
    """What is built, and the power over it in every stage; lines without flow are reserves."""

    substations: tuple[BuiltSubstation, ...]
    lines: tuple[BuiltLine, ...]
    flows: tuple[Flow, ...]

    @cached_property
    def type_of_route(self) -> dict[int, int]:
        """Line type of every route that is built."""
        return {line.route: line.line_type for line in self.lines}

    def at_stage(self, stage: int) -> tuple[Flow, ...]:
        """The flows of a stage."""
        return tuple(flow for flow in self.flows if flow.stage == stage)

    def delivered_mva(self, problem: ExpansionProblem, stage: int) -> Floats:
        """Power that each site delivers [MVA], shape (n_site,): what leaves it less what is transferred to it."""
        power = np.zeros(problem.n_node)
        for flow in self.at_stage(stage):
            power[flow.tail] += flow.mva
            power[flow.head] -= flow.mva
        return power[: problem.n_site]

    def is_radial(self) -> bool:
        """Every node is fed by at most one line in every stage, and no substation is."""
        heads = [(flow.stage, flow.head) for flow in self.flows]
        sites = {s.site for s in self.substations}
        return len(set(heads)) == len(heads) and not any(flow.head in sites for flow in self.flows)

    def sources(self, problem: ExpansionProblem, stage: int) -> dict[int, dict[int, float]]:
        """Which substation feeds each demand: node -> site -> MVA.

        Where lines from several substations meet, each unit that leaves the node is the same mixture (proportional
        sharing, Bialek 1996); in a radial plan every demand has one substation.
        """
        flows = self.at_stage(stage)
        delivered = self.delivered_mva(problem, stage)
        mixture: dict[int, dict[int, float]] = {}

        def share(node: int) -> dict[int, float]:
            if node not in mixture:
                mixture[node] = {}  # a circulation would come back here; it carries nothing new
                arriving = [(flow.mva, share(flow.tail)) for flow in flows if flow.head == node]
                if node < problem.n_site and delivered[node] > 0:
                    arriving.append((float(delivered[node]), {node: 1.0}))
                total = sum(mva for mva, _ in arriving)
                parts: dict[int, float] = {}
                for mva, origin in arriving:
                    for site, part in origin.items():
                        parts[site] = parts.get(site, 0.0) + part * mva / total
                mixture[node] = parts
            return mixture[node]

        nodes = [j for j in range(problem.n_site, problem.n_node) if problem.demand(stage, j) > 0]
        return {j: {site: part * problem.demand(stage, j) for site, part in share(j).items()} for j in nodes}


@dataclass(frozen=True)
class CostSplit:
    """Where the money goes, present worth [currency]; eq. (1) term by term."""

    substation_fixed: float
    substation_variable: float
    feeder_fixed: float
    feeder_variable: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.substation_fixed + self.substation_variable + self.feeder_fixed + self.feeder_variable


def plan_cost(problem: ExpansionProblem, plan: ExpansionPlan) -> CostSplit:
    """Cost of a plan by eq. (1), quadratic costs exact; computed from the plan, without the model."""
    stages, substation_variable, feeder_variable = problem.stages, 0.0, 0.0
    for t, stage in enumerate(stages):
        delivered = plan.delivered_mva(problem, t)
        for s in plan.substations:
            if s.stage <= t:
                cost = problem.sizes[s.size].yearly_cost(float(delivered[s.site]))
                substation_variable += stage.variable_factor * cost
        for flow in plan.at_stage(t):
            line = problem.line_types[plan.type_of_route[flow.route]]
            km = problem.routes[flow.route].length_km
            feeder_variable += stage.variable_factor * km * line.yearly_cost(flow.mva)
    return CostSplit(
        sum(stages[s.stage].fixed_factor * problem.sizes[s.size].fixed_cost for s in plan.substations),
        substation_variable,
        sum(stages[k.stage].fixed_factor * line_price(problem, k) for k in plan.lines),
        feeder_variable,
    )


def line_price(problem: ExpansionProblem, line: BuiltLine) -> float:
    """Cost of building a line, not discounted [currency]."""
    return problem.line_types[line.line_type].fixed_cost * problem.routes[line.route].length_km


@dataclass(frozen=True)
class StageLoss:
    """Loss of the lines in one stage [MW].

    Parameters
    ----------
    limit_mw
        By eq. (7); ``inf`` without a limit.
    tangent_mw
        By the linear loss of the problem, None without one.
    quadratic_mw
        ``r L S^2 / V^2`` of every line.
    """

    limit_mw: float
    tangent_mw: float | None
    quadratic_mw: float

    @property
    def counted_mw(self) -> float:
        """The loss that the limit is compared with."""
        return self.quadratic_mw if self.tangent_mw is None else self.tangent_mw


def stage_loss(problem: ExpansionProblem, plan: ExpansionPlan, stage: int) -> StageLoss:
    """Loss of a plan in a stage."""
    flows, tangent = plan.at_stage(stage), problem.loss_tangent
    return StageLoss(
        problem.loss_limit_mw(stage),
        None if tangent is None else sum(tangent.fixed_mw + tangent.per_mva * flow.mva for flow in flows),
        sum(problem.line_loss_mw(flow.route, plan.type_of_route[flow.route], flow.mva) for flow in flows),
    )


@dataclass(frozen=True)
class ExpansionResult:
    """Outcome of a planning run, complete even in failure.

    Parameters
    ----------
    status
        As for a reconfiguration: ``optimal`` is proven within the gap asked for.
    costs
        Of the plan, exact.
    dual_bound
        No plan costs less [currency]; None where nothing is proven.
    conflicts
        Why there is no plan: demands and limits that cannot be met.
    variables, integers, constraints
        Size of the model as it was first solved, tangents left out.
    tangents, rounds, nodes
        Tangents added, mixed-integer problems solved, and branch-and-bound nodes.
    evaluations
        AC power flow of each stage by the independent judge; None where the plan is not radial.
    """

    status: Status
    plan: ExpansionPlan | None = None
    costs: CostSplit | None = None
    dual_bound: float | None = None
    message: str = ""
    conflicts: tuple[str, ...] = ()
    variables: int = 0
    integers: int = 0
    constraints: int = 0
    tangents: int = 0
    rounds: int = 0
    nodes: int = 0
    solve_time_s: float = 0.0
    engine_version: str = ""
    evaluations: tuple[Evaluation | None, ...] = field(default=())

    def __repr__(self) -> str:
        cost = "no plan" if self.costs is None else f"cost {self.costs.total:,.6g}"
        return f"ExpansionResult({self.status.value}: {cost})"

    @property
    def gap(self) -> float | None:
        """(cost - bound) / cost."""
        if self.costs is None or self.dual_bound is None:
            return None
        return max(0.0, self.costs.total - self.dual_bound) / max(abs(self.costs.total), 1e-12)

    @property
    def total_cost(self) -> float:
        """Cost of the plan; NaN without one."""
        return math.nan if self.costs is None else self.costs.total
