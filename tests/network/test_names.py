from __future__ import annotations

import pytest
from conftest import make_network

from learnopt.errors import DataError
from learnopt.io.scenario_json import scenario_from_dict
from learnopt.network import Device, Network
from learnopt.network.names import branch_label, bus_label


@pytest.fixture
def named() -> Network:
    """A ring whose buses and branches have names, two of them the same, and a device at either end of one cable."""
    rows = [
        ("S", 1, 1, 1, {"id": "a", "name": "cable north"}),
        (1, 2, 1, 1, {"id": "b", "name": "cable"}),
        ("S", 2, 1, 1, {"id": "c", "name": "cable", "normally_open": True}),
    ]
    devices = [
        {"id": "d1", "branch": "a", "bus": "S", "name": "LTS 1"},
        {"id": "d2", "branch": "a", "bus": 1, "name": "LTS 2", "operation": "manual"},
    ]
    return make_network(rows, {1: (100, 20), 2: (80, 10)}, ["S"], devices=devices)


def test_an_id_counts_before_a_name_and_a_name_where_it_is_unique(named: Network) -> None:
    """Devices stand for their branch; of a name that two bear the candidates are told."""
    assert named.find_branch("cable north") == (0, "")
    assert named.find_branch("LTS 2") == (0, "")
    assert named.find_device("LTS 2")[0] == 1
    assert named.find_bus("1") == (1, "")
    index, why = named.find_branch("cable")
    assert index is None
    assert "'b'" in why
    assert "'c'" in why
    assert named.find_branch("nowhere")[1].startswith("branch 'nowhere' is not in network")
    assert (branch_label(named, 0), bus_label(named, 1)) == ("cable north (a)", "1")
    assert named.configuration(["cable north"]).closed.tolist() == [False, True, True]
    with pytest.raises(DataError, match="say which by id"):
        named.configuration(["cable"])


def test_scenarios_take_names(named: Network) -> None:
    """Outages, locks and tags by name; the same branch twice under two names is refused."""
    scenario = scenario_from_dict(
        {"out_of_service": ["LTS 1"], "locked": {"b": "closed"}, "tagged": ["LTS 2"]}, named, "s"
    )
    assert scenario.out_of_service.tolist() == [True, False, False]
    assert scenario.locked.tolist() == [-1, 1, -1]
    assert scenario.tagged == ("d2",)
    with pytest.raises(DataError, match="are the same"):
        scenario_from_dict({"locked": {"a": "closed", "cable north": "open"}}, named, "s")


def test_the_rule_of_the_device_that_opens(named: Network) -> None:
    """Remote before manual, then nearest the feed; a tag on it keeps the branch as it is."""
    gear = named.switchgear
    assert gear.devices[gear.openers(0)[0]].id == "d1"
    assert isinstance(gear.devices[0], Device)
    held = scenario_from_dict({"tagged": ["LTS 1"]}, named, "s")
    assert held.locked.tolist() == [1, -1, -1]
