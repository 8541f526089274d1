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

from typing import Any, NamedTuple

import numpy as np

from learnopt.compiling import njit
from learnopt.engines.enumeration import TreeWalk, next_tree, tree_walk
from learnopt.formulations.conductor_selection import current_limit
from learnopt.network import Bools, Floats, Ints
from learnopt.network.conductors import ConductorProblem
from learnopt.physics.judge import LIMIT_TOLERANCE
from learnopt.physics.sweep import Grid, order_tree, problem_grid
from learnopt.studies.conductors.compiled import inner

_PASSES = 8
_SWEEPS = 4
_MARGIN = 1e-9
"""Relative margin of comparisons, and what is taken off a bound, for rounding."""


class BoundData(NamedTuple):
    """What the bound takes from a problem, per unit; n_type conductors."""

    p: Floats
    """Net loads off the substations, shape (n_bus,)."""
    q: Floats
    v_source: Floats
    """Squared voltage of each substation, shape (n_bus,)."""
    v_low: float
    """Least squared voltage that limits allow, 0 without a limit."""
    r: Floats
    """Of each branch with each conductor, shape (n_branch, n_type)."""
    x: Floats
    limit: Floats
    """Largest squared current."""
    premium: Floats
    """Annual cost above that of the cheapest conductor [currency]."""
    options: Bools
    """Conductors allowed."""
    per_unit: float
    """Annual cost of one unit of loss."""
    floor: float
    """Annual cost of the cheapest conductors."""


def bound_data(problem: ConductorProblem) -> BoundData:
    """A conductor problem for compiled code."""
    feeder, net = problem.feeder, problem.network
    fed = ~net.is_substation
    v_source = np.ones(net.n_bus)
    v_source[net.substations] = net.substation_vm**2
    # The least of all buses: what respects the limits of each respects this at all.
    lowest = (float(feeder.vm_min[fed].min(initial=np.inf)) / (1 + LIMIT_TOLERANCE)) ** 2 if fed.any() else 0.0
    return BoundData(
        p=np.where(fed, feeder.p, 0.0),
        q=np.where(fed, feeder.q, 0.0),
        v_source=v_source,
        v_low=lowest,
        r=problem.r,
        x=problem.x,
        limit=current_limit(problem),
        premium=problem.premium,
        options=problem.options,
        per_unit=problem.costs.per_kw * net.base.kw,
        floor=float(problem.least_investment.sum()),
    )


class Ranges(NamedTuple):
    """What is known of one configuration, by bus: of the branch that feeds it, its powers and its prices."""

    order: Ints
    """Tree as by :func:`learnopt.physics.sweep.order_tree`."""
    parent: Ints
    feed: Ints
    v_root: Floats
    """Squared voltage of its substation."""
    P0: Floats
    """Received powers without losses."""
    Q0: Floats
    P: Floats
    """Lower bounds of received powers."""
    Q: Floats
    v: Floats
    """Upper bound of the squared voltage."""
    low: Floats
    """Range of the squared current."""
    high: Floats
    possible: Bools
    """Conductors not excluded, shape (n_bus, n_type)."""
    r_low: Floats
    """Ranges of what they leave."""
    r_high: Floats
    x_low: Floats
    x_high: Floats
    cap: Floats
    """Largest squared current that some of them allows."""
    alpha: Floats
    beta: Floats
    price: Floats
    """Multipliers lambda of the cones."""
    on_p: Floats
    """Sums of prices Lambda^P, Lambda^Q and kappa."""
    on_q: Floats
    on_u: Floats
    pick: Ints
    """Economic conductor."""


@njit()
def ranges_of(n: int, types: int) -> Ranges:
    """Room for the ranges of configurations of n buses."""
    tree, work = np.zeros((4, n), np.int64), np.zeros((19, n))
    return Ranges(
        tree[0], tree[1], tree[2], work[0], work[1], work[2], work[3], work[4], work[5], work[6], work[7],
        np.zeros((n, types), np.bool_), work[8], work[9], work[10], work[11], work[12], work[13], work[14], work[15],
        work[16], work[17], work[18], tree[3],
    )  # fmt: skip


