"""Random small horizons, and their optimum by trying every sequence of radial configurations with the judge."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
from instances import all_configurations, random_problem

from learnopt.network import Configuration
from learnopt.physics import evaluate
from learnopt.pipeline.horizon import HorizonProblem


def random_horizon(seed: int, features: Collection[str] = (), n_steps: int = 3, **rules: object) -> HorizonProblem:
    """Three steps of unlike loads on a random feeder of one or two loops."""
    rng = np.random.default_rng([seed, 7])
    base = random_problem(seed, features, n_bus=(4, 8), n_loops=(1, 3), load=(0.3, 2.0))
    scenarios = []
    for t in range(n_steps):
        p, q = (load * rng.uniform(0.1, 1.5, len(load)) for load in (base.scenario.p_load, base.scenario.q_load))
        scenarios.append(replace(base.scenario, p_load=p, q_load=q, name=f"step {t}"))
    hours = rng.choice([0.25, 1.0, 2.0], n_steps)
    return HorizonProblem(base.network, tuple(scenarios), hours, base.limits, base.charging, **rules)


def brute_force(problem: HorizonProblem) -> tuple[float, tuple[Configuration, ...] | None]:
    """Least objective [kWh] of all sequences of configurations, by the independent power flow."""
    free = replace(problem, max_operations=None, max_operations_per_step=None)
    trees = all_configurations(free.steps[0])
    loss = []
    for step in free.steps:
        found = [evaluate(step, tree) for tree in trees]
        loss.append([e.loss_kw if e.feasible else math.inf for e in found])
    cap = math.inf if problem.max_operations is None else problem.max_operations
    step_cap = math.inf if problem.max_operations_per_step is None else problem.max_operations_per_step
    best, answer = math.inf, None
    for sequence in product(range(len(trees)), repeat=problem.n_steps):
        states = [problem.initial, *(trees[k] for k in sequence)]
        operations = [problem.operations(a, b) for a, b in pairwise(states)]
        if sum(operations) > cap or max(operations) > step_cap:
            continue
        energy = sum(h * loss[t][k] for t, (h, k) in enumerate(zip(problem.hours, sequence, strict=True)))
        value = energy + problem.switching_cost * sum(operations)
        if value < best:
            best, answer = value, tuple(trees[k] for k in sequence)
    return best, answer
