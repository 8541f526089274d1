"""Plans against every radial configuration with every choice of conductors, judged by AC power flow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from plans import cost_of, least_costs, plans_of, small_problem

from learnopt.formulations.conductor_selection import economic_limit, economic_limit_reason
from learnopt.network import Status
from learnopt.physics import power_flow
from learnopt.physics.sweep import grid_of, order_tree
from learnopt.studies.conductors.bound import bound_data, configuration_bound, ranges_of
from learnopt.studies.conductors.engine import ConductorParams, solve_plan

BRANCH_AND_CUT = ConductorParams(most_configurations=0)
PROVEN = {Status.OPTIMAL, Status.INFEASIBLE}
KINDS = {
    "passive": {},
    "tight voltage": {"vm_min": 0.985},
    "no voltage limit": {"vm_min": None},
    "rule": {"no_thicker_downstream": True},
    "budget": {"budget": 1500.0},
    "generation": {"generation": True},
    "charging": {"charging": True},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_least_cost_is_found_and_proven(kind: str, seed: int) -> None:
    """Both ways of proving agree with the oracle, and no bound exceeds the true optimum."""
    problem = small_problem(np.random.default_rng(seed), n_bus=5, **KINDS[kind])
    truth = min(cost for _, cost in least_costs(problem))
    for params in (None, BRANCH_AND_CUT):
        result = solve_plan(problem, gap=1e-4, params=params)
        assert result.status in PROVEN, result.message
        if math.isinf(truth):
            assert result.status is Status.INFEASIBLE
            assert result.plan is None
            continue
        assert result.plan is not None
        assert result.dual_bound is not None
        assert result.dual_bound <= truth * (1 + 1e-9)
        assert truth * (1 - 1e-9) <= result.total_cost <= truth * (1 + 1e-4)
        assert result.gap is not None
        assert result.gap <= 1e-4
        assert cost_of(problem, result.plan) == pytest.approx(result.total_cost, rel=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_bound_of_a_configuration(seed: int) -> None:
    """Never above the least cost of the configuration while that is below the cutoff, and tight just above it."""
    rng = np.random.default_rng(100 + seed)
    problem = small_problem(rng, n_bus=5, vm_min=[0.93, 0.98, None][seed % 3])
    data, grid = bound_data(problem), grid_of(problem.network)
    at = ranges_of(problem.network.n_bus, problem.r.shape[1])
    for configuration, truth in least_costs(problem):
        assert order_tree(grid, configuration.closed, at.order, at.parent, at.feed)
        slack = []
        for cutoff in (math.inf, 2 * truth, 1.01 * truth, 1.0001 * truth):
            bound = configuration_bound(data, at, cutoff)
            assert bound <= truth * (1 + 1e-9)
            slack.append(truth - bound)
        if math.isfinite(truth) and data.v_low == 0.0:
            assert slack[-1] <= 1e-3 * truth


@pytest.mark.parametrize("seed", range(6))
def test_no_optimal_plan_exceeds_an_economic_limit(seed: int) -> None:
    """The cheapest plan of every configuration keeps each conductor below the current where another is better."""
    problem = small_problem(np.random.default_rng(200 + seed), n_bus=5)
    limit = economic_limit(problem)
    assert np.isfinite(limit[:, 0]).all()
    for configuration, truth in least_costs(problem):
        if math.isinf(truth):
            continue
        best = min(plans_of(problem, configuration), key=lambda plan: cost_of(problem, plan))
        flow = power_flow(problem.equipped(best.conductor), configuration)
        for k in np.flatnonzero(flow.parent >= 0):
            e = flow.feed[k]
            assert abs(flow.current[k]) ** 2 <= limit[e, best.conductor[e]] * (1 + 1e-9)


def test_no_economic_limit_where_the_exchange_argument_fails() -> None:
    for kind in ("rule", "budget", "generation", "charging"):
        problem = small_problem(np.random.default_rng(1), **KINDS[kind])
        if kind == "generation" and (problem.feeder.p[1:] >= 0).all():
            continue
        assert economic_limit_reason(problem), kind
        assert np.isinf(economic_limit(problem)).all(), kind
