"""Every command that prints a table does so in 80 columns: nothing is cut, no column is a strip of single digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from invocation import invoke

from learnopt.generator.example import write_example

CapSys = pytest.CaptureFixture[str]
WIDTH = 80

COMMANDS = {
    "cases": ["cases"],
    "inspect": ["inspect", "{ex}/feeder.json"],
    "inspect with findings": ["inspect", "case69"],
    "check": ["check", "{ex}/feeder.json", "--open", "K-N8,K-C8,T1,T3,T5"],
    "check of loops": ["check", "{ex}/feeder.json", "--open", "T1"],
    "order of an outage": ["solve", "{ex}/feeder.json", "--scenario", "{ex}/now.json"],
    "controls": ["solve", "{ex}/feeder.json", "--controls", "all"],
    "ranking": ["solve", "{ex}/feeder.json", "--k-best", "6"],
    "front": ["solve", "{ex}/feeder.json", "--pareto"],
    "risk": ["solve", "{ex}/feeder.json", "--scenario", "{ex}/several.json", "--risk", "cvar"],
    "horizon": ["horizon", "{ex}/feeder.json", "--profile", "{ex}/day.csv", "--steps", "6", "--controls", "all"],
    "savings": ["savings", "{ex}/feeder.json", "--profile", "{ex}/day.csv", "--price", "80", "--co2", "350"],
    "replay": ["replay", "{ex}/feeder.json", "--profile", "{ex}/day.csv", "--steps", "6"],
    "region": ["region", "{ex}/feeder.json", "--workers", "1"],
    "conductors": ["plan", "conductors", "case16", "--mode", "odnr"],
    "substations": ["plan", "substations", "turkay"],
    "evaluate": ["evaluate", "--checkpoint", "{checkpoint}", "--data", "{data}"],
}


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of ``learnopt example``."""
    folder = tmp_path_factory.mktemp("example")
    write_example(folder, np.random.default_rng(1))
    return folder


HELP = (
    *("cases", "example", "solve", "inspect", "convert", "check", "draw", "horizon", "savings", "replay", "generate"),
    "region",
    *("label", "train", "calibrate", "evaluate", "plan conductors", "plan substations", "plan phases"),
    *("serve", "service add-feeder", "service user", "service token", "service audit", "service restore"),
    *("service adapter folder", "service adapter mqtt", "service adapter opcua"),
    *("service reproduce", "service work"),
)


@pytest.mark.parametrize("command", HELP)
def test_help_fits_80_columns(command: str, capsys: CapSys, monkeypatch: pytest.MonkeyPatch) -> None:
    """No option is cut in the help of any command."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    found = invoke(capsys, *command.split(), "--help").out
    assert "--help" in found
    assert max(map(len, found.splitlines())) <= WIDTH
    assert "…" not in found


@pytest.mark.parametrize("name", COMMANDS)
def test_tables_fit_80_columns(
    name: str,
    capsys: CapSys,
    monkeypatch: pytest.MonkeyPatch,
    example: Path,
    labelled_dataset: Path,
    tiny_checkpoint: Path,
) -> None:
    """No ellipsis, no line beyond the edge, and no column of text narrower than a word."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    places = {"ex": example, "data": labelled_dataset, "checkpoint": tiny_checkpoint}
    outcome = invoke(capsys, *(part.format(**places) for part in COMMANDS[name]))
    assert outcome.code in (0, 1), outcome.err
    lines = outcome.out.splitlines()
    assert any("│" in line for line in lines), "a table was expected"
    assert "…" not in outcome.out
    assert "None" not in outcome.out
    assert max(map(len, lines)) <= WIDTH
    for line in lines:  # a cell that holds one character beside cells of many is a pressed one
        for cell in line.split("│")[1:-1]:
            assert len(cell) >= 4, line
