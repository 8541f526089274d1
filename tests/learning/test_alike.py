"""Branches in series without load between them: joining them loses no configuration that matters, no probability."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_spanning_tree import enumerate_trees
from torch_geometric.data import Batch
from toy_feeders import random_problem

from learnopt.learning.features import extract
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.likelihood import negative_log_likelihood
from learnopt.learning.model import ModelConfig, build_model
from learnopt.learning.predict import Predictor
from learnopt.learning.pyg import graph_data
from learnopt.learning.spanning_tree import SpanningTrees
from learnopt.network import Limits, ReconfigurationProblem
from learnopt.physics import evaluate, power_flow


def sparse(seed: int) -> ReconfigurationProblem:
    """A small feeder on which half of the buses draw nothing; every third has two substations."""
    problem = random_problem(seed, 9, 3, 1 + (seed % 3 == 0))
    net = problem.network
    drawn = np.random.default_rng(seed).random(net.n_bus) < 0.5
    return ReconfigurationProblem.of(
        replace(net, p_load=net.p_load * drawn, q_load=net.q_load * drawn), limits=Limits()
    )


def test_kinds_of_configurations_and_their_probabilities() -> None:
    """Trees of the joined graph: one per kind; equal losses within a kind; probabilities and likelihood add up."""
    torch.manual_seed(0)
    model = build_model(ModelConfig(hidden=8, layers=1)).eval()
    joined = rings = 0
    for seed in range(60):
        problem = sparse(seed)
        graph = DecisionGraph.of(problem)
        if graph.n_loops == 0 or not graph.idle.any():
            continue
        data = extract(problem)
        with torch.inference_mode():
            theta = model(data)
        full = SpanningTrees.of(graph.n_nodes, graph.tail, graph.head, theta.double().numpy())
        prediction = Predictor(model).predict(problem)
        kinds = defaultdict(list)
        for tree in enumerate_trees(graph.n_nodes, graph.tail, graph.head):
            kinds[graph.canonical(graph.expand(tree))].append(tree)
        small = prediction.graph
        trees = enumerate_trees(small.n_nodes, small.tail, small.head)
        if small.n_undecided:
            assert {small.expand(tree) for tree in trees} == set(kinds)
        rings += small.n_loops < graph.n_loops
        for kind, members in kinds.items():
            assert problem.admits(kind)
            losses = [power_flow(problem, graph.expand(tree)).loss for tree in members]
            np.testing.assert_allclose(losses, power_flow(problem, kind).loss, rtol=1e-9, atol=1e-15)
            assert evaluate(problem, kind).feasible == evaluate(problem, graph.expand(members[0])).feasible
            together = np.logaddexp.reduce([full.log_probability(tree) for tree in members])
            assert prediction.trees.log_probability(kind.closed[small.branch_index]) == pytest.approx(
                together, abs=1e-6
            )
            labelled = extract(problem, graph.expand(members[-1]))
            loss = negative_log_likelihood(Batch.from_data_list([graph_data(labelled)]), theta)
            assert float(loss) == pytest.approx(-together, abs=1e-6)
        joined += max(map(len, kinds.values())) > 1
    assert joined > 20
    assert rings > 0


def test_nothing_is_joined_where_it_would_matter() -> None:
    """A switching cost, a cap on operations or line charging tells branches in series apart."""
    problem = next(p for p in map(sparse, range(60)) if DecisionGraph.of(p).idle.any())
    charged = ReconfigurationProblem.of(replace(problem.network, b=problem.network.b + 1e-3))
    for other in (problem.replace(switching_cost=1.0), problem.replace(max_operations=4), charged):
        assert not DecisionGraph.of(other).idle.any()
    assert DecisionGraph.of(charged.replace(charging=False)).idle.any()
