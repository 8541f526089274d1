"""Topology of a network with all substations merged into one root.

A configuration is *radial* when its closed branches form a spanning forest with one substation per tree. Merge the
substations and it is a spanning tree: a path between two substations is a loop like any other. Loops of branches
without a switch (*fixed loops*) are in every state and do not count: leave out one branch of each (its *chord*).
Branches in no loop (*bridges*) are never a decision; two branches interact only when they share a *block* (biconnected
component).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.network.aliases import Bools, Ints
from learnopt.network.model import Network
from learnopt.network.names import branch_quoted, bus_quoted, own_buses
from learnopt.wording import counted


def merged_nodes(network: Network) -> Ints:
    """Node of every bus when all substations are node 0 and the other buses count up from 1.

    Returns
    -------
    int, shape (n_bus,)
    """
    node = np.zeros(network.n_bus, dtype=np.int64)
    others = ~network.is_substation
    node[others] = np.arange(1, np.count_nonzero(others) + 1)
    return node


@dataclass(frozen=True)
class Adjacency:
    """Incident branches per node, as compressed rows: ``branch[start[n]:start[n + 1]]`` leads to ``node[...]``."""

    start: Ints
    branch: Ints
    node: Ints


def adjacency(n_nodes: int, tail: Ints, head: Ints, usable: Bools) -> Adjacency:
    """Adjacency of the usable branches; a branch whose two ends coincide is left out.

    Parameters
    ----------
    tail, head
        End nodes, shape (n_branch,).
    usable
        bool, shape (n_branch,).
    """
    kept = np.flatnonzero(usable & (tail != head))
    ends = np.concatenate([tail[kept], head[kept]])
    order = np.argsort(ends, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=n_nodes))]).astype(np.int64)
    branch = np.concatenate([kept, kept])[order]
    node = np.concatenate([head[kept], tail[kept]])[order]
    return Adjacency(start, branch, node)


@dataclass(frozen=True)
class Blocks:
    """Block structure seen from the root.

    Parameters
    ----------
    block
        Block of each branch, shape (n_branch,); -1 where the branch is unusable, a self-loop or beyond reach.
        A bridge is a block of one branch.
    entry
        Node through which each block is fed, shape (n_block,). No branch of a block ever feeds its entry.
    fed
        bool, shape (n_nodes,): the node has a path to the root.
    depth_first
        Blocks ordered so that a block comes before every block that it feeds.
    """

    block: Ints
    entry: Ints
    fed: Bools
    depth_first: Ints

    @property
    def bridges(self) -> Bools:
        """bool, shape (n_branch,): usable branches in no loop."""
        sizes = np.bincount(self.block[self.block >= 0], minlength=len(self.entry))
        inside = self.block >= 0
        result = np.zeros(len(self.block), dtype=bool)
        result[inside] = sizes[self.block[inside]] == 1
        return result


def blocks(n_nodes: int, tail: Ints, head: Ints, usable: Bools) -> Blocks:
    """Biconnected components reachable from node 0, by depth-first search over branches (parallel branches are legal).

    References
    ----------
    Hopcroft & Tarjan (1973), doi:10.1145/362248.362272.
    """
    graph = adjacency(n_nodes, tail, head, usable)
    start, via, to = graph.start.tolist(), graph.branch.tolist(), graph.node.tolist()
    block = np.full(len(tail), -1, dtype=np.int64)
    entry: list[int] = []
    found = [-1] * n_nodes  # discovery time
    low = [0] * n_nodes
    found[0] = low[0] = 0
    clock = 1
    pending: list[int] = []  # branches whose block is not complete
    position = start[:-1]
    path = [(0, -1)]  # (node, branch it was reached by)
    while path:
        node, reached_by = path[-1]
        k = position[node]
        if k < start[node + 1]:
            position[node] += 1
            branch, other = via[k], to[k]
            if branch == reached_by:
                continue
            if found[other] < 0:
                found[other] = low[other] = clock
                clock += 1
                pending.append(branch)
                path.append((other, branch))
            elif found[other] < found[node]:
                pending.append(branch)
                low[node] = min(low[node], found[other])
            continue
        path.pop()
        if not path:
            break
        parent = path[-1][0]
        low[parent] = min(low[parent], low[node])
        if low[node] >= found[parent]:
            while True:
                branch = pending.pop()
                block[branch] = len(entry)
                if branch == reached_by:
                    break
            entry.append(parent)
    entries = np.array(entry, dtype=np.int64)
    # Blocks complete after everything they feed, so the reverse order of completion starts at the root.
    return Blocks(block, entries, np.array(found) >= 0, np.arange(len(entry) - 1, -1, -1, dtype=np.int64))


def network_blocks(network: Network, usable: Bools | None = None) -> Blocks:
    """Blocks of a network with merged substations; nodes are those of :func:`merged_nodes`."""
    node = merged_nodes(network)
    mask = np.ones(network.n_branch, dtype=bool) if usable is None else usable
    return blocks(int(node.max()) + 1, node[network.from_bus], node[network.to_bus], mask)


class DisjointSets:
    """Union-find over nodes."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def find(self, node: int) -> int:
        """Representative of the node's set."""
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(self, a: int, b: int) -> bool:
        """Unite two sets; False if they were one already (the branch a-b would close a loop)."""
        a, b = self.find(a), self.find(b)
        if a == b:
            return False
        self._parent[a] = b
        return True


def radiality_faults(network: Network, closed: Bools) -> list[str]:
    """Why a state is not radial but for fixed loops: unfed buses and looped branches, by id; empty when it is.

    Parameters
    ----------
    closed
        bool, shape (n_branch,); False for open or out-of-service branches.
    """
    node = merged_nodes(network)
    n_nodes = int(node.max()) + 1
    sets = DisjointSets(n_nodes)
    tail, head = node[network.from_bus].tolist(), node[network.to_bus].tolist()
    tree = without_chords(network, closed)
    # Fixed branches first, so that a loop is closed by a branch that can be opened.
    in_turn = [*np.flatnonzero(tree & network.fixed).tolist(), *np.flatnonzero(tree & ~network.fixed).tolist()]
    looped = [e for e in in_turn if not sets.join(tail[e], head[e])]
    root = sets.find(0)
    unfed = [k for k, at in enumerate(node.tolist()) if sets.find(at) != root]
    faults = []
    if looped:
        names = ", ".join(branch_quoted(network, e) for e in looped[:10]) + (" ..." if len(looped) > 10 else "")
        faults.append(f"{len(looped)} closed branches too many: loops close at branch {names}")
    if unfed:
        unfed = own_buses(network, unfed)
        names = ", ".join(bus_quoted(network, k) for k in unfed[:10]) + (" ..." if len(unfed) > 10 else "")
        faults.append(f"{counted(len(unfed), 'bus has', 'buses have')} no path to a substation: bus {names}")
    return faults


def without_chords(network: Network, closed: Bools) -> Bools:
    """A state less one branch of every fixed loop in it: a spanning forest where it is radial but for these.

    Parameters
    ----------
    closed
        bool, shape (n_branch,).
    """
    return closed & ~network.chords_of(closed & network.fixed)


def unfed_buses(network: Network, closed: Bools) -> Bools:
    """bool, shape (n_bus,): without a path of closed branches to a substation."""
    node = merged_nodes(network)
    sets = DisjointSets(int(node.max()) + 1)
    tail, head = node[network.from_bus].tolist(), node[network.to_bus].tolist()
    for e in np.flatnonzero(closed).tolist():
        sets.join(tail[e], head[e])
    root = sets.find(0)
    return np.array([sets.find(k) != root for k in node.tolist()])


def is_radial(network: Network, closed: Bools) -> bool:
    """Closed branches form a spanning forest with one substation per tree, but for fixed loops."""
    return not radiality_faults(network, closed)


def maximum_spanning_tree(network: Network, usable: Bools, weight: np.ndarray, forced: Bools | None = None) -> Bools:
    """Kruskal's maximum-weight spanning tree of the merged network; always radial where the usable graph is connected.

    Fixed loops among the forced branches stay closed as well: it is then a tree but for them.

    Parameters
    ----------
    usable
        bool, shape (n_branch,): branches that may be closed.
    weight
        shape (n_branch,); ties are broken by branch index.
    forced
        bool, shape (n_branch,): branches taken first, whatever their weight.

    Returns
    -------
    bool, shape (n_branch,): closed branches. A spanning forest of each component where the graph is not connected.
    """
    node = merged_nodes(network)
    tail, head = node[network.from_bus], node[network.to_bus]
    sets = DisjointSets(int(node.max()) + 1)
    key = -np.asarray(weight, dtype=float)
    if forced is not None:
        key = np.where(forced, -np.inf, key)
    closed = np.zeros(network.n_branch, dtype=bool)
    for e in np.lexsort((np.arange(len(key)), key)):
        if usable[e] and sets.join(int(tail[e]), int(head[e])):
            closed[e] = True
    return closed if forced is None else closed | (forced & network.fixed & usable)
