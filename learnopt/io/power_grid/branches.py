"""Branches of a dataset of power-grid-model: lines, links, transformers, and the impedance inside each source.

Per unit is of 1 MVA at the nominal voltage of the to end, as in power-grid-model (``transformer.hpp``, ``line.hpp``).
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from learnopt.io.pandapower.switches import manual_switches
from learnopt.io.pandapower.tables import Element, Tables
from learnopt.io.power_grid.tables import HERTZ
from learnopt.io.stations import Link, turned
from learnopt.io.violations import LARGEST
from learnopt.network.aliases import Floats
from learnopt.network.phase_data import of_sequences
from learnopt.network.unbalanced import Complex

SOURCE_SK, SOURCE_RX, SOURCE_Z01 = 1e10, 0.1, 1.0
"""Short-circuit power [VA] and ratios of a source that states none: power-grid-model's defaults."""
_MOST_POSITIONS = 200


def number(element: Element, column: str, k: int) -> float:
    """A cell that may be absent, NaN then; others are checked elsewhere."""
    cell = element.columns.get(column, [None] * len(element))[k]
    return float(cell) if isinstance(cell, (int, float)) and not isinstance(cell, bool) else math.nan


def links_of(tables: Tables, kv: Mapping[int, float], notes: list[str]) -> list[Link]:
    """All branches with two ends.

    Links are switches, and so is whatever is open at one of its ends; in a file without links every line is one. The
    column ``switchable`` says otherwise.

    Parameters
    ----------
    kv
        Nominal voltage of each node [kV].
    """
    found: list[Link] = []
    for kind, of_row in (("line", _lines), ("asym_line", _asym_lines), ("link", _couplers)):
        found += of_row(tables[kind], _Ends(tables, kind, kv))
    found += _generic(tables["generic_branch"], _Ends(tables, "generic_branch", kv))
    found += _transformers(tables["transformer"], _Ends(tables, "transformer", kv))
    if not len(tables["link"]) and any(link.kind == "line" for link in found):
        notes.append("the file has no links: every line is a switch, unless its column 'switchable' says otherwise")
    return found


class _Ends:
    """Ends, switches and names of one kind of branch, by row."""

    def __init__(self, tables: Tables, kind: str, kv: Mapping[int, float]) -> None:
        element, node = tables[kind], tables["node"]
        self._element = element
        self.start, self.end = (element.references(f"{side}_node", node) for side in ("from", "to"))
        self._closed = [self._status(f"{side}_status") for side in ("from", "to")]
        self._names, self._manual = element.texts("name"), manual_switches(element)
        every = kind == "link" or (kind in ("line", "asym_line") and not len(tables["link"]))
        self._switchable = element.flags("switchable", every, empty=True)
        self._stated = [cell is not None for cell in element.columns.get("switchable", [None] * len(element))]
        self.kv = kv

    def _status(self, column: str) -> list[bool]:
        if len(self._element) and column not in self._element:
            self._element.bad.append(f"{self._element.kind}: {column} is missing")
        return [bool(one) for one in self._element.flags(column, True)]

    def rows(self, same_kv: bool) -> Iterator[tuple[int, Any, Any]]:
        """Number and ends of each row whose ends are two nodes."""
        for k, name in enumerate(self._element.names()):
            start, end = self.start[k], self.end[k]
            if start is None or end is None:
                continue
            if start == end:
                self._element.bad.append(f"{name}: from_node and to_node are both {start}")
            elif same_kv and self.kv[start] != self.kv[end]:
                self._element.bad.append(
                    f"{name}: joins node {start} ({self.kv[start]:g} kV) and {end} ({self.kv[end]:g} kV)"
                )
            elif not self._element.bad:
                yield k, start, end

    def keys(self, k: int) -> dict[str, Any]:
        """Keys of a link that speak of its name and its switches."""
        here, there = self._closed[0][k], self._closed[1][k]
        is_open = not (here and there)
        return {
            "name": self._names[k],
            "switchable": bool(self._switchable[k]) or (is_open and not self._stated[k]),
            "is_open": is_open,
            "manual": bool(self._manual[k]),
            "switch_end": None if here == there else self.end[k] if here else self.start[k],
        }


def _lines(line: Element, ends: _Ends) -> list[Link]:
    """Lines by their positive sequence."""
    r, x = line.numbers("r1", low=0.0), line.numbers("x1", low=0.0)
    c, tan = line.numbers("c1", low=0.0), line.numbers("tan1", 0.0, low=0.0)
    rated = line.numbers("i_n", math.inf, low=0.0, empty=True)
    found = []
    for k, start, end in ends.rows(same_kv=True):
        if r[k] == 0 and x[k] == 0:
            line.bad.append(f"line {line.index[k]}: r1 and x1 are both 0: make it a link")
        z_base = ends.kv[start] ** 2
        y = 2 * math.pi * HERTZ * c[k] * complex(tan[k], 1.0)
        found.append(
            Link(
                f"line {line.index[k]}",
                "line",
                **{"from_bus": start, "to_bus": end, **ends.keys(k)},
                z=complex(r[k], x[k]) / z_base,
                y=y * z_base,
                ampacity=float(rated[k]) or math.inf,
            )
        )
    return found


