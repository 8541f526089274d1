"""``learnopt inspect``: facts and findings for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invocation import invoke

CapSys = pytest.CaptureFixture[str]


def test_inspect_prints_facts_and_findings(capsys: CapSys, tmp_path: Path) -> None:
    """Text and JSON say the same; the drawing is written on the way."""
    plain = invoke(capsys, "inspect", "case33", "--out", tmp_path / "case33.html")
    assert plain.code == 0
    text = " ".join(plain.out.replace("│", " ").split())
    assert "202.7 kW lost" in text
    assert "50 751 radial configurations" in text
    assert "give ampacity_a: no current" in text
    assert (tmp_path / "case33.html").stat().st_size > 1000
    answer = invoke(capsys, "inspect", "case33", "--json").json
    assert (answer["buses"], answer["loops"], answer["radial"]) == (33, 5, True)
    assert {"severity", "object", "value", "advice"} == answer["findings"][0].keys()
    assert "errors" not in answer


def test_errors_are_exit_code_1_and_unreadable_files_2(capsys: CapSys, tmp_path: Path) -> None:
    """A network that cannot be reconfigured is told from a file that cannot be read."""
    buses = [{"id": 0}, {"id": 1, "p_kw": 100}]
    branches = [{"id": "a", "from": 0, "to": 1, "r_ohm": 1, "x_ohm": 1, "switchable": False}]
    case = {"name": "stiff", "base_kv": 10, "substations": [0], "buses": buses, "branches": branches}
    path = tmp_path / "stiff.json"
    path.write_text(json.dumps(case))
    outcome = invoke(capsys, "inspect", path, "--json")
    assert (outcome.code, outcome.json["errors"]) == (1, ["network: no branch is switchable"])
    path.write_text(json.dumps(case | {"substations": [7]}))
    outcome = invoke(capsys, "inspect", path, "--json")
    assert outcome.code == 2
    assert "substation 7 is not a bus" in outcome.json["errors"][0]


def test_a_state_that_is_not_radial_is_not_drawn(capsys: CapSys, tmp_path: Path) -> None:
    """No picture of a state that has none, and a word about it."""
    branches = [{"id": k, "from": 0, "to": 1, "r_ohm": 1, "x_ohm": 1} for k in (1, 2)]
    case = {"name": "loop", "base_kv": 10, "substations": [0], "buses": [{"id": 0}, {"id": 1}], "branches": branches}
    path = tmp_path / "loop.json"
    path.write_text(json.dumps(case))
    outcome = invoke(capsys, "inspect", path, "--out", tmp_path / "loop.png")
    assert (outcome.code, (tmp_path / "loop.png").exists()) == (0, False)
    assert "No drawing" in outcome.err


def test_loops_closed_on_purpose_have_a_loss(capsys: CapSys, tmp_path: Path) -> None:
    """A meshed present state has a loss in ``inspect`` and ``check``, and both say that it is not radial."""
    ends = [("a", 0, 1), ("b", 1, 2), ("c", 2, 0), ("d", 2, 3)]
    branches = [{"id": k, "from": i, "to": j, "r_ohm": 1, "x_ohm": 1} for k, i, j in ends]
    buses = [{"id": k, "p_kw": 100 * k, "q_kvar": 30 * k} for k in range(4)]
    path = tmp_path / "ring.json"
    case = {"name": "ring", "base_kv": 10, "substations": [0], "buses": buses, "branches": branches}
    path.write_text(json.dumps(case))
    seen = invoke(capsys, "inspect", path, "--json").json
    assert (seen["radial"], seen["loops_closed"], seen["fixed_loops"]) == (False, 1, 0)
    checked = invoke(capsys, "check", path, "--json")
    assert (checked.code, checked.json["radial"], checked.json["converged"]) == (1, False, True)
    assert "1 closed branches too many" in checked.json["violations"][0]
    assert checked.json["loss_kw"] == pytest.approx(seen["loss_kw"])
    solved = invoke(capsys, "solve", path)
    assert "The present state is not radial: its loss is that of its closed loops." in " ".join(solved.out.split())
    fixed = [b | {"switchable": b["id"] == "d"} for b in branches]
    path.write_text(json.dumps(case | {"branches": fixed}))
    checked = invoke(capsys, "check", path, "--json")
    assert (checked.code, checked.json["radial"], checked.json["fixed_loops"]) == (0, True, 1)
    assert checked.json["loss_kw"] == pytest.approx(seen["loss_kw"])
