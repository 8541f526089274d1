"""A region: a row per feeder whoever solves it, one bad feeder stops no other, and a table goes on."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from region_feeders import Deadly
from stores import BUCKET, s3_server

import learnopt
from learnopt.api import region as front
from learnopt.cli.app import run
from learnopt.errors import DataError
from learnopt.io.region_file import RegionFeeder, read_region
from learnopt.report.region.rows import RegionRow, read_rows, write_rows

CASE: dict[str, Any] = {
    "name": "ring",
    "base_kv": 10.0,
    "substations": ["a"],
    "buses": [
        {"id": "a"},
        {"id": "b", "p_kw": 400, "q_kvar": 100},
        {"id": "c", "p_kw": 900, "q_kvar": 200},
        {"id": "d", "p_kw": 100, "q_kvar": 20},
    ],
    "branches": [
        {"id": 1, "from": "a", "to": "b", "r_ohm": 1.0, "x_ohm": 0.5},
        {"id": 2, "from": "b", "to": "c", "r_ohm": 1.0, "x_ohm": 0.5},
        {"id": 3, "from": "c", "to": "d", "r_ohm": 1.0, "x_ohm": 0.5},
        {"id": 4, "from": "d", "to": "a", "r_ohm": 1.0, "x_ohm": 0.5, "normally_open": True},
    ],
}
LIST = """name,case,scenario,vmin,engine
north,north.json,,,
bad,bad.json,,,
absent,absent.json,,,
named,case16,,0.9,tree
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two feeders and a list of four."""
    (tmp_path / "north.json").write_text(json.dumps(CASE))
    (tmp_path / "bad.json").write_text(json.dumps({**CASE, "substations": ["z"]}))
    (tmp_path / "list.csv").write_text(LIST)
    return tmp_path


def answers(rows: tuple[RegionRow, ...] | list[RegionRow]) -> list[RegionRow]:
    """Rows without the time they took."""
    return [replace(row, seconds=None) for row in rows]


def test_rows_are_those_of_solve(folder: Path) -> None:
    """With processes too; what is wrong is in the row of that feeder, in the order of the list."""
    found = learnopt.region(folder / "list.csv")
    assert [row.name for row in found.rows] == ["north", "bad", "absent", "named"]
    assert [bool(row.error) for row in found.rows] == [False, True, True, False]
    assert "substation" in found.rows[1].error
    assert "no such file" in found.rows[2].error
    assert not found.found
    for row, alone in (
        (found.rows[0], learnopt.solve(str(folder / "north.json"))),
        (found.rows[3], learnopt.solve("case16", vmin=0.9, engine="tree")),
    ):
        told = alone.to_dict()
        assert row.open_branches == ", ".join(map(str, told["open_branches"]))
        assert (row.status, row.certificate) == (told["status"], told["certificate"])
        for key, other in (
            ("loss_kw", "loss_kw"), ("initial_loss_kw", "initial_loss_kw"), ("bound_kw", "dual_bound_kw"),
            ("gap", "gap"), ("min_voltage_pu", "min_voltage_pu"),
        ):  # fmt: skip
            assert getattr(row, key) == told[other], key
        assert row.operations == len(told["operations"])
    assert found.rows[0].saving_percent > 1
    others = learnopt.region(folder / "list.csv", workers=2, chunk=1)
    assert answers(others.rows) == answers(found.rows)


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_a_table_goes_on(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the same question stay, errors are tried again, a changed file or option is solved anew."""
    asked: list[str] = []
    solved = front._row
    monkeypatch.setattr(front, "_row", lambda feeder: (asked.append(feeder.name), solved(feeder))[1])
    out = folder / f"table.{kind}"
    first = learnopt.region(folder / "list.csv", out=out)
    assert read_rows(out) == list(first.rows)
    assert asked == ["north", "bad", "absent", "named"]
    asked.clear()
    (folder / "bad.json").write_text(json.dumps(CASE))
    again = learnopt.region(folder / "list.csv", out=out)
    assert asked == ["bad", "absent"]
    assert again.rows[0] == first.rows[0]
    assert again.rows[1].loss_kw == first.rows[0].loss_kw
    asked.clear()
    heavier = {**CASE, "buses": [{**bus, "p_kw": bus.get("p_kw", 0) * 2} for bus in CASE["buses"]]}
    (folder / "north.json").write_text(json.dumps(heavier))
    (folder / "list.csv").write_text(LIST.replace("0.9", "0.91").replace("absent,absent.json,,,\n", ""))
    last = learnopt.region(folder / "list.csv", out=out)
    assert asked == ["north", "named"]
    assert last.rows[0].loss_kw > first.rows[0].loss_kw
    assert read_rows(out) == list(last.rows)


