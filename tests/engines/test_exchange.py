"""Branch exchange: never worse than where it starts, within the rules, one exchange at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from instances import all_configurations, random_problem, solvable_problem

from learnopt.engines import SolveOptions, exchange
from learnopt.engines.exchange import (
    PENALTY,
    ExchangeEngine,
    LocalSearch,
    find_incumbent,
    radial_start,
    random_start,
    sequential_opening,
)
from learnopt.engines.tree.currents import tree_loss
from learnopt.network import Certificate, Configuration, Limits, ReconfigurationProblem, Scenario, Situations, Status
from learnopt.network.topology import is_radial
from learnopt.physics import evaluate, power_flow


def objective(problem: ReconfigurationProblem, configuration: Configuration) -> float:
    """Judged loss plus switching cost [kW]; infinite where the judge finds it infeasible."""
    judged = evaluate(problem, configuration)
    cost = problem.switching_cost * problem.operations(configuration)
    return judged.loss_kw + cost if judged.feasible else np.inf


@pytest.mark.parametrize("seed", range(60))
def test_never_worse_than_its_start(seed):
    """From any start: radial, within locks, outages and the cap, and no worse; merit is the judged objective."""
    problem = random_problem(seed, n_loops=(1, 5))
    search = LocalSearch(problem)
    for start in all_configurations(problem)[::5] if not problem.contradictions else []:
        before = objective(problem, start)
        improved = search.improve(start)
        if improved is None:
            assert not power_flow(problem, start).converged
            continue
        found, merit = improved
        assert problem.admits(found)
        after = objective(problem, found)
        assert after <= before * (1 + 1e-9) + 1e-12
        if np.isfinite(after):
            assert merit == pytest.approx(after, rel=1e-6, abs=1e-9)
        else:
            assert merit > PENALTY * 1e-6 * problem.network.base.kw
        again = search.improve(found)
        assert again is not None
        assert again[0] == found, "not a fixed point of its own"


def test_start_without_power_flow_or_radiality(case33):
    """None, never a loss: states of the 33-bus system without power flow, and states that are not radial."""
    search = LocalSearch(ReconfigurationProblem.of(case33))
    for opened in ([5, 6, 8, 13, 24], [5, 8, 12, 33, 37], [], [33, 34, 35, 36], [1, 33, 34, 35, 36]):
        assert search.improve(case33.configuration(opened)) is None
    assert search.neighbours(case33.configuration([5, 6, 8, 13, 24]), 5) == []


def exchanges(problem: ReconfigurationProblem, configuration: Configuration) -> set[Configuration]:
    """All radial configurations one exchange of free switches away, by trying all pairs."""
    found = set()
    for tie in np.flatnonzero(problem.free & ~configuration.closed):
        for cut in np.flatnonzero(problem.free & configuration.closed):
            closed = configuration.closed.copy()
            closed[tie], closed[cut] = True, False
            if is_radial(problem.network, closed):
                found.add(Configuration(closed))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_neighbours_are_all_exchanges_best_first(seed):
    """Exactly the configurations one exchange away, ordered by the loss of fixed load currents plus switching cost."""
    features = ("couplers", "voltages", "lock", "outage", "cost", "generation")
    problem = solvable_problem(seed, features, n_loops=(1, 6), holds=lambda p: power_flow(p, radial_start(p)).converged)
    search, start = LocalSearch(problem), radial_start(problem)
    flow = power_flow(problem, start)
    listed = search.neighbours(start, 10_000)
    assert len(set(listed)) == len(listed)
    assert set(listed) == exchanges(problem, start)
    assert search.neighbours(start, 3) == listed[:3]
    fed = ~problem.network.is_substation
    current = np.where(fed, ((problem.p + 1j * problem.q) / flow.v).conj(), 0.0)
    kw = problem.network.base.kw
    estimates = [kw * tree_loss(problem, c, current) + problem.switching_cost * problem.operations(c) for c in listed]
    assert (np.diff(estimates) >= -1e-9 * (1 + np.abs(estimates[:-1]))).all()


@pytest.mark.parametrize("seed", range(20))
def test_looks_at_the_clock_change_nothing(seed, monkeypatch):
    """In pieces of one power flow the same local optimum; when time is over the start itself, with its merit."""
    problem = solvable_problem(seed, ("couplers", "voltage limits", "cost"), n_loops=(2, 6))
    start = random_start(problem, np.random.default_rng(seed))
    search = LocalSearch(problem)
    whole = search.improve(start)
    monkeypatch.setattr(exchange, "CHUNK_BUSES", 1)
    assert search.improve(start) == whole
    late = search.improve(start, seconds=0.0)
    assert (late is None) == (whole is None)
    if whole is not None:
        assert late[0] == start
        assert late[1] >= whole[1]
        if np.isfinite(value := objective(problem, start)):
            assert late[1] == pytest.approx(value, rel=1e-6, abs=1e-9)
    opened = sequential_opening(problem, seconds=0.0)
    assert is_radial(problem.network, opened.closed)


def test_33_bus_from_the_normal_state(case33):
    """The known optimum is reached from the normal configuration and from sequential opening."""
    problem = ReconfigurationProblem.of(case33)
    search = LocalSearch(problem)
    for start in (radial_start(problem), sequential_opening(problem)):
        found = search.improve(start)
        assert found is not None
        assert case33.open_ids(found[0]) == [7, 9, 14, 32, 37]
        assert found[1] == pytest.approx(139.5513, abs=1e-3)


@pytest.mark.parametrize("seed", range(30))
def test_starts_are_admissible(seed):
    """Normal, sequential and random starts respect locks and outages; the normal state is kept as far as it can be."""
    problem = solvable_problem(seed, ("couplers", "lock", "outage", "generation"), n_loops=(1, 6), load=(0.1, 0.5))
    rng = np.random.default_rng(seed)
    for start in (radial_start(problem), sequential_opening(problem), random_start(problem, rng)):
        assert problem.admits(start)
    fewest = min(problem.operations(c) for c in all_configurations(problem))
    assert problem.operations(radial_start(problem)) == fewest


def test_normal_state_is_the_start_where_it_is_radial(case33):
    """Nothing is switched without need."""
    assert radial_start(ReconfigurationProblem.of(case33)) == case33.normal_configuration


def test_cap_holds_from_any_start_within_it(case33):
    """With a cap of two operations no result has more, from whichever start, and the best single exchange is found."""
    problem = ReconfigurationProblem.of(case33, max_operations=2)
    search = LocalSearch(problem)
    starts = [case33.normal_configuration, *search.neighbours(case33.normal_configuration, 1000)]
    assert len(starts) > 30
    results = [r for r in map(search.improve, starts) if r is not None]
    assert len(results) > 30
    assert all(problem.operations(configuration) <= 2 for configuration, _ in results)
    best = min(objective(problem, c) for c in starts)
    found = ExchangeEngine().solve(problem, SolveOptions())
    assert found.objective_kw == pytest.approx(best)


def test_a_start_helps_and_an_inadmissible_one_is_ignored(case33):
    """A given optimum is returned as it is; a start that breaks a lock, or is not radial, changes nothing."""
    locked = np.full(case33.n_branch, -1, dtype=np.int8)
    locked[case33.branches([33])] = 1
    problem = ReconfigurationProblem.of(case33, replace(Scenario.nominal(case33), locked=locked))
    plain = find_incumbent(problem, None, np.random.default_rng(0))
    for start in ([7, 9, 14, 32, 33], [], [1, 2, 3, 4, 5]):
        assert find_incumbent(problem, case33.configuration(start), np.random.default_rng(0)) == plain
    free = ReconfigurationProblem.of(case33)
    optimum = case33.configuration([7, 9, 14, 32, 37])
    assert ExchangeEngine(0).solve(free, SolveOptions(), optimum).configuration == optimum


@pytest.mark.parametrize("seed", range(10))
def test_result_is_never_worse_than_the_given_start(seed):
    """Whatever else is tried, the engine's result is at least as good as the start."""
    problem = random_problem(seed, ("charging", "generation", "voltages"), n_loops=(2, 6))
    for start in all_configurations(problem)[::7]:
        if np.isfinite(before := objective(problem, start)):
            result = ExchangeEngine(random_starts=0).solve(problem, SolveOptions(), start)
            assert result.objective_kw <= before * (1 + 1e-9)


