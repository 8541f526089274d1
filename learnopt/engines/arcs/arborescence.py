r"""A dual bound over arborescences: every bus has one parent, and its flow is at least its own load.

Orient each branch both ways. In a radial configuration every bus j (substations merged into node 0) is fed by exactly
one arc a = (i, j), whose flow of each injection column lies in an interval :math:`[l_j, h_j]`: its own injection plus
all negative, or all positive, injections of the others. Relax Kirchhoff's current law with a potential
:math:`\pi_j` per bus, :math:`\pi_0 = 0`. For **every** :math:`\pi`

.. math::

    \min_T F(T) \ge 2 \sum_j \pi_j i_j - \sum_{j \ne 0} \max_{a = (i, j)} \varphi_a, \qquad
    \varphi_a = \max_{l_j \le f \le h_j} 2 f (\pi_j - \pi_i) - r_a f^2,

since a tree costs :math:`\sum_j (2 \pi_j i_j) - \sum_{a \in T} (2 f_a \Delta\pi_a - r_a f_a^2)` for its flows
and picks one arc per bus; columns add up inside :math:`\varphi`. The bound is at least the meshed relaxation of
:mod:`learnopt.physics.loop_space` once :math:`\pi` is good, since that pays for every arc and not for one per bus. No
minimum-cost arborescence is needed: only ever smaller sets of arcs are allowed, and cycles starve.

Arcs are eliminated by reduced cost: with arc a instead of the best one of its bus the bound rises by
:math:`\max_{a'} \varphi_{a'} - \varphi_a`.

Potentials ascend by a preconditioned gradient: arcs have weights b, one per bus in all, moved towards those that attain
the maximum by factors :math:`e^{(\varphi_a - \max \varphi) / |\max \varphi|}`; the step solves the Laplacian of the
conductances :math:`b_a / r_a`, factored sparsely in a fixed order of least degree. Ten steps come within a percent of
the limit; the value counts, not the way to it, so rounding in the solution of the Laplacian is harmless.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from learnopt.compiling import njit
from learnopt.engines.arcs.arc_graph import LoopArcs
from learnopt.network import Bools, Floats, Ints

FLOOR = 1e-7
"""Least weight of an arc, and least resistance, over the mean, in the preconditioner (not in the bound)."""
GROUND = 1e-8
"""Share by which diagonals are raised, so that no pivot vanishes where weights do."""
STEEPEST = 3.0
"""Largest exponent of one change of a weight."""


class ArcWork(NamedTuple):
    """Scratch space of the dual ascent."""

    value: Floats
    """phi less price of each arc."""
    best: Ints
    """The arc of largest value into each node."""
    low: Floats
    """Least and largest flow into each node, shape (n_nodes, n_columns)."""
    high: Floats
    negative: Floats
    """Sum of the negative injections that are not joined to the root yet, shape (n_columns,)."""
    positive: Floats
    residual: Floats
    diagonal: Floats
    lower: Floats
    conductance: Floats
    kept: Floats
    """Best potentials so far."""


def workspace(arcs: LoopArcs) -> ArcWork:
    """Scratch space for some arcs."""
    n, columns = arcs.injection.shape
    flat = np.zeros((n, columns))
    return ArcWork(
        value=np.zeros(len(arcs.tail)),
        best=np.zeros(n, dtype=np.int64),
        low=flat.copy(),
        high=flat.copy(),
        negative=np.zeros(columns),
        positive=np.zeros(columns),
        residual=flat.copy(),
        diagonal=np.zeros(n),
        lower=np.zeros(len(arcs.later)),
        conductance=np.zeros(len(arcs.end_a)),
        kept=flat.copy(),
    )


@njit()
def _factor(arcs: Any, work: Any) -> None:
    """LDL' of the grounded Laplacian; ``lower`` keeps L D."""
    diagonal, lower = work.diagonal, work.lower
    diagonal[:] = 0.0
    lower[:] = 0.0
    for e in range(len(arcs.entry)):
        c = work.conductance[e]
        if arcs.end_a[e] != arcs.end_b[e]:
            diagonal[arcs.end_a[e]] += c
            diagonal[arcs.end_b[e]] += c
            if arcs.entry[e] >= 0:
                lower[arcs.entry[e]] -= c
    diagonal *= 1.0 + GROUND
    pair = 0
    for k in range(len(arcs.order)):
        first, last = arcs.later_start[k], arcs.later_start[k + 1]
        inverse = 1.0 / diagonal[arcs.order[k]]
        for i in range(first, last):
            factor = lower[i] * inverse
            diagonal[arcs.later[i]] -= factor * lower[i]
            for j in range(i + 1, last):
                lower[arcs.target[pair]] -= factor * lower[j]
                pair += 1


