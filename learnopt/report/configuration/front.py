"""The front of loss against switching operations as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from learnopt.network import ReconfigurationProblem, Result
from learnopt.report.configuration.text import proven_bound_kw
from learnopt.report.drawing.axes import paper, quiet
from learnopt.report.drawing.one_line import CLOSE, LINE, TIE


def front_figure(problem: ReconfigurationProblem, points: Sequence[Result]) -> Figure:
    """Least loss for every number of operations, with what is proven to be a lower bound of it."""
    known = [
        (problem.operations(p.configuration), p.loss_kw, proven_bound_kw(p))
        for p in points
        if p.configuration is not None and p.loss_kw is not None
    ]
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
