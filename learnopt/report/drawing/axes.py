"""Figures for paper, and axes of the house style."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from learnopt.report.drawing.colours import LINE, PALE


def paper(width: float, height: float) -> Figure:
    """An empty white figure [inch] that needs no display."""
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def quiet(axes: Axes, grid: Literal["both", "x", "y"] = "both", without: Iterable[str] = ("top", "right")) -> None:
    """A pale grid below what is drawn, pale ticks, and no frame where it says nothing."""
    axes.grid(color=PALE, linewidth=0.7, axis=grid)
    axes.set_axisbelow(True)
    axes.tick_params(colors=LINE)
    for side in without:
        axes.spines[side].set_visible(False)
