"""One-line diagrams for the screen: who feeds whom by colour, ids that fit, zoom, and facts where one points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from learnopt.network import Floats
from learnopt.report.drawing.colours import CLOSE, INK, LINE, OPEN, PALE, TIE, VIOLATED
from learnopt.report.drawing.one_line import UNKNOWN, VOLTAGE_COLOURS, OneLine
from learnopt.report.kit.numbers import number
from learnopt.report.kit.sheet import WIDTH, Key, Label, Lines, Marks, Sheet, Spot, pictures

_WEIGHTS = 6
"""Line widths in use."""
_TONES = 12
"""Colours of voltages in use."""
_NAMED_FEEDERS = 12
"""Feeders that the legend names; of more it says how they are coloured."""
_THIN, _THICK = 1.0, 8.0
"""Width of a line without loss and of the one that loses most, where buses are far apart."""


def one_line_html(scenes: Sequence[OneLine]) -> str:
    """Pictures below each other that zoom together, with their legend.

    Parameters
    ----------
    scenes
        States of one network with a common layout, scale and colours of feeders.
    """
    return pictures([one_line_sheet(scene) for scene in scenes], one_line_keys(scenes))


def one_line_sheet(scene: OneLine) -> Sheet:
    """What is drawn of a state, back to front."""
    net, layout = scene.problem.network, scene.layout
    size = _bus_size(scene)
    spots = [Spot(layout.x[k], layout.y[k], scene.bus_text(k)) for k in np.flatnonzero(~net.auxiliary).tolist()]
    for e in range(net.n_branch):
        spots += [Spot(x, y, scene.branch_text(e)) for x, y in layout.switch_places(e).tolist()]
    layers = [*_ring(scene, size), *_lines(scene, size / 12.0), *_buses(scene, size), *_switches(scene, size)]
    return Sheet(
        scene.title, scene.summary, layers, [Label(*label) for label in scene.labels], spots, even=layout.on_map
    )


def _bus_size(scene: OneLine) -> float:
    """Diameter of a bus: less than a column."""
    layout = scene.layout
    points = np.concatenate([*layout.routes, *layout.bars.values()])
    columns = float(np.nanmax(points[:, 0]) - np.nanmin(points[:, 0]))
    if layout.on_map:
        columns = max(columns, float(np.nanmax(points[:, 1]) - np.nanmin(points[:, 1])) * WIDTH / 900)
    return float(np.clip(0.34 * WIDTH / (columns + 2), 2.0, 12.0))


def _ring(scene: OneLine, size: float) -> Iterable[Marks]:
    low = scene.lowest
    if low is not None and low not in scene.layout.bars:
        yield Marks(_at(scene, [low]), "#fff", size + 9, INK, 1.6)


def _at(scene: OneLine, buses: Sequence[int]) -> Floats:
    return np.column_stack([scene.layout.x, scene.layout.y])[list(buses)].reshape(-1, 2)


def _lines(scene: OneLine, scale: float) -> Iterable[Lines]:
    """Branches: open ones dashed, closed ones in the colour of their feeder, changed ones with a border."""
    layout, closed = scene.layout, scene.closed
    tree = layout.child >= 0
    closing, opening = scene.marked(closing=True), scene.marked(closing=False)
    thin = max(scale, 0.35)

    def routes(mask: np.ndarray) -> list[Floats]:
        return [layout.routes[e] for e in np.flatnonzero(mask)]

    level = np.round(scene.weight * (_WEIGHTS - 1)).astype(int)
    width = thin * (_THIN + (_THICK - _THIN) * level / (_WEIGHTS - 1))
    yield Lines(routes(~closed & tree & ~scene.changed), PALE, 1.2 * thin)
    yield Lines(routes(~closed & ~tree & ~scene.changed), TIE, 1.2 * thin, dash="5 4")
    for mask, tone in ((closing, CLOSE), (opening, OPEN)):
        yield Lines(routes(~closed & mask), tone, 2.2 * thin, dash="6 4")
        for k in np.unique(level[closed & mask]).tolist():
            border = thin * (_THIN + (_THICK - _THIN) * k / (_WEIGHTS - 1)) + 7 * thin
            yield Lines(routes(closed & mask & (level == k)), tone, border, soft=0.45)
    tones = np.array(scene.tones)
    for tone in sorted(set(tones[closed].tolist()), key=lambda tone: tone == VIOLATED):
        for k in np.unique(level[closed & (tones == tone)]).tolist():
            chosen = closed & (tones == tone) & (level == k)
            yield Lines(routes(chosen), tone, float(width[chosen][0]))
    yield Lines(list(layout.bars.values()), INK, max(6 * thin, 2.5))


def _buses(scene: OneLine, size: float) -> Iterable[Marks]:
    """Buses by voltage, those outside their limits with a border of another colour."""
    buses = scene.drawn_buses
    outside = scene.out_of_voltage[buses]
    level = np.zeros(len(buses), dtype=int)
    if scene.solved is not None:
        share = (scene.solved.vm[buses] - scene.scale.vm_low) / (scene.scale.vm_high - scene.scale.vm_low)
        level = np.clip(np.round(share * (_TONES - 1)), 0, _TONES - 1).astype(int)
    tones = _ramp() if scene.solved is not None else [UNKNOWN]
    for beyond, edge, width in ((False, INK, 0.12 * size), (True, VIOLATED, 0.4 * size)):
        for k in np.unique(level[outside == beyond]).tolist():
            yield Marks(_at(scene, buses[(outside == beyond) & (level == k)].tolist()), tones[k], size, edge, width)


def _ramp() -> list[str]:
    return [to_hex(colormaps[VOLTAGE_COLOURS](k / (_TONES - 1))) for k in range(_TONES)]


def _switches(scene: OneLine, size: float) -> Iterable[Marks | Lines]:
    """Open switches as hollow squares, closed ones only where they changed, crosses over what is out of service."""
    layout, closed = scene.layout, scene.closed

    def places(mask: np.ndarray) -> Floats:
        found = [layout.switch_places(int(e)) for e in np.flatnonzero(mask)]
        return np.concatenate(found) if found else np.empty((0, 2))

    square = max(0.75 * size, 3.0)
    yield Marks(
        places(~closed & ~scene.changed & ~scene.out_of_service), "#fff", square, TIE, 0.25 * square, square=True
    )
    large = max(size, 6.0)
    for mask, tone in ((scene.marked(closing=True), CLOSE), (scene.marked(closing=False), OPEN)):
        yield Marks(places(mask & closed), tone, large, tone, 0.2 * large, square=True)
        yield Marks(places(mask & ~closed), "#fff", large, tone, 0.25 * large, square=True)
    crossed = places(scene.out_of_service)
    arms = (0.09 if layout.on_map else 0.16) * np.array([[1.0, 1.0], [1.0, -1.0]])
    strokes = [np.array([place - arm, place + arm]) for place in crossed for arm in arms]
    yield Lines(strokes, INK, max(0.25 * size, 1.6))


def one_line_keys(scenes: Sequence[OneLine]) -> list[Key]:
    """The legend: feeders, widths, voltages, switches."""
    named = dict(pair[::-1] for scene in scenes for pair in scene.feeder_names)
    keys = [Key("line", tone, f"feeder {name}", 5) for name, tone in named.items()]
    if len(keys) > _NAMED_FEEDERS:
        tones = " ".join(dict.fromkeys(named.values()))
        keys = [Key("ramp", tones, f"{len(named)} feeders, neighbours in different colours")]
    solved = [scene for scene in scenes if scene.solved is not None]
    if solved:
        scale = solved[0].scale
        for share in (0.0, 0.4, 1.0):  # the width goes with the root of the loss
            loss = number(scale.loss_kw * share**2, 2)
            keys.append(Key("line", LINE, f"{loss} kW lost", _THIN + (_THICK - _THIN) * share))
        keys.append(Key("ramp", " ".join(_ramp()), f"bus voltage {scale.vm_low:.3f} to {scale.vm_high:.3f} pu"))
        keys.append(Key("round", INK, "lowest voltage", 1.4))
    keys.append(Key("square", TIE, "open switch", 2, "#fff"))
    for closing, tone, word in ((True, CLOSE, "closes"), (False, OPEN, "opens")):
        if any(scene.marked(closing).any() for scene in scenes):
            keys.append(Key("square", tone, f"switch that {word}", 2.5, "#fff" if not closing else tone))
    if any(scene.out_of_service.any() for scene in scenes):
        keys.append(Key("cross", INK, "out of service", 2))
    if any(scene.out_of_voltage.any() or scene.overloaded.any() for scene in scenes):
        keys.append(Key("round", VIOLATED, "limit exceeded", 2.5))
    if any(scene.layout.shortened for scene in scenes):
        keys.append(Key("dash", TIE, "long tie: its two ends bear the same id", 1.5))
    return keys