@njit()
def _solve(arcs: Any, work: Any) -> None:
    """Solve for ``residual`` in place."""
    x, lower, diagonal = work.residual, work.lower, work.diagonal
    n_columns = x.shape[1]
    for k in range(len(arcs.order)):
        node = arcs.order[k]
        for i in range(arcs.later_start[k], arcs.later_start[k + 1]):
            factor = lower[i] / diagonal[node]
            for c in range(n_columns):
                x[arcs.later[i], c] -= factor * x[node, c]
    for k in range(len(arcs.order) - 1, -1, -1):
        node = arcs.order[k]
        for c in range(n_columns):
            total = x[node, c]
            for i in range(arcs.later_start[k], arcs.later_start[k + 1]):
                total -= lower[i] * x[arcs.later[i], c]
            x[node, c] = total / diagonal[node]


@njit()
def propagate(arcs: Any, alive: Bools, parent: Ints, top: Ints) -> bool:
    """Eliminate arcs that no arborescence of the living ones contains; False where there is none.

    Fills ``parent`` (-1 where undecided) and ``top``: the end of the chain of decided parents, 0 or an undecided node.
    """
    n = len(parent)
    path = np.empty(n, np.int64)
    changed = True
    while changed:
        changed = False
        for a in range(len(alive)):
            if arcs.must[a] and not alive[a] and (arcs.reverse[a] < 0 or not alive[arcs.reverse[a]]):
                return False
        for j in range(1, n):
            forced, count, last = -1, 0, -1
            for a in range(arcs.start[j], arcs.start[j + 1]):
                if alive[a]:
                    count += 1
                    last = a
                    if arcs.must[a] and (arcs.reverse[a] < 0 or not alive[arcs.reverse[a]]):
                        if forced >= 0:
                            return False
                        forced = a
            if count == 0:
                return False
            if forced >= 0 and count > 1:
                for a in range(arcs.start[j], arcs.start[j + 1]):
                    alive[a] = a == forced
                changed = True
                count, last = 1, forced
            parent[j] = arcs.tail[last] if count == 1 else -1
            if count == 1 and arcs.reverse[last] >= 0 and alive[arcs.reverse[last]]:
                alive[arcs.reverse[last]] = False
                changed = True
        parent[0] = -1
        top[:] = -1
        top[0] = 0
        for j in range(1, n):
            size, k = 0, j
            while top[k] == -1 and parent[k] >= 0:
                top[k] = -2
                path[size] = k
                size += 1
                k = parent[k]
            if top[k] == -2:
                return False  # decided parents in a circle
            if top[k] == -1:
                top[k] = k
            for i in range(size):
                top[path[i]] = top[k]
        for j in range(1, n):
            if parent[j] == -1:
                for a in range(arcs.start[j], arcs.start[j + 1]):
                    if alive[a] and top[arcs.tail[a]] == j:
                        alive[a] = False
                        changed = True
    reached = np.zeros(n, np.bool_)
    reached[0] = True
    path[0] = 0
    size = 1
    count = 1
    while size > 0:
        size -= 1
        i = path[size]
        for k in range(arcs.out_start[i], arcs.out_start[i + 1]):
            j = arcs.head[arcs.out[k]]
            if alive[arcs.out[k]] and not reached[j]:
                reached[j] = True
                path[size] = j
                size += 1
                count += 1
    return count == n


