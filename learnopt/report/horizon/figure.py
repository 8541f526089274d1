"""States of the switches and losses over time, for paper and for the screen."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from learnopt.network import Floats, Ints
from learnopt.network.names import branch_short
from learnopt.physics.batch import feasible_losses
from learnopt.report.drawing.axes import paper
from learnopt.report.drawing.colours import CLOSE, INK, LINE, OPEN, PALE
from learnopt.report.horizon.text import Times
from learnopt.report.kit.chart import Chart, Series, Strip
from learnopt.report.kit.numbers import moment
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
        axes.set_xticks(ticks, [moment(times[t]) for t in ticks], fontsize=7)
        axes.tick_params(colors=LINE)
    bottom.set_ylabel("switch (blue closed, orange open)", color=LINE, fontsize=8)
    return figure


def switch_charts(problem: HorizonProblem, plan: HorizonPlan, times: Times) -> list[Chart]:
    """The same for a page: losses, and below them the states."""
    moving = _moving(problem, plan)
    steps = np.arange(problem.n_steps + 1, dtype=float)
    ticks = (np.arange(problem.n_steps, dtype=float).tolist(), [moment(time) for time in times])
    dashes = {"solid": "", "dash": "6 3", "dot": "2 3"}
    losses = [
        Series(name, steps, np.append(loss, loss[-1]), colour, "step", dash=dashes[dash], width=2)
        for name, loss, colour, dash in _curves(problem, plan)
    ]
    states = np.stack([c.closed[moving] for c in plan.configurations], axis=1)
    strips = [Strip(branch_short(problem.network, e), row) for e, row in zip(moving, states, strict=True)]
    found = [Chart("", "loss [kW]", losses, ticks=ticks, height=280, zero=True)]
    return [*found, Chart("", "", strips=strips, colours=(OPEN, CLOSE), ticks=ticks)] if strips else found
