"""``generate --case --profile`` and ``train --from``: what is taken and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from invocation import invoke

CapSys = pytest.CaptureFixture[str]


def test_generate_takes_the_snapshots_of_a_feeder(capsys: CapSys, tmp_path: Path) -> None:
    """One instance per time; notes of reading go to stderr."""
    (tmp_path / "day.csv").write_text("time,18.p_kw\n2026-01-05T00:00,40\n2026-01-05T01:00,90\n")
    found = invoke(
        capsys, "generate", "--case", "case33", "--profile", tmp_path / "day.csv", "--out", tmp_path / "d", "--json"
    )
    assert (found.code, found.json["instances"]) == (0, 2)
    assert "power factor" in found.err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["generate", "--case", "case33", "--out", "d"], "--profile"),
        (["generate", "--profile", "a.csv", "--out", "d"], "--case"),
        (["generate", "--out", "d"], "--config"),
        (["generate", "--config", "a.toml", "--case", "case33", "--profile", "a.csv", "--out", "d"], "either"),
        (["generate", "--config", "a.toml", "--limits", "--out", "d"], "--limits"),
        (["train"], "--from"),
        (["train", "--from", "reference", "--out", "c"], "data folder"),
        (["train", "--from", "nothing", "--data", "d", "--out", "c", "--store", "runs"], "learnopt generate"),
    ],
)
def test_bad_options_are_said(
    capsys: CapSys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], message: str
) -> None:
    """Exit code 2, and the option to give."""
    monkeypatch.chdir(tmp_path)
    found = invoke(capsys, *command)
    assert found.code == 2
    assert message in found.err
