r"""Compensation of fixed loops in the sweep: compiled, and only where a network has some.

One branch of every fixed loop, its chord, is cut; what is left is a tree. The series current :math:`j_c` of a chord
from bus a to bus b (ratio t at a) is drawn from the tree at a and injected at b. By superposition the gap across the
cuts

.. math:: e = V_a / t - V_b - z j, \qquad e(j + \Delta) = e(j) - B \Delta

is linear in the currents as long as those of the loads are held, with the *breakpoint impedances*
:math:`B_{cd} = \sum_k z_k w_{kc} w_{kd} + \delta_{cd} z_c` over the branches k of the tree and their currents w for a
unit current in one chord. Every sweep therefore holds the load currents, closes the gaps by :math:`\Delta = B^{-1} e`,
and only then renews the loads: the fixed point is the meshed power flow, and convergence is that of a radial sweep.

References
----------
Shirmohammadi, Hong, Semlyen, Luo (1988), doi:10.1109/59.192932.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import njit
from learnopt.network.aliases import Floats, Ints

TOLERANCE = 1e-11
"""Largest change of a voltage in the last sweep [pu]."""
MAX_SWEEPS = 1000
"""Sweeps before a power flow counts as not converged."""
NO_CURRENT = 1e-13
"""Unit currents of the two ends of a chord that cancel up to this have met."""


@njit()
def drawn(s: complex, v: complex) -> complex:
    """Current that a load of constant power draws at a voltage [pu]."""
    total = v.real * v.real + v.imag * v.imag
    return complex((s.real * v.real + s.imag * v.imag) / total, (s.real * v.imag - s.imag * v.real) / total)


@njit()
def square(z: complex) -> float:
    """Squared magnitude."""
    return z.real * z.real + z.imag * z.imag


@njit()
def magnitude(z: complex) -> float:
    """Of voltages and currents per unit, which neither overflow nor vanish in a square."""
    return math.sqrt(z.real * z.real + z.imag * z.imag)


@njit(steps=lambda grid, *_: 10 * len(grid.start))
def chord_paths(
    grid: Any, order: Ints, parent: Ints, feed: Ints, up: Floats, down: Floats
) -> tuple[Ints, Ints, Floats]:
    """Currents in the tree for a unit series current in each chord.

    Returns
    -------
    start, bus, weight
        Compressed rows: chord c makes ``weight[i]`` flow to ``bus[i]``, in the series impedance of the branch that
        feeds it, for i from ``start[c]`` to ``start[c + 1]``.
    """
    n_roots = len(grid.roots)
    rank = np.empty(len(order), np.int64)
    for position in range(len(order)):
        rank[order[position]] = position
    start = np.zeros(len(grid.chords) + 1, np.int64)
    bus, weight = np.empty(64, np.int64), np.empty(64)
    count = 0
    for c in range(len(grid.chords)):
        a, b = grid.tail[grid.chords[c]], grid.head[grid.chords[c]]
        drawn_a, drawn_b = 1.0 / grid.ratio[grid.chords[c]], -1.0
        # The deeper end climbs; where they meet only what ratios have left over goes on to the root.
        while True:
            if a == b:
                drawn_a, drawn_b, b = drawn_a + drawn_b, 0.0, order[0]
                if abs(drawn_a) <= NO_CURRENT:
                    break
            if rank[a] < rank[b]:
                a, b, drawn_a, drawn_b = b, a, drawn_b, drawn_a
            if rank[a] < n_roots:
                break
            if count == len(bus):
                bus = np.concatenate((bus, np.empty(count, np.int64)))
                weight = np.concatenate((weight, np.empty(count)))
            bus[count] = a
            if grid.stepped:
                weight[count] = down[a] * drawn_a
                drawn_a *= down[a] * up[a]
            else:
                weight[count] = drawn_a
            count += 1
            a = parent[a]
        start[c + 1] = count
    return start, bus[:count], weight[:count]


@njit()
def quotient(a: complex, b: complex) -> complex:
    """A / b."""
    total = b.real * b.real + b.imag * b.imag
    return complex((a.real * b.real + a.imag * b.imag) / total, (a.imag * b.real - a.real * b.imag) / total)


@njit()
def _inverse(matrix: NDArray[np.complex128]) -> Any:
    """Inverse by elimination with the largest pivot of each column; changes ``matrix``. NaN where it is singular."""
    n = len(matrix)
    result = np.zeros((n, n), np.complex128)
    for i in range(n):
        result[i, i] = 1.0
    for k in range(n):
        top = k
        for i in range(k + 1, n):
            if square(matrix[i, k]) > square(matrix[top, k]):
                top = i
        for c in range(n):
            matrix[k, c], matrix[top, c] = matrix[top, c], matrix[k, c]
            result[k, c], result[top, c] = result[top, c], result[k, c]
        scale = quotient(1.0 + 0.0j, matrix[k, k])
        for c in range(n):
            matrix[k, c] *= scale
            result[k, c] *= scale
        for i in range(n):
            factor = matrix[i, k]
            if i != k and square(factor) > 0.0:
                for c in range(n):
                    matrix[i, c] -= factor * matrix[k, c]
                    result[i, c] -= factor * result[k, c]
    return result


@njit()
def _breakpoint_inverse(grid: Any, feed: Ints, start: Ints, bus: Ints, weight: Floats) -> Any:
    """Inverse of B; a loop without any impedance keeps the current zero, which nothing feels."""
    n = len(grid.chords)
    matrix = np.zeros((n, n), np.complex128)
    dense = np.zeros(len(feed))
    for c in range(n):
        for i in range(start[c], start[c + 1]):
            dense[bus[i]] += weight[i]
        for d in range(c, n):
            total = 0j
            for i in range(start[d], start[d + 1]):
                total += dense[bus[i]] * weight[i] * grid.impedance[feed[bus[i]]]
            matrix[c, d] = matrix[d, c] = total
        for i in range(start[c], start[c + 1]):
            dense[bus[i]] = 0.0
        matrix[c, c] += grid.impedance[grid.chords[c]]
        if square(matrix[c, c]) == 0.0:
            matrix[c, c] = 1.0
    return _inverse(matrix)


@njit()
def sweep_loops(
    grid: Any, s: NDArray[np.complex128], tree: Any, up: Floats, down: Floats, shunt: NDArray[np.complex128]
) -> float:
    """As :func:`learnopt.physics.sweep.sweep_tree` from a flat start in its ``v``, with the chords of the grid closed.

    Parameters
    ----------
    up, down
        Factors of the ideal transformers on the way to each bus; empty where every ratio is one.
    shunt
        Of each bus with all branches but the chords, shape (n_bus,); empty where there are none.
    """
    order, parent, feed, v, current = tree
    n, n_roots, n_chords = len(order), len(grid.roots), len(grid.chords)
    if grid.shunted:
        for c in range(n_chords):
            e = grid.chords[c]
            half = 0.5 * grid.y[e]
            shunt[grid.tail[e]] += half * (1.0 / (grid.ratio[e] * grid.ratio[e]))
            shunt[grid.head[e]] += half
    start, bus, weight = chord_paths(grid, order, parent, feed, up, down)
    inverse = _breakpoint_inverse(grid, feed, start, bus, weight)
    j, gap = np.zeros(n_chords, np.complex128), np.zeros(n_chords, np.complex128)
    load, fresh = np.empty(n, np.complex128), v.copy()
    for _ in range(MAX_SWEEPS):
        for k in range(n):
            load[k] = drawn(s[k], v[k])
            if grid.shunted:
                load[k] += shunt[k] * v[k]
        largest = 0.0
        for attempt in range(2):
            current[:] = load
            for c in range(n_chords):
                e = grid.chords[c]
                current[grid.tail[e]] += j[c] * (1.0 / grid.ratio[e])
                current[grid.head[e]] -= j[c]
            for position in range(n - 1, n_roots - 1, -1):
                k = order[position]
                if grid.stepped:
                    current[k] *= down[k]
                    current[parent[k]] += up[k] * current[k]
                else:
                    current[parent[k]] += current[k]
            for position in range(n_roots, n):
                k = order[position]
                if grid.stepped:
                    fresh[k] = (fresh[parent[k]] * up[k] - grid.impedance[feed[k]] * current[k]) * down[k]
                else:
                    fresh[k] = fresh[parent[k]] - grid.impedance[feed[k]] * current[k]
            largest = 0.0
            for c in range(n_chords):
                e = grid.chords[c]
                gap[c] = fresh[grid.tail[e]] * (1.0 / grid.ratio[e]) - fresh[grid.head[e]] - grid.impedance[e] * j[c]
                largest = max(largest, abs(gap[c].real) + abs(gap[c].imag))
            if attempt == 1 or largest < TOLERANCE:
                break
            for c in range(n_chords):
                for d in range(n_chords):
                    j[c] += inverse[c, d] * gap[d]
        change = largest
        for position in range(n_roots, n):
            k = order[position]
            step = abs(fresh[k].real - v[k].real) + abs(fresh[k].imag - v[k].imag)
            if step > change:
                change = step
            v[k] = fresh[k]
            if not (abs(v[k].real) + abs(v[k].imag) > 1e-3):
                return np.nan
        if change < TOLERANCE:
            loss = 0.0
            for position in range(n_roots, n):
                k = order[position]
                loss += grid.impedance[feed[k]].real * square(current[k])
                loss += _iron(grid, feed[k], v)
            for c in range(n_chords):
                e = grid.chords[c]
                loss += grid.impedance[e].real * square(j[c]) + _iron(grid, e, v)
            return loss
    return np.nan


@njit()
def _iron(grid: Any, e: int, v: NDArray[np.complex128]) -> float:
    """Loss in the shunt conductance of a closed branch [pu]."""
    g = 0.5 * grid.y[e].real
    if g == 0.0:
        return 0.0
    ratio = grid.ratio[e]
    return g * (square(v[grid.tail[e]]) / (ratio * ratio) + square(v[grid.head[e]]))


@njit()
def chord_loading(grid: Any, c: int, rating: float, v: NDArray[np.complex128]) -> float:
    """Current of a chord at the end where it is larger, over its rating; 0 where it has no impedance to tell it by."""
    e = grid.chords[c]
    if square(grid.impedance[e]) == 0.0:
        return 0.0
    ratio, half = grid.ratio[e], 0.5 * grid.y[e]
    behind, arriving = v[grid.tail[e]] * (1.0 / ratio), v[grid.head[e]]
    series = quotient(behind - arriving, grid.impedance[e])
    return max(magnitude(series + half * behind) / ratio, magnitude(series - half * arriving)) / rating
