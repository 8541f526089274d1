"""Files that are either all there or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from learnopt.errors import DataError


def unwritable(**files: Path | None) -> list[str]:
    """Which files could not be written after long work, asked before it: by what they are for; None = not asked for."""
    return [
        f"{name.replace('_', ' ')} {path} cannot be written there: give a file in a folder that exists"
        for name, path in files.items()
        if path is not None and (path.is_dir() or not path.parent.is_dir())
    ]


def check_writable(**files: Path | None) -> None:
    """Refuse files that could not be written (:func:`unwritable`).

    Raises
    ------
    DataError
        Naming all of them.
    """
    if problems := unwritable(**files):
        raise DataError("output files", problems)


def check_folder(path: Path | None) -> None:
    """The same for a folder that keeps what is proven: it may be new, but not a file."""
    if path is not None and path.exists() and not path.is_dir():
        raise DataError(str(path), ["is a file: give a folder"])


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file next to ``path``, then rename it: readers see all of it or nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
