"""Spanning trees of the decision graph are exactly the radial configurations of the problem."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from conftest import make_network
from test_spanning_tree import enumerate_trees
from toy_feeders import locked, random_problem

from learnopt.errors import DataError
from learnopt.learning.graph import DecisionGraph, SeriesChains
from learnopt.network import Configuration, Network, ReconfigurationProblem


@pytest.mark.parametrize("states", [{}, {0: 1, 8: 0}, {3: 1, 5: 1, 7: 0}])
@pytest.mark.parametrize("n_substations", [1, 2])
def test_trees_are_the_admissible_configurations(n_substations: int, states: dict[int, int]) -> None:
    """Both enumerations, one of trees and one of all states, give the same set, locks included."""
    problem = locked(random_problem(5, 8, 3, n_substations), states)
    graph = DecisionGraph.of(problem)
    trees = {graph.expand(t) for t in enumerate_trees(graph.n_nodes, graph.tail, graph.head)}
    every = (Configuration(np.array(z)) for z in product([False, True], repeat=problem.network.n_branch))
    assert trees == {configuration for configuration in every if problem.admits(configuration)}


def test_switch_beside_locked_closed_path_is_forced_open(triangle: Network) -> None:
    """A switch that would close a loop of locked branches is open without asking the model."""
    problem = locked(ReconfigurationProblem.of(triangle), {0: 1, 1: 1})
    graph = DecisionGraph.of(problem)
    assert problem.free[2]
    assert graph.n_undecided == 0
    assert graph.forced_open.tolist() == [False, False, True]


def test_substation_is_node_zero_wherever_it_is_listed() -> None:
    """Node 0 holds all substations even when other buses come first in the file."""
    net = make_network([(1, 2, 1, 1), (2, "S", 1, 1), (1, "T", 1, 1)], {1: (1, 0), 2: (1, 0)}, substations=["S", "T"])
    graph = DecisionGraph.of(ReconfigurationProblem.of(net))
    assert set(np.flatnonzero(graph.node == 0)) == set(net.substations)


def test_contradictory_locks_are_named(triangle: Network) -> None:
    """A problem without radial configuration is refused with the reason."""
    with pytest.raises(DataError, match="closes a loop"):
        DecisionGraph.of(locked(ReconfigurationProblem.of(triangle), {0: 1, 1: 1, 2: 1}))


def test_chains_are_split_at_junctions_and_at_the_substation() -> None:
    """Chains end where three branches meet and at the substation, positions count along them."""
    branches = [(0, 1, 1, 1), (1, 2, 1, 1), (2, 3, 1, 1), (3, 0, 1, 1), (1, 3, 1, 1)]
    graph = DecisionGraph.of(ReconfigurationProblem.of(make_network(branches, {1: (1, 0), 2: (1, 0), 3: (1, 0)})))
    chains = SeriesChains.of(graph)
    assert chains.chain[1] == chains.chain[2]
    assert len(set(chains.chain.tolist())) == 4
    assert sorted(chains.length.tolist()) == [1, 1, 1, 2]
    assert sorted(chains.position[1:3].tolist()) == [0, 1]
    assert chains.inner[graph.head[1]] == chains.chain[1]
    assert chains.inner[0] == -1
