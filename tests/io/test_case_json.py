"""Case files: what is accepted, what is refused and in which words."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_network
from instances import EQUIPMENT, random_problem

from learnopt.errors import DataError
from learnopt.io.case_json import network_from_dict, network_to_dict, read_case_json
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.physics import power_flow

GOOD: dict[str, Any] = {
    "name": "good",
    "base_kv": 10.0,
    "substations": ["S"],
    "buses": [{"id": "S"}, {"id": 1, "p_kw": 100, "q_kvar": 50}, {"id": 2, "p_kw": 10.5}],
    "branches": [
        {"id": "a", "from": "S", "to": 1, "r_ohm": 0.1, "x_ohm": 0.2, "ampacity_a": 100, "b_us": 12},
        {"id": 2, "from": 1, "to": 2, "r_ohm": 0.1, "x_ohm": 0.2, "switchable": None},
        {"id": 3, "from": 2, "to": "S", "r_ohm": 0.1, "x_ohm": 0.2, "normally_open": True, "switchable": False},
    ],
    "voltage_limits": {"vmin_pu": 0.95, "vmax_pu": 1.05},
    "substation_data": {"S": {"v_pu": 1.02, "s_min_kva": 10, "s_max_kva": 500}},
}


def put(*path_and_value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of one place of the file."""
    *path, last, value = path_and_value

    def change(case: dict[str, Any]) -> None:
        holder: Any = case
        for part in path:
            holder = holder[part]
        holder[last] = value

    return change


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Removal of one key of the file."""

    def change(case: dict[str, Any]) -> None:
        holder: Any = case
        for part in path[:-1]:
            holder = holder[part]
        del holder[path[-1]]

    return change


BROKEN = [
    (drop("name"), "name is missing"),
    (drop("branches"), "branches is missing"),
    (drop("branches", 0, "r_ohm"), "branches[0].r_ohm (id 'a') is missing"),
    (put("base_kv", "10"), 'base_kv is "10": input should be a valid number'),
    (put("base_kv", 0.0), "base_kv = 0.0 must be a finite number > 0"),
    (put("buses", 1, "p_kw", "100"), 'buses[1].p_kw (id 1) is "100"'),
    (put("buses", 1, "p_kw", math.nan), "bus 1: p_kw = nan must be a finite number"),
    (put("buses", 2, "q_kvar", math.inf), "bus 2: q_kvar = inf must be a finite number"),
    (put("buses", 2, "id", 1), "bus id '1' occurs 2 times"),
    (put("buses", 2, "id", "1"), "bus id '1' occurs 2 times"),
    (put("buses", 2, "id", True), "buses[2].id (id True) is true"),
    (put("buses", []), "buses is empty"),
    (put("buses", {}), "buses is {}: input should be a valid list"),
    (put("buses", 0, 7), "buses[0] must be a JSON object"),
    (put("branches", 1, "id", "a"), "branch id 'a' occurs 2 times"),
    (put("branches", 1, "to", 9), "branch 2: to = 9 is not a bus"),
    (put("branches", 1, "to", 1), "branch 2: from and to are both 1"),
    (put("branches", 1, "r_ohm", -0.1), "branch 2: r_ohm = -0.1 must be a finite number >= 0"),
    (put("branches", 1, "x_ohm", -0.1), "series capacitors are not modelled"),
    (put("branches", 1, "b_us", -1), "branch 2: b_us = -1.0 must be a finite number >= 0"),
    (put("branches", 1, "g_us", -1), "branch 2: g_us = -1.0 must be a finite number >= 0"),
    (put("branches", 1, "ratio", 0), "branch 2: ratio = 0.0 must be from 0.1 to 10"),
    (put("buses", 1, "kv", 0), "bus 1: kv = 0.0 must be a finite number [kV line-to-line]"),
    (put("buses", 1, "shunt_p_kw", -5), "bus 1: shunt_p_kw = -5.0 must be a finite number >= 0"),
    (put("buses", 1, "customers", -5), "bus 1: customers = -5 must be >= 0"),
    (put("branches", 1, "ampacity_a", 0), "branch 2: ampacity_a = 0.0 must be > 0 [A], or null where unknown"),
    (put("branches", 1, "normally_open", 1), "branches[1].normally_open (id 2) is 1"),
    (put("branches", 1, "switchable", "yes"), 'branches[1].switchable (id 2) is "yes"'),
    (put("substations", []), "substations is empty"),
    (put("substations", ["T"]), "substation 'T' is not a bus"),
    (put("substations", ["S", "S"]), "substation 'S' occurs 2 times"),
    (put("voltage_limits", "vmin_pu", 1.1), "vmin_pu = 1.1 exceeds vmax_pu = 1.05"),
    (put("voltage_limits", "vmin_pu", -1), "vmin_pu = -1.0 must be a finite number > 0"),
    (put("substation_data", "T", {}), "substation_data: 'T' is not in substations"),
    (put("substation_data", "S", "v_pu", 0), "substation_data 'S': v_pu = 0.0 must be a finite number > 0"),
    (put("substation_data", "S", "s_min_kva", 900), "s_min_kva = 900.0 exceeds s_max_kva = 500.0"),
    (put("substation_data", "S", "s_max_kva", -1), "s_max_kva = -1.0 must be > 0"),
    (put("branches", []), "island: 2 buses have no path to a substation: bus 1, 2"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN, ids=[message[:45] for _, message in BROKEN])
def test_broken_files_are_refused_by_name(change, message):
    """Every rule of the case file names the object, its value and what is expected."""
    case = copy.deepcopy(GOOD)
    change(case)
    with pytest.raises(DataError) as error:
        network_from_dict(case, "file.json")
    assert message in str(error.value)
    assert str(error.value).startswith("file.json: ")


def test_all_violations_come_at_once():
    """Three independent mistakes give three violations."""
    case = copy.deepcopy(GOOD)
    for change in (put("buses", 1, "p_kw", math.nan), put("branches", 1, "to", 9), put("base_kv", -1)):
        change(case)
    with pytest.raises(DataError) as error:
        network_from_dict(case, "file.json")
    assert len(error.value.violations) == 3
    assert all(message.startswith("file.json: ") for message in error.value.messages)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": }', "not JSON: Expecting value at line 1, column 10"),
        ("", "not JSON"),
        ("[1, 2]", "not a case file: 'buses' is missing"),
        ('{"tables": {}}', "not a case file: 'buses' is missing (its keys are tables)"),
        ('{"_module": "pandapower.auxiliary", "_object": {}}', "its keys are _module, _object"),
        ('{"buses": 1}', "name is missing"),
    ],
)
def test_other_texts_are_refused(tmp_path: Path, text, message):
    """Text that is no JSON, and JSON that is no case, give one clear sentence instead of a traceback."""
    path = tmp_path / "case.json"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_case_json(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_unreadable_files(tmp_path: Path):
    """An absent file and bytes that are not UTF-8 are data errors."""
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_case_json(tmp_path / "absent.json")
    (tmp_path / "latin.json").write_bytes(b'{"name": "\xe9"}')
    with pytest.raises(DataError, match="not UTF-8 text: byte 10 is 0xe9"):
        read_case_json(tmp_path / "latin.json")


def test_byte_order_mark_is_accepted(tmp_path: Path):
    """Some editors on Windows start a file with a byte order mark."""
    path = tmp_path / "case.json"
    path.write_text(json.dumps(GOOD), encoding="utf-8-sig")
    assert read_case_json(path).n_bus == 3


def test_units_and_defaults():
    """SI quantities become per unit on 1 MVA and the nominal voltage; what is absent has its default."""
    network = network_from_dict(GOOD, "file.json")
    assert network.bus_ids == ("S", 1, 2)
    assert network.branch_ids == ("a", 2, 3)
    np.testing.assert_allclose(network.p_load, [0, 0.1, 0.0105])
    np.testing.assert_allclose(network.q_load, [0, 0.05, 0])
    np.testing.assert_allclose(network.r, 0.1 / 100)
    np.testing.assert_allclose(network.b, [12e-6 * 100, 0, 0])
    np.testing.assert_allclose(network.i_max, [100 * math.sqrt(3) * 10 / 1000, math.inf, math.inf])
    assert network.switchable.tolist() == [True, True, False]
    assert network.normally_open.tolist() == [False, False, True]
    assert (network.vm_min.tolist(), network.vm_max.tolist()) == ([0.95] * 3, [1.05] * 3)
    assert network.substation_vm.tolist() == [1.02]
    np.testing.assert_allclose([network.substation_s_min[0], network.substation_s_max[0]], [0.01, 0.5])
    bare = network_from_dict({k: GOOD[k] for k in ("name", "base_kv", "substations", "buses", "branches")}, "file")
    assert (bare.vm_min.tolist(), bare.vm_max.tolist(), bare.substation_vm.tolist()) == ([0] * 3, [math.inf] * 3, [1.0])
    assert bare.substation_s_max.tolist() == [math.inf]


def test_unknown_keys_are_ignored():
    """Notes, reference results and keys of later versions do no harm at any level."""
    case = copy.deepcopy(GOOD)
    case["reference_results"] = [{"label": "base"}]
    case["buses"][0]["note"] = "busbar"
    case["branches"][0]["conductor"] = {"id": 7}
    case["voltage_limits"]["source"] = "utility"
    assert network_to_dict(network_from_dict(case, "a")) == network_to_dict(network_from_dict(GOOD, "a"))


def test_ids_keep_their_type_through_a_file(tmp_path: Path):
    """Numbers stay numbers and texts stay texts, also where other ids are of the other kind."""
    network = network_from_dict(GOOD, "file.json")
    path = tmp_path / "case.json"
    path.write_text(json.dumps(network_to_dict(network)))
    again = read_case_json(path)
    assert again.bus_ids == ("S", 1, 2)
    assert again.branch_ids == ("a", 2, 3)
    assert [type(i) for i in again.branch_ids] == [str, int, int]
    assert again.open_ids(again.configuration(["2"])) == [2]


@pytest.mark.parametrize("seed", range(5))
def test_round_trip(seed):
    """A network written and read again is the same network, its loss too."""
    rng = np.random.default_rng(seed)
    limits = {"vmin_pu": 0.9, "vmax_pu": None}
    network = random_network(rng, 12, 4, n_substations=2, voltage_limits=limits, base_kv=12.66)
    equipped = random_problem(seed, EQUIPMENT).network
    if seed % 2:
        named = {
            "bus_names": tuple(f"bus {k}" for k in range(equipped.n_bus)),
            "coordinates": rng.random((equipped.n_bus, 2)),
        }
        network = replace(equipped, customers=np.arange(equipped.n_bus), vm_min=0.9, **named)
    again = network_from_dict(network_to_dict(network), "again")
    numbers = ("p_load", "q_load", "r", "x", "b", "i_max", "substation_s_max", "g", "ratio", "g_shunt", "b_shunt", "kv")
    for field in (*numbers, *(("coordinates", "customers") if seed % 2 else ())):
        np.testing.assert_allclose(getattr(again, field), getattr(network, field), rtol=1e-11)
    for field in ("bus_ids", "branch_ids", "title", "source", "bus_names", "branch_names"):
        assert getattr(again, field) == getattr(network, field)
    for field in ("from_bus", "to_bus", "switchable", "normally_open", "substations", "vm_min", "vm_max"):
        np.testing.assert_array_equal(getattr(again, field), getattr(network, field))
    problem, written = ReconfigurationProblem.of(network), ReconfigurationProblem.of(again)
    state = Configuration(~network.normally_open)
    assert power_flow(problem, state).loss == pytest.approx(power_flow(written, state).loss, rel=1e-10)


def test_voltage_limits_of_single_buses():
    """A bus keeps its own limits, others take the common ones; what all share is written once, else bus by bus."""
    case = copy.deepcopy(GOOD)
    case["buses"][1]["vm_min_pu"], case["buses"][2]["vm_max_pu"] = 0.91, 1.1
    network = network_from_dict(case, "a")
    assert network.vm_min.tolist() == [0.95, 0.91, 0.95]
    assert network.vm_max.tolist() == [1.05, 1.05, 1.1]
    written = network_to_dict(network)
    assert "voltage_limits" not in written
    again = network_from_dict(written, "b")
    assert again.vm_min.tolist() == network.vm_min.tolist()
    assert again.vm_max.tolist() == network.vm_max.tolist()
    plain = network_to_dict(network_from_dict(GOOD, "a"))
    assert plain["voltage_limits"] == {"vmin_pu": 0.95, "vmax_pu": 1.05}
    assert not any("vm_min_pu" in bus for bus in plain["buses"])
    case["buses"][1]["vm_min_pu"], case["buses"][2]["vm_min_pu"] = 1.2, -0.9
    with pytest.raises(DataError) as error:
        network_from_dict(case, "a")
    assert "bus 1: its lower voltage limit 1.2 pu exceeds the upper, 1.05 pu" in error.value.violations
    assert any(v.startswith("bus 2: vm_min_pu = -0.9 must be") for v in error.value.violations)


def test_unknown_branch_ids_are_listed():
    """A list of branches with ids of another network names all of them."""
    network = network_from_dict(GOOD, "file.json")
    with pytest.raises(DataError) as error:
        network.configuration(["a", "b", 7])
    assert len(error.value.violations) == 2
    assert "branch 'b' is not in network 'good'" in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"name": "a", "name": "b"}', "key 'name' occurs twice in one object"),
        (b"[" * 100_000 + b"]" * 100_000, "not JSON that can be read"),
        (b"9" * 5000, "not JSON that can be read"),
        (b"", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8 text: byte 0 is 0xff"),
    ],
    ids=["key twice", "nesting", "digits", "empty", "encoding"],
)
def test_limits_of_a_file(tmp_path: Path, text: bytes, said: str):
    """What JSON leaves open, and what no reader could hold, is refused."""
    path = tmp_path / "f.json"
    path.write_bytes(text)
    with pytest.raises(DataError) as error:
        read_case_json(path)
    assert said in str(error.value)


@pytest.mark.parametrize("value", [1e308, -1e308, 1e13, math.nan, math.inf, 10**400])
def test_numbers_beyond_all_networks(value: float):
    """They overflow somewhere: refused by name here."""
    places = (("buses", 1, "p_kw"), ("branches", 0, "r_ohm"), ("substation_data", "S", "v_pu"))
    for place in places:
        case = copy.deepcopy(GOOD)
        put(*place, value)(case)
        with pytest.raises(DataError) as error:
            network_from_dict(case, "file")
        assert place[-1] in str(error.value)
