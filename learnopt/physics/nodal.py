r"""AC power flow in bus voltages and branch currents, for radial and meshed states alike.

Unknowns are the voltage of every bus and the series current of every closed branch:

.. math::
    V_i / t_e - V_j - z_e J_e &= 0 \\
    \textstyle\sum_{\mathrm{in}} i - \sum_{\mathrm{out}} i - y_k V_k &= \overline{S_k / V_k}

with the complex ratio :math:`t` of an ideal transformer at the from end. A coupler without impedance is a branch like
any other here. Currents of a radial state come from their balance alone, so that microamperes keep all their digits.

The linear part is factorised once per state. Fixed-point iteration from the state without load finds the *normal*
solution, the one of high voltages; where it does not settle, Newton's method follows that solution while loads rise
from zero. A solution counts only if its currents balance.

References
----------
Ho, Ruehli, Brennan (1975), doi:10.1109/TCS.1975.1084079 (branch currents as unknowns); Bolognani, Zampieri (2016),
doi:10.1109/TPWRS.2015.2395452 (the iteration and where its solution is unique).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bmat, coo_matrix, csc_matrix
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from learnopt.network import Bools, Floats, Ints, ReconfigurationProblem
from learnopt.network.topology import DisjointSets

Complex = NDArray[np.complex128]

SETTLED = 1e-12
"""Largest change of a voltage in the last iteration [pu]."""
_ITERATIONS = 60
"""Fixed-point iterations before Newton's method takes over."""
_NEWTON = 20
_ROUNDING = 1e-9
"""Change of a voltage [pu] that Newton's method may be left with near a collapse, where rounding is magnified."""
_STEP, _LAST_STEP = 0.25, 1e-4
"""First and least step of the loads on the way from no load."""
_JUMP = 0.05
"""A solution farther from where the step before pointed to is another one, relative."""
_SHARED = 1e-9
"""Impedance that couplers in a loop of couplers share their current by, relative to the mean of the others."""


@dataclass(frozen=True)
class NodalState:
    """Solution of one load situation, per unit.

    Parameters
    ----------
    v
        Complex voltages, 0 at buses without supply, shape (n_bus,).
    current
        Series currents from the from end to the to end, 0 on open branches, shape (n_branch,).
    """

    v: Complex
    current: Complex


