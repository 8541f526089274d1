"""Least loss against number of operations: every point against brute force."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from instances import PASSIVE, all_configurations, random_problem, several

from learnopt.engines import SolveOptions
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.network import Certificate, Network, ReconfigurationProblem, Status
from learnopt.physics import evaluate
from learnopt.studies.configuration.pareto import pareto_front

AC = SolveOptions(certify=Certificate.AC)


def least_losses(problem: ReconfigurationProblem) -> dict[int, float]:
    """Least loss [kW] of the feasible configurations with each number of operations."""
    least: dict[int, float] = {}
    for configuration in all_configurations(problem):
        evaluation = evaluate(problem, configuration)
        if evaluation.feasible:
            operations = problem.operations(configuration)
            least[operations] = min(least.get(operations, math.inf), evaluation.loss_kw)
    return least


@pytest.mark.parametrize("seed", range(80))
def test_front_of_brute_force(seed: int) -> None:
    """Operations, losses and bounds of the front are those of brute force, whatever locks, outages and limits say."""
    rng = np.random.default_rng([seed, 5])
    problem = random_problem(seed, [f for f in PASSIVE if f != "cost" and rng.random() < 0.25])
    if seed % 5 == 0:
        problem = several(problem, seed)
    front = pareto_front(problem, TreeSearchEngine(), AC)
    best, expected = math.inf, []
    for operations, loss in sorted(least_losses(problem).items()):
        if loss < best * (1 - 1e-8) - 1e-12:
            expected.append((operations, loss))
            best = loss
    found = [(problem.operations(point.configuration), point.loss_kw) for point in front]
    assert [operations for operations, _ in found] == [operations for operations, _ in expected]
    np.testing.assert_allclose([x for _, x in found], [x for _, x in expected], rtol=1e-7, atol=1e-9)
    for point, (_, loss) in zip(front, expected, strict=True):
        assert point.status is Status.OPTIMAL
        assert point.certificate is Certificate.AC
        assert loss * (1 - 1e-7) - 1e-9 <= point.dual_bound_kw <= loss * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("seed", range(40))
def test_capped_optimum_of_brute_force(seed: int) -> None:
    """Every cap, also odd ones and those below what outages force, has the optimum of brute force."""
    problem = random_problem(seed, ["cost", "lock", "outage"], n_bus=(6, 11), n_loops=(2, 5))
    least = least_losses(problem)
    for cap in range(8):
        capped = problem.replace(max_operations=cap)
        costs = [loss + problem.switching_cost * k for k, loss in least.items() if k <= cap]
        result = TreeSearchEngine().solve(capped, AC)
        if problem.contradictions or not costs:
            assert result.status is Status.INFEASIBLE
        else:
            assert result.status is Status.OPTIMAL
            assert result.objective_kw == pytest.approx(min(costs), rel=1e-7, abs=1e-9)


def test_front_within_the_cap_of_the_problem(case33: Network) -> None:
    """The cap of the problem ends the front; its switching cost does not move it."""
    problem = ReconfigurationProblem.of(case33)
    whole = pareto_front(problem, TreeSearchEngine(), AC)
    assert [problem.operations(point.configuration) for point in whole] == [0, 2, 4, 6, 8]
    part = pareto_front(problem.replace(max_operations=5, switching_cost=9.0), TreeSearchEngine(), AC)
    assert [point.configuration for point in part] == [point.configuration for point in whole[:3]]


def test_front_of_an_impossible_problem(case33: Network) -> None:
    """No configuration, no point."""
    problem = ReconfigurationProblem.of(case33)
    out = np.zeros(case33.n_branch, dtype=bool)
    out[case33.branch_index["1"]] = True
    scenario = replace(problem.scenario, out_of_service=out)
    assert pareto_front(problem.under(scenario), TreeSearchEngine(), AC) == ()


def test_no_time_left(case33: Network) -> None:
    """A limit that is over at once leaves points with honest bounds, or none."""
    problem = ReconfigurationProblem.of(case33)
    proven = {problem.operations(p.configuration): p.loss_kw for p in pareto_front(problem, TreeSearchEngine(), AC)}
    for point in pareto_front(problem, TreeSearchEngine(), replace(AC, time_limit=1e-9)):
        cap = problem.operations(point.configuration)
        least = min(loss for operations, loss in proven.items() if operations <= cap)
        assert point.loss_kw >= least * (1 - 1e-9)
        assert point.dual_bound_kw is None or point.dual_bound_kw <= least * (1 + 1e-9)
