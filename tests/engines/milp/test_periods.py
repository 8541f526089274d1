"""Several periods in one model: against brute force over all sequences, all prices and all single decisions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from horizons import brute_force, random_horizon
from instances import PASSIVE, all_configurations

from learnopt.engines import SolveOptions
from learnopt.engines.milp.coupled import Coupled, Plan
from learnopt.engines.milp.results import PeriodsResult, solve_periods
from learnopt.network import HorizonProblem, Status
from learnopt.physics import evaluate

OPTIONS = SolveOptions()
KINDS = [f for f in (*PASSIVE, "generation", "charging") if f not in ("cost", "cap")]


def drawn(seed: int) -> HorizonProblem:
    """A random horizon with random costs and caps."""
    rng = np.random.default_rng([seed, 11])
    rules: dict[str, object] = {"switching_cost": float(rng.choice([0.0, 0.05, 0.5, 5.0]))}
    for rule, chance, most in (
        ("max_operations", 0.4, 8), ("max_operations_per_step", 0.3, 5), ("max_operations_per_switch", 0.4, 3)
    ):  # fmt: skip
        if rng.random() < chance:
            rules[rule] = int(rng.integers(0, most))
    return random_horizon(seed, [f for f in KINDS if rng.random() < 0.2], **rules)


def agrees(result: PeriodsResult, best: float) -> None:
    """Bound below and plan above the optimum, both within the gap where it is called optimal."""
    if result.proven:
        assert result.bound_kwh <= best * (1 + 1e-6) + 1e-9
    assert result.status is not Status.INFEASIBLE or best == math.inf
    assert result.objective_kwh >= best * (1 - 1e-6) - 1e-9
    if result.status is Status.OPTIMAL:
        assert result.objective_kwh <= best * (1 + 1.1e-4) + 1e-9


@pytest.mark.parametrize("seed", [1, 5, 8, 9, 11, 13, 14, *range(70, 82)])
def test_against_all_sequences(seed: int) -> None:
    """Bound below, plan above the optimum of all sequences, both within the gap where it is called optimal."""
    problem = drawn(seed)
    best, answer = brute_force(problem)
    starts = [None] if answer is None else [None, Plan((answer[-1],) * problem.n_steps)]
    for start in starts:
        result = solve_periods(Coupled(problem), OPTIONS, start)
        agrees(result, best)


@pytest.mark.parametrize("seed", range(12))
def test_priced_step(seed: int) -> None:
    """Prices of any sign on closed branches: the least of loss plus prices."""
    rng = np.random.default_rng([seed, 19])
    problem = random_horizon(seed, (), n_steps=1)
    prices = rng.normal(0, 2, (1, problem.network.n_branch))
    values = []
    for tree in all_configurations(problem.steps[0]):
        found = evaluate(problem.steps[0], tree)
        if found.feasible:
            values.append(found.loss_kw * problem.hours[0] + float(prices[0] @ tree.closed))
    result = solve_periods(Coupled(problem, prices=prices), OPTIONS, Plan((problem.initial,)))
    assert result.status is Status.OPTIMAL
    assert result.bound_kwh <= min(values) + 1e-6 * abs(min(values)) + 1e-9
    assert result.objective_kwh == pytest.approx(min(values), rel=1.1e-4, abs=1e-6)


@pytest.mark.parametrize("worst", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_one_decision_for_all(seed: int, worst: bool) -> None:
    """Tied periods: the single configuration of least weighted or largest loss, operations counted once."""
    rng = np.random.default_rng([seed, 23])
    kinds = [f for f in KINDS if rng.random() < 0.2]
    problem = random_horizon(seed, kinds, switching_cost=float(rng.choice([0.0, 0.3])))
    best = math.inf
    for tree in all_configurations(replace(problem).steps[0]):
        found = [evaluate(step, tree) for step in problem.steps]
        if all(e.feasible for e in found):
            losses = np.array([e.loss_kw for e in found])
            total = losses.max() if worst else problem.hours @ losses
            best = min(best, total + problem.switching_cost * problem.operations(problem.initial, tree))
    result = solve_periods(Coupled(problem, tied=True, worst=worst), OPTIONS)
    agrees(result, best)
