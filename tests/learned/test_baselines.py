"""Baselines that solve give an admissible configuration on every problem that has one."""

from __future__ import annotations

import numpy as np
import pytest
from instances import random_problem
from oracles import LIGHT

from learnopt.learned.baselines import ExchangeFromPresent, PresentConfiguration, SequentialOpening, solving_baselines
from learnopt.learning.baselines import Baseline, all_baselines
from learnopt.network import Network, ReconfigurationProblem
from learnopt.physics import evaluate, power_flow


@pytest.mark.parametrize("baseline", solving_baselines(), ids=lambda b: b.name)
def test_predictions_are_admissible(baseline: Baseline) -> None:
    """Radial, with every lock and outage kept; a cap on operations is not theirs to know."""
    baseline.fit([])
    seen = 0
    for seed in range(100):
        problem = random_problem(seed, load=LIGHT).replace(max_operations=None)
        if not problem.contradictions:
            seen += 1
            assert problem.faults(baseline.predict(problem)) == []
    assert seen > 50


def test_names_tell_all_baselines_apart() -> None:
    """They are the keys of an evaluation."""
    names = [b.name for b in [*solving_baselines(), *all_baselines()]]
    assert len(set(names)) == len(names)


def test_present_configuration_is_kept(case33: Network) -> None:
    """Where nothing forbids it, nothing moves."""
    problem = ReconfigurationProblem.of(case33)
    assert PresentConfiguration().predict(problem) == case33.normal_configuration


def test_published_losses_of_the_33_bus_system(case33: Network) -> None:
    """202.68 kW as it is; both heuristics come within 1 % of 139.55 kW and not below."""
    problem = ReconfigurationProblem.of(case33)
    losses = {b.name: evaluate(problem, b.predict(problem)).loss_kw for b in solving_baselines()}
    assert losses["present configuration"] == pytest.approx(202.677, abs=1e-2)
    for name in (SequentialOpening.name, ExchangeFromPresent.name):
        assert 139.55 <= losses[name] < 141


def test_exchange_is_never_worse_than_staying() -> None:
    """It starts there."""
    for seed in range(40):
        problem = random_problem(seed, [], load=LIGHT)
        stay, move = PresentConfiguration().predict(problem), ExchangeFromPresent().predict(problem)
        assert power_flow(problem, move).loss <= power_flow(problem, stay).loss * (1 + 1e-9)


def test_exchange_without_power_flow_stays(triangle: Network) -> None:
    """Loads beyond the collapse: the present configuration comes back."""
    problem = ReconfigurationProblem.of(triangle)
    heavy = problem.under(type(problem.scenario).nominal(triangle))
    heavy.scenario.p_load.flags.writeable = True
    heavy.scenario.p_load[:] = np.where(heavy.scenario.p_load > 0, 1e6, 0)
    assert not power_flow(heavy, triangle.normal_configuration).converged
    assert ExchangeFromPresent().predict(heavy) == triangle.normal_configuration
