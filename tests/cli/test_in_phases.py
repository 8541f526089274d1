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
    assert (answer["certificate"], answer["balanced_equivalent"], answer["warnings"]) == ("model", False, [])
    assert "Stays open, since it has not all three phases: line.sw8." in answer["message"]
    assert answer["phases"]["tool"] == answer["source_tool"]["name"] == "OpenDSS"
    reduced = invoke(capsys, "solve", OWN, "--balanced", "--json").json
    assert reduced["balanced_equivalent"]
    assert "phases" not in reduced
    assert reduced["loss_kw"] < 92


def test_table_speaks_of_phases(capsys: pytest.CaptureFixture[str]) -> None:
    """What the proof is about, the voltages of phases, and that steps are of the equivalent."""
    words = " ".join(invoke(capsys, "solve", OWN).out.split())
    for said in ("in all its phases", "voltage unbalance", "Figures of the steps are those of the balanced equivalent"):
        assert said in words
