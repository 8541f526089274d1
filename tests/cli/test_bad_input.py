"""Broken files, scenarios and options: exit code 2, the problem named, never a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import CASES
from invocation import invoke

CapSys = pytest.CaptureFixture[str]
GOOD = json.loads((CASES / "case16.json").read_text(encoding="utf-8"))


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A good case file with one thing wrong."""
    case = copy.deepcopy(GOOD)
    change(case)
    return json.dumps(case).encode()


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Set the last element of the path at the place that the others lead to."""

    def change(case: dict[str, Any]) -> None:
        *where, key, value = path
        holder: Any = case
        for step in where:
            holder = holder[step]
        holder[key] = value

    return change


FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("f.json", b"", "not JSON"),
    "cut off": ("f.json", json.dumps(GOOD).encode()[:-9], "not JSON"),
    "binary": ("f.json", bytes(range(256)), "not UTF-8"),
    "deeply nested": ("f.json", b"[" * 200_000, "not JSON that can be read"),
    "endless number": ("f.json", b'{"buses": [' + b"1" * 6000 + b"]}", "not JSON that can be read"),
    "list": ("f.json", b"[1, 2]", "'buses' is missing"),
    "null": ("f.json", b"null", "'buses' is missing"),
    "another kind of file": ("f.json", b'{"type": "FeatureCollection"}', "its keys are type"),
    "no substation": ("f.json", changed(put("substations", [])), "substations is empty"),
    "unknown substation": ("f.json", changed(put("substations", [99])), "substation 99 is not a bus"),
    "duplicate bus": ("f.json", changed(lambda c: c["buses"].append(c["buses"][0])), "occurs 2 times"),
    "duplicate branch": ("f.json", changed(lambda c: c["branches"].append(c["branches"][0])), "occurs 2 times"),
    "dangling branch": ("f.json", changed(put("branches", 0, "to", "nowhere")), "to = 'nowhere' is not a bus"),
    "self-loop": ("f.json", changed(lambda c: c["branches"][0].update(to=c["branches"][0]["from"])), "from and to"),
    "negative resistance": ("f.json", changed(put("branches", 0, "r_ohm", -1)), "r_ohm = -1.0"),
    "NaN load": ("f.json", changed(put("buses", 4, "p_kw", float("nan"))), "p_kw = nan"),
    "infinite reactance": ("f.json", changed(put("branches", 0, "x_ohm", float("inf"))), "x_ohm = inf"),
    "text for a number": ("f.json", changed(put("buses", 4, "p_kw", "12")), "valid number"),
    "text for a truth value": ("f.json", changed(put("branches", 0, "normally_open", "no")), "normally_open"),
    "NaN as id": ("f.json", changed(put("branches", 0, "id", float("nan"))), "branch id nan"),
    "true as id": ("f.json", changed(put("branches", 0, "id", True)), "branches[0].id"),
    "no voltage": ("f.json", changed(put("base_kv", 0)), "base_kv = 0.0"),
    "absurd voltage": ("f.json", changed(put("base_kv", 1e200)), "base_kv = 1e+200"),
    "vanishing voltage": ("f.json", changed(put("base_kv", 1e-200)), "base_kv = 1e-200"),
    "island": ("f.json", changed(lambda c: c["buses"].append({"id": "lonely"})), "lonely"),
    "missing key": ("f.json", changed(lambda c: c["branches"][2].pop("r_ohm")), "r_ohm"),
    "limits crossed": ("f.json", changed(put("voltage_limits", {"vmin_pu": 1.1, "vmax_pu": 0.9})), "exceeds"),
    "empty MATPOWER": ("f.m", b"", "mpc.bus is missing"),
    "binary MATPOWER": ("f.m", bytes(range(256)), "f.m"),
    "empty pandapower net": ("f.json", b'{"_class": "pandapowerNet"}', "no content"),
    "pandapower net without buses": ("f.json", b'{"_class": "pandapowerNet", "_object": {}}', "the net has no bus"),
    "ancient pandapower net": (
        "f.json",
        b'{"_class": "pandapowerNet", "_object": {"version": "1.2.0"}}',
        "written by pandapower 1.2.0",
    ),
    "damaged pandapower table": (
        "f.json",
        b'{"_class": "pandapowerNet", "_object": {"bus": {"_class": "DataFrame", "_object": "{"}}}',
        "table 'bus' is damaged",
    ),
    "table of a folder alone": ("buses.csv", b"id\n1\n", "the file format '.csv' is not known"),
    "unknown format": ("f.xlsx", b"PK", "not known"),
}


@pytest.mark.parametrize("name", FILES)
def test_broken_case_files(capsys: CapSys, tmp_path: Path, name: str) -> None:
    """Every command that reads a case refuses it alike, with the file and the problem in every form of the message."""
    file, content, said = FILES[name]
    path = tmp_path / file
    path.write_bytes(content)
    for command in (["solve", path], ["check", path], ["inspect", path], ["draw", path, "--out", tmp_path / "x.png"]):
        outcome = invoke(capsys, *command)
        assert (outcome.code, outcome.out) == (2, ""), command
        assert said in outcome.err
        assert file in outcome.err
    for command in ("solve", "check", "inspect"):
        outcome = invoke(capsys, command, path, "--json")
        assert outcome.code == 2
        assert outcome.json.keys() == {"errors"}
        assert any(said in error for error in outcome.json["errors"])


def test_all_violations_at_once(capsys: CapSys, tmp_path: Path) -> None:
    """Three things wrong are three errors."""
    path = tmp_path / "f.json"

    def three(case: dict[str, Any]) -> None:
        put("base_kv", -1)(case)
        put("branches", 0, "to", 99)(case)
        put("buses", 4, "q_kvar", float("nan"))(case)

    path.write_bytes(changed(three))
    assert len(invoke(capsys, "solve", path, "--json").json["errors"]) >= 3


def test_files_that_are_not_there(capsys: CapSys, tmp_path: Path) -> None:
    """No such file, a folder, a name too long for the file system."""
    folder = tmp_path / "folder.json"
    folder.mkdir()
    for case in ("case34", tmp_path / "none.json", folder, "x" * 300 + ".json", ""):
        outcome = invoke(capsys, "solve", case, "--json")
        assert outcome.code == 2, case
        assert len(outcome.json["errors"]) == 1


SCENARIOS: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"{", "not JSON"),
    "a list": (b"[]", "must be a JSON object"),
    "unknown bus": (b'{"loads": {"99": {}}}', "bus '99' is not in network"),
    "unknown branch": (b'{"out_of_service": [99]}', "branch 99 is not in network"),
    "unknown lock": (b'{"locked": {"x": "open"}}', "branch 'x' is not in network"),
    "odd lock": (b'{"locked": {"5": "ajar"}}', "'open' or 'closed'"),
    "number as lock": (b'{"locked": {"5": 1}}', "'open' or 'closed'"),
    "misspelt quantity": (b'{"loads": {"4": {"p_mw": 1}}}', "p_mw is not a known key"),
    "misspelt part": (b'{"outofservice": [4]}', "'out_of_service' is"),
    "text load": (b'{"loads": {"4": {"p_kw": "1"}}}', "valid number"),
    "NaN load": (b'{"loads": {"4": {"p_kw": NaN}}}', "p_kw = nan"),
    "infinite generation": (b'{"generation": {"4": {"q_kvar": Infinity}}}', "q_kvar = inf"),
    "list of loads": (b'{"loads": [1, 2]}', "loads is"),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_broken_scenarios(capsys: CapSys, tmp_path: Path, name: str) -> None:
    """A scenario that does not fit the feeder is never solved in part."""
    content, said = SCENARIOS[name]
    path = tmp_path / "s.json"
    path.write_bytes(content)
    for command in ("solve", "check"):
        outcome = invoke(capsys, command, "case16", "--scenario", path, "--json")
        assert outcome.code == 2
        assert any(said in error and "s.json" in error for error in outcome.json["errors"]), outcome.json


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bogus"], "bogus"),
        (["solve"], "CASE_OR_FILE"),
        (["solve", "case16", "case33"], "case33"),
        (["solve", "case16", "--bogus"], "--bogus"),
        (["solve", "case16", "--engine", "simplex"], "simplex"),
        (["solve", "case16", "--certify", "maybe"], "maybe"),
        (["solve", "case16", "--vmin", "low"], "--vmin"),
        (["solve", "case16", "--vmin", "nan"], "vm_min = nan"),
        (["solve", "case16", "--vmin", "inf"], "vm_min = inf"),
        (["solve", "case16", "--vmin", "-0.9"], "vm_min = -0.9"),
        (["solve", "case16", "--vmin", "1.1", "--vmax", "0.9"], "exceeds"),
        (["solve", "case16", "--gap", "-1"], "gap = -1.0"),
        (["solve", "case16", "--gap", "nan"], "gap = nan"),
        (["solve", "case16", "--time-limit", "0"], "time_limit = 0.0"),
        (["solve", "case16", "--time-limit", "nan"], "time_limit = nan"),
        (["solve", "case16", "--switching-cost", "-1"], "switching_cost = -1.0"),
        (["solve", "case16", "--switching-cost", "inf"], "switching_cost = inf"),
        (["solve", "case16", "--max-operations", "-1"], "max_operations = -1"),
        (["solve", "case16", "--max-operations", "1.5"], "--max-operations"),
        (["solve", "case16", "--scenario", "none.json"], "none.json"),
        (["solve", "case16", "--report", "none/r.html"], "none/r.html"),
        (["solve", "case16", "--report", "."], "report"),
        (["solve", "case136", "--engine", "enumerate"], "--engine milp"),
        (["check", "case16", "--open", "5,x,99"], "branch 'x' is not in network"),
        (["check", "case16", "--vmax", "0"], "vm_max = 0.0"),
        (["cases", "extra"], "extra"),
        (["label"], "DIR"),
        (["evaluate"], "--data"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_bad_options(
    capsys: CapSys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    """Usage errors and values out of range alike: one object with ``errors``, the same words on stderr."""
    monkeypatch.chdir(tmp_path)
    outcome = invoke(capsys, *arguments, "--json")
    assert outcome.code == 2
    assert outcome.json.keys() == {"errors"}
    assert said in " ".join(outcome.json["errors"])
    assert said in outcome.err
    plain = invoke(capsys, *arguments)
    assert (plain.code, plain.out) == (2, "")
    assert plain.err.startswith("Error: ") or "\nError: " in plain.err
    assert list(tmp_path.iterdir()) == []


def test_unknown_ids_are_all_named(capsys: CapSys) -> None:
    """Two unknown ids in ``--open`` are two errors."""
    assert len(invoke(capsys, "check", "case16", "--open", "x,5,99", "--json").json["errors"]) == 2
