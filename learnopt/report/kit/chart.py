"""Charts for the screen and for paper: lines, steps, bars and strips of states as plain SVG, wide and narrow.

Every chart is drawn twice, for a page and for a phone, so that letters keep their size; the style sheet shows one of
them. Points say what they are under the mouse (``title``), without a script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.ticker import MaxNLocator

from learnopt.network import Floats
from learnopt.report.kit.numbers import escaped, number
from learnopt.report.kit.sheet import Key, legend

_WIDE, _NARROW = 1000.0, 380.0
_LETTER = 7.2
"""Width of a letter of a tick [px]."""
_MOST_DOTS = 3000
"""Points of a chart that are drawn as dots with words."""


@dataclass(frozen=True, eq=False)
class Series:
    """Values of one name.

    Parameters
    ----------
    kind
        ``line``, ``step`` (a value holds until the next), ``bar`` (side by side around whole numbers) or ``tick``.
    y
        NaN parts a line.
    texts
        What is said at each point.
    marker
        ``round``, ``square`` or "" for no dots.
    """

    name: str
    x: Floats
    y: Floats
    colour: str
    kind: str = "line"
    dash: str = ""
    texts: Sequence[str] = ()
    marker: str = ""
    width: float = 1.6


@dataclass(frozen=True, eq=False)
class Strip:
    """On or off over time, a row of a chart of states.

    Parameters
    ----------
    states
        bool, one per step.
    """

    name: str
    states: np.ndarray


@dataclass(frozen=True, eq=False)
class Chart:
    """One chart.

    Parameters
    ----------
    series
        What is drawn, or
    strips
        rows of states over the same axis, with the two colours of off and on.
    ticks
        Places and names along the horizontal axis; None = round numbers.
    levels
        Horizontal lines: value, name and colour.
    zero
        The vertical axis begins at zero.
    """

    x_title: str
    y_title: str
    series: Sequence[Series] = ()
    strips: Sequence[Strip] = ()
    colours: tuple[str, str] = ("", "")
    ticks: tuple[Sequence[float], Sequence[str]] | None = None
    levels: Sequence[tuple[float, str, str]] = ()
    height: float = 340.0
    zero: bool = False
    notes: Sequence[str] = field(default_factory=tuple)


def chart_html(chart: Chart) -> str:
    """The chart with its legend."""
    keys = []
    for one in chart.series:
        sample = {"bar": "square", "tick": "line"}.get(one.kind, "dash" if one.dash else "line")
        keys.append(Key(sample, one.colour, one.name, 2.5, one.colour if sample == "square" else "none"))
    keys += [Key("dash", tone, name, 1.2) for _, name, tone in chart.levels]
    wide, narrow = (_Drawn(chart, width).html() for width in (_WIDE, _NARROW))
    notes = "".join(f"<p class=note>{escaped(note)}</p>" for note in chart.notes)
    return f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>{legend(keys)}{notes}'


class _Drawn:
    """A chart at one width."""

    def __init__(self, chart: Chart, width: float) -> None:
        self.chart, self.width = chart, width
        self.height = chart.height if not chart.strips else 40.0 + 20.0 * len(chart.strips)
        x = np.concatenate([s.x for s in chart.series]) if chart.series else np.array([0.0, 1.0])
        if chart.strips:
            x = np.array([0.0, len(chart.strips[0].states)])
        bars = any(s.kind == "bar" for s in chart.series)
        self.x_low, self.x_high = float(x.min()) - 0.5 * bars, float(x.max()) + 0.5 * bars
        y = np.concatenate([s.y for s in chart.series] + [np.array([v for v, _, _ in chart.levels])])
        y = y[np.isfinite(y)]
        low, high = (float(y.min()), float(y.max())) if len(y) else (0.0, 1.0)
        low = 0.0 if chart.zero else low
        spare = 0.05 * max(high - low, 1e-9)
        self.low, self.high = (low if chart.zero else low - spare), high + spare
        names = [s.name for s in chart.strips] or [self._tick(v) for v in self._y_ticks()]
        room = max((len(name) for name in names), default=1)
        self.left = min(_LETTER * room + 14 + (18 if chart.y_title else 0), 0.42 * width)
        self.right, self.top = width - 14, 8.0
        self.bottom = self.height - (44.0 if chart.x_title else 24.0)

    def _x(self, value: float) -> float:
        return self.left + (value - self.x_low) / max(self.x_high - self.x_low, 1e-12) * (self.right - self.left)

    def _y(self, value: float) -> float:
        return self.bottom - (value - self.low) / max(self.high - self.low, 1e-12) * (self.bottom - self.top)

    def _y_ticks(self) -> list[float]:
        ticks = MaxNLocator(6).tick_values(self.low, self.high)
        return [float(v) for v in ticks if self.low <= v <= self.high]

    def _tick(self, value: float) -> str:
        digits = max(0, 1 - int(np.floor(np.log10(max(self.high - self.low, 1e-9)))))
        return number(value) if abs(value) >= 1000 else f"{value:.{digits}f}" if value else "0"

    def html(self) -> str:
        body = "".join([*self._axes(), *self._strips(), *(self._drawn(s, k) for k, s in enumerate(self.chart.series))])
        name = escaped(self.chart.y_title or self.chart.x_title)
        box = f"0 0 {self.width:g} {self.height:g}"
        return f'<svg class="chart" viewBox="{box}" role="img" aria-label="{name}">{body}</svg>'

    def _axes(self) -> list[str]:
        parts = []
        if not self.chart.strips:
            for value in self._y_ticks():
                y = self._y(value)
                parts.append(f'<path class="grid" d="M{self.left:.1f} {y:.1f}H{self.right:.1f}"/>')
                parts.append(f'<text class="end" x="{self.left - 6:.1f}" y="{y + 4:.1f}">{self._tick(value)}</text>')
            x, y = 13.0, 0.5 * (self.top + self.bottom)
            parts.append(f'<text class="title" transform="translate({x:.1f} {y:.1f}) rotate(-90)">'
                         f"{escaped(self.chart.y_title)}</text>")  # fmt: skip
        for place, name in self._x_ticks():
            x, half = self._x(place), 0.5 * _LETTER * len(name)
            x_text = min(max(x, half), self.width - half)
            parts.append(f'<path class="grid" d="M{x:.1f} {self.bottom:.1f}v4"/>')
            parts.append(f'<text x="{x_text:.1f}" y="{self.bottom + 17:.1f}">{escaped(name)}</text>')
        if self.chart.x_title:
            x = 0.5 * (self.left + self.right)
            title = self.chart.x_title
            if _LETTER * len(title) > self.right - self.left:
                x = 0.5 * self.width
            if _LETTER * len(title) > self.width:
                title = title.split(":")[0]
            parts.append(f'<text class="title" x="{x:.1f}" y="{self.height - 6:.1f}">{escaped(title)}</text>')
        parts.append(f'<path class="axis" d="M{self.left:.1f} {self.top:.1f}V{self.bottom:.1f}H{self.right:.1f}"/>')
        for value, _, tone in self.chart.levels:
            line = f"M{self.left:.1f} {self._y(value):.1f}H{self.right:.1f}"
            parts.append(f'<path d="{line}" stroke="{tone}" stroke-dasharray="6 3"/>')
        return parts

    def _x_ticks(self) -> list[tuple[float, str]]:
        """Places and names, as many as have room beside each other."""
        if self.chart.ticks is None:
            values = MaxNLocator(8 if self.width > 500 else 4).tick_values(self.x_low, self.x_high)
            digits = max(0, 1 - int(np.floor(np.log10(max(self.x_high - self.x_low, 1e-9)))))
            ticks = [(float(v), f"{v:.{digits}f}" if v else "0") for v in values if self.x_low <= v <= self.x_high]
        else:
            ticks = [(float(v), name) for v, name in zip(*self.chart.ticks, strict=True)]
        longest = max((len(name) for _, name in ticks), default=1)
        most = max(int((self.right - self.left) / (_LETTER * longest + 14)), 1)
        step = -(-len(ticks) // most)
        return ticks[:: max(step, 1)]

    def _strips(self) -> list[str]:
        parts = []
        high = (self.bottom - self.top) / max(len(self.chart.strips), 1)
        most = int((self.left - 10) / _LETTER)
        for k, strip in enumerate(self.chart.strips):
            y = self.top + k * high
            name = strip.name if len(strip.name) <= most else strip.name[: most - 1] + "."
            parts.append(
                f'<text class="end" x="{self.left - 6:.1f}" y="{y + 0.5 * high + 4:.1f}">{escaped(name)}</text>'
            )
            edges = np.flatnonzero(np.diff(strip.states.astype(int))) + 1
            for a, b in zip([0, *edges], [*edges, len(strip.states)], strict=True):
                state, x = int(strip.states[a]), self._x(a)
                parts.append(
                    f'<rect x="{x:.1f}" y="{y + 1:.1f}" width="{self._x(b) - x:.1f}" height="{high - 2:.1f}" '
                    f'fill="{self.chart.colours[state]}"><title>{escaped(strip.name)}: '
                    f"{('open', 'closed')[state]}</title></rect>"
                )
        return parts

    def _drawn(self, series: Series, rank: int) -> str:
        if series.kind == "bar":
            return self._bars(series)
        places = [(self._x(a), self._y(b) if np.isfinite(b) else None) for a, b in zip(series.x, series.y, strict=True)]
        parts: list[str] = []
        before: float | None = None
        for x, y in places:
            if y is None:
                before = None
                continue
            if series.kind == "tick":
                parts.append(f"M{x - 3:.1f} {y:.1f}h6")
            elif before is None:
                parts.append(f"M{x:.1f} {y:.1f}")
            else:
                parts.append(f"L{x:.1f} {y:.1f}" if series.kind == "line" else f"H{x:.1f}V{y:.1f}")
            before = y
        dash = f' stroke-dasharray="{series.dash}"' if series.dash else ""
        line = f'<path d="{"".join(parts)}" stroke="{series.colour}" stroke-width="{series.width:g}"{dash}/>'
        if not series.marker or len(places) > _MOST_DOTS:
            return line
        return line + "".join(
            self._dot(series, x, y, text)
            for (x, y), text in zip(places, series.texts or [""] * len(places), strict=True)
            if y is not None
        )

    def _dot(self, series: Series, x: float, y: float, text: str) -> str:
        title = f"<title>{escaped(text)}</title>" if text else ""
        if series.marker == "square":
            shape = f'rect x="{x - 2.2:.1f}" y="{y - 2.2:.1f}" width="4.4" height="4.4"'
            return f'<{shape} fill="{series.colour}">{title}</rect>'
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{series.colour}">{title}</circle>'

    def _bars(self, series: Series) -> str:
        group = [s for s in self.chart.series if s.kind == "bar"]
        rank = next(k for k, s in enumerate(group) if s is series)
        step = (self.right - self.left) / max(self.x_high - self.x_low, 1e-12)
        wide = 0.8 * step / len(group)
        parts = []
        for k, (a, b) in enumerate(zip(series.x, series.y, strict=True)):
            if not np.isfinite(b):
                continue
            x, y = self._x(a) - 0.4 * step + rank * wide, self._y(b)
            title = f"<title>{escaped(series.texts[k])}</title>" if series.texts else ""
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{0.92 * wide:.1f}" height="{max(self._y(0.0) - y, 0):.1f}" '
                f'fill="{series.colour}">{title}</rect>'
            )
        return "".join(parts)
