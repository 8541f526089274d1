"""Pictures of networks for the screen and for paper: plain SVG in the page, a small script to move, zoom and ask.

A picture is drawn in units of which :data:`WIDTH` are as wide as the page; widths of lines and sizes of marks are in
the same units, but grow less than places when the reader zooms. Without JavaScript, and on paper, labels stand where
they were placed here. On the screen the script places them anew for the width of the window and the part in view: they
have one size, never meet, and more of them appear with more room.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np

from learnopt.network import Floats
from learnopt.report.kit.labels import Box, place
from learnopt.report.kit.numbers import escaped

WIDTH = 1160.0
"""Width of every picture."""
_TALLEST = 900.0
"""Greatest height of a picture."""
_FONT = 15.0
"""Height of a letter on paper: 7 pt on a page of A4."""
_PACKED = 20_000
"""Characters of data from which on they are compressed."""


@dataclass(frozen=True, eq=False)
class Lines:
    """Polylines drawn alike; a row of NaN parts one of them.

    Parameters
    ----------
    routes
        Points of each, shape (n_point, 2).
    dash
        Lengths of dashes and gaps; empty = solid.
    soft
        Share of the colour that is opaque.
    """

    routes: Sequence[Floats]
    colour: str
    width: float
    dash: str = ""
    soft: float = 1.0


@dataclass(frozen=True, eq=False)
class Marks:
    """Round or square marks drawn alike, with an edge.

    Parameters
    ----------
    at
        Places, shape (n, 2).
    size, edge_width
        Diameter and width of its edge.
    """

    at: Floats
    colour: str
    size: float
    edge: str = ""
    edge_width: float = 0.0
    square: bool = False


@dataclass(frozen=True)
class Label:
    """A short text at a place; those of a lower rank are placed first.

    Parameters
    ----------
    kind
        ``bold`` or "".
    """

    x: float
    y: float
    text: str
    colour: str
    rank: int = 0
    kind: str = ""


@dataclass(frozen=True)
class Spot:
    """What is said where the reader points."""

    x: float
    y: float
    lines: Sequence[str]


@dataclass(frozen=True, eq=False)
class Sheet:
    """One picture; y upwards, in units of its own.

    Parameters
    ----------
    layers
        Back to front.
    spots
        Labels keep clear of them, too.
    even
        One unit is as long in both directions.
    """

    title: str
    summary: str
    layers: Sequence[Lines | Marks]
    labels: Sequence[Label]
    spots: Sequence[Spot]
    even: bool = False


@dataclass(frozen=True)
class Key:
    """An entry of the legend: a sample and what it means.

    Parameters
    ----------
    sample
        ``line``, ``dash``, ``square``, ``round``, ``cross`` or ``ramp`` (then ``colour`` is a list of colours).
    """

    sample: str
    colour: str
    text: str
    width: float = 2.5
    fill: str = "none"


@dataclass(frozen=True)
class _Frame:
    """From units of a sheet to units of the page."""

    left: float
    top: float
    scale: tuple[float, float]
    height: float

    def __call__(self, points: Floats) -> Floats:
        return (np.asarray(points, dtype=float) - (self.left, self.top)) * (self.scale[0], -self.scale[1])


@dataclass
class _Paths:
    """Parts of path elements."""

    parts: list[str] = field(default_factory=list)

    def line(self, points: Floats) -> None:
        """A polyline, parted at NaN; in right angles as short as it can be said."""
        before: tuple[str, str] | None = None
        for x, y in points.tolist():
            if np.isnan(x):
                before = None
                continue
            now = _short(x), _short(y)
            if before is None:
                self.parts.append(f"M{now[0]} {now[1]}")
            elif now[1] == before[1]:
                self.parts.append(f"H{now[0]}")
            else:
                self.parts.append(f"V{now[1]}" if now[0] == before[0] else f"L{now[0]} {now[1]}")
            before = now

    def dot(self, x: float, y: float) -> None:
        """A place; its mark is the cap of the line."""
        self.parts.append(f"M{_short(x)} {_short(y)}h0")

    def __str__(self) -> str:
        return "".join(self.parts)


def pictures(sheets: Sequence[Sheet], keys: Iterable[Key] = ()) -> str:
    """Pictures below each other that move together, with one legend."""
    frame = _frame(sheets)
    parts = []
    for sheet in sheets:
        body = "".join(_layer(layer, frame) for layer in sheet.layers)
        named = _labels(sheet, frame)
        parts.append(
            f"<figure><figcaption><strong>{escaped(sheet.title)}</strong> <span>{escaped(sheet.summary)}</span>"
            f'</figcaption><svg class="sheet" viewBox="0 0 {WIDTH:g} {frame.height:.0f}" role="img" '
            f'aria-label="{escaped(sheet.title)}"><g class="view">{body}</g><g class="names">{named}</g></svg>'
            f"{_data(sheet, frame)}</figure>"
        )
    return f'<div class="sheets">{"".join(parts)}{legend(keys)}<div class="tip" hidden></div></div>'


def script() -> str:
    """What makes pictures move, once a page."""
    return f"<script>{files('learnopt.report.kit').joinpath('sheet.js').read_text(encoding='utf-8')}</script>"


def _frame(sheets: Sequence[Sheet]) -> _Frame:
    """The frame that holds all pictures, with room for marks and labels at the rim."""
    points = np.concatenate([p for sheet in sheets for layer in sheet.layers for p in _points(layer)])
    (left, low), (right, high) = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    wide, tall = max(float(right - left), 1e-9), max(float(high - low), 1e-9)
    inner = WIDTH - 2 * _RIM
    across = inner / wide
    up = min(across, (_TALLEST - 2 * _RIM) / tall)
    if sheets[0].even:
        across = up = min(across, up)
    spare = 0.5 * (WIDTH - across * wide)
    return _Frame(left - spare / across, high + _RIM / up, (across, up), up * tall + 2 * _RIM)


_RIM = 46.0
"""Room at the rim of a picture."""


def _points(layer: Lines | Marks) -> list[Floats]:
    return list(layer.routes) if isinstance(layer, Lines) else [np.reshape(layer.at, (-1, 2))]


def _layer(layer: Lines | Marks, frame: _Frame) -> str:
    paths = _Paths()
    if isinstance(layer, Lines):
        for route in layer.routes:
            paths.line(frame(route))
        dash = f";stroke-dasharray:{layer.dash}" if layer.dash else ""
        soft = f";opacity:{layer.soft:g}" if layer.soft < 1 else ""
        return _stroke(
            paths, layer.colour, layer.width, f"stroke-linecap:{'butt' if layer.dash else 'round'}{dash}{soft}"
        )
    for x, y in frame(layer.at).tolist():
        paths.dot(x, y)
    cap = f"stroke-linecap:{'square' if layer.square else 'round'}"
    if not layer.edge or not paths.parts:
        return _stroke(paths, layer.colour, layer.size - layer.edge_width, cap)
    # The places once, used twice: for the edge and for what lies inside.
    text, strokes = str(paths), ((layer.edge, layer.edge_width), (layer.colour, -layer.edge_width))
    name = f"p{zlib.crc32(f'{layer.colour}{layer.edge}{text}'.encode()):x}"
    used = "".join(
        f'<use href="#{name}" stroke="{tone}" style="stroke-width:calc(var(--s)*{layer.size + more:.2f}px);{cap}"/>'
        for tone, more in strokes
    )
    return f'<defs><path id="{name}" d="{text}"/></defs>{used}'


def _short(value: float) -> str:
    """A coordinate with one decimal, if it needs it."""
    return f"{value:.1f}".removesuffix(".0")


def _stroke(paths: _Paths, colour: str, width: float, style: str) -> str:
    """A path; nothing where it is empty."""
    if not paths.parts:
        return ""
    return f'<path d="{paths}" stroke="{colour}" style="stroke-width:calc(var(--s)*{width:.2f}px);{style}"/>'


def _labels(sheet: Sheet, frame: _Frame) -> str:
    """Labels where they stand on paper."""
    dots = frame(np.array([(s.x, s.y) for s in sheet.spots]).reshape(-1, 2))
    chosen = sorted(sheet.labels, key=lambda label: label.rank)
    wanted = []
    for label in chosen:
        (x, y), font = frame(np.array([[label.x, label.y]]))[0], _FONT
        wanted.append(Box(float(x), float(y), 0.64 * font * len(label.text) + 4, 1.2 * font))
    found = place(wanted, dots, reach=9.0, inside=(0.0, 0.0, WIDTH, frame.height))
    return "".join(
        f'<text x="{box.x:.0f}" y="{box.y + 0.36 * _FONT:.0f}" fill="{label.colour}"{_class(label)}>'
        f"{escaped(label.text)}</text>"
        for label, box in zip(chosen, found, strict=True)
        if box is not None
    )


def _class(label: Label) -> str:
    return f' class="{label.kind}"' if label.kind else ""


def _data(sheet: Sheet, frame: _Frame) -> str:
    """What the script knows: spots with their words, labels in the order of their rank."""
    spots = frame(np.array([(s.x, s.y) for s in sheet.spots]).reshape(-1, 2))
    names = frame(np.array([(one.x, one.y) for one in sheet.labels]).reshape(-1, 2))
    content = {
        "spots": [[round(x), round(y), "\n".join(s.lines)] for (x, y), s in zip(spots, sheet.spots, strict=True)],
        "names": sorted(
            (
                [round(x), round(y), one.text, one.colour, one.rank, one.kind]
                for (x, y), one in zip(names, sheet.labels, strict=True)
            ),
            key=lambda name: name[4],
        ),
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    if len(text) > _PACKED:
        packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
        return f'<script type="application/json" class="packed">"{packed}"</script>'
    # Inside a script nothing may look like its end.
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e")
    return f'<script type="application/json">{safe}</script>'


def legend(keys: Iterable[Key]) -> str:
    """Samples and their meanings, wrapped to the width there is."""
    entries = "".join(f"<li>{_sample(key)}<span>{escaped(key.text)}</span></li>" for key in keys)
    return f'<ul class="legend">{entries}</ul>' if entries else ""


def _sample(key: Key) -> str:
    style = f'stroke="{key.colour}" stroke-width="{key.width:g}" fill="{key.fill}"'
    if key.sample == "ramp":
        colours = key.colour.split()
        step = 60 / len(colours)
        bands = "".join(
            f'<rect x="{k * step:.1f}" width="{step + 0.5:.1f}" height="9" y="3" fill="{c}"/>'
            for k, c in enumerate(colours)
        )
        return f'<svg viewBox="0 0 60 15" width="60" height="15">{bands}</svg>'
    shape = {
        "line": f'<path d="M1 7.5h26" {style}/>',
        "dash": f'<path d="M1 7.5h26" stroke-dasharray="5 3" {style}/>',
        "square": f'<rect x="9" y="2.5" width="10" height="10" {style}/>',
        "round": f'<circle cx="14" cy="7.5" r="5" {style}/>',
        "cross": f'<path d="M9 2.5l10 10m0-10l-10 10" {style}/>',
    }[key.sample]
    return f'<svg viewBox="0 0 28 15" width="28" height="15">{shape}</svg>'
