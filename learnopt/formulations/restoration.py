r"""Partial service as a spanning tree: DistFlow with an edge "not served" from a virtual root to every zone.

A zone is what no switch can part. The network gets one more source, of ideal voltage, with a branch of no impedance to
every zone: what hangs on it is not served. Every state of a partial service is then radial in the extended network, and
all rows of :mod:`learnopt.formulations.distflow` hold for it as they stand. With :math:`d_z` the arc that feeds zone z
from the virtual root,

.. math::

    \min\ & \textstyle\sum_z W_z d_z & \text{load not served} \\
    \min\ & \textstyle\sum_e o_e,\quad o_e \ge 1 - s_e - d_{z(i)},\ 1 - s_e - d_{z(j)} & \text{operations} \\
    \min\ & \textstyle\sum_a r_a \ell_a - \sum_z L_z d_z & \text{loss} \\
    & b_a + d_{z(i)} \le 1 \quad \text{for arcs } a = (i \to j) \text{ between zones} \\
    & P_a = P_z d_z, \quad Q_a = Q_z d_z \quad \text{on the edge } a \text{ of zone } z

one after the other, each under the values reached before. An arc between zones is used only from a zone with supply, so
that a zone without supply hangs on its own edge, and on nothing else; a closed switch :math:`e` between two such zones
is left alone (:math:`s_e` is the sum of its arcs; for one normally open :math:`o_e = s_e`). :math:`L_z` is what a zone
loses on its edge, which is no loss of the plan. What a zone draws there, :math:`P_z + j Q_z`, is known, since all of it
is fixed: so an edge used by a share serves that share of its own zone, and nothing beyond.

Tangents of the current cone are valid for every state, so bounds are bounds of the AC problem where the constants are
proven, as they are for the model without the edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from learnopt.formulations.distflow import (
    constraint_branch_state,
    constraint_directed_balance,
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
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.distflow_limits import constraint_current_limit, constraint_substation_rating
from learnopt.formulations.distflow_terms import closed, loss_expression
from learnopt.network import Floats, Ints

ROUNDING = 1e-4
"""Relative room around what a power flow says of a zone on its edge: above tolerances of solvers."""


class Aim(Enum):
    """What is minimised."""

    LOAD = "load not served"
    OPERATIONS = "operations"
    LOSS = "loss"


@dataclass(frozen=True, eq=False)
class Service:
    """Zones of an extended network, and what is asked of their supply.

    Parameters
    ----------
    zone
        Zone of each bus, shape (n_bus,); -1 where it always has supply, and for the virtual root.
    edge
        Branch from the virtual root to each zone, shape (n_zone,).
    value_kw
        What serving each zone is worth [kW], shape (n_zone,).
    idle_kw
        Loss inside each zone on its edge [kW], shape (n_zone,).
    drawn
        Power that each zone draws on its edge [pu], complex, shape (n_zone,).
    aim
        What is minimised.
    most_unserved_kw
        Most value that may be left without supply [kW].
    most_operations
        Most operations.
    """

    zone: Ints
    edge: Ints
    value_kw: Floats
    idle_kw: Floats
    drawn: NDArray[np.complex128]
    aim: Aim
    most_unserved_kw: float = float("inf")
    most_operations: int | None = None


def build_restoration(data: DistFlowData, service: Service) -> pyo.ConcreteModel:
    """Partial service: variables, objective, constraints; the tangents are added by the engine."""
    model = pyo.ConcreteModel(name=data.problem.network.name)
    define_sets(model, data)

    variable_arc_closed(model)
    variable_arc_power(model, data)
    variable_arc_current_sqr(model, data)
    variable_bus_voltage_sqr(model, data)
    variable_arc_voltage_sqr(model, data)
    variable_controls(model, data)
    expression_zone_dark(model, data, service)

    constraint_single_parent(model)
    constraint_branch_state(model, data)
    constraint_no_orphans(model, data)
    constraint_power_balance(model, data)
    with_edges, model.into = model.into, into_without_edges(model, service)
    constraint_directed_balance(model, data)
    model.into = with_edges
    constraint_voltage_drop(model, data)
    constraint_voltage_on_off(model, data)
    constraint_power_on_off(model, data)
    constraint_current_limit(model, data)
    constraint_substation_rating(model, data)
    constraint_supply_from_supply(model, data, service)
    constraint_edge_power(model, service)
    constraint_unserved(model, service)
    constraint_operations(model, data, service)

    objective_restoration(model, data, service)
    return model


def expression_zone_dark(model: Any, data: DistFlowData, service: Service) -> None:
    r"""d_z: the zone hangs on its edge to the virtual root; 0 for what always has supply."""
    arc_of = {int(data.arcs.branch[a]): a for a in range(len(data.arcs))}
    model.edge_arc = {z: arc_of[int(e)] for z, e in enumerate(service.edge)}
    model.dark = {z: closed(model, a) for z, a in model.edge_arc.items()}
    model.dark[-1] = 0.0


def into_without_edges(model: Any, service: Service) -> dict[int, list[int]]:
    """Arcs into each bus, less the edge of a zone of one bus: nothing leaves a bus that hangs on its edge."""
    alone = np.bincount(service.zone[service.zone >= 0], minlength=len(service.edge)) == 1
    edges = {a for z, a in model.edge_arc.items() if alone[z]}
    return {bus: [a for a in arcs if a not in edges] for bus, arcs in model.into.items()}


def constraint_supply_from_supply(model: Any, data: DistFlowData, service: Service) -> None:
    r"""b_a + d_z <= 1 for every arc from zone z into another: only a zone with supply feeds others."""
    arcs, zone = data.arcs, service.zone
    edges = set(service.edge.tolist())
    model.supply_from_supply = pyo.ConstraintList()
    for a in model.arcs:
        here, there = int(zone[arcs.tail[a]]), int(zone[arcs.head[a]])
        if int(arcs.branch[a]) not in edges and here != there and here >= 0:
            model.supply_from_supply.add(closed(model, a) + model.dark[here] <= 1)


def constraint_edge_power(model: Any, service: Service) -> None:
    r"""P_a = P_z d_z and Q_a = Q_z d_z on the edge of a zone, but for rounding."""
    model.edge_power = pyo.ConstraintList()
    for z, a in model.edge_arc.items():
        drawn = complex(service.drawn[z])
        room = ROUNDING * abs(drawn)
        for flow, value in ((model.P[a], drawn.real), (model.Q[a], drawn.imag)):
            model.edge_power.add(flow <= (value + room) * model.dark[z])
            model.edge_power.add(flow >= (value - room) * model.dark[z])


def unserved_expression(model: Any, service: Service) -> Any:
    """Value of the zones without supply [kW]."""
    return sum(float(value) * model.dark[z] for z, value in enumerate(service.value_kw) if value > 0) + 0.0


def constraint_unserved(model: Any, service: Service) -> None:
    r"""Sum W_z d_z is at most what was reached."""
    if np.isfinite(service.most_unserved_kw):
        model.unserved = pyo.Constraint(expr=(None, unserved_expression(model, service), service.most_unserved_kw))


def constraint_operations(model: Any, data: DistFlowData, service: Service) -> None:
    r"""Operations, of which a normally closed switch needs none where it is closed or parts two dark zones."""
    problem, arcs, zone = data.problem, data.arcs, service.zone
    net = problem.network
    if service.aim is not Aim.OPERATIONS and service.most_operations is None:
        return
    state: dict[int, Any] = {}
    for a in model.arcs:
        e = int(arcs.branch[a])
        state[e] = state.get(e, 0.0) + closed(model, a)
    skipped = set(service.edge.tolist()) | set(np.flatnonzero(problem.out_of_service).tolist())
    counted = [e for e in range(net.n_branch) if e not in skipped]
    opening = [e for e in counted if not net.normally_open[e]]
    model.opening = pyo.Var(opening, bounds=(0.0, 1.0))
    model.opened = pyo.ConstraintList()
    for e in opening:
        for end in (net.from_bus[e], net.to_bus[e]):
            model.opened.add(model.opening[e] >= 1 - state.get(e, 0.0) - model.dark[int(zone[end])])
    model.operations = sum(model.opening[e] for e in opening) + sum(
        state.get(e, 0.0) for e in counted if net.normally_open[e]
    )
    if service.most_operations is not None:
        model.operations_cap = pyo.Constraint(expr=(None, model.operations, service.most_operations))


def objective_restoration(model: Any, data: DistFlowData, service: Service) -> None:
    r"""Load not served [kW], operations, or loss [kW]."""
    if service.aim is Aim.LOAD:
        expression = unserved_expression(model, service)
    elif service.aim is Aim.OPERATIONS:
        expression = model.operations
    else:
        idle = sum(float(kw) * model.dark[z] for z, kw in enumerate(service.idle_kw) if kw > 0)
        expression = loss_expression(model, data) - idle
    model.objective = pyo.Objective(expr=expression, sense=pyo.minimize)
