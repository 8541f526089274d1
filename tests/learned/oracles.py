"""Predictors that know the optimum, are confidently wrong, or have never learned anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from learnopt.engines import SolveOptions, load_engine
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.model import ModelConfig, build_model
from learnopt.learning.predict import Prediction, Predictor
from learnopt.learning.spanning_tree import SpanningTrees
from learnopt.network import Configuration, ReconfigurationProblem, Result
from learnopt.physics import power_flow

LIGHT = (0.1, 1.0)
"""Range of the factor on loads for which power flows converge."""
SURE = 40.0
"""Weight that leaves no doubt."""
THRESHOLDS = {0.01: 0.9, 0.1: None}

Choice = Callable[[ReconfigurationProblem], Configuration]


def enumerated(problem: ReconfigurationProblem) -> Result:
    """The oracle: every radial configuration by AC power flow."""
    return load_engine("enumerate").solve(problem, SolveOptions())


def certain(problem: ReconfigurationProblem, configuration: Configuration) -> Prediction:
    """All probability on one configuration."""
    graph = DecisionGraph.of(problem)
    theta = np.where(configuration.closed[graph.branch_index], SURE, -SURE)
    return Prediction(graph, SpanningTrees.of(graph.n_nodes, graph.tail, graph.head, theta), THRESHOLDS)


def worst_of_many(problem: ReconfigurationProblem) -> Configuration:
    """The worst of some random configurations, one without power flow if there is one."""
    graph = DecisionGraph.of(problem)
    trees = SpanningTrees.of(graph.n_nodes, graph.tail, graph.head, np.zeros(graph.n_undecided))

    def loss(configuration: Configuration) -> float:
        flow = power_flow(problem, configuration)
        return flow.loss if flow.converged else np.inf

    return max((graph.expand(tree) for tree in trees.sample(8, np.random.default_rng(7))), key=loss)


def optimum(problem: ReconfigurationProblem) -> Configuration:
    """The enumerated optimum; a bad configuration where limits leave none."""
    return enumerated(problem).configuration or worst_of_many(problem)


@dataclass(frozen=True)
class CertainPredictor(Predictor):
    """Sure of the configuration that a function names."""

    choose: Choice = field(kw_only=True)

    def predict(self, problem: ReconfigurationProblem) -> Prediction:
        """All probability on it."""
        return certain(problem, self.choose(problem))


def untrained() -> Predictor:
    """Random weights, sharpened so that they are sure of many a switch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(ModelConfig(hidden=8, layers=1)).eval()
    return Predictor(model, temperature=0.05, thresholds=THRESHOLDS, name="untrained")


def sure_of(choose: Choice, name: str) -> Predictor:
    """A predictor without doubt."""
    return CertainPredictor(untrained().model, thresholds=THRESHOLDS, name=name, choose=choose)


PREDICTORS = {
    "expert": sure_of(optimum, "expert"),
    "wrong": sure_of(worst_of_many, "wrong"),
    "untrained": untrained(),
}
