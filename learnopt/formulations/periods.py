r"""Several periods in one model: a copy of DistFlow for each, and what ties their switches and devices.

.. math::

    \min\ & \sum_t h_t\,\mathrm{loss}_t + C \sum_{t,e} d_{te} + C_u \sum_{t,k} u_{tk} \\
    & d_{te} \ge z_{te} - z_{t-1,e}, \quad d_{te} \ge z_{t-1,e} - z_{te} \\
    & \textstyle\sum_{t,e} d_{te} \le K, \quad \sum_e d_{te} \le K_{\mathrm{step}}, \quad \sum_t d_{te} \le K_e \\
    & u_{tk} \ge y_{tks} - y_{t-1,ks} \text{ for every position } s, \qquad
      u_{tk} + u_{t'k} \le 1 \text{ where } 0 < \tau_{t'} - \tau_t < H_k

with :math:`z_{te} = b_a + b_{a'}` the state of a branch, :math:`d` its operation, :math:`y` the positions of a device
(a capacitor bank, a tap changer with positions), :math:`u` its change and :math:`\tau_t` the begin of a period. Neither
d nor u need be integer: at binary z and y their least values are 0 or 1, and every row only asks for small ones. Before
the first period z is known, so that its d is z or 1 - z.

*Tied*, the periods are scenarios of one decision: :math:`z`, positions and generators on or off are the same in all
(here and now), injections and continuous taps are not (recourse). The operations then count once, and the objective may
be the worst case, :math:`\theta \ge \mathrm{loss}_t`.

Every block is a relaxation of the AC problem of its period, the rows between them are exact: a bound of the model is a
bound of every plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo

from learnopt.formulations.distflow import build_reconfiguration
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.distflow_terms import closed, loss_expression
from learnopt.network import Floats, HorizonProblem
from learnopt.network.horizon import SAME


@dataclass(frozen=True)
class PeriodsData:
    """The numbers of the model.

    Parameters
    ----------
    horizon
        Durations (weights of scenarios where tied), costs and rules.
    periods
        Data of each period, shared outages and locks; switches may be fixed differently where not tied.
    tied
        The periods are scenarios of one decision.
    worst
        The objective is the largest loss, not the weighted sum.
    prices
        Price of each closed branch in each period [kWh], shape (n_period, n_branch); None = none.
    """

    horizon: HorizonProblem
    periods: tuple[DistFlowData, ...]
    tied: bool = False
    worst: bool = False
    prices: Floats | None = None


def build_periods(data: PeriodsData) -> pyo.ConcreteModel:
    """The model; its blocks are in the list ``model.period``, without tangents."""
    model = pyo.ConcreteModel(name=data.horizon.network.name)
    model.period = []
    for t, one in enumerate(data.periods):
        block = build_reconfiguration(one)
        block.objective.deactivate()
        model.add_component(f"period_{t}", block)
        model.period.append(block)
    define_states(model, data)
    if data.tied:
        constraint_tied(model, data)
    variable_operations(model, data)
    constraint_operation_caps(model, data)
    variable_device_changes(model, data)
    constraint_rest(model, data)
    objective_energy_and_changes(model, data)
    return model


def define_states(model: Any, data: PeriodsData) -> None:
    """``model.z``: state of every branch in every period, linear in b, or a number where the graph leaves no choice."""
    model.z = []
    for block, one in zip(model.period, data.periods, strict=True):
        state: list[Any] = [0.0] * data.horizon.network.n_branch
        for a, e in enumerate(one.arcs.branch.tolist()):
            state[e] = state[e] + closed(block, a)
        model.z.append(state)


def constraint_tied(model: Any, data: PeriodsData) -> None:
    """Switches, positions and generators on or off are the same in all periods."""
    model.tied = pyo.ConstraintList()
    first = model.period[0]
    for block in model.period[1:]:
        for name in ("b", "capacitor_on", "tap_on", "generator_on"):
            shared, own = getattr(first, name), getattr(block, name)
            for key in own:
                if not own[key].fixed:
                    model.tied.add(own[key] == shared[key])


def variable_operations(model: Any, data: PeriodsData) -> None:
    """d_te: the branch is operated before the period; ``model.moves`` holds it for counted branches.

    Before the first period the state of a branch is known, so that its operation is linear in z, perhaps a number.
    """
    horizon = data.horizon
    before: list[Any] = [float(on) for on in horizon.initial.closed]
    model.operation = pyo.VarList(bounds=(0.0, 1.0))
    model.operated = pyo.ConstraintList()
    model.moves = []
    for t, state in enumerate(model.z):
        moves: dict[int, Any] = {}
        for e in np.flatnonzero(horizon.counted).tolist() if t == 0 or not data.tied else ():
            change = state[e] - before[e]
            if isinstance(change, float):
                moves[e] = abs(change)
                continue
            if t == 0:
                moves[e] = 1.0 - state[e] if horizon.initial.closed[e] else state[e]
                continue
            moves[e] = model.operation.add()
            model.operated.add(moves[e] >= change)
            model.operated.add(moves[e] >= -change)
        model.moves.append(moves)
        before = state


def constraint_operation_caps(model: Any, data: PeriodsData) -> None:
    """Caps on the operations of all periods, of each period, and of each switch."""
    horizon = data.horizon
    model.operation_caps = pyo.ConstraintList()

    def cap(terms: list[Any], most: float) -> None:
        total = sum(terms)
        if not isinstance(total, (int, float)):
            model.operation_caps.add(total <= most)
        elif total > most:
            model.operation_caps.add(pyo.Constraint.Infeasible)

    if horizon.max_operations is not None and not data.tied:  # of one decision every block has the cap
        cap([d for moves in model.moves for d in moves.values()], horizon.max_operations)
    if horizon.max_operations_per_step is not None and not data.tied:
        for moves in model.moves:
            cap(list(moves.values()), horizon.max_operations_per_step)
    if horizon.switch_caps is not None:
        for e in np.flatnonzero(horizon.counted).tolist():
            cap([moves[e] for moves in model.moves if e in moves], float(horizon.switch_caps[e]))


def device_positions(block: Any, data: PeriodsData) -> Iterator[list[tuple[float, Any]]]:
    """Of each device of a period: the values of its positions and the binaries that choose them."""
    controls = data.horizon.controls
    for k, bank in enumerate(controls.capacitors):
        yield [(value, block.capacitor_on[k, s]) for s, value in enumerate(bank.choices)]
    for k in data.horizon.stepped_taps:
        positions = controls.taps[k].positions
        assert positions is not None
        yield [(float(value), block.tap_on[k, s]) for s, value in enumerate(positions)]


def variable_device_changes(model: Any, data: PeriodsData) -> None:
    """u_tk: the device changes before the period; ``model.changes`` holds it where a change counts."""
    horizon = data.horizon
    model.change = pyo.VarList(bounds=(0.0, 1.0))
    model.changed = pyo.ConstraintList()
    model.changes = [{} for _ in model.period]
    if data.tied or not (horizon.control_cost > 0 or (horizon.rest_hours > 0).any()):
        return
    before: list[dict[float, Any]] | None = None
    if horizon.devices is not None:
        before = [{float(value): 1.0} for value in horizon.devices]
    for t, block in enumerate(model.period):
        now = [dict(pairs) for pairs in device_positions(block, data)]
        for k, positions in enumerate(now):
            if before is None:
                continue
            model.changes[t][k] = change = model.change.add()
            for value, chosen in positions.items():
                was = next((b for v, b in before[k].items() if abs(v - value) <= SAME), 0.0)
                model.changed.add(change >= chosen - was)
        before = now


def constraint_rest(model: Any, data: PeriodsData) -> None:
    """Two changes of one device lie at least its rest apart, those before the first period included."""
    horizon, begins = data.horizon, data.horizon.begins
    model.rest = pyo.ConstraintList()
    for k, rest in enumerate(horizon.rest_hours.tolist()):
        mine = [(t, changes[k]) for t, changes in enumerate(model.changes) if k in changes]
        for i, (t, change) in enumerate(mine):
            if horizon.rested is not None and begins[t] + horizon.rested[k] < rest - SAME:
                model.rest.add(change <= 0)
            for later, other in mine[i + 1 :]:
                if begins[later] - begins[t] < rest - SAME:
                    model.rest.add(change + other <= 1)


def objective_energy_and_changes(model: Any, data: PeriodsData) -> None:
    """Energy lost (or the largest loss), operations, changes of devices and prices of closed branches [kWh]."""
    horizon = data.horizon
    losses = [loss_expression(block, one) for block, one in zip(model.period, data.periods, strict=True)]
    if data.worst:
        model.largest_loss = pyo.Var(domain=pyo.NonNegativeReals)
        model.worst = pyo.ConstraintList()
        for loss in losses:
            model.worst.add(model.largest_loss >= loss)
        total: Any = model.largest_loss
    else:
        total = sum(float(h) * loss for h, loss in zip(horizon.hours, losses, strict=True))
    total += horizon.switching_cost * sum(d for moves in model.moves for d in moves.values())
    total += horizon.control_cost * sum(u for changes in model.changes for u in changes.values())
    if data.prices is not None:
        for t, state in enumerate(model.z):
            total += sum(float(data.prices[t, e]) * state[e] for e in np.flatnonzero(data.prices[t]).tolist())
    model.objective = pyo.Objective(expr=total, sense=pyo.minimize)
