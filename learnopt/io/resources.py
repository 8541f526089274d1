"""Where files lie: those that travel with learnopt, and what it keeps for a user."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from learnopt.errors import DataError

_SOURCE_TREE = {
    "cases": "datasets/cases",
    "planning": "datasets/planning",
    "conductors": "datasets/conductors",
    "checkpoints": "checkpoints",
}


def data_root(kind: Literal["cases", "planning", "conductors", "checkpoints"]) -> Path:
    """Folder of the named cases, of the planning samples, of the conductor table or of the published checkpoints.

    A checkout is recognised by the ``pyproject.toml`` beside the package; the build backend copies the same folders to
    ``learnopt/_data`` of the wheel.

    Raises
    ------
    DataError
        If neither place has the folder.
    """
    package = Path(__file__).resolve().parents[1]
    source = package.parent / _SOURCE_TREE[kind]
    if (package.parent / "pyproject.toml").is_file() and source.is_dir():
        return source
    installed = package / "_data" / kind
    if not installed.is_dir():
        raise DataError(f"the {kind} of learnopt", [f"neither {source} nor {installed} exists: install learnopt again"])
    return installed


def user_folder(kind: Literal["cache", "state"]) -> Path:
    """Folder of this user for what can be fetched again (``cache``) or must not be lost (``state``); not made yet.

    As the system has it: ``XDG_CACHE_HOME`` and ``XDG_STATE_HOME`` or their usual places, ``~/Library`` on macOS,
    ``LOCALAPPDATA`` on Windows.
    """
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        return root / "learnopt" / kind
    if sys.platform == "darwin":
        return Path.home() / "Library" / {"cache": "Caches", "state": "Application Support"}[kind] / "learnopt"
    usual = {"cache": Path(".cache"), "state": Path(".local") / "state"}[kind]
    return Path(os.environ.get(f"XDG_{kind.upper()}_HOME") or Path.home() / usual) / "learnopt"
