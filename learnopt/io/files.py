"""Files: read whole within a stated size, written all or not at all."""

from __future__ import annotations

from pathlib import Path

from learnopt.errors import DataError
from learnopt.io.places import Place, write_atomically, write_bytes

__all__ = [
    "TEXT_MARK",
    "check_folder",
    "check_writable",
    "read_bytes",
    "read_text",
    "safe_cell",
    "unwritable",
    "write_atomically",
    "write_text",
]

TEXT_MARK = "'"
"""Before a cell of a CSV table: what follows is text, as spreadsheets have it."""
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""How text begins that spreadsheets run or evaluate."""


def read_bytes(path: Place, most: int) -> bytes:
    """All of a file that has at most so many bytes.

    Raises
    ------
    DataError
        If it is larger, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DataError(str(path), [f"cannot be read: {error.strerror or error}"]) from None
    if len(content) > most:
        raise DataError(str(path), [f"is larger than {most / 2**20:g} MiB, the most that is read of such a file"])
    return content


def read_text(path: Place, most: int) -> str:
    """The same as text in UTF-8; errors as in :func:`read_bytes`, and for bytes that are none."""
    content = read_bytes(path, most)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(str(path), [f"not UTF-8 text: byte {error.start} is 0x{content[error.start]:02x}"]) from None


def safe_cell(value: object) -> object:
    """A cell of a CSV table that no spreadsheet runs as a formula: text that looks like one gets an apostrophe.

    Numbers stay what they are.
    """
    if not isinstance(value, str) or not value.startswith(_FORMULAS):
        return value
    try:
        float(value)
    except ValueError:
        return TEXT_MARK + value
    return value


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


def write_text(path: Place, text: str) -> None:
    """Write a text file in UTF-8, all of it or nothing."""
    write_bytes(path, text.encode("utf-8"))
