r"""AC losses that the relaxation of the tree search misses: the trunk gain, and the power flow at leaves.

The *trunk* of a node of the search is the tree of branches already decided closed and connected to a substation. Every
completion contains it with the same orientation and at least its loads, and DistFlow is a monotone fixed point in the
squared currents for non-negative loads without charging. So sweeps started from zero currents give currents, and
voltage drops, that no completion can undercut. Derivation, proofs and equation numbers: ``docs/methods/ac_bound.md``.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import njit
from learnopt.network import Bools, Floats, Ints
from learnopt.physics.limits import total_violation
from learnopt.physics.sweep import order_fed, order_flow, sweep_tree, tree_flow

TRUNK_SWEEPS = 3
LEAF_SWEEPS = 500
"""Monotone sweeps before a leaf without power flow counts as unresolved."""
SLACK = 1e-6


class TrunkData(NamedTuple):
    """Numbers of a problem for the AC side of the search; impedances are divided by the root voltage squared."""

    grid: Any
    limits: Any
    s: NDArray[np.complex128]
    """Net loads of each scenario, shape (n_scenario, n_bus)."""
    weight: Floats
    worst: bool
    """The objective is the largest loss of all scenarios, not the weighted mean."""
    r: Floats
    x: Floats
    p: Floats
    """Loads off the substations, shape (n_scenario, n_bus)."""
    q: Floats
    alpha: Floats
    """Direction of the comparison network of each scenario (metric B), shape (n_scenario,)."""
    tau: Floats
    w_min: Floats
    """Squared lower voltage limits, in units of the root voltage, shape (n_bus,); 0 = none."""
    ell_max: Floats
    """Squared current limit, in units of the root voltage, shape (n_branch,)."""
    leaf_constant: float
    """Switching cost and iron losses decided before the search [pu]."""
    iron: Floats
    """Iron loss of each closed branch that the search counts as a price of closing it [pu], shape (n_branch,)."""
    monotone: bool
    """Loads only, no charging, ratios that vanish: sweeps from zero currents refute what has no power flow."""


@njit()
def _monotone_sweeps(
    trunk: Any, scenario: int, order: Ints, parent: Ints, feed: Ints, count: int, sweeps: int, work: Floats
) -> bool:
    """Lower bounds of P, Q, l and u = 1 - |V|^2 on the trunk (eq. 1-4); False where no completion is feasible.

    Rows of ``work``: 0 P0, 1 Q0, 2 P, 3 Q, 4 l, 5 u.
    """
    n_roots = len(trunk.grid.roots)
    p0, q0, p, q, ell, u = work[0], work[1], work[2], work[3], work[4], work[5]
    for position in range(count):
        k = order[position]
        p0[k], q0[k] = trunk.p[scenario, k], trunk.q[scenario, k]
        ell[k] = 0.0
        u[k] = 0.0
    for position in range(count - 1, n_roots - 1, -1):
        k = order[position]
        p0[parent[k]] += p0[k]
        q0[parent[k]] += q0[k]
    for _ in range(sweeps):
        # The losses strictly below, on top of the lossless flows.
        for position in range(count):
            k = order[position]
            p[k] = q[k] = 0.0
        for position in range(count - 1, n_roots - 1, -1):
            k = order[position]
            branch = feed[k]
            p[parent[k]] += p[k] + trunk.r[branch] * ell[k]
            q[parent[k]] += q[k] + trunk.x[branch] * ell[k]
            p[k] += p0[k]
            q[k] += q0[k]
        for position in range(n_roots, count):
            k = order[position]
            branch = feed[k]
            r, x = trunk.r[branch], trunk.x[branch]
            u[k] = u[parent[k]] + 2.0 * (r * p[k] + x * q[k]) + (r * r + x * x) * ell[k]
            if u[k] >= 1.0 or 1.0 - u[k] < trunk.w_min[k]:
                return False
            ell[k] = (p[k] * p[k] + q[k] * q[k]) / (1.0 - u[k])
            if ell[k] > trunk.ell_max[branch]:
                return False
    return True


@njit()
def _gain_b(trunk: Any, scenario: int, order: Ints, parent: Ints, feed: Ints, count: int, work: Floats) -> float:
    """Trunk gain on top of metric B (eq. 19, 20); uses rows 0-5 of ``work``, fills 6-14."""
    n_roots = len(trunk.grid.roots)
    alpha, tau = trunk.alpha[scenario], trunk.tau[scenario]
    beta = tau * alpha
    q0, q, ell = work[1], work[3], work[4]
    g0, h, gd, ud, ld = work[6], work[7], work[8], work[9], work[10]
    m, y, above, xl = work[11], work[12], work[13], work[14]
    positive_out, negative_out = 0.0, 0.0
    for k in range(len(parent)):
        value = alpha * trunk.q[scenario, k] - beta * trunk.p[scenario, k]
        if parent[k] == -2:
            if value > 0:
                positive_out += value
            else:
                negative_out -= value
    for position in range(count):
        k = order[position]
        g0[k] = alpha * trunk.p[scenario, k] + beta * trunk.q[scenario, k]
        h[k] = alpha * trunk.q[scenario, k] - beta * trunk.p[scenario, k]
        ld[k] = m[k] = xl[k] = 0.0
        ud[k] = above[k] = 0.0
    for position in range(count - 1, n_roots - 1, -1):
        k = order[position]
        g0[parent[k]] += g0[k]
        h[parent[k]] += h[k]
        xh = trunk.x[feed[k]] - tau * trunk.r[feed[k]]
        xl[parent[k]] += xl[k] + max(xh, 0.0) * ell[k]
    for _ in range(TRUNK_SWEEPS):
        for position in range(count):
            y[order[position]] = 0.0
        for position in range(count - 1, n_roots - 1, -1):
            k = order[position]
            y[parent[k]] += y[k] + trunk.r[feed[k]] / alpha * ld[k]
        for position in range(n_roots, count):
            k = order[position]
            rho = trunk.r[feed[k]] / alpha
            gd[k] = g0[k] + y[k]
            ud[k] = ud[parent[k]] + 2.0 * rho * gd[k] + rho * rho * ld[k]
            ld[k] = gd[k] * gd[k] / (1.0 - ud[k])
    gain = 0.0
    for sweep in range(2):
        for position in range(count):
            y[order[position]] = 0.0
        for position in range(count - 1, n_roots - 1, -1):
            k = order[position]
            y[parent[k]] += y[k] + trunk.r[feed[k]] / alpha * m[k]
        for position in range(n_roots, count):
            k = order[position]
            r = trunk.r[feed[k]]
            xh = max(trunk.x[feed[k]] - tau * r, 0.0)
            above[k] = above[parent[k]] + 2.0 * xh * q[k] + 2.0 * r / alpha * y[k]
            lowest = max(0.0, h[k] - negative_out, -(h[k] + positive_out))
            own = lowest * lowest
            m[k] = (own + 2.0 * gd[k] * y[k] + 2.0 * q0[k] * xl[k] + ell[k] * above[k]) / (1.0 - ud[k])
            if sweep == 1:
                gain += r * (m[k] - own)
    return gain


@njit()
def trunk_gain(trunk: Any, closed: Bools, metric: int) -> tuple[Floats, bool]:
    """Trunk gain of the decided branches [pu], and whether some completion may be feasible.

    ``metric``: 1 = A (eq. 6), 2 = B (eq. 20). The gain is the weighted mean, shape (1,), or that of each scenario,
    shape (n_scenario,), where the worst counts.
    """
    n = trunk.s.shape[1]
    order, parent, feed = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    work = np.empty((15, n))
    count = order_fed(trunk.grid, closed, order, parent, feed)
    n_roots = len(trunk.grid.roots)
    gain = np.zeros(len(trunk.weight) if trunk.worst else 1)
    for scenario in range(len(trunk.weight)):
        own = 0.0
        if not _monotone_sweeps(trunk, scenario, order, parent, feed, count, TRUNK_SWEEPS, work):
            return gain, False
        if metric == 2:
            own = _gain_b(trunk, scenario, order, parent, feed, count, work)
        else:
            for position in range(n_roots, count):
                k = order[position]
                lossless = work[0, k] * work[0, k] + work[1, k] * work[1, k]
                own += trunk.r[feed[k]] * (work[4, k] - lossless)
        if trunk.worst:
            gain[scenario] = own
        else:
            gain[0] += trunk.weight[scenario] * own
    return gain, True


@njit()
def _with_scenario(trunk: Any, total: float, scenario: int, loss: float) -> float:
    """The objective of the scenarios so far with one more."""
    return max(total, loss) if trunk.worst else total + trunk.weight[scenario] * loss


@njit()
def leaf_loss(trunk: Any, closed: Bools, threshold: float) -> tuple[float, bool]:
    """AC loss of a radial state without the iron losses counted as prices [pu], mean or worst, and whether settled.

    Infinite and settled where a scenario violates a limit, or where the loss is proven to reach the threshold. Not
    settled where sweeps neither converge nor, where flows are monotone, refute the state.
    """
    n = trunk.s.shape[1]
    tree = tree_flow(n)
    order, parent, feed = tree.order, tree.parent, tree.feed
    if not order_flow(trunk.grid, closed, tree):
        return np.inf, True
    iron = 0.0
    for k in range(n):
        if parent[k] >= 0:
            iron += trunk.iron[feed[k]]
    for e in trunk.grid.chords:
        iron += trunk.iron[e]
    total = 0.0
    for scenario in range(len(trunk.weight)):
        loss = sweep_tree(trunk.grid, trunk.s[scenario], tree)
        if np.isnan(loss):
            if not trunk.monotone:
                return np.inf, False
            work = np.empty((15, n))
            if not _monotone_sweeps(trunk, scenario, order, parent, feed, n, LEAF_SWEEPS, work):
                return np.inf, True
            lower = 0.0
            for position in range(len(trunk.grid.roots), n):
                lower += trunk.r[feed[order[position]]] * work[4, order[position]]
            return np.inf, _with_scenario(trunk, total, scenario, lower) >= threshold
        if trunk.limits.active and total_violation(trunk.grid, trunk.limits, tree) > 0.0:
            return np.inf, True
        total = _with_scenario(trunk, total, scenario, loss - iron)
    return total, True


@njit()
def _resistance_times(
    order: Ints, parent: Ints, feed: Ints, n_roots: int, length: Floats, below: Floats, result: Floats
) -> None:
    """R_T y into ``result``: sums below every branch, times its length, added along the path from the root.

    ``below`` is y, shape (n_bus,), and then those sums.
    """
    for position in range(len(order) - 1, n_roots - 1, -1):
        below[parent[order[position]]] += below[order[position]]
    for position in range(n_roots):
        result[order[position]] = 0.0
    for position in range(n_roots, len(order)):
        k = order[position]
        result[k] = result[parent[k]] + length[feed[k]] * below[k]


@njit(steps=lambda order, *_: 3 * len(order))
def resistance_times(order: Ints, parent: Ints, feed: Ints, n_roots: int, length: Floats, y: Floats) -> Floats:
    """R_T y, shape (n_bus,)."""
    result = np.empty(len(y))
    _resistance_times(order, parent, feed, n_roots, length, y.copy(), result)
    return result


@njit(steps=lambda p, *_: 60 * len(p))
def metric_b(
    p: Floats, q: Floats, r: Floats, tau: float, order: Ints, parent: Ints, feed: Ints, n_roots: int
) -> tuple[Floats, Floats, float, float]:
    """Metric B touching a reference tree (eq. 9-18).

    Returns
    -------
    i1, i2
        Real injections, shape (n_bus,): the loss of every tree T is at least F_r(T; i1) + F_r(T; i2) + constant.
    constant
        [pu]
    value
        The metric at the reference tree [pu], -inf where the reference gives none.
    """
    n = len(p)
    alpha = 1.0 / math.sqrt(1.0 + tau * tau)
    beta = tau * alpha
    rho, g, h = np.empty(len(r)), np.empty(n), np.empty(n)
    for e in range(len(r)):
        rho[e] = r[e] / alpha
    for k in range(n):
        g[k], h[k] = alpha * p[k] + beta * q[k], alpha * q[k] - beta * p[k]
    # Voltages of the comparison network on the reference tree: any reference is valid, so a bounded number of sweeps.
    drop, y, path = np.zeros(n), np.empty(n), np.empty(n)
    for _ in range(60):
        for k in range(n):
            y[k] = g[k] / (1.0 - drop[k])
        _resistance_times(order, parent, feed, n_roots, rho, y, path)
        for k in range(n):
            drop[k] = min(path[k], 0.49)
    a_max, k0 = drop[0], 0.0
    d, s, t = np.empty(n), np.empty(n), np.empty(n)
    for k in range(n):
        a_max = max(a_max, drop[k])
        own = 1.0 - drop[k]
        d[k] = g[k] / (own * own)
        k0 += g[k] * drop[k] / own - d[k] * drop[k]
    c = math.sqrt(1.0 / math.sqrt(1.0 - 2.0 * a_max))
    delta = 0.0
    for k in range(n):
        b = d[k] * (1.0 - 2.0 * drop[k])
        s[k], t[k] = d[k] / c + c * b, d[k] / c - c * b
        if s[k] > 0.0:
            delta = max(delta, abs(t[k]) / s[k])
    share = (1.0 - delta * delta) / 4.0
    iota = s.copy()
    for _ in range(200):
        for k in range(n):
            y[k] = iota[k]
        _resistance_times(order, parent, feed, n_roots, rho, y, path)
        change = largest = 0.0
        for k in range(n):
            fresh = s[k] + d[k] * path[k]
            if not abs(fresh - iota[k]) < 1e12:
                return iota, h, -np.inf, -np.inf
            change = max(change, abs(fresh - iota[k]))
            iota[k] = fresh
            largest = max(largest, abs(fresh))
        if change < 1e-13 * (1.0 + largest):
            break
    penalty = 0.0
    for k in range(n):
        if d[k] > 0.0:
            penalty += (iota[k] - s[k]) * (iota[k] - s[k]) / d[k]
    constant = alpha * k0 - alpha * share * penalty
    value = constant
    root = math.sqrt(share)
    for k in range(n):
        iota[k] *= root
    for part in range(2):
        i = iota if part == 0 else h
        for k in range(n):
            y[k] = i[k]
        _resistance_times(order, parent, feed, n_roots, r, y, path)
        for k in range(n):
            value += i[k] * path[k]
    return iota, h, constant, value
