r"""Voltages that a radial configuration of at most a given loss can have at a bus, over all paths that can feed it.

The path from a bus to the substation that feeds it is a simple one, and at least the loads of its own buses flow over
it. With :math:`P'_e, Q'_e` arriving over branch e, G and C the most that all generation and all capacitors of the
network inject, and :math:`\hat p, \hat q` the loads of the buses that the path passes after e, its end included:

.. math::

    & P'_e \ge \hat p_e - G,\quad Q'_e \ge \hat q_e - C \\
    & \textstyle\sum_e r_e \bigl((\hat p_e - G)_+^2 + (\hat q_e - C)_+^2\bigr) / V_{\max}^2 \le U
        \text{, or the path is none} \\
    & V_r - V_j \le \textstyle\sqrt{U \sum_e |z_e|^2 / r_e}\quad\text{(Cauchy-Schwarz)} \\
    & V_j^2 \le V_r^2 + 2 \textstyle\sum_e \bigl(r_e (G - \hat p_e) + x_e (C - \hat q_e)\bigr)

Ideal transformers as in :mod:`learnopt.formulations.bounds`, with the ratios of the path. All paths of a bus are gone
through from the bus on; where they are too many it keeps the voltages known before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from learnopt.compiling import njit
from learnopt.network import Bools, Floats, Ints

MOST_STEPS = 3000
"""Branches that are gone over for one bus; with more its paths are too many."""
MOST_FAILURES = 4
"""Buses with too many paths after which no further one is tried."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class Window:
    """Least and largest voltage magnitude of each bus [pu], shape (n_bus,) each."""

    low: Floats
    high: Floats


class Paths(NamedTuple):
    """A network as its paths see it, per unit.

    Branches without resistance drop ``fixed_drop`` at most, and the others by what Cauchy-Schwarz leaves them.
    """

    start: Ints
    """First entry of each bus in ``branch``, shape (n_bus + 1,)."""
    branch: Ints
    """Usable branches by bus."""
    other: Ints
    """Their other ends."""
    root: Bools
    """Substations, shape (n_bus,)."""
    vm: Floats
    """Voltage of each substation, else 0, shape (n_bus,)."""
    r: Floats
    x: Floats
    weight: Floats
    """|z|^2 / r where r > 0, else 0, shape (n_branch,)."""
    fixed_drop: Floats
    stretch: Floats
    """Largest ratio or its inverse, at least 1, shape (n_branch,)."""
    p: Floats
    """Least active load of each bus, 0 where it can inject, shape (n_bus,)."""
    q: Floats
    generation: float
    """The most active power that all buses inject."""
    leading: float
    """The same of reactive power."""


@njit(steps=lambda *_: MOST_STEPS)
def _extremes(paths: Any, target: int, cutoff: float, vm_high: float, most: int) -> tuple[float, float]:
    """Least and largest voltage of a bus over its paths; NaN where they are too many, or none is left."""
    n = len(paths.root)
    visited = np.zeros(n, np.bool_)
    bus, place = np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)
    p, q, lost = np.empty(n + 1), np.empty(n + 1), np.zeros(n + 1)
    weight, drop, rise, fall = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    stretch = np.ones(n + 1)
    bus[0], place[0], p[0], q[0] = target, paths.start[target], paths.p[target], paths.q[target]
    visited[target] = True
    low, high, depth, steps = np.inf, -np.inf, 0, 0
    while depth >= 0:
        k = bus[depth]
        if place[depth] == paths.start[k + 1]:
            visited[k] = False
            depth -= 1
            continue
        e, u = paths.branch[place[depth]], paths.other[place[depth]]
        place[depth] += 1
        if visited[u]:
            continue
        steps += 1
        if steps > most:
            return np.nan, np.nan
        active, reactive = p[depth] - paths.generation, q[depth] - paths.leading
        change = -2.0 * (paths.r[e] * active + paths.x[e] * reactive)
        active, reactive = max(active, 0.0), max(reactive, 0.0)
        behind = vm_high * paths.stretch[e]
        loss = lost[depth] + paths.r[e] * (active * active + reactive * reactive) / (behind * behind)
        if loss > cutoff:
            continue
        deeper = depth + 1
        lost[deeper] = loss
        weight[deeper] = weight[depth] + paths.weight[e]
        drop[deeper] = drop[depth] + paths.fixed_drop[e]
        rise[deeper], fall[deeper] = rise[depth] + max(change, 0.0), fall[depth] + max(-change, 0.0)
        stretch[deeper] = stretch[depth] * paths.stretch[e]
        if paths.root[u]:
            sigma, root = stretch[deeper], paths.vm[u]
            distance = (np.sqrt(cutoff * weight[deeper]) + drop[deeper]) * sigma
            squared = root * root + rise[deeper] * sigma * sigma - fall[deeper] / (sigma * sigma)
            low = min(low, (root - distance) / sigma)
            high = max(high, min(root + distance, np.sqrt(max(squared, 0.0))) * sigma)
            continue
        bus[deeper], place[deeper] = u, paths.start[u]
        p[deeper], q[deeper] = p[depth] + paths.p[u], q[depth] + paths.q[u]
        visited[u] = True
        depth = deeper
    if low > high:
        return np.nan, np.nan
    return low, high


def window_over_paths(paths: Paths, known: Window, cutoff: float) -> Window:
    """Voltages of each bus in every radial configuration of at most a given loss [pu]: those known, or closer.

    Parameters
    ----------
    known
        Voltages proven before.
    cutoff
        Largest loss [pu], finite.
    """
    low, high, failures = known.low.copy(), known.high.copy(), 0
    most = float(known.high.max())
    for k in np.flatnonzero(~paths.root).tolist():
        least, largest = _extremes(paths, k, cutoff * (1 + ROUNDING), most, MOST_STEPS)
        if math.isnan(least):
            failures += 1
            if failures == MOST_FAILURES:
                break
            continue
        low[k], high[k] = max(low[k], least - ROUNDING), min(high[k], largest + ROUNDING)
    return Window(low, high)
