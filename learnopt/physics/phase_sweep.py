"""Power flow of all phases of circuits of lines, for very many radial states: backward and forward sweeps, compiled.

Loads are impedances, and what they draw beside is a current that each sweep renews: OpenDSS's own iteration, and more
steady than sweeps with all of the current, which loads that draw less at less voltage set swinging.

It is what solves all states of a feeder for a proof where the tool of its file would take minutes. Nothing rests on it
alone: who uses it compares its losses with those of that tool.
"""

from __future__ import annotations

import numpy as np

from learnopt.compiling import njit
from learnopt.network.aliases import Bools, Floats, Ints
from learnopt.network.unbalanced import RadialCircuit

CLOSE, MOST = 1e-9, 500
"""Change of a voltage from one sweep to the next, over that of the source, at which they end; sweeps at most."""
PATIENCE = 25
"""Sweeps in which that change is to halve, else there is no end to them."""
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
            load.bus, load.nodes, load.power, load.rated, load.limits, CLOSE, MOST, PATIENCE, STARVED,
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
    close, most, patience, starved,
):  # fmt: skip
    """Loss of each state [W], NaN where there is none."""
    n_bus, n_state = len(shunt), len(opened)
    found = np.full(n_state, np.nan)
    order, parent, above = np.zeros((3, n_bus), dtype=np.int64)
    volts, flow, drop = np.zeros((3, n_bus, 3), dtype=np.complex128)
    fixed, total, seen, share = np.zeros((4, n_bus, 3, 3), dtype=np.complex128)
    fixed[:] = shunt
    for i in range(len(bus)):
        _join(fixed[bus[i]], nodes[i, 0], nodes[i, 1], power[i].conjugate() / (rated[i] * rated[i]))
    for k in range(n_state):
        if not radial_tree(opened[k], tail, head, switch, source, first, at, order, parent, above):
            continue
        total[:] = fixed
        for e in range(len(tail)):
            if switch[e] < 0 or not opened[k, switch[e]]:
                total[tail[e]] += y[e]
                total[head[e]] += y[e]
        _eliminate(order, parent, above, z, inside, total, seen, share)
        if _sweep(order, parent, above, phases, z, seen, share, total, emf, inside, bus, nodes, power, rated,
                  limits, volts, flow, drop, close, most, patience, starved):  # fmt: skip
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
def _join(matrix, p, q, y):  # type: ignore[no-untyped-def]
    """Add an admittance between two phases, or to ground (q < 0), to that of a bus."""
    matrix[p, p] += y
    if q >= 0:
        matrix[q, q] += y
        matrix[p, q] -= y
        matrix[q, p] -= y


@njit()
def _eliminate(order, parent, above, z, inside, total, seen, share):  # type: ignore[no-untyped-def]
    """Bus after bus, what hangs on each as one admittance, with every load as the impedance of its rated voltage.

    ``total`` of a bus becomes that of all below it too; without other currents it has the voltage ``share @ v`` and
    draws ``seen @ v``, v being the voltage before its line, or inside its source.
    """
    n = len(order)
    n_source = len(inside)
    for i in range(n - 1, -1, -1):
        k = order[i]
        way = inside[i] if i < n_source else z[parent[k]]
        _product(way, total[k], seen[k])
        for p in range(3):
            seen[k, p, p] += 1.0
        _invert(seen[k], share[k])
        _product(total[k], share[k], seen[k])
        if i >= n_source:
            total[above[k]] += seen[k]


@njit()
def _product(a, b, into):  # type: ignore[no-untyped-def]
    """The product of two matrices of three rows and columns."""
    for p in range(3):
        for q in range(3):
            into[p, q] = a[p, 0] * b[0, q] + a[p, 1] * b[1, q] + a[p, 2] * b[2, q]


@njit()
def _invert(a, into):  # type: ignore[no-untyped-def]
    """The inverse of a matrix of three rows by its cofactors."""
    for p in range(3):
        for q in range(3):
            r, s, t, u = (q + 1) % 3, (q + 2) % 3, (p + 1) % 3, (p + 2) % 3
            into[p, q] = a[r, t] * a[s, u] - a[r, u] * a[s, t]
    into /= a[0, 0] * into[0, 0] + a[0, 1] * into[1, 0] + a[0, 2] * into[2, 0]


@njit()
def _sweep(  # type: ignore[no-untyped-def]
    order, parent, above, phases, z, seen, share, total, emf, inside, bus, nodes, power, rated, limits, volts,
    flow, drop, close, most, patience, starved,
):  # fmt: skip
    """Solve one state in place: voltages, and the current into each bus. False where it does not settle or starves."""
    n, n_source = len(order), len(inside)
    scale = np.abs(emf).max()
    earlier = 1e3 * scale
    flow[:] = 0.0  # first, what is drawn beside the impedances
    for number in range(most):
        for i in range(n - 1, -1, -1):
            k = order[i]
            way = inside[i] if i < n_source else z[parent[k]]
            for p in range(3):
                drop[k, p] = way[p, 0] * flow[k, 0] + way[p, 1] * flow[k, 1] + way[p, 2] * flow[k, 2]
            if i >= n_source:
                for p in range(3):
                    less = seen[k, p, 0] * drop[k, 0] + seen[k, p, 1] * drop[k, 1] + seen[k, p, 2] * drop[k, 2]
                    flow[above[k], p] += flow[k, p] - less
        moved = 0.0
        for i in range(n):
            k = order[i]
            for p in range(3):
                here = 0j
                for q in range(3):
                    before = emf[i, q] if i < n_source else volts[above[k], q]
                    here += share[k, p, q] * (before - drop[k, q])
                if number > 0:
                    moved = max(moved, np.abs(here - volts[k, p]))
                volts[k, p] = here
        if number % patience == patience - 1:
            if not moved < 0.5 * earlier:
                return False
            earlier = moved
        if number > 0 and moved < close * scale:
            return _fed(order, parent, phases, total, volts, flow, n_source, starved)
        flow[:] = 0.0
        for i in range(len(bus)):
            k, p, q = bus[i], nodes[i, 0], nodes[i, 1]
            across = volts[k, p] - volts[k, q] if q >= 0 else volts[k, p]
            beside = _drawn(across, power[i], rated[i], limits[i])
            beside -= power[i].conjugate() / (rated[i] * rated[i]) * across
            flow[k, p] += beside
            if q >= 0:
                flow[k, q] -= beside
    return False


@njit()
def _fed(order, parent, phases, total, volts, flow, n_source, starved):  # type: ignore[no-untyped-def]
    """Turn ``flow`` into the current into each bus; False where a line would carry some in a phase that it has not."""
    largest, astray = 0.0, 0.0
    for i in range(n_source, len(order)):
        k = order[i]
        for p in range(3):
            for q in range(3):
                flow[k, p] += total[k, p, q] * volts[k, q]
            largest = max(largest, np.abs(flow[k, p]))
            if not phases[parent[k], p]:
                astray = max(astray, np.abs(flow[k, p]))
    return astray <= starved * largest


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
