"""Pictures of plans: map with conductors by colour, voltage profiles of all scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from learnopt.network import Floats
from learnopt.network.conductors import ConductorPlan, ConductorProblem, Mode
from learnopt.network.names import branch_label, branch_short, bus_label, bus_short
from learnopt.report.drawing.colours import BUS_NAME, INK, LINE, TIE, VIOLATED
from learnopt.report.drawing.positions import Layout
from learnopt.report.kit.chart import Chart, Series
from learnopt.report.kit.sheet import Key, Label, Lines, Marks, Sheet, Spot
from learnopt.studies.conductors.engine import ConductorResult

_COLOURS = colormaps["viridis_r"]
_LINES = ("#5E6A75", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
"""Scenarios, in colours that colour-blind readers tell apart (Okabe & Ito 2008)."""


def _style(problem: ConductorProblem, t: int) -> tuple[str, float]:
    """Colour and width of a conductor: darker and wider is thicker."""
    share = t / max(len(problem.catalogue) - 1, 1)
    return (to_hex(_COLOURS(0.15 + 0.85 * share)), 1.5 + 5 * share) if t >= 0 else (TIE, 1.5)


def _groups(plan: ConductorPlan) -> Iterator[tuple[int, bool, list[int]]]:
    """Branches that are drawn alike: conductor, closed, branches."""
    for t in np.unique(plan.conductor).tolist():
        for state in (True, False):
            members = np.flatnonzero((plan.conductor == t) & (plan.configuration.closed == state)).tolist()
            if members:
                yield t, state, members


def _name(problem: ConductorProblem, t: int) -> str:
    return problem.catalogue[t].name if t >= 0 else "no conductor"


def plan_sheet(problem: ConductorProblem, plan: ConductorPlan, layout: Layout, title: str) -> Sheet:
    """Map of a plan for a page: conductors by colour and width, ids and lengths where one points."""
    net = problem.network
    layers: list[Lines | Marks] = []
    for t, state, members in _groups(plan):
        colour, width = _style(problem, t)
        routes = [layout.routes[e] for e in members]
        layers.append(Lines(routes, colour, width if state else 1.2, "" if state else "3 3"))
    at = np.column_stack([layout.x, layout.y])
    layers += [Marks(at, INK, 5.0), Marks(at[net.substations], INK, 12.0, square=True)]
    spots = [Spot(x, y, [f"bus {bus_label(net, k)}"]) for k, (x, y) in enumerate(at.tolist())]
    for e, (x, y) in enumerate(layout.middles.tolist()):
        kind = _name(problem, int(plan.conductor[e]))
        mode = "" if plan.configuration.closed[e] else ", open"
        spots.append(Spot(x, y, [f"branch {branch_label(net, e)}", f"{kind}, {problem.length_km[e]:.3f} km{mode}"]))
    labels = [Label(*_pair(at[k]), bus_short(net, k), INK, 0, "bold") for k in net.substations.tolist()]
    for e in np.flatnonzero(~plan.configuration.closed).tolist():
        labels.append(Label(*_pair(layout.middles[e]), branch_short(net, e), LINE, 1))
    labels += [Label(x, y, bus_short(net, k), BUS_NAME, 2) for k, (x, y) in enumerate(at.tolist())]
    return Sheet(title, "", layers, labels, spots, even=layout.on_map)


def _pair(place: Floats) -> tuple[float, float]:
    return float(place[0]), float(place[1])


def plan_keys(problem: ConductorProblem, plan: ConductorPlan) -> list[Key]:
    """Conductors in use, and open branches."""
    keys = []
    for t in np.unique(plan.conductor[plan.configuration.closed]).tolist():
        colour, width = _style(problem, t)
        keys.append(Key("line", colour, _name(problem, t), width))
    return [*keys, Key("dash", TIE, "open", 1.5)]


def _profiles(results: Mapping[Mode, ConductorResult]) -> Iterator[tuple[str, str, Floats]]:
    for colour, (mode, result) in zip(_LINES, results.items(), strict=False):
        if result.evaluation is not None:
            lowest = result.evaluation.min_voltage_pu
            yield colour, f"{mode.value.replace('_', '-')}: lowest {lowest:.4f} pu", result.evaluation.vm


def profiles_chart(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> Chart:
    """Voltage of every bus in every scenario, buses in the order of the file."""
    net = problem.network
    place = np.arange(net.n_bus, dtype=float)
    series = []
    for colour, name, vm in _profiles(results):
        texts = [f"bus {bus_label(net, k)}: {v:.4f} pu" for k, v in enumerate(vm)]
        series.append(Series(name, place, vm, colour, texts=texts, marker="round"))
    for name, limit in (("lower limit", problem.feeder.vm_min), ("upper limit", problem.feeder.vm_max)):
        known = np.where((limit > 0) & (limit < np.inf), limit, np.nan)
        if np.isfinite(known).any():
            series.append(Series(name, place, known, VIOLATED, "step", dash="6 3", width=1))
    ticks = (place.tolist(), [bus_short(net, k) for k in range(net.n_bus)])
    return Chart("bus, in the order of the file", "bus voltage [pu]", series, ticks=ticks, height=400)
