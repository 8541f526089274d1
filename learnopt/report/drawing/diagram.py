"""One-line diagrams for paper: PNG, SVG and PDF by matplotlib, without its global state."""

from __future__ import annotations

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

from learnopt.network import Configuration, Evaluation, ReconfigurationProblem
from learnopt.network.names import branch_short, bus_short
from learnopt.report.drawing.colours import CLOSE, INK, LINE, OPEN, PALE, TIE, VIOLATED
from learnopt.report.drawing.one_line import UNKNOWN, VOLTAGE_COLOURS, OneLine, Scale, one_line
from learnopt.report.drawing.positions import Layout
from learnopt.report.kit.numbers import number

_WIDTH = (8.0, 16.0)
"""Smallest and largest width of a figure [inch]."""
_TALLEST, _TALLEST_MAP = 22.0, 10.0
_HEADER, _FOOTER = 0.75, 0.85
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
    footer, header = _FOOTER * zoom, _HEADER * zoom
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
    _draw_bars(axes, scene, point, text)
    _draw_buses(axes, scene, point, text)
    _draw_switches(axes, scene, point, text, column)
    margin = 0.3 / width
    figure.text(
        margin,
        1 - 0.16 * zoom / height,
        scene.title,
        fontsize=13 * zoom,
        weight="bold",
        color=INK,
        va="top",
        parse_math=False,
    )
    figure.text(
        margin, 1 - 0.44 * zoom / height, scene.summary, fontsize=9.5 * zoom, color=LINE, va="top", parse_math=False
    )
    _draw_key(figure, scene, width / zoom, height / zoom, zoom)
    return figure


