"""Whoever only solves needs neither torch nor MLflow nor pyarrow: all but learning and profiles runs without them."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from learnopt.errors import LEARNING, PROFILES

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {"power_grid_model": "power-grid-model"}
"""Where the name of an import is not that of its package."""
OPTIONAL = {
    "casadi",
    "distributed",
    "fsspec",
    "gurobipy",
    "opendssdirect",
    "pandapower",
    "simbench",
    "lxml",
    "networkx",
    "ortools",
    "pandas",
}
"""Extras, and pandas that comes with pandapower, looked for when they are asked for."""
BEYOND = (*LEARNING, *PROFILES)
APART = ("learnopt/learning/", "learnopt/learned/", "learnopt/tracking/", "learnopt/service/")
"""Rooms whose packages a light install goes without: those of learning, and the service with its extra."""
BARE = """
import sys
from importlib.abc import MetaPathFinder
class Refused(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in %r:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refused())
"""


def _bare(script: str, folder: Path, refused: tuple[str, ...] = BEYOND) -> subprocess.CompletedProcess[str]:
    """Run a script in a process in which some packages cannot be imported: those that a light install lacks."""
    command = [sys.executable, "-c", BARE % (refused,) + script]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def _apart(path: Path) -> bool:
    return path.relative_to(ROOT).as_posix().startswith(APART)


def _imports() -> set[str]:
    """Packages of others that are imported anywhere in the package, but for the rooms apart."""
    found = set()
    for path in (ROOT / "learnopt").rglob("*.py"):
        if not _apart(path):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {name.name.partition(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - OPTIONAL - {"learnopt"}


def _pinned(name: str) -> dict[str, str]:
    """Versions of a requirements file."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def test_core_requirements_are_what_is_imported() -> None:
    """No package more, none less, in the versions that everything is tested with."""
    core, tested = _pinned("requirements-core.txt"), _pinned("constraints.txt")
    assert core.keys() == {DISTRIBUTIONS.get(name, name) for name in _imports() - set(PROFILES)}
    assert tested.keys() >= set(PROFILES)
    assert core == {name: tested[name] for name in core}


@pytest.mark.parametrize(("refused", "room"), [(LEARNING, ()), (BEYOND, ("learnopt/dataset/", "learnopt/datasets.py"))])
def test_every_module_but_those_of_learning_is_imported_without_its_packages(
    refused: tuple[str, ...], room: tuple[str, ...], tmp_path: Path
) -> None:
    """Optional extras may be asked for by a module that nobody loads without them; datasets are files of pyarrow."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "learnopt").rglob("*.py"))
        if not _apart(path) and path.stem != "__main__" and not path.relative_to(ROOT).as_posix().startswith(room)
    ]
    script = f"from importlib import import_module\nfor name in {modules!r}: import_module(name)\nprint('all')"
    done = _bare(script, tmp_path, refused)
    assert done.stdout == "all\n", done.stderr


RUN = """
from learnopt.cli.app import run
for line in %r:
    try:
        run(line.split())
    except SystemExit as end:
        assert end.code == 0, (line, end.code)
print("ran")
"""
COMMANDS = [
    "cases",
    "example here",
    "inspect here/feeder.json --report inspect.html",
    "check here/feeder.json",
    "draw here/feeder.json --out feeder.svg",
    "convert here/feeder.json tables",
    "solve here/feeder.json --scenario here/several.json --report solve.html",
    "solve here/feeder.json --engine milp --export state.json",
    "plan substations turkay --time-limit 5",
]


def test_commands_run_without_the_packages_of_learning(tmp_path: Path) -> None:
    """Reading, solving, planning, pages and pictures."""
    done = _bare(RUN % (COMMANDS,), tmp_path)
    assert done.stdout.splitlines()[-1] == "ran", done.stderr[-2000:]


@pytest.mark.parametrize(
    "line", ["solve case16 --engine learned --json", "train --config any.toml --json", "evaluate --data any --json"]
)
def test_what_learns_names_what_is_missing(line: str, tmp_path: Path) -> None:
    """With the command that installs it, and no traceback."""
    done = _bare(f"from learnopt.cli.app import run\nrun({line.split()!r})", tmp_path)
    assert done.returncode == 2, done.stderr
    (sentence,) = json.loads(done.stdout.splitlines()[-1])["errors"]
    assert "which is not installed: pip install " in sentence
    assert "pip install learnopt" in sentence
    assert "Traceback" not in done.stderr


PROFILE = "--profile here/day.csv --steps 3 --json"


@pytest.mark.parametrize("study", ["horizon", "savings"])
def test_a_profile_needs_pyarrow_and_nothing_of_learning(study: str, tmp_path: Path) -> None:
    """Without it the error names the command that installs it."""
    line = f"{study} here/feeder.json {PROFILE}"
    done = _bare(RUN % (["example here", line],), tmp_path, LEARNING)
    assert done.stdout.splitlines()[-1] == "ran", done.stderr[-2000:]
    done = _bare(f"from learnopt.cli.app import run\nrun({line.split()!r})", tmp_path)
    assert done.returncode == 2, done.stderr[-2000:]
    (sentence,) = json.loads(done.stdout.splitlines()[-1])["errors"]
    named = "load profile here/day.csv needs pyarrow, which is not installed: pip install pyarrow "
    assert sentence.startswith(named)
