r"""Backward/forward sweep for radial networks, compiled, for one or many configurations or scenarios.

Constant-power loads, bus shunts, fixed substation voltages, branch shunts (line charging) half at each end of a
*closed* branch (an open branch is disconnected at both ends), ideal transformers at the from end of a branch. Fixed
loops are closed by compensation (:mod:`learnopt.physics.looped_sweep`). With
:math:`I_k = (S_k / V_k)^* + y_k V_k` the backward pass sums currents towards the root, the forward pass subtracts
voltage drops, until no voltage moves by more than the tolerance.

A sweep that does not converge is a failure, never a low loss.

References
----------
Shirmohammadi, Hong, Semlyen, Luo (1988), doi:10.1109/59.192932.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import njit
from learnopt.network import Bools, Configuration, Floats, Ints, Network, ReconfigurationProblem
from learnopt.physics.looped_sweep import MAX_SWEEPS, TOLERANCE, drawn, magnitude, square, sweep_loops


class SweepStatus(IntEnum):
    """How a sweep ended."""

    CONVERGED = 0
    NOT_CONVERGED = 1
    """No fixed point was reached: voltage collapse, or a load near the limit of what can be fed."""
    NOT_RADIAL = 2
    """The closed branches without chords are not a spanning forest rooted at the substations."""


class Grid(NamedTuple):
    """The numbers of a network that compiled code needs, all in per unit."""

    start: Ints
    """Compressed rows of the bus-branch adjacency, shape (n_bus + 1,)."""
    via: Ints
    """Branch of each adjacency entry, shape (2 n_branch,) less the chords."""
    other: Ints
    """Bus at the far end of each entry."""
    impedance: NDArray[np.complex128]
    """Series impedance, shape (n_branch,)."""
    y: NDArray[np.complex128]
    """Shunt admittance of a branch, both ends together, shape (n_branch,)."""
    bus_y: NDArray[np.complex128]
    """Shunt admittance of a bus, shape (n_bus,)."""
    shunted: bool
    """Some shunt is not zero."""
    tail: Ints
    """From end of each branch, where its ideal transformer is, shape (n_branch,)."""
    ratio: Floats
    """Its ratio, shape (n_branch,)."""
    stepped: bool
    """Some ratio is not one."""
    head: Ints
    """To end of each branch, shape (n_branch,)."""
    chords: Ints
    """Branches that close the fixed loops, which the adjacency leaves out: every configuration has them closed."""
    roots: Ints
    """Substation buses."""
    root_vm: Floats
    """Their voltages."""


class TreeFlow(NamedTuple):
    """Room for the power flow of one radial state: its rooted tree, then voltages and currents."""

    order: Ints
    """Buses, roots first, shape (n_bus,)."""
    parent: Ints
    """-1 at roots."""
    feed: Ints
    """Branch to the parent, -1 at roots."""
    v: NDArray[np.complex128]
    """Voltages [pu]."""
    current: NDArray[np.complex128]
    """Series current from the parent towards each bus [pu]; at a root what it delivers to its tree."""


@njit()
def tree_flow(n_bus: int) -> TreeFlow:
    """Room for power flows of so many buses."""
    return TreeFlow(
        np.empty(n_bus, np.int64),
        np.empty(n_bus, np.int64),
        np.empty(n_bus, np.int64),
        np.empty(n_bus, np.complex128),
        np.empty(n_bus, np.complex128),
    )


def grid_of(network: Network, charging: bool = True, chords: Bools | None = None) -> Grid:
    """Arrays for the compiled sweep.

    Parameters
    ----------
    chords
        bool, shape (n_branch,): branches that close the fixed loops (:attr:`ReconfigurationProblem.chords`); none where
        absent.
    """
    n, m = network.n_bus, network.n_branch
    kept = np.arange(m) if chords is None else np.flatnonzero(~chords)
    ends = np.concatenate([network.from_bus[kept], network.to_bus[kept]])
    order = np.argsort(ends, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=n))]).astype(np.int64)
    y = network.g + 1j * (network.b if charging else np.zeros(m))
    bus_y = network.g_shunt + 1j * network.b_shunt
    return Grid(
        start=start,
        via=np.concatenate([kept, kept])[order].astype(np.int64),
        other=np.concatenate([network.to_bus[kept], network.from_bus[kept]])[order].astype(np.int64),
        impedance=network.r + 1j * network.x,
        y=y,
        bus_y=bus_y,
        shunted=bool(y.any() or bus_y.any()),
        tail=np.array(network.from_bus),
        ratio=np.array(network.ratio),
        stepped=bool((network.ratio != 1).any()),
        head=np.array(network.to_bus),
        chords=np.zeros(0, np.int64) if chords is None else np.flatnonzero(chords).astype(np.int64),
        roots=np.array(network.substations),
        root_vm=np.array(network.substation_vm),
    )


def problem_grid(problem: ReconfigurationProblem) -> Grid:
    """Arrays for the compiled sweep of a problem: its charging and its fixed loops."""
    return grid_of(problem.network, problem.charging, problem.chords)


@njit(steps=lambda grid, *_: 5 * len(grid.start))
def order_tree(grid: Any, closed: Bools, order: Ints, parent: Ints, feed: Ints) -> bool:
    """Breadth-first order of the forest of closed branches (:func:`order_fed`); True where it reaches every bus."""
    return order_fed(grid, closed, order, parent, feed) == len(parent)


@njit()
def order_fed(grid: Any, closed: Bools, order: Ints, parent: Ints, feed: Ints) -> int:
    """Breadth-first order of the buses that closed branches join to a root; returns their number.

    Fills ``order`` (buses, roots first), ``parent`` (-1 at roots, -2 at buses not reached) and ``feed`` (branch to the
    parent, -1 at roots). Returns -1 where these branches close a loop or join two roots.
    """
    for k in range(len(parent)):
        parent[k] = -2
    count = 0
    for k in grid.roots:
        parent[k] = -1
        feed[k] = -1
        order[count] = k
        count += 1
    head = 0
    while head < count:
        bus = order[head]
        head += 1
        for entry in range(grid.start[bus], grid.start[bus + 1]):
            branch = grid.via[entry]
            if not closed[branch] or branch == feed[bus]:
                continue
            far = grid.other[entry]
            if parent[far] != -2:
                return -1  # a second way to a bus, or a path between two roots
            parent[far] = bus
            feed[far] = branch
            order[count] = far
            count += 1
    return count


@njit(steps=lambda grid, *_: 5 * len(grid.start))
def order_flow(grid: Any, closed: Bools, tree: Any) -> bool:
    """:func:`order_tree` of a :class:`TreeFlow`."""
    return order_tree(grid, closed, tree.order, tree.parent, tree.feed)


@njit(steps=lambda grid, *_: 25 * len(grid.start))
def sweep_tree(grid: Any, s: NDArray[np.complex128], tree: Any) -> float:
    """Sweep an ordered :class:`TreeFlow`; fills its voltages and currents, returns the loss or NaN.

    The chords of the grid are closed besides: the tree is radial but for fixed loops. Every call is a flat start.
    """
    order, parent, feed, v, current = tree
    n = len(order)
    n_roots = len(grid.roots)
    # An ideal transformer multiplies the voltage on its way down: by ``up`` before the impedance, by ``down`` after it.
    up, down = np.ones(n if grid.stepped else 0), np.ones(n if grid.stepped else 0)
    if grid.stepped:
        for position in range(n_roots, n):
            k = order[position]
            ratio = grid.ratio[feed[k]]
            if grid.tail[feed[k]] == k:
                down[k] = ratio
            else:
                up[k] = 1.0 / ratio
    shunt = np.empty(n if grid.shunted else 0, np.complex128)
    if grid.shunted:
        for k in range(n):
            shunt[k] = grid.bus_y[k]
        for position in range(n_roots, n):
            k = order[position]
            half = 0.5 * grid.y[feed[k]]
            if grid.stepped:
                shunt[k] += half * (1.0 / (down[k] * down[k]))
                shunt[parent[k]] += half * (up[k] * up[k])
            else:
                shunt[k] += half
                shunt[parent[k]] += half
    for i in range(n_roots):
        v[grid.roots[i]] = grid.root_vm[i]
    for position in range(n_roots, n):
        k = order[position]
        v[k] = v[parent[k]]
        if grid.stepped:
            v[k] *= up[k] * down[k]
    if len(grid.chords) > 0:
        return sweep_loops(grid, s, tree, up, down, shunt)
    for _ in range(MAX_SWEEPS):
        for k in range(n):
            current[k] = drawn(s[k], v[k])
            if grid.shunted:
                current[k] += shunt[k] * v[k]
        if grid.stepped:
            for position in range(n - 1, n_roots - 1, -1):
                k = order[position]
                current[k] *= down[k]
                current[parent[k]] += up[k] * current[k]
        else:
            for position in range(n - 1, n_roots - 1, -1):
                k = order[position]
                current[parent[k]] += current[k]
        change = 0.0
        for position in range(n_roots, n):
            k = order[position]
            if grid.stepped:
                fresh = (v[parent[k]] * up[k] - grid.impedance[feed[k]] * current[k]) * down[k]
            else:
                fresh = v[parent[k]] - grid.impedance[feed[k]] * current[k]
            step = abs(fresh.real - v[k].real) + abs(fresh.imag - v[k].imag)
            if step > change:
                change = step
            v[k] = fresh
            if not (abs(fresh.real) + abs(fresh.imag) > 1e-3):
                return np.nan
        if change < TOLERANCE:
            loss = 0.0
            for position in range(n_roots, n):
                k = order[position]
                loss += grid.impedance[feed[k]].real * square(current[k])
                g = 0.5 * grid.y[feed[k]].real
                if g != 0.0:
                    sending, arriving = magnitude(v[parent[k]]), magnitude(v[k])
                    if grid.stepped:
                        sending *= up[k]
                        arriving /= down[k]
                    loss += g * (sending * sending + arriving * arriving)
            return loss
    return np.nan


@njit(steps=lambda grid, *_: 25 * len(grid.start))
def _sweep_one(grid: Any, s: NDArray[np.complex128], closed: Bools) -> tuple[int, float, TreeFlow]:
    tree = tree_flow(len(s))
    tree.current[:] = 0.0
    if not order_flow(grid, closed, tree):
        return 2, np.nan, tree
    loss = sweep_tree(grid, s, tree)
    return (1 if np.isnan(loss) else 0), loss, tree


@njit(steps=lambda grid, s, closed, loss, *_: 25 * len(grid.start) * len(loss))
def _sweep_many(
    grid: Any,
    s: NDArray[np.complex128],
    closed: Bools,
    loss: Floats,
    status: Ints,
    vm_min: Floats,
) -> None:
    tree = tree_flow(s.shape[1])
    known = False
    for i in range(len(loss)):
        row = min(i, len(closed) - 1)
        if row == i:
            known = order_flow(grid, closed[row], tree)
        loss[i] = np.nan
        vm_min[i] = np.nan
        if not known:
            status[i] = 2
            continue
        loss[i] = sweep_tree(grid, s[min(i, len(s) - 1)], tree)
        status[i] = 1 if np.isnan(loss[i]) else 0
        if status[i] == 0:
            vm_min[i] = magnitude(tree.v[0])
            for k in range(1, len(tree.v)):
                vm_min[i] = min(vm_min[i], magnitude(tree.v[k]))


@dataclass(frozen=True)
class PowerFlow:
    """AC power flow of one configuration that is radial but for fixed loops.

    Parameters
    ----------
    status
        Everything else is meaningless unless it is ``CONVERGED``.
    loss
        Active loss [pu].
    v
        Bus voltages [pu], complex, shape (n_bus,).
    current
        Current of the series impedance from the parent towards each bus [pu], complex, shape (n_bus,); at a substation
        the current it delivers to its tree.
    order, parent, feed
        Buses with roots first, parent bus (-1 at roots), branch to the parent (-1 at roots), shape (n_bus,).
    """

    status: SweepStatus
    loss: float
    v: NDArray[np.complex128]
    current: NDArray[np.complex128]
    order: Ints
    parent: Ints
    feed: Ints

    @property
    def converged(self) -> bool:
        """A solution was found."""
        return self.status is SweepStatus.CONVERGED

    @property
    def tree(self) -> TreeFlow:
        """The same for compiled code."""
        return TreeFlow(self.order, self.parent, self.feed, self.v, self.current)


def power_flow(problem: ReconfigurationProblem, configuration: Configuration) -> PowerFlow:
    """AC power flow of one configuration by backward/forward sweep."""
    grid = problem_grid(problem)
    s = problem.p + 1j * problem.q
    status, loss, tree = _sweep_one(grid, s, configuration.closed)
    return PowerFlow(SweepStatus(status), loss, **tree._asdict())


@dataclass(frozen=True)
class PowerFlowBatch:
    """Losses of many power flows.

    Parameters
    ----------
    status
        :class:`SweepStatus` values, shape (n,).
    loss
        Active loss [pu], NaN where not converged, shape (n,).
    vm_min
        Lowest voltage magnitude [pu], NaN where not converged, shape (n,).
    """

    status: Ints
    loss: Floats
    vm_min: Floats


def power_flow_batch(
    network: Network,
    s: NDArray[np.complex128],
    closed: Bools,
    charging: bool = True,
    chords: Bools | None = None,
) -> PowerFlowBatch:
    """AC power flow of many configurations, of many scenarios, or of pairs of both.

    Parameters
    ----------
    s
        Net loads [pu], complex, shape (n, n_bus) or (1, n_bus).
    closed
        States, shape (n, n_branch) or (1, n_branch). A first dimension of one serves every row of the other.
    chords
        Branches that close the fixed loops, see :func:`grid_of`.
    """
    n = max(len(s), len(closed))
    if len(s) not in (1, n) or len(closed) not in (1, n):
        raise ValueError(
            f"{len(s)} scenarios and {len(closed)} configurations do not pair: use equal numbers, or one of either"
        )
    loss, status, vm_min = np.empty(n), np.empty(n, dtype=np.int64), np.empty(n)
    s = np.ascontiguousarray(s, dtype=np.complex128)
    _sweep_many(grid_of(network, charging, chords), s, np.ascontiguousarray(closed), loss, status, vm_min)
    return PowerFlowBatch(status, loss, vm_min)
