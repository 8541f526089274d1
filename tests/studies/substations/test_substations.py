"""Substation planning against enumeration: the cost is least, the bound never above it, infeasible means infeasible."""

from __future__ import annotations

import math

import numpy as np
import pytest
from plan_instances import tiny
from plan_oracle import least_cost

from learnopt.errors import DataError
from learnopt.io.planning import load_planning
from learnopt.network import Status
from learnopt.network.expansion import LossTangent, Stage
from learnopt.studies.substations.check import check_plan
from learnopt.studies.substations.engine import PlanOptions, Treatment, plan_substations
from learnopt.studies.substations.plan import plan_cost

EXACT = PlanOptions(gap=0.0)


def agrees(problem) -> bool:
    """Compare with enumeration; returns whether there is a plan."""
    result, best = plan_substations(problem, EXACT), least_cost(problem)
    if math.isinf(best):
        assert result.status is Status.INFEASIBLE
        assert result.plan is None
        assert result.conflicts
        return False
    assert result.plan is not None, result
    assert result.dual_bound <= best * (1 + 1e-9)
    assert result.total_cost == pytest.approx(best, rel=1e-5)
    assert check_plan(problem, result.plan) == []
    return True


VARIANTS = {
    "radial": {"radial": True},
    "flows may split": {"n_route": 5},
    "two line types": {"radial": True, "n_route": 5, "n_type": 2},
    "quadratic costs": {"radial": True, "n_route": 5, "quadratic": True},
    "loss limit, quadratic": {"radial": True, "loss_limit_percent": 1.2},
    "loss limit, tangent": {"radial": True, "loss_limit_percent": 8.0, "loss_tangent": LossTangent(-0.1, 0.1)},
    "N-1": {"radial": True, "n_minus_1": True, "n_route": 5},
    "N-1, overload": {"n_minus_1": True, "n_route": 5, "emergency_loading": 1.3},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_least_cost(name: str) -> None:
    """Every variant of the problem, on random instances of which some have a plan."""
    radial = VARIANTS[name].get("radial") and not VARIANTS[name].get("n_minus_1")
    solved = [agrees(tiny(seed, **VARIANTS[name])) for seed in range(0 if radial else 4, 8)]  # linear programs are slow
    assert any(solved)


def test_infeasible_and_feasible_both_occur() -> None:
    """The random instances are tight: the tests above see both outcomes."""
    outcomes = [agrees(tiny(seed, n_route=5, radial=True)) for seed in range(10, 22)]
    assert any(outcomes)
    assert not all(outcomes)


@pytest.mark.parametrize("seed", range(4))
def test_two_stages_cost_no_more_than_their_parts(seed: int) -> None:
    """Building for the last demand at once, or each stage on its own, brackets the cost over two stages."""
    single = tiny(seed, radial=True, max_substations=2)
    grown = Stage("later", single.stages[0].demand * 1.1, 0.5, 0.8)
    both = single.replace(stages=(single.stages[0], grown))
    late = single.replace(stages=(Stage("late only", grown.demand, 1.0, 1.0),))
    result, last = plan_substations(both, EXACT), plan_substations(late, EXACT)
    if last.plan is None:
        assert result.plan is None
        return
    assert check_plan(both, result.plan) == []
    # The plan of the later stage, built at once, serves the first stage too where it is radial and demands shrink.
    at_once = (
        last.costs.substation_fixed
        + last.costs.feeder_fixed
        + 1.8 * (last.costs.substation_variable + last.costs.feeder_variable)
    )
    assert result.total_cost <= at_once * (1 + 1e-6)
    first = plan_substations(single, EXACT)
    assert result.total_cost >= first.dual_bound * (1 - 1e-6)


def test_stages_delay_what_is_not_needed_yet() -> None:
    """With a discount, a substation that only the later demand needs is built later; what is built stays."""
    problem = load_planning("turkay")
    first = np.array([5, 3, 4, 3, 3, 5, 6.0])
    problem = problem.replace(
        loss_tangent=None, stages=(Stage("now", first, 1.0, 1.0), Stage("later", 2.0 * first, 0.5, 0.5))
    )
    plan = plan_substations(problem).plan
    assert plan is not None
    assert sorted((problem.sites[s.site].id, s.stage) for s in plan.substations) == [(1, 0), (2, 1)]


@pytest.mark.parametrize("treatment", list(Treatment))
def test_bound_holds_with_every_treatment(treatment: Treatment) -> None:
    """One tangent or eight: fewer tangents give a weaker bound, never a wrong one, and the cost stays exact."""
    for seed in range(4):
        problem = tiny(seed, n_route=5, quadratic=True, radial=True)
        result, best = plan_substations(problem, PlanOptions(gap=0.0, treatment=treatment)), least_cost(problem)
        if result.plan is not None:
            assert result.dual_bound <= best * (1 + 1e-9)
            assert result.total_cost >= best * (1 - 1e-9)
            assert result.total_cost == plan_cost(problem, result.plan).total


def test_table_3_is_reproduced() -> None:
    """The seed's flows: substation 1 with 29 MVA, seven lines."""
    problem = load_planning("turkay")
    result = plan_substations(problem)
    ids = problem.node_ids
    assert result.status is Status.OPTIMAL
    assert {(ids[f.tail], ids[f.head]): f.mva for f in result.plan.flows} == {
        (1, 9): 6, (1, 7): 8, (7, 8): 5, (1, 5): 7, (1, 3): 8, (3, 4): 3, (5, 6): 3,
    }  # fmt: skip
    assert [ids[s.site] for s in result.plan.substations] == [1]
    (evaluation,) = result.evaluations
    assert evaluation is not None
    assert evaluation.feasible
    assert set(result.plan.sources(problem, 0)) == set(range(2, 9))


def test_limits_of_a_run() -> None:
    """A limit too short for anything is a status; options out of range are refused together."""
    result = plan_substations(tiny(0), PlanOptions(time_limit=1e-9))
    assert result.status in (Status.NO_SOLUTION, Status.FEASIBLE, Status.OPTIMAL)
    with pytest.raises(DataError) as refused:
        PlanOptions(gap=-1.0, time_limit=0.0)
    assert len(refused.value.violations) == 2


def test_same_problem_same_plan() -> None:
    """Two runs give one plan."""
    problem = tiny(3, radial=True)
    assert plan_substations(problem).plan == plan_substations(problem).plan
