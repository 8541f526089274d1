"""Many load situations in one open circuit: each a circuit of its own to whoever searches, solved in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np

from learnopt.network import Bools, Ints, Scenario
from learnopt.network.unbalanced import (
    Complex,
    ConductorCircuit,
    PhaseCircuit,
    PhaseFlow,
    PhaseState,
    RadialCircuit,
)


class SituationCircuit:
    """The circuit in one load situation; what was solved in another one meanwhile is solved again when it is asked for.

    Made by :func:`situations_of`.
    """

    def __init__(self, shared: _Shared, scenario: Scenario) -> None:
        self._shared, self._scenario = shared, scenario
        self._closed: Bools | None = None
        self._loss_kw = math.nan

    @property
    def tool(self) -> str:
        """Name of the tool, for people."""
        return self._shared.circuit.tool

    @property
    def tolerance(self) -> float:
        """Relative change of a voltage from one iteration to the next at which it ends."""
        return self._shared.circuit.tolerance

    def closely(self, tolerance: float) -> AbstractContextManager[None]:
        """Within it solutions have this tolerance at most, in all situations."""
        return self._shared.circuit.closely(tolerance)

    def conductors(self, switches: Ints) -> ConductorCircuit:
        """What lies in loops with the switches closed, the same in all situations."""
        return self._shared.conductors(switches)

    def set_loads(self, scenario: Scenario | None) -> None:
        """Set another situation.

        Raises
        ------
        TypeError
            Always: it stands for one.
        """
        raise TypeError("a circuit of one load situation keeps it")

    def solve(self, closed: Bools) -> bool:
        """Set loads and switches and solve; False where there is no solution."""
        self._shared.take(self, self._scenario)
        solved = self._shared.circuit.solve(closed)
        self._closed, self._loss_kw = np.array(closed), self._shared.circuit.loss_kw
        return solved

    @property
    def loss_kw(self) -> float:
        """Loss of the last solution of this situation [kW]."""
        return self._loss_kw

    def currents(self) -> Complex:
        """Currents of the conductors in the last solution of this situation [A]."""
        self._again()
        return self._shared.circuit.currents()

    def state(self) -> PhaseState:
        """What the last solution of this situation is judged by."""
        self._again()
        return self._shared.circuit.state()

    def radial(self, switches: Ints) -> RadialCircuit | str:
        """The circuit for sweeps in this situation, solved before, or why it has none."""
        self._again()
        return self._shared.circuit.radial(switches)

    def flow(self) -> PhaseFlow:
        """Currents and powers of the last solution of this situation."""
        self._again()
        return self._shared.circuit.flow()

    def _again(self) -> None:
        assert self._closed is not None, "solve first"
        if self._shared.holder is not self:
            self.solve(self._closed)


class _Shared:
    """The circuit, and whose solution it holds."""

    def __init__(self, circuit: PhaseCircuit) -> None:
        self.circuit = circuit
        self.holder: SituationCircuit | None = None
        self._conductors: dict[bytes, ConductorCircuit] = {}

    def take(self, holder: SituationCircuit, scenario: Scenario) -> None:
        """The loads of a situation, set where they are not."""
        if self.holder is not holder:
            self.circuit.set_loads(scenario)
            self.holder = holder

    def conductors(self, switches: Ints) -> ConductorCircuit:
        """Read once for each choice of switches."""
        key = switches.tobytes()
        if key not in self._conductors:
            self._conductors = {key: self.circuit.conductors(switches)}
        return self._conductors[key]


def situations_of(circuit: PhaseCircuit, scenarios: Sequence[Scenario]) -> tuple[SituationCircuit, ...]:
    """Views of one open circuit, which is solved through them only, one for each load situation."""
    shared = _Shared(circuit)
    return tuple(SituationCircuit(shared, scenario) for scenario in scenarios)
