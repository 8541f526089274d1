r"""Expressions of the DistFlow model, linear in its variables: voltages and powers at the ends of an arc, loss.

Each is that of the branch while its arc is in use, and zero otherwise. Symbols: :mod:`learnopt.formulations.distflow`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from learnopt.formulations import controls
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.network import Floats


def closed(model: Any, arc: int) -> Any:
    """b_a, or the number 1 for an arc that every radial configuration uses."""
    return model.b[arc] if arc in model.choice else 1.0


def leaves_from_end(data: DistFlowData, arc: int) -> bool:
    """The arc leaves the from end of its branch, where the transformer is."""
    return bool(data.arcs.tail[arc] == data.problem.network.from_bus[data.arcs.branch[arc]])


def tap_voltages_sqr(model: Any, data: DistFlowData) -> tuple[dict[int, Any], dict[int, Any]]:
    """Squared voltage of the from bus and behind the transformer, by arc of a branch with a tap changer."""
    before, after = {}, {}
    for a in model.tap_arcs:
        if leaves_from_end(data, a):
            before[a], after[a] = model.w[a], model.tap_v[a]
        else:
            before[a], after[a] = model.tap_v[a], receiving_voltage_sqr(model, data, a)
    return before, after


def sending_term(model: Any, data: DistFlowData, arc: int) -> tuple[Any, float]:
    r"""Squared voltage before the impedance of an arc in use, behind a transformer at its tail: variable and factor."""
    if arc in model.tap_of_arc and leaves_from_end(data, arc):
        return model.tap_v[arc], 1.0
    return model.w[arc], float(data.arcs.sending_scale[arc])


def sending_voltage_sqr(model: Any, data: DistFlowData, arc: int) -> Any:
    r"""Squared voltage before the impedance of an arc in use, behind an ideal transformer at its tail; else 0."""
    variable, factor = sending_term(model, data, arc)
    return factor * variable


def receiving_voltage_sqr(model: Any, data: DistFlowData, arc: int) -> Any:
    r"""u_a = w_a - 2 (r P_a + x Q_a) + |z|^2 l_a: squared voltage behind the impedance of an arc in use, else 0.

    References
    ----------
    Baran & Wu (1989), doi:10.1109/61.25627, voltage recursion of DistFlow.
    """
    r, x = data.r[arc], data.x[arc]
    sending = sending_voltage_sqr(model, data, arc)
    return sending - 2 * (r * model.P[arc] + x * model.Q[arc]) + (r**2 + x**2) * model.ell[arc]


def arriving_voltage_sqr(model: Any, data: DistFlowData, arc: int) -> Any:
    r"""What an arc in use makes the squared voltage of its head, behind an ideal transformer there; else 0."""
    if arc in model.tap_of_arc and not leaves_from_end(data, arc):
        return model.tap_v[arc]
    return float(data.arcs.receiving_scale[arc]) * receiving_voltage_sqr(model, data, arc)


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


def operations_expression(model: Any, data: DistFlowData) -> Any:
    """Switching operations from the normal configuration, linear in b."""
    problem, arcs = data.problem, data.arcs
    counted = ~problem.out_of_service
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


def tangent_row(alpha: Floats, beta: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    r"""Coefficients of (l, P, Q, w) in the tangent l - 2 alpha P - 2 beta Q + (alpha^2 + beta^2) w >= 0.

    It touches the cone :math:`P^2 + Q^2 = \ell w` where P / w = alpha and Q / w = beta.
    """
    return np.ones_like(alpha), -2.0 * alpha, -2.0 * beta, alpha**2 + beta**2
