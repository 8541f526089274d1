r"""The model that users of Pyomo take away: AC reconfiguration as it is, not a relaxation of it.

The rows of :mod:`learnopt.formulations.distflow` and, for every arc a = (i -> j) that is a decision,

.. math::

    P_a^2 + Q_a^2 = \ell_a w_a, \qquad \ell_a \le \bar\ell_a b_a, \qquad w_a \ge v_i - \bar v_i (1 - b_a)

so that what is in use obeys the power flow equations and what is not carries nothing; ratings of substations as the
circles they are; the loss at most a stated one, since the constants are proven for no more. Then its feasible points
are the AC states of the radial configurations within the limits, up to the tolerance of limits. Replacing the first
equation by :math:`\le` makes it the convex relaxation (Farivar & Low 2013, doi:10.1109/TPWRS.2013.2255317).

What a user finds in it: ``closed[id]`` (binary, of every branch that is a decision, by its id), ``objective`` [kW], the
variables of the arcs, ``arc[a]`` = (id of its branch, id of the feeding bus, id of the fed bus), and ``bus[k]``, the id
of each bus. ``reconfiguration`` is the record it was made from (:class:`Reconfiguration`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo

from learnopt.formulations.bounds import orphan_candidates
from learnopt.formulations.distflow import build_reconfiguration
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.distflow_terms import loss_expression, sending_voltage_sqr, substation_power
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.physics import PowerFlow, power_flow
from learnopt.physics.judge import LIMIT_TOLERANCE


@dataclass(frozen=True, eq=False)
class Reconfiguration:
    """What an exported model was made from.

    Parameters
    ----------
    problem
        One load situation, no controls.
    loss_at_most_kw
        The model holds the states that lose no more [kW].
    """

    problem: ReconfigurationProblem
    loss_at_most_kw: float

    @property
    def data(self) -> DistFlowData:
        """The numbers of the model."""
        return DistFlowData.of(self.problem, self.loss_at_most_kw / self.problem.network.base.kw)


def build_exported(record: Reconfiguration, data: DistFlowData | None = None) -> pyo.ConcreteModel:
    """The model of a record.

    Parameters
    ----------
    data
        Its numbers, where they are at hand.
    """
    data = data or record.data
    model = build_reconfiguration(data)
    model.reconfiguration = record
    name_indices(model, data)
    variable_branch_closed(model, data)
    constraint_branch_closed(model, data)
    constraint_current_equation(model, data)
    constraint_current_on_off(model, data)
    constraint_voltage_in_use(model, data)
    constraint_substation_circle(model, data)
    constraint_loss_at_most(model, data, record.loss_at_most_kw)
    return model


def name_indices(model: Any, data: DistFlowData) -> None:
    """Ids of what the numbers stand for."""
    net, arcs = data.problem.network, data.arcs
    model.bus = dict(enumerate(net.bus_ids))
    model.arc = {
        a: (net.branch_ids[arcs.branch[a]], net.bus_ids[arcs.tail[a]], net.bus_ids[arcs.head[a]]) for a in model.arcs
    }


def variable_branch_closed(model: Any, data: DistFlowData) -> None:
    """Closed or open, of every branch that is a decision."""
    ids, branch = data.problem.network.branch_ids, data.arcs.branch
    model.deciding = pyo.Set(initialize=list(dict.fromkeys(ids[branch[a]] for a in model.choice)), ordered=True)
    model.closed = pyo.Var(model.deciding, domain=pyo.Binary)


def constraint_branch_closed(model: Any, data: DistFlowData) -> None:
    """A branch is closed where one of its arcs is in use."""
    ids, branch = data.problem.network.branch_ids, data.arcs.branch
    arcs_of: dict[Any, list[int]] = {}
    for a in model.choice:
        arcs_of.setdefault(ids[branch[a]], []).append(a)
    model.branch_closed = pyo.Constraint(
        model.deciding, rule=lambda _, e: model.closed[e] == sum(model.b[a] for a in arcs_of[e])
    )


def constraint_current_equation(model: Any, data: DistFlowData) -> None:
    r"""P_a^2 + Q_a^2 = l_a w_a: current, power and voltage where an arc begins."""
    model.current_equation = pyo.Constraint(
        model.arcs,
        rule=lambda _, a: model.P[a] ** 2 + model.Q[a] ** 2 == model.ell[a] * sending_voltage_sqr(model, data, a),
    )


def constraint_current_on_off(model: Any, data: DistFlowData) -> None:
    r"""l_a = 0 unless b_a = 1: w_a is 0 then, and the equation of the current says nothing."""
    model.current_on_off = pyo.Constraint(
        model.choice, rule=lambda _, a: model.ell[a] <= float(data.bounds.ell_max[a]) * model.b[a]
    )


def constraint_voltage_in_use(model: Any, data: DistFlowData) -> None:
    r"""w_a >= v_i where b_a = 1; with the rows of the relaxation it is v_i."""
    tail, w_max = data.arcs.tail, data.bounds.w_max

    def rule(_: Any, a: int) -> Any:
        i = int(tail[a])
        return model.w[a] >= model.v[i] - float(w_max[i]) * (1 - model.b[a])

    model.voltage_in_use = pyo.Constraint(model.choice, rule=rule)


def constraint_substation_circle(model: Any, data: DistFlowData) -> None:
    r"""Apparent power drawn at a substation: at least s_min, at most s_max."""
    problem = data.problem
    model.substation_circle = pyo.ConstraintList()
    for s, (low, high) in enumerate(zip(problem.s_min, problem.s_max, strict=True)):
        if low == 0 and not math.isfinite(high):
            continue
        active, reactive = substation_power(model, data, s)
        if isinstance(active, float) and isinstance(reactive, float):  # a substation that feeds nobody else
            continue
        if math.isfinite(high):
            model.substation_circle.add(active**2 + reactive**2 <= (float(high) * (1 + LIMIT_TOLERANCE)) ** 2)
        if low > 0:
            model.substation_circle.add(active**2 + reactive**2 >= (float(low) / (1 + LIMIT_TOLERANCE)) ** 2)


def constraint_loss_at_most(model: Any, data: DistFlowData, most_kw: float) -> None:
    """What the constants are proven for."""
    loss = loss_expression(model, data)
    if math.isfinite(most_kw) and not isinstance(loss, float):
        model.loss_at_most = pyo.Constraint(expr=loss <= most_kw)


def load_state(model: Any, data: DistFlowData, configuration: Configuration) -> PowerFlow:
    """Give the variables of an exported model the values of the AC state of a configuration; they may break its rows.

    Returns
    -------
    The power flow; where it has not converged no value is set.
    """
    flow, arcs, net = power_flow(data.problem, configuration), data.arcs, data.problem.network
    if not flow.converged:
        return flow
    used = (flow.feed[arcs.head] == arcs.branch) & (flow.parent[arcs.head] == arcs.tail)
    current = np.where(used, flow.current[arcs.head], 0.0)
    power = flow.v[arcs.tail] * np.sqrt(arcs.sending_scale) * np.conj(current)
    voltage = np.abs(flow.v) ** 2
    drawing = orphan_candidates(data.problem).astype(float)
    for bus in flow.order[::-1]:
        if flow.parent[bus] >= 0:
            drawing[flow.parent[bus]] += drawing[bus]

    def give(variable: Any, value: Any) -> None:
        if not variable.fixed:
            variable.set_value(float(value), skip_validation=True)

    for a in model.arcs:
        give(model.P[a], power[a].real)
        give(model.Q[a], power[a].imag)
        give(model.ell[a], abs(current[a]) ** 2)
        if a in model.choice:
            give(model.b[a], used[a])
            give(model.w_arc[a], voltage[arcs.tail[a]] if used[a] else 0.0)
        if model.component("commodity") is not None:
            give(model.commodity[a], drawing[arcs.head[a]] if used[a] else 0.0)
    for bus in model.buses:
        give(model.v_bus[bus], voltage[bus])
    states = dict(zip(net.branch_ids, configuration.closed, strict=True))
    for branch in model.deciding:
        give(model.closed[branch], states[branch])
    return flow


def violated(model: Any, tolerance: float) -> list[str]:
    """Names of the rows and bounds of variables that the values of a model break by more than a tolerance.

    It is relative to the size of the row where that is above 1.
    """
    found = []
    for row in model.component_data_objects(pyo.Constraint, active=True):
        body = pyo.value(row.body)
        slack = tolerance * (1 + abs(body))
        if (row.lb is not None and body < row.lb - slack) or (row.ub is not None and body > row.ub + slack):
            found.append(row.name)
    for variable in model.component_data_objects(pyo.Var):
        value, low, high = pyo.value(variable), variable.lb, variable.ub
        slack = tolerance * (1 + abs(value))
        if (low is not None and value < low - slack) or (high is not None and value > high + slack):
            found.append(variable.name)
    return found
