"""The benchmark of exact engines runs, writes what it says, and compares only what can be compared."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import exact
from exact import Row, ratio


def test_small_run(monkeypatch, tmp_path, capsys):
    """Two methods on the 16-bus feeder: page on stdout and in the file, raw rows with every repeat."""
    monkeypatch.setattr(exact, "HERE", tmp_path)
    page = tmp_path / "page.md"
    arguments = ["exact.py", "--only", "case16", "--methods", "milp,tree", "--repeats", "2", "--markdown", str(page)]
    monkeypatch.setattr(sys, "argv", arguments)
    assert exact.main() == 0
    printed = capsys.readouterr()
    assert page.read_text(encoding="utf-8") == printed.out
    assert "| case16 | 16 | 3 | milp (ours) | optimal | 466.127 |" in printed.out
    assert "Zhu (2002)" in printed.out
    (raw,) = (tmp_path / "raw").glob("exact-*.json")
    content = json.loads(raw.read_text(encoding="utf-8"))
    assert [row["method"] for row in content["rows"]] == ["milp", "tree"]
    assert all(len(row["times_s"]) == 2 for row in content["rows"])
    assert content["packages"]["highspy"]


def test_ratio_of_a_stopped_run_is_a_bound():
    """A rival stopped by the limit counts as a lower bound and not in the mean; nothing is said where ours was."""
    ours = Row("f", "milp", "optimal", 1.0, 1.0, "ac", 0.0, 2.0, (2.0,), 1, "", "")
    rival = replace(ours, method="scip", time_s=6.0)
    assert ratio(rival, ours) == ("3", 3.0)
    assert ratio(replace(rival, status="feasible"), ours) == ("> 3", None)
    assert ratio(rival, replace(ours, status="feasible")) == ("-", None)


def test_feeders_are_listed_once(tmp_path):
    """A case file that is a named case again does not run twice; other JSON files are not cases."""
    cases = Path(__file__).parents[2] / "datasets" / "cases"
    (tmp_path / "case16_again.json").write_bytes((cases / "case16.json").read_bytes())
    (tmp_path / "conductors.json").write_text("[]", encoding="utf-8")
    assert len(exact.feeders(tmp_path, "case16", 100)) == 1


def test_unknown_method(monkeypatch, capsys):
    """A method that does not exist is named together with those that do."""
    monkeypatch.setattr(sys, "argv", ["exact.py", "--methods", "cplex"])
    with pytest.raises(SystemExit):
        exact.main()
    assert "unknown method cplex: use milp, tree, textbook, scip" in capsys.readouterr().err
