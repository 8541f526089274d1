"""Voltage along each feeder against electrical distance, before and after.

Distance is the series resistance of the path to the substation [ohm]: case files carry no lengths, and resistance is
what makes losses. Where every resistance is zero it is the number of branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from learnopt.network import Configuration, Evaluation, Floats, Ints, ReconfigurationProblem
from learnopt.network.names import bus_label
from learnopt.physics.rooted_tree import rooted
from learnopt.report.drawing.axes import paper, quiet
from learnopt.report.drawing.colours import CLOSE, INK, LINE, OPEN, PHASES, VIOLATED
from learnopt.report.kit.chart import Chart, Series

BEFORE, AFTER = OPEN, CLOSE


@dataclass(frozen=True, eq=False)
class VoltageProfile:
    """Voltages of one configuration along its feeders.

    Parameters
    ----------
    distance
        Resistance of the path to the substation [ohm], or branches where there is none, shape (n_bus,).
    vm
        Voltage magnitude [pu], shape (n_bus,).
    paths
        Buses of every feeder and lateral from its first bus on; a lateral starts at the bus that it leaves.
    """

    distance: Floats
    vm: Floats
    paths: list[Ints]


def voltage_profile(
    problem: ReconfigurationProblem, configuration: Configuration, evaluation: Evaluation | None
) -> VoltageProfile | None:
    """Voltage profile of a configuration; None where it is not radial or its power flow has no solution."""
    net = problem.network
    tree = rooted(net, configuration.closed)
    if tree is None or evaluation is None or not evaluation.converged:
        return None
    order, parent, feed = (array.tolist() for array in tree)
    step = net.r * net.base.z_base if np.any(net.r > 0) else np.ones(net.n_branch)
    distance = np.zeros(net.n_bus)
    for k in order:
        if parent[k] >= 0:
            distance[k] = distance[parent[k]] + step[feed[k]]
    longest: dict[int, int] = {}  # the child that a path goes on with: towards the farthest bus
    reach = distance.copy()
    for k in reversed(order):
        p = parent[k]
        if p >= 0 and (p not in longest or reach[k] > reach[longest[p]]):
            longest[p], reach[p] = k, reach[k]
    paths = []
    for k in order:
        if parent[k] >= 0 and (longest[parent[k]] != k or net.is_substation[parent[k]]):
            path = [parent[k], k]
            while path[-1] in longest:
                path.append(longest[path[-1]])
            paths.append(np.array(path, dtype=np.int64))
    return VoltageProfile(distance, evaluation.vm, paths)


def phase_profiles(
    problem: ReconfigurationProblem, configuration: Configuration, evaluation: Evaluation | None, voltage: Floats
) -> list[VoltageProfile]:
    """Voltage profile of each phase a b c, NaN where a bus has not the phase; empty as :func:`voltage_profile`.

    Parameters
    ----------
    voltage
        Of each phase of each bus [pu], shape (n_bus, 3).
    """
    profile = voltage_profile(problem, configuration, evaluation)
    return [] if profile is None else [replace(profile, vm=values) for values in voltage.T]


def distance_label(problem: ReconfigurationProblem) -> str:
    """What the horizontal axis shows."""
    if np.any(problem.network.r > 0):
        return "electrical distance: resistance of the path from the substation [ohm]"
    return "branches from the substation"


@dataclass(frozen=True, eq=False)
class _LimitLine:
    """A limit near the voltages: one line across the picture, or what each bus of a profile may have.

    Parameters
    ----------
    common
        The one value of all buses [pu], None where they differ.
    each
        The limit of each bus [pu], shape (n_bus,), NaN where there is none.
    """

    name: str
    common: float | None
    each: Floats

    @property
    def label(self) -> str:
        """What is written at the line."""
        return f"{self.name}, bus by bus" if self.common is None else f"{self.name} {self.common:g} pu"


def _limit_lines(problem: ReconfigurationProblem, *profiles: VoltageProfile | None) -> tuple[list[_LimitLine], str]:
    """Limits near the voltages, to be drawn, and a remark about the others: they would flatten the picture."""
    vm = np.concatenate([profile.vm for profile in profiles if profile is not None])
    low, high = float(np.nanmin(vm)), float(np.nanmax(vm))
    reach = 0.6 * max(high - low, 0.005)
    near: list[_LimitLine] = []
    far: list[str] = []
    limits = zip(("lower limit", "upper limit"), (problem.vm_min, problem.vm_max), problem.voltage_ranges, strict=True)
    fed = ~problem.network.is_substation
    for name, limit, ends in limits:
        if ends is None:
            continue
        each = np.where((limit > 0) & (limit < np.inf), limit, np.nan)
        alike = ends[0] == ends[1] and not np.isnan(each[fed]).any()
        inside = (each >= low - reach) & (each <= high + reach)
        line = _LimitLine(name, ends[0] if alike else None, np.where(inside, each, np.nan))
        if inside.any():
            near.append(line)
        else:
            text = f"{ends[0]:g} pu" if ends[0] == ends[1] else f"{ends[0]:g} to {ends[1]:g} pu"
            far.append(f"{name} {text}")
    return near, "outside the picture: " + ", ".join(far) if far else ""


def profile_figure(
    problem: ReconfigurationProblem, before: VoltageProfile | None, after: VoltageProfile | None
) -> Figure:
    """Voltage profiles for paper; at least one must be known."""
    figure = paper(10.0, 4.2)
    axes = figure.add_subplot()
    keys = []
    fine = problem.network.n_bus > 300
    for profile, colour, label, order in ((before, BEFORE, "before", 2), (after, AFTER, "after", 3)):
        if profile is None:
            continue
        lines = [np.column_stack([profile.distance[path], profile.vm[path]]) for path in profile.paths]
        axes.add_collection(
            LineCollection(lines, colors=colour, linewidths=0.6 if fine else 1.3, alpha=0.85, zorder=order)
        )
        marker = "s" if label == "before" else "o"  # told apart in grey as well
        axes.scatter(
            profile.distance, profile.vm, s=3 if fine else 14, marker=marker, color=colour, linewidths=0, zorder=order
        )
        name = label if before is not None and after is not None else "now"
        key = f"{name}: lowest {profile.vm.min():.4f} pu"
        keys.append(Line2D([], [], color=colour, marker=marker, markersize=5, label=key))
    near, far = _limit_lines(problem, before, after)
    distance = next(profile.distance for profile in (after, before) if profile is not None)
    for line in near:
        if line.common is None:
            axes.scatter(
                distance, line.each, s=12, marker="_", color=VIOLATED, linewidths=1, zorder=1, label=line.label
            )
            keys.append(Line2D([], [], color=VIOLATED, marker="_", linestyle="", label=line.label))
            continue
        axes.axhline(line.common, color=VIOLATED, linewidth=1, linestyle=(0, (6, 3)), zorder=1)
        axes.annotate(
            line.label,
            (0.995, line.common),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=8,
            color=VIOLATED,
        )
    axes.set_title(far, fontsize=8, loc="right", color=VIOLATED)
    axes.set_xlabel(distance_label(problem), color=LINE)
    axes.set_ylabel("bus voltage [pu]", color=LINE)
    axes.margins(x=0.02, y=0.06)
    axes.ticklabel_format(axis="y", useOffset=False)
    quiet(axes)
    if keys:
        axes.legend(handles=keys, frameon=False, labelcolor=INK, loc="best")
    return figure


def phase_figure(problem: ReconfigurationProblem, profiles: Sequence[VoltageProfile]) -> Figure:
    """Voltage profiles of three phases for paper."""
    figure = paper(10.0, 4.2)
    axes = figure.add_subplot()
    fine = problem.network.n_bus > 300
    keys = []
    for phase, colour, marker, profile in zip("abc", PHASES, "os^", profiles, strict=True):
        lines = [np.column_stack([profile.distance[path], profile.vm[path]]) for path in profile.paths]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.6 if fine else 1.1, alpha=0.85))
        axes.scatter(profile.distance, profile.vm, s=3 if fine else 12, marker=marker, color=colour, linewidths=0)
        label = _phase_label(phase, profile)
        keys.append(Line2D([], [], color=colour, marker=marker, markersize=5, label=label))
    near, far = _limit_lines(problem, *profiles)
    for line in near:
        axes.scatter(profiles[0].distance, line.each, s=12, marker="_", color=VIOLATED, linewidths=1, zorder=1)
        keys.append(Line2D([], [], color=VIOLATED, marker="_", linestyle="", label=line.label))
    axes.set_title(far, fontsize=8, loc="right", color=VIOLATED)
    axes.set_xlabel(distance_label(problem), color=LINE)
    axes.set_ylabel("voltage of a phase [pu]", color=LINE)
    axes.margins(x=0.02, y=0.06)
    axes.ticklabel_format(axis="y", useOffset=False)
    quiet(axes)
    axes.legend(handles=keys, frameon=False, labelcolor=INK, loc="best")
    return figure


def phase_chart(problem: ReconfigurationProblem, profiles: Sequence[VoltageProfile]) -> Chart:
    """Voltage profiles of three phases for a page."""
    names = [f"bus {bus_label(problem.network, k)}" for k in range(problem.network.n_bus)]
    series = []
    for phase, colour, profile in zip("abc", PHASES, profiles, strict=True):
        order = np.concatenate([np.append(path, -1) for path in profile.paths]).astype(np.int64)
        x, y = (np.where(order < 0, np.nan, values[order]) for values in (profile.distance, profile.vm))
        texts = ["" if k < 0 else f"{names[k]}, phase {phase}: {profile.vm[k]:.4f} pu" for k in order.tolist()]
        label = _phase_label(phase, profile)
        series.append(Series(label, np.nan_to_num(x), y, colour, texts=texts, marker="round"))
    near, far = _limit_lines(problem, *profiles)
    series += [Series(line.label, profiles[0].distance, line.each, VIOLATED, "tick") for line in near]
    notes = [far] if far else []
    return Chart(distance_label(problem), "voltage of a phase [pu]", series, notes=notes, height=400)


def _phase_label(phase: str, profile: VoltageProfile) -> str:
    if np.isnan(profile.vm).all():
        return f"phase {phase}: nowhere"
    return f"phase {phase}: lowest {np.nanmin(profile.vm):.4f} pu"


def profile_chart(
    problem: ReconfigurationProblem, before: VoltageProfile | None, after: VoltageProfile | None
) -> Chart:
    """Voltage profiles for a page; at least one must be known."""
    series = []
    names = [f"bus {bus_label(problem.network, k)}" for k in range(problem.network.n_bus)]
    two = before is not None and after is not None
    for profile, colour, word in ((before, BEFORE, "before"), (after, AFTER, "after")):
        if profile is None:
            continue
        order = np.concatenate([np.append(path, -1) for path in profile.paths]).astype(np.int64)
        x, y = (np.where(order < 0, np.nan, values[order]) for values in (profile.distance, profile.vm))
        when = f", {word}" if two else ""
        texts = ["" if k < 0 else f"{names[k]}{when}: {profile.vm[k]:.4f} pu" for k in order.tolist()]
        label = f"{word if two else 'now'}: lowest {profile.vm.min():.4f} pu"
        marker = "square" if word == "before" else "round"
        series.append(Series(label, np.nan_to_num(x), y, colour, texts=texts, marker=marker))
    near, far = _limit_lines(problem, before, after)
    distance = next(profile.distance for profile in (after, before) if profile is not None)
    series += [Series(line.label, distance, line.each, VIOLATED, "tick") for line in near if line.common is None]
    levels = [(line.common, line.label, VIOLATED) for line in near if line.common is not None]
    notes = [far] if far else []
    return Chart(distance_label(problem), "bus voltage [pu]", series, levels=levels, notes=notes, height=400)
