"""Commands with data of other tools: profiles as scenarios, nets by name, conversion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invocation import invoke

from learnopt.io import load, network_to_dict

CapSys = pytest.CaptureFixture[str]


def test_solve_takes_profiles(capsys: CapSys, tmp_path: Path) -> None:
    """The rows of a table are scenarios of one configuration; what was repaired is said on stderr."""
    path = tmp_path / "day.csv"
    path.write_text("time,scale\n2016-06-01 00:00,0.5\n2016-06-01 01:00,\n2016-06-01 02:00,1.5\n2016-06-01 03:00,1\n")
    outcome = invoke(capsys, "solve", "case16", "--scenario", path, "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "optimal")
    assert outcome.json["open_branches"] == [7, 8, 16]
    assert "1 missing value in 1 column" in " ".join(outcome.err.split())
    path.write_text("time,scale\n2016-06-01 00:00,1\n")
    assert invoke(capsys, "solve", "case16", "--scenario", path, "--json").json["loss_kw"] == pytest.approx(
        466.13, abs=0.01
    )
    path.write_text("hour,scale\n1,1\n")
    outcome = invoke(capsys, "solve", "case16", "--scenario", path, "--json")
    assert outcome.code == 2
    assert "no time column" in outcome.json["errors"][0]


def test_check_takes_names_of_lines(capsys: CapSys) -> None:
    """Ids of a pandapower net have a blank in them."""
    lines = ",".join(f"line {i}" for i in (10, 23, 30, 51, 101, 189))
    answer = invoke(capsys, "check", "pandapower:mv_oberrhein", "--open", lines, "--json").json
    assert (answer["radial"], answer["operations"]) == (True, 10)
    assert answer["loss_kw"] == pytest.approx(947.76, abs=0.01)


def test_convert(capsys: CapSys, tmp_path: Path) -> None:
    """A net becomes a case file or a folder of tables, both the same network; nothing is overwritten by a folder."""
    source = "pandapower:mv_oberrhein"
    for out in (tmp_path / "net.json", tmp_path / "net"):
        assert invoke(capsys, "convert", source, out).code == 0
        assert network_to_dict(load(out)) == network_to_dict(load(source))
    assert json.loads((tmp_path / "net.json").read_text(encoding="utf-8"))["base_kv"] == 20.0
    outcome = invoke(capsys, "convert", source, tmp_path / "net")
    assert outcome.code == 2
    assert "exists already" in outcome.err