@njit()
def configuration_bound(data: Any, at: Any, cutoff: float) -> float:
    """Lower bound of the annual cost, infinite where no conductors respect the limits; before a margin for rounding.

    Stops as soon as the bound reaches ``cutoff``.

    Parameters
    ----------
    at
        :class:`Ranges` with the tree of the configuration; the rest is filled.
    """
    bound = _lossless(data, at)
    if bound >= cutoff:
        return bound
    for k in at.order:
        at.price[k] = at.on_p[k] = 0.0
        if at.parent[k] >= 0:
            at.possible[k] = data.options[at.feed[k]]
    for _ in range(_PASSES):
        if not (_narrow(data, at) and _from_below(data, at)):
            return np.inf
        _from_above(data, at)
        _set_prices(data, at)
        bound = _priced(data, at)
        if bound >= cutoff or not _exclude(data, at, bound, cutoff):
            break
    return bound


@inner
def _lossless(data: Any, at: Any) -> float:
    """Powers and currents without losses, and the cost of the best conductors for them."""
    order, parent, feed, P0, Q0 = at.order, at.parent, at.feed, at.P0, at.Q0
    P0[:] = data.p
    Q0[:] = data.q
    for k in order[::-1]:
        above = parent[k]
        if above >= 0 and parent[above] >= 0:
            P0[above] += P0[k]
            Q0[above] += Q0[k]
    bound = data.floor
    for k in order:
        if parent[k] < 0:
            at.v_root[k] = data.v_source[k]
            continue
        e = feed[k]
        at.v_root[k] = at.v_root[parent[k]]
        at.low[k] = (P0[k] ** 2 + Q0[k] ** 2) / at.v_root[k]
        least = np.inf
        for t in range(data.r.shape[1]):
            if data.options[e, t] and data.limit[e, t] >= at.low[k] * (1 - _MARGIN):
                least = min(least, data.premium[e, t] + data.per_unit * data.r[e, t] * at.low[k])
        bound += least
    return bound


@inner
def _narrow(data: Any, at: Any) -> bool:
    """Conductors whose limit lies below the least current go; ranges of what is left. False where a branch has none."""
    for k in at.order:
        if at.parent[k] < 0:
            continue
        e = at.feed[k]
        r_low, r_high, x_low, x_high, cap = np.inf, 0.0, np.inf, 0.0, 0.0
        for t in range(data.r.shape[1]):
            if at.possible[k, t] and data.limit[e, t] < at.low[k] * (1 - _MARGIN):
                at.possible[k, t] = False
            if at.possible[k, t]:
                r_low, r_high = min(r_low, data.r[e, t]), max(r_high, data.r[e, t])
                x_low, x_high = min(x_low, data.x[e, t]), max(x_high, data.x[e, t])
                cap = max(cap, data.limit[e, t])
        if r_low == np.inf:
            return False
        at.r_low[k], at.r_high[k], at.x_low[k], at.x_high[k], at.cap[k] = r_low, r_high, x_low, x_high, cap
    return True


@inner
def _from_below(data: Any, at: Any) -> bool:
    """Sweeps with the least r and x: l, P, Q from below and v from above. False where a voltage falls too low."""
    P, Q, v, low = at.P, at.Q, at.v, at.low
    for _ in range(_SWEEPS):
        _flows(at, at.r_low, at.x_low, low, P, Q)
        for k in at.order:
            above = at.parent[k]
            if above < 0:
                v[k] = at.v_root[k]
                continue
            r, x = at.r_low[k], at.x_low[k]
            v[k] = v[above] - 2 * (r * P[k] + x * Q[k]) - (r**2 + x**2) * low[k]
            if v[k] < data.v_low * (1 - _MARGIN) or v[k] <= 0.0:
                return False
            low[k] = max(low[k], (P[k] ** 2 + Q[k] ** 2) / v[k])
    return True


