"""Pictures of plans: map with conductors by colour, voltage profiles of all scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import plotly.graph_objects as go
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from learnopt.network import Floats
from learnopt.network.conductors import ConductorPlan, ConductorProblem, Mode
from learnopt.network.names import branch_label, bus_label
from learnopt.report.drawing.axes import paper
from learnopt.report.drawing.one_line import INK, PALE, TIE, VIOLATED
from learnopt.report.drawing.positions import Layout
from learnopt.report.kit.numbers import escaped
from learnopt.studies.conductors.engine import ConductorResult

_COLOURS = colormaps["viridis_r"]
_LINES = ("#8A97A3", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
"""Scenarios, in colours that colour-blind readers tell apart (Okabe & Ito 2008)."""


def _style(problem: ConductorProblem, t: int) -> tuple[str, float]:
    """Colour and width of a conductor: darker and wider is thicker."""
    share = t / max(len(problem.catalogue) - 1, 1)
    return (to_hex(_COLOURS(0.15 + 0.85 * share)), 1.5 + 5 * share) if t >= 0 else (TIE, 1.5)


def _groups(problem: ConductorProblem, plan: ConductorPlan) -> Iterator[tuple[int, bool, list[int]]]:
    """Branches that are drawn alike: conductor, closed, branches."""
    for t in np.unique(plan.conductor).tolist():
        for state in (True, False):
            members = np.flatnonzero((plan.conductor == t) & (plan.configuration.closed == state)).tolist()
            if members:
                yield t, state, members


def _name(problem: ConductorProblem, t: int) -> str:
    return problem.catalogue[t].name if t >= 0 else "no conductor"


def plan_plot(problem: ConductorProblem, plan: ConductorPlan, layout: Layout) -> go.Figure:
    """Map of a plan for the screen: one trace per conductor and state, ids and lengths under the mouse."""
    net, figure = problem.network, go.Figure(layout={"template": None})
    for t, state, members in _groups(problem, plan):
        colour, width = _style(problem, t)
        points: list[list[float | None]] = [[], []]
        for e in members:
            for axis in (0, 1):
                points[axis] += [*np.round(layout.routes[e][:, axis], 3).tolist(), None]
        line = {"color": colour, "width": width if state else 1.2, "dash": "solid" if state else "dot"}
        name = escaped(_name(problem, t) + ("" if state else " (open)"))
        figure.add_scatter(x=points[0], y=points[1], mode="lines", line=line, name=name, hoverinfo="skip")
        middles = np.round(layout.middles[members], 3)
        text = [
            f"branch {escaped(branch_label(net, e))}: {escaped(_name(problem, t))}, {problem.length_km[e]:.3f} km"
            f"{'' if state else ', open'}"
            for e in members
        ]
        figure.add_scatter(
            x=middles[:, 0].tolist(),
            y=middles[:, 1].tolist(),
            mode="markers",
            marker={"size": 11, "color": "rgba(0,0,0,0)"},
            hovertext=text,
            hoverinfo="text",
            showlegend=False,
        )
    roots = net.substations
    places = (
        (np.arange(net.n_bus), {"size": 5, "color": INK}),
        (roots, {"size": 12, "color": INK, "symbol": "square"}),
    )
    for buses, marker in places:
        figure.add_scatter(
            x=layout.x[buses].tolist(),
            y=layout.y[buses].tolist(),
            mode="markers",
            marker=marker,
            hovertext=[f"bus {escaped(bus_label(net, k))}" for k in buses],
            hoverinfo="text",
            showlegend=False,
        )
    bare = {"visible": False, "fixedrange": False}
    figure.update_layout(height=560, margin={"l": 10, "r": 10, "t": 10, "b": 10}, xaxis=bare, yaxis=bare,
                         paper_bgcolor="white", plot_bgcolor="white", font={"color": INK, "size": 12})  # fmt: skip
    return figure


def plan_figure(problem: ConductorProblem, plan: ConductorPlan, layout: Layout) -> Figure:
    """Map of a plan for paper."""
    figure = paper(11.0, 6.0)
    axes = figure.add_subplot()
    axes.set_axis_off()
    for t, state, members in _groups(problem, plan):
        colour, width = _style(problem, t)
        for i, e in enumerate(members):
            label = _name(problem, t) if i == 0 and state else None
            style = "solid" if state else (0, (2, 2))
            axes.plot(
                *layout.routes[e].T, color=colour, linewidth=0.7 * width if state else 0.9, linestyle=style, label=label
            )
    axes.scatter(layout.x, layout.y, s=6, color=INK, zorder=3)
    roots = problem.network.substations
    axes.scatter(layout.x[roots], layout.y[roots], s=60, marker="s", color=INK, zorder=4)
    figure.legend(loc="outside right center", fontsize=8, frameon=False)
    return figure


def _profiles(results: Mapping[Mode, ConductorResult]) -> Iterator[tuple[str, str, Floats]]:
    for colour, (mode, result) in zip(_LINES, results.items(), strict=False):
        if result.evaluation is not None:
            lowest = result.evaluation.min_voltage_pu
            yield colour, f"{mode.value.replace('_', '-')}: lowest {lowest:.4f} pu", result.evaluation.vm


def profiles_plot(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> go.Figure:
    """Voltage of every bus in every scenario, buses in the order of the file."""
    net, figure = problem.network, go.Figure(layout={"template": None})
    ids = [escaped(bus_label(net, k)) for k in range(net.n_bus)]
    for colour, name, vm in _profiles(results):
        figure.add_scatter(x=list(range(net.n_bus)), y=np.round(vm, 5).tolist(), mode="lines+markers", name=name,
                           line={"color": colour, "width": 1.6}, marker={"size": 4}, hovertext=ids)  # fmt: skip
    for limit in (problem.feeder.vm_min, problem.feeder.vm_max):
        drawn = [float(v) if 0 < v < np.inf else None for v in limit]
        if any(drawn):
            figure.add_scatter(x=list(range(net.n_bus)), y=drawn, mode="lines", showlegend=False, hoverinfo="skip",
                               line={"color": VIOLATED, "dash": "dash", "width": 1, "shape": "hvh"})  # fmt: skip
    step = max(net.n_bus // 40, 1)
    ticks = {"tickvals": list(range(0, net.n_bus, step)), "ticktext": ids[::step], "title": {"text": "bus"}}
    scale = {"title": {"text": "bus voltage [pu]"}, "tickformat": ".3f"}
    figure.update_layout(height=440, margin={"l": 70, "r": 20, "t": 20, "b": 60}, paper_bgcolor="white",
                         plot_bgcolor="white", xaxis={**ticks, "gridcolor": PALE},
                         yaxis={**scale, "gridcolor": PALE})  # fmt: skip
    return figure


def profiles_figure(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> Figure:
    """The same for paper."""
    figure = paper(10.0, 4.2)
    axes = figure.add_subplot()
    for colour, name, vm in _profiles(results):
        axes.plot(vm, color=colour, linewidth=1.2, marker="o", markersize=2, label=name)
    for limit in (problem.feeder.vm_min, problem.feeder.vm_max):
        drawn = np.where((limit > 0) & (limit < np.inf), limit, np.nan)
        axes.step(range(len(drawn)), drawn, where="mid", color=VIOLATED, linewidth=1, linestyle=(0, (6, 3)))
    axes.set(xlabel="bus, in the order of the file", ylabel="bus voltage [pu]")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure
