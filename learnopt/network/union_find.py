"""Union-find for compiled code (:class:`learnopt.network.topology.DisjointSets` is the one for Python)."""

from __future__ import annotations

from numba import njit

from learnopt.network.model import Ints


@njit(cache=True)
def find_set(label: Ints, node: int) -> int:
    """Representative of a node's set, shape (n_nodes,) of parents; paths are halved on the way."""
    while label[node] != node:
        label[node] = label[label[node]]
        node = label[node]
    return node
