r"""Compiled branch and bound in loop space: the search itself, free of Python objects.

A node of the search has decided some switches; all undecided ones are treated as closed and the injections of each
column split by resistance. The state is K, the flows F (one column per injection) and g (see
:mod:`learnopt.physics.loop_space`); opening branch e costs :math:`\delta_e = \sum_c F_{ec}^2 / g_e` exactly and
updates all three by rank one. Nodes live in a stack of frames, one per opened branch; closing a branch changes a frame
in place.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnopt.engines.trunk import TrunkData, leaf_loss, trunk_gain
from learnopt.network import Bools, Floats, Ints
from learnopt.network.union_find import find_set

FREE, CLOSED, OPEN = 0, 1, 2
RUNNING, FINISHED, IMPROVED = 0, 1, 2
TIE_SHARE = 0.05
"""Under a cap on operations, branch on the dearest normally open branch from this share of the slack on."""


class SearchData(NamedTuple):
    """What does not change during a search."""

    row: Ints
    """Row in the loop space of each decision, shape (m,)."""
    branch: Ints
    """Network branch of each decision, shape (m,)."""
    tail: Ints
    """Contracted end nodes of each decision, shape (m,)."""
    head: Ints
    n_nodes: int
    cycles: Floats
    """C, shape (n_core, n_loops)."""
    g0: Floats
    """Loop conductance at the root, shape (n_core,)."""
    bridge: float
    """A branch of smaller loop conductance is a bridge."""
    close_cost: Floats
    """Switching cost of deciding closed, shape (m,) [pu]."""
    open_cost: Floats
    close_count: Ints
    """Operations of deciding closed, shape (m,)."""
    open_count: Ints
    max_closings: int
    """Every radial configuration has the same number of closed branches, so closings less openings is a constant and a
    cap on operations is one on either."""
    max_openings: int
    base_closings: int
    """Operations decided before the search."""
    base_openings: int
    gain: int
    """0: the relaxation is the model; 1, 2: a bound of the AC loss with the trunk gain of metric A, B; -1: a bound of
    the AC loss without trunk gain (mixed signs)."""
    share: int
    """Columns of each part of the objective, which is its largest part: in the worst case a part is a scenario, else
    there is one. The largest bound of a part is a bound of the largest part."""


class Frames(NamedTuple):
    """The stack of the search."""

    K: Floats
    F: Floats
    g: Floats
    state: NDArray[np.int8]
    label: Ints
    part: Floats
    """Relaxation, constants and trunk gain of each part of the objective [pu], shape (depth, n_part)."""
    gamma: Floats
    """Trunk gain in ``part``."""
    switching: Floats
    """Cost of the switches decided so far [pu], shape (depth,)."""
    closings: Ints
    openings: Ints
    chosen: Ints
    """Decision opened in the frame above; -1 where the frame is to be entered."""
    scalars: Ints
    """depth, nodes, leaves, power flows, improvements."""
    best: Floats
    """Objective to beat, threshold factor, least value of an unresolved leaf [pu]."""
    best_closed: Bools
    """Leaf that improved last, shape (n_branch,)."""
    pool: Floats
    """Objectives of the best leaves so far, ascending, inf where there are fewer, shape (k,): the last is to beat."""
    pool_closed: Bools
    """Their states, shape (k, n_branch)."""


@njit(cache=True)
def _delta(share: int, F: Floats, g: Floats, e: int, group: int) -> float:
    """Rise of one part of the objective when ``e`` opens."""
    total = 0.0
    for c in range(group * share, (group + 1) * share):
        total += F[e, c] * F[e, c]
    return total / g[e]


@njit(cache=True)
def _bound(frames: Any, depth: int) -> float:
    """Lower bound of the objective in a frame [pu]."""
    return frames.part[depth].max() + frames.switching[depth]


@njit(cache=True)
def _part_open(share: int, F: Floats, g: Floats, part: Floats, e: int) -> float:
    """What the largest part of the objective becomes when row ``e`` opens [pu]."""
    largest = part[0] + _delta(share, F, g, e, 0)
    for group in range(1, len(part)):
        largest = max(largest, part[group] + _delta(share, F, g, e, group))
    return largest


@njit(cache=True)
def _open(data: Any, K: Floats, F: Floats, g: Floats, part: Floats, e: int, along: Floats, direction: Floats) -> None:
    """Open the loop-space row ``e``: rank-one update, raises ``part``; to infinity where e is a bridge."""
    n_loops, n_columns = K.shape[0], F.shape[1]
    for group in range(len(part)):
        part[group] += _delta(data.share, F, g, e, group) if g[e] > data.bridge else np.inf
    if g[e] <= data.bridge:
        return
    for i in range(n_loops):
        total = 0.0
        for j in range(n_loops):
            total += K[i, j] * data.cycles[e, j]
        direction[i] = total
    ge = g[e]
    for i in range(len(g)):
        total = 0.0
        for j in range(n_loops):
            total += data.cycles[i, j] * direction[j]
        along[i] = total
    for c in range(n_columns):
        factor = F[e, c] / ge
        for i in range(len(g)):
            F[i, c] -= along[i] * factor
    for i in range(len(g)):
        g[i] -= along[i] * along[i] / ge
    for i in range(n_loops):
        for j in range(n_loops):
            K[i, j] -= direction[i] * direction[j] / ge
    g[e] = 0.0


@njit(cache=True)
def _propagate(data: Any, frames: Any, depth: int, threshold: float, along: Floats, direction: Floats) -> bool:
    """Close what is too dear to open, open what would close a loop, until nothing changes; False prunes the frame."""
    K, F, g = frames.K[depth], frames.F[depth], frames.g[depth]
    state, label, part = frames.state[depth], frames.label[depth], frames.part[depth]
    switching = frames.switching
    changed = True
    while changed:
        if (
            part.max() + switching[depth] >= threshold
            or frames.closings[depth] > data.max_closings
            or frames.openings[depth] > data.max_openings
        ):
            return False
        changed = False
        for i in range(len(state)):
            if state[i] != FREE:
                continue
            e = data.row[i]
            a, b = find_set(label, data.tail[i]), find_set(label, data.head[i])
            if a == b or frames.closings[depth] + data.close_count[i] > data.max_closings:
                _open(data, K, F, g, part, e, along, direction)
                state[i] = OPEN
                switching[depth] += data.open_cost[i]
                frames.openings[depth] += data.open_count[i]
                changed = True
            elif (
                g[e] <= data.bridge
                or _part_open(data.share, F, g, part, e) + switching[depth] + data.open_cost[i] >= threshold
                or frames.openings[depth] + data.open_count[i] > data.max_openings
            ):
                label[a] = b
                state[i] = CLOSED
                switching[depth] += data.close_cost[i]
                frames.closings[depth] += data.close_count[i]
                changed = True
                if part.max() + switching[depth] >= threshold:
                    return False
    return True


@njit(cache=True)
def _choose(data: Any, frames: Any, depth: int, slack: float) -> int:
    r"""The decision to branch on: the cheapest opening of the loop that leaves least choice.

    One branch of every loop must open. Over the shortest loop through each free branch (breadth-first on the contracted
    graph) take the one with the least sum of :math:`\max(0, 1 - \delta_e / \text{slack})^5`.
    """
    state, label = frames.state[depth], frames.label[depth]
    F, g, part = frames.F[depth], frames.g[depth], frames.part[depth]
    largest = part.max()
    n_nodes = data.n_nodes
    m = len(state)
    free = np.empty(m, np.int64)
    count = 0
    for i in range(m):
        if state[i] == FREE:
            free[count] = i
            count += 1
    a, b = np.empty(count, np.int64), np.empty(count, np.int64)
    cost, score = np.empty(count), np.empty(count)
    start = np.zeros(n_nodes + 1, np.int64)
    for j in range(count):
        i = free[j]
        a[j], b[j] = find_set(label, data.tail[i]), find_set(label, data.head[i])
        start[a[j] + 1] += 1
        start[b[j] + 1] += 1
        cost[j] = _part_open(data.share, F, g, part, data.row[i]) - largest + data.open_cost[i] - data.close_cost[i]
        score[j] = max(0.0, 1.0 - max(cost[j], 0.0) / slack) ** 5
    for k in range(n_nodes):
        start[k + 1] += start[k]
    fill = start[:-1].copy()
    via = np.empty(2 * count, np.int64)
    for j in range(count):
        via[fill[a[j]]] = j
        fill[a[j]] += 1
        via[fill[b[j]]] = j
        fill[b[j]] += 1
    seen = np.full(n_nodes, -1, np.int64)
    reached = np.empty(n_nodes, np.int64)
    distance = np.empty(n_nodes, np.int64)
    queue = np.empty(n_nodes, np.int64)
    best_loop, best_sum = -1, np.inf
    shortest = m + 1
    for j in range(count):
        # Breadth-first from one end to the other without the branch itself.
        seen[a[j]] = j
        reached[a[j]] = -1
        distance[a[j]] = 0
        queue[0] = a[j]
        head, size, found = 0, 1, False
        while head < size and not found:
            node = queue[head]
            head += 1
            if distance[node] > 2 * shortest:
                break
            for entry in range(start[node], start[node + 1]):
                k = via[entry]
                if k == j:
                    continue
                far = b[k] if a[k] == node else a[k]
                if seen[far] == j:
                    continue
                seen[far] = j
                reached[far] = k
                distance[far] = distance[node] + 1
                queue[size] = far
                size += 1
                if far == b[j]:
                    found = True
                    break
        if not found:
            continue
        shortest = min(shortest, distance[b[j]] + 1)
        total = score[j]
        node = b[j]
        while node != a[j] and total < best_sum:
            k = reached[node]
            total += score[k]
            node = b[k] if a[k] == node else a[k]
        if total < best_sum:
            best_sum, best_loop = total, j
    if best_loop < 0:
        return free[0]
    # Walk the winning loop once more for its cheapest branch.
    j = best_loop
    seen[:] = -1
    seen[a[j]] = j
    queue[0] = a[j]
    head, size = 0, 1
    while seen[b[j]] != j:
        node = queue[head]
        head += 1
        for entry in range(start[node], start[node + 1]):
            k = via[entry]
            far = b[k] if a[k] == node else a[k]
            if k != j and seen[far] != j:
                seen[far] = j
                reached[far] = k
                queue[size] = far
                size += 1
    choice, least = free[j], cost[j]
    node = b[j]
    while node != a[j]:
        k = reached[node]
        if cost[k] < least:
            choice, least = free[k], cost[k]
        node = b[k] if a[k] == node else a[k]
    return choice


@njit(cache=True)
def _dearest_tie(data: Any, frames: Any, depth: int, slack: float) -> int:
    """The normally open branch that costs most to open, if the cap does not allow to close them all; else -1.

    Either way much is decided: leaving it open raises the bound, closing it uses up the cap. -1 also where that cost is
    small against the slack.
    """
    state, F, g, part = frames.state[depth], frames.F[depth], frames.g[depth], frames.part[depth]
    largest = part.max()
    ties, choice, most = 0, -1, TIE_SHARE * slack if slack < np.inf else -1.0
    for i in range(len(state)):
        if state[i] == FREE and data.close_count[i] > 0:
            ties += 1
            cost = _part_open(data.share, F, g, part, data.row[i]) - largest + data.open_cost[i]
            if cost > most:
                choice, most = i, cost
    return choice if ties > data.max_closings - frames.closings[depth] else -1


@njit(cache=True)
def _close(data: Any, frames: Any, depth: int, i: int) -> bool:
    """Decide closed in a frame; False where that closes a loop."""
    label = frames.label[depth]
    a, b = find_set(label, data.tail[i]), find_set(label, data.head[i])
    if a == b:
        return False
    label[a] = b
    frames.state[depth][i] = CLOSED
    frames.switching[depth] += data.close_cost[i]
    frames.closings[depth] += data.close_count[i]
    return frames.closings[depth] <= data.max_closings


@njit(cache=True)
def search(
    data: Any, trunk: TrunkData, frames: Any, base_closed: Bools, max_nodes: int, stop_at_improvement: bool
) -> int:
    """Run until the stack is empty (FINISHED), the node budget is spent (RUNNING) or the incumbent improves (IMPROVED).

    A leaf is visited at most once, so the pool holds distinct configurations.

    ``base_closed``: network branches closed before any decision, shape (n_branch,).
    """
    n_core = len(data.g0)
    along, direction = np.empty(n_core), np.empty(data.cycles.shape[1])
    closed = base_closed.copy()
    scalars, best = frames.scalars, frames.best
    budget = scalars[1] + max_nodes
    while scalars[0] >= 0:
        if scalars[1] >= budget:
            return RUNNING
        depth = scalars[0]
        state = frames.state[depth]
        threshold = best[0] * best[1]
        alive = True
        if frames.chosen[depth] >= 0:
            alive = _close(data, frames, depth, frames.chosen[depth])
            frames.chosen[depth] = -1
        scalars[1] += 1
        alive = alive and _propagate(data, frames, depth, threshold, along, direction)
        if alive and data.gain > 0:
            for i in range(len(state)):
                closed[data.branch[i]] = state[i] == CLOSED
            gain, alive = trunk_gain(trunk, closed, data.gain)
            raised = False
            if alive:
                for group in range(len(gain)):
                    if gain[group] > frames.gamma[depth, group]:
                        frames.part[depth, group] += gain[group] - frames.gamma[depth, group]
                        frames.gamma[depth, group] = gain[group]
                        raised = True
            if raised:
                alive = _propagate(data, frames, depth, threshold, along, direction)
        if alive:
            free = False
            for i in range(len(state)):
                if state[i] == FREE:
                    free = True
                    break
            if free:
                slack = threshold - _bound(frames, depth)
                i = _dearest_tie(data, frames, depth, slack)
                if i < 0:
                    i = _choose(data, frames, depth, max(slack, 1e-300))
                above = depth + 1
                frames.K[above] = frames.K[depth]
                frames.F[above] = frames.F[depth]
                frames.g[above] = frames.g[depth]
                frames.state[above] = state
                frames.label[above] = frames.label[depth]
                frames.gamma[above] = frames.gamma[depth]
                frames.part[above] = frames.part[depth]
                frames.switching[above] = frames.switching[depth] + data.open_cost[i]
                K, F, g = frames.K[above], frames.F[above], frames.g[above]
                _open(data, K, F, g, frames.part[above], data.row[i], along, direction)
                frames.closings[above] = frames.closings[depth]
                frames.openings[above] = frames.openings[depth] + data.open_count[i]
                frames.state[above][i] = OPEN
                frames.chosen[above] = -1
                frames.chosen[depth] = i
                scalars[0] = above
                continue
            scalars[2] += 1
            for i in range(len(state)):
                closed[data.branch[i]] = state[i] == CLOSED
            switching = 0.0
            for i in range(len(state)):
                switching += data.close_cost[i] if state[i] == CLOSED else data.open_cost[i]
            scalars[3] += 1
            loss, resolved = leaf_loss(trunk, closed, threshold - switching - trunk.leaf_constant, data.gain > 0)
            value = _bound(frames, depth) if data.gain == 0 else loss + switching + trunk.leaf_constant
            if not resolved and data.gain != 0:
                # A power flow neither solved nor refuted: its bound stays open.
                best[2] = min(best[2], _bound(frames, depth))
            elif loss < np.inf and value < best[0]:
                pool = frames.pool
                rank = len(pool) - 1
                while rank > 0 and pool[rank - 1] > value:
                    pool[rank] = pool[rank - 1]
                    frames.pool_closed[rank] = frames.pool_closed[rank - 1]
                    rank -= 1
                pool[rank] = value
                frames.pool_closed[rank] = closed
                best[0] = min(best[0], pool[-1])
                frames.best_closed[:] = closed
                scalars[4] += 1
                scalars[0] = depth - 1
                if stop_at_improvement:
                    return IMPROVED
                continue
        scalars[0] = depth - 1
    return FINISHED


@njit(cache=True)
def open_bound(frames: Any) -> float:
    """Least bound of what the stack still has to explore [pu]; inf when it is empty."""
    least = np.inf
    for depth in range(frames.scalars[0] + 1):
        least = min(least, _bound(frames, depth))
    return min(least, frames.best[2])
