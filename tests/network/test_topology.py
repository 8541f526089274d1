"""Topology: bridges, blocks, radiality and spanning trees, against networkx and by hand."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from conftest import make_network, random_network

from learnopt.errors import DataError
from learnopt.network.topology import (
    blocks,
    is_radial,
    maximum_spanning_tree,
    merged_nodes,
    network_blocks,
    radiality_faults,
)


def random_multigraph(seed: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Nodes, ends and usable flags with parallel branches, self-loops and unreachable parts."""
    rng = np.random.default_rng(seed)
    n_nodes, n_branch = int(rng.integers(2, 12)), int(rng.integers(1, 22))
    tail, head = rng.integers(0, n_nodes, (2, n_branch))
    return n_nodes, tail, head, rng.random(n_branch) < 0.85


def subdivided(n_nodes: int, tail: np.ndarray, head: np.ndarray, usable: np.ndarray) -> nx.Graph:
    """A simple graph with the same loops: a node ("e", k) in the middle of every branch that has two ends."""
    graph = nx.Graph()
    graph.add_nodes_from(range(n_nodes))
    for k in np.flatnonzero(usable & (tail != head)):
        graph.add_edges_from([(int(tail[k]), ("e", int(k))), (("e", int(k)), int(head[k]))])
    return graph


@pytest.mark.parametrize("seed", range(60))
def test_blocks_are_the_biconnected_components(seed):
    """Blocks, bridges and reachability of random multigraphs agree with networkx."""
    n_nodes, tail, head, usable = random_multigraph(seed)
    found = blocks(n_nodes, tail, head, usable)
    graph = subdivided(n_nodes, tail, head, usable)
    reached = nx.node_connected_component(graph, 0)
    assert found.fed.tolist() == [k in reached for k in range(n_nodes)]
    inside = np.array([("e", k) in reached for k in range(len(tail))])
    np.testing.assert_array_equal(found.block >= 0, inside)
    bridges = {frozenset(edge) for edge in nx.bridges(graph)}
    np.testing.assert_array_equal(
        found.bridges, [inside[k] and frozenset((int(tail[k]), ("e", k))) in bridges for k in range(len(tail))]
    )
    component = {}
    for number, edges in enumerate(nx.biconnected_component_edges(graph)):
        component |= {frozenset(edge): number for edge in edges}
    pairs: dict[int, set[int]] = {}
    for k in np.flatnonzero(inside):
        pairs.setdefault(int(found.block[k]), set()).add(component[frozenset((int(tail[k]), ("e", int(k))))])
    assert all(len(numbers) == 1 for numbers in pairs.values())
    assert len({min(numbers) for numbers in pairs.values()}) == len(pairs) == len(found.entry)


@pytest.mark.parametrize("seed", range(60))
def test_blocks_are_fed_through_their_entry(seed):
    """The entry is the block's one node nearest to the root, and feeding blocks come first in depth-first order."""
    n_nodes, tail, head, usable = random_multigraph(seed)
    found = blocks(n_nodes, tail, head, usable)
    distance = nx.single_source_shortest_path_length(subdivided(n_nodes, tail, head, usable), 0)
    known = {0}
    assert sorted(found.depth_first) == list(range(len(found.entry)))
    for block in found.depth_first:
        nodes = {int(v) for k in np.flatnonzero(found.block == block) for v in (tail[k], head[k])}
        entry = int(found.entry[block])
        assert all(distance[v] > distance[entry] for v in nodes - {entry})
        assert entry in known
        known |= nodes


def test_bridges_of_named_networks(two_bus, triangle, parallel_branches, two_substations, coupler):
    """A loop, a pair of parallel branches and a path between substations have no bridges; a spur is one."""
    assert network_blocks(two_bus).bridges.tolist() == [True]
    assert network_blocks(triangle).bridges.tolist() == [False, False, False]
    assert network_blocks(parallel_branches).bridges.tolist() == [False, False, True]
    assert network_blocks(two_substations).bridges.tolist() == [False, False, False]
    assert network_blocks(coupler).bridges.tolist() == [False, False, False]
    assert network_blocks(triangle, np.array([True, True, False])).bridges.tolist() == [True, True, False]