def test_what_was_done_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interruption in the third feeder leaves two rows in the file."""
    solved = front._row

    def interrupted(feeder: RegionFeeder) -> RegionRow:
        if feeder.name == "absent":
            raise KeyboardInterrupt
        return solved(feeder)

    monkeypatch.setattr(front, "_row", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learnopt.region(folder / "list.csv", out=folder / "t.csv", chunk=1)
    assert [row.name for row in read_rows(folder / "t.csv")] == ["north", "bad"]


def test_a_feeder_that_kills_its_process(folder: Path) -> None:
    """Has a row that says so; those beside it in the same task have their answers."""
    north = str(folder / "north.json")
    feeders = [
        RegionFeeder("first", north), RegionFeeder("deadly", north, None, Deadly()), RegionFeeder("last", north)
    ]  # fmt: skip
    found = learnopt.region(feeders, workers=2)
    assert [row.error for row in found.rows] == ["", "its process ended again and again: killed, or out of memory", ""]
    assert found.rows[0].loss_kw == found.rows[2].loss_kw is not None


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_rows_come_back_as_they_were(tmp_path: Path, kind: str) -> None:
    """Whatever a feeder is called; no cell of a table is run by a spreadsheet."""
    rows = [
        RegionRow("=1+1", "c", None, "q", buses=3, loss_kw=0.1 + 0.2, open_branches="7, 9"),
        RegionRow("'quoted", "c", "s", "q", open_branches="12", gap=0.0),
        RegionRow('a "b", c\nd', "c", None, "q", error="-no"),
    ]
    write_rows(tmp_path / f"t.{kind}", rows)
    assert read_rows(tmp_path / f"t.{kind}") == rows
    if kind == "csv":
        assert "\n'=1+1," in (tmp_path / "t.csv").read_text()


def test_a_table_in_an_object_store(folder: Path) -> None:
    """Written and gone on with there."""
    with s3_server():
        first = learnopt.region(folder / "north.json", out=f"s3://{BUCKET}/tables/region.csv")
        again = learnopt.region(folder / "north.json", out=f"s3://{BUCKET}/tables/region.csv")
    assert again.rows == first.rows
    assert first.rows[0].solved


def test_something_else_is_not_replaced(folder: Path) -> None:
    """A table of others stays as it is; unknown endings are named."""
    (folder / "mine.csv").write_text("x,y\n1,2\n")
    with pytest.raises(DataError, match="no table of a region"):
        learnopt.region(folder / "list.csv", out=folder / "mine.csv")
    assert (folder / "mine.csv").read_text() == "x,y\n1,2\n"
    with pytest.raises(DataError, match=r"\.csv, \.json, \.parquet"):
        learnopt.region(folder / "list.csv", out=folder / "mine.xlsx")


def test_lists_folders_and_patterns(folder: Path) -> None:
    """CSV and TOML say the same; a feeder's own option wins over that for all."""
    (folder / "list.toml").write_text(
        'options = {gap = 0.5, engine = "milp"}\n[[feeder]]\ncase = "north.json"\ngap = 0\ncharging = false\n'
        '[[feeder]]\ncase = "case16"\nscenario = "now.json"\n'
    )
    (folder / "list2.csv").write_text("case;gap;charging;scenario\nnorth.json;0;no;\ncase16;;;now.json\n\n")
    tabled = read_region(folder / "list2.csv", options={"gap": 0.5, "engine": "milp"})
    assert read_region(folder / "list.toml", options={"engine": "tree"}) == tabled
    assert [feeder.name for feeder in tabled] == ["north", "case16, now"]
    assert tabled[0].options == {"engine": "milp", "gap": 0.0, "charging": False}
    assert tabled[1].scenario == str(folder / "now.json")
    everything = ["bad", "north"]
    assert [each.name for each in read_region(folder)] == everything
    assert [each.name for each in read_region(str(folder / "*.json"))] == everything
    assert [each.name for each in read_region("case16", folder / "north.json")] == ["case16", "north"]
    with pytest.raises(DataError, match="2 feeders are called 'north'"):
        read_region(folder, folder / "north.json")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("case,vmn\ncase16,1\n", r"'vmn' is not known \(vmin\?\)|'vmn' is not known.*vmin"),
        ("case,vmin\ncase16,low\n", "feeder 1: vmin = 'low' must be a number"),
        ("case,max_operations\ncase16,2.5\n", "must be a whole number"),
        ("case,charging\ncase16,perhaps\n", "must be true or false"),
        ("case\ncase16\ncase16\n", "2 feeders are called 'case16'"),
        ("name,case\nnorth,\n", "feeder 1 has no case"),
        ("case\n", "no feeder is there"),
        ("case,case\na,b\n", "two columns are called 'case'"),
        ("case,vmin\ncase16\n", "line 2 has 1 cells, the first line 2"),
    ],
)
def test_lists_that_are_wrong(tmp_path: Path, text: str, told: str) -> None:
    """Told before anything is solved, with all that is wrong."""
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=told):
        read_region(tmp_path / "list.csv")


def test_sources_that_are_none(tmp_path: Path) -> None:
    """A file of another kind, an empty folder, TOML with other tables."""
    with pytest.raises(DataError, match="folder of case files, or a pattern"):
        read_region(tmp_path / "list")
    with pytest.raises(DataError, match="no feeder is there"):
        read_region(tmp_path)
    (tmp_path / "list.toml").write_text("[feeders]\n")
    with pytest.raises(DataError, match=r"'feeders' is not known.*\[\[feeder\]\]"):
        read_region(tmp_path / "list.toml")


def test_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 where some feeder has no answer, 0 where all have; JSON, a page, and a table for people."""

    def command(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["learnopt", "region", *words])
        with pytest.raises(SystemExit) as ended:
            run()
        return int(ended.value.code or 0), capsys.readouterr().out

    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    code, out = command("list.csv", "--workers", "1", "--json", "--out", "t.csv", "--report", "page.html")
    told = json.loads(out)
    assert (code, told["feeders"], told["solved"], told["errors"]) == (1, 4, 2, 2)
    assert [row["name"] for row in told["rows"]] == ["north", "bad", "absent", "named"]
    assert "no such file" in (folder / "page.html").read_text()
    code, out = command("north.json", "--workers", "1", "--node-limit", "100")
    assert code == 0
    assert "1 of 1 feeder has an answer." in out
    assert max(map(len, out.splitlines())) <= 80
