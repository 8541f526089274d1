"""A network in all its phases as its file states it, and the balanced network that stands for it.

Quantities are in SI, per phase, as files and power flow tools have them: nothing is computed with them here but the
balanced equivalent. Phases are letters: ``"abc"``, ``"b"``. A wye load lies between a phase and ground, a delta load
between a phase and the next one (a: a-b, b: b-c, c: c-a).

A branch of n phases that share the power evenly loses ``|S / (n V)|^2 w^H Z w``, w being the balanced unit phasors of
its phases; the branch of impedance z of the balanced network loses ``|S / (3 V)|^2 3 z``. So ``z = 3 w^H Z w / n^2``;
shunts are ``w^H Y w / 3`` by the same comparison.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from learnopt.network.aliases import Bools, Floats

ABC = "abc"
_W = np.exp(-2j * np.pi / 3 * np.arange(3))
"""Voltages of phases a b c in a balanced system [pu]."""
_SAME = 1e-9
"""Relative difference of phases that counts as none."""

LEAST_VOLTAGE, MOST_VOLTAGE = 0.3, 2.0
"""Within which a load keeps its model where its file says nothing [pu]."""
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Windings:
    """What a transformer has beyond the series impedance of a branch.

    Parameters
    ----------
    connection
        Of its from and its to side: ``YNyn``, ``Dyn``, ``Yd``, ``YNd``, ``Dy``, ``Dd``; N or n: the star is grounded.
    ratio
        Off-nominal ratio at the from end, of each of its phases; one value where a winding is a delta.
    shift_deg
        How far the from end leads the to end without load [degree].
    r0_ohm, x0_ohm
        Zero-sequence impedance beyond that of the positive sequence, as of the neutral of its grounded to side [ohm at
        the from end].
    magnetising_ohm
        Magnetising impedance of the zero sequence, at the point that parts the series impedance [ohm at the from end];
        0 = it has a core for each phase, and none.
    from_share
        Share of the series impedance that lies between the from end and that point.
    """

    connection: str
    ratio: tuple[float, ...]
    shift_deg: float = 0.0
    r0_ohm: float = 0.0
    x0_ohm: float = 0.0
    magnetising_ohm: complex = 0j
    from_share: float = 0.5

    @property
    def by_phase(self) -> bool:
        """Grounded stars on both sides, so that each phase is a transformer by itself."""
        more = self.r0_ohm or self.x0_ohm or self.shift_deg or self.magnetising_ohm
        return self.connection == "YNyn" and not more


@dataclass(frozen=True, eq=False)
class PhaseBranch:
    """A branch with n phases, which its switch opens and closes together.

    Parameters
    ----------
    phases
        Conductors that it has.
    r_ohm, x_ohm
        Series impedance matrix, shape (n, n), symmetric, at the nominal voltage of its from bus.
    b_us
        Charging, both ends together [microsiemens], shape (n, n); of a transformer its magnetisation, negative.
    g_us
        Iron losses of a transformer, per phase, both ends together [microsiemens].
    windings
        Of a transformer; None for a line.
    switchable
        Its file says that the state may be chosen. A tie of fewer than three phases is none in the balanced network.
    """

    phases: str
    r_ohm: Floats
    x_ohm: Floats
    b_us: Floats
    g_us: float = 0.0
    windings: Windings | None = None
    switchable: bool = True

    @property
    def balanced(self) -> bool:
        """Three phases of equal impedance, equally coupled."""
        if self.phases != ABC or (self.windings is not None and len(set(self.windings.ratio)) > 1):
            return False
        return all(is_circulant(m) for m in (self.r_ohm, self.x_ohm, self.b_us))

    @property
    def uncoupled(self) -> bool:
        """A line of several phases without any mutual impedance."""
        n = len(self.phases)
        mutual = ~np.eye(n, dtype=bool)
        return (
            n > 1 and self.windings is None and not (self.r_ohm + self.x_ohm)[mutual].any() and bool(self.r_ohm.any())
        )

    @property
    def equivalent_ohm(self) -> complex:
        """Series impedance of the branch that stands for it in the balanced network [ohm]."""
        w = phasors(self.phases)
        return complex(3 * w.conj() @ (self.r_ohm + 1j * self.x_ohm) @ w) / len(w) ** 2

    @property
    def equivalent_us(self) -> complex:
        """Shunt admittance of that branch, both ends together [microsiemens]."""
        w = phasors(self.phases)
        return complex(self.g_us * len(w) / 3, (w.conj() @ self.b_us @ w).real / 3)

    @property
    def equivalent_ratio(self) -> float:
        """Ratio of that branch."""
        return 1.0 if self.windings is None else float(np.mean(self.windings.ratio))


@dataclass(frozen=True)
class PhaseLoad:
    """A load, generator or capacitor, phase by phase.

    Parameters
    ----------
    bus
        Index of its bus.
    kw, kvar
        What it draws at nominal voltage in a, b, c; between a-b, b-c, c-a where ``delta``. Of a generator what it
        feeds.
    delta
        Between two phases.
    current, impedance
        Shares of constant current and of constant impedance, 0 to 1; the rest is constant power.
    feeds
        It is a generator.
    name
        For people.
    vm_min, vm_max
        Voltage within which it is what it is [pu]; beyond, OpenDSS makes an impedance of it.
    """

    bus: int
    kw: Triple
    kvar: Triple
    delta: bool = False
    current: float = 0.0
    impedance: float = 0.0
    feeds: bool = False
    name: str = ""
    vm_min: float = LEAST_VOLTAGE
    vm_max: float = MOST_VOLTAGE

    @property
    def balanced(self) -> bool:
        """Its phases are equal."""
        power = np.array(self.kw) + 1j * np.array(self.kvar)
        return bool(np.ptp(power.real) + np.ptp(power.imag) <= _SAME * np.abs(power).sum())

    @property
    def total(self) -> complex:
        """What its phases draw together at nominal voltage; of a generator less than 0 [kVA]."""
        return complex(sum(self.kw), sum(self.kvar)) * (-1 if self.feeds else 1)

    @property
    def shunt_share(self) -> float:
        """Share that is an impedance in the balanced network: a current is half of one there."""
        return self.impedance + self.current / 2


@dataclass(frozen=True)
class SourceImpedance:
    """What a substation, which holds the positive sequence, has in the other two sequences [ohm]; 0 = none."""

    negative_ohm: complex = 0j
    zero_ohm: complex = 0j


@dataclass(frozen=True, eq=False)
class PhaseData:
    """Phases of a network, by its buses, branches and substations.

    Parameters
    ----------
    bus_phases
        Phases of each bus.
    branches
        In the order of the network.
    loads
        All that is drawn and fed, at any bus.
    sources
        In the order of the substations.
    """

    bus_phases: tuple[str, ...]
    branches: tuple[PhaseBranch, ...]
    loads: tuple[PhaseLoad, ...]
    sources: tuple[SourceImpedance, ...]

    @property
    def balanced(self) -> bool:
        """The balanced network is the network itself."""
        return all(one.balanced for one in self.branches) and all(one.balanced for one in self.loads)

    def ties(self, normally_open: Bools) -> list[int]:
        """Switches of fewer than three phases that are open, and stay so in the balanced network."""
        return [
            e for e, one in enumerate(self.branches) if one.switchable and one.phases != ABC and bool(normally_open[e])
        ]

    def imbalance(self, names: Iterable[str]) -> str:
        """Why it is not balanced, in words; "" where it is.

        Parameters
        ----------
        names
            Of the branches.
        """
        kinds: dict[str, list[str]] = {"fewer than three phases": [], "unequal phases": []}
        for name, branch in zip(names, self.branches, strict=True):
            if not branch.balanced:
                kinds["unequal phases" if branch.phases == ABC else "fewer than three phases"].append(name)
        parts = [
            f"{len(found)} branches have {kind} ({', '.join(found[:3])}{' ...' if len(found) > 3 else ''})"
            for kind, found in kinds.items()
            if found
        ]
        uneven = sum(not load.balanced for load in self.loads)
        if uneven:
            parts.append(f"{uneven} of {len(self.loads)} loads differ between phases")
        return "; ".join(parts)


def phasors(phases: str) -> np.ndarray:
    """Voltages of these phases in a balanced system [pu]."""
    return np.array([_W[ABC.index(p)] for p in phases])


def is_circulant(matrix: Floats) -> bool:
    """All own values are equal, and all mutual ones."""
    n = len(matrix)
    own, mutual = np.diag(matrix), matrix[~np.eye(n, dtype=bool)]
    return bool(np.ptp(own) + (np.ptp(mutual) if n > 1 else 0.0) <= _SAME * np.abs(matrix).max(initial=0.0))


def of_sequences(positive: float, zero: float, n: int) -> Floats:
    """Matrix of n phases of a transposed branch, from its values in the positive and in the zero sequence."""
    own, mutual = (zero + 2 * positive) / 3, (zero - positive) / 3
    return np.full((n, n), mutual) + (own - mutual) * np.eye(n)


def sequences(matrix: Floats) -> tuple[float, float]:
    """The way back for a circulant matrix of three phases: positive and zero sequence."""
    own, mutual = float(matrix[0, 0]), float(matrix[0, 1])
    return own - mutual, own + 2 * mutual
