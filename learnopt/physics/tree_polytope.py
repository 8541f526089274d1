r"""The loss relaxed over the spanning tree polytope: a fractional radial configuration by Frank and Wolfe's method.

A radial configuration has z_e = 1 where branch e is closed and 0 where it is open, and carries no current where it is
open. Both together, relaxed, are the perspective of the quadratic loss over the convex hull of the spanning trees:

.. math:: \min_{z \in \mathrm{conv}\{\text{trees}\}} \; F(z) = \min_{f:\, \text{Kirchhoff}} \sum_e r_e |f_e|^2 / z_e .

For given z the flow is that of a mesh with resistances r/z, one small linear system in loop coordinates; the gradient
is :math:`-r_e |f_e|^2 / z_e^2`, so the best vertex is a maximum spanning tree. Twenty steps of size 2/(k + 2) come near
the optimum. F at its minimum bounds the loss of every radial configuration for these currents, but z is only near the
minimum here: it is used as a description of the network, not as a proof.

References
----------
Frank & Wolfe (1956), doi:10.1002/nav.3800030109; Jaggi (2013), ICML 28(1):427 (step size); perspective functions:
Günlük & Linderoth (2010), doi:10.1007/s10107-010-0360-z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import njit
from learnopt.network import Bools, Floats, Ints, ReconfigurationProblem
from learnopt.network.union_find import find_set
from learnopt.physics.loop_space import LoopSpace

STEPS = 20
_FLOOR = 1e-6
"""Least z: a branch that no tree closes still has a resistance."""


@dataclass(frozen=True)
class FractionalTree:
    """A point of the spanning tree polytope near the least relaxed loss, for the branches in loops.

    Parameters
    ----------
    closed
        z of each branch, at least a millionth, shape (n_core,).
    opening_cost
        Rise of F when the branch alone is opened and the others keep their z, over F, shape (n_core,).
    """

    closed: Floats
    opening_cost: Floats


def fractional_tree(
    problem: ReconfigurationProblem, space: LoopSpace, flow: NDArray[Any], steps: int = STEPS
) -> FractionalTree:
    """Twenty steps from the marginals of conductance-weighted spanning trees.

    Parameters
    ----------
    space
        Of this problem.
    flow
        Meshed flow of every branch, real or complex, shape (n_branch,); its loop part is found again.
    """
    if space.n_loops == 0 or not flow.any():
        return FractionalTree(1.0 - space.loop_conductance * space.r, np.zeros(len(space.core)))
    core = problem.core
    at = np.full(problem.network.n_branch, -1)
    at[core.branches] = np.arange(len(core.branches))
    place = at[space.core]
    free = (place >= 0) & (core.tail[place] != core.head[place])
    tail, head = (np.where(free, end[place], -1) for end in (core.tail, core.head))
    # A free branch beside branches that stay closed is open in every tree, any other closed branch is closed.
    start = np.where(free, 1.0 - space.loop_conductance * space.r, np.where(place >= 0, _FLOOR, 1.0))
    rows, loops = np.nonzero(space.cycles)
    first = np.searchsorted(rows, np.arange(len(space.core) + 1))
    current = flow[space.core].astype(np.complex128)
    bridges = np.setdiff1d(core.branches, space.core)
    joined = core.tail[at[bridges]], core.head[at[bridges]]
    z, f = _frank_wolfe(
        space.r, first, loops, space.cycles[rows, loops], space.n_loops, current, np.maximum(start, _FLOOR),
        free, tail, head, joined[0], joined[1], core.n_nodes, steps,
    )  # fmt: skip
    resistance = space.r / z
    inverse = np.linalg.inv(space.cycles.T @ (resistance[:, None] * space.cycles))
    conductance = np.einsum("el,el->e", space.cycles @ inverse, space.cycles)
    f = f - space.cycles @ (inverse @ (space.cycles.T @ (resistance * f)))
    relaxed_loss = float(np.sum(resistance * np.abs(f) ** 2)) or 1.0
    return FractionalTree(z, np.abs(f) ** 2 / conductance / relaxed_loss)


@njit()
def _frank_wolfe(
    r: Floats,
    first: Ints,
    loop: Ints,
    sign: Floats,
    n_loops: int,
    flow: NDArray[Any],
    start: Floats,
    free: Bools,
    tail: Ints,
    head: Ints,
    bridge_tail: Ints,
    bridge_head: Ints,
    n_nodes: int,
    steps: int,
) -> tuple[Floats, NDArray[Any]]:
    z = start.copy()
    f = flow.copy()
    contracted = np.arange(n_nodes)
    for k in range(len(bridge_tail)):
        contracted[find_set(contracted, bridge_tail[k])] = find_set(contracted, bridge_head[k])
    gain = np.zeros(len(z))
    for step in range(1, steps + 1):
        matrix = np.zeros((n_loops, n_loops))
        drop = np.zeros((n_loops, 2))
        for e in range(len(z)):
            resistance = r[e] / z[e]
            for a in range(first[e], first[e + 1]):
                drop[loop[a], 0] += sign[a] * resistance * f[e].real
                drop[loop[a], 1] += sign[a] * resistance * f[e].imag
                for b in range(first[e], first[e + 1]):
                    matrix[loop[a], loop[b]] += sign[a] * sign[b] * resistance
        around = np.linalg.solve(matrix, drop)
        for e in range(len(z)):
            for a in range(first[e], first[e + 1]):
                f[e] -= sign[a] * (around[loop[a], 0] + 1j * around[loop[a], 1])
            gain[e] = r[e] * (f[e].real ** 2 + f[e].imag ** 2) / z[e] ** 2
        parent = contracted.copy()
        size = 2.0 / (step + 2.0)
        for e in np.argsort(-gain, kind="mergesort"):
            if free[e]:
                a, b = find_set(parent, tail[e]), find_set(parent, head[e])
                parent[a] = b
                z[e] = max(z[e] + size * ((1.0 if a != b else 0.0) - z[e]), _FLOOR)
    return z, f
