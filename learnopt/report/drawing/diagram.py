"""One-line diagrams for paper: PNG, SVG and PDF by matplotlib, without its global state."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from learnopt.network import Bools, Configuration, Evaluation, ReconfigurationProblem
from learnopt.report.drawing.colours import CLOSE, INK, LINE, OPEN, PALE, TIE, VIOLATED
from learnopt.report.drawing.one_line import UNKNOWN, VOLTAGE_COLOURS, OneLine, Scale, one_line
from learnopt.report.drawing.positions import Layout
from learnopt.report.kit.labels import Box, place
from learnopt.report.kit.numbers import number

_WIDTH = (8.0, 16.0)
"""Smallest and largest width of a figure [inch]."""
_TALLEST, _TALLEST_MAP = 22.0, 10.0
_FOOTER = 1.05
_TITLE, _SUMMARY = 13.0, 9.5
"""Letters of the heading and of the figures below it [pt]."""
_NAMED_FEEDERS = 8
"""Feeders that the legend names."""
_COLUMN = 0.6
"""Preferred width of a layout column [inch]."""


def one_line_figure(
    problem: ReconfigurationProblem,
    configuration: Configuration,
    evaluation: Evaluation | None,
    reference: Configuration | None = None,
    *,
    layout: Layout | None = None,
    scale: Scale | None = None,
    title: str | None = None,
) -> Figure:
    """One-line diagram of a configuration.

    Buses are coloured by voltage, branches get wider with their loss, open switches are hollow squares. Branches that
    differ from ``reference`` are marked with their ids.

    Parameters
    ----------
    evaluation
        Power flow of the configuration, None to draw topology only.
    layout, scale
        Positions and ranges, shared by pictures that are to be compared.
    """
    scene = one_line(problem, configuration, evaluation, reference, layout=layout, scale=scale, title=title)
    return draw(scene)


def draw(scene: OneLine) -> Figure:
    """Draw a scene on a figure of its own size."""
    (left, right), (low, high) = _frame(scene)
    wide, tall = right - left, high - low
    tallest = _TALLEST_MAP if scene.layout.on_map else _TALLEST
    column = min(max(_COLUMN, _WIDTH[0] / wide), _WIDTH[1] / wide, tallest / tall)
    width = max(wide * column, _WIDTH[0])
    zoom = float(np.clip(width / 10.5, 1.0, 1.45))  # of texts: wide pictures are printed smaller
    titles, summaries = _wrapped(scene.title, width, _TITLE * zoom), _wrapped(scene.summary, width, _SUMMARY * zoom)
    header = (0.3 + 1.55 * (_TITLE * len(titles) + _SUMMARY * len(summaries)) / 72) * zoom
    footer = _FOOTER * zoom
    height = tall * column + header + footer
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, footer / height, 1.0, tall * column / height))
    spare = 0.5 * (width / column - wide)
    axes.set(xlim=(left - spare, right + spare), ylim=(low, high))
    axes.set_axis_off()
    point = float(np.clip(0.30 * column * 72, 1.2, 10.0))  # diameter of a bus [pt]
    text = float(np.clip(0.22 * column * 72, 3.6, 10.0))  # height of an id [pt]

    _draw_branches(axes, scene, point)
    _draw_bars(axes, scene, point)
    _draw_buses(axes, scene, point)
    _draw_switches(axes, scene, point)
    _draw_labels(axes, scene, point, max(text, 4.5), column)
    lines = [(line, _TITLE, "bold") for line in titles] + [(line, _SUMMARY, "normal") for line in summaries]
    top = height - 0.16 * zoom
    for line, size, weight in lines:
        tone = INK if weight == "bold" else LINE
        figure.text(
            0.3 / width, top / height, line, fontsize=size * zoom, weight=weight, color=tone, va="top", parse_math=False
        )
        top -= 1.55 * size * zoom / 72
    _draw_key(figure, scene, width / zoom, height / zoom, zoom)
    return figure


def _wrapped(text: str, width: float, size: float) -> list[str]:
    """Lines of a text in letters of a size [pt] that fit into a picture of a width [inch]."""
    return wrap(text, max(int((width - 0.6) * 72 / (0.66 * size)), 12)) or [""]


def _frame(scene: OneLine) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of x and y with margins, ties and bars included."""
    points = np.concatenate([*scene.layout.routes, *scene.layout.bars.values()])
    (left, low), (right, high) = np.nanmin(points, axis=0).tolist(), np.nanmax(points, axis=0).tolist()
    margin = max(0.9, 0.02 * (right - left))
    return (left - margin, right + margin), (low - 0.7, high + 0.7)