def _frame(scene: OneLine) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of x and y with margins, ties and bars included."""
    points = np.concatenate([*scene.layout.routes, *scene.layout.bars.values()])
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    margin = max(0.9, 0.02 * (right - left))
    return (left - margin, right + margin), (low - 0.7, high + 0.7)


def _draw_branches(axes: Axes, scene: OneLine, point: float) -> None:
    routes, closed, tree = scene.layout.routes, scene.closed, scene.layout.child >= 0
    colour = np.where(scene.overloaded, VIOLATED, np.where(scene.marked(closing=True), CLOSE, LINE))
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
    chosen = np.flatnonzero(closed)
    chosen = chosen[np.argsort(scene.weight[chosen], kind="stable")]
    axes.add_collection(
        LineCollection(
            [routes[e] for e in chosen],
            colors=[OPEN if opened[e] else colour[e] for e in chosen],
            linewidths=np.maximum(point * (0.1 + 0.55 * scene.weight[chosen]), 0.35),
            capstyle="round",
            joinstyle="round",
            zorder=2,
        )
    )


def _draw_bars(axes: Axes, scene: OneLine, point: float, text: float) -> None:
    net = scene.problem.network
    for k, bar in scene.layout.bars.items():
        axes.plot(*bar.T, color=INK, linewidth=0.55 * point + 0.8, solid_capstyle="butt", zorder=3)
        if not net.is_substation[k]:
            continue
        x, y = bar[-1] if len(bar) > 2 else bar[0]
        label = f"substation {bus_short(net, k)}" if len(net.substations) <= 12 else bus_short(net, k)
        flat = bar[-2][1] == bar[-1][1]
        axes.annotate(
            label,
            (0.5 * (bar[-2][0] + bar[-1][0]), y) if flat else (x, 0.5 * (bar[0][1] + bar[1][1])),
            xytext=(0, 0.6 * point + 1) if flat else (-(0.6 * point + 1), 0),
            textcoords="offset points",
            ha="center" if flat else "right",
            va="bottom" if flat else "center",
            rotation=0 if flat else 90,
            fontsize=max(text, 7.0),
            color=INK,
            weight="bold",
            parse_math=False,
            zorder=7,
        )


def _draw_buses(axes: Axes, scene: OneLine, point: float, text: float) -> None:
    net, buses = scene.problem.network, scene.drawn_buses
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
    if not scene.small:
        return
    for k in buses:
        axes.annotate(
            bus_short(net, k),
            (scene.layout.x[k], scene.layout.y[k]),
            xytext=(0.32 * point, 0.42 * point),
            textcoords="offset points",
            fontsize=0.82 * text,
            color=LINE,
            parse_math=False,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
            zorder=6,
        )


def _draw_switches(axes: Axes, scene: OneLine, point: float, text: float, column: float) -> None:
    """Open switches as hollow squares, closed ones only where they changed, with ids where there is room."""
    middle, closed = scene.layout.middles, scene.closed
    crossed = np.flatnonzero(scene.out_of_service)
    axes.scatter(
        middle[crossed, 0],
        middle[crossed, 1],
        s=max(1.1 * point, 4.0) ** 2,
        marker="x",
        c=INK,
        linewidths=max(0.25 * point, 1.0),
        zorder=5,
    )
    unchanged = np.flatnonzero(~closed & ~scene.changed & ~scene.out_of_service)
    axes.scatter(
        middle[unchanged, 0],
        middle[unchanged, 1],
        s=(0.75 * point) ** 2,
        marker="s",
        c="white",
        edgecolors=TIE,
        linewidths=0.12 * point,
        zorder=5,
    )
    labels = [(int(e), TIE) for e in (*unchanged, *crossed)] if scene.small else []
    for closing, tone in ((True, CLOSE), (False, OPEN)):
        marked = np.flatnonzero(scene.marked(closing))
        axes.scatter(
            middle[marked, 0],
            middle[marked, 1],
            s=max(1.05 * point, 4.0) ** 2,
            marker="s",
            c=[tone if closed[e] else "white" for e in marked],
            edgecolors=tone,
            linewidths=max(0.2 * point, 0.9),
            zorder=6,
        )
        labels += [(int(e), tone) for e in marked]
    _draw_labels(axes, scene, labels, point, max(text, 4.5), column)


def _draw_labels(
    axes: Axes, scene: OneLine, labels: list[tuple[int, str]], point: float, text: float, column: float
) -> None:
    """Write branch ids beside their switches, each where it covers least of what is there already."""
    unit = 72 * column  # points per column
    layout, net = scene.layout, scene.problem.network
    taken = [
        np.column_stack([layout.x, layout.y])[scene.drawn_buses] * unit,
        layout.middles[[e for e, _ in labels]].reshape(-1, 2) * unit,
        *[route[::2] * unit for e, route in enumerate(layout.routes) if layout.child[e] < 0],
    ]
    occupied = np.concatenate(taken)
    boxes: list[tuple[float, float, float, float]] = []
    for e, tone in sorted(labels, key=lambda label: label[1] == TIE):  # changed ones choose first
        name = branch_short(net, e)
        w, h = 0.62 * text * len(name) + 3, 1.25 * text
        reach = 0.75 * max(point, 4) + 1
        x0, y0 = layout.middles[e] * unit
        best: tuple[float, float, float] | None = None
        for rank, (dx, dy) in enumerate(
            [(0, 1), (0, -1), (1, 0.6), (-1, 0.6), (1, -0.6), (-1, -0.6), (1, 0), (-1, 0), (0, 2), (0, -2)]
        ):
            x, y = x0 + dx * (reach + 0.5 * w), y0 + dy * (reach + 0.5 * h)
            inside = (np.abs(occupied - (x, y)) < (0.5 * w + 0.35 * point, 0.5 * h + 0.35 * point)).all(axis=1)
            clash = sum(abs(x - a) < 0.5 * (w + c) and abs(y - b) < 0.5 * (h + d) for a, b, c, d in boxes)
            cost = 3.0 * clash + float(np.count_nonzero(inside)) + 0.1 * rank
            if best is None or cost < best[0]:
                best = cost, x, y
        assert best is not None
        _, x, y = best
        boxes.append((x, y, w, h))
        axes.annotate(
            name,
            (x / unit, y / unit),
            fontsize=text,
            color=tone if tone != TIE else LINE,
            weight="bold" if tone != TIE else "normal",
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            parse_math=False,
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
    if scene.solved is not None:
        widest = number(scene.scale.loss_kw, 2)
        keys.append(Line2D([], [], color=LINE, linewidth=4, label=f"width: loss (full = {widest} kW)"))
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
