"""Unbalanced files from the command line."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from invocation import invoke

from learnopt.io import load_with_source

pytest.importorskip("opendssdirect")
DATA = Path(__file__).parents[1] / "data" / "threephase"
OWN, IOWA = DATA / "ieee123" / "IEEE123Switches.dss", DATA / "iowa240" / "network.iowa240.dss"


def test_the_answer_of_an_unbalanced_file_is_about_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Loss before and after, proof and source tool are those of all phases; ``--balanced`` gives the equivalent."""
    answer = invoke(capsys, "solve", OWN, "--json").json
    assert answer["loss_kw"] == pytest.approx(94.160, rel=2e-4)
    assert answer["initial_loss_kw"] == pytest.approx(95.978, rel=2e-4)
    assert (answer["certificate"], answer["balanced_equivalent"], answer["warnings"]) == ("ac", False, [])
    assert "Stays open, since it has not all three phases: line.sw8." in answer["message"]
    assert answer["phases"]["tool"] == answer["source_tool"]["name"] == "OpenDSS"
    reduced = invoke(capsys, "solve", OWN, "--balanced", "--json").json
    assert reduced["balanced_equivalent"]
    assert "phases" not in reduced
    assert reduced["loss_kw"] < 92


def test_table_speaks_of_phases(capsys: pytest.CaptureFixture[str]) -> None:
    """What the proof is about, the voltages of phases, and that no validity of the order is stated."""
    words = " ".join(invoke(capsys, "solve", OWN).out.split())
    assert "Figures of the steps are those of the balanced" not in words
    for said in ("in all its phases", "voltage unbalance", "Valid: not stated: an answer in all phases"):
        assert said in words


def test_check_and_steps_are_in_all_phases(capsys: pytest.CaptureFixture[str]) -> None:
    """A checked state and the steps of an order have OpenDSS's figures; the last step is the answer."""
    now = invoke(capsys, "check", OWN, "--json").json
    assert now["loss_kw"] == pytest.approx(95.978, rel=2e-4)
    assert (now["balanced_equivalent"], now["phases"]["tool"]) == (False, "OpenDSS")
    best = invoke(capsys, "check", OWN, "--open", "line.sw5", "--json").json
    answer = invoke(capsys, "solve", OWN, "--json").json
    assert best["loss_kw"] == pytest.approx(answer["loss_kw"], rel=1e-6)
    assert best["phases"]["max_unbalance"] == pytest.approx(answer["phases"]["max_unbalance"], rel=1e-3)
    assert answer["operations"][-1]["loss_kw"] == pytest.approx(answer["loss_kw"], rel=1e-5)
    reduced = invoke(capsys, "check", OWN, "--balanced", "--json").json
    assert (reduced["balanced_equivalent"], "phases" in reduced) == (True, False)
    assert "voltage unbalance" in invoke(capsys, "check", OWN).out


def test_front_of_operations_is_that_of_enumeration(capsys: pytest.CaptureFixture[str]) -> None:
    """Iowa 240: least loss of all 43 states for each number of operations, each point proven by all states."""
    net = load_with_source(IOWA).network
    normal = {str(bus).removeprefix("line.") for bus in net.open_ids(net.normal_configuration)}
    least: dict[int, float] = {}
    text = (DATA / "iowa240" / "iowa240_all_43_radial.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        count = len(set(row["open_breakers"].split()) ^ normal)
        least[count] = min(least.get(count, math.inf), float(row["loss_kw_with_der"]))
    answer = invoke(capsys, "solve", IOWA, "--pareto", "--json").json
    points = {one["operations"]: one for one in answer["pareto"]}
    better = [count for count in least if all(least[other] > least[count] for other in least if other < count)]
    assert list(points) == sorted(better) == [0, 2, 4]
    for count, one in points.items():
        assert one["loss_kw"] == pytest.approx(least[count], rel=4e-4)
        assert (one["certificate"], one["dual_bound_kw"]) == ("ac", pytest.approx(one["loss_kw"], rel=1e-6))
    assert not answer["balanced_equivalent"]
    assert answer["open_branches"] == points[4]["open_branches"]
    capped = invoke(capsys, "solve", IOWA, "--max-operations", 3, "--json").json
    assert capped["open_branches"] == points[2]["open_branches"]


def test_voltage_unbalance_is_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """A state above it is no answer; what no state keeps is held where it stands, or refused when limits are strict."""
    free = invoke(capsys, "solve", OWN, "--json").json["phases"]["max_unbalance"]
    tight = ("--max-unbalance", 0.9 * free, "--json")
    held = invoke(capsys, "solve", OWN, *tight).json
    assert {one["limit"] for one in held["held_limits"]} == {"unbalance_max"}
    strict = invoke(capsys, "solve", OWN, *tight, "--strict-limits").json
    assert (strict["status"], strict["loss_kw"], strict["conflicts"]) == ("no_solution", None, [])
    assert "voltage unbalance" in strict["message"]
    broken = invoke(capsys, "check", OWN, *tight).json
    assert any("voltage unbalance" in sentence for sentence in broken["violations"])
    assert broken["held_limits"] == []  # a check knows nothing of what switches could change
    refused = invoke(capsys, "solve", OWN, "--balanced", *tight)
    assert (refused.code, "voltage unbalance holds in all phases" in refused.json["errors"][0]) == (2, True)
    assert invoke(capsys, "solve", OWN, "--max-unbalance", 2).code == 2