def _draw_branches(axes: Axes, scene: OneLine, point: float) -> None:
    routes, closed, tree = scene.layout.routes, scene.closed, scene.layout.child >= 0
    opened = scene.marked(closing=False)
    dash: Any = (0, (4, 2.5))
    groups = [  # (branches, colour, dashes, order)
        (~closed & ~tree & ~scene.changed, TIE, dash, 1),
        (~closed & tree & ~scene.changed, PALE, "-", 1),
        (~closed & scene.marked(closing=True), CLOSE, dash, 2),
        (~closed & opened, OPEN, dash, 2),
    ]
    for mask, tone, dashes, order in groups:
        chosen = np.flatnonzero(mask)
        thin = max(0.12 * point, 0.3) if order == 1 else max(0.2 * point, 0.9)
        axes.add_collection(
            LineCollection([routes[e] for e in chosen], colors=tone, linewidths=thin, linestyles=dashes, zorder=order)
        )
    widths = np.maximum(point * (0.1 + 0.55 * scene.weight), 0.35)
    for mask, tone in ((scene.marked(closing=True), CLOSE), (opened, OPEN)):  # a border marks what is switched
        chosen = np.flatnonzero(closed & mask)
        border = (widths[chosen] + max(0.45 * point, 1.2)).tolist()
        axes.add_collection(
            LineCollection([routes[e] for e in chosen], colors=tone, linewidths=border, alpha=0.45, zorder=2)
        )
    chosen = np.flatnonzero(closed)
    chosen = chosen[np.argsort(scene.weight[chosen], kind="stable")]
    axes.add_collection(
        LineCollection(
            [routes[e] for e in chosen],
            colors=[scene.tones[e] for e in chosen],
            linewidths=widths[chosen].tolist(),
            capstyle="round",
            joinstyle="round",
            zorder=2,
        )
    )


def _draw_bars(axes: Axes, scene: OneLine, point: float) -> None:
    for bar in scene.layout.bars.values():
        axes.plot(*bar.T, color=INK, linewidth=0.55 * point + 0.8, solid_capstyle="butt", zorder=3)


def _draw_buses(axes: Axes, scene: OneLine, point: float) -> None:
    buses = scene.drawn_buses
    x, y = scene.layout.x[buses], scene.layout.y[buses]
    norm = Normalize(scene.scale.vm_low, scene.scale.vm_high)
    fill: Any = UNKNOWN if scene.solved is None else colormaps[VOLTAGE_COLOURS](norm(scene.solved.vm[buses]))
    outside = scene.out_of_voltage[buses]
    axes.scatter(
        x,
        y,
        s=point**2,
        c=fill,
        edgecolors=[VIOLATED if o else INK for o in outside],
        linewidths=[(0.18 if o else 0.07) * point for o in outside],
        zorder=4,
    )
    low = scene.lowest
    if low is not None and low not in scene.layout.bars:
        axes.scatter(
            scene.layout.x[low],
            scene.layout.y[low],
            s=(1.9 * point) ** 2 + 12,
            facecolors="none",
            edgecolors=INK,
            linewidths=0.9,
            zorder=5,
        )


def _draw_switches(axes: Axes, scene: OneLine, point: float) -> None:
    """Open switches as hollow squares, closed ones only where they changed; the stubs of a tie have one each."""
    closed = scene.closed

    def squares(mask: Bools, tone: str, fill: str, size: float, edge: float, order: int) -> None:
        places = [scene.layout.switch_places(int(e)) for e in np.flatnonzero(mask)]
        if places:
            x, y = np.concatenate(places).T
            axes.scatter(x, y, s=size**2, marker="s", c=fill, edgecolors=tone, linewidths=edge, zorder=order)

    for e in np.flatnonzero(scene.out_of_service):
        x, y = scene.layout.switch_places(int(e)).T
        axes.scatter(x, y, s=max(1.1 * point, 4.0) ** 2, marker="x", c=INK, linewidths=max(0.25 * point, 1.0), zorder=5)
    squares(~closed & ~scene.changed & ~scene.out_of_service, TIE, "white", 0.75 * point, 0.12 * point, 5)
    size, edge = max(1.05 * point, 4.0), max(0.2 * point, 0.9)
    for closing, tone in ((True, CLOSE), (False, OPEN)):
        marked = scene.marked(closing)
        squares(marked & closed, tone, tone, size, edge, 6)
        squares(marked & ~closed, tone, "white", size, edge, 6)


