"""Limits that the present state breaks: held where no switch changes them, enforced where one does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from instances import all_configurations, random_problem

from learnopt.engines import SolveOptions
from learnopt.engines.enumeration import EnumerationEngine
from learnopt.network import (
    Evaluation,
    HeldLimit,
    LimitKind,
    Limits,
    Network,
    ReconfigurationProblem,
    Result,
    Scenario,
    Situations,
    Status,
)
from learnopt.network.held import held_in_words, held_to_dicts
from learnopt.physics import evaluate
from learnopt.studies.configuration.held import held_in_situations, hold_limits, hold_stubborn, solve_holding

LINES = [(0, 1, 0.5, 0.5), (1, 2, 0.5, 0.5), (2, 3, 0.5, 0.5), (0, 3, 0.5, 0.5, {"normally_open": True}), (2, 4, 2, 2)]
"""A ring 0-1-2-3 that is open at 0-3, and bus 4 on a line without an alternative; branch ids count from 1."""
LOADS = {1: (300, 100), 2: (300, 100), 3: (600, 200), 4: (500, 200)}


def enumerate_all(problem: ReconfigurationProblem) -> Result:
    """The least loss by enumeration."""
    return EnumerationEngine().solve(problem, SolveOptions())


def amperes(network: Network, problem: ReconfigurationProblem | None = None) -> np.ndarray:
    """Currents of the present state [A]."""
    asked = problem or ReconfigurationProblem.of(network, limits=Limits())
    return evaluate(asked, network.normal_configuration).current_a


def rated(network: Network, ratings: dict[int, float]) -> Network:
    """The network with ampacities [A] of some branches, by position."""
    i_max = np.array(network.i_max)
    for e, rating in ratings.items():
        i_max[e] = rating / network.i_base[e]
    return replace(network, i_max=i_max)


@pytest.fixture
def ring() -> Network:
    """The ring with its tail, without limits."""
    return make_network(LINES, LOADS)


def test_overload_of_a_fixed_tail_is_held(ring: Network) -> None:
    """The line to bus 4 is overloaded whatever is switched: its present current is the limit; strict is infeasible."""
    problem = ReconfigurationProblem.of(rated(ring, {4: 20.0}))
    assert enumerate_all(problem).status is Status.INFEASIBLE
    held, result = solve_holding(problem, enumerate_all)
    (one,) = held.limits.held
    assert (one.kind, one.index, one.proven) == (LimitKind.CURRENT, 4, True)
    assert one.value * ring.i_base[4] == pytest.approx(amperes(ring)[4], rel=1e-9)
    assert result.status is Status.OPTIMAL
    assert result.evaluation is not None
    assert result.evaluation.violations == ()
    assert result.evaluation.loading[4] > 1.4, "loading is told against the rating of the equipment"
    assert "branch 5" in result.message
    assert "instead of 20" in result.message
    (said,) = held_to_dicts(ring, held.limits)
    assert (said["object"], said["id"], said["unit"], said["proven"]) == ("branch", 5, "A", True)
    assert said["asked"] == pytest.approx(20.0)
    assert said["held_at"] == pytest.approx(amperes(ring)[4])


def test_low_voltage_behind_a_fixed_tail_is_held(ring: Network) -> None:
    """Bus 4 lies too low behind its line alone; the other buses keep their limits."""
    low = np.array([0, 0.9, 0.9, 0.9, 0.9999])
    held, result = solve_holding(ReconfigurationProblem.of(replace(ring, vm_min=low)), enumerate_all)
    (one,) = held.limits.held
    assert (one.kind, one.index, one.limit, one.proven) == (LimitKind.LOWEST_VOLTAGE, 4, 0.9999, True)
    assert result.status is Status.OPTIMAL
    assert held.vm_min[[1, 2, 3]].tolist() == [0.9, 0.9, 0.9]
    assert result.evaluation is not None
    assert result.evaluation.vm[4] * (1 + 1e-6) >= one.value
    assert "bus 4" in held_in_words(ring, held.limits)


def test_overload_that_a_switch_changes_stays_a_limit(ring: Network) -> None:
    """The first line is overloaded now and is not with the ring opened elsewhere: nothing is held."""
    problem = ReconfigurationProblem.of(rated(ring, {0: 0.8 * amperes(ring)[0], 4: 20.0}))
    held, result = solve_holding(problem, enumerate_all)
    assert [one.index for one in held.limits.held] == [4]
    assert result.evaluation is not None
    assert result.evaluation.loading[0] <= 1 + 1e-6


def test_overload_of_the_only_substation(ring: Network) -> None:
    """All loads come from one substation: its rating below their sum is held at what it delivers now."""
    problem = ReconfigurationProblem.of(replace(ring, substation_s_max=np.array([1.5])))
    held, result = solve_holding(problem, enumerate_all)
    (one,) = held.limits.held
    assert (one.kind, one.proven, result.status) == (LimitKind.MOST_POWER, True, Status.OPTIMAL)
    assert result.evaluation is not None
    assert result.evaluation.substation_kva[0] <= one.value * 1000 * (1 + 1e-6)


def test_voltage_in_a_loop_that_no_switch_mends(ring: Network) -> None:
    """No simple bound excludes the limit of bus 3, a search proves that no configuration respects it."""
    best = max(evaluate(ReconfigurationProblem.of(ring), c).vm[3] for c in all_configurations(_free(ring)))
    low = np.array([0, 0, 0, best + 5e-6, 0])
    problem = ReconfigurationProblem.of(replace(ring, vm_min=low))
    assert hold_limits(problem).limits.held == ()
    held, result = solve_holding(problem, enumerate_all)
    (one,) = held.limits.held
    assert (one.index, one.proven, result.status) == (3, True, Status.OPTIMAL)
    quick = hold_stubborn(problem, searched=False)
    assert quick is not None
    assert [(o.index, o.proven) for o in quick.limits.held] == [(3, False)]
    assert "no switching was found" in held_in_words(ring, quick.limits)


def test_limits_that_exclude_each_other_stay_infeasible(ring: Network) -> None:
    """Each of two limits can be had, not both at once: nothing is held, the problem is infeasible."""
    states = all_configurations(_free(ring))
    first = sorted(evaluate(_free(ring), c).current_a[0] for c in states)
    last = sorted(evaluate(_free(ring), c).current_a[3] for c in states)
    network = rated(ring, {0: first[0] + 0.01, 3: last[0] + 0.01})
    problem = ReconfigurationProblem.of(network)
    assert not any(evaluate(problem, c).feasible for c in states)
    held, result = solve_holding(problem, enumerate_all)
    assert (held.limits.held, result.status) == ((), Status.INFEASIBLE)


def test_loads_of_the_scenario_count(ring: Network) -> None:
    """What is held is the present state at the loads of the scenario; of several scenarios the worst."""
    network = rated(ring, {4: 20.0})
    nominal = Scenario.nominal(network)
    grown = replace(nominal, p_load=1.3 * nominal.p_load, q_load=1.3 * nominal.q_load)
    alone = hold_limits(ReconfigurationProblem.of(network, grown))
    now = amperes(network, ReconfigurationProblem.of(network, grown))[4]
    assert alone.i_max[4] * network.i_base[4] == pytest.approx(now)
    both = hold_limits(ReconfigurationProblem.of(network, Situations((nominal, grown), np.ones(2))))
    assert both.i_max[4] == pytest.approx(alone.i_max[4])
    assert all(evaluate(member, network.normal_configuration).feasible for member in both.members)


def test_limits_of_options_are_a_question(ring: Network) -> None:
    """A voltage limit that is asked for beside the file is not held."""
    problem = ReconfigurationProblem.of(ring, limits=Limits(vm_min=0.9999))
    held, result = solve_holding(problem, enumerate_all)
    assert (held.limits.held, result.status) == ((), Status.INFEASIBLE)


def test_nothing_broken_nothing_held(ring: Network) -> None:
    """Limits that the present state keeps are left alone, and the problem is the same object."""
    problem = ReconfigurationProblem.of(rated(ring, {4: 200.0}))
    assert hold_limits(problem) is problem
    assert hold_stubborn(problem) is None
    assert held_in_words(ring, problem.limits) == ""


def _free(network: Network) -> ReconfigurationProblem:
    return ReconfigurationProblem.of(network, limits=Limits())


def keeps(problem: ReconfigurationProblem, one: HeldLimit, configuration) -> bool:
    """By hand: a configuration respects one limit that another problem holds."""
    e, net = evaluate(problem.replace(limits=Limits()), configuration), problem.network
    if not e.converged:
        return False
    if one.kind is LimitKind.CURRENT:
        return e.current_a[one.index] <= one.limit * net.i_base[one.index] * (1 + 1e-6)
    if one.kind is LimitKind.LOWEST_VOLTAGE:
        return e.vm[one.index] * (1 + 1e-6) >= one.limit
    if one.kind is LimitKind.HIGHEST_VOLTAGE:
        return e.vm[one.index] <= one.limit * (1 + 1e-6)
    drawn = e.substation_kva[one.index] / net.base.kw
    return drawn <= one.limit * (1 + 1e-6) if one.kind is LimitKind.MOST_POWER else drawn * (1 + 1e-6) >= one.limit


def present_state(problem: ReconfigurationProblem) -> Evaluation:
    """The normal configuration without limits."""
    return evaluate(problem.replace(limits=Limits()), problem.network.normal_configuration)


@pytest.mark.parametrize("seed", range(40))
def test_random_problems_by_brute_force(seed: int) -> None:
    """What is held no configuration respects; what is not held and broken now some configuration does."""
    rng = np.random.default_rng([seed, 5])
    kinds = ("generation", "capacitors", "charging", "couplers", "voltages", "transformers", "lock", "outage")
    features = [k for k in kinds if rng.random() < 0.2]
    drawn = (random_problem(seed + 300 + 1000 * k, features, n_loops=(1, 5), load=(0.3, 2.0)) for k in range(100))
    problem = next(p for p in drawn if present_state(p).converged)
    net, present = problem.network, present_state(problem)
    drop, current = 1 - present.vm, present.current_a / net.i_base
    network = replace(
        net,
        vm_min=np.where(rng.random(net.n_bus) < 0.3, 1 - drop * rng.uniform(0.2, 1.6, net.n_bus), 0.0),
        i_max=np.where(rng.random(net.n_branch) < 0.3, current * rng.uniform(0.4, 1.5, net.n_branch) + 1e-3, np.inf),
        substation_s_max=present.substation_kva / net.base.kw * rng.uniform(0.8, 1.3, len(net.substations)) + 1e-3,
    )
    problem = problem.replace(network=network, limits=Limits.of(network))
    states = all_configurations(problem)
    proven = hold_limits(problem)
    for one in proven.limits.held:
        assert one.proven
        assert not any(keeps(problem, one, c) for c in states)
    held, result = solve_holding(problem, enumerate_all)
    for one in held.limits.held:
        assert not any(keeps(problem, one, c) for c in states)
    if result.evaluation is not None:
        assert evaluate(held, result.configuration).feasible
    if enumerate_all(problem).status is Status.OPTIMAL:
        assert held.limits.held == ()


def test_situations_have_configurations_of_their_own(ring: Network) -> None:
    """What some situation breaks and a switch of that situation mends stays a limit; the tail is held at its worst."""
    nominal = Scenario.nominal(ring)
    grown = replace(nominal, p_load=1.3 * nominal.p_load, q_load=1.3 * nominal.q_load)
    present = [amperes(ring, ReconfigurationProblem.of(ring, loads)) for loads in (nominal, grown)]
    # Closing 0-3 and opening 2-3 relieves line 1 in every situation, nothing relieves the tail.
    network = rated(ring, {4: 20.0, 0: 0.9 * present[1][0]})
    situations = [ReconfigurationProblem.of(network, loads) for loads in (grown, nominal)]
    (tail,) = held_in_situations(situations)
    assert (tail.kind, tail.index, tail.proven) == (LimitKind.CURRENT, 4, True)
    assert tail.value * ring.i_base[4] == pytest.approx(present[1][4])
    together = ReconfigurationProblem.of(network, Situations((grown, nominal), np.ones(2)))
    assert held_in_situations([together]) == (tail,)


def test_situations_hold_what_is_searched_for_in_vain(ring: Network) -> None:
    """The limit of bus 3 is beyond every configuration, as only the search finds; limits that can be had alone stay."""
    best = max(evaluate(ReconfigurationProblem.of(ring), c).vm[3] for c in all_configurations(_free(ring)))
    states = all_configurations(_free(ring))
    first = min(evaluate(_free(ring), c).current_a[0] for c in states)
    network = replace(rated(ring, {0: first + 0.01}), vm_min=np.array([0, 0, 0, best + 5e-6, 0]))
    problem = ReconfigurationProblem.of(network)
    (one,) = held_in_situations([problem])
    assert (one.kind, one.index, one.proven) == (LimitKind.LOWEST_VOLTAGE, 3, True)
    assert one.value == pytest.approx(evaluate(problem, network.normal_configuration).vm[3])
