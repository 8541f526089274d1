"""The Tab key: commands, options, engines and named cases; where nothing is offered the shell completes files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from learnopt.cli.completion import cases_and_files

LEARNOPT = "import sys; sys.argv[0] = 'learnopt'; from learnopt.cli.app import run; run()"


def offered(folder: Path, *words: str, shell: str = "bash") -> list[str]:
    """What a shell is told for the last of the words."""
    asked = {
        "bash": {"COMP_WORDS": "\n".join(["learnopt", *words]), "COMP_CWORD": str(len(words))},
        "zsh": {"_TYPER_COMPLETE_ARGS": " ".join(["learnopt", *words])},
    }[shell]
    variables = {**os.environ, **asked, "_LEARNOPT_COMPLETE": f"complete_{shell}"}
    command = [sys.executable, "-c", LEARNOPT]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("so",), ["solve"]),
        (("plan", "cond"), ["conductors"]),
        (("solve", "case33", "--engine", "tr"), ["tree"]),
        (("solve", "case33", "--certify", "a"), ["ac"]),
        (("solve", "case33", "--cert"), ["--certify"]),
        (("label", "own", "--engine", "m"), ["milp"]),
        (("train", "--from", "ref"), ["reference"]),
        (("solve", "case33", "--scenario", "no"), []),  # the shell completes files
    ],
)
def test_words_that_bash_is_told(tmp_path: Path, words: tuple[str, ...], expected: list[str]) -> None:
    """Of a program that is asked as bash asks it."""
    assert offered(tmp_path, *words) == expected


def test_named_cases_stand_beside_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that may be a network, and folders; where no case begins so, the shell does it."""
    for name in ("case_own.json", "cable.m", "notes.txt", ".hidden.json"):
        (tmp_path / name).touch()
    (tmp_path / "cases").mkdir()
    assert {"case33", "case533", "case_own.json", "cases/"} <= set(offered(tmp_path, "solve", "ca"))
    monkeypatch.chdir(tmp_path)
    assert cases_and_files("case1") == ["case16", "case119", "case136"]
    assert cases_and_files("")[-3:] == ["cable.m", "case_own.json", "cases/"]
    assert cases_and_files("own") == cases_and_files("cases/") == []


def test_zsh_is_told_to_complete_files(tmp_path: Path) -> None:
    """Its script asks for them where nothing else fits."""
    assert offered(tmp_path, "solve", "case33", "--scenario", "no", shell="zsh") == ["_files"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_shown(tmp_path: Path, shell: str) -> None:
    """What the page on installing says: the script of a shell, with our name in it."""
    variables = {**os.environ, "_LEARNOPT_COMPLETE": f"source_{shell}"}
    done = subprocess.run(
        [sys.executable, "-c", LEARNOPT], cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
    )
    assert "_LEARNOPT_COMPLETE=complete_" + shell in done.stdout