def _asym_lines(line: Element, ends: _Ends) -> list[Link]:
    """Lines by their matrices; in the balanced network means of own values less means of mutual ones."""
    rated = line.numbers("i_n", math.inf, low=0.0, empty=True)
    found = []
    for k, start, end in ends.rows(same_kv=True):
        z, b = asym_matrices(line, k)
        z_base = ends.kv[start] ** 2
        found.append(
            Link(
                f"asym_line {line.index[k]}",
                "line",
                **{"from_bus": start, "to_bus": end, **ends.keys(k)},
                z=_positive(z) / z_base,
                y=1j * _positive(b).real * z_base,
                ampacity=float(rated[k]) or math.inf,
            )
        )
    return found


def _positive(matrix: Floats | Complex) -> complex:
    """Value of the positive sequence of a line that has been transposed."""
    return complex(np.trace(matrix) / 3 - (matrix.sum() - np.trace(matrix)) / 6)


def asym_matrices(line: Element, k: int) -> tuple[Complex, Floats]:
    """Series impedance [ohm] and charging [S] of an asym_line, each of shape (3, 3); its neutral is eliminated."""

    def matrix(letter: str, letters: str) -> Floats:
        values = np.zeros((len(letters), len(letters)))
        for i, a in enumerate(letters):
            for j in range(i + 1):
                column = f"{letter}_{a}{letters[j]}"
                values[i, j] = values[j, i] = number(line, column, k)
                if not abs(values[i, j]) <= LARGEST:
                    line.bad.append(f"asym_line {line.index[k]}: {column} is missing: give a finite number")
        return values

    neutral = [f"{one}_n{p}" for one in "rx" for p in "abcn"]
    letters = "abcn" if any(math.isfinite(number(line, one, k)) for one in neutral) else "abc"
    z = matrix("r", letters) + 1j * matrix("x", letters)
    if letters == "abcn" and z[3, 3] == 0:
        line.bad.append(f"asym_line {line.index[k]}: r_nn and x_nn are both 0: leave its neutral out")
    elif letters == "abcn" and not line.bad:
        z = z - np.outer(z[:, 3], z[3]) / z[3, 3]
    z = z[:3, :3]
    zero, positive = number(line, "c0", k), number(line, "c1", k)
    c = of_sequences(positive, zero, 3) if math.isfinite(zero + positive) else matrix("c", "abc")
    return z, 2 * math.pi * HERTZ * c


def _couplers(link: Element, ends: _Ends) -> list[Link]:
    """Links: switches without impedance, where power-grid-model has one of some microohm."""
    return [
        Link(f"link {link.index[k]}", "switch", from_bus=start, to_bus=end, z=0j, **ends.keys(k))
        for k, start, end in ends.rows(same_kv=True)
    ]


def _generic(branch: Element, ends: _Ends) -> list[Link]:
    """Branches that state their circuit."""
    r, x, g, b = (branch.numbers(one) for one in ("r1", "x1", "g1", "b1"))
    ratio, theta = branch.numbers("k", 1.0, low=1e-3, empty=True), branch.numbers("theta", 0.0, empty=True)
    rated = branch.numbers("sn", 0.0, low=0.0, empty=True)
    return [
        Link(
            f"generic_branch {branch.index[k]}",
            "trafo",
            **{"from_bus": start, "to_bus": end, **ends.keys(k)},
            z=complex(r[k], x[k]) / ends.kv[end] ** 2,
            y=complex(g[k], b[k]) * ends.kv[end] ** 2,
            ratio=float(ratio[k]),
            shift_deg=turned(math.degrees(theta[k])),
            ampacity=rated[k] / (1e3 * math.sqrt(3) * ends.kv[start]) or math.inf,
        )
        for k, start, end in ends.rows(same_kv=False)
    ]


