"""Starts are never worse than what they start from, and confidence goes by what the cheapest change costs in AC."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from instances import random_problem
from oracles import LIGHT, PREDICTORS, enumerated, untrained, worst_of_many

from learnopt.engines.exchange import LocalSearch, radial_start
from learnopt.generator import FeederConfig, random_feeder
from learnopt.learned.starts import (
    LARGE,
    ROUNDS,
    SURE,
    anytime,
    confidence_for_fixing,
    confidence_in,
    guided_kicks,
    learned_start,
    settled,
)
from learnopt.network import Configuration, Limits, Network, ReconfigurationProblem
from learnopt.physics import power_flow


@pytest.mark.parametrize("predictor", PREDICTORS)
def test_start_beats_its_starts(predictor: str) -> None:
    """Whatever the model believes: admissible, and at least as good as exchange from each of the starts."""
    answers = 0
    for seed in range(40):
        problem = random_problem(seed, load=LIGHT)
        if problem.contradictions:
            continue
        prediction = PREDICTORS[predictor].predict(problem)
        worst = worst_of_many(problem)
        found = learned_start(problem, prediction, np.random.default_rng(0), further=[worst])
        alone = [LocalSearch(problem).improve(s) for s in (radial_start(problem), worst) if problem.admits(s)]
        alone = [each for each in alone if each is not None]
        if found is None:
            assert not alone
            continue
        answers += 1
        assert problem.admits(found[0])
        assert all(found[1] <= each[1] * (1 + 1e-12) for each in alone)
    assert answers > 15


def test_same_bytes_for_the_same_seed(case33: Network) -> None:
    """Confidence is a function of problem and prediction."""
    problem = ReconfigurationProblem.of(case33)
    a, b = (confidence_for_fixing(problem, untrained().predict(problem)) for _ in range(2))
    assert a.configuration == b.configuration
    assert np.array_equal(a.value, b.value)


def test_kicks_leave_a_poor_local_optimum() -> None:
    """From the worst of many trees, kicks reach the enumerated optimum, or one close to it, in nearly every case."""
    reached = cases = 0
    for seed in range(30):
        problem = random_problem(seed, [], load=LIGHT)
        start = worst_of_many(problem)
        if not power_flow(problem, start).converged:
            continue
        prediction = untrained().predict(problem)
        found = guided_kicks(problem, prediction, start, np.random.default_rng(0), 100)
        assert problem.admits(found)
        cases += 1
        reached += power_flow(problem, found).loss <= power_flow(problem, enumerated(problem).configuration).loss * 1.01
    assert cases > 20
    assert reached >= cases - 2


def held_loss(problem: ReconfigurationProblem, configuration: Configuration) -> float:
    """Loss and switching cost [pu] of a radial configuration for load currents at 1 pu: Kirchhoff on its tree alone."""
    net, closed = problem.network, np.flatnonzero(configuration.closed)
    fed = np.flatnonzero(~net.is_substation)
    incidence = np.zeros((net.n_bus, len(closed)))
    incidence[net.from_bus[closed], np.arange(len(closed))] += 1.0
    incidence[net.to_bus[closed], np.arange(len(closed))] -= 1.0
    flow = np.linalg.solve(incidence[fed], (problem.p + 1j * problem.q)[fed])
    switching = problem.switching_cost * problem.operations(configuration) / net.base.kw
    return float(net.r[closed] @ np.abs(flow) ** 2) + switching


@pytest.mark.parametrize("features", [[], ["lock", "outage", "cost"], ["cap"]])
def test_settled_is_a_local_optimum_for_held_currents(features: list[str]) -> None:
    """Never worse than its start, and no single exchange that the problem admits betters it; a cap is kept."""
    moved = cases = 0
    for seed in range(25):
        problem = random_problem(seed, features, load=LIGHT)
        if problem.contradictions or not problem.admits(start := worst_of_many(problem)):
            continue
        cases += 1
        found = settled(problem, start)
        moved += found != start
        assert problem.admits(found)
        loss = held_loss(problem, found)
        assert loss <= held_loss(problem, start) * (1 + 1e-12)
        if problem.max_operations is not None:
            continue
        for tie in np.flatnonzero(~found.closed):
            for cut in np.flatnonzero(found.closed):
                closed = found.closed.copy()
                closed[tie], closed[cut] = True, False
                other = replace(found, closed=closed)
                assert not problem.admits(other) or held_loss(problem, other) >= loss * (1 - 1e-9)
    assert cases > 5
    assert moved > cases / 2 or "cap" in features


def test_steps_and_exchange_are_admissible(two_bus: Network) -> None:
    """Whatever the model believes, locks and outages are kept, and never worse than decoding alone in the model."""
    predictor, better = untrained(), 0
    single = ReconfigurationProblem.of(two_bus)
    assert settled(single, predictor.predict_step_by_step(single, SURE, ROUNDS)).closed.tolist() == [True]
    for seed in range(25):
        problem = random_problem(seed, load=LIGHT)
        if problem.contradictions or problem.max_operations is not None:
            continue
        alone = predictor.predict_step_by_step(problem, SURE, ROUNDS)
        found = settled(problem, alone)
        assert problem.admits(found)
        assert held_loss(problem, found) <= held_loss(problem, alone) * (1 + 1e-12)
        better += found != alone
    assert better


def test_answers_of_a_large_network_get_better() -> None:
    """Admissible, the present configuration first, soon as good as exchange by AC power flow, the same by seed."""
    config = FeederConfig(buses=(400, 420), substations=(2, 2), loops=(25, 30))
    network = random_feeder(config, np.random.default_rng(1), "large")
    problem = ReconfigurationProblem.of(network, limits=Limits())
    predictor = untrained()
    runs = [list(islice(anytime(problem, predictor.predict, np.random.default_rng(0)), 12)) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0][0] == radial_start(problem)
    assert all(problem.admits(each) for each in runs[0])
    losses = [power_flow(problem, each).loss * network.base.kw for each in runs[0]]
    exchanged = LocalSearch(problem).improve(radial_start(problem))
    assert min(losses) <= exchanged[1] * 1.001
    prediction = predictor.predict(problem)
    assert prediction.graph.n_undecided >= LARGE
    found = learned_start(problem, prediction, np.random.default_rng(0))
    assert problem.admits(found[0])
    assert found[1] <= min(losses) * (1 + 1e-6)


def test_rises_are_those_of_the_power_flow(case33: Network) -> None:
    """The cheapest estimated change of each switch is near the cheapest by AC power flow."""
    problem = ReconfigurationProblem.of(case33, limits=Limits())
    best, net = enumerated(problem).configuration, case33
    rise = LocalSearch(problem).least_rise(best, np.arange(net.n_branch))
    base = power_flow(problem, best).loss
    least = np.full(net.n_branch, np.inf)
    for tie in np.flatnonzero(~best.closed):
        for cut in np.flatnonzero(best.closed):
            closed = best.closed.copy()
            closed[tie], closed[cut] = True, False
            other = replace(best, closed=closed)
            if problem.admits(other) and (flow := power_flow(problem, other)).converged:
                change = (flow.loss - base) * net.base.kw
                least[[tie, cut]] = np.minimum(least[[tie, cut]], change)
    assert np.array_equal(np.isfinite(rise), np.isfinite(least))
    small = np.isfinite(least) & (least < 0.1 * base * net.base.kw)
    np.testing.assert_allclose(rise[small], least[small], rtol=0.2, atol=0.003 * base * net.base.kw)


def test_no_configuration_no_confidence(case33: Network) -> None:
    """Where no start has a power flow nothing is fixed."""
    problem = ReconfigurationProblem.of(case33)
    assert not confidence_in(problem, untrained().predict(problem), None).value.any()
