"""``solve --export`` and ``--paralleling``: what an engineer takes away."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from invocation import invoke

from learnopt.io import load, network_from_dict, network_to_dict, write_csv_folder

CapSys = pytest.CaptureFixture[str]


def test_case_file_goes_round(capsys: CapSys, tmp_path: Path) -> None:
    """The exported case, checked in its normal state, has the loss that solve reported."""
    out = tmp_path / "new.json"
    answer = invoke(capsys, "solve", "case33", "--export", out, "--json").json
    again = invoke(capsys, "check", out, "--json").json
    assert again["open_branches"] == answer["open_branches"] == [7, 9, 14, 32, 37]
    assert again["loss_kw"] == pytest.approx(answer["loss_kw"], rel=1e-9)


def test_steps_as_csv_and_script(capsys: CapSys, tmp_path: Path) -> None:
    """CSV and OpenDSS script hold the operations of the answer, in its order; opening first where that is asked for."""
    table, script = tmp_path / "steps.csv", tmp_path / "steps.dss"
    rule = ("--paralleling", "forbidden")
    answer = invoke(capsys, "solve", "case33", *rule, "--export", table, "--json").json
    assert invoke(capsys, "solve", "case33", *rule, "--export", script).code == 0
    steps = [(o["action"], str(o["branch"])) for o in answer["operations"]]
    assert [action for action, _ in steps] == ["open", "close"] * 4
    assert all(o["interrupted_buses"] for o in answer["operations"][::2])
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [(row["action"], row["branch"]) for row in rows] == steps
    assert float(rows[-1]["loss_kw"]) == pytest.approx(answer["loss_kw"], rel=1e-9)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "! case33: switching order"
    commands = [line.split() for line in lines if not line.startswith("!")]
    assert [(words[0], words[1].removeprefix("Line.")) for words in commands] == steps


@pytest.mark.parametrize(
    ("name", "message"), [("a.xlsx", ".json, .dss, .csv"), ("no/folder.json", "folder that exists")]
)
def test_exports_that_cannot_be_written(capsys: CapSys, tmp_path: Path, name: str, message: str) -> None:
    """Refused before anything is solved."""
    outcome = invoke(capsys, "solve", "case33", "--export", tmp_path / name)
    assert outcome.code == 2
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


FIELD = Path(__file__).parents[1] / "data" / "field_cases"
TAPS = ("--controls", "taps", "--vmin", "0.99", "--vmax", "1.03")


def test_exported_net_has_the_tap_that_was_proven(capsys: CapSys, tmp_path: Path) -> None:
    """Its power flow in pandapower is the one that solve reports, within the limits; the present one is not."""
    source, out = FIELD / "pp_tap_export.json", tmp_path / "new.json"
    answer = invoke(capsys, "solve", source, *TAPS, "--export", out, "--json").json
    assert answer["min_voltage_pu"] >= 0.99
    operated = answer["as_operated"] or answer
    assert answer["source_tool"]["min_voltage_pu"] == pytest.approx(operated["min_voltage_pu"], abs=1e-6)
    assert answer["source_tool"]["difference"] == pytest.approx(0.0, abs=1e-6)
    again = invoke(capsys, "check", out, "--json").json
    assert again["loss_kw"] == pytest.approx(operated["loss_kw"], rel=1e-6)
    assert again["source_tool"]["loss_kw"] == pytest.approx(operated["loss_kw"], rel=1e-6)
    assert invoke(capsys, "check", source, "--json").json["min_voltage_pu"] < 0.99


def test_every_setting_is_named_and_exported(capsys: CapSys, tmp_path: Path) -> None:
    """Taps, capacitors and generators: in the terminal, in the steps, in the script, and in a case that reads back."""
    case = {
        "name": "set",
        "base_kv": 10.0,
        "substations": ["S"],
        "buses": [
            {"id": "S"},
            {"id": "=A", "p_kw": 400.0, "q_kvar": 300.0},
            {"id": "B", "p_kw": 500.0, "q_kvar": 300.0},
        ],
        "branches": [
            {"id": k, "from": a, "to": b, "r_ohm": 1.0, "x_ohm": 1.0, "normally_open": k == 2}
            for k, (a, b) in enumerate((("S", "=A"), ("=A", "B"), ("B", "S")))
        ],
        "taps": [{"branch": 0, "min_pu": 0.95, "max_pu": 1.05, "step_pu": 0.05}],
        "capacitors": [{"bus": "B", "steps_kvar": [200.0]}],
        "generators": [{"id": "@G", "bus": "=A", "p_max_kw": 150.0}],
    }
    source = tmp_path / "set.json"
    source.write_text(json.dumps(case))
    outs = {kind: tmp_path / f"out.{kind}" for kind in ("json", "dss", "csv")}
    for out in outs.values():
        outcome = invoke(capsys, "solve", source, "--controls", "all", "--export", out, "--json")
        answer = outcome.json
    assert answer["taps"][0]["tap_pu"] == pytest.approx(1.05)
    assert answer["capacitors"][0]["kvar"] == 200.0
    assert answer["generators"][0]["p_kw"] == pytest.approx(150.0, rel=1e-3)
    again = invoke(capsys, "check", outs["json"], "--json").json
    assert again["loss_kw"] == pytest.approx(answer["loss_kw"], rel=1e-9)
    rows = list(csv.DictReader(outs["csv"].open(encoding="utf-8")))
    assert [row["action"] for row in rows[:4]] == ["set tap", "set capacitor", "set generator", "set generator"]
    assert [float(row["value"]) for row in rows[:3]] == pytest.approx(
        [answer["taps"][0]["tap_pu"], 200.0, answer["generators"][0]["p_kw"]]
    )
    assert rows[0]["to"] == "'=A"  # no spreadsheet runs it
    assert rows[2]["name"] == "'@G"
    assert rows[0]["branch_name"] == str(answer["taps"][0]["branch_name"]).replace("=", "'=", 1)
    for row, control in zip(rows[1:3], (answer["capacitors"][0], answer["generators"][0]), strict=True):
        assert (row["bus"].lstrip("'"), row["bus_name"].lstrip("'")) == (control["bus"], control["bus_name"])
    assert not [cell for row in rows for cell in row.values() if cell and cell[0] in "=@"]
    script = outs["dss"].read_text(encoding="utf-8")
    assert "wdg=2 tap=1.05" in script
    assert "new Capacitor." in script
    assert "kvar=200" in script
    assert "new Generator." in script
    shown = invoke(capsys, "solve", source, "--controls", "all").out
    for words in ("tap changer", "1.0500 pu", "capacitor bank", "200", "generator"):
        assert words in shown


def test_csv_tables_with_names_like_formulas_read_back(tmp_path: Path) -> None:
    """Text that a spreadsheet would run is marked as text, and is the same network again."""
    network = network_from_dict(
        {
            "name": "=1+1",
            "base_kv": 10.0,
            "substations": ["@S"],
            "buses": [{"id": "@S"}, {"id": "-x", "p_kw": 10.0}],
            "branches": [{"id": "+b", "from": "@S", "to": "-x", "r_ohm": 1.0, "x_ohm": 1.0, "name": "=cmd"}],
        },
        "formulas",
    )
    write_csv_folder(network, tmp_path / "out")
    for table in (tmp_path / "out").glob("*.csv"):
        cells = [cell for row in csv.reader(table.open(encoding="utf-8")) for cell in row]
        assert not [cell for cell in cells if cell and cell[0] in "=@+"]
        assert "-x" not in cells
    assert network_to_dict(load(tmp_path / "out")) == network_to_dict(network)
