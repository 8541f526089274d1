"""Transformers of an OpenDSS circuit as branches of the positive sequence, and the voltages their windings state.

==================  ==================================================================================
two windings        one branch; single-phase units between the same buses are one bank
open delta          two units of which one winding lies between phases: each carries ``1 / sqrt(3)`` of
                    the power, so the bank has ``2 z / 3`` and ``sqrt(3)`` times the rating of a unit
centre-tapped       one branch, both halves loaded evenly
three windings      a star: three branches that meet at a bus of its own
==================  ==================================================================================
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.io.opendss.banks import Piece, Units, phases_of
from learnopt.io.opendss.engine import admittance, balanced, each, terminals
from learnopt.io.stations import Link, turned
from learnopt.wording import counted

_OFF_BASE = 1.25
"""A rated voltage farther than this factor from the base of its bus shows that OpenDSS chose the wrong base."""
_LARGE_SHARE = 0.5
"""Share of Xhl up to which the negative reactance of a leg is counted at another one."""
_ROUNDING = 1e-9
_DEAD = 0.1
"""Voltage below which a bus counts as without any [pu]."""
_NEAR = 2.0
"""Distance from a multiple of 30 degrees at which an angle is taken for it [degree]."""


@dataclass(frozen=True)
class _Windings:
    """The active transformer: bus, rated and tapped voltage [kV], resistance [pu] and power [MVA] of each winding.

    ``between`` says whether a winding lies between two phases, ``x`` holds Xhl, Xht and Xlt [pu] of the first power.
    """

    bus: tuple[str, ...]
    nominal: tuple[float, ...]
    tapped: tuple[float, ...]
    r: tuple[float, ...]
    s: tuple[float, ...]
    between: tuple[bool, ...]
    x: tuple[float, float, float]

    @classmethod
    def of(cls, dss: Any) -> _Windings:
        ends = terminals(dss)
        rows = []
        for number in range(1, dss.Transformers.NumWindings() + 1):
            dss.Transformers.Wdg(number)
            kv, tap, kva = dss.Transformers.kV(), dss.Transformers.Tap(), dss.Transformers.kVA()
            phases = sum(1 <= node <= 3 for node in ends[number - 1][1])
            rows.append((ends[number - 1][0], kv, kv * tap, dss.Transformers.R() / 100, kva / 1e3, phases == 2))
        reactances = (dss.Transformers.Xhl() / 100, dss.Transformers.Xht() / 100, dss.Transformers.Xlt() / 100)
        bus, nominal, tapped, r, s, between = zip(*rows, strict=True)
        return cls(bus, nominal, tapped, r, s, between, reactances)

    def turns(self, winding: int, kv: float) -> float:
        """Tapped voltage of a winding per unit of what its terminals have, whichever way they are connected."""
        return per_unit(self.nominal[winding], kv) * self.tapped[winding] / self.nominal[winding]

    @property
    def centre_tapped(self) -> bool:
        """Two halves on one bus."""
        return len(self.bus) == 3 and self.bus[1] == self.bus[2]

    @property
    def star(self) -> tuple[complex, complex, complex]:
        """Legs of three windings [pu]."""
        xhl, xht, xlt = self.x
        legs = ((xhl + xht - xlt) / 2, (xhl + xlt - xht) / 2, (xht + xlt - xhl) / 2)
        return (complex(self.r[0], legs[0]), complex(self.r[1], legs[1]), complex(self.r[2], legs[2]))


def corrected_bases(dss: Any, kv: dict[str, float], notes: list[str]) -> None:
    """Bases of buses that the rated voltage of their transformer contradicts, which happens behind floating deltas.

    The base spreads along lines to buses of the same wrong one.
    """
    wrong: dict[str, float] = {}
    for _ in each(dss.Transformers):
        windings, three_phase = _Windings.of(dss), dss.CktElement.NumPhases() > 1
        for bus, rated, between in zip(windings.bus[1:], windings.nominal[1:], windings.between[1:], strict=True):
            if bus in kv and abs(math.log(per_unit(rated, kv[bus]))) > math.log(_OFF_BASE):
                wrong[bus] = rated if three_phase or between else rated * math.sqrt(3)
    if not wrong:
        return
    neighbours = _along_lines(dss)
    reached = list(wrong)
    while reached:
        bus = reached.pop()
        for other in neighbours.get(bus, ()):
            if other not in wrong and other in kv and math.isclose(kv[other], kv[bus], rel_tol=1e-3):
                wrong[other] = wrong[bus]
                reached.append(other)
    names = ", ".join(list(wrong)[:5]) + (" ..." if len(wrong) > 5 else "")
    notes.append(
        f"OpenDSS's voltage bases of {counted(len(wrong), 'bus', 'buses')} "
        f"contradict their transformers, whose count: {names}"
    )
    kv.update(wrong)


def split_phase_buses(dss: Any) -> set[str]:
    """Buses behind centre-tapped transformers, as far as lines of two legs lead."""
    found = {windings.bus[1] for _ in each(dss.Transformers) if (windings := _Windings.of(dss)).centre_tapped}
    neighbours = _along_lines(dss, at_most=2) if found else {}
    reached = list(found)
    while reached:
        for other in neighbours.get(reached.pop(), ()):
            if other not in found:
                found.add(other)
                reached.append(other)
    return found


def _along_lines(dss: Any, at_most: int = 3) -> dict[str, list[str]]:
    """Buses at the other ends of the lines that use no phase above a number."""
    neighbours: dict[str, list[str]] = {}
    for _ in each(dss.Lines):
        (start, nodes), (end, _) = terminals(dss)[:2]
        if max((n for n in nodes if n <= 3), default=0) <= at_most:
            neighbours.setdefault(start, []).append(end)
            neighbours.setdefault(end, []).append(start)
    return neighbours


def transformers(
    dss: Any, kv: dict[str, float], notes: list[str], subject: str
) -> tuple[list[Link], dict[frozenset[Any], Units]]:
    """Branches of the transformers of three phases, and the units of one phase by their two buses (:func:`banks`).

    The star points of three windings join ``kv``.

    Raises
    ------
    UnsupportedError
        For more than three windings, for three of which one is open, and for a leg of large negative reactance.
    """
    groups: dict[frozenset[Any], list[Piece]] = {}
    between: dict[frozenset[Any], list[bool]] = {}
    stars: dict[tuple[str, ...], str] = {}
    result, halves = [], 0
    level = levels(dss, kv)
    opened = _closed(dss)
    regulated = {dss.RegControls.Transformer().lower(): dss.RegControls.TapWinding() for _ in each(dss.RegControls)}
    for name in each(dss.Transformers):
        windings = _Windings.of(dss)
        halves += windings.centre_tapped
        if len(windings.bus) > 3:
            raise UnsupportedError(f"{subject}: transformer.{name} has {len(windings.bus)} windings: not modelled")
        if any(bus not in kv for bus in windings.bus):
            continue
        single = dss.CktElement.NumPhases() < 3
        if len(windings.bus) == 3 and not windings.centre_tapped:
            star = stars.setdefault(windings.bus, f"transformer.{name}") if single else f"transformer.{name}"
            kv[star] = kv[windings.bus[0]]
            if name.lower() in opened:
                raise UnsupportedError(f"{subject}: transformer.{name} of three windings is open at one: not modelled")
            links = _star_legs(dss, name, windings, kv, star, notes, subject)
        else:
            links = [_two_windings(dss, name, windings, kv, level, opened.get(name.lower(), ()))]
            if (moved := regulated.get(name.lower(), 0)) in (1, 2) and not windings.centre_tapped:
                taps, numbers = _tap_positions(dss, moved, links[0].ratio)
                links = [replace(links[0], taps=taps, tap_numbers=numbers)]
        if not single:
            result += links
            continue
        phases = phases_of(dss)
        for link in links:
            key = frozenset((link.from_bus, link.to_bus))
            groups.setdefault(key, []).append(Piece(link, phases))
            between.setdefault(key, []).append(any(windings.between) and not windings.centre_tapped)
    if halves:
        notes.append(f"{halves} centre-tapped transformers are one branch each, both halves loaded evenly")
    if stars or any(str(link.to_bus).startswith("transformer.") for link in result):
        notes.append("transformers of three windings are stars of three branches")
    return result, {key: Units(group, len(group) == 2 and all(between[key])) for key, group in groups.items()}


def levels(dss: Any, kv: Mapping[str, float]) -> dict[str, float]:
    """Mean voltage of the phases of each bus in OpenDSS's solution [pu]."""
    found: dict[str, list[float]] = {}
    for name, volts in zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusVMag(), strict=True):
        bus, _, node = name.lower().rpartition(".")
        if bus in kv and node in ("1", "2", "3"):
            found.setdefault(bus, []).append(float(volts) * math.sqrt(3) / 1e3 / kv[bus])
    return {bus: float(np.mean(values)) for bus, values in found.items()}


