"""Substitution, the chain of scenarios, what is said when a limit cannot be met."""

from __future__ import annotations

import numpy as np
import pytest
from plans import small_problem

from learnopt.io import load_case
from learnopt.io.conductors import read_conductors
from learnopt.network import Limits, ReconfigurationProblem, Status
from learnopt.physics import evaluate
from learnopt.studies.conductors.study import FIRST_STEP, Mode, run_study
from learnopt.studies.conductors.substitution import substitute

CHAIN = [(Mode.JOINT, Mode.ODNR_OCS), (Mode.JOINT, Mode.OCS_ODNR), *FIRST_STEP.items()]


@pytest.mark.parametrize(("case", "vm_min"), [("case33", 0.92), ("case69", 0.95)])
def test_substituted_feeder_behaves_as_before(case: str, vm_min: float) -> None:
    """Losses of the base within 3.58 %, the largest error of Gallego Pareja et al. (2023), table 3."""
    feeder = ReconfigurationProblem.of(load_case(case), limits=Limits(vm_min, 1.0, True))
    problem = substitute(feeder, *read_conductors())
    normal = feeder.network.normal_configuration
    before, after = evaluate(feeder, normal), evaluate(problem.equipped(problem.installed), normal)
    assert after.loss_kw == pytest.approx(before.loss_kw, rel=0.0358)
    assert not [v for v in after.violations if v.startswith("branch")], "the substitutes carry the current"
    np.testing.assert_allclose(problem.equipped(problem.installed).network.r, feeder.network.r, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", [False, True])
def test_relations_hold(seed: int, rule: bool) -> None:
    """Joint <= each sequence <= its own first step <= base; every scenario keeps the limits."""
    problem = small_problem(np.random.default_rng(seed), vm_min=0.9, no_thicker_downstream=rule)
    results = run_study(problem)
    assert list(results) == list(Mode)
    cost = {mode: result.total_cost for mode, result in results.items()}
    for better, worse in [*CHAIN, (Mode.OCS, Mode.BASE), (Mode.ODNR, Mode.BASE)]:
        assert cost[better] <= cost[worse] * (1 + 1e-9), (better, worse)
    for mode, result in results.items():
        assert result.dual_bound <= result.total_cost * (1 + 1e-12)
        assert mode is Mode.BASE or result.evaluation.feasible
        assert result.total_cost == pytest.approx(result.investment_cost + result.energy_cost)
    normal, installed = problem.network.normal_configuration, problem.installed
    assert results[Mode.OCS].plan.configuration == normal
    assert (results[Mode.ODNR].plan.conductor == installed).all()
    assert results[Mode.ODNR_OCS].plan.configuration == results[Mode.ODNR].plan.configuration


def test_first_steps_come_along() -> None:
    problem = small_problem(np.random.default_rng(0), vm_min=0.9)
    assert list(run_study(problem, (Mode.ODNR_OCS,))) == [Mode.ODNR, Mode.ODNR_OCS]


def test_infeasible_plan_names_the_limit() -> None:
    """A voltage that no conductor reaches, and a budget below the cheapest conductors."""
    problem = small_problem(np.random.default_rng(0), vm_min=0.9999)
    result = run_study(problem, (Mode.JOINT,))[Mode.JOINT]
    assert result.status is Status.INFEASIBLE
    assert result.plan is None
    assert "thickest conductor" in result.message
    assert "0.9999" in result.message
    poor = small_problem(np.random.default_rng(0), budget=1.0)
    result = run_study(poor, (Mode.OCS,))[Mode.OCS]
    assert result.status is Status.INFEASIBLE
    assert "budget is 1.00" in result.message


def test_base_reports_what_it_breaks() -> None:
    problem = small_problem(np.random.default_rng(0), vm_min=0.9999)
    result = run_study(problem, (Mode.BASE,))[Mode.BASE]
    assert result.plan == problem.installed_plan
    assert "breaks" in result.message
