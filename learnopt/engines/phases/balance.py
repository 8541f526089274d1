"""What is proven of the AC loss of one radial state of a circuit of lines: it is that of its balanced network at least.

Proof and conditions: ``docs/methods/phases.md``, section 4. Other than in :mod:`learnopt.engines.phases.imbalance` the
way to every bus is known here, so that lines need not be transposed, and voltages are known better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.compiling import njit
from learnopt.network import Bools, Floats
from learnopt.network.unbalanced import RadialCircuit
from learnopt.physics.phase_sweep import ends_of, radial_tree

QUANTILES = (0.0, 0.5, 1.0)
"""Of the ratios of zero- to positive-sequence impedance of the lines, that are tried."""
ROUNDING = 1e-6
"""What a bound is lowered by: impedances are read back from admittances."""
SWEEPS = 60
"""At most, of the iteration from below, which is a bound after each."""
_POSITIVE = np.array([1.0, np.exp(-2j * np.pi / 3), np.exp(2j * np.pi / 3)])
ALIKE = 1e-9
"""Relative difference that is rounding."""


@dataclass(frozen=True, eq=False)
class Balance:
    """A circuit by one shape M: identity on positive and negative sequence, ``shape`` on the zero sequence.

    Parameters
    ----------
    p, q
        Power drawn at each bus [W], [var], >= 0, shape (n_bus,).
    floor
        Every load of a bus draws its power, or more, from this voltage to ground, and between phases, on [V], shape
        (2, n_bus).
    r, x
        R - r M and X - x M are positive semidefinite, R + jX being the impedance of a line [ohm]; 0 for a line that
        has not all phases, shape (n_line,).
    apart
        Square of the voltage along a line, measured by M, that Z - (r + jx) M makes, over its loss at most, shape
        (n_line,).
    drop
        Square of the voltage along one phase, and of its difference between two, over the loss of the line at most
        [ohm], shape (2, n_line).
    partial
        Lines that have not all phases, bool, shape (n_line,).
    emf, inside, weighted
        Voltage to ground of each source [V], the impedance inside it and the same measured by M, shape (n_source,).
    most_a, most_s
        Current of all loads and phases together is at most ``most_a + most_s * V`` at phase voltages of at most V.
    """

    p: Floats
    q: Floats
    floor: Floats
    r: Floats
    x: Floats
    apart: Floats
    drop: Floats
    partial: Bools
    emf: Floats
    inside: Floats
    weighted: Floats
    most_a: float
    most_s: float


def balances_of(circuit: RadialCircuit) -> list[Balance] | str:
    """The circuit by several shapes, each of which yields a bound; or why nothing is proven."""
    if unfit := unbalanceable(circuit):
        return unfit
    if (np.abs(circuit.z - circuit.z.transpose(0, 2, 1)).max(axis=(1, 2)) > ALIKE * np.abs(circuit.z).max()).any():
        return "a line has an impedance that is not symmetric"
    p, q, floor, *currents = drawn(circuit)
    emf = np.abs(circuit.emf[:, 0])
    partial = np.logical_not(np.asarray(circuit.phases.all(axis=1), dtype=bool))
    found = []
    for shape in _shapes(circuit):
        lines = _lines(circuit, shape)
        if isinstance(lines, str):
            return lines
        inside = np.linalg.norm(circuit.inside, 2, axis=(1, 2))
        weighted = np.linalg.norm(_power(shape, -0.5) @ circuit.inside, 2, axis=(1, 2))
        found.append(Balance(p, q, floor, *lines, partial, emf, inside, weighted, *currents))
    return found


def unbalanceable(circuit: RadialCircuit) -> str:
    """What in a circuit is of a kind that balance proves nothing of, "" where nothing is."""
    load = circuit.loads
    if circuit.shunt.any() or (np.abs(circuit.y) > ALIKE * _size(circuit)[:, None, None]).any():
        return "it has line charging or shunts"
    if not load.limits[:, 3].all():
        return "not every load is of constant power"
    if (load.power.real < 0).any() or (load.power.imag < 0).any():
        return "a load feeds in"
    first = circuit.emf[:, :1]
    if (np.abs(circuit.emf - first * _POSITIVE) > ALIKE * np.abs(first)).any():
        return "a source is not balanced"
    least, highest = window(circuit)
    if not ((least > 0) & (least < highest)).all():
        return "a load has no range of voltages in which it is of constant power"
    return ""


def window(circuit: RadialCircuit) -> tuple[Floats, Floats]:
    """Voltages across each part of a load between which it draws its power; below less, and above more [V]."""
    load = circuit.loads
    return np.maximum(load.limits[:, 0], load.limits[:, 1]) * load.rated, load.limits[:, 2] * load.rated


def drawn(circuit: RadialCircuit) -> tuple[Floats, Floats, Floats, float, float]:
    """``p``, ``q``, ``floor``, ``most_a`` and ``most_s`` of :class:`Balance`."""
    load = circuit.loads
    least, highest = window(circuit)
    p, q = np.zeros((2, circuit.n_bus))
    floor = np.zeros((2, circuit.n_bus))
    np.add.at(p, load.bus, load.power.real)
    np.add.at(q, load.bus, load.power.imag)
    between = load.nodes[:, 1] >= 0
    np.maximum.at(floor, (between.astype(int), load.bus), least)
    # A load between two phases draws its current from both, at a voltage of two of them at most.
    apparent = np.abs(load.power) * np.where(between, 2, 1)
    most_s = float((apparent * np.where(between, 2, 1) / highest**2).sum())
    return p, q, floor, float((apparent / least).sum()), most_s


def state_bounds(
    circuit: RadialCircuit, balances: list[Balance], opened: Bools, most_kw: Floats, kept_v: Floats
) -> Floats:
    """Loss of radial states at least: every AC solution of a state loses as much, or ``most_kw`` of it.

    Parameters
    ----------
    opened
        Switches that are open, bool, shape (n_state, n_switch).
    most_kw
        Shape (n_state,).
    kept_v
        Voltage to ground below which no phase of a bus is in an admissible state [V], shape (n_bus,).

    Returns
    -------
    Floats
        [kW], shape (n_state,), 0 where nothing is known.
    """
    first, at = ends_of(circuit)
    best = np.zeros(len(opened))
    for one in balances:
        floor = one.floor * [kept_v < one.floor[0], np.ones(circuit.n_bus)]
        found = _bounds(
            np.ascontiguousarray(opened), 1e3 * most_kw, circuit.tail, circuit.head, circuit.switch, circuit.source,
            first, at, one.p, one.q, floor, one.r, one.x, one.apart, one.drop, one.partial, one.emf, one.inside,
            one.weighted, one.most_a, one.most_s, SWEEPS,
        )  # fmt: skip
        best = np.maximum(best, found * (1 - ROUNDING) / 1e3)
    return best


def _size(circuit: RadialCircuit) -> Floats:
    """Size of the series admittance of each line [S]."""
    return 1 / np.maximum(np.abs(circuit.z).max(axis=(1, 2)), 1e-12)


def _power(shape: float, exponent: float) -> Floats:
    """M to a power."""
    return np.eye(3) + (shape**exponent - 1) / 3


def _shapes(circuit: RadialCircuit) -> list[float]:
    """Zero- over positive-sequence impedances; any number > 0 is valid, one that most of the lines have is tight."""
    z = circuit.z[circuit.phases.all(axis=1)]
    own, mutual = np.trace(z, axis1=1, axis2=2) / 3, (z.sum(axis=(1, 2)) - np.trace(z, axis1=1, axis2=2)) / 6
    found = {1.0}
    for part in (np.abs, np.real, np.imag):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = part(own + 2 * mutual) / part(own - mutual)
        ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
        found |= set(np.quantile(ratio, QUANTILES).tolist()) if len(ratio) else set()
    return sorted(found)


def _lines(circuit: RadialCircuit, shape: float) -> tuple[Floats, Floats, Floats, Floats] | str:
    """``r``, ``x``, ``apart`` and ``drop`` of the lines, or what is wrong with one."""
    half, inverse = _power(shape, -0.5), _power(shape, -1)
    n = len(circuit.z)
    r, x, apart = np.zeros((3, n))
    drop = np.zeros((2, n))
    for e in range(n):
        live = circuit.phases[e]
        z = circuit.z[e][np.ix_(live, live)]
        root = np.linalg.eigvalsh(z.real)
        if root[0] <= 0:
            return "a line has a resistance that is not positive"
        if np.linalg.eigvalsh(z.imag)[0] < -ALIKE * abs(z).max():
            return "a line has a reactance that is not positive"
        conductance = np.linalg.inv(z.real)
        spread = (z @ conductance @ z.conj().T).real
        own = np.diag(spread)
        drop[:, e] = own.max(), (own[:, None] + own - 2 * spread).max()
        if not live.all():
            continue
        r[e], x[e] = (float(np.linalg.eigvalsh(half @ part @ half)[0]) for part in (z.real, z.imag))
        r[e], x[e] = max(r[e], 0.0), max(x[e], 0.0)
        off = z - (r[e] + 1j * x[e]) * _power(shape, 1)
        lower = np.linalg.inv(np.linalg.cholesky(z.real))
        apart[e] = float(np.linalg.eigvalsh(lower @ off.conj().T @ inverse @ off @ lower.T)[-1])
    return r, x, np.maximum(apart, 0.0), drop


@njit()
def _bounds(  # type: ignore[no-untyped-def]
    opened, most_w, tail, head, switch, source, first, at, p, q, floor, r, x, apart, drop, partial, emf, inside,
    weighted, most_a, most_s, sweeps,
):  # fmt: skip
    """Lower bound of min(loss, most_w) of each state [W]."""
    n, n_source, n_state = len(p), len(source), len(opened)
    found = np.zeros(n_state)
    order, parent, above = np.zeros((3, n), dtype=np.int64)
    root = np.zeros(n, dtype=np.int64)
    far, off = np.zeros((2, n)), np.zeros(n)
    thin = np.zeros(n, dtype=np.bool_)
    active, reactive, square, current = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    strongest, widest = emf.max(), inside.max()
    for k in range(n_state):
        most = most_w[k]
        if not most > 0 or not radial_tree(opened[k], tail, head, switch, source, first, at, order, parent, above):
            continue
        longest, farthest, sound = 0.0, 0.0, True
        for i in range(n):
            bus = order[i]
            if i < n_source:
                root[bus], far[0, bus], far[1, bus], off[bus], thin[bus] = i, 0.0, 0.0, 0.0, False
                continue
            up, e = above[bus], parent[bus]
            root[bus], off[bus] = root[up], off[up] + apart[e]
            far[0, bus], far[1, bus] = far[0, up] + drop[0, e], far[1, up] + drop[1, e]
            thin[bus] = partial[e]
            if thin[up] and not partial[e]:
                sound = False
            longest, farthest = max(longest, far[0, bus]), max(farthest, off[bus])
        room = 1 - most_s * widest
        if not sound or room <= 0:
            continue
        amperes = (most_a + most_s * (strongest + np.sqrt(most * longest))) / room
        limit = most
        for bus in range(n):
            for kind in range(2):  # to ground, and between phases
                if floor[kind, bus] > 0:
                    own = emf[root[bus]] * (np.sqrt(3.0) if kind else 1.0)
                    left = own - inside[root[bus]] * amperes * (2 if kind else 1) - floor[kind, bus]
                    if left <= 0:
                        limit = 0.0
                    elif far[kind, bus] > 0:
                        limit = min(limit, left * left / far[kind, bus])
        if limit <= 0:
            continue
        error = np.sqrt(most * farthest / 3)
        for i in range(n_source):
            square[source[i]] = (error + np.sqrt(error**2 + (emf[i] + weighted[i] * amperes / np.sqrt(3.0)) ** 2)) ** 2
        current[:] = 0.0
        loss = 0.0
        for _ in range(sweeps):
            for bus in range(n):
                active[bus], reactive[bus] = p[bus] / 3, q[bus] / 3
            for i in range(n - 1, n_source - 1, -1):
                bus, up, e = order[i], above[order[i]], parent[order[i]]
                active[up] += active[bus] + r[e] * current[bus]
                reactive[up] += reactive[bus] + x[e] * current[bus]
            before, loss = loss, 0.0
            for i in range(n_source, n):
                bus, up, e = order[i], above[order[i]], parent[order[i]]
                square[bus] = (
                    square[up]
                    - 2 * (r[e] * active[bus] + x[e] * reactive[bus])
                    - (r[e] ** 2 + x[e] ** 2) * current[bus]
                )
                if square[bus] <= 0:
                    loss = limit
                    break
                current[bus] = (active[bus] ** 2 + reactive[bus] ** 2) / square[bus]
                loss += 3 * r[e] * current[bus]
            if loss >= limit or loss - before <= 1e-8 * loss:
                break
        found[k] = min(loss, limit)
    return found
