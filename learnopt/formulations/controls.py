r"""Controls in the DistFlow model, each exactly: capacitor banks, tap changers, dispatchable generators.

.. math::

    \text{bank at } j:\ & \textstyle\sum_s y_s = 1,\quad \sum_s u_s = v_j,\quad
        v^{\min}_j y_s \le u_s \le v^{\max}_j y_s,\quad \text{injection } \sum_s q_s u_s \\
    \text{tap of arc } a:\ & \tau_{\min}^2 w_a \le \tilde w_a \le \tau_{\max}^2 w_a
        \text{ (any value)},\quad
        \tilde w_a = \textstyle\sum_s \tau_s^2 \omega_{as},\ \sum_s \omega_{as} = w_a,\
        0 \le \omega_{as} \le v^{\max} y_s \text{ (positions)} \\
    \text{generator:}\ & p^{\min} o \le P \le p^{\max} o,\quad q^{\min} o \le Q \le q^{\max} o,\quad
        P^2 + Q^2 \le (s^{\max} o)^2,\quad Q = P \tan\varphi

with :math:`y, o` binary; the last row with a fixed power factor. The cone of a rating is given by its tangents
:math:`P\cos\theta + Q\sin\theta \le s^{\max} o`, :data:`RATING_DIRECTIONS` from the start and one more wherever a
solution lies outside (:func:`rating_tangents`). A bank injects :math:`q_s v_j` (its kvar are rated at 1 pu); the
voltage behind a transformer is :math:`\tau` times that of the from bus, so a continuous tap is linear in squared
voltages, and so is a position once it is chosen. Disaggregated this way every row of a discrete control is the convex
hull of its disjunction (Balas 1985, doi:10.1137/0606047), and the model with controls stays a relaxation of the AC
problem with controls: its bound covers every setting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyomo.environ as pyo

from learnopt.network import Controls, Floats, Generator, Ints, Settings
from learnopt.network.controls import FREE

RATING_DIRECTIONS = 16
"""Tangents of the rating of a generator in the model from the start: 2 % at their corners, always outside."""
OUTSIDE = 1e-6
"""Excess of a rating at which a solution is cut off, relative to the rating or to the load, whichever is larger."""


def variable_capacitor_voltage_sqr(model: Any, controls: Controls) -> None:
    """y_s: step s of a bank is the one connected, "off" among them; u_s: squared voltage of its bus if so, else 0."""
    pairs = [(k, s) for k, bank in enumerate(controls.capacitors) for s in range(len(bank.choices))]
    model.capacitor_steps = pyo.Set(initialize=pairs, dimen=2, ordered=True)
    model.capacitor_on = pyo.Var(model.capacitor_steps, domain=pyo.Binary)
    model.capacitor_v = pyo.Var(model.capacitor_steps, domain=pyo.NonNegativeReals)


def constraint_capacitor_step(model: Any, controls: Controls, w_min: Floats, w_max: Floats) -> None:
    """One step of each bank; the squared voltage of its bus belongs to this step."""
    model.capacitor_step = pyo.ConstraintList()
    for k, bank in enumerate(controls.capacitors):
        steps = range(len(bank.choices))
        model.capacitor_step.add(sum(model.capacitor_on[k, s] for s in steps) == 1)
        model.capacitor_step.add(sum(model.capacitor_v[k, s] for s in steps) == model.v[bank.bus])
        for s in steps:
            model.capacitor_step.add(model.capacitor_v[k, s] <= float(w_max[bank.bus]) * model.capacitor_on[k, s])
            model.capacitor_step.add(model.capacitor_v[k, s] >= float(w_min[bank.bus]) * model.capacitor_on[k, s])


def variable_generator_power(model: Any, controls: Controls) -> None:
    """P, Q of each generator [pu], and whether it runs."""
    model.generators = pyo.Set(initialize=range(len(controls.generators)), ordered=True)
    model.generator_on = pyo.Var(model.generators, domain=pyo.Binary)
    model.generator_p = pyo.Var(model.generators)
    model.generator_q = pyo.Var(model.generators)
    for k, g in enumerate(controls.generators):
        p_min, p_max, q_min, q_max = g.reach
        for power, low, high in ((model.generator_p[k], p_min, p_max), (model.generator_q[k], q_min, q_max)):
            power.setlb(low)
            power.setub(high)
        if not g.switchable or not g.available:
            model.generator_on[k].fix(int(g.available))


def constraint_generator_range(model: Any, controls: Controls) -> None:
    """Injections within their range while the generator runs, else zero; reactive power as its mode says."""
    model.generator_range = pyo.ConstraintList()
    for k, g in enumerate(controls.generators):
        p, q, on = model.generator_p[k], model.generator_q[k], model.generator_on[k]
        if not g.available:
            continue  # its injections are fixed to zero by their bounds
        p_min, p_max, q_min, q_max = g.span
        if (tangent := g.tangent) is not None:
            model.generator_range.add(q == tangent * p)
        if g.switchable:
            for power, low, high in ((p, p_min, p_max), (q, q_min, q_max)):
                model.generator_range.add(power <= high * on)
                model.generator_range.add(power >= low * on)
        if rated(g):
            for angle in np.arange(RATING_DIRECTIONS) * (2 * math.pi / RATING_DIRECTIONS):
                model.generator_range.add(math.cos(angle) * p + math.sin(angle) * q <= g.s_max * on)


def rated(generator: Generator) -> bool:
    """The rating ties P and Q to each other (with a fixed power factor it is a bound of P alone)."""
    return generator.mode == FREE and math.isfinite(generator.s_max)


def rating_tangents(controls: Controls, p: Floats, q: Floats, on: Floats, load: float) -> tuple[Ints, Floats]:
    r"""Generators outside their rating in a solution, and the direction of the tangent that cuts it off.

    :math:`P\cos\theta + Q\sin\theta \le s^{\max} o` with :math:`\theta` the angle of (P, Q) is the support function of
    the disc of radius :math:`s^{\max} o`, so it holds in every state, and it separates the point from the disc.

    Parameters
    ----------
    p, q, on
        Solution, shape (n_generator,) each.
    load
        Size of the powers of the problem [pu].

    Returns
    -------
    Indices of generators and angles [rad], shape (n,) each.
    """
    limit = np.array([g.s_max if rated(g) else math.inf for g in controls.generators])
    bounded = np.isfinite(limit)
    allowed = np.where(bounded, np.where(bounded, limit, 0.0) * on + OUTSIDE * np.maximum(limit, load), math.inf)
    outside = np.flatnonzero(np.hypot(p, q) > allowed)
    return outside, np.arctan2(q[outside], p[outside])


def injected_power(model: Any, controls: Controls, bus: int) -> tuple[Any, Any]:
    """What the controls of a bus inject: active and reactive power [pu]."""
    mine = [k for k, g in enumerate(controls.generators) if g.bus == bus]
    p = sum((model.generator_p[k] for k in mine), 0.0)
    q = sum((model.generator_q[k] for k in mine), 0.0)
    for k, bank in enumerate(controls.capacitors):
        if bank.bus == bus:
            q += sum(rated * model.capacitor_v[k, s] for s, rated in enumerate(bank.choices) if rated)
    return p, q


def variable_tap_voltage_sqr(model: Any, controls: Controls, branch: Any) -> None:
    """Squared voltage on the transformer's side of the arcs of a branch with a tap changer.

    ``tap_v`` of an arc that leaves the from end is what lies behind the transformer; of one that arrives there it is
    the squared voltage of the bus itself, as far as this arc feeds it.
    """
    arcs = {a: k for k, tap in enumerate(controls.taps) for a in model.arcs if branch[a] == tap.branch}
    model.tap_of_arc = arcs
    model.tap_arcs = pyo.Set(initialize=list(arcs), ordered=True)
    model.tap_v = pyo.Var(model.tap_arcs, domain=pyo.NonNegativeReals)
    positions = [
        (k, s) for k, tap in enumerate(controls.taps) if tap.positions is not None for s in range(len(tap.positions))
    ]
    model.tap_positions = pyo.Set(initialize=positions, dimen=2, ordered=True)
    model.tap_on = pyo.Var(model.tap_positions, domain=pyo.Binary)
    shares = [(a, s) for a, k in arcs.items() for kk, s in positions if kk == k]
    model.tap_shares = pyo.Set(initialize=shares, dimen=2, ordered=True)
    model.tap_share = pyo.Var(model.tap_shares, domain=pyo.NonNegativeReals)


def constraint_tap(
    model: Any, controls: Controls, before: dict[int, Any], after: dict[int, Any], high: Sequence[float]
) -> None:
    """The voltage behind a transformer is the tap times that of the from bus, on each arc of its branch.

    Parameters
    ----------
    before, after
        By arc: squared voltage of the from bus, and behind the transformer; 0 for an arc not in use.
    high
        Largest squared voltage of the from bus of each tap changer [pu].
    """
    model.tap = pyo.ConstraintList()
    positions = [tap.positions for tap in controls.taps]
    for k, values in enumerate(positions):
        if values is not None:
            model.tap.add(sum(model.tap_on[k, s] for s in range(len(values))) == 1)
    for a, k in model.tap_of_arc.items():
        values = positions[k]
        if values is None:
            model.tap.add(after[a] <= controls.taps[k].high ** 2 * before[a])
            model.tap.add(after[a] >= controls.taps[k].low ** 2 * before[a])
            continue
        model.tap.add(sum(model.tap_share[a, s] for s in range(len(values))) == before[a])
        model.tap.add(sum(float(t) ** 2 * model.tap_share[a, s] for s, t in enumerate(values)) == after[a])
        for s in range(len(values)):
            model.tap.add(model.tap_share[a, s] <= high[k] * model.tap_on[k, s])


def settings_of_solution(model: Any, controls: Controls, before: dict[int, Any], after: dict[int, Any]) -> Settings:
    """Settings of the solution that the model holds.

    Parameters
    ----------
    before, after
        As of :func:`constraint_tap`.
    """

    def value(expression: Any) -> float:
        return float(pyo.value(expression, exception=False) or 0.0)

    def chosen(states: Any, k: int, values: Any) -> float:
        return float(values[np.argmax([value(states[k, s]) for s in range(len(values))])])

    taps = []
    for k, tap in enumerate(controls.taps):
        if tap.positions is not None:
            taps.append(chosen(model.tap_on, k, tap.positions))
            continue
        mine = [a for a, kk in model.tap_of_arc.items() if kk == k]
        low, behind = (max((value(side[a]) for a in mine), default=0.0) for side in (before, after))
        taps.append(float(np.clip((behind / low) ** 0.5 if low > 1e-6 else 1.0, tap.low, tap.high)))
    capacitors = tuple(chosen(model.capacitor_on, k, bank.choices) for k, bank in enumerate(controls.capacitors))
    on = tuple(value(model.generator_on[k]) > 0.5 for k in range(len(controls.generators)))
    generators = tuple(
        g.nearest(value(model.generator_p[k]), value(model.generator_q[k])) if on[k] else (0.0, 0.0)
        for k, g in enumerate(controls.generators)
    )
    return Settings(tuple(taps), capacitors, generators, on)
