r"""The distribution over spanning trees, computed in the loop space of its own most probable tree.

.. math:: P(T) = \exp\Bigl(\sum_{e \in T} \theta_e\Bigr) / Z, \qquad
          Z = \det L(w) = \prod_e w_e \cdot \det(C^T \mathrm{diag}(1/w)\, C), \qquad w = e^\theta,

where L is the Laplacian without the row and column of one node (matrix-tree theorem) and C the fundamental loops of any
spanning tree (the same determinant, seen through the loops). Take the *maximum* spanning tree: every chord c closes a
loop of tree branches t with :math:`\theta_t \ge \theta_c`, hence

.. math:: \log Z = \sum_{t \in T^*} \theta_t + \log\det(I + B^T B), \qquad
          B_{tc} = \pm e^{(\theta_c - \theta_t)/2}, \qquad |B_{tc}| \le 1.

The matrix has as many rows as there are loops (not nodes), its eigenvalues are at least 1, and nothing overflows:
:math:`\theta` may range over hundreds, where the Laplacian itself is lost in rounding near :math:`\pm 15`.

The *open* branches of a random tree are a determinantal process with the orthogonal projection onto the columns of
:math:`A = [I; B]` as kernel (transfer-current theorem). Its diagonal is the probability "open"; drawing one branch
after the other by the chain rule gives exact samples in a time that does not depend on :math:`\theta`. Wilson's random
walks are cheaper for flat weights, but take about :math:`e^{\Delta\theta}` steps to leave a group of buses that is
surely connected inside and hesitates where to connect outside, which is what a trained model produces.

References
----------
Burton & Pemantle (1993), doi:10.1214/aop/1176989121 (transfer currents); Hough, Krishnapur, Peres & Virág (2006),
doi:10.1214/154957806000000078 (sampling determinantal processes); Wilson (1996), doi:10.1145/237814.237880.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from learnopt.network import Bools, Floats, Ints
from learnopt.network.union_find import find_set


@dataclass(frozen=True)
class SpanningTrees:
    """Distribution over the spanning trees of a connected multigraph.

    Parameters
    ----------
    tail, head
        End nodes in 0..n_nodes-1, shape (n_edge,); parallel edges are legal.
    theta
        Weight of each edge, float64, shape (n_edge,).
    log_z
        Logarithm of the sum over all trees.
    p_closed
        Probability that an edge is in the tree, shape (n_edge,); sums to n_nodes - 1.
    p_open
        ``1 - p_closed`` without its rounding: meaningful far below 1e-16 for tree edges, shape (n_edge,).
    most_probable
        bool, shape (n_edge,): the tree of largest probability (ties go to the lower index).
    kernel_basis
        Orthonormal columns that span the open-edge process, shape (n_edge, n_loops).
    """

    tail: Ints
    head: Ints
    theta: Floats
    log_z: float
    p_closed: Floats
    p_open: Floats
    most_probable: Bools
    kernel_basis: Floats

    @classmethod
    def of(cls, n_nodes: int, tail: Ints, head: Ints, theta: Floats) -> SpanningTrees:
        """The distribution with these weights."""
        theta = np.ascontiguousarray(theta, dtype=np.float64)
        tree = np.empty(len(theta), dtype=np.bool_)
        log_z, basis = _solve(n_nodes, tail, head, theta, tree)
        p_open = np.minimum(np.einsum("el,el->e", basis, basis), 1.0)
        return cls(tail, head, theta, log_z, 1.0 - p_open, p_open, tree, basis)

    def log_probability(self, closed: Bools) -> float:
        """Logarithm of the probability of one spanning tree, bool, shape (n_edge,)."""
        return float(self.theta[closed].sum() - self.log_z)

    def sample(self, n: int, rng: np.random.Generator) -> Bools:
        """Independent random spanning trees, bool, shape (n, n_edge)."""
        n_loops = self.kernel_basis.shape[1]
        closed = np.empty((n, len(self.theta)), dtype=np.bool_)
        n_nodes = len(self.theta) - n_loops + 1
        for row, uniform in zip(closed, rng.random((n, n_loops)), strict=True):
            _draw(n_nodes, self.tail, self.head, self.kernel_basis, uniform, row)
        return closed


def log_partition_batch(
    node_start: Ints, edge_start: Ints, tail: Ints, head: Ints, theta: Floats
) -> tuple[Floats, Floats, Bools]:
    """Log Z, probabilities "closed" and most probable trees of many graphs at once.

    Parameters
    ----------
    node_start, edge_start
        First node and edge of each graph and the totals, shape (n_graph + 1,).
    tail, head
        End nodes counted over the whole batch, shape (n_edge,).
    theta
        float64, shape (n_edge,).

    Returns
    -------
    log_z of shape (n_graph,), p_closed of shape (n_edge,), most probable trees as bool of shape (n_edge,)
    """
    log_z = np.empty(len(edge_start) - 1)
    p_closed = np.empty(len(theta))
    tree = np.empty(len(theta), dtype=np.bool_)
    _solve_batch(node_start, edge_start, tail, head, theta, log_z, p_closed, tree)
    return log_z, p_closed, tree


@njit(cache=True)
def _kruskal(n_nodes: int, tail: Ints, head: Ints, order: Ints, tree: Bools) -> None:
    """Spanning tree that takes the edges in the given order."""
    parent = np.arange(n_nodes)
    tree[:] = False
    for e in order:
        a, b = find_set(parent, tail[e]), find_set(parent, head[e])
        if a != b:
            parent[a] = b
            tree[e] = True


@njit(cache=True)
def _orient(n_nodes: int, tail: Ints, head: Ints, tree: Bools) -> tuple[Ints, Ints, Ints]:
    """Parent node, parent edge and depth of every node when the tree hangs from node 0."""
    start = np.zeros(n_nodes + 2, np.int64)
    for e in range(len(tail)):
        if tree[e]:
            start[tail[e] + 2] += 1
            start[head[e] + 2] += 1
    start = np.cumsum(start)
    incident = np.empty(start[-1], np.int64)
    for e in range(len(tail)):
        if tree[e]:
            for node in (tail[e], head[e]):
                incident[start[node + 1]] = e
                start[node + 1] += 1
    parent = np.full(n_nodes, -1, np.int64)
    feed = np.full(n_nodes, -1, np.int64)
    depth = np.zeros(n_nodes, np.int64)
    queue = np.zeros(n_nodes, np.int64)
    filled = 1
    for place in range(n_nodes):
        node = queue[place]
        for slot in range(start[node], start[node + 1]):
            e = incident[slot]
            if e != feed[node]:
                far = tail[e] + head[e] - node
                parent[far], feed[far], depth[far] = node, e, depth[node] + 1
                queue[filled] = far
                filled += 1
    return parent, feed, depth


@njit(cache=True)
def _solve(n_nodes: int, tail: Ints, head: Ints, theta: Floats, tree: Bools) -> tuple[float, Floats]:
    """Fill the most probable tree; return log Z and the orthonormal basis of the open-edge process."""
    n_edge = len(theta)
    _kruskal(n_nodes, tail, head, np.argsort(-theta, kind="mergesort"), tree)
    parent, feed, depth = _orient(n_nodes, tail, head, tree)
    chords = np.flatnonzero(~tree)
    n_loops = len(chords)
    loops = np.zeros((n_edge, n_loops))
    for loop in range(n_loops):
        c = chords[loop]
        loops[c, loop] = 1.0
        a, b = head[c], tail[c]  # the loop follows the chord, then climbs from its head and comes down to its tail
        while a != b:
            climbing = depth[a] >= depth[b]
            node = a if climbing else b
            e = feed[node]
            sign = 1.0 if (tail[e] == node) == climbing else -1.0
            loops[e, loop] = sign * np.exp(0.5 * (theta[c] - theta[e]))
            if climbing:
                a = parent[a]
            else:
                b = parent[b]
    log_z = 0.0
    for e in range(n_edge):
        if tree[e]:
            log_z += theta[e]
    if n_loops == 0:
        return log_z, loops
    factor = np.linalg.cholesky(loops.T @ loops)
    for loop in range(n_loops):
        log_z += 2.0 * np.log(factor[loop, loop])
    return log_z, np.ascontiguousarray(np.linalg.solve(factor, loops.T).T)


@njit(cache=True)
def _solve_batch(
    node_start: Ints,
    edge_start: Ints,
    tail: Ints,
    head: Ints,
    theta: Floats,
    log_z: Floats,
    p_closed: Floats,
    tree: Bools,
) -> None:
    for graph in range(len(edge_start) - 1):
        first, last = edge_start[graph], edge_start[graph + 1]
        offset = node_start[graph]
        log_z[graph], basis = _solve(
            node_start[graph + 1] - offset,
            tail[first:last] - offset,
            head[first:last] - offset,
            theta[first:last],
            tree[first:last],
        )
        for e in range(first, last):
            p_closed[e] = 1.0 - min(1.0, np.sum(basis[e - first] ** 2))


@njit(cache=True)
def _draw(n_nodes: int, tail: Ints, head: Ints, basis: Floats, uniform: Floats, closed: Bools) -> None:
    """One random tree: draw the open edges one after the other, each given those before."""
    n_edge, n_loops = basis.shape
    remaining = np.empty(n_edge)  # probability that an edge is open, times the number of draws left
    for e in range(n_edge):
        remaining[e] = np.sum(basis[e] ** 2)
    removed = np.zeros((n_loops, n_edge))
    is_open = np.zeros(n_edge, np.bool_)
    for draw in range(n_loops):
        target = uniform[draw] * np.sum(remaining)
        picked = -1
        for e in range(n_edge):
            if remaining[e] > 0.0:
                picked = e
                target -= remaining[e]
                if target <= 0.0:
                    break
        is_open[picked] = True
        scale = 1.0 / np.sqrt(remaining[picked])
        overlap = basis @ basis[picked]
        for earlier in range(draw):
            overlap -= removed[earlier] * removed[earlier, picked]
        removed[draw] = overlap * scale
        remaining = np.maximum(remaining - removed[draw] ** 2, 0.0)
        remaining[picked] = 0.0
    # Rounding may open a bridge once in 1e13 draws; taking the closed edges first returns a spanning tree always.
    _kruskal(n_nodes, tail, head, np.argsort(is_open, kind="mergesort"), closed)
