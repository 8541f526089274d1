"""Loop space: the meshed minimum and the cost of opening a branch, against a dense solution of the same problem."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from conftest import make_network, random_network

from learnopt.errors import DataError
from learnopt.network import Network, ReconfigurationProblem, Scenario
from learnopt.network.topology import is_radial, merged_nodes
from learnopt.physics import LoopSpace


def incidence(network: Network, kept: np.ndarray) -> np.ndarray:
    """Kirchhoff's current law of the kept branches, without the row of the merged substations."""
    node, columns = merged_nodes(network), np.flatnonzero(kept)
    A = np.zeros((int(node.max()) + 1, len(columns)))
    A[node[network.to_bus[columns]], np.arange(len(columns))] += 1
    A[node[network.from_bus[columns]], np.arange(len(columns))] -= 1
    return A[1:]


def least_loss(network: Network, kept: np.ndarray, drawn: np.ndarray) -> tuple[float, np.ndarray]:
    """Minimum of sum r |f|^2 subject to A f = drawn, by its dense optimality conditions; loss and flow."""
    A = incidence(network, kept)
    r = network.r[kept]
    system = np.block([[np.diag(r), A.T], [A, np.zeros((len(A), len(A)))]])
    flow = np.linalg.solve(system, np.concatenate([np.zeros(len(r)), drawn[~network.is_substation]]))[: len(r)]
    full = np.zeros(network.n_branch, dtype=flow.dtype)
    full[kept] = flow
    return float(np.sum(network.r * np.abs(full) ** 2)), full


def example(seed: int) -> tuple[Network, ReconfigurationProblem, np.ndarray]:
    """A random network of nine buses and three loops, with complex currents drawn at its buses."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, 9, 3, n_substations=1 + seed % 2)
    drawn = rng.normal(size=network.n_bus) + 1j * rng.normal(size=network.n_bus)
    drawn[network.substations] = 0
    return network, ReconfigurationProblem.of(network), drawn


@pytest.mark.parametrize("seed", range(20))
def test_meshed_flow_is_the_minimum(seed):
    """The meshed flow obeys Kirchhoff's current law and equals the dense minimum."""
    network, problem, drawn = example(seed)
    space = LoopSpace.of(problem)
    assert space.n_loops == network.n_loops
    flow = space.meshed_flow(drawn)
    everything = np.ones(network.n_branch, dtype=bool)
    np.testing.assert_allclose(incidence(network, everything) @ flow, drawn[~network.is_substation], atol=1e-12)
    _, expected = least_loss(network, everything, drawn)
    np.testing.assert_allclose(flow, expected, atol=1e-10)


@pytest.mark.parametrize("seed", range(20))
def test_opening_cost_is_the_rise_of_the_minimum(seed):
    """Opening one branch of a loop raises the dense minimum by exactly its opening cost."""
    network, problem, drawn = example(seed)
    space = LoopSpace.of(problem)
    flow = space.meshed_flow(drawn)
    everything = np.ones(network.n_branch, dtype=bool)
    base, _ = least_loss(network, everything, drawn)
    cost = space.opening_cost(flow)
    assert (cost >= 0).all()
    for row, e in enumerate(space.core):
        opened, _ = least_loss(network, everything & (np.arange(network.n_branch) != e), drawn)
        assert cost[row] == pytest.approx(opened - base, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_meshed_loss_bounds_every_radial_configuration(seed):
    """For the same currents no radial configuration loses less than the meshed network."""
    network, problem, drawn = example(seed)
    meshed = float(np.sum(network.r * np.abs(LoopSpace.of(problem).meshed_flow(drawn)) ** 2))
    count = 0
    for opened in combinations(range(network.n_branch), network.n_loops):
        closed = np.ones(network.n_branch, dtype=bool)
        closed[list(opened)] = False
        if is_radial(network, closed):
            count += 1
            assert least_loss(network, closed, drawn)[0] >= meshed * (1 - 1e-12)
    assert count > 3


def test_tree_flow_sums_what_lies_below(triangle):
    """With only the tree closed a branch carries the sum of the buses behind it, signed from its from bus."""
    space = LoopSpace.of(ReconfigurationProblem.of(triangle))
    assert space.tree.tolist() == [True, True, False]
    np.testing.assert_allclose(space.tree_flow(np.array([0, 1.0, 2.0])), [3, 2, 0])
    # By hand: r = 0.01, 0.01 against 0.02; the currents split to equal voltage drops.
    np.testing.assert_allclose(space.meshed_flow(np.array([0, 1.0, 2.0])), [1.75, 0.75, 1.25])


def test_bridges_and_open_branches_are_outside_the_core(parallel_branches, triangle):
    """Only branches in a loop have an opening cost; a locked open branch makes the rest a tree."""
    assert LoopSpace.of(ReconfigurationProblem.of(parallel_branches)).core.tolist() == [0, 1]
    nominal = Scenario.nominal(triangle)
    opened = replace(nominal, locked=np.array([-1, 0, -1], dtype=np.int8))
    space = LoopSpace.of(ReconfigurationProblem.of(triangle, opened))
    assert (space.n_loops, len(space.core)) == (0, 0)
    np.testing.assert_allclose(space.meshed_flow(np.array([0, 1.0, 2.0])), [1, 0, 2])


def test_zero_resistance_is_floored(coupler):
    """A loop made of couplers only still has a finite conductance, and the flag says which resistance was raised."""
    space = LoopSpace.of(ReconfigurationProblem.of(coupler))
    assert space.floored.tolist() == [False, False, True]
    assert np.isfinite(space.opening_cost(space.meshed_flow(np.array([0, 1.0, 1.0])))).all()
    bars = make_network([(0, 1, 0, 0), (0, 1, 0, 0, {"normally_open": True})], {1: (100, 0)})
    space = LoopSpace.of(ReconfigurationProblem.of(bars))
    np.testing.assert_allclose(space.meshed_flow(np.array([0, 1.0])), [0.5, 0.5])


def test_unfed_buses_are_refused(triangle):
    """There is no spanning tree to start from where locks leave a bus unfed."""
    nominal = Scenario.nominal(triangle)
    cut = replace(nominal, out_of_service=np.array([False, True, True]))
    with pytest.raises(DataError, match="bus 2"):
        LoopSpace.of(ReconfigurationProblem.of(triangle, cut))
