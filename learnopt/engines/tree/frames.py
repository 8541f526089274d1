r"""What a node of the depth-first search is: the data that never change, and the stack of frames.

A node has decided some switches; all undecided ones are treated as closed and the injections of each column split by
resistance. Its state is K, the flows F (one column per injection) and g (see :mod:`learnopt.physics.loop_space`);
opening branch e costs :math:`\delta_e = \sum_c F_{ec}^2 / g_e` exactly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import njit
from learnopt.network import Bools, Floats, Ints
from learnopt.network.union_find import find_set

FREE, CLOSED, OPEN = 0, 1, 2
DEPTH, NODES, LEAVES, FLOWS, IMPROVEMENTS = range(5)
"""Places in :attr:`Frames.scalars`; flows are power flows."""
TO_BEAT, FACTOR, UNSETTLED = range(3)
"""Places in :attr:`Frames.best`: objective to beat, threshold over it, least value of an unresolved leaf [pu]."""


class SearchData(NamedTuple):
    """What does not change during a search."""

    row: Ints
    """Row in the loop space of each decision, shape (m,)."""
    branch: Ints
    """Network branch of each decision, shape (m,)."""
    tail: Ints
    """Contracted end nodes of each decision, shape (m,)."""
    head: Ints
    n_nodes: int
    cycles: Floats
    """C, shape (n_core, n_loops)."""
    g0: Floats
    """Loop conductance at the root, shape (n_core,)."""
    bridge: float
    """A branch of smaller loop conductance is a bridge."""
    close_cost: Floats
    """Switching cost of deciding closed, shape (m,) [pu]."""
    open_cost: Floats
    close_count: Ints
    """Operations of deciding closed, shape (m,)."""
    open_count: Ints
    max_closings: int
    """Every radial configuration has the same number of closed branches, so closings less openings is a constant and a
    cap on operations is one on either."""
    max_openings: int
    base_closings: int
    """Operations decided before the search."""
    base_openings: int
    gain: int
    """0: the relaxation is the model, and so is the value of a leaf. Else a leaf counts its AC loss, and the relaxation
    is a bound with the trunk gain of metric A, B (1, 2), or without (-1: mixed signs, and the model beside the AC
    loss)."""
    cheapest: Ints
    """Decisions by what closing costs more than opening, where closing has prices of its own (iron losses); else empty:
    the least price of what is undecided is then looked at."""
    ac_leaves: bool
    """A leaf counts its AC power flow; not where a block is searched alone."""
    share: int
    """Columns of each part of the objective, which is its largest part: in the worst case a part is a scenario, else
    there is one. The largest bound of a part is a bound of the largest part."""


class Frames(NamedTuple):
    """The stack of the search."""

    K: Floats
    F: Floats
    g: Floats
    state: NDArray[np.int8]
    label: Ints
    part: Floats
    """Relaxation, constants and trunk gain of each part of the objective [pu], shape (depth, n_part)."""
    gamma: Floats
    """Trunk gain in ``part``."""
    switching: Floats
    """Cost of the switches decided so far [pu], shape (depth,)."""
    left: Floats
    """Least cost of the switches not yet decided [pu], shape (depth,)."""
    closings: Ints
    openings: Ints
    chosen: Ints
    """Decision opened in the frame above; -1 where the frame is to be entered."""
    share: Floats
    """Share of the tree under a frame, shape (depth,), if each decision halves it."""
    scalars: Ints
    """shape (5,)."""
    best: Floats
    """shape (3,)."""
    best_closed: Bools
    """Leaf that improved last, shape (n_branch,)."""
    pool: Floats
    """Objectives of the best leaves so far, ascending, inf where there are fewer, shape (k,): the last is to beat."""
    pool_closed: Bools
    """Their states, shape (k, n_branch)."""


_COSTS = ("part", "gamma", "switching", "left")
PER_FRAME = ("K", "F", "g", "state", "label", *_COSTS, "closings", "openings", "chosen", "share")
"""Arrays of :class:`Frames` with an entry for each frame."""


@njit()
def rise(share: int, F: Floats, g: Floats, e: int, group: int) -> float:
    """Rise of one part of the objective when ``e`` opens."""
    total = 0.0
    for c in range(group * share, (group + 1) * share):
        total += F[e, c] * F[e, c]
    return total / g[e]


@njit()
def part_open(share: int, F: Floats, g: Floats, part: Floats, e: int) -> float:
    """What the largest part of the objective becomes when row ``e`` opens [pu]."""
    largest = part[0] + rise(share, F, g, e, 0)
    for group in range(1, len(part)):
        largest = max(largest, part[group] + rise(share, F, g, e, group))
    return largest


@njit()
def node_bound(frames: Any, depth: int) -> float:
    """Lower bound of the objective in a frame [pu]."""
    return frames.part[depth].max() + frames.switching[depth] + frames.left[depth]


@njit()
def least_left(data: Any, state: NDArray[np.int8], label: Ints) -> float:
    """Least cost of what is undecided [pu]: the closed branches are a spanning tree, so that of a minimum one."""
    total = 0.0
    own = label.copy() if len(data.cheapest) > 0 else label
    for i in data.cheapest:
        if state[i] == FREE:
            a, b = find_set(own, data.tail[i]), find_set(own, data.head[i])
            total += data.close_cost[i] if a != b else data.open_cost[i]
            own[a] = b
    return total
