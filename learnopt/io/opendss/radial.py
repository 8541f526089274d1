"""An OpenDSS circuit of lines, loads and capacitors as arrays that a compiled sweep solves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from learnopt.io.opendss.classes import is_off
from learnopt.io.opendss.engine import admittance, each, terminals
from learnopt.io.opendss.loads import is_shunt, rated_power
from learnopt.network.unbalanced import RadialCircuit, RadialLoads

_SILENT = ("swtcontrol", "energymeter", "monitor", "sensor", "capcontrol")
_SHUNTS = ("capacitor", "reactor")
_POWER_FLOW = 1
"""OpenDSS's number of the load model in which loads are not all impedances."""
_LOAD_MODELS = {1: 1.0, 2: 0.0}
"""Constant power, and constant impedance."""


class _BeyondError(Exception):
    """Something that a sweep over lines does not know."""


def unswept(dss: Any) -> str:
    """An element that such a circuit has not, for a look before the file is read once more; "" where there is none."""
    if dss.Solution.LoadModel() != _POWER_FLOW:
        return "the file has all loads as impedances (LoadModel)"
    known = (*_SILENT, *_SHUNTS, "line", "vsource", "load")
    for name in map(str.lower, dss.Circuit.AllElementNames()):
        if name.partition(".")[0] not in known:
            dss.Circuit.SetActiveElement(name)
            if dss.CktElement.Enabled():
                return f"{name} is neither line, load nor capacitor"
    return ""


def radial_circuit(
    closed: Any, loaded: Any, switches: Sequence[Sequence[str]], buses: Sequence[str]
) -> RadialCircuit | str:
    """The circuit, nothing in which is :func:`unswept`, or what in it is of a kind that is not known.

    Parameters
    ----------
    closed
        OpenDSS with every switch closed, not solved.
    loaded
        OpenDSS with the loads as they are.
    switches
        Names of the lines that each switch opens together.
    buses
        Names of the buses of the network.
    """
    try:
        return _radial_circuit(closed, loaded, switches, buses)
    except _BeyondError as beyond:
        return str(beyond)


def _radial_circuit(closed: Any, loaded: Any, switches: Sequence[Sequence[str]], buses: Sequence[str]) -> RadialCircuit:
    index: dict[str, int] = {}

    def at(bus: str) -> int:
        return index.setdefault(bus, len(index))

    sources = [_source(loaded, f"vsource.{name}") for name in each(loaded.Vsources)]
    source = [at(bus) for bus, _, _ in sources]
    if len(set(source)) < len(source) or not source:
        raise _BeyondError("its sources do not each have a bus")
    of_line = {line: k for k, lines in enumerate(switches) for line in lines}
    lines = []
    for name in each(closed.Lines):
        line = _line(closed, f"line.{name}", f"line.{name}" in of_line)
        if line is not None:
            tail, head, phases, z, y = line
            lines.append((at(tail), at(head), of_line.get(f"line.{name}", -1), phases, z, y))
    if missing := of_line.keys() - {f"line.{name}" for name in each(closed.Lines)}:
        raise _BeyondError(f"{min(missing)} is no line")
    shunt = np.zeros((len(index), 3, 3), dtype=complex)
    for bus, nodes, matrix in _shunts(loaded):
        if bus in index:
            shunt[index[bus]][np.ix_(nodes, nodes)] += matrix
    loads = [one for name in each(loaded.Loads) for one in _load(loaded, f"load.{name}") if one[0] in index]
    known = {bus: k for k, bus in enumerate(buses)}
    tail, head, switch, phases, z, y = zip(*lines, strict=True)
    return RadialCircuit(
        np.array([known.get(bus, -1) for bus in index]),
        np.array(tail), np.array(head), np.array(switch), np.array(phases), np.array(z),
        np.array(y), shunt, np.array(source), np.array([emf for _, emf, _ in sources]),
        np.array([inside for _, _, inside in sources]),
        RadialLoads(
            np.array([index[one[0]] for one in loads], dtype=np.int64),
            np.array([one[1] for one in loads], dtype=np.int64).reshape(-1, 2),
            np.array([one[2] for one in loads], dtype=complex),
            np.array([one[3] for one in loads], dtype=float),
            np.array([one[4] for one in loads], dtype=float).reshape(-1, 4),
        ),
    )  # fmt: skip


