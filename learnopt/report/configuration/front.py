"""The front of loss against switching operations as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from learnopt.network import ReconfigurationProblem, Result
from learnopt.report.configuration.text import proven_bound_kw
from learnopt.report.drawing.axes import paper, quiet
from learnopt.report.drawing.colours import CLOSE, LINE, TIE
from learnopt.report.kit.chart import Chart, Series
from learnopt.wording import counted


def front_figure(problem: ReconfigurationProblem, points: Sequence[Result]) -> Figure:
    """Least loss for every number of operations, with what is proven to be a lower bound of it."""
    known = _known(problem, points)
    figure = paper(10.0, 3.6)
    axes = figure.add_subplot()
    steps, losses = [n for n, _, _ in known], [loss for _, loss, _ in known]
    axes.step(steps, losses, where="post", color=CLOSE, linewidth=1.2, alpha=0.6, zorder=2)
    axes.scatter(steps, losses, color=CLOSE, s=30, zorder=3, label="least loss found")
    bounds = [(n, bound) for n, _, bound in known if bound is not None]
    if bounds:
        proven, values = [n for n, _ in bounds], [bound for _, bound in bounds]
        axes.scatter(proven, values, color=TIE, s=60, marker="_", zorder=2, label="proven lower bound")
    for n, loss, _ in known:
        axes.annotate(f"{loss:.1f}", (n, loss), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xlabel("switching operations", color=LINE)
    axes.set_ylabel("loss [kW]", color=LINE)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(0.04, 0.15)
    quiet(axes)
    axes.legend(frameon=False)
    return figure


def front_chart(problem: ReconfigurationProblem, points: Sequence[Result]) -> Chart:
    """The same for a page."""
    known = _known(problem, points)
    steps, losses = (np.array([one[k] for one in known], dtype=float) for k in (0, 1))
    bounds = np.array([np.nan if bound is None else bound for _, _, bound in known])
    texts = [f"{counted(n, 'operation')}: {loss:.1f} kW" for n, loss, _ in known]
    series = [Series("least loss found", steps, losses, CLOSE, "step", texts=texts, marker="round")]
    if np.isfinite(bounds).any():
        series.append(Series("proven lower bound", steps, bounds, TIE, "tick", width=3))
    ticks = (steps.tolist(), [str(int(n)) for n in steps])
    return Chart("switching operations", "loss [kW]", series, ticks=ticks, height=300)


def _known(problem: ReconfigurationProblem, points: Sequence[Result]) -> list[tuple[int, float, float | None]]:
    """Operations, loss [kW] and proven bound [kW] of the points that have a configuration."""
    return [
        (problem.operations(p.configuration), p.loss_kw, proven_bound_kw(p))
        for p in points
        if p.configuration is not None and p.loss_kw is not None
    ]
