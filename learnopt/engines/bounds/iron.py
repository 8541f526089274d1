r"""Iron losses in the tree search: what a transformer loses for being energised, as a price of closing its branch.

A closed branch loses :math:`\tfrac{g}{2} (|V_i|^2 / t^2 + |V_j|^2)` in its shunt conductance, on top of all copper
losses. Its least value over the configurations of interest is a constant per branch, so it is a price that the search
knows how to bound. Derivation and equation numbers: ``docs/methods/ac_bound.md``, section 6.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from learnopt.formulations.arcs import Arcs
from learnopt.formulations.bounds import Bounds, derive_bounds
from learnopt.network import Bools, Floats, ReconfigurationProblem
from learnopt.network.topology import maximum_spanning_tree
from learnopt.physics import PowerFlow

PASSES = 2
"""Times that dear arcs are left out and voltages bounded anew."""
MANY = 40
"""With more branches of iron losses none of their directions is looked at alone."""


def iron_loss(problem: ReconfigurationProblem, v: NDArray[np.complex128]) -> Floats:
    """Loss in the shunt conductance of each branch at given voltages [pu], were it closed, shape (n_branch,)."""
    net, squared = problem.network, np.abs(v) ** 2
    return 0.5 * net.g * (squared[net.from_bus] / net.ratio**2 + squared[net.to_bus])


def held_iron_loss(problem: ReconfigurationProblem, flows: list[PowerFlow]) -> Floats:
    """Iron loss of each branch at the voltages of power flows [pu]: the mean; the least where the worst case counts."""
    losses = np.stack([iron_loss(problem, flow.v) for flow in flows])
    return losses.min(axis=0) if problem.worst_case else problem.weights @ losses


def least_iron_loss(problem: ReconfigurationProblem, cutoff: float) -> Floats:
    """Least loss of each branch in its shunt conductance while it is closed [pu], shape (n_branch,) (eq. 33, 34).

    Parameters
    ----------
    problem
        One scenario.
    cutoff
        It holds for configurations that respect the limits in force and lose at most this [pu]; may be infinite.
    """
    net = problem.network
    iron = np.flatnonzero(problem.usable & (net.g > 0) & (problem.blocks.block >= 0))
    price = np.zeros(net.n_branch)
    if not len(iron):
        return price
    arcs = Arcs.of(problem)
    possible, least = np.ones(len(arcs), dtype=bool), 0.0
    for _ in range(PASSES):
        # What iron loses at least, copper cannot.
        bounds = derive_bounds(problem, arcs, cutoff - least)
        low = _least_voltages(problem, arcs, bounds, possible)
        behind = low[arcs.tail] * arcs.sending_scale
        drop = _largest_drop(problem, arcs, bounds)
        arriving = np.maximum(behind - drop, low[arcs.head] / arcs.receiving_scale)
        each = 0.5 * net.g[arcs.branch] * (behind + np.maximum(arriving, 0.0))
        price[iron] = np.inf
        np.minimum.at(price, arcs.branch[possible], each[possible])
        price[~np.isfinite(price)] = 0.0  # no direction is left: it is never closed
        least = least_sum(problem, price)
        if len(iron) > MANY or not np.isfinite(cutoff):
            continue
        for a in np.flatnonzero(possible & np.isin(arcs.branch, iron) & (arcs.reverse >= 0)):
            if price[arcs.branch[a]] + _cheapest_way(problem, price, int(arcs.tail[a]), int(arcs.head[a])) > cutoff:
                possible[a] = False
    return price


def least_sum(problem: ReconfigurationProblem, price: Floats) -> float:
    """Least sum of prices of the closed branches [pu], shape (n_branch,): of a minimum spanning tree."""
    return float(price[maximum_spanning_tree(problem.network, problem.usable, -price, problem.must_close)].sum())


def _largest_drop(problem: ReconfigurationProblem, arcs: Arcs, bounds: Bounds) -> Floats:
    """Largest drop of squared voltage over the series impedance of each arc [pu]."""
    net = problem.network
    r, x = net.r[arcs.branch], net.x[arcs.branch]
    if not bounds.proven:
        return np.where((r > 0) | (x > 0), np.inf, 0.0)
    active, reactive = np.maximum(bounds.p_max, 0.0), np.maximum(bounds.q_max, 0.0)
    return 2 * (np.where(r > 0, r * active, 0.0) + np.where(x > 0, x * reactive, 0.0))


def _least_voltages(problem: ReconfigurationProblem, arcs: Arcs, bounds: Bounds, possible: Bools) -> Floats:
    """Least squared voltage of each bus, fed by one of the possible arcs, shape (n_bus,)."""
    net = problem.network
    drop = _largest_drop(problem, arcs, bounds)
    low = bounds.w_min.copy()
    for _ in range(net.n_bus):
        arriving = (low[arcs.tail] * arcs.sending_scale - drop) * arcs.receiving_scale
        fed = np.full(net.n_bus, np.inf)
        np.minimum.at(fed, arcs.head[possible], arriving[possible])
        raised = np.where(net.is_substation | ~np.isfinite(fed), low, np.maximum(low, fed))
        if (raised <= low * (1 + 1e-12)).all():
            break
        low = raised
    return low


def _cheapest_way(problem: ReconfigurationProblem, price: Floats, bus: int, avoided: int) -> float:
    """Least sum of prices on a path from a substation to a bus that avoids another, inf where there is none."""
    net = problem.network
    at: list[list[int]] = [[] for _ in range(net.n_bus)]
    for e in np.flatnonzero(problem.usable):
        at[net.from_bus[e]].append(int(e))
        at[net.to_bus[e]].append(int(e))
    queue = [(0.0, int(root)) for root in net.substations]
    done = {avoided}
    while queue:
        cost, k = heappop(queue)
        if k == bus:
            return cost
        if k in done:
            continue
        done.add(k)
        for branch in at[k]:
            far = int(net.from_bus[branch] + net.to_bus[branch]) - k
            if far not in done:
                heappush(queue, (cost + float(price[branch]), far))
    return math.inf
