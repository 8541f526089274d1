"""Union-find for compiled code (:class:`learnopt.network.topology.DisjointSets` is the one for Python)."""

from __future__ import annotations

import numpy as np

from learnopt.compiling import njit
from learnopt.network.aliases import Bools, Ints


@njit()
def find_set(label: Ints, node: int) -> int:
    """Representative of a node's set, shape (n_nodes,) of parents; paths are halved on the way."""
    while label[node] != node:
        label[node] = label[label[node]]
        node = label[node]
    return node


@njit(steps=lambda nodes, tail, head, order: 2 * len(order))
def loop_closers(n_nodes: int, tail: Ints, head: Ints, order: Ints) -> Bools:
    """Branches whose two ends are joined by earlier ones, shape (n_branch,); those not in ``order`` are left out.

    Parameters
    ----------
    tail, head
        End nodes, shape (n_branch,).
    order
        Branches in the order in which they are joined.
    """
    label = np.arange(n_nodes)
    closes = np.zeros(len(tail), dtype=np.bool_)
    for e in order:
        a, b = find_set(label, tail[e]), find_set(label, head[e])
        if a == b:
            closes[e] = True
        else:
            label[a] = b
    return closes