@inner
def _from_above(data: Any, at: Any) -> None:
    """Sweeps with the largest r and x to their limit: l from above; where they have none the caps remain."""
    high, n = at.high, len(at.order)
    P, Q, v = np.empty(n), np.empty(n), np.empty(n)
    high[:] = at.low
    settled = False
    for _ in range(60):
        _flows(at, at.r_high, at.x_high, high, P, Q)
        change = 0.0
        for k in at.order:
            above = at.parent[k]
            if above < 0:
                v[k] = at.v_root[k]
                continue
            r, x = at.r_high[k], at.x_high[k]
            drop = 2 * (r * P[k] + x * Q[k]) + (r**2 + x**2) * high[k]
            v[k] = max(v[above] - drop, data.v_low * (1 - 1e-5))
            fresh = at.cap[k]
            if v[k] > 0.0:
                fresh = min(fresh, (P[k] ** 2 + Q[k] ** 2) / v[k])
            change = max(change, fresh - high[k] * (1 + 1e-7))
            high[k] = max(high[k], fresh)
        if change <= 0.0:
            settled = True
            break
    for k in at.order:
        high[k] = min(high[k] * (1 + 1e-5), at.cap[k]) if settled else at.cap[k]


@inner
def _set_prices(data: Any, at: Any) -> None:
    """Prices at the economic conductor and the middle of the ranges, with their sums."""
    order, parent, feed, price, pick = at.order, at.parent, at.feed, at.price, at.pick
    for k in order:
        if parent[k] < 0:
            continue
        e = feed[k]
        least = np.inf
        for t in range(data.r.shape[1]):
            if at.possible[k, t]:
                cost = data.premium[e, t] + (data.per_unit + at.on_p[k]) * data.r[e, t] * at.low[k]
                if cost < least:
                    least, pick[k] = cost, t
        at.alpha[k], at.beta[k] = at.P[k] / at.v[k], at.Q[k] / at.v[k]
        price[k] = max(price[k], data.per_unit * data.r[e, pick[k]])
    for _ in range(3):
        _sum_prices(at)
        for k in order:
            if parent[k] >= 0:
                r, x = data.r[feed[k], pick[k]], data.x[feed[k], pick[k]]
                price[k] = r * (data.per_unit + at.on_p[k]) + x * at.on_q[k] + at.on_u[k] * (r**2 + x**2)
    # The sums belong to the prices of the last update.
    _sum_prices(at)


@inner
def _priced(data: Any, at: Any) -> float:
    """The bound at the prices as they are."""
    bound = data.floor
    for k in at.order:
        if at.parent[k] >= 0:
            alpha, beta = at.alpha[k], at.beta[k]
            constant = 2 * alpha * at.P0[k] + 2 * beta * at.Q0[k] - (alpha**2 + beta**2) * at.v_root[k]
            bound += at.price[k] * constant + _least(data, at, k)
    return bound


@inner
def _exclude(data: Any, at: Any, bound: float, cutoff: float) -> bool:
    """Exclude conductors that lift the bound to the cutoff; False where there are none."""
    changed = False
    for k in at.order:
        if at.parent[k] < 0:
            continue
        least = _least(data, at, k)
        for t in range(data.r.shape[1]):
            if at.possible[k, t] and bound - least + _term(data, at, k, t) >= cutoff * (1 + _MARGIN):
                at.possible[k, t] = False
                changed = True
    return changed


@inner
def _sum_prices(at: Any) -> None:
    """Sums of prices from the leaves (kappa) and from the root (Lambda), for the prices as they are."""
    order, parent, price, on_u = at.order, at.parent, at.price, at.on_u
    on_u[:] = 0.0
    for k in order[::-1]:
        if parent[k] >= 0:
            on_u[k] += price[k] * (at.alpha[k] ** 2 + at.beta[k] ** 2)
            on_u[parent[k]] += on_u[k]
    for k in order:
        above = parent[k]
        if above < 0:
            continue
        at.on_p[k] = at.on_q[k] = 0.0
        if parent[above] >= 0:
            at.on_p[k] = at.on_p[above] + 2 * price[above] * at.alpha[above]
            at.on_q[k] = at.on_q[above] + 2 * price[above] * at.beta[above]


