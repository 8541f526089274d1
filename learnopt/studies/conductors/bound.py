r"""A lower bound of the annual cost of every choice of conductors for one configuration, in microseconds.

For p, q >= 0 and no charging, where :func:`learnopt.formulations.conductor_selection.economic_limit` holds. Notation
of docs/methods/ac_bound.md: received powers P, Q of the branch that feeds bus k, :math:`u_k = V_0^2 - v_k`, S0 the flow
without losses; T the conductors chosen, k the annual cost of one unit of loss.

1.  *Ranges.* DistFlow is a fixed point of a map nondecreasing in l, r and x. With the least r and x that the conductors
    still possible leave, every iterate from l = 0 bounds l, P, Q from below and v from above; with the largest, its
    limit bounds l from above (capped by the largest l that a conductor still possible allows, and v by the limit: for
    the solution reached from l = 0, by induction). A conductor whose limit lies below the least l is impossible.
2.  *Prices.* The cone gives :math:`\ell_k \ge 2\alpha P_k + 2\beta Q_k - (\alpha^2 + \beta^2) v_k` for any
    :math:`\alpha, \beta`. Add these with multipliers :math:`\lambda_k \ge 0` to the cost. Collecting the terms of each
    branch (what its l adds to P and Q above it, and to u below it) leaves

    .. math::

        \text{cost} \ge \sum_k \lambda_k A_k + \sum_k \min_t \left[ c_{kt} + D_{kt} \ell_k
        + 2 \kappa_k (r_t P_k + x_t Q_k) \right], \quad
        D_{kt} = r_t (k + \Lambda^P_k) + x_t \Lambda^Q_k + \kappa_k |z_t|^2 - \lambda_k

    with :math:`A = 2\alpha P0 + 2\beta Q0 - (\alpha^2 + \beta^2) V_0^2`, :math:`\Lambda^P` the sum of
    :math:`2\lambda\alpha` over the branches above (:math:`\Lambda^Q` with beta), :math:`\kappa` the sum of
    :math:`\lambda (\alpha^2 + \beta^2)` over the branch and those below. Each minimum is taken with the end of the
    range of l that makes it least. Any :math:`\lambda \ge 0` is valid; those used make D vanish for a good conductor.
3.  A conductor that lifts this bound to the cutoff is impossible; then again from 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from learnopt.engines.enumeration import next_tree
from learnopt.network import Bools, Floats, Ints
from learnopt.physics.sweep import order_tree

_PASSES = 8
_SWEEPS = 4
_MARGIN = 1e-9
"""Relative margin of comparisons, and what is taken off a bound, for rounding."""


@njit(cache=True)
def configuration_bound(
    order: Ints,
    parent: Ints,
    feed: Ints,
    p: Floats,
    q: Floats,
    v_root: Floats,
    v_low: float,
    r: Floats,
    x: Floats,
    limit: Floats,
    premium: Floats,
    options: Bools,
    per_unit: float,
    floor: float,
    cutoff: float,
) -> float:
    """Lower bound of the annual cost, infinite where no conductors respect the limits; before a margin for rounding.

    Stops as soon as the bound reaches ``cutoff``.

    Parameters
    ----------
    order, parent, feed
        Tree as by :func:`learnopt.physics.sweep.order_tree`.
    v_root
        Squared voltage of the substation of each bus [pu], shape (n_bus,).
    v_low
        Least squared voltage that limits allow, 0 without a limit.
    r, x, limit, premium, options
        Of each branch with each conductor: impedance, largest squared current, annual cost above the cheapest, allowed.
    per_unit
        Annual cost of one unit of loss.
    floor
        Annual cost of the cheapest conductors.
    """
    n, types = len(order), r.shape[1]
    P0, Q0 = p.copy(), q.copy()
    for position in range(n - 1, -1, -1):
        k = order[position]
        if parent[k] >= 0 and parent[parent[k]] >= 0:
            P0[parent[k]] += P0[k]
            Q0[parent[k]] += Q0[k]
    low = np.zeros(n)
    bound = floor
    for k in order:
        if parent[k] < 0:
            continue
        e = feed[k]
        low[k] = (P0[k] ** 2 + Q0[k] ** 2) / v_root[k]
        least = np.inf
        for t in range(types):
            if options[e, t] and limit[e, t] >= low[k] * (1 - _MARGIN):
                least = min(least, premium[e, t] + per_unit * r[e, t] * low[k])
        bound += least
    if bound >= cutoff:
        return bound

    possible = np.zeros((n, types), np.bool_)
    r_low, r_high, x_low, x_high, cap = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    P, Q, v, high = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    P_ref, Q_ref = np.empty(n), np.empty(n)
    alpha, beta, price = np.zeros(n), np.zeros(n), np.zeros(n)
    on_p, on_q, on_u = np.zeros(n), np.zeros(n), np.zeros(n)
    pick = np.zeros(n, np.int64)
    for k in order:
        if parent[k] >= 0:
            possible[k] = options[feed[k]]
    for _ in range(_PASSES):
        # 1. ranges
        for k in order:
            if parent[k] < 0:
                continue
            e = feed[k]
            r_low[k], r_high[k], x_low[k], x_high[k], cap[k] = np.inf, 0.0, np.inf, 0.0, 0.0
            for t in range(types):
                if possible[k, t] and limit[e, t] < low[k] * (1 - _MARGIN):
                    possible[k, t] = False
                if possible[k, t]:
                    r_low[k], r_high[k] = min(r_low[k], r[e, t]), max(r_high[k], r[e, t])
                    x_low[k], x_high[k] = min(x_low[k], x[e, t]), max(x_high[k], x[e, t])
                    cap[k] = max(cap[k], limit[e, t])
            if r_low[k] == np.inf:
                return np.inf
        for _sweep in range(_SWEEPS):
            _flows(order, parent, P0, Q0, r_low, x_low, low, P, Q)
            for k in order:
                above = parent[k]
                if above < 0:
                    v[k] = v_root[k]
                    continue
                z2 = r_low[k] ** 2 + x_low[k] ** 2
                v[k] = v[above] - 2 * (r_low[k] * P[k] + x_low[k] * Q[k]) - z2 * low[k]
                if v[k] < v_low * (1 - _MARGIN) or v[k] <= 0.0:
                    return np.inf
                low[k] = max(low[k], (P[k] ** 2 + Q[k] ** 2) / v[k])
        high[:] = low
        P_ref[:] = P
        Q_ref[:] = Q
        settled = False
        for _sweep in range(60):
            _flows(order, parent, P0, Q0, r_high, x_high, high, P_ref, Q_ref)
            change = 0.0
            for k in order:
                above = parent[k]
                if above < 0:
                    alpha[k] = v_root[k]  # alpha holds the lower voltage for the moment
                    continue
                z2 = r_high[k] ** 2 + x_high[k] ** 2
                drop = 2 * (r_high[k] * P_ref[k] + x_high[k] * Q_ref[k]) + z2 * high[k]
                alpha[k] = max(alpha[above] - drop, v_low * (1 - 1e-5))
                fresh = cap[k]
                if alpha[k] > 0.0:
                    fresh = min(fresh, (P_ref[k] ** 2 + Q_ref[k] ** 2) / alpha[k])
                change = max(change, fresh - high[k] * (1 + 1e-7))
                high[k] = max(high[k], fresh)
            if change <= 0.0:
                settled = True
                break
        for k in order:
            high[k] = min(high[k] * (1 + 1e-5), cap[k]) if settled else cap[k]

        # 2. prices, at the economic conductor and the middle of the ranges
        for k in order:
            if parent[k] < 0:
                continue
            e = feed[k]
            least = np.inf
            for t in range(types):
                if possible[k, t]:
                    cost = premium[e, t] + (per_unit + on_p[k]) * r[e, t] * low[k]
                    if cost < least:
                        least, pick[k] = cost, t
            alpha[k], beta[k] = P[k] / v[k], Q[k] / v[k]
            price[k] = max(price[k], per_unit * r[e, pick[k]])
        for _round in range(3):
            _sum_prices(order, parent, price, alpha, beta, on_u, on_p, on_q)
            for k in order:
                if parent[k] >= 0:
                    rt, xt = r[feed[k], pick[k]], x[feed[k], pick[k]]
                    price[k] = rt * (per_unit + on_p[k]) + xt * on_q[k] + on_u[k] * (rt**2 + xt**2)
        # The sums belong to the prices of the last update.
        _sum_prices(order, parent, price, alpha, beta, on_u, on_p, on_q)
        bound = floor
        for k in order:
            if parent[k] < 0:
                continue
            constant = 2 * alpha[k] * P0[k] + 2 * beta[k] * Q0[k] - (alpha[k] ** 2 + beta[k] ** 2) * v_root[k]
            bound += price[k] * constant + _least(
                k, feed[k], possible, r, x, premium, per_unit, on_p, on_q, on_u, price, low, high, P, Q, -1
            )
        if bound >= cutoff:
            return bound

        # 3. conductors that cannot be part of anything below the cutoff
        changed = False
        for k in order:
            if parent[k] < 0:
                continue
            e = feed[k]
            least = _least(k, e, possible, r, x, premium, per_unit, on_p, on_q, on_u, price, low, high, P, Q, -1)
            for t in range(types):
                if possible[k, t]:
                    own = _least(k, e, possible, r, x, premium, per_unit, on_p, on_q, on_u, price, low, high, P, Q, t)
                    if bound - least + own >= cutoff * (1 + _MARGIN):
                        possible[k, t] = False
                        changed = True
        if not changed:
            break
    return bound


@njit(cache=True)
def _sum_prices(
    order: Ints, parent: Ints, price: Floats, alpha: Floats, beta: Floats, on_u: Floats, on_p: Floats, on_q: Floats
) -> None:
    """Sums of prices from the leaves (kappa) and from the root (Lambda), for the prices as they are."""
    for k in order:
        on_u[k] = 0.0
    for k in order[::-1]:
        if parent[k] >= 0:
            on_u[k] += price[k] * (alpha[k] ** 2 + beta[k] ** 2)
            on_u[parent[k]] += on_u[k]
    for k in order:
        above = parent[k]
        if above < 0:
            continue
        on_p[k], on_q[k] = 0.0, 0.0
        if parent[above] >= 0:
            on_p[k] = on_p[above] + 2 * price[above] * alpha[above]
            on_q[k] = on_q[above] + 2 * price[above] * beta[above]


@njit(cache=True)
def _flows(
    order: Ints, parent: Ints, P0: Floats, Q0: Floats, r: Floats, x: Floats, ell: Floats, P: Floats, Q: Floats
) -> None:
    """Received powers with the losses of squared currents ``ell`` downstream."""
    P[:] = P0
    Q[:] = Q0
    # P0 already holds the loads below: only losses are passed on.
    for position in range(len(order) - 1, -1, -1):
        k = order[position]
        above = parent[k]
        if above >= 0 and parent[above] >= 0:
            P[above] += P[k] - P0[k] + r[k] * ell[k]
            Q[above] += Q[k] - Q0[k] + x[k] * ell[k]


@njit(cache=True)
def _least(
    k: int,
    e: int,
    possible: Bools,
    r: Floats,
    x: Floats,
    premium: Floats,
    per_unit: float,
    on_p: Floats,
    on_q: Floats,
    on_u: Floats,
    price: Floats,
    low: Floats,
    high: Floats,
    P: Floats,
    Q: Floats,
    only: int,
) -> float:
    """Least term of one branch over its conductors, or that of conductor ``only``."""
    least = np.inf
    for t in range(r.shape[1]):
        if possible[k, t] and (only < 0 or only == t):
            rt, xt = r[e, t], x[e, t]
            slope = rt * (per_unit + on_p[k]) + xt * on_q[k] + on_u[k] * (rt**2 + xt**2) - price[k]
            term = premium[e, t] + 2 * on_u[k] * (rt * P[k] + xt * Q[k])
            term += slope * (low[k] if slope >= 0 else high[k])
            least = min(least, term)
    return least


@njit(cache=True)
def survivors(
    grid: Any,
    v_root: Floats,
    network: tuple[Floats, Floats, float],
    tables: tuple[Floats, Floats, Floats, Floats, Bools],
    prices: tuple[float, float, float],
    core: tuple[Ints, Ints, Ints, int],
    closed: Bools,
    state: Ints,
    label: Ints,
    progress: Ints,
    stop_at: int,
    kept: Bools,
    bounds: Floats,
) -> float:
    """Go on through all radial configurations; keep those with a bound below the cutoff.

    Returns the least bound of the others, infinite where there are none.

    Parameters
    ----------
    network
        Net loads p, q and ``v_low``.
    tables
        r, x, limit, premium, options of :func:`configuration_bound`.
    prices
        per_unit, floor, cutoff.
    core
        Branches, tails, heads and number of nodes of the graph whose spanning trees are the configurations.
    closed
        States; those of the core change.
    state, label
        As for :func:`learnopt.engines.enumeration.next_tree`.
    progress
        (configurations, kept, depth); depth -1 after the last.
    kept, bounds
        Configurations kept and their bounds, shape (n, n_branch) and (n,); a full table ends the search.
    """
    branches, tail, head, n_nodes = core
    p, q, v_low = network
    r, x, limit, premium, options = tables
    per_unit, floor, cutoff = prices
    n, m = len(p), len(branches)
    order, parent, feed = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    own_root = np.empty(n)
    scratch = np.empty(n_nodes, np.int64)
    least = np.inf
    while progress[2] >= 0 and progress[0] < stop_at and progress[1] < len(bounds):
        if n_nodes > 1:
            progress[2] = next_tree(tail, head, n_nodes, state, label, scratch, progress[2])
            if progress[2] < 0:
                break
        for i in range(m):
            closed[branches[i]] = i < progress[2] and state[i] == 1
        progress[0] += 1
        order_tree(grid, closed, order, parent, feed)
        for k in order:
            own_root[k] = v_root[k] if parent[k] < 0 else own_root[parent[k]]
        bound = configuration_bound(
            order, parent, feed, p, q, own_root, v_low, r, x, limit, premium, options, per_unit, floor, cutoff
        )  # fmt: skip
        bound *= 1 - _MARGIN
        if bound < cutoff:
            kept[progress[1]] = closed
            bounds[progress[1]] = bound
            progress[1] += 1
        else:
            least = min(least, bound)
        if n_nodes == 1:
            progress[2] = -1
    return least
