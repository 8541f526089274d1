r"""Directed perspective DistFlow: a mixed-integer linear relaxation of minimum-loss reconfiguration.

Read it as the paper would print it. Sets: buses i, substations r, arcs a = (i -> j) of usable branches. Variables:
:math:`b_a` the arc is closed and feeds j; :math:`P_a, Q_a` sending-end flow; :math:`\ell_a` squared current;
:math:`v_i` squared voltage; :math:`w_a` = :math:`v_i b_a`. Squared magnitudes throughout (glossary: w, ell).

.. math::

    \min\ & \sum_a r_a \ell_a + c\,n_{\mathrm{switching}} \\
    & \textstyle\sum_{a \to j} b_a = 1, \quad b_{ij} + b_{ji} \le 1 \\
    & \textstyle\sum_{a \to j} (P_a - r_a \ell_a) - \sum_{j \to a} P_a = p_j \\
    & \textstyle\sum_{a \to j} (Q_a - x_a \ell_a + \tfrac{b^c_a}{2} u_a)
      - \sum_{j \to a} (Q_a - \tfrac{b^c_a}{2} w_a) = q_j \\
    & v_j = \textstyle\sum_{a \to j} u_a, \quad u_a = w_a - 2 (r_a P_a + x_a Q_a) + |z_a|^2 \ell_a \\
    & P_a^2 + Q_a^2 \le \ell_a w_a

with :math:`b^c` the line charging and :math:`u_a` the receiving-end voltage of an arc in use, else 0. Not printed:
conductances g of branches enter the active balance as b^c does the reactive one, with their power in the objective;
the shunt of a bus adds :math:`g_j v_j` to :math:`p_j` and :math:`-b_j v_j` to :math:`q_j`; an ideal transformer of
ratio t at the from end divides the squared voltage behind it by :math:`t^2`, so that :math:`w_a` stands for
:math:`w_a / t^2` in an arc leaving that end and :math:`v_j = t^2 u_a` where it arrives there. The cone is
replaced by tangents :math:`\ell_a \ge 2\alpha P_a + 2\beta Q_a - (\alpha^2 + \beta^2) w_a`, each valid for every
configuration: the model is always a relaxation, so its dual bound is a lower bound of the AC objective whenever the
constants of :mod:`learnopt.formulations.bounds` are proven.

Exact for radial networks except for the cone: Baran & Wu (1989), doi:10.1109/61.25627; Farivar & Low (2013),
doi:10.1109/TPWRS.2013.2255317. Perspective form and parent arcs: METHODS of this project; compare Jabr, Singh, Pal
(2012), doi:10.1109/TPWRS.2011.2180406.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyomo.environ as pyo

from learnopt.formulations import controls
from learnopt.formulations.arcs import Arcs
from learnopt.formulations.bounds import Bounds, derive_bounds, orphan_candidates
from learnopt.network import Configuration, Floats, Ints, ReconfigurationProblem
from learnopt.physics.judge import LIMIT_TOLERANCE

RATING_DIRECTIONS = 32
"""Sides of the polygon around the circle of a substation rating (0.5 % at its corners, always outside)."""


@dataclass(frozen=True)
class ArcEquipment:
    """Series impedance and current limit of each arc [pu], where they differ between arcs of one branch."""

    r: Floats
    x: Floats
    i_max: Floats


@dataclass(frozen=True)
class DistFlowData:
    """The numbers of the model: the problem, its arcs and proven constants.

    Parameters
    ----------
    equipment
        Of each arc; None = that of its branch in the network.
    """

    problem: ReconfigurationProblem
    arcs: Arcs
    bounds: Bounds
    equipment: ArcEquipment | None = None

    @cached_property
    def r(self) -> Floats:
        """Series resistance of each arc [pu], shape (n_arc,)."""
        return self.problem.network.r[self.arcs.branch] if self.equipment is None else self.equipment.r

    @cached_property
    def x(self) -> Floats:
        """Series reactance of each arc [pu], shape (n_arc,)."""
        return self.problem.network.x[self.arcs.branch] if self.equipment is None else self.equipment.x

    @cached_property
    def i_max(self) -> Floats:
        """Current limit in force on each arc [pu], shape (n_arc,); ``inf`` = none."""
        return self.problem.i_max[self.arcs.branch] if self.equipment is None else self.equipment.i_max

    @classmethod
    def of(cls, problem: ReconfigurationProblem, loss_cutoff: float = math.inf) -> DistFlowData:
        """Data for all configurations with loss at most ``loss_cutoff`` [pu]."""
        arcs = Arcs.of(problem)
        return cls(problem, arcs, derive_bounds(problem, arcs, loss_cutoff))

    def configuration(self, used: Ints) -> Configuration:
        """The configuration in which of the arcs that are a decision these are in use."""
        branch = self.arcs.branch
        closed = self.problem.usable & (self.problem.blocks.block >= 0)
        closed[branch[~self.arcs.fixed]] = False
        closed[branch[used]] = True
        return Configuration(closed)


def build_reconfiguration(data: DistFlowData) -> pyo.ConcreteModel:
    """Minimum-loss reconfiguration: variables, objective, constraints.

    The tangents of the current cone are not in it: the engine adds them where they are violated.
    """
    model = pyo.ConcreteModel(name=data.problem.network.name)
    define_sets(model, data)

    variable_arc_closed(model)
    variable_arc_power(model, data)
    variable_arc_current_sqr(model, data)
    variable_bus_voltage_sqr(model, data)
    variable_arc_voltage_sqr(model, data)
    variable_controls(model, data)

    objective_loss_and_switching(model, data)

    constraint_single_parent(model)
    constraint_branch_state(model, data)
    constraint_no_orphans(model, data)
    constraint_power_balance(model, data)
    constraint_directed_balance(model, data)
    constraint_voltage_drop(model, data)
    constraint_voltage_on_off(model, data)
    constraint_power_on_off(model, data)
    constraint_current_limit(model, data)
    constraint_substation_rating(model, data)
    constraint_operations_cap(model, data)
    constraint_controls(model, data)
    return model


def define_sets(model: Any, data: DistFlowData) -> None:
    """Buses, arcs, and the arcs into and out of each bus; ``model.choice`` are the arcs that are a decision."""
    net, arcs = data.problem.network, data.arcs
    model.buses = pyo.Set(initialize=np.flatnonzero(~net.is_substation).tolist(), ordered=True)
    model.arcs = pyo.Set(initialize=range(len(arcs)), ordered=True)
    model.choice = pyo.Set(initialize=np.flatnonzero(~arcs.fixed).tolist(), ordered=True)
    model.into = {k: [] for k in range(net.n_bus)}
    model.out_of = {k: [] for k in range(net.n_bus)}
    for a in range(len(arcs)):
        model.into[int(arcs.head[a])].append(a)
        model.out_of[int(arcs.tail[a])].append(a)


def variable_arc_closed(model: Any) -> None:
    r"""b_a: the arc's branch is closed and feeds the arc's head."""
    model.b = pyo.Var(model.choice, domain=pyo.Binary)


def closed(model: Any, arc: int) -> Any:
    """b_a, or the number 1 for an arc that every radial configuration uses."""
    return model.b[arc] if arc in model.choice else 1.0


def variable_arc_power(model: Any, data: DistFlowData) -> None:
    r"""P_a, Q_a: sending-end power into the series impedance [pu]; 0 for an arc not in use."""
    bounds = data.bounds

    def span(low: Floats, high: Floats) -> Any:
        fixed = data.arcs.fixed
        return lambda _, a: (low[a], high[a]) if fixed[a] else (min(low[a], 0.0), max(high[a], 0.0))

    model.P = pyo.Var(model.arcs, bounds=span(bounds.p_min, bounds.p_max))
    model.Q = pyo.Var(model.arcs, bounds=span(bounds.q_min, bounds.q_max))


def variable_arc_current_sqr(model: Any, data: DistFlowData) -> None:
    r"""l_a: squared current of the series impedance [pu]."""
    model.ell = pyo.Var(model.arcs, bounds=lambda _, a: (0.0, data.bounds.ell_max[a]))


def variable_bus_voltage_sqr(model: Any, data: DistFlowData) -> None:
    r"""v_i: squared voltage [pu]; a number at substations."""
    bounds, net = data.bounds, data.problem.network
    model.v_bus = pyo.Var(model.buses, bounds=lambda _, k: (bounds.w_min[k], bounds.w_max[k]))
    voltage: dict[int, Any] = {k: model.v_bus[k] for k in model.buses}
    voltage.update({int(k): float(vm**2) for k, vm in zip(net.substations, net.substation_vm, strict=True)})
    model.v = voltage


def variable_arc_voltage_sqr(model: Any, data: DistFlowData) -> None:
    r"""w_a = v_i b_a: squared sending-end voltage of an arc in use [pu]; v_i itself where the arc is always in use."""
    bounds, arcs = data.bounds, data.arcs
    model.w_arc = pyo.Var(model.choice, bounds=lambda _, a: (0.0, bounds.w_max[arcs.tail[a]]))
    model.w = {a: model.w_arc[a] if a in model.choice else model.v[int(arcs.tail[a])] for a in model.arcs}


def variable_controls(model: Any, data: DistFlowData) -> None:
    """Capacitor steps, taps and generator outputs, where the problem has some."""
    settable = data.problem.controls
    controls.variable_tap_voltage_sqr(model, settable, data.arcs.branch)
    controls.variable_capacitor_voltage_sqr(model, settable)
    controls.variable_generator_power(model, settable)


def constraint_controls(model: Any, data: DistFlowData) -> None:
    """What ties the controls to voltages and to each other."""
    settable, bounds = data.problem.controls, data.bounds
    controls.constraint_capacitor_step(model, settable, bounds.w_min, bounds.w_max)
    controls.constraint_generator_range(model, settable)
    controls.constraint_tap(model, settable, *tap_voltages_sqr(model, data), high=float(bounds.w_max.max()))


def tap_voltages_sqr(model: Any, data: DistFlowData) -> tuple[dict[int, Any], dict[int, Any]]:
    """Squared voltage of the from bus and behind the transformer, by arc of a branch with a tap changer."""
    before, after = {}, {}
    for a in model.tap_arcs:
        if leaves_from_end(data, a):
            before[a], after[a] = model.w[a], model.tap_v[a]
        else:
            before[a], after[a] = model.tap_v[a], receiving_voltage_sqr(model, data, a)
    return before, after


def leaves_from_end(data: DistFlowData, arc: int) -> bool:
    """The arc leaves the from end of its branch, where the transformer is."""
    return bool(data.arcs.tail[arc] == data.problem.network.from_bus[data.arcs.branch[arc]])


def sending_term(model: Any, data: DistFlowData, arc: int) -> tuple[Any, float]:
    r"""Squared voltage before the impedance of an arc in use, behind a transformer at its tail: variable and factor."""
    if arc in model.tap_of_arc and leaves_from_end(data, arc):
        return model.tap_v[arc], 1.0
    return model.w[arc], float(data.arcs.sending_scale[arc])


def sending_voltage_sqr(model: Any, data: DistFlowData, arc: int) -> Any:
    r"""Squared voltage before the impedance of an arc in use, behind an ideal transformer at its tail; else 0."""
    variable, factor = sending_term(model, data, arc)
    return factor * variable


def arriving_voltage_sqr(model: Any, data: DistFlowData, arc: int) -> Any:
    r"""What an arc in use makes the squared voltage of its head, behind an ideal transformer there; else 0."""
    if arc in model.tap_of_arc and not leaves_from_end(data, arc):
        return model.tap_v[arc]
    return float(data.arcs.receiving_scale[arc]) * receiving_voltage_sqr(model, data, arc)


def receiving_voltage_sqr(model: Any, data: DistFlowData, arc: int) -> Any:
    r"""u_a = w_a - 2 (r P_a + x Q_a) + |z|^2 l_a: squared voltage behind the impedance of an arc in use, else 0.

    References
    ----------
    Baran & Wu (1989), doi:10.1109/61.25627, voltage recursion of DistFlow.
    """
    r, x = data.r[arc], data.x[arc]
    sending = sending_voltage_sqr(model, data, arc)
    return sending - 2 * (r * model.P[arc] + x * model.Q[arc]) + (r**2 + x**2) * model.ell[arc]


def sent_power(model: Any, data: DistFlowData, arc: int) -> tuple[Any, Any]:
    r"""Active and reactive power that an arc draws from its tail, with half of its shunt; 0 for one not in use."""
    return _with_shunt(data, arc, model.P[arc], model.Q[arc], 1, lambda: sending_voltage_sqr(model, data, arc))


def received_power(model: Any, data: DistFlowData, arc: int) -> tuple[Any, Any]:
    r"""Active and reactive power that an arc brings to its head, less half of its shunt; 0 for one not in use."""
    ell = model.ell[arc]
    active, reactive = model.P[arc] - data.r[arc] * ell, model.Q[arc] - data.x[arc] * ell
    return _with_shunt(data, arc, active, reactive, -1, lambda: receiving_voltage_sqr(model, data, arc))


def _with_shunt(data: DistFlowData, arc: int, active: Any, reactive: Any, sign: int, voltage: Any) -> tuple[Any, Any]:
    e = data.arcs.branch[arc]
    half_g, half_b = float(data.problem.network.g[e]) / 2, float(data.problem.b[e]) / 2
    if half_g != 0:
        active += sign * half_g * voltage()
    if half_b != 0:
        reactive -= sign * half_b * voltage()
    return active, reactive


def operations_expression(model: Any, data: DistFlowData) -> Any:
    """Switching operations from the normal configuration, linear in b."""
    problem, arcs = data.problem, data.arcs
    counted = ~problem.scenario.out_of_service
    normal = problem.network.normal_configuration.closed
    state: dict[int, Any] = {}
    for a in range(len(arcs)):
        e = int(arcs.branch[a])
        state[e] = state.get(e, 0.0) + closed(model, a)
    return sum((1.0 - state.get(e, 0.0)) if normal[e] else state.get(e, 0.0) for e in range(len(normal)) if counted[e])


def loss_expression(model: Any, data: DistFlowData) -> Any:
    r"""Active loss [kW]: sum of r_a l_a, and what transformers lose in their iron."""
    network = data.problem.network
    weight = network.base.kw * data.r
    loss = sum(weight[a] * model.ell[a] for a in model.arcs if weight[a] > 0)
    iron = network.base.kw * network.g[data.arcs.branch] / 2
    for a in np.flatnonzero(iron > 0).tolist():
        loss += iron[a] * (sending_voltage_sqr(model, data, a) + receiving_voltage_sqr(model, data, a))
    return loss + 0.0


def objective_loss_and_switching(model: Any, data: DistFlowData) -> None:
    r"""Loss plus switching cost [kW]."""
    loss = loss_expression(model, data)
    if data.problem.switching_cost > 0:
        loss += data.problem.switching_cost * operations_expression(model, data)
    model.objective = pyo.Objective(expr=loss, sense=pyo.minimize)


def constraint_single_parent(model: Any) -> None:
    r"""Every bus is fed by exactly one arc."""

    def rule(_: Any, bus: int) -> Any:
        arcs = model.into[bus]
        if not any(a in model.choice for a in arcs):
            return pyo.Constraint.Skip
        return sum(closed(model, a) for a in arcs) == 1

    model.single_parent = pyo.Constraint(model.buses, rule=rule)


def constraint_branch_state(model: Any, data: DistFlowData) -> None:
    r"""At most one arc of a branch is in use; exactly one where the branch must stay closed."""
    must_close = data.problem.must_close
    pairs: dict[int, list[int]] = {}
    for a in model.choice:
        pairs.setdefault(int(data.arcs.branch[a]), []).append(a)
    model.branches = pyo.Set(initialize=[e for e, a in pairs.items() if len(a) > 1 or must_close[e]], ordered=True)

    def rule(_: Any, branch: int) -> Any:
        state = sum(model.b[a] for a in pairs[branch])
        return state == 1 if must_close[branch] else state <= 1

    model.branch_state = pyo.Constraint(model.branches, rule=rule)


def constraint_no_orphans(model: Any, data: DistFlowData) -> None:
    r"""Buses that the power balance does not tie to a substation draw one unit of a fictitious commodity.

    The parent relation could otherwise close a cycle through buses without load, or with generation.
    """
    drawing = orphan_candidates(data.problem)
    n = int(drawing.sum())
    if n == 0 or len(model.choice) == 0:
        return
    model.commodity = pyo.Var(model.arcs, bounds=(0.0, n))
    model.commodity_on_off = pyo.Constraint(model.choice, rule=lambda _, a: model.commodity[a] <= n * model.b[a])
    model.commodity_balance = pyo.Constraint(
        model.buses,
        rule=lambda _, k: (
            sum(model.commodity[a] for a in model.into[k]) - sum(model.commodity[a] for a in model.out_of[k])
            == float(drawing[k])
        ),
    )


def constraint_power_balance(model: Any, data: DistFlowData) -> None:
    r"""What arrives at a bus over its parent, less what leaves to its children, is its load and its shunt."""
    problem, net = data.problem, data.problem.network

    def balance(part: int, load: Floats, shunt: Floats) -> Any:
        def rule(_: Any, bus: int) -> Any:
            arriving = sum(received_power(model, data, a)[part] for a in model.into[bus])
            leaving = sum(sent_power(model, data, a)[part] for a in model.out_of[bus])
            own = float(shunt[bus]) * model.v[bus] if shunt[bus] != 0 else 0.0
            injected = controls.injected_power(model, problem.controls, bus)[part]
            return arriving - leaving == float(load[bus]) + own - injected

        return rule

    model.active_balance = pyo.Constraint(model.buses, rule=balance(0, problem.p, net.g_shunt))
    model.reactive_balance = pyo.Constraint(model.buses, rule=balance(1, problem.q, -net.b_shunt))


def constraint_directed_balance(model: Any, data: DistFlowData) -> None:
    r"""The balance of a bus in a chain holds for each direction: what arrives over a is drawn or sent on, if b_a = 1.

    Let every arc into bus j other than a be the reverse of arc c out of j. Then c can only be in use together with a:
    both carry nothing unless :math:`b_a = 1`, and then nothing else arrives:

    .. math:: P_a - r_a \ell_a - P_c = (p_j + P_{\mathrm{lateral}})\, b_a

    and Q likewise. Shunts at j draw at :math:`v_j b_a`, the voltage at which a arrives; arcs always in use draw what
    their bounds allow. The sum over the arcs into j is the balance of the bus.
    """
    problem, net, arcs, bounds = data.problem, data.problem.network, data.arcs, data.bounds
    settable = problem.controls
    controlled = {g.bus for g in settable.generators} | {bank.bus for bank in settable.capacitors}
    model.directed_balance = pyo.ConstraintList()
    for a in model.choice:
        bus = int(arcs.head[a])
        onward = [c for c in model.out_of[bus] if c != arcs.reverse[a]]
        chain, laterals = [c for c in onward if c in model.choice], [c for c in onward if c not in model.choice]
        if any(other not in (a, arcs.reverse[c]) for other in model.into[bus] for c in chain):
            continue
        if bus in controlled or any(c in model.tap_of_arc for c in laterals):
            continue  # what controls draw at v_j b_a is no variable
        voltage = arriving_voltage_sqr(model, data, a)
        for part, load, shunt, branch_shunt, low, high in (
            (0, problem.p, net.g_shunt, net.g, bounds.p_min, bounds.p_max),
            (1, problem.q, -net.b_shunt, -problem.b, bounds.q_min, bounds.q_max),
        ):
            drawn = received_power(model, data, a)[part] - sum(sent_power(model, data, c)[part] for c in chain)
            at_bus = shunt[bus] + sum(branch_shunt[arcs.branch[c]] / 2 * arcs.sending_scale[c] for c in laterals)
            if at_bus != 0:
                drawn -= float(at_bus) * voltage
            least, most = (float(load[bus] + sum(limit[c] for c in laterals)) for limit in (low, high))
            if not laterals:
                model.directed_balance.add(drawn == least * model.b[a])
                continue
            model.directed_balance.add(drawn >= least * model.b[a])
            model.directed_balance.add(drawn <= most * model.b[a])


def constraint_voltage_drop(model: Any, data: DistFlowData) -> None:
    r"""v_j = sum of u_a over the arcs into j: no big-M, since one term is not zero."""
    model.voltage_drop = pyo.Constraint(
        model.buses,
        rule=lambda _, k: model.v[k] == sum(arriving_voltage_sqr(model, data, a) for a in model.into[k]),
    )


def constraint_voltage_on_off(model: Any, data: DistFlowData) -> None:
    r"""w_a = v_i b_a, by the rows of its convex hull (McCormick 1976) that bind.

    With a' the arc of the same branch the other way, :math:`w_a + v_i b_{a'} = v_i (b_a + b_{a'})`, where
    :math:`v_i b_{a'}` is the voltage at which a' arrives: rows on this sum need the bounds of v only for the
    share by which the branch is open.

    A larger w only lowers losses and raises voltages, so it needs no lower bound unless voltages have an upper limit.
    Of several arcs of one branch and direction (choices of equipment) at most one is in use, so the rows that compare
    with v_i hold for their sum.
    """
    bounds, arcs, tail = data.bounds, data.arcs, data.arcs.tail
    copies: dict[tuple[int, int], list[int]] = {}
    for a in model.choice:
        copies.setdefault((int(arcs.branch[a]), int(tail[a])), []).append(a)
    ends = [(copies[key], copies.get((key[0], int(arcs.head[group[0]])), [])) for key, group in copies.items()]

    def upper(_: Any, a: int) -> Any:
        return model.w[a] <= bounds.w_max[tail[a]] * model.b[a]

    def parted(k: int) -> tuple[int, Any, Any]:
        """A bus, its squared voltage as far as the branch is closed, from either end, and the open share of it."""
        away, back = ends[k]
        joined = sum(model.w[a] for a in away) + sum(arriving_voltage_sqr(model, data, a) for a in back)
        return int(tail[away[0]]), joined, 1 - sum(model.b[a] for a in (*away, *back))

    def not_above(_: Any, k: int) -> Any:
        i, joined, opened = parted(k)
        return joined <= model.v[i] - bounds.w_min[i] * opened

    def not_below(_: Any, k: int) -> Any:
        i, joined, opened = parted(k)
        return joined >= model.v[i] - bounds.w_max[i] * opened

    model.voltage_upper = pyo.Constraint(model.choice, rule=upper)
    model.voltage_not_above = pyo.Constraint(range(len(ends)), rule=not_above)
    if data.problem.limits.vm_max is not None:
        model.voltage_not_below = pyo.Constraint(range(len(ends)), rule=not_below)


def constraint_power_on_off(model: Any, data: DistFlowData) -> None:
    r"""P_a, Q_a (and l_a under an ampacity) are zero unless b_a = 1.

    A passive feeder sends at least the load at the head.
    """
    bounds = data.bounds
    model.power_on_off = pyo.ConstraintList()
    for a in model.choice:
        for flow, low, high in (
            (model.P[a], bounds.p_min[a], bounds.p_max[a]),
            (model.Q[a], bounds.q_min[a], bounds.q_max[a]),
        ):
            model.power_on_off.add(flow <= high * model.b[a])
            if low != 0:
                model.power_on_off.add(flow >= low * model.b[a])
        if math.isfinite(data.i_max[a]):
            model.power_on_off.add(model.ell[a] <= bounds.ell_max[a] * model.b[a])


def end_currents_sqr(model: Any, data: DistFlowData, arc: int) -> list[Any]:
    r"""Squared currents at the ends of an arc; the series current alone where they do not differ.

    With the shunt y = g + j b they are linear in the variables: :math:`\ell + g P - b Q + |y/2|^2 w` where the arc
    leaves and :math:`\ell - g (P - r\ell) + b (Q - x\ell) + |y/2|^2 u` where it arrives; the from end sees the current
    of the transformer, less by its ratio.
    """
    problem, arcs, net = data.problem, data.arcs, data.problem.network
    e = arcs.branch[arc]
    b, g, r, x = problem.b[e], net.g[e], data.r[arc], data.x[arc]
    if b == 0 and g == 0 and net.ratio[e] == 1 and arc not in model.tap_of_arc:
        return [model.ell[arc]]
    quarter, P, Q, ell = (g**2 + b**2) / 4, model.P[arc], model.Q[arc], model.ell[arc]
    sending = ell + g * P - b * Q + quarter * sending_voltage_sqr(model, data, arc)
    receiving = ell - g * (P - r * ell) + b * (Q - x * ell) + quarter * receiving_voltage_sqr(model, data, arc)
    at_tail, at_head = float(arcs.sending_scale[arc]), float(1 / arcs.receiving_scale[arc])
    if arc in model.tap_of_arc:  # the from end sees the tap times the current: at least its lowest value
        low = problem.controls.taps[model.tap_of_arc[arc]].low ** 2
        at_tail, at_head = (low, 1.0) if leaves_from_end(data, arc) else (1.0, low)
    return [at_tail * sending, at_head * receiving]


def constraint_current_limit(model: Any, data: DistFlowData) -> None:
    r"""Ampacity at both ends of an arc where their currents differ; else it is the bound of l_a."""
    model.current_limit = pyo.ConstraintList()
    for a in model.arcs:
        limit = (data.i_max[a] * (1 + LIMIT_TOLERANCE)) ** 2
        ends = end_currents_sqr(model, data, a)
        if math.isfinite(limit) and len(ends) > 1:
            for current in ends:
                model.current_limit.add(current <= limit * closed(model, a))


def substation_power(model: Any, data: DistFlowData, substation: int) -> tuple[Any, Any]:
    r"""Active and reactive power drawn at a substation (its index among the substations) [pu], and its own load."""
    problem, net = data.problem, data.problem.network
    k = int(net.substations[substation])
    own = net.substation_vm[substation] ** 2 * (net.g_shunt[k] - 1j * net.b_shunt[k]) + problem.p[k] + 1j * problem.q[k]
    injected_p, injected_q = controls.injected_power(model, problem.controls, k)
    active, reactive = float(own.real) - injected_p, float(own.imag) - injected_q
    for a in model.out_of[k]:
        sent = sent_power(model, data, a)
        active, reactive = active + sent[0], reactive + sent[1]
    return active, reactive


def draws_forward(data: DistFlowData, substation: int) -> bool:
    """Nothing can push active or reactive power back into a substation."""
    problem, net = data.problem, data.problem.network
    k = net.substations[substation]
    own = bool(problem.p[k] >= 0 and problem.q[k] >= 0 and net.b_shunt[k] <= 0 and not problem.controls)
    return own and data.bounds.passive_p and data.bounds.passive_q


def constraint_substation_rating(model: Any, data: DistFlowData) -> None:
    r"""Apparent power drawn at a substation: at most s_max (outer polygon), at least s_min (P + Q, passive feeders).

    Both are relaxations: the engine cuts off a configuration that still violates a rating.
    """
    problem, net = data.problem, data.problem.network
    model.substation_rating = pyo.ConstraintList()
    if not problem.limits.substations:
        return
    for s, k in enumerate(net.substations):
        s_min, s_max = net.substation_s_min[s], net.substation_s_max[s]
        if not model.out_of[int(k)] or (s_min == 0 and not math.isfinite(s_max)):
            continue
        active, reactive = substation_power(model, data, s)
        if math.isfinite(s_max):
            for angle in np.arange(RATING_DIRECTIONS) * (2 * np.pi / RATING_DIRECTIONS):
                model.substation_rating.add(
                    math.cos(angle) * active + math.sin(angle) * reactive <= s_max * (1 + LIMIT_TOLERANCE)
                )
        if s_min > 0 and draws_forward(data, s):
            model.substation_rating.add(active + reactive >= s_min / (1 + LIMIT_TOLERANCE))


def constraint_operations_cap(model: Any, data: DistFlowData) -> None:
    r"""Number of switching operations at most the cap."""
    cap = data.problem.max_operations
    if cap is None:
        return
    expression = operations_expression(model, data)
    if isinstance(expression, (int, float)):
        if expression > cap:
            model.operations_cap = pyo.Constraint(expr=pyo.Constraint.Infeasible)
        return
    model.operations_cap = pyo.Constraint(expr=expression <= cap)


def constraint_current_cone(model: Any, data: DistFlowData) -> None:
    r"""P_a^2 + Q_a^2 <= l_a w_a, a rotated second-order cone: for solvers that take it, instead of tangents.

    References
    ----------
    Farivar & Low (2013), doi:10.1109/TPWRS.2013.2255317 (relaxation of the branch current to a cone).
    """
    model.current_cone = pyo.Constraint(
        model.arcs,
        rule=lambda _, a: model.P[a] ** 2 + model.Q[a] ** 2 <= model.ell[a] * sending_voltage_sqr(model, data, a),
    )


def tangent_row(alpha: Floats, beta: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    r"""Coefficients of (l, P, Q, w) in the tangent l - 2 alpha P - 2 beta Q + (alpha^2 + beta^2) w >= 0.

    It touches the cone :math:`P^2 + Q^2 = \ell w` where P / w = alpha and Q / w = beta.
    """
    return np.ones_like(alpha), -2.0 * alpha, -2.0 * beta, alpha**2 + beta**2