@inner
def _flows(at: Any, r: Floats, x: Floats, ell: Floats, P: Floats, Q: Floats) -> None:
    """Received powers with the losses of squared currents ``ell`` downstream."""
    parent, P0, Q0 = at.parent, at.P0, at.Q0
    P[:] = P0
    Q[:] = Q0
    # P0 already holds the loads below: only losses are passed on.
    for k in at.order[::-1]:
        above = parent[k]
        if above >= 0 and parent[above] >= 0:
            P[above] += P[k] - P0[k] + r[k] * ell[k]
            Q[above] += Q[k] - Q0[k] + x[k] * ell[k]


@inner
def _least(data: Any, at: Any, k: int) -> float:
    """Least term of one branch over its conductors."""
    least = np.inf
    for t in range(data.r.shape[1]):
        if at.possible[k, t]:
            least = min(least, _term(data, at, k, t))
    return least


@inner
def _term(data: Any, at: Any, k: int, t: int) -> float:
    """Term of one branch with conductor ``t``, at the end of the range of its current that makes it least."""
    e = at.feed[k]
    r, x, kappa = data.r[e, t], data.x[e, t], at.on_u[k]
    slope = r * (data.per_unit + at.on_p[k]) + x * at.on_q[k] + kappa * (r**2 + x**2) - at.price[k]
    term = data.premium[e, t] + 2 * kappa * (r * at.P[k] + x * at.Q[k])
    return term + slope * (at.low[k] if slope >= 0 else at.high[k])


SEEN, KEPT = range(2)
"""Places in :attr:`Survivors.counts`: configurations seen and kept."""


class Survivors(NamedTuple):
    """Where a walk through all configurations stands, and those whose bound stayed below the cutoff."""

    walk: TreeWalk
    closed: Bools
    """The configuration looked at, shape (n_branch,)."""
    counts: Ints
    """shape (2,)."""
    kept: Bools
    """Configurations kept, in the first rows, shape (n, n_branch)."""
    bounds: Floats
    """Their bounds, shape (n,)."""


def survivors_of(problem: ConductorProblem, most: int) -> tuple[Grid, Survivors]:
    """The feeder, and the walk before its first configuration, with room for so many survivors."""
    feeder = problem.feeder
    at = Survivors(
        walk=tree_walk(feeder.core),
        closed=feeder.usable & ~feeder.free & (feeder.blocks.block >= 0),
        counts=np.zeros(2, dtype=np.int64),
        kept=np.zeros((most, feeder.network.n_branch), dtype=bool),
        bounds=np.zeros(most),
    )
    return problem_grid(feeder), at


@njit()
def survive(grid: Any, data: Any, found: Any, cutoff: float, stop_at: int) -> float:
    """Go on through all radial configurations; keep those with a bound below the cutoff.

    Ends after ``stop_at`` configurations, where the table of :class:`Survivors` is full, or with the walk. Returns the
    least bound of the configurations not kept, infinite where there are none.
    """
    at = ranges_of(len(data.p), data.r.shape[1])
    closed, counts, least = found.closed, found.counts, np.inf
    while counts[SEEN] < stop_at and counts[KEPT] < len(found.bounds):
        if not next_tree(found.walk, closed):
            break
        counts[SEEN] += 1
        order_tree(grid, closed, at.order, at.parent, at.feed)
        bound = configuration_bound(data, at, cutoff) * (1 - _MARGIN)
        if bound < cutoff:
            found.kept[counts[KEPT]] = closed
            found.bounds[counts[KEPT]] = bound
            counts[KEPT] += 1
        else:
            least = min(least, bound)
    return least