def test_loops_are_counted_with_merged_substations(two_bus, triangle, parallel_branches, two_substations, case33):
    """n_loops = branches - buses + substations."""
    counts = [n.n_loops for n in (two_bus, triangle, parallel_branches, two_substations, case33)]
    assert counts == [0, 1, 1, 1, 5]
    assert merged_nodes(two_substations).tolist() == [0, 0, 1, 2]


def test_radiality_faults_name_loops_and_islands(triangle, two_substations, parallel_branches, coupler):
    """A state that is not radial says which branch closes the loop and which bus is unfed."""
    assert is_radial(triangle, np.array([True, True, False]))
    assert "loops close at branch 3" in radiality_faults(triangle, np.array([True, True, True]))[0]
    assert "no path to a substation: bus 2" in radiality_faults(triangle, np.array([True, False, False]))[0]
    # Both faults at once: the count of closed branches is right, the state is not.
    faults = radiality_faults(parallel_branches, np.array([True, True, False]))
    assert [("loops close at branch 2" in f, "bus 2" in f) for f in faults] == [(True, False), (False, True)]
    assert "1 closed branches too many" in radiality_faults(two_substations, np.ones(3, dtype=bool))[0]
    assert is_radial(coupler, np.array([True, False, True]))


@pytest.mark.parametrize("seed", range(30))
def test_radiality_agrees_with_networkx(seed):
    """A random state is radial exactly when the merged graph of its closed branches is a tree."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, 8, 3, n_substations=int(rng.integers(1, 3)))
    node = merged_nodes(network)
    for _ in range(20):
        closed = rng.random(network.n_branch) < 0.75
        graph = nx.MultiGraph()
        graph.add_nodes_from(range(int(node.max()) + 1))
        graph.add_edges_from(
            (int(node[network.from_bus[e]]), int(node[network.to_bus[e]])) for e in np.flatnonzero(closed)
        )
        assert is_radial(network, closed) == nx.is_tree(graph)


@pytest.mark.parametrize("seed", range(30))
def test_maximum_spanning_tree(seed):
    """Kruskal gives a radial state of the greatest weight, equal to networkx's, and takes forced branches first."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, 10, 5, n_substations=2)
    weight = rng.normal(size=network.n_branch)
    usable = np.ones(network.n_branch, dtype=bool)
    closed = maximum_spanning_tree(network, usable, weight)
    assert is_radial(network, closed)
    node = merged_nodes(network)
    graph = nx.MultiGraph()
    for e in range(network.n_branch):
        graph.add_edge(int(node[network.from_bus[e]]), int(node[network.to_bus[e]]), weight=float(weight[e]))
    best = nx.maximum_spanning_tree(graph).size(weight="weight")
    assert weight[closed].sum() == pytest.approx(best)
    light = ~closed & (np.arange(network.n_branch) == np.flatnonzero(~closed)[0])
    forced = maximum_spanning_tree(network, usable, weight, forced=light)
    assert forced[light].all()
    assert is_radial(network, forced)


def test_spanning_tree_ties_go_to_the_first_branch(parallel_branches):
    """Equal weights are broken by branch index, so the answer does not depend on the sort."""
    closed = maximum_spanning_tree(parallel_branches, np.ones(3, dtype=bool), np.zeros(3))
    assert closed.tolist() == [True, False, True]


def test_island_is_bad_data():
    """A bus that no branch can connect to a substation is refused when the network is read."""
    with pytest.raises(DataError, match="island: 2 buses have no path to a substation: bus 2, 3"):
        make_network([(0, 1, 1, 1), (2, 3, 1, 1)], {3: (10, 0)})