def _draw_labels(axes: Axes, scene: OneLine, point: float, text: float, column: float) -> None:
    """Write ids beside their buses and switches, where they meet neither each other nor the rim of the picture."""
    unit = 72 * column  # points per column
    layout = scene.layout
    names = [(x, y, name, tone, bold) for x, y, name, tone, _, bold in sorted(scene.labels, key=lambda one: one[4])]
    switches = [layout.switch_places(int(e)) for e in np.flatnonzero(~scene.closed | scene.changed)]
    dots = np.concatenate([np.column_stack([layout.x, layout.y])[scene.drawn_buses], *switches]) * unit
    wanted = [Box(x * unit, -y * unit, 0.66 * text * len(name) + 3, 1.25 * text) for x, y, name, _, _ in names]
    (left, right), (low, high) = _frame(scene)
    inside = (left * unit, -high * unit, right * unit, -low * unit)
    dots = dots * (1, -1)  # as on a page, y counts downwards
    found = place(wanted, dots, 0.75 * max(point, 4) + 1, inside)
    for (_, _, name, tone, bold), box in zip(names, found, strict=True):
        if box is not None:
            axes.annotate(
                name,
                (box.x / unit, -box.y / unit),
                fontsize=text,
                color=tone,
                weight="bold" if bold else "normal",
                ha="center",
                va="center",
                parse_math=False,
                path_effects=[withStroke(linewidth=1.8, foreground="white")],
                zorder=7,
            )


def _draw_key(figure: Figure, scene: OneLine, width: float, height: float, zoom: float) -> None:
    """Colour bar and legend along the lower edge; the figure's size is given in zoomed inches."""
    left = 0.3
    if scene.solved is not None:
        bar = figure.add_axes((left / width, 0.42 / height, 1.7 / width, 0.11 / height))
        ramp = np.linspace(0, 1, 256)[None, :]
        scale = scene.scale
        bar.imshow(ramp, aspect="auto", cmap=VOLTAGE_COLOURS, extent=(scale.vm_low, scale.vm_high, 0, 1))
        bar.set_yticks([])
        bar.set_xticks(np.linspace(scale.vm_low, scale.vm_high, 3))
        bar.xaxis.set_major_formatter("{x:.3f}")
        bar.tick_params(labelsize=7.5 * zoom, length=2, colors=LINE)
        for spine in bar.spines.values():
            spine.set_linewidth(0.4)
        figure.text(left / width, 0.58 / height, "bus voltage [pu]", fontsize=8 * zoom, color=LINE)
        left += 2.1
    figure.legend(
        handles=_legend(scene),
        loc="center left",
        bbox_to_anchor=(left / width, 0.42 / height),
        ncols=max(2, int((width - left) / 2.35)),
        fontsize=8 * zoom,
        frameon=False,
        labelcolor=LINE,
        handlelength=1.8,
        columnspacing=1.4,
        borderaxespad=0,
        labelspacing=0.45,
    )


def _legend(scene: OneLine) -> list[Line2D | Patch]:
    done = scene.carried_out

    def switch(tone: str, filled: bool, label: str, weight: float = 1.2) -> Line2D:
        return Line2D(
            [],
            [],
            color=tone,
            linewidth=1.2,
            linestyle="-" if filled else (0, (4, 2.5)),
            marker="s",
            markersize=5.5,
            markerfacecolor=tone if filled else "white",
            markeredgewidth=weight,
            label=label,
        )

    keys: list[Line2D | Patch] = []
    named = scene.feeder_names
    if len(named) <= _NAMED_FEEDERS:
        keys += [Line2D([], [], color=tone, linewidth=3, label=f"feeder {name}") for tone, name in named]
    elif named:
        tone, _ = named[0]
        keys.append(Line2D([], [], color=tone, linewidth=3, label=f"{len(named)} feeders by colour"))
    if scene.solved is not None:
        for share in (0.0, 0.4, 1.0):  # the width goes with the root of the loss
            loss = number(scene.scale.loss_kw * share**2, 2)
            keys.append(Line2D([], [], color=LINE, linewidth=0.6 + 3.4 * share, label=f"{loss} kW lost"))
        keys.append(
            Line2D(
                [],
                [],
                linestyle="",
                marker="o",
                markersize=8,
                markerfacecolor="none",
                markeredgecolor=INK,
                label="lowest voltage",
            )
        )
    keys.append(switch(TIE, False, "open switch"))
    if scene.marked(closing=True).any():
        keys.append(switch(CLOSE, done, "closed by switching" if done else "to be closed"))
    if scene.marked(closing=False).any():
        keys.append(switch(OPEN, not done, "opened by switching" if done else "to be opened"))
    if scene.out_of_service.any():
        keys.append(Line2D([], [], linestyle="", marker="x", color=INK, markersize=6, label="out of service"))
    if scene.out_of_voltage.any() or scene.overloaded.any():
        keys.append(
            Line2D(
                [],
                [],
                color=VIOLATED,
                linewidth=2,
                marker="o",
                markersize=6,
                markerfacecolor="white",
                markeredgecolor=VIOLATED,
                label="limit exceeded",
            )
        )
    return keys
