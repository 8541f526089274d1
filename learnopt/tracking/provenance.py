"""Where a result comes from: commit and versions."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from learnopt._version import __version__

_LIBRARIES = ("numpy", "torch", "torch-geometric", "lightning", "scikit-learn", "numba", "mlflow")


def git_commit() -> str | None:
    """Commit of the source tree that learnopt runs from, ``+dirty`` if changed; None outside git or without git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def library_versions() -> dict[str, str]:
    """Version of Python, of learnopt and of the libraries that decide numbers."""
    versions = {"python": platform.python_version(), "learnopt": __version__}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
