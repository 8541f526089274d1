"""One-line diagrams for the screen: zoom, hover with ids, voltages, currents and losses, by plotly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from learnopt.network import Bools, Floats, Ints
from learnopt.network.names import branch_short, bus_short
from learnopt.report.drawing.one_line import (
    CLOSE,
    INK,
    LINE,
    OPEN,
    PALE,
    TIE,
    UNKNOWN,
    VIOLATED,
    VOLTAGE_COLOURS,
    OneLine,
)
from learnopt.report.kit.numbers import escaped

_WIDTH = 1160.0
"""Width that heights are computed for [px]; the page scales it."""
_TALLEST = 900.0
"""Greatest height of a picture [px]."""
_CROWDED = 9.0
"""Size of a bus below which a map has no room for ids [px]."""
_WEIGHTS = 6
"""Line widths in use: plotly draws one trace per width."""
_MOST_LABELS = 120
"""Changed switches whose ids are written into the picture; of more, the mouse tells."""


def one_line_plot(scenes: Sequence[OneLine]) -> go.Figure:
    """Pictures below each other that zoom together.

    Parameters
    ----------
    scenes
        States of one network with a common layout.
    """
    layout = scenes[0].layout
    points = np.concatenate([*layout.routes, *layout.bars.values()])
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    wide, tall = right - left + 2.0, high - low + 1.6
    picture = float(np.clip(_WIDTH / wide * tall, 200.0, _TALLEST))
    head = 56.0
    if layout.on_map:  # as long in both directions
        spare = max(0.5 * (_WIDTH / picture * tall - wide), 0.0)
        left, right = left - spare, right + spare
    height = len(scenes) * (picture + head) + 40.0
    figure = go.Figure(layout={"template": None})
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 70, "t": 0, "b": 40},
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"color": INK, "size": 12},
        hovermode="closest",
        dragmode="pan",
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "y": 0, "x": 0, "yanchor": "top", "itemclick": False, "itemdoubleclick": False},
    )
    seen: set[str] = set()
    first_solved = next((row for row, scene in enumerate(scenes) if scene.solved is not None), 0)
    for row, scene in enumerate(scenes):
        suffix = "" if row == 0 else str(row + 1)
        top = 1 - (row * (picture + head) + head) / (height - 40)
        axis: dict[str, Any] = {"visible": False, "fixedrange": False}
        match_x, match_y = ({}, {}) if row == 0 else ({"matches": "x"}, {"matches": "y"})
        figure.layout[f"xaxis{suffix}"] = {**axis, **match_x, "range": [left - 1, right + 1], "anchor": f"y{suffix}"}
        figure.layout[f"yaxis{suffix}"] = {
            **axis,
            **match_y,
            "range": [low - 0.8, high + 0.8],
            "anchor": f"x{suffix}",
            "domain": [max(0.0, top - picture / (height - 40)), top],
        }
        figure.add_annotation(
            text=f"<b>{escaped(scene.title)}</b>  <span style='color:{LINE}'>{escaped(scene.summary)}</span>",
            x=0,
            y=top,
            yshift=head - 10,
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="top",
            showarrow=False,
            font={"size": 14},
        )
        drawing = _Picture(scene)
        drawing.branches()
        drawing.buses(colour_bar=row == first_solved)
        drawing.switches()
        for trace in drawing.traces:
            name = trace.name or ""
            trace.update(
                xaxis=f"x{suffix}", yaxis=f"y{suffix}", legendgroup=name, showlegend=bool(name) and name not in seen
            )
            seen.add(name)
            figure.add_trace(trace)
    return figure


def _polyline(scene: OneLine, branches: Iterable[int]) -> tuple[list[float | None], list[float | None]]:
    """Routes as one line with gaps."""
    x: list[float | None] = []
    y: list[float | None] = []
    for e in branches:
        route = np.round(scene.layout.routes[e], 3)
        x += [*route[:, 0].tolist(), None]
        y += [*route[:, 1].tolist(), None]
    return x, y


class _Picture:
    """The traces of one scene, back to front; those with a name are in the legend."""

    def __init__(self, scene: OneLine) -> None:
        layout = self.layout = scene.layout
        self.scene, self.traces = scene, list[Any]()
        columns = max(np.ptp(layout.x), np.ptp(layout.y) * _WIDTH / _TALLEST if layout.on_map else 0.0) + 2
        self.size = float(np.clip(0.34 * _WIDTH / columns, 2.0, 12.0))  # of a bus [px]
        self.thin = min(1.0, self.size / 7.0)

    def lines(self, branches: Ints, colour: str, width: float, dash: str = "solid") -> None:
        """Some branches in one style."""
        if len(branches):
            x, y = _polyline(self.scene, branches)
            style = {"color": colour, "width": width, "dash": dash}
            self.traces.append(go.Scatter(x=x, y=y, mode="lines", line=style, hoverinfo="skip"))

    def points(
        self,
        where: Floats,
        text: list[list[str]],
        marker: dict[str, Any],
        name: str = "",
        label: dict[str, Any] | None = None,
    ) -> None:
        """Markers at some places, with lines of text for the mouse, and texts beside them."""
        if len(where):
            hover = ["<br>".join(escaped(line) for line in entry) for entry in text]
            x, y = np.round(where, 3).T.tolist()
            style = {"mode": "markers"} if label is None else {"mode": "markers+text", **label}
            self.traces.append(
                go.Scatter(x=x, y=y, hovertext=hover, hoverinfo="text", marker=marker, name=name, **style)
            )

    def branches(self) -> None:
        """Every branch by its state, its current as width; bars of buses."""
        scene, closed, thin = self.scene, self.scene.closed, self.thin
        closing, opening = scene.marked(closing=True), scene.marked(closing=False)
        tree = self.layout.child >= 0
        self.lines(np.flatnonzero(~closed & tree & ~scene.changed), PALE, thin)
        self.lines(np.flatnonzero(~closed & ~tree & ~scene.changed), TIE, thin, "dash")
        self.lines(np.flatnonzero(~closed & closing), CLOSE, 1.8 * thin, "dash")
        self.lines(np.flatnonzero(~closed & opening), OPEN, 1.8 * thin, "dash")
        level = np.round(scene.weight * (_WEIGHTS - 1)).astype(int)
        tones = np.where(opening, OPEN, np.where(closing, CLOSE, np.where(scene.overloaded, VIOLATED, LINE)))
        for tone in (LINE, VIOLATED, CLOSE, OPEN):
            for k in range(_WEIGHTS):
                chosen = np.flatnonzero(closed & (tones == tone) & (level == k))
                self.lines(chosen, tone, thin * (1.0 + 7.0 * k / (_WEIGHTS - 1)))
        style = {"color": INK, "width": 6 * thin}
        for bar in self.layout.bars.values():
            self.traces.append(go.Scatter(x=bar[:, 0], y=bar[:, 1], mode="lines", line=style, hoverinfo="skip"))

    def buses(self, colour_bar: bool) -> None:
        """Bars and substations, what the mouse finds on a line, buses by their voltage, the lowest one ringed."""
        scene, net, layout, size = self.scene, self.scene.problem.network, self.layout, self.size
        at, bars = np.column_stack([layout.x, layout.y]), list(layout.bars)
        self.points(at[bars], [scene.bus_text(k) for k in bars], {"size": size, "color": INK, "symbol": "square"})
        if len(net.substations) <= _MOST_LABELS:
            names = {
                "mode": "text",
                "text": [f"<b>{escaped(bus_short(net, k))}</b>" for k in net.substations],
                "textposition": "top center",
                "textfont": {"size": 12 if scene.small else 10, "color": INK},
            }
            tops = np.array([layout.bars[int(k)][np.argmax(layout.bars[int(k)][:, 1])] for k in net.substations])
            self.points(tops, [scene.bus_text(int(k)) for k in net.substations], {}, label=names)
        quiet = np.flatnonzero(scene.closed & ~scene.changed).tolist()
        invisible = {"size": 11, "color": "rgba(0,0,0,0)"}
        self.points(layout.middles[quiet], [scene.branch_text(e) for e in quiet], invisible)
        buses = scene.drawn_buses.tolist()
        label: dict[str, Any] | None = None
        if scene.small and (size > _CROWDED or not layout.on_map):
            ids = [escaped(bus_short(net, k)) for k in buses]
            label = {"text": ids, "textposition": "top right", "textfont": {"size": 9, "color": LINE}}
        self.points(at[buses], [scene.bus_text(k) for k in buses], self._voltages(buses, colour_bar), label=label)
        if scene.lowest is not None:
            ring = {"size": size + 9, "symbol": "circle-open", "color": INK, "line": {"width": 1.2}}
            text = [[*scene.bus_text(scene.lowest), "lowest voltage"]]
            self.points(at[[scene.lowest]], text, ring, "lowest voltage")

    def _voltages(self, buses: list[int], colour_bar: bool) -> dict[str, Any]:
        """Markers of buses: coloured by their voltage, bordered where it is out of its limits."""
        scene, outside = self.scene, self.scene.out_of_voltage[buses]
        border = np.where(outside, VIOLATED, INK).tolist(), np.where(outside, 2.0, 0.7 * self.thin).tolist()
        marker: dict[str, Any] = {"size": self.size, "color": UNKNOWN, "line": {"color": border[0], "width": border[1]}}
        if scene.solved is None:
            return marker
        bar = {"title": {"text": "pu"}, "thickness": 10, "len": 260, "lenmode": "pixels", "y": 0.98, "yanchor": "top"}
        return marker | {
            "color": np.round(scene.solved.vm[buses], 5).tolist(),
            "colorscale": VOLTAGE_COLOURS,
            "cmin": scene.scale.vm_low,
            "cmax": scene.scale.vm_high,
            "showscale": colour_bar,
            "colorbar": bar | {"outlinewidth": 0, "tickformat": ".3f"},
        }

    def switches(self) -> None:
        """What is out of service, open switches, and those that change, with their ids."""
        scene = self.scene
        crossed = np.flatnonzero(scene.out_of_service).tolist()
        cross = {"size": max(self.size, 7.0), "symbol": "x-thin", "line": {"color": INK, "width": 2}}
        text = [scene.branch_text(e) for e in crossed]
        self.points(self.layout.middles[crossed], text, cross, "out of service")
        self._switches(~scene.closed & ~scene.changed & ~scene.out_of_service, TIE, "open switch", False)
        self._switches(scene.marked(closing=True), CLOSE, "switch that closes", True)
        self._switches(scene.marked(closing=False), OPEN, "switch that opens", True)

    def _switches(self, mask: Bools, colour: str, name: str, changed: bool) -> None:
        scene, on_map, chosen = self.scene, self.layout.on_map, np.flatnonzero(mask).tolist()
        marker = {
            "size": max(self.size, 6.0) if changed else max(0.7 * self.size, 3.0),
            "symbol": "square",
            "color": [colour if scene.closed[e] else "white" for e in chosen],
            "line": {"color": colour, "width": 1.6},
        }
        label = None
        if changed and len(chosen) <= _MOST_LABELS:
            apart = 2 * "\u00a0" if on_map else ""  # beside the marker, not on it
            label = {
                "text": [f"{apart}<b>{escaped(branch_short(scene.problem.network, e))}</b>" for e in chosen],
                "textposition": "middle right" if on_map else "top center",
                "textfont": {"color": colour, "size": 11 if scene.small else 9},
            }
        self.points(self.layout.middles[chosen], [scene.branch_text(e) for e in chosen], marker, name, label)
