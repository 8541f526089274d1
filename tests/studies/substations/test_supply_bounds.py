"""What the bound stands on: cuts and tangents that no plan violates, local search that only gives feasible plans."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from plan_instances import tiny
from plan_oracle import least_cost

from learnopt.engines.milp.highs import CompiledModel
from learnopt.formulations.expansion import build_expansion, cost_scale, tangent_row
from learnopt.network import Status
from learnopt.studies.substations.check import check_plan
from learnopt.studies.substations.cuts import SupplyCuts
from learnopt.studies.substations.engine import PlanOptions, plan_substations
from learnopt.studies.substations.local_search import find_plan
from learnopt.studies.substations.plan import plan_cost
from learnopt.studies.substations.squares import Squares

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from random_expansion import ExpansionConfig, random_expansion


@pytest.mark.parametrize("quadratic", [False, True])
def test_relaxation_with_all_rows_stays_below_the_least_cost(quadratic: bool) -> None:
    """Cuts and tangents at random fractional points, also absurd ones, never lift the bound above a plan."""
    for seed in range(8):
        problem = tiny(seed, n_route=6, quadratic=quadratic, radial=True)
        best = least_cost(problem)
        if math.isinf(best):
            continue
        m = build_expansion(problem)
        model = CompiledModel(m)
        squares, cuts = Squares(problem, m, model), SupplyCuts(problem, m, model)
        rng = np.random.default_rng(seed)
        for _ in range(20):
            values = rng.uniform(0.0, 1.0, model.n_columns) ** 3
            cuts.at_values(values)
            squares.at_values(values)
        for _ in range(10):
            run = model.solve_relaxation()
            assert run.bound * cost_scale(problem) <= best * (1 + 1e-7)
            if not cuts.at_values(run.values) + squares.at_values(run.values):
                break
        run = model.solve(gap=0.0)
        assert run.bound * cost_scale(problem) <= best * (1 + 1e-6)


def test_cuts_lift_the_relaxation() -> None:
    """They are worth their rows: on a generated problem the bound of the relaxation grows."""
    problem = random_expansion(ExpansionConfig(12, 2), np.random.default_rng(0))
    m = build_expansion(problem)
    model = CompiledModel(m)
    cuts = SupplyCuts(problem, m, model)
    first = run = model.solve_relaxation()
    while cuts.at_values(run.values):
        run = model.solve_relaxation()
    assert run.bound > 1.005 * first.bound


def test_tangents_are_below_the_square() -> None:
    """``h = P^2, beta = 1`` and ``h = P = beta = 0`` keep every tangent; it touches at its point."""
    for at in (0.1, 2.0, 7.5):
        h, p, beta = tangent_row(at)
        assert all(h * power**2 + p * power + beta >= -1e-12 for power in np.linspace(0, 10, 41))
        assert h * at**2 + p * at + beta == pytest.approx(0.0)


def test_local_search_gives_feasible_plans() -> None:
    """What it returns keeps every rule and costs no less than the optimum."""
    found = 0
    for seed in range(12):
        problem = tiny(seed, n_route=6, radial=True)
        plan = find_plan(problem, np.random.default_rng(0))
        if plan is not None:
            found += 1
            assert check_plan(problem, plan) == []
            assert plan_cost(problem, plan).total >= least_cost(problem) * (1 - 1e-9)
    assert found > 3


def test_generated_problem_is_solved_and_checked() -> None:
    """A dozen demands: proven, feasible in AC, the same from the same seed."""
    problem = random_expansion(ExpansionConfig(12, 2), np.random.default_rng(0))
    result = plan_substations(problem, PlanOptions(gap=1e-3))
    assert result.status is Status.OPTIMAL
    assert result.gap <= 1e-3
    assert check_plan(problem, result.plan) == []
    again = random_expansion(ExpansionConfig(12, 2), np.random.default_rng(0))
    assert again.routes == problem.routes
    assert plan_substations(again, PlanOptions(gap=1e-3)).plan == result.plan
