"""Scenarios have the documented distributions and never contradict themselves."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_network
from hypothesis import given, settings
from hypothesis import strategies as st

from learnopt.errors import DataError
from learnopt.generator import FeederConfig, ScenarioConfig, load_areas, random_feeder, random_scenario
from learnopt.network import Network, ReconfigurationProblem, Scenario, Situations

LOADS_ONLY = ScenarioConfig(generation_probability=0, outage_probability=0, lock_probability=0)
BUSY = ScenarioConfig(
    outage_probability=1, max_outages=3, lock_probability=1, lock_share=(0.3, 1.0), generation_probability=1
)


def draw(network: Network, config: ScenarioConfig, n: int) -> list[Scenario]:
    return [random_scenario(network, config, np.random.default_rng([7, k])) for k in range(n)]


@pytest.fixture(scope="module")
def factors(case33: Network) -> np.ndarray:
    """Load factors of 3000 scenarios, shape (3000, n_loaded)."""
    loaded = case33.p_load > 0
    return np.array([s.p_load[loaded] / case33.p_load[loaded] for s in draw(case33, LOADS_ONLY, 3000)])


def test_load_factors_have_the_documented_mean_and_variance(factors: np.ndarray) -> None:
    """Mean is that of the common factor; the variance of the logarithm is the sum of the three."""
    level = np.random.default_rng(0).uniform(0.4, 1.1, 200_000)
    assert factors.mean() == pytest.approx(0.75, rel=0.02)
    assert np.log(factors).var(axis=0).mean() == pytest.approx(np.log(level).var() + 2 * 0.2**2, rel=0.06)


def test_common_factor_is_uniform(case33: Network) -> None:
    """Without area and bus factors all loads share one factor, uniform between its bounds."""
    config = ScenarioConfig(area_sigma=0, bus_sigma=0, power_factor_sigma=0, generation_probability=0)
    loaded = case33.p_load > 0
    ratio = np.array([s.p_load[loaded] / case33.p_load[loaded] for s in draw(case33, config, 1500)])
    assert np.ptp(ratio, axis=1).max() < 1e-12
    assert ratio.min() >= 0.4
    assert ratio.max() <= 1.1
    assert ratio[:, 0].mean() == pytest.approx(0.75, abs=0.02)
    assert ratio[:, 0].var() == pytest.approx(0.7**2 / 12, rel=0.1)


def test_loads_of_an_area_move_together(case33: Network, factors: np.ndarray) -> None:
    """Given the common factor, factors correlate by sigma_a^2 / (sigma_a^2 + sigma_b^2) within areas, not between."""
    area = load_areas(case33, LOADS_ONLY.area_buses)[case33.p_load > 0]
    config = ScenarioConfig(load_level=(1, 1), generation_probability=0, outage_probability=0, lock_probability=0)
    loaded = case33.p_load > 0
    logs = np.log([s.p_load[loaded] / case33.p_load[loaded] for s in draw(case33, config, 1500)])
    correlation = np.corrcoef(logs.T)
    same = (area[:, None] == area) & ~np.eye(len(area), dtype=bool)
    other = area[:, None] != area
    assert same.any()
    assert other.any()
    assert correlation[same].mean() == pytest.approx(0.5, abs=0.03)
    assert correlation[other].mean() == pytest.approx(0.0, abs=0.03)
    assert np.corrcoef(np.log(factors).T)[other].mean() > 0.3  # the common factor correlates everything


def test_power_factor_varies_around_nominal(case33: Network) -> None:
    """q/p keeps its mean and scatters by its own sigma."""
    loaded = case33.p_load > 0
    nominal = case33.q_load[loaded] / case33.p_load[loaded]
    ratio = np.array([s.q_load[loaded] / s.p_load[loaded] / nominal for s in draw(case33, LOADS_ONLY, 500)])
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)
    assert np.log(ratio).std() == pytest.approx(0.1, rel=0.05)


def test_generation_share_and_power_factor(case33: Network) -> None:
    """Total generation is the drawn share of nominal load, at power factors of 0.95 at least."""
    config = ScenarioConfig(generation_probability=1, generation_share=(0.2, 0.4))
    for scenario in draw(case33, config, 50):
        assert 0.2 <= scenario.p_gen.sum() / case33.p_load.sum() <= 0.4
        on = scenario.p_gen > 0
        assert not on[case33.substations].any()
        assert (scenario.p_gen[on] / np.hypot(scenario.p_gen[on], scenario.q_gen[on]) >= 0.95 - 1e-12).all()
    assert {np.sign(q) for s in draw(case33, config, 50) for q in s.q_gen} == {-1.0, 0.0, 1.0}


def test_capacitors_and_generators_of_the_file_are_not_loads() -> None:
    """Negative p and q of a case stay as they are."""
    net = make_network([(0, 1, 1, 1), (1, 2, 1, 1)], {1: (100, -50), 2: (-30, 10)})
    scenario = draw(net, LOADS_ONLY, 1)[0]
    assert scenario.q_load[1] == net.q_load[1]
    assert scenario.p_load[2] == net.p_load[2]
    assert scenario.p_load[1] != net.p_load[1]


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_outages_and_locks_never_contradict(seed: int) -> None:
    """Whatever is out of service and locked, some radial configuration remains."""
    rng = np.random.default_rng(seed)
    config = FeederConfig(buses=(20, 40), substations=(1, 3), loops=(2, 4))
    net = random_feeder(config, rng)
    scenario = random_scenario(net, BUSY, rng)
    assert ReconfigurationProblem(net, Situations.of(scenario)).contradictions == []
    assert scenario.out_of_service.sum() >= 1
    assert (scenario.locked >= 0).any()
    assert net.switchable[scenario.locked >= 0].all()
    assert not (scenario.out_of_service & (scenario.locked >= 0)).any()


def test_outages_spare_bridges(triangle: Network, two_bus: Network) -> None:
    """A branch whose loss would leave a bus unfed never goes out of service; at most one of three in a triangle."""
    config = ScenarioConfig(outage_probability=1, max_outages=3)
    assert {int(s.out_of_service.sum()) for s in draw(triangle, config, 30)} == {1}
    assert not any(s.out_of_service.any() for s in draw(two_bus, config, 5))
    assert np.any([s.out_of_service for s in draw(triangle, config, 30)], axis=0).all()


def test_probabilities_of_outages_and_locks(case33: Network) -> None:
    """One scenario in five has an outage, one in five has locks, three in ten have generation."""
    scenarios = draw(case33, ScenarioConfig(), 1000)
    assert np.mean([s.out_of_service.any() for s in scenarios]) == pytest.approx(0.2, abs=0.04)
    assert np.mean([(s.locked >= 0).any() for s in scenarios]) == pytest.approx(0.2, abs=0.04)
    assert np.mean([s.p_gen.any() for s in scenarios]) == pytest.approx(0.3, abs=0.045)


def test_locks_prefer_the_normal_state(case33: Network) -> None:
    """At 1 every lock is as in the normal configuration; at 0 some are not."""
    for as_is, expected in ((1.0, True), (0.0, False)):
        config = ScenarioConfig(lock_probability=1, lock_share=(0.5, 0.5), lock_as_is=as_is, outage_probability=0)
        agree = [
            bool(((s.locked == 1) == ~case33.normally_open)[s.locked >= 0].all()) for s in draw(case33, config, 10)
        ]
        assert all(agree) is expected


def test_areas_are_connected_and_large_enough(case33: Network) -> None:
    """Every area but a substation's rest has the least number of buses, and areas partition the network."""
    area = load_areas(case33, 8)
    heads, sizes = np.unique(area, return_counts=True)
    assert len(heads) > 2
    assert all(size >= 8 for head, size in zip(heads, sizes, strict=True) if not case33.is_substation[head])
    assert (area[heads] == heads).all()


def test_same_seed_same_scenario(case33: Network) -> None:
    """A scenario is a function of its seed."""
    a, b, c = (random_scenario(case33, BUSY, np.random.default_rng(seed)) for seed in (5, 5, 6))
    for name in ("p_load", "q_load", "p_gen", "q_gen", "out_of_service", "locked"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
    assert not np.array_equal(a.p_load, c.p_load)


def test_contradictory_network_is_an_error() -> None:
    """A network with a bus behind a branch that is open for good has no scenario to draw."""
    gone = {"switchable": False, "normally_open": True}
    net = make_network([(0, 1, 1, 1), (1, 2, 1, 1, gone)], {1: (1, 1), 2: (1, 1)})
    with pytest.raises(DataError, match="cannot be fed"):
        draw(net, LOADS_ONLY, 1)


def test_config_reports_everything_wrong() -> None:
    """All violations come at once."""
    with pytest.raises(DataError) as caught:
        ScenarioConfig(load_level=(1.0, 0.5), bus_sigma=-1, lock_probability=2, area_buses=0, max_outages=-1)
    assert len(caught.value.violations) == 5
