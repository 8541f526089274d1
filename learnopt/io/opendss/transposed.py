"""What a proof that imbalance never helps needs of an OpenDSS circuit: transposed lines and loads of constant power."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from learnopt.io.opendss.classes import is_off
from learnopt.io.opendss.engine import admittance, each, terminals
from learnopt.io.opendss.loads import rated_power
from learnopt.io.opendss.setting import circuit_buses
from learnopt.network import Network
from learnopt.network.unbalanced import TransposedCircuit

_SILENT = ("swtcontrol", "energymeter", "monitor", "sensor")
"""Classes that draw and carry nothing."""
_SERVED = ("line", "vsource", "load")
_ALIKE = 1e-9
"""Relative difference of two entries that count as equal."""
_POWER_FLOW = 1
"""OpenDSS's number of the load model in which loads are not all impedances."""


def foreign(dss: Any) -> str:
    """An element that such a circuit has not, for a look before the file is read once more; "" where there is none."""
    if dss.Solution.LoadModel() != _POWER_FLOW:
        return "the file has all loads as impedances (LoadModel)"
    for name in map(str.lower, dss.Circuit.AllElementNames()):
        if name.partition(".")[0] not in (*_SILENT, *_SERVED):
            dss.Circuit.SetActiveElement(name)
            if dss.CktElement.Enabled():
                return f"{name} is neither a line nor a load"
    return ""


def transposed(closed: Any, solved: Any, network: Network) -> TransposedCircuit | str:
    """The circuit in sequences, or why it has none; nothing in it is :func:`foreign`.

    Parameters
    ----------
    closed
        OpenDSS with every line closed.
    solved
        OpenDSS with the loads as they are.
    network
        Its branches are the lines, and what lies inside the sources.
    """
    buses = circuit_buses(solved, network)
    index = {bus: k for k, bus in enumerate(buses)}
    branch = {str(name): e for e, name in enumerate(network.branch_ids)}
    z1, z0 = np.zeros((2, network.n_branch), dtype=complex)
    seen = {f"vsource.{name}" for name in each(solved.Vsources)} & branch.keys()
    p, q = np.zeros((2, network.n_bus))
    floor = np.zeros(network.n_bus)
    emf, strongest, inside = math.inf, 0.0, 0.0
    most = np.zeros(2)
    for name in map(str.lower, solved.Circuit.AllElementNames()):
        kind = name.partition(".")[0]
        solved.Circuit.SetActiveElement(name)
        if kind not in _SERVED or not (solved.CktElement.Enabled() or kind == "line"):
            continue
        if kind == "line":
            line = _line(closed, name)
            if isinstance(line, str):
                return line
            ends = {bus for bus, _ in terminals(closed)}
            e = branch.get(name, -1)
            if e < 0 or ends != {buses[k] for k in (network.from_bus[e], network.to_bus[e])}:
                return f"{name} is no branch by itself"
            z1[e], z0[e] = line
            seen.add(name)
        elif kind == "vsource":
            source = _source(solved, name)
            if isinstance(source, str):
                return source
            emf, strongest, inside = min(emf, source[0]), max(strongest, source[0]), max(inside, source[1])
        elif not is_off(solved):
            load = _load(solved, name)
            if isinstance(load, str):
                return load
            bus, power, needs, ceiling = load
            if bus not in index:
                return f"{name} is at no bus of the network"
            k = index[bus]
            p[k] += power.real
            q[k] += power.imag
            floor[k] = max(floor[k], needs)
            most += np.array([abs(power) / needs, abs(power) / ceiling**2])
    if missing := branch.keys() - seen:
        return f"{min(missing)} is no line"
    if not math.isfinite(emf):
        return "it has no source"
    return TransposedCircuit(z1, z0, p, q, (emf, strongest), inside, floor, float(most[0]), float(most[1]))


def _sequences(z: np.ndarray) -> tuple[complex, complex] | None:
    """Positive- and zero-sequence impedance of a matrix with equal diagonals and equal others; None of another one."""
    if z.shape != (3, 3):
        return None
    own, mutual = complex(np.diag(z).mean()), complex((z.sum() - np.trace(z)) / 6)
    if np.abs(z - np.where(np.eye(3) > 0, own, mutual)).max() > _ALIKE * abs(own):
        return None
    return own - mutual, own + 2 * mutual


def _line(dss: Any, name: str) -> tuple[complex, complex] | str:
    """Its impedances, or what is wrong with it."""
    dss.Circuit.SetActiveElement(name)
    ends = terminals(dss)
    if len(ends) != 2 or any(sorted(nodes) != [1, 2, 3] for _, nodes in ends):
        return f"{name} has not all three phases"
    if not np.array_equal(ends[0][1], ends[1][1]):
        return f"{name} turns phases"
    y = admittance(dss)
    if np.abs(y[:3, :3] + y[:3, 3:]).max() > _ALIKE * np.abs(y).max():
        return f"{name} has line charging"
    sequences = _sequences(np.linalg.inv(-y[:3, 3:]))
    if sequences is None:
        return f"{name} is not transposed"
    if min(part for z in sequences for part in (z.real, z.imag)) < 0 or min(z.real for z in sequences) <= 0:
        return f"{name} has an impedance that is not positive"
    return sequences


def _source(dss: Any, name: str) -> tuple[float, float] | str:
    """Voltage of the active source, phase to ground [V], and the largest impedance inside it [ohm]."""
    (_, nodes), (_, ground) = terminals(dss)
    dss.Text.Command(f"? {name}.sequence")
    positive = dss.Text.Result().lower().startswith("pos")
    sequences = _sequences(np.linalg.inv(admittance(dss)[:3, :3])) if sorted(nodes) == [1, 2, 3] else None
    if sequences is None or ground.any() or not positive:
        return f"{name} is no balanced source to ground"
    dss.Vsources.Name(name.partition(".")[2])
    return 1e3 * dss.Vsources.BasekV() * dss.Vsources.PU() / math.sqrt(3), max(map(abs, sequences))


def _load(dss: Any, name: str) -> tuple[str, complex, float, float] | str:
    """Bus, power [W, var], and the phase voltages between which it draws it [V].

    OpenDSS makes it an impedance outside of them: below it draws less than its power and no more current, above more.
    """
    loads = dss.Loads
    loads.Name(name.partition(".")[2])
    ((bus, nodes),) = terminals(dss)
    if loads.Model() != 1:
        return f"{name} is not of constant power"
    phases = loads.Phases()
    used = [int(n) for n in nodes if n > 0]
    if phases not in (1, 3) or loads.IsDelta() or len(used) != phases or any(n > 3 for n in used):
        return f"{name} is not between phases and ground"
    rated = 1e3 * loads.kV() / (math.sqrt(3) if phases == 3 else 1.0)
    dss.Text.Command(f"? {name}.vlowpu")  # below it the load is the impedance of its rated voltage, whatever vminpu is
    floor, ceiling = max(loads.Vminpu(), float(dss.Text.Result())) * rated, loads.Vmaxpu() * rated
    if not 0 < floor < ceiling:
        return f"{name} has no range of voltages in which it is of constant power"
    p, q = rated_power(dss)
    if p < 0 or q < 0:
        return f"{name} feeds in"
    return bus, 1e3 * complex(p, q), floor, ceiling
