"""The tree distribution agrees with enumeration, at any spread of the weights."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch_geometric.data import Batch
from toy_feeders import random_problem

from learnopt.learning.features import extract
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.likelihood import negative_log_likelihood
from learnopt.learning.pyg import graph_data
from learnopt.learning.spanning_tree import SpanningTrees
from learnopt.network.topology import DisjointSets, maximum_spanning_tree

TAIL = np.array([0, 0, 1, 2, 3, 1, 4])  # parallel edges 0-1, a square 0-1-2-3 with a diagonal, a bridge 4-2
HEAD = np.array([1, 1, 2, 3, 0, 3, 2])
N_NODES = 5


def enumerate_trees(n_nodes: int, tail: np.ndarray, head: np.ndarray) -> np.ndarray:
    """All spanning trees, bool, shape (n_tree, n_edge)."""
    trees = []
    for edges in combinations(range(len(tail)), n_nodes - 1):
        sets = DisjointSets(n_nodes)
        if all(sets.join(int(tail[e]), int(head[e])) for e in edges):
            trees.append(np.isin(np.arange(len(tail)), edges))
    return np.array(trees)


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 200.0])
def test_log_partition_and_marginals_equal_enumeration(spread: float) -> None:
    """Log Z, both marginals and the most probable tree are those of the enumerated trees, whatever the spread."""
    rng = np.random.default_rng(int(spread))
    all_trees = enumerate_trees(N_NODES, TAIL, HEAD)
    for _ in range(20):
        theta = rng.uniform(-spread, spread, len(TAIL))
        log_weight = all_trees @ theta
        log_z = np.logaddexp.reduce(log_weight)
        probability = np.exp(log_weight - log_z)
        trees = SpanningTrees.of(N_NODES, TAIL, HEAD, theta)
        assert trees.log_z == pytest.approx(log_z, rel=1e-12, abs=1e-12)
        np.testing.assert_allclose(trees.p_closed, probability @ all_trees, atol=1e-12)
        np.testing.assert_allclose(trees.p_open, probability @ ~all_trees, rtol=1e-9)
        assert trees.p_closed[6] == 1.0  # the bridge
        assert trees.p_closed.sum() == pytest.approx(N_NODES - 1, abs=1e-11)
        assert trees.log_probability(trees.most_probable) == pytest.approx(log_weight.max() - log_z, abs=1e-10)


def test_chains_rings_and_blocks_are_exact() -> None:
    """Two blocks that share a node, a ring that hangs on one node, chains and parallel edges: as enumerated."""
    tail = np.array([0, 1, 2, 0, 3, 0, 2, 4, 5, 6, 0, 7, 8, 7])
    head = np.array([1, 2, 3, 3, 1, 2, 4, 5, 6, 2, 7, 8, 0, 8])
    all_trees = enumerate_trees(9, tail, head)
    for seed, spread in enumerate((0.0, 2.0, 50.0)):
        theta = np.random.default_rng(seed).uniform(-spread, spread, len(tail))
        log_weight = all_trees @ theta
        probability = np.exp(log_weight - np.logaddexp.reduce(log_weight))
        trees = SpanningTrees.of(9, tail, head, theta)
        assert len(trees.open_process.ring) == 1
        assert len(trees.open_process.member_start) == 3
        assert trees.log_z == pytest.approx(np.logaddexp.reduce(log_weight), rel=1e-12)
        np.testing.assert_allclose(trees.p_open, probability @ ~all_trees, rtol=1e-9)
        drawn = trees.sample(4000, np.random.default_rng(seed))
        np.testing.assert_allclose(drawn.mean(0), trees.p_closed, atol=0.04)
        assert {row.tobytes() for row in drawn} <= {row.tobytes() for row in all_trees}


def test_samples_have_the_frequencies_of_the_trees() -> None:
    """Samples are spanning trees, drawn with their exact probabilities (chi-square on every tree)."""
    theta = np.random.default_rng(3).uniform(-1, 1, len(TAIL))
    all_trees = enumerate_trees(N_NODES, TAIL, HEAD)
    trees = SpanningTrees.of(N_NODES, TAIL, HEAD, theta)
    drawn = trees.sample(20_000, np.random.default_rng(4))
    key = 2 ** np.arange(len(TAIL))
    position = {int(k): i for i, k in enumerate(all_trees @ key)}
    counts = np.bincount([position[int(k)] for k in drawn @ key], minlength=len(all_trees))
    expected = np.exp(all_trees @ theta - trees.log_z)
    assert chisquare(counts, expected / expected.sum() * len(drawn)).pvalue > 1e-3


def test_sampling_does_not_stall_where_a_random_walk_would() -> None:
    """A pair of buses bound by e^80 is sampled fairly where it hesitates to connect (Wilson would not end)."""
    tail, head, theta = np.array([1, 0, 0]), np.array([2, 1, 2]), np.array([80.0, 0.0, 0.0])
    drawn = SpanningTrees.of(3, tail, head, theta).sample(2000, np.random.default_rng(0))
    assert drawn[:, 0].all()
    assert 0.45 < drawn[:, 1].mean() < 0.55


def test_samples_follow_the_seed() -> None:
    """Same generator state, same trees."""
    trees = SpanningTrees.of(N_NODES, TAIL, HEAD, np.zeros(len(TAIL)))
    first, second = (trees.sample(50, np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_graph_without_loops() -> None:
    """A tree has one spanning tree; a single node has the empty one."""
    trees = SpanningTrees.of(2, np.array([0]), np.array([1]), np.array([0.7]))
    assert trees.log_z == pytest.approx(0.7)
    assert trees.p_closed.tolist() == [1.0]
    empty = SpanningTrees.of(1, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    assert empty.log_z == 0.0
    assert empty.sample(2, np.random.default_rng(0)).shape == (2, 0)


def test_most_probable_tree_is_the_maximum_spanning_tree_of_the_network() -> None:
    """The compiled search agrees with the one of the topology layer."""
    for seed in range(10):
        problem = random_problem(seed, 20, 5, 2)
        graph = DecisionGraph.of(problem)
        theta = np.random.default_rng(seed).normal(size=graph.n_undecided)
        trees = SpanningTrees.of(graph.n_nodes, graph.tail, graph.head, theta)
        score = graph.spread(theta, 0.0, 0.0)
        expected = maximum_spanning_tree(problem.network, ~graph.forced_open, score, graph.forced_closed)
        np.testing.assert_array_equal(graph.expand(trees.most_probable).closed, expected)


def test_likelihood_gradient_and_batching() -> None:
    """The gradient is the derivative (gradcheck), and a batch of feeders of different sizes equals single ones."""
    feeders = []
    for seed, size in ((0, 9), (1, 14), (2, 6)):
        data = extract(random_problem(seed, size, 2))
        feeders.append(graph_data(replace(data, closed=torch.arange(data.edge_index.shape[1]) % 2 == 0)))
    batch = Batch.from_data_list(feeders)
    theta = torch.randn(batch.edge_index.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theta.requires_grad_()
    assert torch.autograd.gradcheck(lambda t: negative_log_likelihood(batch, t), theta)
    parts = theta.detach().split([f.edge_index.shape[1] for f in feeders])
    single = [negative_log_likelihood(Batch.from_data_list([f]), t) for f, t in zip(feeders, parts, strict=True)]
    torch.testing.assert_close(negative_log_likelihood(batch, theta).detach(), torch.cat(single))
