"""An OpenDSS circuit in all its phases as judge and as model of a search: no reduction to the positive sequence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from learnopt.io.opendss.branches import UNSTATED_AMPERES
from learnopt.io.opendss.classes import is_off
from learnopt.io.opendss.conductors import Conductors, conductors
from learnopt.io.opendss.devices import devices, operate
from learnopt.io.opendss.engine import HELD, each, terminals
from learnopt.io.opendss.laterals import Spot, connect, laterals
from learnopt.io.opendss.loads import is_shunt
from learnopt.io.opendss.radial import radial_circuit, unswept
from learnopt.io.opendss.scenarios import CircuitLoads
from learnopt.io.opendss.setting import circuit_buses, set_switches
from learnopt.io.stations import equipment
from learnopt.network import Bools, Floats, Ints, Network, Scenario
from learnopt.network.unbalanced import (
    Complex,
    ConductorCircuit,
    PhaseDevice,
    PhaseFlow,
    PhaseLateral,
    PhaseState,
    RadialCircuit,
)

_LIVE = 1e-3
"""Voltage below which a node is fed by nothing [pu]."""
_MANY_ITERATIONS = 2000
_A = np.exp(2j * np.pi / 3)
_TOLERANCE = 1e-6
"""To what a state is solved where the file asks for less: storages and inverters converge slowly, and a loss is else
that of the states solved before."""


class OpenDSSCircuit:
    """One circuit, open; controls have acted when it was read, and are held.

    Made by :func:`opened`.
    """

    tool = "OpenDSS"

    def __init__(self, dss: Any, read: Callable[[], AbstractContextManager[Any]], network: Network) -> None:
        self._dss, self._read, self._network = dss, read, network
        self._conductors: Conductors | None = None
        self._loads: CircuitLoads | None = None
        self._operated: dict[PhaseDevice, int] = {}
        self._connected: dict[str, str] = {}
        self._lossy_shunts = [
            full
            for full in dss.Circuit.AllElementNames()
            if full.lower().partition(".")[0] in ("capacitor", "reactor")
            and dss.Circuit.SetActiveElement(full) >= 0
            and is_shunt(dss)
        ]

    def conductors(self, switches: Ints) -> ConductorCircuit:
        """What lies in loops when these branches of the network are closed, as switches; others stay as they are."""
        with self._closed(switches) as (dss, names):
            self._conductors = conductors(dss, names)
        return self._conductors.circuit

    @contextmanager
    def _closed(self, switches: Ints) -> Iterator[tuple[Any, list[list[str]]]]:
        """The circuit with these branches closed, to be read only, and the elements of each."""
        names = [equipment(str(self._network.branch_ids[e])) for e in switches.tolist()]
        closed = ~self._network.normally_open
        closed[switches] = True  # a branch that is open and no switch of the problem is in no loop
        with self._read() as dss:
            set_switches(dss, self._network, closed)
            for device, position in self._operated.items():
                operate(dss, device, position)
            dss.Solution.BuildYMatrix(0, 0)
            yield dss, names

    def devices(self) -> tuple[PhaseDevice, ...]:
        """Regulators and capacitors of the file."""
        return devices(self._dss)

    def operate(self, positions: Mapping[str, int]) -> None:
        """Set regulators and capacitors; conductors that are read later have these ratios."""
        for device in devices(self._dss):
            if device.element in positions:
                operate(self._dss, device, positions[device.element])
                self._operated[replace(device, present=0)] = positions[device.element]

    def laterals(self) -> tuple[PhaseLateral, ...]:
        """Laterals of one phase that can hang on another."""
        return tuple(self._laterals)

    def connect(self, phases: Mapping[str, str]) -> None:
        """Connect laterals to these phases, all others to those of the file."""
        for lateral, spots in self._laterals.items():
            wanted, present = phases.get(lateral.element, lateral.phase), self._connected.get(lateral.element)
            if wanted != (present or lateral.phase):
                connect(self._dss, spots, lateral.phase, wanted)
                self._connected[lateral.element] = wanted

    @cached_property
    def _laterals(self) -> dict[PhaseLateral, list[Spot]]:
        return laterals(self._dss)

    def set_loads(self, scenario: Scenario | None) -> None:
        """Set the loads of another situation; None = those of the file."""
        if self._loads is None:
            self._loads = CircuitLoads(self._dss, self._network)
        self._loads.set(scenario)

    def solve(self, closed: Bools) -> bool:
        """Set every switch and solve, from the solution before or else from loads as impedances.

        False where OpenDSS finds no solution.
        """
        set_switches(self._dss, self._network, closed)
        for start in (None, self._dss.Solution.SolveDirect):
            if start is not None:
                start()  # what an iteration that ran away leaves is no start for another
            self._dss.Solution.Solve()
            if self._dss.Solution.Converged() and math.isfinite(self.loss_kw):
                return True
        return False

    @property
    def tolerance(self) -> float:
        """Relative change of a voltage from one iteration to the next at which OpenDSS ends."""
        return float(self._dss.Solution.Convergence())

    @contextmanager
    def closely(self, tolerance: float) -> Iterator[None]:
        """Within it solutions have this tolerance at most; inverters take hundreds of iterations to it."""
        solution = self._dss.Solution
        before, most = self.tolerance, solution.MaxIterations()
        if before > tolerance:
            solution.Convergence(tolerance)
            solution.MaxIterations(max(most, _MANY_ITERATIONS))
        try:
            yield
        finally:
            solution.Convergence(before)
            solution.MaxIterations(most)

    @property
    def loss_kw(self) -> float:
        """Loss of the last solution, without what capacitors and shunt reactors draw [kW]."""
        loss = float(self._dss.Circuit.Losses()[0])
        for name in self._lossy_shunts:
            self._dss.Circuit.SetActiveElement(name)
            if self._dss.CktElement.Enabled() and not is_off(self._dss):
                loss -= float(self._dss.CktElement.Losses()[0])
        return loss / 1e3

    def currents(self) -> Complex:
        """Currents of the conductors in the last solution [A]."""
        assert self._conductors is not None, "conductors come first"
        return self._conductors.currents(self._dss)

    def radial(self, switches: Ints) -> RadialCircuit | str:
        """The circuit for sweeps over states of these branches, others as they are, or why it has none."""
        if beyond := unswept(self._dss):
            return beyond
        with self._closed(switches) as (dss, names):
            names = [[name for name in own if not name.startswith("vsource.")] for own in names]
            return radial_circuit(dss, self._dss, names, circuit_buses(self._dss, self._network))

    def state(self) -> PhaseState:
        """All of the last solution."""
        voltage, unbalance = self._voltages()
        lowest, highest = self._extremes(voltage)
        current, loading = self._loading()
        heads = {f"vsource.{name}": _kva(self._dss) for name in each(self._dss.Vsources)}
        ids = [str(self._network.bus_ids[k]) for k in self._network.substations]
        return PhaseState(
            self.loss_kw,
            lowest,
            highest,
            np.count_nonzero(~np.isnan(voltage), axis=1),
            unbalance,
            current,
            loading,
            np.array([heads.get(bus, 0.0) for bus in ids]),
            voltage,
        )

    def flow(self) -> PhaseFlow:
        """Currents and powers of the last solution."""
        dss, net = self._dss, self._network
        amperes, power = (np.full((net.n_branch, 3), np.nan, dtype=complex) for _ in range(2))
        for e, branch in enumerate(net.branch_ids):
            for name in equipment(str(branch)):
                if dss.Circuit.SetActiveElement(name) < 0 or not dss.CktElement.Enabled():
                    continue
                for total, own in zip((amperes, power), _into_phases(dss), strict=True):
                    here = ~np.isnan(own)
                    total[e, here] = np.nan_to_num(total[e, here]) + own[here]
        heads = {f"vsource.{name}": -_into_phases(dss)[1].real for name in each(dss.Vsources)}
        ids = [str(net.bus_ids[k]) for k in net.substations]
        drawn = np.array([heads.get(bus, np.zeros(3)) for bus in ids])
        return PhaseFlow(np.abs(amperes), np.abs(np.nansum(amperes, axis=1)), power.real, drawn)

    def _voltages(self) -> tuple[Floats, Floats]:
        """Voltage of each phase of each bus [pu], NaN where it has none, shape (n_bus, 3), and its unbalance."""
        net = self._network
        flat = np.array(self._dss.Circuit.AllBusVolts())
        at: dict[str, dict[int, complex]] = {}
        for name, volts in zip(self._dss.Circuit.AllNodeNames(), flat[0::2] + 1j * flat[1::2], strict=True):
            bus, _, node = name.lower().rpartition(".")
            if node in ("1", "2", "3"):
                at.setdefault(bus, {})[int(node)] = complex(volts)
        voltage, unbalance = np.full((net.n_bus, 3), np.nan), np.full(net.n_bus, np.nan)
        for k, bus in enumerate(net.bus_ids):
            phasors = at.get(str(bus), {})
            unit = 1e3 * float(net.kv[k]) / math.sqrt(3)
            for node, volts in phasors.items():
                if abs(volts) > _LIVE * unit:
                    voltage[k, node - 1] = abs(volts) / unit
            if not np.isnan(voltage[k]).any():
                a, b, c = (phasors[node] for node in (1, 2, 3))
                positive, negative = a + _A * b + _A**2 * c, a + _A**2 * b + _A * c
                unbalance[k] = abs(negative) / max(abs(positive), 1e-12)
        return voltage, unbalance

    def _extremes(self, voltage: Floats) -> tuple[Floats, Floats]:
        """Lowest and highest phase of each bus [pu]."""
        net = self._network
        lowest = np.where(np.isnan(voltage), np.inf, voltage).min(axis=1)
        highest = np.where(np.isnan(voltage), -np.inf, voltage).max(axis=1)
        lowest[np.isinf(lowest)] = highest[np.isinf(highest)] = np.nan
        for k, vm in zip(net.substations, net.substation_vm, strict=True):
            if np.isnan(lowest[k]):
                lowest[k] = highest[k] = vm
        for values in (lowest, highest):  # loose ends and inner nodes, which OpenDSS has not: as at the other end
            while np.isnan(values).any():
                tail, head = values[net.from_bus], values[net.to_bus]
                from_head = np.isnan(tail) & ~np.isnan(head)
                from_tail = np.isnan(head) & ~np.isnan(tail)
                if not (from_head.any() or from_tail.any()):
                    values[np.isnan(values)] = 0.0
                values[net.from_bus[from_head]] = head[from_head]
                values[net.to_bus[from_tail]] = tail[from_tail]
        return lowest, highest

    def _loading(self) -> tuple[Floats, Floats]:
        """Current of the most loaded phase of each branch [A], and over its rating."""
        dss, net = self._dss, self._network
        current, loading = np.zeros(net.n_branch), np.zeros(net.n_branch)
        for e, branch in enumerate(net.branch_ids):
            for name in equipment(str(branch)):
                if dss.Circuit.SetActiveElement(name) < 0 or not dss.CktElement.Enabled():
                    continue
                amperes = np.array(dss.CktElement.CurrentsMagAng()[0::2]).reshape(dss.CktElement.NumTerminals(), -1)
                largest = float(amperes[:, : dss.CktElement.NumPhases()].max(initial=0.0))
                current[e] = max(current[e], largest)
                rated = dss.CktElement.NormalAmps()
                if name.startswith("line.") and 0 < rated != UNSTATED_AMPERES:
                    loading[e] = max(loading[e], largest / rated)
                elif name.startswith("transformer.") and rated > 0:
                    loading[e] = max(loading[e], float(amperes[0, : dss.CktElement.NumPhases()].max()) / rated)
        return current, loading


def _into_phases(dss: Any) -> tuple[Complex, Complex]:
    """Current [A] and power [kVA] into the phases a b c of the active element at its first terminal, NaN without."""
    amperes, power = np.full(3, np.nan, dtype=complex), np.full(3, np.nan, dtype=complex)
    nodes, into, kva = terminals(dss)[0][1], np.array(dss.CktElement.Currents()), np.array(dss.CktElement.Powers())
    for k, node in enumerate(nodes[: dss.CktElement.NumConductors()]):
        if 1 <= node <= 3:
            amperes[node - 1] = complex(into[2 * k], into[2 * k + 1])
            power[node - 1] = complex(kva[2 * k], kva[2 * k + 1])
    return amperes, power


@contextmanager
def opened(
    read: Callable[[], AbstractContextManager[Any]], network: Network, scenario: Scenario | None = None
) -> Iterator[OpenDSSCircuit]:
    """The circuit of a file, with the loads of a scenario where one is given.

    Parameters
    ----------
    read
        Opens a context of its own with the file read and solved.

    Raises
    ------
    DataError, UnsupportedError
        As :func:`~learnopt.io.opendss.engine.engine`.
    """
    with read() as dss:
        dss.Solution.ControlMode(HELD)
        with ExitStack() as stack:
            circuit = OpenDSSCircuit(dss, read, network)
            if scenario is not None:
                circuit.set_loads(scenario)
            own = circuit.tolerance, dss.Solution.MaxIterations()
            stack.enter_context(circuit.closely(_TOLERANCE))
            if not circuit.solve(network.normal_configuration.closed):
                dss.Solution.Convergence(own[0])
                dss.Solution.MaxIterations(own[1])
            yield circuit


def _kva(dss: Any) -> float:
    p, q = dss.CktElement.TotalPowers()[:2]
    return math.hypot(p, q)
