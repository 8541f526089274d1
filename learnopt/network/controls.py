"""Controls besides the switches: capacitor banks, transformer taps and dispatchable generators, and their settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from learnopt.errors import DataError
from learnopt.network.aliases import Floats, Id

KINDS = ("taps", "capacitors", "generators")
"""What ``--controls`` may name."""


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
    """

    branch: int
    low: float
    high: float
    step: float | None = None

    @property
    def positions(self) -> Floats | None:
        """Values it can have, increasing; None where it is continuous."""
        if self.step is None:
            return None
        count = int(np.floor((self.high - self.low) / self.step * (1 + 1e-9))) + 1
        return np.asarray(self.low + self.step * np.arange(count), dtype=np.float64)


@dataclass(frozen=True)
class Generator:
    """A generator that can be dispatched.

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
    """

    id: Id
    bus: int
    p_min: float
    p_max: float
    q_min: float
    q_max: float
    switchable: bool = False

    @property
    def reach(self) -> tuple[float, float, float, float]:
        """p_min, p_max, q_min, q_max over all its states, "off" among them where it is switchable [pu]."""
        if not self.switchable:
            return self.p_min, self.p_max, self.q_min, self.q_max
        return min(self.p_min, 0.0), max(self.p_max, 0.0), min(self.q_min, 0.0), max(self.q_max, 0.0)


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
        generators = [
            (0.0, 0.0)
            if g.switchable
            else (float(np.clip(0.0, g.p_min, g.p_max)), float(np.clip(0.0, g.q_min, g.q_max)))
            for g in self.generators
        ]
        taps = []
        for tap in self.taps:
            positions = tap.positions
            nearest = (
                np.clip(1.0, tap.low, tap.high) if positions is None else positions[np.abs(positions - 1).argmin()]
            )
            taps.append(float(nearest))
        on = tuple(not g.switchable for g in self.generators)
        return Settings(tuple(taps), (0.0,) * len(self.capacitors), tuple(generators), on)


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
