"""``learnopt replay`` from the outside: what it prints, writes and refuses; the same in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from invocation import invoke

import learnopt
from learnopt.generator.example import write_example
from learnopt.studies.operation.meters import Telemetry

GIVEN = ("--profile", "synthetic", "--start", "2025-01-10T06:00", "--steps", "6")


def test_json_and_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Figures agree with each other and with Python; the page tells every cycle."""
    page = tmp_path / "replay.html"
    outcome = invoke(capsys, "replay", "case33", *GIVEN, "--measured", 0.5, "--report", page, "--json")
    assert outcome.code == 0, outcome.err
    answer = outcome.json
    assert answer["cycles"] == len(answer["log"]) == 6
    assert answer["saved_kwh"] == pytest.approx(answer["energy_unchanged_kwh"] - answer["energy_kwh"])
    assert answer["energy_kwh"] == pytest.approx(sum(one["loss_kw"] for one in answer["log"]))
    assert answer["operations"] == sum(one["advice"]["operations"] for one in answer["log"])
    proposed = [one["advice"] for one in answer["log"] if one["advice"]["verdict"] == "propose"]
    assert len(proposed) == answer["proposals"] > 0
    assert proposed[0]["saving_kwh"] - proposed[0]["cost_kwh"] <= proposed[0]["at_most_kwh"] * (1 + 1e-6)
    assert [step["step"] for step in proposed[0]["steps"]] == list(range(1, proposed[0]["operations"] + 1))
    text = page.read_text(encoding="utf-8")
    assert text.count("2025-01-10") >= 6
    study = learnopt.replay(
        "case33", "synthetic", start="2025-01-10T06:00", steps=6,
        telemetry=Telemetry(measured=0.5),
    )  # fmt: skip
    assert study.result.saved_kwh == answer["saved_kwh"]
    assert "saved" in repr(study)
    assert "<table" in study._repr_html_()


def test_the_files_of_the_example(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Limits, names and a tie of the example feeder: the answer is told in words."""
    write_example(tmp_path, np.random.default_rng(1))
    outcome = invoke(capsys, "replay", tmp_path / "feeder.json", "--profile", tmp_path / "day.csv", "--steps", 4)
    assert outcome.code == 0, outcome.err
    assert "would have been saved" in " ".join(outcome.out.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--profile", "synthetic", "--steps", "1"), "evenly apart"),
        (("--profile", "synthetic", "--steps", "3", "--noise", "7"), "noise = 7"),
        (("--profile", "synthetic", "--steps", "3", "--hours", "0"), "hours = 0"),
        (("--steps", "3"), "profile"),
        (("--profile", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_bad_input_is_told(capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str) -> None:
    """The object, the value, what to do; exit code 2."""
    outcome = invoke(capsys, "replay", "case33", *options)
    assert outcome.code == 2
    assert said in outcome.err
