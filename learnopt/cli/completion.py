"""What the Tab key offers: named cases beside files; where it offers nothing the shell completes file names itself."""

from __future__ import annotations

from pathlib import Path

from learnopt.io.cases import case_names

READABLE = (".json", ".m", ".dss", ".zip")
"""Endings of files that may be a network."""


def cases_and_files(incomplete: str) -> list[str]:
    """Named cases that begin so, and where there are some, files and folders that do."""
    named = [name for name in case_names() if name.startswith(incomplete)]
    return [*named, *_networks(incomplete)] if named else []


def checkpoints(incomplete: str) -> list[str]:
    """The reference checkpoint and the champion where their names begin so; folders are the shell's."""
    return [name for name in ("reference", "models:/learnopt@champion") if incomplete and name.startswith(incomplete)]


def exact_engines(incomplete: str) -> list[str]:
    """Engines that label a dataset."""
    return [name for name in ("tree", "milp", "enumerate") if name.startswith(incomplete)]


def _networks(incomplete: str) -> list[str]:
    """Files that may be a network, and folders, in the folder that is being typed."""
    folder, _, begin = incomplete.rpartition("/")
    place = Path(folder or ".")
    found = sorted(place.iterdir()) if place.is_dir() else []
    fitting = [path for path in found if path.name.startswith(begin) and begin + path.name[:1] != "."]
    return [f"{path}/" if path.is_dir() else str(path) for path in fitting if path.is_dir() or path.suffix in READABLE]
