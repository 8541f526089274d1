"""Controls besides the switches: capacitor banks, transformer taps and dispatchable generators, and their settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from learnopt.errors import DataError
from learnopt.network.aliases import Floats, Id
from learnopt.wording import counted

KINDS = ("taps", "capacitors", "generators")
"""What ``--controls`` may name."""
OFF, FIXED_FACTOR, FREE = MODES = ("off", "power_factor", "free")
"""Modes of a generator: no injection; Q in a fixed ratio to P; any Q within its range and rating."""
TOLERANCE = 1e-6
"""Relative slack with which settings are checked, that of every other limit."""
ROUNDING = 1e-9
"""Limits that contradict each other by less, relative, meet in one point."""


@dataclass(frozen=True)
class Capacitor:
    """A bank of which one step or none is connected.

    Parameters
    ----------
    bus
        Index of its bus.
    steps
        Rated injection of each step at 1 pu, without the choice "off" [pu]; the injection is step * v^2.
    """

    bus: int
    steps: tuple[float, ...]

    @property
    def choices(self) -> tuple[float, ...]:
        """Every rated injection that it can have, off among them, increasing [pu]."""
        return tuple(sorted({0.0, *self.steps}))


@dataclass(frozen=True)
class Tap:
    """A tap changer at the from end of a branch.

    Parameters
    ----------
    branch
        Index of its branch.
    low, high
        Least and largest tap, the voltage behind the ideal transformer over that of the from bus [pu].
    step
        Distance of its positions from ``low`` on [pu]; None = any value between.
    values
        Its positions where they are not equidistant, increasing, from ``low`` to ``high`` [pu]; ``step`` is None then.
    numbers
        What the file calls each of ``values``, the position that is set in the field; empty where it has no such count.
    """

    branch: int
    low: float
    high: float
    step: float | None = None
    values: tuple[float, ...] = ()
    numbers: tuple[int, ...] = ()

    def number(self, value: float) -> int | None:
        """What the file calls the position of a value, None where it does not count them."""
        return self.numbers[int(np.abs(np.array(self.values) - value).argmin())] if self.numbers else None

    def text(self, value: float) -> str:
        """A value for people: the position, its ratio second."""
        number = self.number(value)
        return f"{value:.4f} pu" if number is None else f"position {number} ({value:.4f} pu)"

    @property
    def positions(self) -> Floats | None:
        """Values it can have, increasing; None where it is continuous."""
        if self.values:
            return np.array(self.values)
        if self.step is None:
            return None
        count = int(np.floor((self.high - self.low) / self.step * (1 + 1e-9))) + 1
        return np.asarray(self.low + self.step * np.arange(count), dtype=np.float64)


@dataclass(frozen=True)
class Generator:
    r"""A generator that can be dispatched, an inverter for instance.

    While it is on

    .. math:: p_{\min} \le p \le p_{\max},\quad q_{\min} \le q \le q_{\max},\quad p^2 + q^2 \le s_{\max}^2,\quad
        q = p\,\tan\varphi \text{ with a fixed power factor.}

    Parameters
    ----------
    id
        As in the user's file.
    bus
        Index of its bus.
    p_min, p_max, q_min, q_max
        Range of its injections while it is on [pu].
    switchable
        It may be off, with no injection at all.
    s_max
        Rating [pu]; ``inf`` = none.
    mode
        One of :data:`MODES`.
    power_factor
        :math:`\cos\varphi` in mode ``power_factor``, from -1 to 1 without 0: positive where q has the sign of p (an
        inverter that feeds in raises the voltage), negative where it has the other one.
    """

    id: Id
    bus: int
    p_min: float
    p_max: float
    q_min: float
    q_max: float
    switchable: bool = False
    s_max: float = math.inf
    mode: str = FREE
    power_factor: float = 1.0

    @property
    def available(self) -> bool:
        """It can be on."""
        return self.mode != OFF

    @property
    def tangent(self) -> float | None:
        """Q over P where the power factor is fixed, else None."""
        if self.mode != FIXED_FACTOR:
            return None
        return math.copysign(math.sqrt(max(1 / self.power_factor**2 - 1, 0.0)), self.power_factor)

    @property
    def span(self) -> tuple[float, float, float, float]:
        """Smallest box around what it can inject while it is on: p_min, p_max, q_min, q_max [pu].

        For every p of the box there is a q that respects everything; a box that is empty (p_min > p_max) says that
        the limits contradict each other.
        """
        if self.mode == FIXED_FACTOR:
            tangent = self.tangent or 0.0
            widest = self.s_max * abs(self.power_factor)
            low, high = max(self.p_min, -widest), min(self.p_max, widest)
            if tangent:
                ends = sorted((self.q_min / tangent, self.q_max / tangent))
                low, high = max(low, ends[0]), min(high, ends[1])
            elif not self.q_min <= 0 <= self.q_max:
                return _EMPTY
            low, high = _joined(low, high)
            at_low, at_high = tangent * low, tangent * high
            return (low, high, min(at_low, at_high), max(at_low, at_high)) if low <= high else _EMPTY
        p_room, q_room = (
            math.sqrt(max(self.s_max**2 - _nearest_zero(low, high) ** 2, 0.0)) if self.s_max < math.inf else math.inf
            for low, high in ((self.q_min, self.q_max), (self.p_min, self.p_max))
        )
        nearest = math.hypot(_nearest_zero(self.p_min, self.p_max), _nearest_zero(self.q_min, self.q_max))
        if nearest > self.s_max * (1 + ROUNDING):
            return _EMPTY
        p_span = _joined(max(self.p_min, -p_room), min(self.p_max, p_room))
        return (*p_span, *_joined(max(self.q_min, -q_room), min(self.q_max, q_room)))

    @property
    def reach(self) -> tuple[float, float, float, float]:
        """p_min, p_max, q_min, q_max over all its states, "off" among them where it is possible [pu]."""
        if not self.available:
            return 0.0, 0.0, 0.0, 0.0
        p_min, p_max, q_min, q_max = self.span
        if not self.switchable:
            return p_min, p_max, q_min, q_max
        return min(p_min, 0.0), max(p_max, 0.0), min(q_min, 0.0), max(q_max, 0.0)

    def q_range(self, p: float) -> tuple[float, float]:
        """Least and largest q at some p within its ``span`` while it is on [pu]."""
        if (tangent := self.tangent) is not None:
            return tangent * p, tangent * p
        room = math.sqrt(max(self.s_max**2 - p**2, 0.0)) if self.s_max < math.inf else math.inf
        return max(self.q_min, -room), min(self.q_max, room)

    def nearest(self, p: float, q: float) -> tuple[float, float]:
        """Injections that it can have while it is on, p as near as possible to the one given, then q [pu]."""
        p_min, p_max, _, _ = self.span
        p = min(max(p, p_min), p_max)
        low, high = self.q_range(p)
        return p, min(max(q, low), high)

    def faults(self, p: float, q: float, on: bool) -> list[str]:
        """What of its limits an injection violates, the injections and limits in pu; empty if it is possible."""
        if not on:
            found = [] if self.switchable or not self.available else ["must be on"]
            return found if p == q == 0 else [*found, "injects though it is off"]
        if not self.available:
            return ["is in mode off"]
        slack = TOLERANCE * max(abs(p), abs(q), 1e-3)
        found = []
        for name, value, low, high in (("p", p, self.p_min, self.p_max), ("q", q, self.q_min, self.q_max)):
            if not low - slack <= value <= high + slack:
                found.append(f"{name} = {value:.6g} lies outside {low:.6g} to {high:.6g}")
        if math.hypot(p, q) > self.s_max * (1 + TOLERANCE):
            found.append(f"s = {math.hypot(p, q):.6g} lies above the rating of {self.s_max:.6g}")
        if (tangent := self.tangent) is not None and abs(q - tangent * p) > slack:
            found.append(f"q / p is not that of the power factor {self.power_factor:g}")
        return found


_EMPTY = (math.inf, -math.inf, math.inf, -math.inf)


def _joined(low: float, high: float) -> tuple[float, float]:
    """The interval, a single point where its ends differ by rounding in the wrong order."""
    return (low, low) if low > high and low - high <= ROUNDING * abs(low) else (low, high)


def _nearest_zero(low: float, high: float) -> float:
    """The number of an interval that is nearest to zero."""
    return min(max(0.0, low), high)


@dataclass(frozen=True)
class Controls:
    """What may be set besides the switches.

    Parameters
    ----------
    taps, capacitors, generators
        Empty where there are none, or where they are not to be used.
    """

    taps: tuple[Tap, ...] = ()
    capacitors: tuple[Capacitor, ...] = ()
    generators: tuple[Generator, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.taps or self.capacitors or self.generators)

    @property
    def text(self) -> str:
        """How many there are of each kind, in words."""
        there = [(one, getattr(self, one)) for one in KINDS]
        return ", ".join(counted(len(some), kind[:-1]) for kind, some in there if some) or "none"

    def only(self, names: str) -> Controls:
        """The controls of a comma-separated list of :data:`KINDS`, ``all`` or ``none``.

        Raises
        ------
        DataError
            If a name is none of these.
        """
        wanted = {"all": list(KINDS), "none": []}.get(names.strip(), [n.strip() for n in names.split(",")])
        unknown = [name for name in wanted if name not in KINDS]
        if unknown:
            known = f"use all, none, or some of {', '.join(KINDS)}"
            raise DataError("controls", [f"{name!r} is not a kind of control: {known}" for name in unknown])
        return replace(self, **{kind: () for kind in KINDS if kind not in wanted})

    @property
    def neutral(self) -> Settings:
        """Taps nearest to 1, capacitors off, generators off or as near to zero as they go."""
        on = tuple(g.available and not g.switchable for g in self.generators)
        generators = [
            g.nearest(0.0, 0.0) if running else (0.0, 0.0) for g, running in zip(self.generators, on, strict=True)
        ]
        taps = []
        for tap in self.taps:
            positions = tap.positions
            nearest = (
                np.clip(1.0, tap.low, tap.high) if positions is None else positions[np.abs(positions - 1).argmin()]
            )
            taps.append(float(nearest))
        return Settings(tuple(taps), (0.0,) * len(self.capacitors), tuple(generators), on)

    def faults(self, settings: Settings, bus_ids: Sequence[Id], branch_ids: Sequence[Id]) -> list[str]:
        """Why the controls cannot have these settings, a sentence each by id; empty when they can."""
        found = []
        for tap, value in zip(self.taps, settings.taps, strict=True):
            positions = np.array([np.clip(value, tap.low, tap.high)]) if tap.positions is None else tap.positions
            if np.abs(positions - value).min() > TOLERANCE:
                found.append(f"tap of branch {branch_ids[tap.branch]!r} cannot be at {value:.6g} pu")
        for bank, value in zip(self.capacitors, settings.capacitors, strict=True):
            if np.abs(np.array(bank.choices) - value).min() > TOLERANCE:
                found.append(f"capacitor at bus {bus_ids[bank.bus]!r} has no step of {value:.6g} pu")
        for g, (p, q), on in zip(self.generators, settings.generators, settings.on, strict=True):
            found += [f"generator {g.id!r}: {fault} [pu]" for fault in g.faults(p, q, on)]
        return found


@dataclass(frozen=True)
class Settings:
    """A value of every control, in the order of :class:`Controls`.

    Parameters
    ----------
    taps
        Tap of each tap changer [pu].
    capacitors
        Rated injection of each bank at 1 pu [pu], 0 = off.
    generators
        Injections (p, q) of each generator [pu].
    on
        The generator runs (one that is off injects nothing).
    """

    taps: tuple[float, ...] = ()
    capacitors: tuple[float, ...] = ()
    generators: tuple[tuple[float, float], ...] = ()
    on: tuple[bool, ...] = ()
