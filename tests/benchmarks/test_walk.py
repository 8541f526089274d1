"""The short commands that no page shows end as they should; those of the pages run in ``test_readme.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.insert(0, str(ROOT / "docs"))

import shown  # noqa: E402
import walk  # noqa: E402


def test_the_walk_has_sixty_commands() -> None:
    """Each once, every command of the program among them."""
    found = [line for line, _ in walk.lines()]
    assert len(found) == len(set(found)) >= 60
    from learnopt.cli.app import COMMANDS

    assert {line.split()[1] for line in found} >= COMMANDS.keys() - {"calibrate"}
    short = [line for line in found if not walk.is_long(line)]
    assert len(short) >= 60
    assert not any("train --" in line or "warmup" in line for line in short)


def test_short_commands_end_as_they_should(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit codes, no traceback, no warning; the sample is there as it is after the pages."""
    session = shown.Session(tmp_path)
    for line in ["learnopt example sample", *walk.further(short=True)]:
        session.command(line, shown=True)
    assert session.problems == []
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert "Warning" not in told
    assert {"check.html", "now.svg", "profile.png", "case33.json", "steps.csv", "plan.html"} <= {
        path.name for path in tmp_path.iterdir()
    }


def test_the_walk_is_printed_and_finds_what_is_wrong(tmp_path: Path) -> None:
    """As a program, for one word; a command that ends otherwise, and one that is silent, are no clean steps."""
    command = [sys.executable, str(ROOT / "benchmarks" / "walk.py"), "--only", "version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 commands, 0 not clean" in done.stdout
    step = walk.walked("learnopt solve nothing.json", "", tmp_path, ROOT)
    assert step.faults == ("exit code 2, 0 expected",)
    assert step.processor > 0.0