def test_nothing_is_proven(triangle):
    """Status feasible, no bound, no certificate; no_solution where no state respects the limits or has a power flow."""
    result = ExchangeEngine().solve(ReconfigurationProblem.of(triangle), SolveOptions())
    assert (result.status, result.certificate, result.dual_bound_kw) == (Status.FEASIBLE, Certificate.NONE, None)
    assert triangle.open_ids(result.configuration) == [2]
    nominal = Scenario.nominal(triangle)
    huge = replace(nominal, p_load=1000 * triangle.p_load)
    for problem in (
        ReconfigurationProblem(triangle, Situations.of(huge)),
        ReconfigurationProblem(triangle, Situations.of(nominal), Limits(vm_min=0.999)),
    ):
        failed = ExchangeEngine().solve(problem, SolveOptions())
        assert (failed.status, failed.configuration, failed.objective_kw) == (Status.NO_SOLUTION, None, None)


def test_violated_limits_are_repaired(triangle):
    """From a state below the voltage limit to one above it, though the limit excludes two of three."""
    problem = ReconfigurationProblem.of(triangle, limits=Limits(vm_min=0.991))
    for opened, inside in (([1], False), ([2], True), ([3], False)):
        assert evaluate(problem, triangle.configuration(opened)).feasible == inside
        found = LocalSearch(problem).improve(triangle.configuration(opened))
        assert found is not None
        assert triangle.open_ids(found[0]) == [2]


def test_same_seed_same_result(case33):
    """The random trees of a seed are reproducible, those of another seed are different trees."""
    problem = ReconfigurationProblem.of(case33)
    first, second, other = (random_start(problem, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == second != other
    runs = [ExchangeEngine(8).solve(problem, SolveOptions(seed=3)) for _ in range(2)]
    assert runs[0].configuration == runs[1].configuration
    assert runs[0].objective_kw == runs[1].objective_kw


def test_parallel_couplers_can_both_open():
    """Opening one of two parallel couplers makes no bridge of the other: sequential opening may open both."""
    lines = [(0, 1, 1, 1), (0, 2, 1, 1), (1, 2, 0, 0), (1, 2, 0, 0)]
    problem = ReconfigurationProblem.of(make_network(lines, {1: (1000, 0), 2: (1000, 0)}))
    assert problem.network.open_ids(sequential_opening(problem)) == [3, 4]


def test_ctrl_c_returns_the_best_local_optimum(case33, monkeypatch):
    """Interrupted in the second start: the optimum of the first."""
    real, calls = exchange.LocalSearch.improve, []

    def interrupted(self, start, **options):
        calls.append(start)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(self, start, **options)

    monkeypatch.setattr(exchange.LocalSearch, "improve", interrupted)
    result = ExchangeEngine().solve(ReconfigurationProblem.of(case33), SolveOptions())
    assert result.status is Status.INTERRUPTED
    assert result.configuration is not None
    assert "best configuration so far" in result.message