def _closed(dss: Any) -> dict[str, tuple[int, ...]]:
    """Terminals that are open, by transformer; all are closed in the engine, so that admittances can be measured."""
    found: dict[str, tuple[int, ...]] = {}
    for name in each(dss.Transformers):
        ends = tuple(
            end
            for end, (_, nodes) in enumerate(terminals(dss), 1)
            if all(dss.CktElement.IsOpen(end, k) for k, node in enumerate(nodes, 1) if 1 <= node <= 3)
        )
        if ends:
            found[name.lower()] = ends
    for name, ends in found.items():
        for end in ends:
            dss.Text.Command(f'Close "Transformer.{name}" {end}')
    if found:
        dss.Solution.BuildYMatrix(0, 0)
    return found


def _shift(dss: Any, winding: int) -> float:
    """How far the voltages of the first winding lead those of another one without load [degree], from admittances.

    A current of the first winding is 0 where ``w1^H (Y11 w1 + Y1k wk e^{-j shift} / a) = 0``. Impedances of further
    windings turn that by a little: angles near a multiple of 30 degrees are that.
    """
    ends, y = terminals(dss), admittance(dss)
    size = len(ends[0][1])
    first, other = balanced(ends[0][1]), balanced(ends[winding - 1][1])
    own = complex(first.conj() @ y[:size, :size] @ first)
    across = complex(first.conj() @ y[:size, (winding - 1) * size : winding * size] @ other)
    if abs(across) <= _ROUNDING * abs(own):
        return 0.0
    degrees = math.degrees(cmath.phase(-across / own))
    nearest = 30.0 * round(degrees / 30)
    return turned(nearest if abs(degrees - nearest) < _NEAR else degrees)


