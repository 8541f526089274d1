"""The map of a plan: sites, demands and lines where they lie, widths by power, colours by line type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from learnopt.network.expansion import ExpansionProblem
from learnopt.report.drawing.axes import paper
from learnopt.report.drawing.one_line import INK, PALE, TIE
from learnopt.report.kit.numbers import escaped, number
from learnopt.studies.substations.plan import ExpansionPlan

_TYPES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Colours of line types, told apart by colour-blind readers (Okabe & Ito 2008)."""
_WIDEST = 7.0
_LABELLED = 60
"""Most demands whose ids are written into the picture."""


@dataclass(frozen=True)
class _Stroke:
    """A line on the map."""

    route: int
    colour: str
    width: float
    dashed: bool
    text: str


def _strokes(problem: ExpansionProblem, plan: ExpansionPlan | None) -> Iterator[_Stroke]:
    """Routes that are not built first, thin; built lines by type and largest power; reserves dashed."""
    built = {} if plan is None else {line.route: line for line in plan.lines}
    for e, route in enumerate(problem.routes):
        if e not in built:
            yield _Stroke(e, PALE, 1.0, False, f"route {route.id}: not built, {number(route.length_km)} km")
    largest = dict.fromkeys(built, 0.0)
    for flow in () if plan is None else plan.flows:
        largest[flow.route] = max(largest[flow.route], flow.mva)
    most = max(largest.values(), default=0.0) or 1.0
    for e, line in built.items():
        route, kind = problem.routes[e], problem.line_types[line.line_type]
        text = f"route {route.id}: {kind.name}, {number(route.length_km)} km, {number(largest[e])} MVA"
        if len(problem.stages) > 1:
            text += f", built in {problem.stages[line.stage].name}"
        width = 1.2 + (_WIDEST - 1.2) * largest[e] / most
        yield _Stroke(e, _TYPES[line.line_type % len(_TYPES)], width, largest[e] == 0.0, text)


def _sites(problem: ExpansionProblem, plan: ExpansionPlan | None) -> Iterator[tuple[int, bool, str]]:
    """Site, whether it is built, and what to say about it."""
    built = {} if plan is None else {s.site: s for s in plan.substations}
    last = len(problem.stages) - 1
    for i, site in enumerate(problem.sites):
        if i not in built or plan is None:
            yield i, False, f"site {site.id}: not built"
            continue
        delivered = plan.delivered_mva(problem, last)[i]
        yield i, True, f"site {site.id}: {problem.sizes[built[i].size].name}, delivers {number(float(delivered))} MVA"


def _demand_sizes(problem: ExpansionProblem) -> np.ndarray:
    """Area of a demand's mark grows with its demand in the last stage."""
    demand = problem.stages[-1].demand
    return 4.0 + 10.0 * np.sqrt(demand / max(float(demand.max(initial=0.0)), 1e-9))


def map_plot(problem: ExpansionProblem, plan: ExpansionPlan | None) -> go.Figure:
    """The map for the screen."""
    at, n_site = problem.coordinates, problem.n_site
    figure = go.Figure()
    for stroke in _strokes(problem, plan):
        a, b = problem.routes[stroke.route].ends
        middle = (at[a] + at[b]) / 2
        figure.add_scatter(
            x=[at[a, 0], middle[0], at[b, 0]],
            y=[at[a, 1], middle[1], at[b, 1]],
            mode="lines",
            line={"color": stroke.colour, "width": stroke.width, "dash": "dash" if stroke.dashed else "solid"},
            hovertext=escaped(stroke.text),
            hoverinfo="text",
        )
    demand = problem.stages[-1].demand
    few = len(problem.demand_ids) <= _LABELLED
    figure.add_scatter(
        x=at[n_site:, 0],
        y=at[n_site:, 1],
        mode="markers+text" if few else "markers",
        marker={"size": _demand_sizes(problem), "color": "white", "line": {"color": INK, "width": 1.2}},
        text=[escaped(i) for i in problem.demand_ids],
        textposition="top right",
        hovertext=[
            escaped(f"demand {i}: {number(float(d))} MVA") for i, d in zip(problem.demand_ids, demand, strict=True)
        ],
        hoverinfo="text",
    )
    for i, built, text in _sites(problem, plan):
        figure.add_scatter(
            x=[at[i, 0]],
            y=[at[i, 1]],
            mode="markers+text",
            marker={
                "size": 18,
                "symbol": "square",
                "color": INK if built else "white",
                "line": {"color": INK, "width": 2},
            },
            text=[f"<b>{escaped(problem.sites[i].id)}</b>"],
            textposition="bottom center",
            hovertext=escaped(text),
            hoverinfo="text",
        )
    axis = {"showgrid": False, "zeroline": False, "title": "km"}
    figure.update_layout(
        showlegend=False,
        height=620,
        margin={"l": 40, "r": 10, "t": 10, "b": 40},
        plot_bgcolor="white",
        xaxis=axis,
        yaxis={**axis, "scaleanchor": "x"},
        dragmode="pan",
    )
    return figure


def map_figure(problem: ExpansionProblem, plan: ExpansionPlan | None) -> Figure:
    """The map for paper."""
    at, n_site = problem.coordinates, problem.n_site
    figure = paper(9.0, 6.0)
    axes = figure.add_subplot()
    for stroke in _strokes(problem, plan):
        ends = at[list(problem.routes[stroke.route].ends)]
        style = "--" if stroke.dashed else "-"
        axes.plot(ends[:, 0], ends[:, 1], style, color=stroke.colour, linewidth=0.7 * stroke.width, zorder=1)
    axes.scatter(
        at[n_site:, 0], at[n_site:, 1], s=_demand_sizes(problem) ** 2 / 2, facecolor="white", edgecolor=INK, zorder=2
    )
    if len(problem.demand_ids) <= _LABELLED:
        for j, name in enumerate(problem.demand_ids):
            axes.annotate(str(name), at[n_site + j], xytext=(5, 5), textcoords="offset points", fontsize=8, color=INK)
    for i, built, _ in _sites(problem, plan):
        colour = INK if built else "white"
        axes.scatter(at[i, 0], at[i, 1], s=120, marker="s", facecolor=colour, edgecolor=INK if built else TIE, zorder=3)
        axes.annotate(
            str(problem.sites[i].id), at[i], xytext=(0, -16), textcoords="offset points", ha="center", weight="bold"
        )
    axes.set_aspect("equal")
    axes.set_xlabel("km")
    axes.set_ylabel("km")
    return figure
