"""The decision graph: what remains of a network once everything that cannot be decided is contracted or removed.

Substations are one node, branches that must be open are gone, and branches that are closed in every radial
configuration (bridges, locked closed, not switchable) are contracted. Radial configurations of the network are exactly
the spanning trees of this graph, so a distribution over its spanning trees never predicts anything else.

.. code-block:: text

    0 --- 1 --- 2 --- 3        bus 3 hangs on a bridge: contracted into 2      0 --- 1 --- 2*
    |           |                                                     ->      |           |
    +-----------+                                                             +-----------+
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from learnopt.compiling import njit
from learnopt.errors import DataError
from learnopt.network import Bools, Configuration, Floats, Ints, ReconfigurationProblem
from learnopt.network.topology import adjacency, merged_nodes


@dataclass(frozen=True)
class DecisionGraph:
    """Connected multigraph of the undecided branches of a problem; node 0 holds the substations.

    Parameters
    ----------
    node
        Decision node of every bus, shape (n_bus,).
    n_nodes
        Number of decision nodes.
    branch_index
        Position in the network of each undecided branch, shape (n_undecided,). Results are mapped back through it.
    tail, head
        Decision nodes at the from and to bus of each undecided branch, shape (n_undecided,).
    forced_closed, forced_open
        bool, shape (n_branch,): closed, or open, in every radial configuration that the problem admits.
    alike
        For each branch the one that stands for it, shape (n_branch,): of branches in series with no load between them
        it makes no difference which is open, so that one can stand for all; itself for every other branch.
    """

    node: Ints
    n_nodes: int
    branch_index: Ints
    tail: Ints
    head: Ints
    forced_closed: Bools
    forced_open: Bools
    alike: Ints

    @classmethod
    def of(cls, problem: ReconfigurationProblem) -> DecisionGraph:
        """Decision graph of a problem.

        Raises
        ------
        DataError
            If no radial configuration exists (:attr:`ReconfigurationProblem.contradictions` says why).
        """
        net = problem.network
        if problem.contradictions:
            raise DataError(net.name, problem.contradictions)
        merged = merged_nodes(net)
        forced_closed = problem.must_close | problem.blocks.bridges
        ends = merged[net.from_bus[forced_closed]], merged[net.to_bus[forced_closed]]
        size = int(merged.max()) + 1
        contraction = coo_array((np.ones(len(ends[0])), ends), shape=(size, size))
        # Components are numbered by their lowest node, so the one of the substations is node 0.
        n_nodes, component = connected_components(contraction, directed=False)
        node = component.astype(np.int64)[merged]
        tail, head = node[net.from_bus], node[net.to_bus]
        # A free switch beside branches that must be closed has both ends in one node: it is open in every tree.
        undecided = problem.free & (tail != head)
        index = np.flatnonzero(undecided)
        forced_open = ~(forced_closed | undecided)
        itself = np.arange(net.n_branch)
        graph = cls(node, n_nodes, index, tail[index], head[index], forced_closed, forced_open, itself)
        return replace(graph, alike=_alike(problem, graph))

    @property
    def idle(self) -> Bools:
        """bool, shape (n_branch,): branches that another one stands for."""
        return self.alike != np.arange(len(self.alike))

    @cached_property
    def joined(self) -> DecisionGraph:
        """The graph with idle branches contracted: its trees are radial configurations, one of each kind."""
        idle = self.idle[self.branch_index]
        contraction = coo_array((np.ones(idle.sum()), (self.tail[idle], self.head[idle])), shape=(self.n_nodes,) * 2)
        n_nodes, component = connected_components(contraction, directed=False)
        component = component.astype(np.int64)
        tail, head = component[self.tail], component[self.head]
        # A ring without load that hangs on one node opens its one branch left in every tree.
        kept = ~idle & (tail != head)
        closed = self.forced_closed.copy()
        closed[self.branch_index[idle]] = True
        undecided = np.zeros_like(closed)
        undecided[self.branch_index[kept]] = True
        index = self.branch_index[kept]
        return DecisionGraph(
            component[self.node], n_nodes, index, tail[kept], head[kept], closed, ~(closed | undecided), self.alike
        )

    def canonical(self, configuration: Configuration) -> Configuration:
        """The configuration of equal loss in which no idle branch is open."""
        closed = configuration.closed.copy()
        opened = np.flatnonzero(~closed & self.idle)
        closed[opened] = True
        closed[self.alike[opened]] = False
        return Configuration(closed)

    @property
    def n_undecided(self) -> int:
        """Number of switches that are a decision."""
        return len(self.branch_index)

    @property
    def n_loops(self) -> int:
        """Number of undecided branches that a radial configuration opens."""
        return self.n_undecided - self.n_nodes + 1

    def expand(self, closed: Bools) -> Configuration:
        """The configuration of the whole network from the states of the undecided branches, shape (n_undecided,)."""
        states = self.forced_closed.copy()
        states[self.branch_index] = closed
        return Configuration(states)

    def spread(self, values: Floats, forced_closed: float, forced_open: float) -> Floats:
        """Values of the undecided branches for the whole network, constants elsewhere, shape (n_branch,)."""
        result = np.where(self.forced_closed, forced_closed, forced_open)
        result[self.branch_index] = values
        return result


def _alike(problem: ReconfigurationProblem, graph: DecisionGraph) -> Ints:
    """Which branch stands for each, shape (n_branch,); a normally open one if there is one: it costs no operation.

    Two branches that meet in a node where nothing else is undecided, nothing is drawn and nothing charges: with either
    open the node carries no current. Operations would tell them apart, so nothing is joined where those count.
    """
    net = problem.network
    alike = np.arange(net.n_branch)
    if problem.switching_cost or problem.max_operations is not None or problem.controls:
        return alike
    busy = (net.g_shunt != 0) | (net.b_shunt != 0)
    for member in problem.members:
        busy |= (member.p != 0) | (member.q != 0)
    strange = problem.usable & ((problem.b != 0) | (net.g != 0) | (net.ratio != 1))
    busy[net.from_bus[strange]] = busy[net.to_bus[strange]] = True
    degree = np.bincount(np.concatenate([graph.tail, graph.head]), minlength=graph.n_nodes)
    quiet = (degree == 2) & (np.bincount(graph.node, busy, graph.n_nodes) == 0)
    quiet[0] = False
    links = adjacency(graph.n_nodes, graph.tail, graph.head, np.ones(graph.n_undecided, dtype=bool))
    nodes = np.flatnonzero(quiet)
    pairs = links.branch[links.start[nodes]], links.branch[links.start[nodes] + 1]
    size = graph.n_undecided
    joint = coo_array((np.ones(len(nodes)), pairs), shape=(size, size))
    _, group = connected_components(joint, directed=False)
    order = np.argsort(~net.normally_open[graph.branch_index], kind="stable")
    _, first = np.unique(group[order], return_index=True)
    alike[graph.branch_index] = graph.branch_index[order[first]][group] if size else graph.branch_index
    return alike


@dataclass(frozen=True)
class SeriesChains:
    """Maximal paths through nodes with two undecided branches; a tree opens at most one branch of each.

    Parameters
    ----------
    chain
        Chain of each undecided branch, shape (n_undecided,).
    position
        Place in its chain, from 0, shape (n_undecided,).
    length
        Number of branches of each chain, shape (n_chain,).
    degree
        Undecided branches at each node, shape (n_nodes,).
    inner
        Chain that passes through each node, -1 at the substations and at junctions, shape (n_nodes,).
    """

    chain: Ints
    position: Ints
    length: Ints
    degree: Ints
    inner: Ints

    @classmethod
    def of(cls, graph: DecisionGraph) -> SeriesChains:
        """Chains of a decision graph; the substations always end a chain."""
        links = adjacency(graph.n_nodes, graph.tail, graph.head, np.ones(graph.n_undecided, dtype=bool))
        degree = np.diff(links.start)
        passing = degree == 2
        passing[0] = False
        chain, position, _ = walk_chains(graph.tail, graph.head, links.start, links.branch, passing)
        inner = np.full(graph.n_nodes, -1, dtype=np.int64)
        inner[graph.tail] = chain
        inner[graph.head] = chain
        inner[~passing] = -1
        return cls(chain, position, np.bincount(chain).astype(np.int64), degree, inner)


@njit()
def walk_chains(tail: Ints, head: Ints, start: Ints, branch: Ints, passing: Bools) -> tuple[Ints, Ints, Ints]:
    """Chain and place in it of each branch, and the two end nodes of each chain, shape (n_chain, 2).

    Parameters
    ----------
    start, branch
        Incident branches per node, as compressed rows.
    passing
        Nodes in the middle of a chain: those with two branches, but not all of a closed ring.
    """
    chain = np.full(len(tail), -1, np.int64)
    position = np.zeros(len(tail), np.int64)
    ends = np.empty((len(tail), 2), np.int64)
    count = 0
    for first in range(len(tail)):
        # A walk begins at a branch with an end where no chain passes; the graph is connected, so every chain has one.
        if chain[first] >= 0 or (passing[tail[first]] and passing[head[first]]):
            continue
        e, place = first, 0
        node = tail[first] if passing[tail[first]] else head[first]
        ends[count, 0] = tail[first] + head[first] - node
        while True:
            chain[e] = count
            position[e] = place
            if not passing[node]:
                break
            e = branch[start[node]] + branch[start[node] + 1] - e
            place += 1
            node = tail[e] + head[e] - node
        ends[count, 1] = node
        count += 1
    return chain, position, ends[:count]