class NodalFlow:
    """The linear part of a state, factorised.

    Parameters
    ----------
    problem
        Network and charging; loads are given to :meth:`solve`.
    closed
        bool, shape (n_branch,); loops may be closed, buses without supply.
    angles
        Phase shifts of transformers and angles of sources count. No radial state sees them.
    all_fed
        Every bus is known to have supply.
    """

    def __init__(
        self, problem: ReconfigurationProblem, closed: Bools, angles: bool = True, all_fed: bool = False
    ) -> None:
        net = problem.network
        self._n, self._m = net.n_bus, net.n_branch
        fed = np.ones(net.n_bus, dtype=bool) if all_fed else _fed(problem, closed)
        self.fed: Bools = fed
        used = np.flatnonzero(closed & fed[net.from_bus])
        free = np.flatnonzero(fed & ~net.is_substation)
        self._used, self._free = used, free
        f, t = net.from_bus[used], net.to_bus[used]
        z = (net.r + 1j * net.x)[used]
        shared = _coupler_loops(f, t, z, net.substations)
        if shared.any():
            usual = np.abs(z[z != 0])
            z = np.where(shared, _SHARED * (usual.mean() if len(usual) else 1.0), z)
        turn = np.exp(1j * net.shift[used]) if angles and net.shift.any() else 1.0
        ratio = net.ratio[used] * turn
        half = 0.5 * (net.g + 1j * problem.b)[used]
        self._half, self._ratio, self._ends = half, ratio, (f, t)
        # Columns: free voltages, then currents. Rows: balance of free buses, then branches.
        column = np.full(net.n_bus, -1)
        column[free] = np.arange(len(free))
        n, m = len(free), len(used)
        branch, row_f, row_t = n + np.arange(m), column[f], column[t]
        one = np.ones(m)
        shunt = (net.g_shunt + 1j * net.b_shunt)[free]
        at = np.arange(n)
        parts = [
            (branch, row_f, 1 / ratio),
            (branch, row_t, -one),
            (branch, branch, -z),
            (row_f, branch, -1 / np.conj(ratio)),
            (row_t, branch, one),
            (row_f, row_f, -half / np.abs(ratio) ** 2),
            (row_t, row_t, -half),
            (at, at, -shunt),
        ]
        rows, columns = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        values = np.concatenate([np.broadcast_to(part[2], part[0].shape) for part in parts]).astype(complex)
        known = (rows >= 0) & (columns >= 0)
        self._matrix: csc_matrix = csc_matrix((values[known], (rows[known], columns[known])), (n + m, n + m))
        vm = net.substation_vm * (np.exp(1j * net.substation_va) if angles and net.substation_va.any() else 1.0)
        self._source = np.zeros(net.n_bus, dtype=complex)
        self._source[net.substations] = vm
        self._right = np.zeros(n + m, dtype=complex)
        self._right[n:] -= np.where(row_f < 0, self._source[f] / ratio, 0) - np.where(row_t < 0, self._source[t], 0)
        self._lu = splu(self._matrix) if n + m else None
        self._no_load = self._lu.solve(self._right) if self._lu else self._right
        # As many branches as free buses, all of them fed: a forest.
        self._balance = None
        if n == m and n:
            own = known & (rows < n) & (columns >= n)
            self._balance = splu(csc_matrix((values[own], (rows[own], columns[own] - n)), (n, n)))
        self._drawn = np.zeros(n, dtype=complex) + shunt
        np.add.at(self._drawn, row_f[row_f >= 0], (half / np.abs(ratio) ** 2)[row_f >= 0])
        np.add.at(self._drawn, row_t[row_t >= 0], half[row_t >= 0])

    def solve(self, s: Complex, hopeless: Callable[[int], bool] | None = None) -> list[NodalState | None]:
        """The normal solution in each load situation; None where none was found.

        Parameters
        ----------
        s
            Net loads [pu], complex, shape (n_scenario, n_bus).
        hopeless
            Whether it is proven that a load situation, by its index, has no solution: asked before the long way.
        """
        n = len(self._free)
        loads = s[:, self._free].T
        x = np.repeat(self._no_load[:, None], len(s), axis=1)
        right = np.repeat(self._right[:, None], len(s), axis=1)
        settled = np.array([not column.any() for column in loads.T], dtype=bool)
        with np.errstate(all="ignore"):  # what overflows is not settled
            for _ in range(_ITERATIONS if self._lu else 0):
                if settled.all():
                    break
                right[:n] = np.conj(loads / x[:n])
                fresh = self._lu.solve(right)  # type: ignore[union-attr]
                change = np.abs(fresh[:n] - x[:n]).max(axis=0, initial=0.0)
                x = fresh
                settled = change < SETTLED
                if not np.isfinite(change).all():
                    break
        found: list[NodalState | None] = []
        for k in range(len(s)):
            one: Complex | None = None
            if settled[k] and np.isfinite(x[:, k]).all():
                one = x[:, k]
            elif hopeless is None or not hopeless(k):
                one = self._follow(loads[:, k])
            found.append(None if one is None else self._state(one, loads[:, k]))
        return found

    def _state(self, x: Complex, load: Complex) -> NodalState:
        n = len(self._free)
        v, current = self._source.copy(), np.zeros(self._m, dtype=complex)
        v[self._free], current[self._used] = x[:n], x[n:]
        if self._balance is not None:
            current[self._used] = self._balance.solve(np.conj(load / x[:n]) + self._drawn * x[:n])
        return NodalState(v, current)

    def ends(self, state: NodalState) -> tuple[Complex, Complex]:
        """Current into each branch at its from end, and out of it at its to end [pu], shape (n_branch,) each."""
        f, t = self._ends
        series = state.current[self._used]
        into, out = np.zeros(self._m, dtype=complex), np.zeros(self._m, dtype=complex)
        into[self._used] = (series + self._half * state.v[f] / self._ratio) / np.conj(self._ratio)
        out[self._used] = series - self._half * state.v[t]
        return into, out

    def _follow(self, load: Complex) -> Complex | None:
        """Newton's method along the solution that the state without load becomes; None where it is lost."""
        x: Complex = self._no_load
        before, done, last, step = x, 0.0, 0.0, _STEP
        n = len(self._free)
        while done < 1:
            ahead = min(1.0, done + step)
            guess: Complex = x if done == last else x + (x - before) * ((ahead - done) / (done - last))
            found = self._newton(guess, ahead * load)
            lowest = np.abs(x[:n]).min(initial=1.0)
            if found is not None and np.abs(found[:n] - guess[:n]).max(initial=0.0) < _JUMP * lowest:
                before, last, x, done = x, done, found, ahead
                step = min(2 * step, _STEP)
            else:
                step /= 2
                if step < _LAST_STEP:
                    return None
        return x

    def _newton(self, guess: Complex, load: Complex) -> Complex | None:
        """Newton's method from a guess; None where it does not converge."""
        n, size = len(self._free), len(guess)
        x, at, before = guess.copy(), np.arange(n), np.inf
        for _ in range(_NEWTON):
            with np.errstate(all="ignore"):
                fault = self._matrix @ x - self._right
                fault[:n] -= np.conj(load / x[:n])
                slope = np.conj(load / x[:n] ** 2)  # by the conjugate of the voltage
            if not np.isfinite(fault).all():
                return None
            rows = np.concatenate([at, at, size + at, size + at])
            columns = np.concatenate([at, size + at, at, size + at])
            values = np.concatenate([slope.real, slope.imag, slope.imag, -slope.real])
            try:
                lu = splu((self._real + coo_matrix((values, (rows, columns)), self._real.shape)).tocsc())
            except RuntimeError:  # exactly singular
                return None
            move = lu.solve(np.concatenate([fault.real, fault.imag]))
            x = x - (move[:size] + 1j * move[size:])
            change = float(np.abs(move[:n] + 1j * move[size : size + n]).max(initial=0.0))
            if change < SETTLED:
                return x
            if not change < before:  # from a guess beside the solution it only falls, down to rounding
                return x if before < _ROUNDING else None
            before = change
        return None

    @cached_property
    def _real(self) -> csc_matrix:
        """The linear part for real and imaginary parts."""
        real, imag = self._matrix.real, self._matrix.imag
        return bmat([[real, -imag], [imag, real]], format="csc")


