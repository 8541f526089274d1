"""Compiled branch and bound in loop space: the search itself, free of Python objects.

Opening a branch updates K, F and g of a node by rank one. Nodes live in a stack of frames, one per opened branch;
closing a branch changes a frame in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from learnopt.compiling import LONG_PATIENCE, njit
from learnopt.engines.bounds.trunk import TrunkData, leaf_loss, trunk_gain
from learnopt.engines.tree.branching import cheapest_of_tightest_loop, dearest_tie, dearest_to_close
from learnopt.engines.tree.frames import (
    CLOSED,
    DEPTH,
    FACTOR,
    FLOWS,
    FREE,
    IMPROVEMENTS,
    LEAVES,
    NODES,
    OPEN,
    TO_BEAT,
    UNSETTLED,
    least_left,
    node_bound,
    part_open,
    rise,
)
from learnopt.network import Bools, Floats
from learnopt.network.union_find import find_set

RUNNING, FINISHED, IMPROVED = 0, 1, 2


@njit()
def _open(data: Any, K: Floats, F: Floats, g: Floats, part: Floats, e: int, along: Floats, direction: Floats) -> None:
    """Open the loop-space row ``e``: rank-one update, raises ``part``; to infinity where e is a bridge."""
    n_loops, n_columns = K.shape[0], F.shape[1]
    for group in range(len(part)):
        part[group] += rise(data.share, F, g, e, group) if g[e] > data.bridge else np.inf
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


@njit()
def _propagate(data: Any, frames: Any, depth: int, threshold: float, along: Floats, direction: Floats) -> bool:
    """Close what is too dear to open, open what would close a loop, until nothing changes; False prunes the frame."""
    K, F, g = frames.K[depth], frames.F[depth], frames.g[depth]
    state, label, part = frames.state[depth], frames.label[depth], frames.part[depth]
    switching, left = frames.switching, frames.left
    left[depth] = least_left(data, state, label)
    changed = True
    while changed:
        if (
            part.max() + switching[depth] + left[depth] >= threshold
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
                left[depth] = least_left(data, state, label)
                frames.openings[depth] += data.open_count[i]
                changed = True
            elif (
                g[e] <= data.bridge
                or part_open(data.share, F, g, part, e) + switching[depth] + max(data.open_cost[i], left[depth])
                >= threshold
                or frames.openings[depth] + data.open_count[i] > data.max_openings
            ):
                label[a] = b
                state[i] = CLOSED
                switching[depth] += data.close_cost[i]
                left[depth] = least_left(data, state, label)
                frames.closings[depth] += data.close_count[i]
                changed = True
                if part.max() + switching[depth] + left[depth] >= threshold:
                    return False
    return True


@njit()
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


def node_steps(data: Any, trunk: TrunkData) -> float:
    """Steps that a node takes."""
    n_core, n_loops = data.cycles.shape
    return 100.0 + n_core * (n_loops + 2.0 * len(trunk.weight)) + 15.0 * trunk.s.size


@njit(
    steps=lambda data, trunk, frames, closed, nodes, stop: nodes * node_steps(data, trunk),
    patience=LONG_PATIENCE,
    nogil=True,
)
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
    budget = scalars[NODES] + max_nodes
    while scalars[DEPTH] >= 0:
        if scalars[NODES] >= budget:
            return RUNNING
        depth = scalars[DEPTH]
        state = frames.state[depth]
        threshold = best[TO_BEAT] * best[FACTOR]
        alive = True
        if frames.chosen[depth] >= 0:
            alive = _close(data, frames, depth, frames.chosen[depth])
            frames.chosen[depth] = -1
        scalars[NODES] += 1
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
                slack = threshold - node_bound(frames, depth)
                i = dearest_to_close(data, frames, depth, slack)
                if i < 0:
                    i = dearest_tie(data, frames, depth, slack)
                if i < 0:
                    i = cheapest_of_tightest_loop(data, frames, depth, max(slack, 1e-300))
                above = depth + 1
                frames.K[above] = frames.K[depth]
                frames.F[above] = frames.F[depth]
                frames.g[above] = frames.g[depth]
                frames.state[above] = state
                frames.label[above] = frames.label[depth]
                frames.gamma[above] = frames.gamma[depth]
                frames.part[above] = frames.part[depth]
                frames.switching[above] = frames.switching[depth] + data.open_cost[i]
                frames.left[above] = 0.0
                K, F, g = frames.K[above], frames.F[above], frames.g[above]
                _open(data, K, F, g, frames.part[above], data.row[i], along, direction)
                frames.closings[above] = frames.closings[depth]
                frames.openings[above] = frames.openings[depth] + data.open_count[i]
                frames.state[above][i] = OPEN
                frames.chosen[above] = -1
                frames.chosen[depth] = i
                frames.share[above] = frames.share[depth] = 0.5 * frames.share[depth]
                scalars[DEPTH] = above
                continue
            scalars[LEAVES] += 1
            for i in range(len(state)):
                closed[data.branch[i]] = state[i] == CLOSED
            switching = 0.0
            for i in range(len(state)):
                switching += data.close_cost[i] if state[i] == CLOSED else data.open_cost[i]
            loss, resolved = 0.0, True
            if data.ac_leaves:
                scalars[FLOWS] += 1
                loss, resolved = leaf_loss(trunk, closed, threshold - switching - trunk.leaf_constant)
            value = node_bound(frames, depth) if data.gain == 0 else loss + switching + trunk.leaf_constant
            if not resolved:
                # A power flow neither solved nor refuted: its bound stays open.
                best[UNSETTLED] = min(best[UNSETTLED], node_bound(frames, depth))
            elif loss < np.inf and value < best[TO_BEAT]:
                pool = frames.pool
                rank = len(pool) - 1
                while rank > 0 and pool[rank - 1] > value:
                    pool[rank] = pool[rank - 1]
                    frames.pool_closed[rank] = frames.pool_closed[rank - 1]
                    rank -= 1
                pool[rank] = value
                frames.pool_closed[rank] = closed
                best[TO_BEAT] = min(best[TO_BEAT], pool[-1])
                frames.best_closed[:] = closed
                scalars[IMPROVEMENTS] += 1
                scalars[DEPTH] = depth - 1
                if stop_at_improvement:
                    return IMPROVED
                continue
        scalars[DEPTH] = depth - 1
    return FINISHED


@njit(steps=lambda frames: 10 * len(frames.switching))
def open_bound(frames: Any) -> float:
    """Least bound of what the stack still has to explore [pu]; inf when it is empty."""
    least = np.inf
    for depth in range(frames.scalars[DEPTH] + 1):
        least = min(least, node_bound(frames, depth))
    return min(least, frames.best[UNSETTLED])
