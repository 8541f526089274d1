"""A command line that starts at once: help loads no numerical library, and its summaries are those of the commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

from learnopt.cli.app import COMMANDS, commands

HEAVY = ("numpy", "numba", "scipy", "pyarrow", "learnopt.network", "learnopt.io")
SCRIPT = """
import sys
from learnopt.cli.app import run
try:
    run(sys.argv[1:])
finally:
    print("loaded:", *sorted(set(%r) & sys.modules.keys()))
"""


def test_summaries_are_those_of_the_commands() -> None:
    """What ``learnopt --help`` lists without loading a command is the first paragraph of its own help."""
    helps = {name: " ".join((found.help or "").split("\n\n")[0].split()) for name, found in commands().items()}
    assert helps == {name: listed.summary for name, listed in COMMANDS.items()}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["slove"], []])
def test_help_and_version_load_no_numerical_library(arguments: list[str]) -> None:
    """In a fresh process: nor does a command that does not exist."""
    command = [sys.executable, "-c", SCRIPT % (HEAVY,), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "loaded:", done.stderr
