"""Feeders keep their contract: connected, radial, in the voltage target, of the requested sizes, repeatable."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from learnopt.errors import DataError
from learnopt.generator import FeederConfig, config_from_table, random_feeder
from learnopt.generator.conductors import CABLE_20_KV, OVERHEAD_10_KV, line_types
from learnopt.io.case_json import network_from_dict, network_to_dict
from learnopt.network import Configuration, Network, ReconfigurationProblem
from learnopt.network.topology import is_radial
from learnopt.physics import evaluate, power_flow

CONFIG = FeederConfig(buses=(24, 120), substations=(1, 6), loops=(2, 20))
FLAT = FeederConfig(buses=(200, 200), substations=(2, 2), loops=(28, 28), flat_share=1.0)


def feeder(seed: int, config: FeederConfig = CONFIG) -> Network:
    return random_feeder(config, np.random.default_rng([seed, 0]))


@pytest.fixture(scope="module")
def feeders() -> list[Network]:
    return [feeder(seed) for seed in range(40)]


def test_sizes_are_those_requested(feeders: list[Network]) -> None:
    """Buses, substations and loops stay in their ranges, and both ends of the ranges are approached."""
    for net in feeders:
        assert 24 <= net.n_bus <= 120
        assert 1 <= len(net.substations) <= 6
        assert 2 <= net.n_loops <= min(20, net.n_bus // 4)
    assert {len(net.substations) for net in feeders} == {1, 2, 3, 4, 5, 6}
    assert min(net.n_bus for net in feeders) < 40
    assert max(net.n_bus for net in feeders) > 105


def test_loops_log_uniform() -> None:
    """As many feeders of 2 to 9 loops as of 9 to 40, all in the range; uniform draws would make one in five of them."""
    config = FeederConfig(buses=(160, 160), loops=(2, 40), loop_law="log-uniform")
    loops = np.array([feeder(seed, config).n_loops for seed in range(60)])
    assert loops.min() >= 2
    assert loops.max() <= 40
    assert 20 <= np.count_nonzero(loops <= 9) <= 40


def test_normal_configuration_is_radial_and_meets_the_voltage_target(feeders: list[Network]) -> None:
    """Every feeder is operable as it stands: one tree per substation, voltages in [0.90, 0.98] at the lowest bus."""
    for net in feeders:
        flow = power_flow(ReconfigurationProblem.of(net), net.normal_configuration)
        assert flow.converged
        assert 0.90 <= np.abs(flow.v).min() <= 0.98


def test_normal_configuration_respects_every_limit(feeders: list[Network]) -> None:
    """The independent judge finds no voltage or ampacity violated at nominal loads."""
    for net in feeders[:15]:
        assert evaluate(ReconfigurationProblem.of(net), net.normal_configuration).violations == ()


def test_normal_configuration_is_not_the_optimum(feeders: list[Network]) -> None:
    """One branch exchange somewhere lowers the loss of most feeders."""
    improvable = 0
    for net in feeders[:15]:
        problem = ReconfigurationProblem.of(net)
        normal = net.normal_configuration
        best = power_flow(problem, normal).loss
        improvable += any(
            flow.converged and flow.loss < best * (1 - 1e-6)
            for flow in (power_flow(problem, c) for c in _neighbours(net))
        )
    assert improvable >= 8


def _neighbours(net: Network) -> Iterator[Configuration]:
    """Radial configurations one exchange away, of a tie and a branch that shares its end."""
    for tie in np.flatnonzero(net.normally_open):
        for e in np.flatnonzero((net.from_bus == net.from_bus[tie]) | (net.to_bus == net.to_bus[tie])):
            closed = ~net.normally_open
            closed[tie], closed[e] = True, False
            if e != tie and is_radial(net, closed):
                yield Configuration(closed)


def test_substations_carry_no_load_and_switches_are_where_needed(feeders: list[Network]) -> None:
    """No load at a root; a normally open branch can always be closed; some feeders have branches without a switch."""
    for net in feeders:
        assert not net.p_load[net.substations].any()
        assert net.switchable[net.normally_open].all()
    assert 5 < sum(not net.switchable.all() for net in feeders) < 35


def test_feeders_have_chains_and_laterals(feeders: list[Network]) -> None:
    """Most buses have degree 2 and some branches lie in no loop, as in real feeders."""
    degree = np.concatenate(
        [np.bincount(np.concatenate([net.from_bus, net.to_bus]), minlength=net.n_bus) for net in feeders]
    )
    bridges = [ReconfigurationProblem.of(net).blocks.bridges.mean() for net in feeders]
    assert 0.5 < np.mean(degree == 2) < 0.9
    assert 0.1 < np.mean(bridges) < 0.5


def test_conductors_taper(feeders: list[Network]) -> None:
    """Where a feeder has several conductors, closed branches at substations are thicker than those at dead ends."""
    tapered = []
    for net in feeders:
        degree = np.bincount(np.concatenate([net.from_bus, net.to_bus]), minlength=net.n_bus)
        closed = ~net.normally_open
        root = closed & (net.is_substation[net.from_bus] | net.is_substation[net.to_bus])
        end = closed & ~root & ((degree[net.from_bus] == 1) | (degree[net.to_bus] == 1))
        if len(set(net.i_max)) > 1 and end.any():
            tapered.append(net.i_max[root].mean() / net.i_max[end].mean())
    assert len(tapered) > 10
    assert np.mean(tapered) > 1.15


def test_every_substation_feeds_something(feeders: list[Network]) -> None:
    """No substation stands alone."""
    for net in feeders:
        at_substation = np.concatenate([net.from_bus, net.to_bus])
        assert set(net.substations.tolist()) <= set(at_substation.tolist())


def test_same_seed_same_bytes() -> None:
    """A feeder is a function of its seed; another seed gives another feeder."""
    texts = [json.dumps(network_to_dict(feeder(seed))) for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]


def test_case_file_round_trip(feeders: list[Network]) -> None:
    """Values are round in a case file, so that reading and writing again gives the same text."""
    case = network_to_dict(feeders[0])
    assert network_to_dict(network_from_dict(case, "feeder")) == case
    assert all(bus["p_kw"] == round(bus["p_kw"], 3) for bus in case["buses"])


def test_flat_feeders_vary_little() -> None:
    """The hard class has one conductor, nearly equal spans and loads, a switch everywhere and no laterals."""
    net = feeder(1, FLAT)
    load = net.p_load[~net.is_substation]
    assert net.n_loops == 28
    assert len(set(net.i_max)) == 1
    assert net.r.std() < 0.25 * net.r.mean()
    assert load.std() < 0.15 * load.mean()
    assert net.switchable.all()
    assert ReconfigurationProblem.of(net).blocks.bridges.mean() < 0.25


def test_largest_size() -> None:
    """3000 buses with 80 loops come out like any other (the configuration allows 10 000)."""
    net = feeder(1, FeederConfig(buses=(3000, 3000), substations=(6, 6), loops=(80, 80)))
    assert (net.n_bus, len(net.substations), net.n_loops) == (3000, 6, 80)
    assert is_radial(net, ~net.normally_open)


@pytest.mark.parametrize(("buses", "substations", "loops"), [(9, 1, 2), (20, 5, 1), (12, 1, 1), (26, 6, 5), (24, 6, 4)])
def test_tightest_sizes(buses: int, substations: int, loops: int) -> None:
    """There is a mesh at four buses per loop, however few the buses."""
    config = FeederConfig(buses=(buses, buses), substations=(substations, substations), loops=(loops, loops))
    for seed in range(5):
        assert feeder(seed, config).n_loops == loops


def test_unreachable_voltage_target_is_an_error() -> None:
    """Feeders too short for the wished drop end in advice, not in an endless loop."""
    config = FeederConfig(buses=(20, 20), loops=(2, 2), span_km=(0.01, 0.01), min_voltage=(0.9, 0.905), max_attempts=2)
    with pytest.raises(DataError, match="met min_voltage"):
        feeder(0, config)


def test_config_reports_everything_wrong() -> None:
    """All violations of a table come at once, with name, value and what is expected."""
    with pytest.raises(DataError) as caught:
        config_from_table(
            FeederConfig, {"buses": [30, 20], "max_loading": 2.0, "cable_share": -1.0, "base_kv": []}, "feeder config"
        )
    assert len(caught.value.violations) == 4
    with pytest.raises(DataError, match="bus is"):
        config_from_table(FeederConfig, {"bus": 3}, "feeder config")
    with pytest.raises(DataError, match="no room"):
        FeederConfig(buses=(20, 40), loops=(8, 9))


def test_config_reads_a_table() -> None:
    """Lists become tuples; what is absent keeps its default."""
    config = config_from_table(FeederConfig, {"buses": [30, 40], "base_kv": [20]}, "feeder config")
    assert config == FeederConfig(buses=(30, 40), base_kv=(20.0,))


def test_line_types_are_sorted() -> None:
    """Sizing takes the first type that carries the current, so types go from thin to thick."""
    for types in (line_types(kv, cable) for kv in (10, 20) for cable in (False, True)):
        assert [t.ampacity for t in types] == sorted(t.ampacity for t in types)
        assert [t.r for t in types] == sorted((t.r for t in types), reverse=True)
    assert line_types(12.66, cable=False) is OVERHEAD_10_KV
    assert CABLE_20_KV[2].b_us == pytest.approx(72.26, rel=1e-3)
