r"""Iterated exchange for fixed load currents: thousands of kicks a second, for incumbents of large and flat feeders.

The tree is kept on the graph of :mod:`learnopt.engines.arcs.arc_graph` (bridges contracted). Closing a tie and opening
branch k of its loop moves :math:`-f_k` around the loop, so the loss changes by
:math:`\sum_c -2 f_{kc} \sum_l r_l f_{lc} + f_{kc}^2 \sum_l r_l`, exactly, at the cost of walking the loop once. A kick
opens a random branch of a random loop, and again in a loop that touches it; exchange leads to the next local optimum,
which is kept unless it is worse. A heuristic: AC power flows judge what comes out.

References
----------
Lourenço, Martin, Stützle (2003), doi:10.1007/0-306-48056-5_11 (iterated local search).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from learnopt.compiling import njit
from learnopt.engines.arcs.arc_graph import ArcGraph, LoopArcs
from learnopt.network import Bools, Configuration, Floats, Ints, ReconfigurationProblem

LEAST = 1e-10
"""Relative change of the loss that counts."""
DRAWS = 4
"""Random numbers of a kick."""
DOUBT = 0.02
"""Added to every belief that guides kicks, so that each exchange stays possible."""


@njit()
def _loop(arcs: Any, tie: int, parent: Ints, mark: Ints, stamp: int, loop: Ints) -> tuple[int, int]:
    """Nodes whose feeding branches form the loop of a tie: first those from one end up, then those from the other.

    Returns how many from the first end, and in all. Both ends climb in turn until one meets the path of the other.
    """
    a, b = arcs.end_a[tie], arcs.end_b[tie]
    i, j = a, b
    mark[i] = stamp
    meet = -1
    if i == j:
        return 0, 0
    mark[j] = stamp
    while meet < 0:
        if i != 0:
            i = parent[i]
            if mark[i] == stamp:
                meet = i
                break
            mark[i] = stamp
        if j != 0:
            j = parent[j]
            if mark[j] == stamp:
                meet = j
                break
            mark[j] = stamp
    size = 0
    k = a
    while k != meet:
        loop[size] = k
        size += 1
        k = parent[k]
    first = size
    k = b
    while k != meet:
        loop[size] = k
        size += 1
        k = parent[k]
    return first, size


@njit()
def _exchange(
    arcs: Any, tie: int, at: int, first: int, size: int, loop: Ints, parent: Ints, feed: Ints, flow: Floats
) -> int:
    """Close a tie, open the branch above ``loop[at]`` and return it; flows run from parent to child."""
    cut = loop[at]
    opened = feed[cut]
    own = at < first
    moved = flow[cut].copy()
    for k in range(size):
        if (k < first) != own:
            flow[loop[k]] += moved
        elif k > at:
            flow[loop[k]] -= moved
    # Between the tie and the cut parents become children: each bus gets what the cut carried less what it passed up.
    node, above = (arcs.end_a[tie], arcs.end_b[tie]) if own else (arcs.end_b[tie], arcs.end_a[tie])
    branch = tie
    passed = np.zeros(len(moved))
    while True:
        before, through, carried = parent[node], feed[node], flow[node].copy()
        parent[node], feed[node] = above, branch
        flow[node] = moved - passed
        if node == cut:
            return opened
        node, above, branch, passed = before, node, through, carried


@njit()
def _descend(
    arcs: Any, r: Floats, price: Floats, free: Bools, parent: Ints, feed: Ints, flow: Floats, ties: Ints,
    mark: Ints, stamp: int, loop: Ints,
) -> int:  # fmt: skip
    """Best exchange of each tie in turn, until none improves; returns the last stamp."""
    idle = 0
    at = 0
    while idle < len(ties):
        tie = ties[at]
        stamp += 1
        first, size = _loop(arcs, tie, parent, mark, stamp, loop)
        resistance, difference = r[tie], np.zeros(flow.shape[1])
        for k in range(size):
            own = r[feed[loop[k]]]
            resistance += own
            for c in range(flow.shape[1]):
                difference[c] += own * flow[loop[k], c] if k < first else -own * flow[loop[k], c]
        choice, least = -1, 0.0
        for k in range(size):
            branch = feed[loop[k]]
            if not free[branch]:
                continue
            change, scale = price[tie] - price[branch], 0.0
            for c in range(flow.shape[1]):
                f = flow[loop[k], c]
                along = difference[c] if k < first else -difference[c]
                change += f * (f * resistance - 2.0 * along)
                scale += f * f * resistance
            if change < least - LEAST * scale:
                choice, least = k, change
        if choice >= 0:
            ties[at] = _exchange(arcs, tie, choice, first, size, loop, parent, feed, flow)
            idle = 0
        else:
            idle += 1
        at = (at + 1) % len(ties)
    return stamp


@njit()
def _loss(r: Floats, price: Floats, feed: Ints, flow: Floats) -> float:
    total = 0.0
    for j in range(1, len(feed)):
        total += price[feed[j]]
        for c in range(flow.shape[1]):
            total += r[feed[j]] * flow[j, c] ** 2
    return total


@njit()
def _draw(weight: Floats, branches: Ints, uniform: float) -> int:
    """Place of a branch drawn with probability proportional to its weight."""
    left = 0.0
    for e in branches:
        left += weight[e]
    left *= uniform
    for k in range(len(branches)):
        left -= weight[branches[k]]
        if left < 0.0:
            return k
    return len(branches) - 1


@njit()
def _kicks(
    arcs: Any, r: Floats, price: Floats, free: Bools, closing: Floats, opening: Floats, parent: Ints, feed: Ints,
    flow: Floats, ties: Ints, draws: Floats,
) -> float:  # fmt: skip
    """Kick and descend once per row of ``draws``; the tree ends at the best one found, whose loss is returned."""
    n = len(parent)
    mark, loop = np.zeros(n, np.int64), np.empty(n, np.int64)
    touching = np.empty(len(ties), np.int64)
    stamp = _descend(arcs, r, price, free, parent, feed, flow, ties, mark, 0, loop)
    best = _loss(r, price, feed, flow)
    kept_parent, kept_feed, kept_flow, kept_ties = parent.copy(), feed.copy(), flow.copy(), ties.copy()
    for draw in draws:
        which = _draw(closing, ties, draw[0])
        for turn in range(2):
            stamp += 1
            first, size = _loop(arcs, ties[which], parent, mark, stamp, loop)
            if turn == 0:  # the second loop of a kick touches the first one
                count = 0
                for k in range(len(ties)):
                    if k != which and (mark[arcs.end_a[ties[k]]] == stamp or mark[arcs.end_b[ties[k]]] == stamp):
                        touching[count] = k
                        count += 1
                near = touching[:count]
                chosen = which if count == 0 else touching[_draw(closing, ties[near], draw[2])]
            at = _draw(opening, feed[loop[:size]], draw[1 + 2 * turn])
            if size > 0 and free[feed[loop[at]]]:
                ties[which] = _exchange(arcs, ties[which], at, first, size, loop, parent, feed, flow)
            which = chosen
        stamp = _descend(arcs, r, price, free, parent, feed, flow, ties, mark, stamp, loop)
        loss = _loss(r, price, feed, flow)
        if loss <= best:
            best = loss
            kept_parent[:], kept_feed[:], kept_flow[:], kept_ties[:] = parent, feed, flow, ties
        else:
            parent[:], feed[:], flow[:], ties[:] = kept_parent, kept_feed, kept_flow, kept_ties
    return best


class IteratedExchange:
    """Iterated exchange on one problem for fixed load currents, from one start.

    Parameters
    ----------
    start
        A radial configuration.
    injection
        Injections whose squared flows times ``r`` add up to the loss [pu], shape (n_bus, n_column).
    r, price
        Resistance and cost of closing [pu], shape (n_branch,).
    p_open
        Belief that a branch is open, shape (n_branch,): kicks open what should be open and close what should not.
        Every branch alike where absent.
    """

    def __init__(
        self,
        problem: ReconfigurationProblem,
        start: Configuration,
        injection: Floats,
        r: Floats,
        price: Floats,
        p_open: Floats | None = None,
    ) -> None:
        self._graph = graph = ArcGraph.of(problem, r, price)
        self._arcs: LoopArcs = graph.with_injections(injection)
        even = np.ones(len(graph.loops))
        belief = None if p_open is None else p_open[graph.loops]
        closing = even if belief is None else 1.0 - belief + DOUBT
        opening = even if belief is None else belief + DOUBT
        free = np.array(problem.free[graph.loops])
        self._numbers = r[graph.loops], price[graph.loops], free, closing, opening
        self.restart(start)

    def restart(self, start: Configuration) -> None:
        """Go on from another radial configuration of the same problem."""
        graph, n = self._graph, len(self._arcs.start) - 1
        self._start = start
        self._parent, self._feed = np.full(n, -1), np.full(n, -1)
        self._flow = self._arcs.injection.copy()
        closed = start.closed[graph.loops]
        near: list[list[tuple[int, int]]] = [[] for _ in range(n)]
        for e in np.flatnonzero(closed):
            a, b = int(self._arcs.end_a[e]), int(self._arcs.end_b[e])
            near[a].append((b, int(e)))
            near[b].append((a, int(e)))
        order = [0]
        for i in order:
            for j, branch in near[i]:
                if branch != self._feed[i]:
                    self._parent[j], self._feed[j] = i, branch
                    order.append(j)
        for j in order[:0:-1]:
            self._flow[self._parent[j]] += self._flow[j]
        self._ties = np.flatnonzero(~closed)

    def kick(self, draws: Floats) -> float:
        """One kick per row of ``draws``, uniform numbers, shape (n, :data:`DRAWS`); the loss reached in loops [pu]."""
        if not len(self._ties):
            return 0.0
        return float(_kicks(self._arcs, *self._numbers, self._parent, self._feed, self._flow, self._ties, draws))

    @property
    def configuration(self) -> Configuration:
        """The best configuration so far."""
        closed = self._start.closed.copy()
        closed[self._graph.loops] = True
        closed[self._graph.loops[self._ties]] = False
        return Configuration(closed)