def _two_windings(
    dss: Any,
    name: str,
    windings: _Windings,
    kv: Mapping[str, float],
    level: Mapping[str, float],
    opened: Sequence[int] = (),
) -> Link:
    """One branch, at the mean of the halves of a centre-tapped secondary.

    OpenDSS has magnetising current and iron losses Y at the last winding, a branch has half of them at each end. The
    two agree to second order with the ratio times ``|sqrt(1 + z Y)|``, and Y scaled so that the iron losses are the
    same at the voltages of OpenDSS's solution.

    Parameters
    ----------
    level
        Voltage of each bus in that solution [pu].
    opened
        Its open terminals.
    """
    start, end = windings.bus[:2]
    s = windings.s[0]
    if windings.centre_tapped:
        high, low, other = windings.star
        z = high + low * other / (low + other)
    else:
        z = complex(windings.r[0] + windings.r[1], windings.x[0])
    # Per unit of the nominal voltage between the terminals, whichever way the windings are connected.
    from_pu, to_pu = windings.turns(0, kv[start]), windings.turns(1, kv[end])
    z, iron, at_last = z / s * to_pu**2, _magnetising(dss, name) * s / to_pu**2, 1.0
    if not opened and min(level.get(start, 0.0), level.get(end, 0.0)) > _DEAD:
        at_last = 2 / (1 + (level[start] * to_pu / from_pu / level[end]) ** 2)
    return Link(
        f"transformer.{name}",
        "trafo",
        "",
        start,
        end,
        z=z,
        y=iron * at_last,
        ratio=from_pu / to_pu * abs(cmath.sqrt(1 + z * iron)),
        ampacity=_ampere(s, kv[start], windings.nominal[0]),
        switchable=bool(opened),
        is_open=bool(opened),
        switch_end=windings.bus[opened[0] - 1] if len(opened) == 1 else None,
        shift_deg=0.0 if windings.centre_tapped else _shift(dss, 2),
    )