@njit()
def flow_limits(arcs: Any, parent: Ints, top: Ints, work: Any) -> None:
    """Least and largest flow into each node, given what :func:`propagate` says.

    Below a node are the nodes whose decided parents lead to it, and maybe those that no decided parents join to the
    root: of these the negative injections lower the least flow, the positive ones raise the largest. With all parents
    decided both are the flow.
    """
    low, high, injection = work.low, work.high, arcs.injection
    n, n_columns = injection.shape
    waiting = np.zeros(n, np.int64)
    for c in range(n_columns):
        work.negative[c] = 0.0
        work.positive[c] = 0.0
    for j in range(1, n):
        if parent[j] > 0:
            waiting[parent[j]] += 1
        for c in range(n_columns):
            own = injection[j, c]
            low[j, c] = high[j, c] = own
            if top[j] != 0:
                low[j, c] -= min(own, 0.0)
                high[j, c] -= max(own, 0.0)
                work.negative[c] += min(own, 0.0)
                work.positive[c] += max(own, 0.0)
    stack = np.empty(n, np.int64)
    size = 0
    for j in range(1, n):
        if waiting[j] == 0:
            stack[size] = j
            size += 1
    while size > 0:
        size -= 1
        j = stack[size]
        i = parent[j]
        if i > 0:
            for c in range(n_columns):
                low[i, c] += low[j, c]
                high[i, c] += high[j, c]
            waiting[i] -= 1
            if waiting[i] == 0:
                stack[size] = i
                size += 1
    for j in range(1, n):
        for c in range(n_columns):
            low[j, c] += work.negative[c]
            high[j, c] += work.positive[c]


@njit()
def dual_value(arcs: Any, potential: Floats, alive: Bools, work: Any) -> float:
    """The bound for given potentials and arcs; fills ``value`` and ``best``. Each node needs an arc."""
    value, low, high, injection = work.value, work.low, work.high, arcs.injection
    n, n_columns = injection.shape
    total = 0.0
    for j in range(1, n):
        most = -np.inf
        for a in range(arcs.start[j], arcs.start[j + 1]):
            if not alive[a]:
                continue
            i, r = arcs.tail[a], arcs.r[a]
            own = -arcs.price[a]
            for c in range(n_columns):
                drop = potential[j, c] - potential[i, c]
                if drop <= r * low[j, c]:
                    flow = low[j, c]
                elif drop >= r * high[j, c]:
                    flow = high[j, c]
                else:
                    flow = drop / r
                own += flow * (2.0 * drop - r * flow)
            value[a] = own
            if own > most:
                most = own
                work.best[j] = a
        total -= most
        for c in range(n_columns):
            total += 2.0 * potential[j, c] * injection[j, c]
    return total


@njit()
def ascend_once(arcs: Any, potential: Floats, weight: Floats, alive: Bools, work: Any, floor: float) -> None:
    """One preconditioned step of the potentials for the present weights of the arcs."""
    residual, conductance, low, high = work.residual, work.conductance, work.low, work.high
    n, n_columns = residual.shape
    conductance[:] = 0.0
    residual[:] = arcs.injection
    for j in range(1, n):
        for a in range(arcs.start[j], arcs.start[j + 1]):
            if not alive[a]:
                continue
            i, r, w = arcs.tail[a], max(arcs.r[a], floor), weight[a]
            conductance[arcs.edge[a]] += w / r
            for c in range(n_columns):
                flow = w * min(max((potential[j, c] - potential[i, c]) / r, low[j, c]), high[j, c])
                residual[j, c] -= flow
                residual[i, c] += flow
    _factor(arcs, work)
    _solve(arcs, work)
    for j in range(1, n):
        for c in range(n_columns):
            potential[j, c] += residual[j, c]


@njit()
def move_weights(arcs: Any, weight: Floats, alive: Bools, work: Any) -> None:
    """Shift the weights of each node's arcs towards those of largest value."""
    value = work.value
    for j in range(1, len(work.best)):
        first, last = arcs.start[j], arcs.start[j + 1]
        most = value[work.best[j]]
        scale = 1.0 / (abs(most) + 1e-300)
        total = 0.0
        for a in range(first, last):
            if alive[a]:
                weight[a] = weight[a] * np.exp(max((value[a] - most) * scale, -STEEPEST)) + FLOOR
                total += weight[a]
        for a in range(first, last):
            weight[a] = weight[a] / total if alive[a] else 0.0
