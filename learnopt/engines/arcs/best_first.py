"""Best-first search over arborescences: raises the bound of all configurations from the first node on.

The depth-first search of :mod:`learnopt.engines.tree.kernel` is unbeaten where a proof takes a few thousand nodes of
microseconds each. Where it would take millions, many short loops with flat costs or thousands of buses, this one takes
over. A node of the search is a set of living arcs; its bound is the dual of :mod:`learnopt.engines.arcs.chains`, with
the trunk gain of :mod:`learnopt.engines.bounds.trunk` on top under the AC certificate. It branches on the parent of a
bus, one child per living arc, and always continues with the node of least bound, so the bound of the whole is that of
the next node. Without an incumbent, and when the pool is nearly full, it continues with the node of largest bound
instead, whose subtree is small.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import njit
from learnopt.engines.arcs.arborescence import (
    ascend_once,
    dual_value,
    flow_limits,
    move_weights,
    propagate,
)
from learnopt.engines.arcs.arc_graph import LoopArcs
from learnopt.engines.arcs.chains import Chains, ChainWork, chain_value, eliminate
from learnopt.engines.bounds.trunk import TrunkData, leaf_loss, trunk_gain
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


class Frontier(NamedTuple):
    """What does not change during a search."""

    arcs: LoopArcs
    chains: Chains
    chain_work: ChainWork
    base_closed: Bools
    """Branches closed before any decision, shape (n_branch,)."""
    constant: float
    """Losses outside the loops, constants of the metric, cost of switching if no branch of the loops closes [pu]."""
    switching: float
    """The part of it that is cost of switching, if no branch of the loops closes [pu]."""
    gain: int
    """As in :class:`learnopt.engines.tree.frames.SearchData`."""
    floor: float
    """Least resistance in the preconditioner [pu]."""


class Brood(NamedTuple):
    """What comes out of one node: children, and its best leaf."""

    alive: Bools
    """shape (n_most, n_arcs); the others likewise, see :class:`learnopt.engines.arcs.node_pool.Pool`."""
    potential: NDArray[np.float32]
    weight: NDArray[np.float32]
    bound: Floats
    counts: Ints
    """Children, leaves, leaves better than the objective to beat."""
    leaf: Floats
    """Objective of the best leaf, least bound of an unresolved one [pu], both inf where there is none."""
    closed: Bools
    """The best leaf, shape (n_branch,)."""


def brood_of(arcs: LoopArcs, n_branch: int) -> Brood:
    """Room for the children of any node."""
    n_arcs, (n, columns) = len(arcs.tail), arcs.injection.shape
    most = int(np.max(np.diff(arcs.start), initial=1))
    return Brood(
        alive=np.empty((most, n_arcs), dtype=bool),
        potential=np.empty((most, n, columns), dtype=np.float32),
        weight=np.empty((most, n_arcs), dtype=np.float32),
        bound=np.empty(most),
        counts=np.zeros(3, dtype=np.int64),
        leaf=np.full(2, np.inf),
        closed=np.zeros(n_branch, dtype=bool),
    )


@njit()
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


@njit()
def _only(arcs: Any, node: int, chosen: int, alive: Bools, trial: Bools) -> None:
    """``trial``: the arcs alive, of those into a node the chosen one only."""
    trial[:] = alive
    for a in range(arcs.start[node], arcs.start[node + 1]):
        trial[a] = a == chosen


@njit(nogil=True)
def open_root(frontier: Any, trunk: TrunkData, work: Any, threshold: float, brood: Any) -> None:
    """Settle the root and leave it as the only child."""
    n_nodes, n_arcs = len(frontier.arcs.start) - 1, len(frontier.arcs.tail)
    parent, top = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.int64)
    alive, weight, potential = np.ones(n_arcs, np.bool_), np.ones(n_arcs), np.zeros(work.low.shape)
    bound = _settle(frontier, trunk, work, alive, potential, weight, parent, top, -np.inf, threshold, ROOT_STEPS, False)
    brood.counts[:] = 0
    brood.leaf[:] = np.inf
    if bound < threshold:
        _add(brood, alive, potential, weight, bound)


@njit()
def _add(brood: Any, alive: Bools, potential: Floats, weight: Floats, bound: float) -> None:
    k = brood.counts[0]
    brood.alive[k], brood.potential[k], brood.weight[k], brood.bound[k] = alive, potential, weight, bound
    brood.counts[0] = k + 1


@njit()
def _branching_bus(
    frontier: Any, trunk: TrunkData, work: Any, alive: Bools, potential: Floats, weight: Floats, parent: Ints,
    bound: float, threshold: float,
) -> int:  # fmt: skip
    """The bus whose parent is decided next, -1 where all are: of a few with split flow the one that leaves least."""
    arcs = frontier.arcs
    candidates, score = np.empty(CANDIDATES, np.int64), np.empty(CANDIDATES)
    branch_on, count = -1, 0
    for j in range(1, len(parent)):
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
    if count < 2:
        return branch_on
    trial_alive, trial_weight, trial_potential = alive.copy(), weight.copy(), potential.copy()
    trial_parent, top = parent.copy(), parent.copy()
    least = np.inf
    for k in range(count):
        j = candidates[k]
        remaining = 0.0
        for chosen in range(arcs.start[j], arcs.start[j + 1]):
            if not alive[chosen]:
                continue
            trial_potential[:], trial_weight[:] = potential, weight
            _only(arcs, j, chosen, alive, trial_alive)
            found = _settle(
                frontier, trunk, work, trial_alive, trial_potential, trial_weight, trial_parent, top,
                -np.inf, threshold, TRIAL_STEPS, True,
            )  # fmt: skip
            if found < threshold:
                remaining += max(0.0, 1.0 - max(0.0, found - bound) / (threshold - bound)) ** POWER
        if remaining < least:
            least, branch_on = remaining, j
    return branch_on


@njit()
def _leaf(frontier: Any, trunk: TrunkData, work: Any, alive: Bools, potential: Floats, parent: Ints, top: Ints,
    threshold: float, closed: Bools,
) -> tuple[float, bool]:  # fmt: skip
    """Objective of the only configuration left [pu], inf where it breaks a limit, and whether it is settled.

    Fills ``closed``.
    """
    arcs = frontier.arcs
    closed[:] = frontier.base_closed
    switching = frontier.switching
    for a in range(len(alive)):
        if alive[a]:
            closed[arcs.branch[a]] = True
            switching += arcs.price[a]
    loss, settled = leaf_loss(trunk, closed, threshold - switching)
    if frontier.gain != 0 or loss == np.inf:
        return loss + switching, settled
    flow_limits(arcs, parent, top, work)  # with all parents decided the dual is the loss of the model
    return dual_value(arcs, potential, alive, work) + frontier.constant, True


@njit(nogil=True)
def expand(
    frontier: Any, trunk: TrunkData, work: Any, pool: Any, slot: int, to_beat: float, factor: float, brood: Any
) -> None:
    """Children and leaves of the node in a slot; ``to_beat`` times ``factor`` is where nodes are pruned."""
    arcs = frontier.arcs
    n_nodes, n_arcs = len(arcs.start) - 1, len(arcs.tail)
    parent, top = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.int64)
    child_alive, child_weight, child_potential = np.empty(n_arcs, np.bool_), np.empty(n_arcs), np.empty(work.low.shape)
    alive, weight, potential = np.empty(n_arcs, np.bool_), np.empty(n_arcs), np.empty(work.low.shape)
    alive[:], weight[:], potential[:] = pool.alive[slot], pool.weight[slot], pool.potential[slot]
    bound = pool.bound[slot]
    closed = np.empty(len(brood.closed), np.bool_)
    brood.counts[:] = 0
    brood.leaf[:] = np.inf
    if bound >= to_beat * factor:
        return
    propagate(arcs, alive, parent, top)
    j = _branching_bus(frontier, trunk, work, alive, potential, weight, parent, bound, to_beat * factor)
    for chosen in range(arcs.start[j], arcs.start[j + 1]):
        if j < 0 or not alive[chosen]:
            continue
        child_potential[:], child_weight[:] = potential, weight
        _only(arcs, j, chosen, alive, child_alive)
        threshold = to_beat * factor
        found = _settle(
            frontier,
            trunk,
            work,
            child_alive,
            child_potential,
            child_weight,
            parent,
            top,
            bound,
            threshold,
            STEPS,
            False,
        )
        if found >= threshold:
            continue
        propagate(arcs, child_alive, parent, top)
        done = True
        for i in range(1, n_nodes):
            if parent[i] < 0:
                done = False
                break
        if not done:
            _add(brood, child_alive, child_potential, child_weight, found)
            continue
        brood.counts[1] += 1
        value, settled = _leaf(frontier, trunk, work, child_alive, child_potential, parent, top, threshold, closed)
        if not settled:
            brood.leaf[1] = min(brood.leaf[1], found)
        elif value < to_beat:
            to_beat = value
            brood.leaf[0] = value
            brood.closed[:] = closed
            brood.counts[2] += 1
