"""A recorded day: what is counted is the truth, the same seed gives the same day, and noise does no harm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from feeder_of_tests import NOON

from learnopt.errors import DataError
from learnopt.io import load_case
from learnopt.network import Limits, Network, ReconfigurationProblem, Scenario
from learnopt.network.topology import radiality_faults
from learnopt.physics import evaluate
from learnopt.studies.operation.advice import Policy, Verdict
from learnopt.studies.operation.meters import Telemetry
from learnopt.studies.operation.replay import Replay, replay


def day(network: Network, n: int, hours: float = 1.0) -> list:
    """Loads that wander: two kinds of customers with their peaks at different times."""
    nominal, rng, found = Scenario.nominal(network), np.random.default_rng(5), []
    home = rng.random(network.n_bus) < 0.5
    for k in range(n):
        level = np.where(home, 0.6 + 0.4 * np.sin(k / 4), 0.6 - 0.4 * np.sin(k / 4))
        loads = replace(nominal, p_load=nominal.p_load * level, q_load=nominal.q_load * level)
        found.append((NOON + timedelta(hours=hours * k), loads))
    return found


def run(network: Network, n: int = 8, telemetry: Telemetry | None = None, **policy: float) -> Replay:
    """Some hours with a fixed seed."""
    return replay(network, day(network, n), Policy(**policy), telemetry, np.random.default_rng(0))  # type: ignore[arg-type]


def test_energies_are_those_of_the_truth() -> None:
    """Computed again by the judge, state by state."""
    net = load_case("case33")
    found, state = run(net), net.normal_configuration
    lost = stayed = 0.0
    for (_, truth), cycle in zip(day(net, 8), found.cycles, strict=True):
        state = cycle.advice.target or state
        assert not radiality_faults(net, state.closed)
        problem = ReconfigurationProblem.of(net, truth, limits=Limits())
        lost += evaluate(problem, state).loss_kw
        stayed += evaluate(problem, net.normal_configuration).loss_kw
    assert found.energy_kwh() == pytest.approx(lost)
    assert found.energy_kwh(unchanged=True) == pytest.approx(stayed)
    assert found.saved_kwh == pytest.approx(stayed - lost)
    assert found.final == state
    assert stayed > lost
    assert found.operations == sum(len(one.advice.steps) for one in found.proposals)


def test_the_same_seed_gives_the_same_day() -> None:
    """Noise, losses and gross errors included; another seed measures other places."""
    net = load_case("case33")
    seen = Telemetry(measured=0.4, noise=0.02, lost=0.1, gross=0.01)
    first, again = (run(net, 5, seen) for _ in range(2))
    for a, b in zip(first.cycles, again.cycles, strict=True):
        assert np.array_equal(a.picture.scenario.p, b.picture.scenario.p)
        assert (a.advice.target, a.advice.reason, a.loss_kw) == (b.advice.target, b.advice.reason, b.loss_kw)


def test_noise_costs_little() -> None:
    """A third of the loads measured with 5 % noise, heads as well: most of the saving is left."""
    net = load_case("case33")
    exact, noisy = run(net), run(net, telemetry=Telemetry(measured=0.33, noise=0.05, lost=0.05))
    assert exact.saved_kwh is not None
    assert noisy.saved_kwh is not None
    assert noisy.saved_kwh > 0.8 * exact.saved_kwh


def test_nothing_is_proposed_where_nothing_is_known() -> None:
    """All values lost."""
    net = load_case("case33")
    found = run(net, 3, Telemetry(lost=1.0))
    assert {one.advice.verdict for one in found.cycles} == {Verdict.UNFIT}
    assert (found.operations, found.saved_kwh) == (0, 0.0)


def test_two_instants_evenly_apart() -> None:
    """Else there is no duration to count."""
    net = load_case("case33")
    with pytest.raises(DataError, match="evenly apart"):
        replay(net, day(net, 1))
    uneven = [*day(net, 2), (NOON + timedelta(hours=5), Scenario.nominal(net))]
    with pytest.raises(DataError, match="evenly apart"):
        replay(net, uneven)
    with pytest.raises(DataError, match="noise = 2"):
        Telemetry(noise=2)