def _source(dss: Any, name: str) -> tuple[str, np.ndarray, np.ndarray]:
    """Bus of a source, its voltages [V] and the impedance inside it [ohm]."""
    dss.Circuit.SetActiveElement(name)
    (bus, nodes), (_, ground) = terminals(dss)
    dss.Text.Command(f"? {name}.sequence")
    if list(nodes) != [1, 2, 3] or ground.any() or not dss.Text.Result().lower().startswith("pos"):
        raise _BeyondError(f"{name} is no source of three phases to ground")
    dss.Vsources.Name(name.partition(".")[2])
    size = 1e3 * dss.Vsources.BasekV() * dss.Vsources.PU() / math.sqrt(3)
    angle = np.deg2rad(dss.Vsources.AngleDeg() - np.array([0.0, 120.0, 240.0]))
    return bus, size * np.exp(1j * angle), np.linalg.inv(admittance(dss)[:3, :3])


def _line(dss: Any, name: str, switched: bool) -> tuple[str, str, np.ndarray, np.ndarray, np.ndarray] | None:
    """Buses of the active line, its phases, series impedance [ohm] and half its charging [S]; None where it is open."""
    (tail, nodes), (head, others) = terminals(dss)
    if not np.array_equal(nodes, others) or not all(1 <= n <= 3 for n in nodes) or len(set(nodes)) < len(nodes):
        raise _BeyondError(f"{name} joins different phases, or conductors that are none")
    size = len(nodes)
    y = admittance(dss)
    series = -y[:size, size:]
    if any(dss.CktElement.IsOpen(end, k) for end in (1, 2) for k in range(1, size + 1)):
        if switched or not all(any(dss.CktElement.IsOpen(end, k) for k in range(1, size + 1)) for end in (1, 2)):
            raise _BeyondError(f"{name} is open at one end or in one phase")
        return None
    half = y[:size, :size] - series
    if switched and np.abs(half).max() > 1e-9 * np.abs(y).max():
        raise _BeyondError(f"{name} is a switch with charging")  # which end of it stays energised is not told
    live = [int(n) - 1 for n in nodes]
    phases, z, charging = np.zeros(3, dtype=bool), np.zeros((3, 3), dtype=complex), np.zeros((3, 3), dtype=complex)
    phases[live] = True
    z[np.ix_(live, live)], charging[np.ix_(live, live)] = np.linalg.inv(series), half
    return tail, head, phases, z, charging


def _shunts(dss: Any) -> Iterator[tuple[str, list[int], np.ndarray]]:
    """Bus, phases and admittance of capacitors and shunt reactors."""
    for kind, collection in (("capacitor", dss.Capacitors), ("reactor", dss.Reactors)):
        for name in each(collection):
            if is_off(dss):
                continue
            (bus, nodes), *others = terminals(dss)
            if not is_shunt(dss) or any(end[1].any() for end in others):
                raise _BeyondError(f"{kind}.{name} does not lie between phases and ground")
            live = [k for k, node in enumerate(nodes) if node > 0]
            if any(nodes[k] > 3 for k in live):
                raise _BeyondError(f"{kind}.{name} does not lie between phases and ground")
            yield bus, [int(nodes[k]) - 1 for k in live], admittance(dss)[np.ix_(live, live)]


def _load(dss: Any, name: str) -> Iterator[tuple[str, tuple[int, int], complex, float, tuple[float, ...]]]:
    """Bus, phases (-1: ground), power at its rated voltage [VA], that voltage [V] and limits of each part of a load.

    Limits: ``vlowpu``, ``vminpu``, ``vmaxpu``, and whether it is of constant power.
    """
    if is_off(dss):
        return
    loads = dss.Loads
    if loads.Model() not in _LOAD_MODELS:
        raise _BeyondError(f"{name} is neither of constant power nor of constant impedance")
    ((bus, nodes),) = terminals(dss)
    count, delta = loads.Phases(), loads.IsDelta()
    live = [int(n) - 1 for n in nodes if n > 0]
    if any(n > 2 for n in live) or len(set(live)) < len(live):
        raise _BeyondError(f"{name} is not between phases and ground")
    if count == 3 and len(live) == 3:
        pairs = [(live[k], live[(k + 1) % 3]) if delta else (live[k], -1) for k in range(3)]
    elif count == 1 and len(live) == 2:
        pairs = [(live[0], live[1])]
    elif count == 1 and len(live) == 1:
        pairs = [(live[0], -1)]
    else:
        raise _BeyondError(f"{name} is of two phases")
    p, q = rated_power(dss)
    rated = 1e3 * loads.kV() / (math.sqrt(3) if count == 3 and not delta else 1.0)
    dss.Text.Command(f"? {name}.vlowpu")
    limits = (float(dss.Text.Result()), loads.Vminpu(), loads.Vmaxpu(), _LOAD_MODELS[loads.Model()])
    for pair in pairs:
        yield bus, pair, 1e3 * complex(p, q) / count, rated, limits
