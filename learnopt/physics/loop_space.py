r"""Loop space: the meshed network seen through its fundamental loops, for fixed load currents.

Close every usable branch and let currents split freely by resistance: the minimum of :math:`\sum_e r_e |f_e|^2`
subject to Kirchhoff's current law. In loop coordinates :math:`f = f_0 + C y`, with :math:`C` the incidence of the
fundamental loops of any spanning tree, :math:`M = C^T \mathrm{diag}(r) C` and :math:`K = M^{-1}`. Opening branch e
(with :math:`c_e` its row of C) raises the minimum by exactly

.. math:: \delta_e = |f_e|^2 / g_e, \qquad g_e = c_e^T K c_e.

Since opening branches only raises it, the minimum bounds the loss of every radial configuration for these currents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnopt.errors import DataError
from learnopt.network import Bools, Floats, Ints, ReconfigurationProblem
from learnopt.network.topology import maximum_spanning_tree
from learnopt.physics.sweep import grid_of, order_tree

RELATIVE_FLOOR = 1e-9
"""Resistances below this share of the mean are raised to it, so that K exists with zero-impedance couplers."""


@dataclass(frozen=True)
class LoopSpace:
    """Loop coordinates of the usable graph of a problem.

    Parameters
    ----------
    core
        Branches that lie in a loop, shape (n_core,).
    cycles
        C, entries -1, 0, 1: orientation of each core branch in each fundamental loop, shape (n_core, n_loops).
    r
        Resistance of the core branches, floored (see ``floored``) [pu], shape (n_core,).
    floored
        bool, shape (n_core,): resistance was raised to the floor.
    K
        Inverse loop resistance, shape (n_loops, n_loops).
    tree
        The spanning tree behind the loops, bool, shape (n_branch,).
    order, parent, feed
        That tree from the roots, shape (n_bus,); see :class:`learnopt.physics.sweep.PowerFlow`.
    sign
        +1 where the branch feeding a bus points to it, -1 where it points away, 0 at roots, shape (n_bus,).
    """

    core: Ints
    cycles: Floats
    r: Floats
    floored: Bools
    K: Floats
    tree: Bools
    order: Ints
    parent: Ints
    feed: Ints
    sign: Floats

    @classmethod
    def of(cls, problem: ReconfigurationProblem) -> LoopSpace:
        """Loop space of all usable branches of a problem.

        Raises
        ------
        DataError
            If some bus cannot be fed (:attr:`ReconfigurationProblem.contradictions` says which).
        """
        net = problem.network
        if problem.contradictions:
            raise DataError(net.name, problem.contradictions)
        # A spanning tree of least resistance keeps loops short.
        tree = maximum_spanning_tree(net, problem.usable, -net.r)
        order, parent, feed = (np.empty(net.n_bus, np.int64) for _ in range(3))
        order_tree(grid_of(net), tree, order, parent, feed)
        fed = np.flatnonzero(feed >= 0)
        sign = np.zeros(net.n_bus)
        sign[fed] = np.where(net.to_bus[feed[fed]] == fed, 1.0, -1.0)
        in_loop = problem.usable & ~problem.blocks.bridges & (problem.blocks.block >= 0)
        core = np.flatnonzero(in_loop)
        row = np.full(net.n_branch, -1)
        row[core] = np.arange(len(core))
        chords = core[~tree[core]]
        cycles = np.zeros((len(core), len(chords)))
        for loop, chord in enumerate(chords):
            cycles[row[chord], loop] = 1.0
            for bus, direction in ((net.to_bus[chord], -1.0), (net.from_bus[chord], 1.0)):
                while feed[bus] >= 0:
                    if row[feed[bus]] >= 0:
                        cycles[row[feed[bus]], loop] += direction * sign[bus]
                    bus = parent[bus]
        floor = RELATIVE_FLOOR * (net.r[core].mean() if len(core) and net.r[core].any() else 1.0)
        r = np.maximum(net.r[core], floor)
        K = np.linalg.inv(cycles.T @ (r[:, None] * cycles)) if len(chords) else np.zeros((0, 0))
        return cls(core, cycles, r, net.r[core] < floor, (K + K.T) / 2, tree, order, parent, feed, sign)

    @property
    def n_loops(self) -> int:
        """Number of independent loops: the number of core branches that a radial configuration opens."""
        return self.cycles.shape[1]

    @property
    def loop_conductance(self) -> Floats:
        """g_e of each core branch, shape (n_core,): conductance of its loop through the rest of the mesh [1/pu]."""
        return np.einsum("el,el->e", self.cycles @ self.K, self.cycles)

    @property
    def bridge_conductance(self) -> float:
        """Below this loop conductance a branch is a bridge: half of what the longest possible loop has [1/pu].

        A share of the first conductance would take one of two parallel couplers for a bridge once the other is open.
        """
        return 0.5 / max(float(self.r.sum()), 1e-300)

    def tree_flow(self, injection: NDArray[Any]) -> NDArray[Any]:
        """Flow on every branch when only ``tree`` is closed, positive from ``from_bus`` to ``to_bus``.

        Parameters
        ----------
        injection
            Current or power drawn at each bus, shape (n_bus,) or (n_bus, n_column), real or complex.

        Returns
        -------
        shape (n_branch,) or (n_branch, n_column)
        """
        below = np.array(injection, copy=True)
        flow = np.zeros((len(self.tree), *below.shape[1:]), dtype=below.dtype)
        for bus in self.order[::-1]:
            if self.feed[bus] >= 0:
                flow[self.feed[bus]] = self.sign[bus] * below[bus]
                below[self.parent[bus]] += below[bus]
        return flow

    def meshed_flow(self, injection: NDArray[Any]) -> NDArray[Any]:
        """Flow on every branch with all usable branches closed, split by resistance; shapes as of :meth:`tree_flow`."""
        flow = self.tree_flow(injection)
        if self.n_loops:
            loop_flow = self.K @ ((self.r * self.cycles.T) @ flow[self.core])
            flow[self.core] -= self.cycles @ loop_flow
        return flow

    def opening_cost(self, flow: NDArray[Any]) -> Floats:
        """delta_e: rise of the least loss when a core branch opens, for a meshed flow, shape (n_core,)."""
        return np.abs(flow[self.core]) ** 2 / self.loop_conductance
