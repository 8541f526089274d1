"""Random small feeders with their enumerated optimum, and predictors that know it, deny it or have never learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from conftest import random_network

from learnopt.engines import SolveOptions, load_engine
from learnopt.generator import ScenarioConfig, random_scenario
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.model import ModelConfig, build_model
from learnopt.learning.predict import Prediction, Predictor
from learnopt.learning.spanning_tree import SpanningTrees
from learnopt.network import Configuration, Limits, ReconfigurationProblem, Result

SURE = 40.0
"""Weight that leaves no doubt."""
THRESHOLDS = {0.05: 0.9, 0.1: None}


def random_problem(
    seed: int, n_bus: int = 12, n_loops: int = 3, n_substations: int = 1, load: float = 0.1, **scenario: float
) -> ReconfigurationProblem:
    """A random feeder light enough for every power flow to converge, with random outages and locks.

    ``scenario`` sets further probabilities of :class:`ScenarioConfig`, for instance ``generation_probability``.
    """
    rng = np.random.default_rng(seed)
    net = random_network(rng, n_bus, n_loops, n_substations)
    net = replace(net, p_load=load * net.p_load, q_load=load * net.q_load)
    wanted = {"generation_probability": 0.0, "outage_probability": 0.3, "lock_probability": 0.3, **scenario}
    drawn = random_scenario(net, ScenarioConfig(**wanted), rng)  # type: ignore[arg-type]
    return ReconfigurationProblem.of(net, drawn, limits=Limits())


def enumerated(problem: ReconfigurationProblem) -> Result:
    """The oracle: every radial configuration by AC power flow."""
    return load_engine("enumerate").solve(problem, SolveOptions())


def certain(problem: ReconfigurationProblem, configuration: Configuration, weight: float = SURE) -> Prediction:
    """All probability on one configuration."""
    graph = DecisionGraph.of(problem)
    theta = np.where(configuration.closed[graph.branch_index], weight, -weight)
    return Prediction(graph, SpanningTrees.of(graph.n_nodes, graph.tail, graph.head, theta), THRESHOLDS)


@dataclass(frozen=True)
class CertainPredictor(Predictor):
    """Sure of the configuration that a function names."""

    choose: Callable[[ReconfigurationProblem], Configuration] = field(kw_only=True)

    def predict(self, problem: ReconfigurationProblem) -> Prediction:
        """All probability on it."""
        return certain(problem, self.choose(problem))


def untrained(seed: int = 0) -> Predictor:
    """A network with random weights, and a threshold that lets it fix switches all the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(ModelConfig(hidden=8, layers=1)).eval()
    return Predictor(model, temperature=0.05, thresholds=THRESHOLDS, name="untrained")


def knowing(choose: Callable[[ReconfigurationProblem], Configuration], name: str) -> Predictor:
    """A predictor without doubt."""
    return CertainPredictor(untrained().model, thresholds=THRESHOLDS, name=name, choose=choose)


def optimum(problem: ReconfigurationProblem) -> Configuration:
    """The enumerated optimum; any radial configuration where limits leave none."""
    found = enumerated(problem).configuration
    return found if found is not None else any_other(problem)


def any_other(problem: ReconfigurationProblem) -> Configuration:
    """A random radial configuration: confidently wrong almost always."""
    graph = DecisionGraph.of(problem)
    trees = SpanningTrees.of(graph.n_nodes, graph.tail, graph.head, np.zeros(graph.n_undecided))
    rng = np.random.default_rng(7)
    return max((graph.expand(t) for t in trees.sample(8, rng)), key=lambda c: _loss(problem, c))


def _loss(problem: ReconfigurationProblem, configuration: Configuration) -> float:
    from learnopt.physics import power_flow

    flow = power_flow(problem, configuration)
    return flow.loss if flow.converged else np.inf


EXPERT = "expert"
WRONG = "confidently wrong"
UNTRAINED = "untrained"


def predictor_of(name: str) -> Predictor:
    """One of the three by name."""
    return {EXPERT: lambda: knowing(optimum, EXPERT), WRONG: lambda: knowing(any_other, WRONG), UNTRAINED: untrained}[
        name
    ]()
