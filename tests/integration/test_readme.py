"""What README.md and the how-to pages show, runs."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from learnopt.cli.app import run
from learnopt.io.cases import load_case
from learnopt.io.csv_folder import write_csv_folder

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line, comments=True)[1:] for line in re.findall(r"^\.venv/bin/learnopt .*$", README, re.M)]
PAGES = ("solve", "days", "planning", "savings")
"""How-to pages whose commands take seconds; training has its own tests."""
TEXT = "\n".join((ROOT / "docs" / "howto" / f"{page}.md").read_text(encoding="utf-8") for page in PAGES)
SHOWN = [shlex.split(line, comments=True)[1:] for line in re.findall(r"^learnopt .*$", TEXT, re.M)]
LONG = {"synthetic": ["--steps", "48"]}
"""Words that make a command long, and what shortens it."""


@pytest.mark.parametrize("command", COMMANDS + [c for c in SHOWN if c not in COMMANDS], ids=" ".join)
def test_commands_succeed(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the quick start and of the how-to pages ends with exit code 0 and writes the files it names."""
    shutil.copy(ROOT / "datasets" / "cases" / "case33.json", tmp_path / "grid.json")
    banked = json.loads((tmp_path / "grid.json").read_text(encoding="utf-8"))
    banked["capacitors"] = [{"bus": banked["buses"][29]["id"], "steps_kvar": [600]}]
    (tmp_path / "feeder.json").write_text(json.dumps(banked), encoding="utf-8")
    if command[:1] != ["convert"]:
        write_csv_folder(load_case("case33"), tmp_path / "my_feeder")
    (tmp_path / "now.json").write_text('{"out_of_service": [22]}')
    (tmp_path / "several.json").write_text('{"scenarios": [{}, {"loads": {"18": {"p_kw": 900, "q_kvar": 300}}}]}')
    for name in ("day.csv", "year.csv"):
        (tmp_path / name).write_text("time,scale\n2026-01-05T00:00,0.4\n2026-01-05T01:00,0.9\n")
    command = command + [part for word, parts in LONG.items() if word in command for part in parts]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run(command)
    assert ended.value.code == 0
    for option, value in itertools.pairwise(command):
        if option in ("--out", "--report"):
            assert (tmp_path / value).stat().st_size > 0


def test_quick_start_shows_commands() -> None:
    """The pattern above finds the commands."""
    assert len(COMMANDS) >= 5
    assert len(SHOWN) >= 10


def test_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python example proves the known optimum of the 33-bus system and draws it."""
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(example, "README.md", "exec"), {})
    assert "optimal ac [7, 9, 14, 32, 37]" in capsys.readouterr().out
    assert (tmp_path / "case33.png").stat().st_size > 0


def test_linked_files_exist() -> None:
    """No link of README.md, ARCHITECTURE.md or CONTRIBUTING.md inside the repository is dead."""
    dead = []
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8"))
        dead += [f"{name}: {link}" for link in links if not (ROOT / link).exists()]
    assert dead == []
