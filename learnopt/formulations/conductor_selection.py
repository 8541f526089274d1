r"""Conductor selection with reconfiguration: directed perspective DistFlow with one arc copy per conductor.

Sets: arcs a = (i -> j, t), a branch seen from the end that feeds it, with conductor t. Everything else is
:mod:`learnopt.formulations.distflow`: at most one copy of a branch is in use, exactly one copy enters a bus, and the
cone is replaced by tangents, so that the dual bound is a lower bound of the annual cost of every admissible plan.

.. math::

    \min\ & c_0 + \sum_a (c_{et} - \underline c_e) b_a + k \sum_a r_a \ell_a, \quad c_0 = \sum_e \underline c_e \\
    & \sum_e \underline c_e + \sum_a (c_{et} - \underline c_e) b_a \le \mathrm{budget} \\
    & \textstyle\sum_{a = (j \to m, t),\, t > \tau} b_a \le \sum_{a \to j,\, t > \tau} b_a
      \qquad \text{(never thicker downstream)}

with :math:`c_{et}` the annuity of branch e with conductor t, :math:`\underline c_e` the least of them (an open branch
gets that one) and k the annual cost of a kW lost.

**Economic limit of a conductor** (:func:`economic_limit`). Let t' be thicker than t (r' < r, x' <= x, ampacity' >=
ampacity). On a feeder with p, q >= 0 and without charging the squared currents l are the least fixed point of a map
that is nondecreasing in l, r and x (docs/methods/ac_bound.md, section 1). Exchanging t for t' on a branch in use
therefore lowers no voltage, raises no current and changes the cost by at most :math:`c' - c - k (r - r') \ell`. So
in an optimal plan :math:`\ell \le (c' - c) / (k (r - r'))`: a current above which t is never right, often far below its
ampacity. It needs all limits to point the same way (no minimum power of a substation, no source above vm_max), and
neither budget nor the rule that conductors never get thicker downstream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyomo.environ as pyo

from learnopt.formulations.arcs import Arcs
from learnopt.formulations.bounds import Bounds, SeriesRange, derive_bounds
from learnopt.formulations.distflow import (
    constraint_branch_state,
    constraint_no_orphans,
    constraint_power_balance,
    constraint_power_on_off,
    constraint_single_parent,
    constraint_voltage_drop,
    constraint_voltage_on_off,
    define_sets,
    variable_arc_closed,
    variable_arc_current_sqr,
    variable_arc_power,
    variable_arc_voltage_sqr,
    variable_bus_voltage_sqr,
    variable_controls,
)
from learnopt.formulations.distflow_data import ArcEquipment, DistFlowData
from learnopt.formulations.distflow_limits import (
    constraint_current_limit,
    constraint_operations_cap,
    constraint_substation_rating,
)
from learnopt.formulations.distflow_terms import closed, loss_expression
from learnopt.network import Bools, Configuration, Floats, Ints
from learnopt.network.conductors import ConductorPlan, ConductorProblem
from learnopt.physics.judge import LIMIT_TOLERANCE

ROUNDING = 1e-7
"""Relative margin of derived limits, for rounding."""
_PASSES = 3
"""Currents exclude conductors and conductors bound currents: times that each is used for the other."""


def economic_limit_reason(problem: ConductorProblem) -> str:
    """Why no economic limit of conductors is proven; empty where it is."""
    feeder, net = problem.feeder, problem.network
    fed = ~net.is_substation
    if (feeder.p[fed] < 0).any() or (feeder.q[fed] < 0).any():
        return "generation or capacitors"
    if feeder.b[feeder.usable].any() or net.g[feeder.usable].any() or net.b_shunt[fed].any() or net.g_shunt[fed].any():
        return "line charging or other shunts"
    if (net.ratio[feeder.usable] != 1).any() or feeder.controls:
        return "transformers or controls"
    if problem.budget is not None or problem.no_thicker_downstream:
        return "a budget or a rule on thickness"
    if (feeder.s_min > 0).any():
        return "a minimum power of a substation"
    if float(net.substation_vm.max()) > float(feeder.vm_max.min()):
        return "a substation above the upper voltage limit"
    return ""


def economic_limit(problem: ConductorProblem) -> Floats:
    """Squared current [pu] above which another conductor is always better, shape (n_branch, n_conductor).

    Infinite where nothing is proven.
    """
    m, n = problem.options.shape
    limit = np.full((m, n), np.inf)
    per_unit = problem.costs.per_kw * problem.network.base.kw
    if economic_limit_reason(problem) or per_unit <= 0:
        return limit
    r, x, i_max, cost = problem.r, problem.x, problem.i_max, problem.investment
    for thick in range(n):
        for thin in range(n):
            better = (
                problem.options[:, thick]
                & (r[:, thick] < r[:, thin])
                & (x[:, thick] <= x[:, thin])
                & (i_max[:, thick] >= i_max[:, thin])
            )
            saving = np.where(better, per_unit * (r[:, thin] - r[:, thick]), 1.0)
            worth = np.maximum(cost[:, thick] - cost[:, thin], 0.0) / saving * (1 + ROUNDING)
            limit[:, thin] = np.where(better, np.minimum(limit[:, thin], worth), limit[:, thin])
    return limit


def current_limit(problem: ConductorProblem) -> Floats:
    """Largest squared current [pu] by ampacity and economic limit, shape (n_branch, n_conductor)."""
    return np.minimum((problem.i_max * (1 + LIMIT_TOLERANCE)) ** 2, economic_limit(problem))


def series_range(problem: ConductorProblem, options: Bools, ell_max: Floats) -> SeriesRange:
    """Impedances that the options leave, shape (n_branch,) each.

    Parameters
    ----------
    options, ell_max
        Conductors that may be in use, and the largest squared current with each, shape (n_branch, n_conductor).
    """
    r, x = problem.r, problem.x
    divisor = np.where(r > 0, r, np.inf)

    def extreme(value: Floats, least: bool = False) -> Floats:
        result = np.where(options, value, np.inf if least else -np.inf)
        result = result.min(axis=1) if least else result.max(axis=1)
        return np.where(options.any(axis=1), result, value[:, 0])

    with np.errstate(invalid="ignore"):
        losing, reacting = np.where(r > 0, r * ell_max, 0.0), np.where(x > 0, x * ell_max, 0.0)
    return SeriesRange(
        r_low=extreme(r, least=True),
        r_high=extreme(r),
        x_high=extreme(x),
        ratio_high=extreme(x / divisor),
        weight_high=extreme((r**2 + x**2) / divisor),
        loss_high=extreme(losing),
        reactive_high=extreme(reacting),
    )


@dataclass(frozen=True)
class ConductorData:
    """The numbers of the model.

    Parameters
    ----------
    problem
        What is to be planned.
    flow
        Arc copies with their equipment and proven constants.
    conductor
        Index into the catalogue of each arc, shape (n_arc,); -1 where the branch has none.
    """

    problem: ConductorProblem
    flow: DistFlowData
    conductor: Ints

    @classmethod
    def of(cls, problem: ConductorProblem, cost_cutoff: float = math.inf) -> ConductorData:
        """Data for all plans with an annual cost of at most ``cost_cutoff`` [currency]."""
        per_unit = problem.costs.per_kw * problem.network.base.kw
        floor = float(problem.least_investment.sum())
        loss_cutoff = (cost_cutoff - floor) / per_unit if per_unit > 0 else math.inf
        limit = np.where(problem.options, current_limit(problem), -np.inf)
        rating = np.sqrt(np.maximum(limit.max(axis=1), 0.0))
        feeder = problem.feeder.replace(
            network=replace(problem.network, i_max=rating), limits=replace(problem.feeder.limits, ampacity=True)
        )
        arcs = Arcs.of(feeder)
        possible = problem.options[arcs.branch]
        for _ in range(_PASSES):
            options = np.zeros_like(problem.options)
            np.logical_or.at(options, arcs.branch, possible)
            bounds = derive_bounds(feeder, arcs, loss_cutoff, series_range(problem, options, limit))
            possible &= limit[arcs.branch] >= _least_current_sqr(bounds, arcs)[:, None]
        origin, pick = np.nonzero(possible)
        single = possible.sum(axis=1)[origin] == 1
        e = arcs.branch[origin]
        copies = arcs.copies(origin, arcs.fixed[origin] & single)
        flow = DistFlowData(
            feeder,
            copies,
            _bounds_of_copies(bounds, origin, copies, limit[e, pick]),
            ArcEquipment(problem.r[e, pick], problem.x[e, pick], problem.i_max[e, pick]),
        )
        return cls(problem, flow, np.where(problem.routed[e], pick, -1))

    @cached_property
    def premium(self) -> Floats:
        """Annual investment of each arc above the cheapest conductor of its branch [currency], shape (n_arc,)."""
        e = self.flow.arcs.branch
        return self.problem.premium[e, np.maximum(self.conductor, 0)]

    @cached_property
    def feeding(self) -> list[list[int]]:
        """Arcs of each branch and direction, copies of one another; only those that are a decision."""
        return self._grouped(self.flow.arcs.tail)

    @cached_property
    def state(self) -> list[list[int]]:
        """Arcs of each branch, both directions; only those that are a decision."""
        return self._grouped(np.zeros(len(self.flow.arcs), dtype=np.int64))

    def _grouped(self, key: Ints) -> list[list[int]]:
        groups: dict[tuple[int, int], list[int]] = {}
        for a in np.flatnonzero(~self.flow.arcs.fixed).tolist():
            groups.setdefault((int(self.flow.arcs.branch[a]), int(key[a])), []).append(a)
        return list(groups.values())

    def plan(self, used: Ints) -> ConductorPlan:
        """The plan in which these arcs are in use; open branches get the cheapest conductor."""
        problem, e = self.problem, self.flow.arcs.branch[used]
        conductor = cheapest(problem)
        conductor[e] = self.conductor[used]
        states = np.zeros(problem.network.n_branch, dtype=bool)
        states[e] = True
        return ConductorPlan(Configuration(states), conductor)


def cheapest(problem: ConductorProblem) -> Ints:
    """The cheapest allowed conductor of each branch, -1 where it has none, shape (n_branch,)."""
    best = np.where(problem.options, problem.investment, np.inf).argmin(axis=1)
    return np.where(problem.routed, best, -1)


def _least_current_sqr(bounds: Bounds, arcs: Arcs) -> Floats:
    """Squared current that an arc in use carries at least [pu], shape (n_arc,)."""
    p = np.maximum(np.maximum(bounds.p_min, -bounds.p_max), 0.0)
    q = np.maximum(np.maximum(bounds.q_min, -bounds.q_max), 0.0)
    return (p**2 + q**2) / (bounds.w_max[arcs.tail] * arcs.sending_scale) * (1 - ROUNDING)


def _bounds_of_copies(bounds: Bounds, origin: Ints, copies: Arcs, limit: Floats) -> Bounds:
    """Bounds of the copies of arcs, narrowed by the largest squared current of their conductors."""
    ell_max = np.minimum(bounds.ell_max[origin], limit)
    power = np.sqrt(bounds.w_max[copies.tail] * copies.sending_scale * ell_max)
    return replace(
        bounds,
        p_min=np.maximum(bounds.p_min[origin], -power),
        p_max=np.minimum(bounds.p_max[origin], power),
        q_min=np.maximum(bounds.q_min[origin], -power),
        q_max=np.minimum(bounds.q_max[origin], power),
        ell_max=ell_max,
    )


def build_conductor_selection(data: ConductorData) -> pyo.ConcreteModel:
    """Conductor selection and reconfiguration: variables, objective, constraints.

    The tangents of the current cone are not in it: the engine adds them where they are violated.
    """
    model = pyo.ConcreteModel(name=data.problem.network.name)
    define_sets(model, data.flow)

    variable_arc_closed(model)
    variable_arc_power(model, data.flow)
    variable_arc_current_sqr(model, data.flow)
    variable_bus_voltage_sqr(model, data.flow)
    variable_arc_voltage_sqr(model, data.flow)
    variable_controls(model, data.flow)

    objective_annual_cost(model, data)

    constraint_single_parent(model)
    constraint_branch_state(model, data.flow)
    constraint_feeding_and_state(model, data)
    constraint_no_orphans(model, data.flow)
    constraint_power_balance(model, data.flow)
    constraint_voltage_drop(model, data.flow)
    constraint_voltage_on_off(model, data.flow)
    constraint_power_on_off(model, data.flow)
    constraint_current_limit(model, data.flow)
    constraint_substation_rating(model, data.flow)
    constraint_operations_cap(model, data.flow)
    constraint_budget(model, data)
    constraint_no_thicker_downstream(model, data)
    return model


def constraint_feeding_and_state(model: Any, data: ConductorData) -> None:
    r"""f_g = sum of b over the copies of one branch and direction, z_e = sum of b over all copies of a branch.

    They follow from b and exist to be branched on: conductors of a known configuration hardly need it.
    """
    feeding, state = data.feeding, data.state
    model.f = pyo.Var(range(len(feeding)), bounds=(0.0, 1.0))
    model.z = pyo.Var(range(len(state)), bounds=(0.0, 1.0))
    model.feeding = pyo.Constraint(range(len(feeding)), rule=lambda m, g: m.f[g] == sum(m.b[a] for a in feeding[g]))
    model.state = pyo.Constraint(range(len(state)), rule=lambda m, e: m.z[e] == sum(m.b[a] for a in state[e]))


def investment_expression(model: Any, data: ConductorData) -> Any:
    """Annual investment of all branches, linear in b [currency]."""
    above = sum(data.premium[a] * closed(model, a) for a in model.arcs if data.premium[a] > 0)
    return float(data.problem.least_investment.sum()) + above


def objective_annual_cost(model: Any, data: ConductorData) -> None:
    r"""Annuity of all conductors plus cost of the energy lost [currency/year]."""
    lost = data.problem.costs.per_kw * loss_expression(model, data.flow)
    model.objective = pyo.Objective(expr=investment_expression(model, data) + lost, sense=pyo.minimize)


def constraint_budget(model: Any, data: ConductorData) -> None:
    r"""Annual investment at most the budget."""
    if data.problem.budget is None:
        return
    cost = investment_expression(model, data)
    if isinstance(cost, float):
        model.budget = pyo.Constraint(
            expr=pyo.Constraint.Infeasible if cost > data.problem.budget else pyo.Constraint.Feasible
        )
        return
    model.budget = pyo.Constraint(expr=cost <= data.problem.budget * (1 + ROUNDING))


def constraint_no_thicker_downstream(model: Any, data: ConductorData) -> None:
    r"""An arc out of a bus is thicker than tau only if the arc into the bus is, for every tau; not at substations."""
    model.no_thicker_downstream = pyo.ConstraintList()
    if not data.problem.no_thicker_downstream:
        return
    rank = np.where(data.conductor < 0, len(data.problem.catalogue), data.conductor)
    for bus in model.buses:
        outgoing: dict[int, list[int]] = {}
        for a in model.out_of[bus]:
            if data.conductor[a] >= 0:
                outgoing.setdefault(int(data.flow.arcs.branch[a]), []).append(a)
        for copies in outgoing.values():
            for tau in sorted({int(rank[a]) - 1 for a in copies if rank[a] > 0}):
                thicker = sum(closed(model, a) for a in copies if rank[a] > tau)
                feeding = sum(closed(model, a) for a in model.into[bus] if rank[a] > tau)
                row = thicker <= feeding
                if not isinstance(row, bool):
                    model.no_thicker_downstream.add(row)
                elif not row:
                    model.no_thicker_downstream.add(pyo.Constraint.Infeasible)
