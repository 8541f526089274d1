"""Feeders of a network and the balance of their currents."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_network

from learnopt.io import load
from learnopt.network import Configuration, Limits, Network, ReconfigurationProblem
from learnopt.physics import evaluate
from learnopt.physics.balance import balance_index, feeder_currents, feeder_heads


def index_of(network: Network, configuration: Configuration) -> float | None:
    problem = ReconfigurationProblem.of(network, limits=Limits())
    return balance_index(network, configuration, evaluate(problem, configuration))


def test_feeders_of_the_33_bus_system(case33: Network) -> None:
    """One branch leaves the substation: its two feeders begin at the bus beyond (as printed by Khodr, table III)."""
    heads = [(case33.bus_ids[case33.from_bus[e]], case33.bus_ids[case33.to_bus[e]]) for e in feeder_heads(case33)]
    assert heads == [(2, 3), (2, 19)]


def test_feeder_currents_of_the_70_bus_system() -> None:
    """Four feeders; Das (2006) prints 121.0, 132.3, 197.2, 181.5 A, which are root three times line currents."""
    network = load("case70")
    normal = network.normal_configuration
    evaluation = evaluate(ReconfigurationProblem.of(network, limits=Limits()), normal)
    found = np.array(list(feeder_currents(network, normal, evaluation.current_a).values()))
    assert np.sqrt(3) * found == pytest.approx([121.0, 132.3, 197.2, 181.5], rel=0.02)
    assert balance_index(network, normal, evaluation) == pytest.approx(1 - 121.0 / 197.2, rel=0.02)


def test_index_of_two_feeders() -> None:
    """Equal loads: 0. A feeder switched off: 1. A single line: 0."""
    loads = {1: (400, 100), 2: (400, 100)}
    network = make_network([(0, 1, 1, 1), (0, 2, 1, 1), (1, 2, 1, 1, {"normally_open": True})], loads)
    assert index_of(network, network.configuration([3])) == pytest.approx(0.0, abs=1e-9)
    assert index_of(network, network.configuration([1])) == 1.0
    line = make_network([(0, 1, 1, 1), (1, 2, 1, 1)], loads)
    assert index_of(line, line.normal_configuration) == pytest.approx(0.0, abs=1e-9)


def test_no_index_without_power_flow_or_current(two_bus: Network) -> None:
    assert index_of(two_bus, two_bus.configuration([1])) is None
    idle = make_network([(0, 1, 1, 1)], {1: (0, 0)})
    assert index_of(idle, idle.normal_configuration) is None
