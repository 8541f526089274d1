"""Labelled toy feeders and a small trained model, shared by the tests of learning."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from conftest import random_network

from learnopt.learning.config import TrainingConfig
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.model import ModelConfig
from learnopt.learning.training import Pair, TrainedModel, fit
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.physics import LoopSpace

TINY = TrainingConfig(epochs=12, patience=12, batch_size=16, model=ModelConfig(hidden=16, layers=2))


def random_problem(seed: int, n_bus: int = 14, n_loops: int = 3, n_substations: int = 1) -> ReconfigurationProblem:
    """A random feeder light enough for every power flow to converge."""
    net = random_network(np.random.default_rng(seed), n_bus, n_loops, n_substations)
    return ReconfigurationProblem.of(replace(net, p_load=0.1 * net.p_load, q_load=0.1 * net.q_load))


def locked(problem: ReconfigurationProblem, states: dict[int, int]) -> ReconfigurationProblem:
    """The problem with branches (by position) locked open (0) or closed (1)."""
    codes = problem.locked.copy()
    for branch, state in states.items():
        codes[branch] = state
    return problem.replace(locked=codes)


def sequential_opening(problem: ReconfigurationProblem) -> Configuration:
    """Stand-in label: open the branch of least opening cost, solve the mesh again, until it is radial."""
    state = problem
    while len(index := DecisionGraph.of(state).branch_index):
        space = LoopSpace.of(state)
        cost = space.opening_cost(space.meshed_flow(state.p + 1j * state.q))[np.searchsorted(space.core, index)]
        state = locked(state, {int(index[np.argmin(cost)]): 0})
    return DecisionGraph.of(state).expand(np.zeros(0, dtype=bool))


@cache
def labelled_pairs() -> list[Pair]:
    """80 labelled feeders, every one different."""
    problems = [random_problem(seed, 12 + seed % 9, 3, 1 + seed % 2) for seed in range(80)]
    return [(problem, sequential_opening(problem)) for problem in problems]


@cache
def trained() -> TrainedModel:
    """A small model trained on the first 50 of them, stopped on the next 10."""
    return fit(TINY, labelled_pairs()[:50], labelled_pairs()[50:60])
