"""The package as a whole: version, what an import loads, docstrings, no traces of the machine it was written on."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import learnopt

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "learnopt"
HEAVY = ("torch", "torch_geometric", "lightning", "mlflow")


def loaded_after(code: str) -> set[str]:
    """Which of the heavy libraries a fresh interpreter has loaded after running some code."""
    probe = f"{code}\nimport sys\nprint(*(set({HEAVY!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_version_is_that_of_the_installed_distribution() -> None:
    """``learnopt.__version__`` and the metadata that pip shows agree."""
    assert learnopt.__version__ == importlib.metadata.version("learnopt")


def test_probe_sees_a_heavy_import() -> None:
    """The probe of the next tests is able to fail."""
    assert "torch" in loaded_after("import torch")


@pytest.mark.parametrize(
    "module",
    [
        "learnopt",
        "learnopt.io",
        "learnopt.engines.tree.engine",
        "learnopt.engines.milp.engine",
        "learnopt.studies.configuration.solve",
    ],
)
def test_imports_of_the_solve_path_are_light(module: str) -> None:
    """Importing the package or an engine loads neither torch nor MLflow."""
    assert loaded_after(f"import {module}") == set()


def test_solving_is_light() -> None:
    """Not even a solve, with whatever it imports on the way, loads torch or MLflow."""
    code = """
from learnopt.io import load
from learnopt.network import ReconfigurationProblem
from learnopt.studies.configuration.solve import solve
problem = ReconfigurationProblem.of(load("case16"))
for engine in ("auto", "tree", "milp"):
    assert solve(problem, engine).status == "optimal"
"""
    assert loaded_after(code) == set()


def test_import_of_the_package_is_cheap() -> None:
    """``import learnopt`` loads no numerical library at all."""
    probe = "import learnopt, sys; print(*({'numpy', 'scipy', 'numba', 'pyomo'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_public_modules_say_what_they_are() -> None:
    """Every public module starts with a docstring that is a sentence."""
    silent = []
    for path in PACKAGE.rglob("*.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if (not path.stem.startswith("_") or path.stem == "__init__") and not re.match(r"[A-Z`].{10,}", docstring):
            silent.append(path.relative_to(ROOT).as_posix())
    assert silent == []


def test_no_machine_paths_in_the_repository() -> None:
    """No file that git would take names a home folder, a work folder or a file URL of somebody's machine."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    folders = "|".join(("root", "home", "work", "Users"))
    # Put together here so that this file does not match itself. A path starts after something that ends a word.
    pattern = re.compile(r"(?:^|[\s\"'`(=:])" + f"/(?:{folders})/[A-Za-z]" + "|" + "file:" + "///", re.MULTILINE)
    found = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {match.group().strip()}" for match in pattern.finditer(text)]
    assert found == []
