"""Pictures to files. Files appear complete or not at all."""

from __future__ import annotations

import io
import json
from pathlib import Path

import matplotlib as mpl
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

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


def plot_div(figure: go.Figure, name: str) -> str:
    """A plotly figure as an HTML fragment, without the library."""
    parts = figure.to_plotly_json()
    parts["config"] = {
        "displaylogo": False,
        "responsive": True,
        "scrollZoom": name == "one-line",
        "plotlyServerURL": "",
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "sendChartToCloud"],
    }
    # Inside a script nothing may look like its end.
    data = json.dumps(parts, cls=PlotlyJSONEncoder).replace("<", "\\u003c").replace(">", "\\u003e")
    return f'<div id="{name}"></div><script>Plotly.newPlot("{name}", {data});</script>'


SAFE = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data: blob:; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
)
"""Forbids the page every access to the network."""


def plotly_script() -> str:
    """The plotly library for the head of a page."""
    return f"<script>{get_plotlyjs()}</script>"


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
