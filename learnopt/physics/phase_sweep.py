"""Power flow of all phases of circuits of lines, for very many radial states: backward and forward sweeps, compiled.

It is what solves all states of a feeder for a proof where the tool of its file would take minutes. Nothing rests on it
alone: who uses it compares its losses with those of that tool.
"""

from __future__ import annotations

import numpy as np

from learnopt.compiling import njit
from learnopt.network.aliases import Bools, Floats, Ints
from learnopt.network.unbalanced import RadialCircuit

CLOSE, MOST = 1e-9, 100
"""Change of a voltage from one sweep to the next, over that of the source, at which they end; sweeps at most."""
STARVED = 1e-9
"""Current of a phase that a line has not, over the largest of the circuit, above which something is unfed."""


def losses_kw(circuit: RadialCircuit, opened: Bools) -> Floats:
    """Loss of the lines in each state.

    Parameters
    ----------
    opened
        Switches that are open, bool, shape (n_state, n_switch).

    Returns
    -------
    Floats
        [kW], shape (n_state,); NaN where a bus is fed by two ways or by none, a load by a phase that its line has not,
        or where the sweeps do not end.
    """
    first, at = ends_of(circuit)
    load = circuit.loads
    return np.asarray(
        _losses(
            np.ascontiguousarray(opened), circuit.tail, circuit.head, circuit.switch, circuit.phases, circuit.z,
            circuit.y, circuit.shunt, circuit.source, circuit.emf, circuit.inside, first, at,
            load.bus, load.nodes, load.power, load.rated, load.limits, CLOSE, MOST, STARVED,
        )
    ) / 1e3  # fmt: skip


def ends_of(circuit: RadialCircuit) -> tuple[Ints, Ints]:
    """Where the lines of each bus begin, shape (n_bus + 1,), and those lines, shape (2 n_line,)."""
    ends = np.concatenate([circuit.tail, circuit.head])
    order = np.argsort(ends, kind="stable")
    return np.searchsorted(ends[order], np.arange(circuit.n_bus + 1)), order % len(circuit.tail)


@njit()
def _losses(  # type: ignore[no-untyped-def]
    opened, tail, head, switch, phases, z, y, shunt, source, emf, inside, first, at, bus, nodes, power, rated, limits,
    close, most, starved,
):  # fmt: skip
    """Loss of each state [W], NaN where there is none."""
    n_bus, n_state = len(shunt), len(opened)
    found = np.full(n_state, np.nan)
    order, parent, above = np.zeros((3, n_bus), dtype=np.int64)
    volts = np.zeros((n_bus, 3), dtype=np.complex128)
    flow = np.zeros((n_bus, 3), dtype=np.complex128)
    total = np.zeros((n_bus, 3, 3), dtype=np.complex128)
    for k in range(n_state):
        if not radial_tree(opened[k], tail, head, switch, source, first, at, order, parent, above):
            continue
        total[:] = shunt
        for e in range(len(tail)):
            if switch[e] < 0 or not opened[k, switch[e]]:
                total[tail[e]] += y[e]
                total[head[e]] += y[e]
        if _sweep(order, parent, above, phases, z, total, source, emf, inside, bus, nodes, power, rated, limits, volts,
                  flow, close, most, starved):  # fmt: skip
            found[k] = _loss(order, parent, tail, head, z, y, volts, flow, len(source))
    return found


@njit()
def radial_tree(opened, tail, head, switch, source, first, at, order, parent, above):  # type: ignore[no-untyped-def]
    """Buses from the sources on, the line that feeds each and the bus before. False where that is no forest of all."""
    parent[:] = -2
    done = 0
    for bus in source:
        order[done] = bus
        parent[bus] = -1
        done += 1
    here = 0
    while here < done:
        bus = order[here]
        for i in range(first[bus], first[bus + 1]):
            e = at[i]
            if e == parent[bus] or (switch[e] >= 0 and opened[switch[e]]):
                continue
            other = head[e] if tail[e] == bus else tail[e]
            if parent[other] != -2:
                return False
            parent[other], above[other] = e, bus
            order[done] = other
            done += 1
        here += 1
    return done == len(parent)


@njit()
def _drawn(v, power, rated, limits):  # type: ignore[no-untyped-def]
    """Current of a load at voltage v [A], as OpenDSS has it: constant power between two voltages, else an impedance."""
    size = np.sqrt(v.real**2 + v.imag**2)
    low, least, highest, constant = limits[0] * rated, limits[1] * rated, limits[2] * rated, limits[3]
    y = power.conjugate() / (rated * rated)
    if constant == 0.0 or size <= low:
        return y * v
    if size <= least:  # the current falls with the voltage, to that of the impedance at ``low``
        share = (size - low) / (least - low)
        return y * v * ((limits[0] + (1 / limits[1] - limits[0]) * share) * rated / size)
    if size > highest:
        return y * v / (limits[2] * limits[2])
    return (power / v).conjugate()


@njit()
def _sweep(  # type: ignore[no-untyped-def]
    order, parent, above, phases, z, total, source, emf, inside, bus, nodes, power, rated, limits, volts, flow, close,
    most, starved,
):  # fmt: skip
    """Solve one state in place: voltages, and the current into each bus. False where it does not settle or starves."""
    n, n_source = len(order), len(source)
    scale = 0.0
    for s in range(n_source):
        for p in range(3):
            volts[source[s], p] = emf[s, p]
            scale = max(scale, np.abs(emf[s, p]))
    for i in range(n_source, n):
        volts[order[i]] = volts[above[order[i]]]
    for _ in range(most):
        for k in range(n):
            for p in range(3):
                flow[k, p] = 0.0
                for q in range(3):
                    flow[k, p] += total[k, p, q] * volts[k, q]
        for i in range(len(bus)):
            k, p, q = bus[i], nodes[i, 0], nodes[i, 1]
            drawn = _drawn(volts[k, p] - volts[k, q] if q >= 0 else volts[k, p], power[i], rated[i], limits[i])
            flow[k, p] += drawn
            if q >= 0:
                flow[k, q] -= drawn
        for i in range(n - 1, n_source - 1, -1):
            for p in range(3):
                flow[above[order[i]], p] += flow[order[i], p]
        moved = 0.0
        for i in range(n):
            k = order[i]
            for p in range(3):
                here = emf[i, p] if i < n_source else volts[above[k], p]
                for q in range(3):
                    here -= (inside[i, p, q] if i < n_source else z[parent[k], p, q]) * flow[k, q]
                moved = max(moved, np.abs(here - volts[k, p]))
                volts[k, p] = here
        if not moved < 1e3 * scale:
            return False
        if moved < close * scale:
            largest, astray = 0.0, 0.0
            for i in range(n_source, n):
                for p in range(3):
                    largest = max(largest, np.abs(flow[order[i], p]))
                    if not phases[parent[order[i]], p]:
                        astray = max(astray, np.abs(flow[order[i], p]))
            return astray <= starved * largest
    return False


@njit()
def _loss(order, parent, tail, head, z, y, volts, flow, n_source):  # type: ignore[no-untyped-def]
    """Power that the lines of a solved state keep [W]."""
    loss = 0.0
    for i in range(n_source, len(order)):
        e = parent[order[i]]
        for p in range(3):
            for q in range(3):
                loss += (flow[order[i], p].conjugate() * z[e, p, q] * flow[order[i], q]).real
                for end in (tail[e], head[e]):
                    loss += (volts[end, p].conjugate() * y[e, p, q] * volts[end, q]).real
    return loss
