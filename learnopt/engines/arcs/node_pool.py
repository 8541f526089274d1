"""The open nodes of the best-first search: a heap in a fixed amount of memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import njit
from learnopt.engines.arcs.arc_graph import LoopArcs
from learnopt.network import Bools, Floats, Ints

FULL = 0.9
"""Share of the pool in use from which on nodes of large bound come first."""
MEMORY = 2.5e8
"""Bytes of the pool."""
LEAST, MOST = 8, 200_000
"""Nodes of a pool."""
WAITING, NODES, LEAVES, IMPROVEMENTS = range(4)
"""Places in :attr:`Pool.scalars`: nodes in the heap, nodes explored, leaves, improvements."""
TO_BEAT, FACTOR, UNSETTLED = range(3)
"""Places in :attr:`Pool.best`: objective to beat, threshold over it, least bound of what is given up [pu]."""


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
    """shape (4,)."""
    best: Floats
    """shape (3,)."""
    best_closed: Bools
    """Leaf that improved last, shape (n_branch,)."""


def pool_of(arcs: LoopArcs, n_branch: int, upper: float, gap: float) -> Pool:
    """An empty pool."""
    n_arcs, (n, columns) = len(arcs.tail), arcs.injection.shape
    size = int(np.clip(MEMORY / (5 * n_arcs + 4 * n * columns + 24), LEAST, MOST))
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


@njit()
def push(pool: Any, alive: Bools, potential: Floats, weight: Floats, bound: float) -> None:
    """Add a node. Where there is no room the one of largest bound is given up: its bound stays that of the search."""
    if pool.scalars[WAITING] == len(pool.free):
        last = _dearest(pool)
        if pool.bound[pool.heap[last]] <= bound:
            pool.best[UNSETTLED] = min(pool.best[UNSETTLED], bound)
            return
        pool.best[UNSETTLED] = min(pool.best[UNSETTLED], pool.bound[pool.heap[last]])
        _pop(pool, last)
    size = pool.scalars[WAITING]
    slot = pool.free[len(pool.free) - 1 - size]
    pool.alive[slot] = alive
    pool.potential[slot] = potential
    pool.weight[slot] = weight
    pool.bound[slot] = bound
    at = size
    pool.scalars[WAITING] = size + 1
    heap = pool.heap
    while at > 0:
        above = (at - 1) // 2
        if pool.bound[heap[above]] <= bound:
            break
        heap[at] = heap[above]
        at = above
    heap[at] = slot


@njit()
def _pop(pool: Any, at: int) -> int:
    """Take the node at a position of the heap: its slot, free again."""
    heap = pool.heap
    slot = heap[at]
    size = pool.scalars[WAITING] - 1
    pool.scalars[WAITING] = size
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


@njit()
def _dearest(pool: Any) -> int:
    """Position in the heap of the node of largest bound."""
    at = 0
    for k in range(pool.scalars[WAITING] // 2, pool.scalars[WAITING]):
        if pool.bound[pool.heap[k]] > pool.bound[pool.heap[at]]:
            at = k
    return at


@njit()
def take(pool: Any, count: int) -> Ints:
    """Slots of the next nodes, at most ``count``: those of least bound, or of largest without an incumbent or room.

    They are free slots already: read them before anything is added.
    """
    slots = np.empty(count, np.int64)
    size = 0
    while size < count and pool.scalars[WAITING] > 0:
        dive = pool.best[TO_BEAT] == np.inf or pool.scalars[WAITING] > FULL * len(pool.free)
        slots[size] = _pop(pool, _dearest(pool) if dive else 0)
        size += 1
    return slots[:size]


@njit()
def give(pool: Any, brood: Any) -> None:
    """Take in what came out of a node."""
    pool.scalars[LEAVES] += brood.counts[1]
    pool.best[UNSETTLED] = min(pool.best[UNSETTLED], brood.leaf[1])
    if brood.leaf[0] < pool.best[TO_BEAT]:
        pool.best[TO_BEAT] = brood.leaf[0]
        pool.best_closed[:] = brood.closed
        pool.scalars[IMPROVEMENTS] += 1
    for k in range(brood.counts[0]):
        if brood.bound[k] < pool.best[TO_BEAT] * pool.best[FACTOR]:
            push(pool, brood.alive[k], brood.potential[k], brood.weight[k], brood.bound[k])


def open_bound(pool: Pool) -> float:
    """Least bound of what is still open [pu]; inf where nothing is."""
    least = float(pool.bound[pool.heap[0]]) if pool.scalars[WAITING] else np.inf
    return min(least, float(pool.best[UNSETTLED]))