def _transformers(trafo: Element, ends: _Ends) -> list[Link]:
    """Transformers with two windings, at their taps."""
    u1, u2, sn = (trafo.numbers(one, low=1.0) for one in ("u1", "u2", "sn"))
    uk, pk = trafo.numbers("uk", low=0.0), trafo.numbers("pk", low=0.0)
    i0, p0 = trafo.numbers("i0", low=0.0), trafo.numbers("p0", low=0.0)
    taps = _Taps(trafo)
    clock = trafo.numbers("clock", low=-12)
    for kind in ("winding_from", "winding_to"):
        for k, value in enumerate(trafo.numbers(kind, low=0)):
            if value not in range(5):
                trafo.bad.append(f"transformer {trafo.index[k]}: {kind} = {value:g} must be 0, 1, 2, 3 or 4")
    found = []
    for k, start, end in ends.rows(same_kv=False):
        name = f"transformer {trafo.index[k]}"
        if clock[k] not in range(-12, 13):
            trafo.bad.append(f"{name}: clock = {clock[k]:g} must be a whole number from -12 to 12")
        here, there = (u + step for u, step in zip((u1[k], u2[k]), taps.shift(k, taps.position[k]), strict=True))
        magnitude, r = taps.adjusted(k, "uk", uk[k]) / sn[k] * there**2, taps.adjusted(k, "pk", pk[k])
        r *= there**2 / sn[k] ** 2
        if min(here, there) <= 0 or magnitude <= 0 or r > magnitude * (1 + 1e-9):
            trafo.bad.append(f"{name}: its tap leaves no voltage, or uk is not above 0 and at least pk / sn")
            continue
        z_base = ends.kv[end] ** 2
        magnetising = math.sqrt(max((i0[k] * sn[k]) ** 2 - p0[k] ** 2, 0.0))
        turns = ends.kv[start] / ends.kv[end]
        positions = sorted((turns / (a / b), number) for number, (a, b) in taps.voltages(k, (u1[k], u2[k])).items())
        found.append(
            Link(
                name,
                "trafo",
                **{"from_bus": start, "to_bus": end, **ends.keys(k)},
                z=complex(r, math.sqrt(max(magnitude**2 - r**2, 0.0))) / z_base,
                y=complex(p0[k], -magnetising) / there**2 * z_base,
                ratio=here / there / turns,
                shift_deg=turned(30.0 * clock[k]),
                taps=tuple(value for value, _ in positions),
                tap_numbers=tuple(number for _, number in positions),
                ampacity=sn[k] / (1e3 * math.sqrt(3) * ends.kv[start]),
            )
        )
    return found


class _Taps:
    """Tap changers of transformers, by row."""

    def __init__(self, trafo: Element) -> None:
        self._trafo = trafo
        self._low, self._high = trafo.numbers("tap_min"), trafo.numbers("tap_max")
        self._neutral = trafo.numbers("tap_nom", 0.0, empty=True)
        position = trafo.numbers("tap_pos", math.nan, empty=True)
        self._size, self._side = trafo.numbers("tap_size", low=0.0), trafo.numbers("tap_side", low=0.0)
        stated = np.where(np.isnan(position), self._neutral, position)
        # As in power-grid-model: within its range, and the voltage falls with the number where the range is given so.
        least, most = np.minimum(self._low, self._high), np.maximum(self._low, self._high)
        self.position = np.clip(stated, least, most)
        self._direction = np.where(self._high > self._low, 1.0, -1.0)
        for k, name in enumerate(trafo.names()):
            values = (self._low[k], self._high[k], self._neutral[k], stated[k])
            if not all(math.isnan(v) or (v.is_integer() and abs(v) < 128) for v in map(float, values)):
                trafo.bad.append(f"{name}: tap_pos, tap_min, tap_max and tap_nom must be whole numbers below 128")
            if self._side[k] not in (0, 1) and not math.isnan(self._side[k]):
                trafo.bad.append(f"{name}: tap_side = {self._side[k]:g} must be 0 (from) or 1 (to)")

    def shift(self, k: int, position: float) -> tuple[float, float]:
        """What a position adds to the rated voltage of the from and of the to side [V]."""
        step = float(self._direction[k] * (position - self._neutral[k]) * self._size[k])
        return (step, 0.0) if self._side[k] == 0 else (0.0, step)

    def adjusted(self, k: int, column: str, value: float) -> float:
        """``uk`` or ``pk`` at the present position, between those of its ends."""
        position, neutral = self.position[k], self._neutral[k]
        towards = (
            self._high[k] if min(neutral, self._high[k]) <= position <= max(neutral, self._high[k]) else self._low[k]
        )
        at_end = number(self._trafo, f"{column}_{'max' if towards == self._high[k] else 'min'}", k)
        if math.isnan(at_end) or towards == neutral:
            return value
        return float(value + (position - neutral) * (at_end - value) / (towards - neutral))

    def voltages(self, k: int, rated: tuple[float, float]) -> dict[int, tuple[float, float]]:
        """Rated voltages at each position [V]; none without a changer, or where the impedance moves with it."""
        moving = [number(self._trafo, f"{one}_{end}", k) for one in ("uk", "pk") for end in ("min", "max")]
        low, high = sorted((int(self._low[k]), int(self._high[k])))
        if self._side[k] == 1 or not self._size[k] or low == high or high - low > _MOST_POSITIONS:
            return {}
        if not all(map(math.isnan, moving)):
            return {}
        found = {}
        for position in range(low, high + 1):
            here, there = (u + step for u, step in zip(rated, self.shift(k, position), strict=True))
            if here > 0 and there > 0:
                found[position] = (here, there)
        return found


def inside(source: Element, k: int) -> complex:
    """Impedance inside a source in the positive sequence, per unit of 1 MVA."""
    sk = source.numbers("sk", SOURCE_SK, low=1.0, empty=True)
    rx = source.numbers("rx_ratio", SOURCE_RX, low=0.0, empty=True)
    return 1e6 / float(sk[k]) * cmath.exp(1j * math.atan2(1.0, float(rx[k])))
