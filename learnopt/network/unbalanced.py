"""A network in all its phases: what a search needs of it, what a power flow says of it, and who computes that.

The unbalanced circuit itself stays in the tool of its file, which is its judge; a network of one phase beside it says
which branches are switches, what they are called, and what limits hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from learnopt.network.aliases import Bools, Floats, Ints
from learnopt.network.situations import Scenario

Complex = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class ConductorCircuit:
    """Conductors and coils that lie in loops, with every switch closed and all else as it is at first.

    Parameters
    ----------
    balance
        Kirchhoff's current law of the currents, shape (n_node, n_current), sparse; ground and sources have no row.
    resistance
        Symmetric, positive semidefinite, sparse, shape (n_current, n_current): loss [W] is f^H R f.
    switch
        Switch that each current flows through, -1 = none, shape (n_current,).
    n_switch
        Number of switches; those in no loop have no current here.
    joins
        Parts of the circuit, one per phase as a rule, that the current of a switch joins, shape (n_current, 2); part 0
        holds the sources, -1 stands for what is no switch.
    n_part
        Number of parts.
    """

    balance: csr_matrix
    resistance: csr_matrix
    switch: Ints
    n_switch: int
    joins: Ints
    n_part: int


@dataclass(frozen=True, eq=False)
class PhaseState:
    """One solution of all phases, by the buses and branches of a network.

    Parameters
    ----------
    loss_kw
        Loss in lines and transformers; what lies inside the sources is not the network's.
    lowest, highest
        Voltage of the lowest and highest phase of each bus [pu], shape (n_bus,).
    live
        Phases of each bus that have a voltage, shape (n_bus,).
    unbalance
        Negative- over positive-sequence voltage, shape (n_bus,); NaN for a bus without three phases.
    current_a, loading
        Current of the most loaded phase of each branch [A], and over its rating (0 where none is stated), shape
        (n_branch,).
    head_kva
        Apparent power drawn at each substation [kVA], shape (n_substation,).
    voltage
        Of each phase a b c of each bus [pu], NaN where it has none, shape (n_bus, 3).
    """

    loss_kw: float
    lowest: Floats
    highest: Floats
    live: Ints
    unbalance: Floats
    current_a: Floats
    loading: Floats
    head_kva: Floats
    voltage: Floats


@dataclass(frozen=True, eq=False)
class PhaseFlow:
    """Currents and powers of one solution, phase by phase.

    Parameters
    ----------
    phase_a
        Current of each phase of each branch [A], NaN where it has none, shape (n_branch, 3).
    return_a
        Current that the phases of each branch do not return, so that neutral or earth does [A], shape (n_branch,).
    from_kw
        Active power into each phase of each branch at its first end [kW], NaN where it has none, shape (n_branch, 3).
    head_kw
        Active power drawn in each phase at each substation [kW], shape (n_substation, 3).
    """

    phase_a: Floats
    return_a: Floats
    from_kw: Floats
    head_kw: Floats

    @classmethod
    def largest(cls, flows: Sequence[PhaseFlow]) -> PhaseFlow:
        """Currents and powers of largest size in several solutions."""

        def most(name: str) -> Floats:
            each = np.array([getattr(one, name) for one in flows])
            size = np.where(np.isnan(each), -1.0, np.abs(each)).argmax(axis=0)
            return np.take_along_axis(each, size[None], axis=0)[0]

        return cls(most("phase_a"), most("return_a"), most("from_kw"), most("head_kw"))


@dataclass(frozen=True, eq=False)
class TransposedCircuit:
    """A circuit of transposed three-phase lines without charging, and loads of constant power to ground.

    Parameters
    ----------
    z1, z0
        Positive- and zero-sequence impedance of each branch [ohm], real parts > 0, imaginary ones >= 0, complex, shape
        (n_branch,); 0 where it is none of the network: inside a source.
    p, q
        Power of the three phases of each bus [W], [var], >= 0, shape (n_bus,).
    emf
        Smallest and largest voltage of the sources, phase to ground [V]; balanced.
    source_ohm
        Largest impedance inside a source, of any sequence.
    floor_v
        Every load of a bus draws its power, or more, from this phase voltage on [V], 0 without loads, shape (n_bus,).
    most_a, most_s
        Current of all loads and phases together is at most ``most_a + most_s * V`` at phase voltages of at most V [A],
        [S].
    """

    z1: Complex
    z0: Complex
    p: Floats
    q: Floats
    emf: tuple[float, float]
    source_ohm: float
    floor_v: Floats
    most_a: float
    most_s: float


TAPS, CAPACITORS = "taps", "capacitors"
"""Kinds of devices."""


@dataclass(frozen=True)
class PhaseDevice:
    """A regulator or a bank of capacitors that can be set by itself, whatever its neighbours do.

    Parameters
    ----------
    element
        Name in the tool: ``transformer.reg1a``.
    kind
        ``taps`` or ``capacitors``.
    phases
        Phases that it is in.
    first
        Number of its first position; the others follow one by one.
    values
        Of each position: tap [pu], or capacitors connected [kvar at nominal voltage].
    present
        Number of the position that the file leaves it in.
    winding
        Of a regulator: the one that is tapped.
    """

    element: str
    kind: str
    phases: str
    first: int
    values: tuple[float, ...]
    present: int
    winding: int = 0

    @property
    def last(self) -> int:
        """Number of its last position."""
        return self.first + len(self.values) - 1


@dataclass(frozen=True, eq=False)
class RadialLoads:
    """Parts of loads, each between a phase and ground or between two phases.

    Parameters
    ----------
    bus
        Shape (n_part,).
    nodes
        Phases 0 1 2 that each lies between, -1 = ground, shape (n_part, 2).
    power
        At rated voltage [VA], complex, shape (n_part,).
    rated
        Rated voltage across it [V], shape (n_part,).
    limits
        Over the rated voltage: below the first it is the impedance of that voltage, from the second to the third it
        draws its power; the fourth is 0 for a constant impedance, shape (n_part, 4).
    """

    bus: Ints
    nodes: Ints
    power: Complex
    rated: Floats
    limits: Floats


@dataclass(frozen=True, eq=False)
class RadialCircuit:
    """Lines, loads and shunts of a circuit that is solved bus by bus wherever its closed lines are radial.

    Parameters
    ----------
    bus
        Bus of the network that each of its buses is, -1 = none, shape (n_bus,).
    tail, head, switch
        Buses of each line and its switch, -1 = none, shape (n_line,).
    phases
        Which phases it has, bool, shape (n_line, 3).
    z, y
        Series impedance [ohm], and charging at each end [S], 0 in phases it has not, complex, shape (n_line, 3, 3).
    shunt
        Of each bus [S], complex, shape (n_bus, 3, 3).
    source, emf, inside
        Bus of each source, its voltages [V] and the impedance inside it [ohm], shapes (n_source,), (n_source, 3) and
        (n_source, 3, 3).
    loads
        What is drawn.
    """

    bus: Ints
    tail: Ints
    head: Ints
    switch: Ints
    phases: Bools
    z: Complex
    y: Complex
    shunt: Complex
    source: Ints
    emf: Complex
    inside: Complex
    loads: RadialLoads

    @property
    def n_bus(self) -> int:
        """Number of buses."""
        return len(self.bus)


class PhaseCircuit(Protocol):
    """A circuit of all phases in a tool that solves it, one load situation."""

    @property
    def tool(self) -> str:
        """Name of the tool, for people."""
        ...

    @property
    def tolerance(self) -> float:
        """Relative change of a voltage from one iteration to the next at which it ends."""
        ...

    def closely(self, tolerance: float) -> AbstractContextManager[None]:
        """Within it solutions have this tolerance at most, however many iterations that takes."""
        ...

    def conductors(self, switches: Ints) -> ConductorCircuit:
        """What lies in loops when these branches of the network are closed, as switches; others stay as they are."""
        ...

    def set_loads(self, scenario: Scenario | None) -> None:
        """Set the loads of another situation; None = those of the file."""
        ...

    def solve(self, closed: Bools) -> bool:
        """Set every switch and solve, taps held; False where there is no solution."""
        ...

    @property
    def loss_kw(self) -> float:
        """Loss of the last solution."""
        ...

    def currents(self) -> Complex:
        """Currents of the conductors in the last solution [A], shape (n_current,)."""
        ...

    def state(self) -> PhaseState:
        """What the last solution is judged by."""
        ...

    def flow(self) -> PhaseFlow:
        """Currents and powers of the last solution."""
        ...

    def radial(self, switches: Ints) -> RadialCircuit | str:
        """The circuit for sweeps over states of these branches, others as they are, or why it has none."""
        ...


@dataclass(frozen=True)
class PhaseLateral:
    """What hangs on one phase of a line of several, and can hang on another.

    Parameters
    ----------
    element
        Its first element in the tool: ``line.l7``.
    bus
        Where it hangs.
    phase, choice
        Its phase in the file, and the phases that its bus has.
    size
        Terminals that move with it.
    load_kw
        Nominal load behind it [kW].
    """

    element: str
    bus: str
    phase: str
    choice: str
    size: int
    load_kw: float


@runtime_checkable
class LateralCircuit(PhaseCircuit, Protocol):
    """A circuit whose laterals can be connected to other phases."""

    def laterals(self) -> tuple[PhaseLateral, ...]:
        """What can move."""
        ...

    def connect(self, phases: Mapping[str, str]) -> None:
        """Connect laterals, by their elements, to these phases; all others to those of the file."""
        ...


@runtime_checkable
class ControlledCircuit(PhaseCircuit, Protocol):
    """A circuit whose regulators and capacitors can be set."""

    def devices(self) -> tuple[PhaseDevice, ...]:
        """What can be set."""
        ...

    def operate(self, positions: Mapping[str, int]) -> None:
        """Set devices, by their elements, to the numbers of their positions."""
        ...