def _fed(problem: ReconfigurationProblem, closed: Bools) -> Bools:
    """bool, shape (n_bus,): buses with a path of closed branches to a source."""
    net = problem.network
    ends = net.from_bus[closed], net.to_bus[closed]
    graph = coo_matrix((np.ones(len(ends[0]), dtype=np.int8), ends), (net.n_bus, net.n_bus))
    label = connected_components(graph, directed=False)[1]
    return np.asarray(np.isin(label, label[net.substations]), dtype=bool)


def _coupler_loops(tail: Ints, head: Ints, z: Complex, roots: Ints) -> Bools:
    """bool, shape of ``z``: branches without impedance that hang together with a loop of such branches."""
    zero = np.flatnonzero(z == 0)
    result = np.zeros(len(z), dtype=bool)
    if not len(zero):
        return result
    sets = DisjointSets(int(max(tail.max(), head.max(), roots.max())) + 1)
    for root in roots[1:].tolist():
        sets.join(int(roots[0]), root)
    looped = [int(tail[e]) for e in zero if not sets.join(int(tail[e]), int(head[e]))]
    found = {sets.find(k) for k in looped}
    for e in zero if found else ():
        result[e] = sets.find(int(tail[e])) in found
    return result


def balance(flow: NodalFlow, state: NodalState, problem: ReconfigurationProblem, s: Complex) -> Floats:
    """Power that is missing at each bus [pu], shape (n_bus,), 0 at sources: how far a state is from a solution."""
    net = problem.network
    into, out = flow.ends(state)
    surplus = np.zeros(net.n_bus, dtype=complex)
    np.add.at(surplus, net.to_bus, out)
    np.subtract.at(surplus, net.from_bus, into)
    drawn = s + np.abs(state.v) ** 2 * np.conj(net.g_shunt + 1j * net.b_shunt)
    missing = np.abs(state.v * np.conj(surplus) - drawn)
    return np.where(net.is_substation | ~flow.fed, 0.0, missing)
