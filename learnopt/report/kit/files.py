"""Pictures to files. Files appear complete or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from learnopt.errors import UnsupportedError
from learnopt.io.files import write_atomically

FORMATS = ("png", "svg", "pdf", "html")
_DPI = 160


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as PNG, SVG or PDF; the same figure gives the same bytes."""
    undated = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "learnopt"}):
        figure.savefig(buffer, format=kind, dpi=_DPI, metadata=undated)
    return buffer.getvalue()


def write_figure(path: Path, figure: Figure) -> None:
    """Write a drawing; the ending of the path chooses PNG, SVG or PDF.

    Raises
    ------
    UnsupportedError
        For another ending.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS or kind == "html":
        raise UnsupportedError(f"{path.name}: this picture is written as .png, .svg, .pdf")
    write_atomically(path, lambda partial: partial.write_bytes(figure_bytes(figure, kind)))
