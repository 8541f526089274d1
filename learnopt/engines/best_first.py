"""Best-first search over arborescences: raises the bound of all configurations from the first node on.

The depth-first search of :mod:`learnopt.engines.tree_kernel` is unbeaten where a proof takes a few thousand nodes of
microseconds each. Where it would take millions, many short loops with flat costs or thousands of buses, this one takes
over. A node of the search is a set of living arcs; its bound is the dual of :mod:`learnopt.engines.chains`, with
the trunk gain of :mod:`learnopt.engines.trunk` on top under the AC certificate. It branches on the parent of a bus, one
child per living arc, and always continues with the node of least bound, so the bound of the whole is that of the next
node. Without an incumbent, and when the pool is nearly full, it continues with the node of largest bound instead, whose
subtree is small.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnopt.engines.arborescence import (
    ascend_once,
    dual_value,
    flow_limits,
    move_weights,
    propagate,
)
from learnopt.engines.arc_graph import Arcs
from learnopt.engines.chains import Chains, ChainWork, chain_value, eliminate
from learnopt.engines.tree_kernel import FINISHED, IMPROVED, RUNNING
from learnopt.engines.trunk import TrunkData, leaf_loss, trunk_gain
from learnopt.network import Bools, Floats, Ints

ROOT_STEPS = 40
STEPS = 8
"""Steps of the dual ascent in a node that is kept."""
ROUNDS = 3
"""Times a node is settled anew after arcs were eliminated."""
TRIAL_STEPS = 3
"""Steps in a child that is tried for the choice of the bus to branch on."""
CANDIDATES = 5
"""Buses tried."""
POWER = 3
"""The choice falls on the least sum over children of (1 - rise of the bound / slack) to this power."""
FULL = 0.9
"""Share of the pool in use from which on nodes of large bound come first."""
MEMORY = 2.5e8
"""Bytes of the pool."""


class Pool(NamedTuple):
    """Open nodes; a slot holds one."""

    alive: Bools
    """shape (n_slots, n_arcs)."""
    potential: NDArray[np.float32]
    """shape (n_slots, n_nodes, n_columns)."""
    weight: NDArray[np.float32]
    """shape (n_slots, n_arcs)."""
    bound: Floats
    """shape (n_slots,)."""
    heap: Ints
    """Slots in use, as a binary heap by bound."""
    free: Ints
    """Slots not in use, as a stack."""
    scalars: Ints
    """Nodes in the heap, nodes explored, leaves, improvements."""
    best: Floats
    """Objective to beat, threshold factor, least value of an unresolved leaf [pu]."""
    best_closed: Bools
    """Leaf that improved last, shape (n_branch,)."""


class Frontier(NamedTuple):
    """What does not change during a search."""

    arcs: Arcs
    chains: Chains
    chain_work: ChainWork
    base_closed: Bools
    """Branches closed before any decision, shape (n_branch,)."""
    constant: float
    """Losses outside the loops, constants of the metric, cost of switching if no branch of the loops closes [pu]."""
    switching: float
    """The part of it that is cost of switching, if no branch of the loops closes [pu]."""
    gain: int
    """As in :class:`learnopt.engines.tree_frames.SearchData`."""
    floor: float
    """Least resistance in the preconditioner [pu]."""


def pool_of(arcs: Arcs, n_branch: int, upper: float, gap: float) -> Pool:
    """An empty pool."""
    n_arcs, (n, columns) = len(arcs.tail), arcs.injection.shape
    size = int(np.clip(MEMORY / (5 * n_arcs + 4 * n * columns + 24), 200, 200_000))
    return Pool(
        alive=np.empty((size, n_arcs), dtype=bool),
        potential=np.empty((size, n, columns), dtype=np.float32),
        weight=np.empty((size, n_arcs), dtype=np.float32),
        bound=np.empty(size),
        heap=np.empty(size, dtype=np.int64),
        free=np.arange(size)[::-1].copy(),
        scalars=np.zeros(4, dtype=np.int64),
        best=np.array([upper, 1.0 - gap, np.inf]),
        best_closed=np.zeros(n_branch, dtype=bool),
    )


@njit(cache=True)
def _push(pool: Any, alive: Bools, potential: Floats, weight: Floats, bound: float) -> None:
    size = pool.scalars[0]
    slot = pool.free[len(pool.free) - 1 - size]
    pool.alive[slot] = alive
    pool.potential[slot] = potential
    pool.weight[slot] = weight
    pool.bound[slot] = bound
    at = size
    pool.scalars[0] = size + 1
    heap = pool.heap
    while at > 0:
        above = (at - 1) // 2
        if pool.bound[heap[above]] <= bound:
            break
        heap[at] = heap[above]
        at = above
    heap[at] = slot


@njit(cache=True)
def _pop(pool: Any, at: int) -> int:
    """Take the node at a position of the heap: its slot, free again."""
    heap = pool.heap
    slot = heap[at]
    size = pool.scalars[0] - 1
    pool.scalars[0] = size
    pool.free[len(pool.free) - 1 - size] = slot
    last = heap[size]
    bound = pool.bound[last]
    while at > 0 and at < size and pool.bound[heap[(at - 1) // 2]] > bound:
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    while 2 * at + 1 < size:
        below = 2 * at + 1
        if below + 1 < size and pool.bound[heap[below + 1]] < pool.bound[heap[below]]:
            below += 1
        if pool.bound[heap[below]] >= bound:
            break
        heap[at] = heap[below]
        at = below
    if at < size:
        heap[at] = last
    return slot


@njit(cache=True)
def _settle(
    frontier: Any,
    trunk: TrunkData,
    work: Any,
    alive: Bools,
    potential: Floats,
    weight: Floats,
    parent: Ints,
    top: Ints,
    known: float,
    threshold: float,
    steps: int,
    trial: bool,
) -> float:
    """Bound of a node, inf where nothing below the threshold is left; changes everything it is given.

    ``known``: a bound proven before. A ``trial`` does without the trunk gain and without another round.
    """
    arcs = frontier.arcs
    gain = 0.0
    kept = potential.copy()
    for _ in range(ROUNDS):
        if not propagate(arcs, alive, parent, top):
            return np.inf
        flow_limits(arcs, parent, top, work)
        for j in range(1, len(parent)):  # weights of the arcs that are left sum to one
            total = 0.0
            for a in range(arcs.start[j], arcs.start[j + 1]):
                if alive[a]:
                    weight[a] = max(weight[a], 1e-6)
                    total += weight[a]
            for a in range(arcs.start[j], arcs.start[j + 1]):
                weight[a] = weight[a] / total if alive[a] else 0.0
        if not trial and frontier.gain > 0:
            closed = frontier.base_closed.copy()
            for j in range(1, len(parent)):
                if parent[j] >= 0:
                    for a in range(arcs.start[j], arcs.start[j + 1]):
                        if alive[a]:
                            closed[arcs.branch[a]] = True
            part, possible = trunk_gain(trunk, closed, frontier.gain)
            if not possible:
                return np.inf
            gain = max(gain, part[0])
        killed, top_value = 0, -np.inf
        for _ in range(steps):
            value = dual_value(arcs, potential, alive, work) + frontier.constant + gain
            if value > known:
                known = value
            if known >= threshold:
                return np.inf
            if value > top_value:
                top_value = value
                kept[:] = potential
            elif np.isnan(value):
                potential[:] = kept
                break
            # With another arc than the best the bound of the node is at least this.
            for j in range(1, len(parent)):
                if parent[j] < 0:
                    limit = work.value[work.best[j]] - (threshold - value)
                    for a in range(arcs.start[j], arcs.start[j + 1]):
                        if alive[a] and work.value[a] <= limit:
                            alive[a] = False
                            weight[a] = 0.0
                            killed += 1
            move_weights(arcs, weight, alive, work)
            ascend_once(arcs, potential, weight, alive, work, frontier.floor)
        value = dual_value(arcs, potential, alive, work) + frontier.constant + gain
        known = max(known, value)
        if not value > top_value:
            potential[:] = kept
        value = chain_value(frontier.chains, potential, alive, work.low, work.high, frontier.chain_work)
        value += frontier.constant + gain
        known = max(known, value)
        if known >= threshold:
            return np.inf
        if value == value:
            killed += eliminate(frontier.chains, alive, frontier.chain_work, threshold - value)
        if killed == 0 or trial:
            break
    return known


@njit(cache=True)
def _choose(arcs: Any, node: int, chosen: int, alive: Bools, trial: Bools) -> None:
    """``trial``: the arcs alive, of those into a node the chosen one only."""
    trial[:] = alive
    for a in range(arcs.start[node], arcs.start[node + 1]):
        trial[a] = a == chosen


@njit(cache=True)
def search_best_first(frontier: Any, trunk: TrunkData, pool: Any, work: Any, max_nodes: int) -> int:
    """Run until no node is left (FINISHED), the budget is spent (RUNNING) or the incumbent improves (IMPROVED)."""
    arcs = frontier.arcs
    n_nodes, n_arcs = len(arcs.start) - 1, len(arcs.tail)
    parent, top = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.int64)
    alive, weight = np.empty(n_arcs, np.bool_), np.empty(n_arcs)
    trial_alive, trial_weight = np.empty(n_arcs, np.bool_), np.empty(n_arcs)
    potential, trial_potential = np.empty(work.low.shape), np.empty(work.low.shape)
    scalars, best = pool.scalars, pool.best
    budget = scalars[1] + max_nodes
    candidates, score = np.empty(CANDIDATES, np.int64), np.empty(CANDIDATES)
    widest = 0
    for j in range(1, n_nodes):
        widest = max(widest, arcs.start[j + 1] - arcs.start[j])
    if scalars[1] == 0:
        scalars[1] = 1
        alive[:] = True
        potential[:] = 0.0
        weight[:] = 1.0
        threshold = best[0] * best[1]
        bound = _settle(
            frontier, trunk, work, alive, potential, weight, parent, top, -np.inf, threshold, ROOT_STEPS, False
        )
        if bound < threshold:
            _push(pool, alive, potential, weight, bound)
    while scalars[0] > 0:
        if scalars[1] >= budget:
            return RUNNING
        threshold = best[0] * best[1]
        at = 0
        if scalars[0] + widest + 1 > len(pool.free):
            return RUNNING
        if best[0] == np.inf or scalars[0] > FULL * len(pool.free):  # dive
            for k in range(scalars[0] // 2, scalars[0]):
                if pool.bound[pool.heap[k]] > pool.bound[pool.heap[at]]:
                    at = k
        slot = _pop(pool, at)
        bound = pool.bound[slot]
        scalars[1] += 1
        if bound >= threshold:
            continue
        alive[:] = pool.alive[slot]
        potential[:] = pool.potential[slot]
        weight[:] = pool.weight[slot]
        propagate(arcs, alive, parent, top)
        improved = False
        branch_on = -1
        count = 0
        for j in range(1, n_nodes):
            if parent[j] >= 0:
                continue
            branch_on = j
            heaviest, flow = 0.0, 0.0
            for a in range(arcs.start[j], arcs.start[j + 1]):
                if alive[a]:
                    heaviest = max(heaviest, weight[a])
                    drop = 0.0
                    for c in range(potential.shape[1]):
                        drop += (potential[j, c] - potential[arcs.tail[a], c]) ** 2
                    flow = max(flow, drop / max(arcs.r[a], frontier.floor))
            own = (1.0 - heaviest) * flow
            if count < CANDIDATES:
                k = count
                count += 1
            elif own > score[count - 1]:
                k = count - 1
            else:
                continue
            while k > 0 and score[k - 1] < own:
                score[k], candidates[k] = score[k - 1], candidates[k - 1]
                k -= 1
            score[k], candidates[k] = own, j
        if branch_on >= 0 and count > 1:
            least = np.inf
            for k in range(count):
                j = candidates[k]
                remaining = 0.0
                for chosen in range(arcs.start[j], arcs.start[j + 1]):
                    if not alive[chosen]:
                        continue
                    trial_potential[:], trial_weight[:] = potential, weight
                    _choose(arcs, j, chosen, alive, trial_alive)
                    found = _settle(
                        frontier, trunk, work, trial_alive, trial_potential, trial_weight, parent, top,
                        -np.inf, threshold, TRIAL_STEPS, True,
                    )  # fmt: skip
                    if found < threshold:
                        remaining += max(0.0, 1.0 - max(0.0, found - bound) / (threshold - bound)) ** POWER
                if remaining < least:
                    least, branch_on = remaining, j
        elif count == 1:
            branch_on = candidates[0]
        j = branch_on
        for chosen in range(arcs.start[j], arcs.start[j + 1]):
            if j < 0 or not alive[chosen]:
                continue
            trial_potential[:], trial_weight[:] = potential, weight
            _choose(arcs, j, chosen, alive, trial_alive)
            threshold = best[0] * best[1]
            found = _settle(
                frontier, trunk, work, trial_alive, trial_potential, trial_weight, parent, top,
                bound, threshold, STEPS, False,
            )  # fmt: skip
            if found >= threshold:
                continue
            propagate(arcs, trial_alive, parent, top)
            done = True
            for i in range(1, n_nodes):
                if parent[i] < 0:
                    done = False
                    break
            if not done:
                _push(pool, trial_alive, trial_potential, trial_weight, found)
                continue
            scalars[2] += 1
            closed = frontier.base_closed.copy()
            switching = frontier.switching
            for a in range(n_arcs):
                if trial_alive[a]:
                    closed[arcs.branch[a]] = True
                    switching += arcs.price[a]
            loss, resolved = leaf_loss(trunk, closed, threshold - switching, frontier.gain > 0)
            value = loss + switching
            if frontier.gain == 0:  # with all parents decided the dual is the loss of the model
                flow_limits(arcs, parent, top, work)
                value = dual_value(arcs, trial_potential, trial_alive, work) + frontier.constant
            if not resolved and frontier.gain != 0:
                best[2] = min(best[2], found)
            elif loss < np.inf and value < best[0]:
                best[0] = value
                pool.best_closed[:] = closed
                scalars[3] += 1
                improved = True
        if improved:
            return IMPROVED
    return FINISHED


def open_bound(pool: Pool) -> float:
    """Least bound of what is still open [pu]; inf where nothing is."""
    least = float(pool.bound[pool.heap[0]]) if pool.scalars[0] else np.inf
    return min(least, float(pool.best[2]))
