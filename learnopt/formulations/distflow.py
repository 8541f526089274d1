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
doi:10.1109/TPWRS.2013.2255317. Perspective form and parent arcs: ``docs/methods/milp.md``; compare Jabr,
Singh, Pal (2012), doi:10.1109/TPWRS.2011.2180406. Here v stands for the *squared* voltage of a bus.

Its data, terms and limits: :mod:`~learnopt.formulations.distflow_data`, :mod:`~learnopt.formulations.distflow_terms`,
:mod:`~learnopt.formulations.distflow_limits`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyomo.environ as pyo

from learnopt.formulations import controls
from learnopt.formulations.bounds import orphan_candidates
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.distflow_limits import (
    constraint_current_limit,
    constraint_operations_cap,
    constraint_substation_rating,
)
from learnopt.formulations.distflow_terms import (
    arriving_voltage_sqr,
    closed,
    loss_expression,
    operations_expression,
    received_power,
    sent_power,
    tap_voltages_sqr,
)
from learnopt.network import Floats


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
    high = [float(bounds.w_max[data.problem.network.from_bus[tap.branch]]) for tap in settable.taps]
    controls.constraint_tap(model, settable, *tap_voltages_sqr(model, data), high=high)


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

    A larger w only lowers losses and raises voltages, so it needs no lower bound unless an upper limit of the voltages
    lies below what is proven of them.
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
    if (bounds.w_max > data.problem.vm_max**2).any():
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
