"""The proof that a state has no power flow: never said of a state that has one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from instances import all_configurations, random_problem

from learnopt.network import ReconfigurationProblem
from learnopt.physics import evaluate
from learnopt.physics.collapse import proven_without_solution


@pytest.mark.parametrize("seed", range(20))
def test_never_where_there_is_a_solution(seed):
    """Loads raised until feeders collapse: what has a power flow is never told to have none, most others are."""
    base = random_problem(seed, ["couplers", "voltages"], load=(0.5, 1.5))
    proven = absent = 0
    for factor in (1, 5, 10, 20, 40, 80, 160):
        scenario = replace(base.scenario, p_load=base.scenario.p_load * factor, q_load=base.scenario.q_load * factor)
        problem = base.replace(scenario=scenario)
        for configuration in all_configurations(problem)[:6]:
            found = evaluate(problem, configuration)
            claimed = proven_without_solution(problem, configuration)
            assert not (claimed and found.converged)
            absent += not found.converged
            proven += claimed
    assert proven >= 0.9 * absent
    assert absent > 0


def test_case33_has_two_states_without_a_solution(case33):
    """Two of 50 751 configurations collapse (a sweep stopped early reports 70.5 and 112.8 kW for them)."""
    problem = ReconfigurationProblem.of(case33)
    heavy = problem.replace(scenario=replace(problem.scenario, p_load=5 * problem.p, q_load=5 * problem.q))
    assert proven_without_solution(heavy, case33.normal_configuration)
    assert not proven_without_solution(problem, case33.normal_configuration)


def test_nothing_is_said_beside_generation(two_bus):
    """A generator may hold up what loads pull down."""
    problem = ReconfigurationProblem.of(replace(two_bus, p_load=-100 * two_bus.p_load, q_load=100 * two_bus.q_load))
    assert not proven_without_solution(problem, two_bus.normal_configuration)