def tap_of(dss: Any, name: str, moved: float) -> tuple[int, float]:
    """Regulated winding of the active transformer, and its tap where 1 / ratio is ``moved`` times the present one."""
    regulated = {dss.RegControls.Transformer().lower(): dss.RegControls.TapWinding() for _ in each(dss.RegControls)}
    dss.Transformers.Name(name)
    winding = regulated.get(name.lower(), 2)
    dss.Transformers.Wdg(winding)
    present = dss.Transformers.Tap()
    return winding, present * moved if winding == 2 else present / moved


def _tap_positions(dss: Any, winding: int, ratio: float) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Values of 1 / ratio at the positions of the regulated winding, increasing, and their numbers (``TapNum``).

    Number 0 is the middle; ``ratio`` is the present one.
    """
    dss.Transformers.Wdg(winding)
    low, high, count = dss.Transformers.MinTap(), dss.Transformers.MaxTap(), dss.Transformers.NumTaps()
    moved = np.linspace(low, high, count + 1) / dss.Transformers.Tap()
    values = ((moved if winding == 2 else 1 / moved) / ratio).tolist()
    numbers = range(-(count // 2), count // 2 + 1)
    if count % 2:  # without a position in the middle
        return tuple(sorted(values)), ()
    found = sorted(zip(values, numbers, strict=True))
    return tuple(value for value, _ in found), tuple(number for _, number in found)


def _star_legs(
    dss: Any, name: str, windings: _Windings, kv: Mapping[str, float], star: str, notes: list[str], subject: str
) -> list[Link]:
    """Three branches from the star point, whose voltage is that of the first winding; iron losses at the first one."""
    star_z = list(windings.star)
    if any(leg.imag < -_LARGE_SHARE * windings.x[0] for leg in star_z):
        raise UnsupportedError(f"{subject}: transformer.{name} has a leg of large negative reactance: not modelled")
    for k, leg in enumerate(star_z):
        if leg.imag < 0:  # between windings 1 and 2, where the power flows, the reactance stays exact
            other = 1 if k == 0 else 0
            star_z[k], star_z[other] = complex(leg.real, 0.0), star_z[other] + 1j * leg.imag
            notes.append(
                f"transformer.{name}: the reactance of {100 * leg.imag:.3g} % of its winding {k + 1} is counted at "
                f"winding {other + 1}"
            )
    legs, first = [], windings.s[0]
    for k, (bus, z) in enumerate(zip(windings.bus, star_z, strict=True)):
        pu = windings.turns(k, kv[bus])
        high = k == 0
        legs.append(
            Link(
                f"transformer.{name}.{k + 1}",
                "trafo",
                "",
                bus if high else star,
                star if high else bus,
                z=z / first * (1.0 if high else pu**2),
                y=_magnetising(dss, name) * first if high else 0j,
                ratio=pu if high else 1 / pu,
                ampacity=_ampere(windings.s[k], kv[windings.bus[0]], windings.nominal[0]),
                shift_deg=0.0 if high else _shift(dss, k + 1),
            )
        )
    return legs


def _magnetising(dss: Any, name: str) -> complex:
    """Iron losses and magnetising current [pu] as an admittance."""
    dss.Text.Command(f"? Transformer.{name}.%NoLoadLoss")
    iron = float(dss.Text.Result()) / 100
    dss.Text.Command(f"? Transformer.{name}.%Imag")
    return complex(iron, -float(dss.Text.Result()) / 100)


def _ampere(s: float, kv: float, nominal: float) -> float:
    """Rating at the first winding [A]."""
    return 1e3 * s / (math.sqrt(3) * kv * per_unit(nominal, kv))


def per_unit(rated: float, kv: float) -> float:
    """Rated voltage of a winding per unit of what its terminals have: to neutral, between lines, or two halves."""
    candidates = [rated / (kv * factor) for factor in (1.0, 1 / math.sqrt(3), 2 / math.sqrt(3))]
    return min(candidates, key=lambda value: abs(math.log(value)))
