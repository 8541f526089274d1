"""The decision that the depth-first search branches on."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnopt.compiling import njit
from learnopt.engines.tree.frames import FREE, part_open
from learnopt.network.union_find import find_set

DEAR_SHARE = 0.25
"""Branch first on what costs more than this share of the slack to close."""
TIE_SHARE = 0.05
"""Under a cap on operations, branch on the dearest normally open branch from this share of the slack on."""


@njit()
def cheapest_of_tightest_loop(data: Any, frames: Any, depth: int, slack: float) -> int:
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
        cost[j] = part_open(data.share, F, g, part, data.row[i]) - largest + data.open_cost[i] - data.close_cost[i]
        near = max(0.0, 1.0 - max(cost[j], 0.0) / slack)
        score[j] = near * near * near * near * near
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


@njit()
def dearest_to_close(data: Any, frames: Any, depth: int, slack: float) -> int:
    """The branch that costs most more to close than to open, if that is a good share of the slack; else -1."""
    choice, most = -1, DEAR_SHARE * slack
    for i in data.cheapest:
        if frames.state[depth][i] == FREE and data.close_cost[i] - data.open_cost[i] > most:
            choice, most = i, data.close_cost[i] - data.open_cost[i]
    return choice


@njit()
def dearest_tie(data: Any, frames: Any, depth: int, slack: float) -> int:
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
            cost = part_open(data.share, F, g, part, data.row[i]) - largest + data.open_cost[i]
            if cost > most:
                choice, most = i, cost
    return choice if ties > data.max_closings - frames.closings[depth] else -1
