"""Horizons on networks with fixed loops against brute force over sequences of states."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from loop_oracle import looped_problem, meshed_flow, states, twin_problem

from learnopt.network import Certificate, Configuration
from learnopt.studies.horizon import HorizonProblem, plan_horizon


@pytest.mark.parametrize("twins", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 4, 19])
def test_least_energy_and_bound(seed: int, twins: bool) -> None:
    """The plan is a sequence of brute force, and no sequence is below an AC bound; a model bound claims no AC proof."""
    rng = np.random.default_rng(seed)
    base = twin_problem(seed) if twins else looped_problem(seed, equipment=False)
    loads = [rng.uniform(0.1, 1.5, base.network.n_bus) for _ in range(2)]
    steps = tuple(
        replace(base.scenario, p_load=base.scenario.p_load * f, q_load=base.scenario.q_load * f, name=f"step {t}")
        for t, f in enumerate(loads)
    )
    problem = HorizonProblem(base.network, steps, np.array([1.0, 2.0]), switching_cost=0.05)
    every = [Configuration(closed) for closed in states(base)]
    loss = [[meshed_flow(step, each.closed)[1] for each in every] for step in problem.steps]
    cost = {}
    for path in product(range(len(every)), repeat=2):
        operations = sum(problem.operations(a, b) for a, b in pairwise([problem.initial, *(every[k] for k in path)]))
        energy = sum(h * loss[t][k] for t, (h, k) in enumerate(zip(problem.hours, path, strict=True)))
        cost[tuple(every[k] for k in path)] = energy + 0.05 * operations
    plan = plan_horizon(problem)
    assert plan.objective_kwh == pytest.approx(cost[plan.configurations], rel=1e-7)
    assert plan.objective_kwh <= min(cost.values()) * (1 + 1e-3)
    assert not twins or plan.certificate is Certificate.AC
    if plan.certificate is Certificate.AC:
        assert plan.dual_bound_kwh <= min(cost.values()) * (1 + 1e-7)
