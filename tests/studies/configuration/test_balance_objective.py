"""Loss and balance together, against brute force."""

from __future__ import annotations

import math

import pytest
from instances import PASSIVE, all_configurations, random_problem

from learnopt.errors import DataError, UnsupportedError
from learnopt.network import Certificate, Situations, Status
from learnopt.physics import evaluate
from learnopt.physics.balance import balance_index
from learnopt.studies.configuration.balance import solve_balanced


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("weight", [0.0, 0.5, 20.0])
def test_weighted_optimum(seed: int, weight: float) -> None:
    """The configuration and its proof are those of all configurations evaluated one by one."""
    features = [f for f in PASSIVE if (seed + len(f)) % 4 == 0]
    problem = random_problem(seed, features, n_bus=(4, 10), n_loops=(1, 4), load=(0.3, 2.0))
    best = math.inf
    for configuration in [] if problem.contradictions else all_configurations(problem):
        evaluation = evaluate(problem, configuration)
        if evaluation.feasible:
            index = balance_index(problem.network, configuration, evaluation) or 0.0
            value = evaluation.loss_kw + problem.switching_cost * problem.operations(configuration) + weight * index
            best = min(best, value)
    result = solve_balanced(problem, weight)
    if result.configuration is None:
        assert best == math.inf
        return
    assert result.status is Status.OPTIMAL
    assert result.certificate is Certificate.AC
    assert result.objective_kw == pytest.approx(best, rel=1e-7)
    assert result.dual_bound_kw <= best * (1 + 1e-9)


def test_bad_weight_and_scenarios() -> None:
    problem = random_problem(1, ())
    with pytest.raises(DataError, match=r"balance weight = -1\.0"):
        solve_balanced(problem, -1.0)
    several = Situations((problem.scenario,) * 2, [1.0, 1.0])
    with pytest.raises(UnsupportedError, match="one scenario"):
        solve_balanced(problem.replace(situations=several), 1.0)
