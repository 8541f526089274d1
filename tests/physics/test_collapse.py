"""The proof that a state has no power flow: never said of a state that has one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import make_network
from instances import all_configurations, random_problem

from learnopt.network import ReconfigurationProblem
from learnopt.physics import evaluate
from learnopt.physics.collapse import proven_without_solution

MIXED = ["generation", "capacitors", "couplers", "transformers", "charging", "shunts"]


@pytest.mark.parametrize(
    ("features", "share"), [(["couplers", "voltages"], 0.9), (MIXED, 0.4)], ids=["passive", "mixed"]
)
@pytest.mark.parametrize("seed", range(20))
def test_never_where_there_is_a_solution(seed, features, share):
    """Loads raised until feeders collapse: what has a power flow is never told to have none, most others are."""
    base = random_problem(seed, features, load=(0.5, 1.5))
    proven = absent = 0
    for factor in (1, 5, 10, 20, 40, 80, 160):
        scenario = replace(base.scenario, p_load=base.scenario.p_load * factor, q_load=base.scenario.q_load * factor)
        problem = base.under(scenario)
        for configuration in all_configurations(problem)[:6]:
            found = evaluate(problem, configuration)
            claimed = proven_without_solution(problem, configuration)
            assert not (claimed and found.converged)
            absent += not found.converged
            proven += claimed
    if share > 0.5 or absent > 5:
        assert proven >= share * absent > 0


def test_case33_has_two_states_without_a_solution(case33):
    """Two of 50 751 configurations collapse (a sweep stopped early reports 70.5 and 112.8 kW for them)."""
    problem = ReconfigurationProblem.of(case33)
    heavy = problem.under(replace(problem.scenario, p_load=5 * problem.p, q_load=5 * problem.q))
    assert proven_without_solution(heavy, case33.normal_configuration)
    assert not proven_without_solution(problem, case33.normal_configuration)


@pytest.mark.parametrize(("q", "absent"), [(100, False), (150, True)])
def test_generation_holds_up_what_loads_pull_down(two_bus, q, absent):
    """Strong generation with a reactive load on either side of what the closed formula allows."""
    problem = ReconfigurationProblem.of(replace(two_bus, p_load=-100 * two_bus.p_load, q_load=q * two_bus.q_load))
    r, x, p, q = two_bus.r[0], two_bus.x[0], problem.p[1], problem.q[1]
    assert ((1 - 2 * (r * p + x * q)) ** 2 < 4 * (r**2 + x**2) * (p**2 + q**2)) == absent
    assert proven_without_solution(problem, two_bus.normal_configuration) == absent
    assert evaluate(problem, two_bus.normal_configuration).converged != absent


@pytest.mark.parametrize("turned", [False, True])
def test_ratio_from_either_end(turned):
    """Behind a ratio of 0.5 the voltage doubles and four times the load can be fed."""
    ends = (1, 0) if turned else (0, 1)
    network = make_network([(*ends, 1.0, 0.0, {"ratio": 2.0 if turned else 0.5})], {1: (1000, 0)})
    # w' - 2 r p = ... has a real solution up to p = w' / (4 r), w' the squared voltage before the impedance
    most = (1 if turned else 4) / (4 * network.r[0])
    for share, absent in ((0.99, False), (1.01, True)):
        problem = ReconfigurationProblem.of(replace(network, p_load=share * most * network.p_load))
        assert proven_without_solution(problem, network.normal_configuration) == absent
        assert evaluate(problem, network.normal_configuration).converged != absent
