"""Unbalanced files from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from invocation import invoke

pytest.importorskip("opendssdirect")
OWN = Path(__file__).parents[1] / "data" / "threephase" / "ieee123" / "IEEE123Switches.dss"


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
