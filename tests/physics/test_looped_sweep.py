"""Compensation of fixed loops against Newton's method on the admittance matrix."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_network
from loop_oracle import configurations, looped_problem, meshed_flow

from learnopt.network import ReconfigurationProblem
from learnopt.physics import SweepStatus, evaluate, evaluate_as_it_is, power_flow


@pytest.mark.parametrize("seed", range(40))
def test_voltages_and_loss(seed):
    """With ratios, iron losses, charging, shunts, generation, couplers and several substations."""
    problem = looped_problem(seed)
    for configuration in configurations(problem)[:4]:
        v, loss = meshed_flow(problem, configuration.closed)
        flow = power_flow(problem, configuration)
        assert flow.status is SweepStatus.CONVERGED
        assert np.abs(np.abs(flow.v) - np.abs(v)).max() < 1e-10
        assert flow.loss * problem.network.base.kw == pytest.approx(loss, rel=1e-8, abs=1e-8)


def test_heavy_load_converges_or_fails():
    """Near collapse the sweep finds what Newton finds or says that it found nothing, never a low loss."""
    solved = 0
    for load in np.linspace(5, 60, 12):
        problem = looped_problem(2, equipment=False, load=float(load))
        for configuration in configurations(problem):
            _, loss = meshed_flow(problem, configuration.closed)
            flow = power_flow(problem, configuration)
            if flow.converged:
                solved += 1
                assert flow.loss * problem.network.base.kw == pytest.approx(loss, rel=1e-7)
    assert solved > 3


@pytest.mark.parametrize("closed_ties", [0, 1, 2])
def test_present_state_as_it_is(closed_ties):
    """Loops closed by switches are computed and named; a radial state is as the judge has it."""
    ties = [{"normally_open": k >= closed_ties} for k in range(2)]
    network = make_network(
        [(0, 1, 1, 1), (1, 2, 1, 1), (2, 0, 1, 1, ties[0]), (1, 3, 1, 1), (3, 0, 1, 2, ties[1])],
        dict.fromkeys((1, 2, 3), (300, 100)),
    )
    problem = ReconfigurationProblem.of(network)
    found = evaluate_as_it_is(problem, network.normal_configuration)
    _, loss = meshed_flow(problem, network.normal_configuration.closed)
    assert found.loss_kw == pytest.approx(loss, rel=1e-8)
    assert [f"{closed_ties} closed branches too many" in s for s in found.violations] == [True] * (closed_ties > 0)
    assert evaluate(problem, network.normal_configuration).converged == (closed_ties == 0)


def test_unfed_buses_have_no_power_flow():
    """As for the judge."""
    network = make_network([(0, 1, 1, 1), (1, 2, 1, 1, {"normally_open": True})], {2: (100, 20)})
    assert not evaluate_as_it_is(ReconfigurationProblem.of(network), network.normal_configuration).converged
