"""``solve --export`` and ``--paralleling``: what an engineer takes away."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from invocation import invoke

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
    commands = [line.split() for line in script.read_text(encoding="utf-8").splitlines()[1:]]
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
