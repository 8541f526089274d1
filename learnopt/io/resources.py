"""Where the files that travel with learnopt lie: the source tree where there is one, else inside the wheel."""

from __future__ import annotations

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
