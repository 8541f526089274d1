"""States of the switches and losses over time, for paper and for the screen."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from learnopt.network import Floats, Ints
from learnopt.network.names import branch_label, branch_short
from learnopt.physics.batch import feasible_losses
from learnopt.report.drawing.axes import paper
from learnopt.report.drawing.one_line import CLOSE, INK, LINE, OPEN, PALE
from learnopt.report.horizon.text import Times
from learnopt.report.kit.numbers import escaped
from learnopt.studies.horizon import HorizonPlan, HorizonProblem


def _moving(problem: HorizonProblem, plan: HorizonPlan) -> Ints:
    """Branches that the plan operates, in file order."""
    states = np.stack([problem.initial.closed, *(c.closed for c in plan.configurations)])
    return np.flatnonzero((states != states[0]).any(axis=0) & problem.counted)


def _curves(problem: HorizonProblem, plan: HorizonPlan) -> list[tuple[str, Floats, str, str]]:
    """Losses over time: (name, kW, colour, dash)."""
    own = np.array([e.loss_kw for e in plan.evaluations])
    normal = feasible_losses(problem.together, [problem.initial])[0]
    curves = [("normal configuration", np.where(np.isfinite(normal), normal, np.nan), OPEN, "dash")]
    curves.append(("plan", own, CLOSE, "solid"))
    if np.isfinite(plan.step_bound_kw).any():
        curves.append(("least possible in each step alone", plan.step_bound_kw, LINE, "dot"))
    return curves


def switch_figure(problem: HorizonProblem, plan: HorizonPlan, times: Times) -> Figure:
    """States of the switches that are operated, and losses, over time, for paper."""
    moving = _moving(problem, plan)
    figure = paper(10.0, 3.4 + 0.22 * max(len(moving), 1))
    top, bottom = figure.subplots(2, 1, height_ratios=[2.4, 0.22 * max(len(moving), 1) + 0.5])
    steps = np.arange(problem.n_steps + 1)
    for name, loss, colour, dash in _curves(problem, plan):
        style = {"solid": "-", "dash": "--", "dot": ":"}[dash]
        top.step(steps, np.append(loss, loss[-1]), where="post", label=name, color=colour, linestyle=style)
    top.set_ylabel("loss [kW]", color=LINE)
    top.legend(frameon=False, labelcolor=INK, fontsize=8)
    top.grid(color=PALE)
    states = np.stack([c.closed[moving] for c in plan.configurations], axis=1)
    if len(moving):
        bottom.pcolormesh(
            steps, np.arange(len(moving) + 1), states[::-1], cmap=ListedColormap([OPEN, CLOSE]), vmin=0, vmax=1
        )
        names = [branch_short(problem.network, e) for e in moving[::-1]]
        bottom.set_yticks(np.arange(len(moving)) + 0.5, names, fontsize=7)
    else:
        bottom.text(0.5, 0.5, "no switch is operated", ha="center", transform=bottom.transAxes)
    ticks = np.unique(np.linspace(0, problem.n_steps - 1, min(problem.n_steps, 8)).astype(int))
    for axes in (top, bottom):
        axes.set_xlim(0, problem.n_steps)
        axes.set_xticks(ticks, [str(times[t])[:16].replace("T", " ") for t in ticks], fontsize=7)
        axes.tick_params(colors=LINE)
    bottom.set_ylabel("switch (blue closed, orange open)", color=LINE, fontsize=8)
    return figure


def switch_plot(problem: HorizonProblem, plan: HorizonPlan, times: Times) -> go.Figure:
    """The same for the screen."""
    moving = _moving(problem, plan)
    # A step lasts until the next one; the last one has an end of its own.
    end = times[-1] + np.timedelta64(round(3600 * problem.hours[-1]), "s")
    stamps = [str(time) for time in (*times, end)]
    figure = go.Figure(layout={"template": None})
    for name, loss, colour, dash in _curves(problem, plan):
        values = [float(v) if np.isfinite(v) else None for v in loss]
        line = {"color": colour, "dash": dash, "shape": "hv"}
        figure.add_scatter(x=stamps, y=[*values, values[-1]], name=name, mode="lines", line=line, yaxis="y")
    states = np.stack([c.closed[moving] for c in plan.configurations], axis=1)
    words = [
        [f"{time}: {'closed' if is_closed else 'open'}" for time, is_closed in zip(times, row, strict=True)]
        for row in states
    ]
    figure.add_heatmap(
        x=stamps,
        y=[escaped(f"branch {branch_label(problem.network, e)}") for e in moving],
        z=states.astype(int).tolist(),
        text=words,
        hovertemplate="%{y}, %{text}<extra></extra>",
        colorscale=[[0, OPEN], [1, CLOSE]],
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=1,
        ygap=1,
        yaxis="y2",
    )
    share = min(0.75, 0.25 + 0.02 * len(moving))
    figure.update_layout(
        height=380 + 18 * len(moving),
        margin={"l": 90, "r": 20, "t": 20, "b": 60},
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"color": INK, "size": 12},
        legend={"orientation": "h", "y": 1.08, "x": 0},
        xaxis={"gridcolor": PALE, "anchor": "y2"},
        yaxis={"domain": [share + 0.05, 1], "title": {"text": "loss [kW]"}, "gridcolor": PALE, "rangemode": "tozero"},
        yaxis2={"domain": [0, share], "type": "category", "autorange": "reversed"},
    )
    return figure
