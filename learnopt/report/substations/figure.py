"""The map of a plan: sites, demands and lines where they lie, widths by power, colours by line type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from learnopt.network.expansion import ExpansionProblem
from learnopt.report.drawing.axes import paper
from learnopt.report.drawing.colours import INK, LINE, PALE, TIE
from learnopt.report.kit.numbers import number
from learnopt.report.kit.sheet import Key, Label, Lines, Marks, Sheet, Spot
from learnopt.studies.substations.plan import ExpansionPlan

_TYPES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Colours of line types, told apart by colour-blind readers (Okabe & Ito 2008)."""
_WIDEST = 7.0
_LABELLED = 60
"""Most demands whose ids are written into the picture for a notebook."""


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


def map_sheet(problem: ExpansionProblem, plan: ExpansionPlan | None) -> Sheet:
    """The map for a page."""
    at, n_site = problem.coordinates, problem.n_site
    layers: list[Lines | Marks] = []
    spots = []
    for stroke in _strokes(problem, plan):
        ends = at[list(problem.routes[stroke.route].ends)]
        layers.append(Lines([ends], stroke.colour, stroke.width, "6 4" if stroke.dashed else ""))
        x, y = ends.mean(axis=0).tolist()
        spots.append(Spot(x, y, stroke.text.split(": ", 1)))
    sizes = _demand_sizes(problem)
    for size in np.unique(sizes):
        layers.append(Marks(at[n_site:][sizes == size], "#fff", float(size) + 4, INK, 1.5))
    labels = []
    for j, (name, mva) in enumerate(zip(problem.demand_ids, problem.stages[-1].demand, strict=True)):
        x, y = at[n_site + j].tolist()
        spots.append(Spot(x, y, [f"demand {name}", f"{number(float(mva))} MVA"]))
        labels.append(Label(x, y, str(name), LINE, 1))
    for i, built, text in _sites(problem, plan):
        x, y = at[i].tolist()
        layers.append(Marks(at[[i]], INK if built else "#fff", 18.0, INK, 3.0, square=True))
        spots.append(Spot(x, y, text.split(": ", 1)))
        labels.append(Label(x, y, str(problem.sites[i].id), INK, 0, "bold"))
    return Sheet("", "", layers, labels, spots, even=True)


def map_keys(problem: ExpansionProblem, plan: ExpansionPlan | None) -> list[Key]:
    """Line types in use, sites and demands."""
    used = sorted({line.line_type for line in plan.lines}) if plan is not None else []
    keys = [Key("line", _TYPES[t % len(_TYPES)], problem.line_types[t].name, 4) for t in used]
    keys += [Key("line", PALE, "route, not built", 2), Key("square", INK, "substation", 2, INK)]
    return [*keys, Key("square", INK, "site, not built", 2, "#fff"), Key("round", INK, "demand", 1.5)]


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
