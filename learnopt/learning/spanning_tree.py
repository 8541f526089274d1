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

Two reductions make this fit feeders of any size, both exact. *Chains*: of the branches in series between two junctions
a tree opens at most one, so a chain acts as one edge of weight :math:`\theta' = -\log\sum_e e^{-\theta_e}`, and

.. math:: Z(\theta) = \prod_{\text{chains}} e^{\sum_e \theta_e - \theta'} \cdot Z(\theta'),

whose graph has at most 3 (L - 1) edges for L loops, however many buses. *Blocks*: loops of different biconnected
components share no edge, so the determinant is a product of small ones. Time and memory are linear in branches plus the
cube and the square of the loops per block.

The *open* edges of a random tree are a determinantal process with the orthogonal projection onto the columns of
:math:`A = [I; B]` as kernel (transfer-current theorem). Its diagonal is the probability "open", divided within a chain
in proportion to :math:`e^{-\theta_e}`; drawing one edge after the other by the chain rule gives exact samples in a time
that does not depend on :math:`\theta`. Wilson's random walks are cheaper for flat weights, but take about
:math:`e^{\Delta\theta}` steps to leave a group of buses that is surely connected inside and hesitates where to connect
outside, which is what a trained model produces.

References
----------
Burton & Pemantle (1993), doi:10.1214/aop/1176989121 (transfer currents); Hough, Krishnapur, Peres & Virág (2006),
doi:10.1214/154957806000000078 (sampling determinantal processes); Wilson (1996), doi:10.1145/237814.237880.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.compiling import njit
from learnopt.learning.graph import walk_chains
from learnopt.network import Bools, Floats, Ints
from learnopt.network.union_find import find_set


@dataclass(frozen=True)
class OpenProcess:
    """The determinantal process of the open chains, block by block.

    Parameters
    ----------
    chain
        Chain of each edge, shape (n_edge,).
    share
        Probability that an edge is the open one if its chain has one, shape (n_edge,).
    ring
        Chains that begin and end in one node, hence have an open edge always, shape (n_ring,).
    members, member_start
        Chains of each block, packed; block b has ``members[member_start[b]:member_start[b + 1]]``.
    basis, basis_start
        Orthonormal columns that span the process of each block, packed row by row likewise.
    """

    chain: Ints
    share: Floats
    ring: Ints
    members: Ints
    member_start: Ints
    basis: Floats
    basis_start: Ints


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
    open_process
        What samples are drawn from.
    """

    tail: Ints
    head: Ints
    theta: Floats
    log_z: float
    p_closed: Floats
    p_open: Floats
    most_probable: Bools
    open_process: OpenProcess

    @classmethod
    def of(cls, n_nodes: int, tail: Ints, head: Ints, theta: Floats) -> SpanningTrees:
        """The distribution with these weights."""
        theta = np.ascontiguousarray(theta, dtype=np.float64)
        tree = np.empty(len(theta), dtype=np.bool_)
        log_z, p_open, chain, share, ring, members, member_start, basis, basis_start = _solve(
            n_nodes, tail, head, theta, tree
        )
        process = OpenProcess(chain, share, ring, members, member_start, basis, basis_start)
        return cls(tail, head, theta, log_z, 1.0 - p_open, p_open, tree, process)

    def log_probability(self, closed: Bools) -> float:
        """Logarithm of the probability of one spanning tree, bool, shape (n_edge,)."""
        return float(self.theta[closed].sum() - self.log_z)

    def sample(self, n: int, rng: np.random.Generator) -> Bools:
        """Independent random spanning trees, bool, shape (n, n_edge)."""
        n_nodes = int(max(self.tail.max(), self.head.max())) + 1 if len(self.tail) else 1
        n_loops = len(self.theta) - n_nodes + 1
        process = self.open_process
        closed = np.empty((n, len(self.theta)), dtype=np.bool_)
        for row, uniform in zip(closed, rng.random((n, 2, n_loops)), strict=True):
            _draw(
                n_nodes, self.tail, self.head, process.chain, process.share, process.ring, process.members,
                process.member_start, process.basis, process.basis_start, uniform, row,
            )  # fmt: skip
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


@njit()
def _kruskal(n_nodes: int, tail: Ints, head: Ints, order: Ints, tree: Bools) -> None:
    """Spanning tree that takes the edges in the given order."""
    parent = np.arange(n_nodes)
    tree[:] = False
    for e in order:
        a, b = find_set(parent, tail[e]), find_set(parent, head[e])
        if a != b:
            parent[a] = b
            tree[e] = True


@njit()
def _incidence(n_nodes: int, tail: Ints, head: Ints, chosen: Bools) -> tuple[Ints, Ints]:
    """Chosen edges at every node, as compressed rows: ``incident[start[node]:start[node + 1]]``."""
    start = np.zeros(n_nodes + 2, np.int64)
    for e in range(len(tail)):
        if chosen[e]:
            start[tail[e] + 2] += 1
            start[head[e] + 2] += 1
    start = np.cumsum(start)
    incident = np.empty(start[-1], np.int64)
    for e in range(len(tail)):
        if chosen[e]:
            for node in (tail[e], head[e]):
                incident[start[node + 1]] = e
                start[node + 1] += 1
    return start, incident


@njit()
def _orient(n_nodes: int, tail: Ints, head: Ints, tree: Bools) -> tuple[Ints, Ints, Ints]:
    """Parent node, parent edge and depth of every node when the tree hangs from node 0."""
    start, incident = _incidence(n_nodes, tail, head, tree)
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


@njit()
def _compress(n_nodes: int, tail: Ints, head: Ints, theta: Floats) -> tuple[int, Ints, Ints, Floats, Floats]:
    """Number of junctions, chain of each edge, ends of each chain, its weight, and each edge's share of "open"."""
    start, incident = _incidence(n_nodes, tail, head, np.ones(len(tail), np.bool_))
    passing = np.diff(start)[:n_nodes] == 2
    passing[0] = False
    chain, _, ends = walk_chains(tail, head, start, incident, passing)
    junction = np.cumsum(~passing) - 1
    for c in range(len(ends)):
        ends[c, 0], ends[c, 1] = junction[ends[c, 0]], junction[ends[c, 1]]
    least = np.full(len(ends), np.inf)
    for e in range(len(theta)):
        least[chain[e]] = min(least[chain[e]], theta[e])
    total = np.zeros(len(ends))
    share = np.empty(len(theta))
    for e in range(len(theta)):
        share[e] = np.exp(least[chain[e]] - theta[e])
        total[chain[e]] += share[e]
    for e in range(len(theta)):
        share[e] /= total[chain[e]]
    return junction[-1] + 1, chain, ends, least - np.log(total), share


@njit()
def _loop_rows(n_junctions: int, ends: Ints, weight: Floats, tree: Bools) -> tuple[Ints, Ints, Ints, Floats]:
    """Chords, and the entries of B: tree chain, loop and value."""
    n_chain = len(weight)
    tail, head = ends[:, 0].copy(), ends[:, 1].copy()
    _kruskal(n_junctions, tail, head, np.argsort(-weight, kind="mergesort"), tree)
    parent, feed, depth = _orient(n_junctions, tail, head, tree)
    chords = np.empty(n_chain, np.int64)
    n_loops = 0
    entries = 0
    row, column, value = np.empty(16, np.int64), np.empty(16, np.int64), np.empty(16)
    for c in range(n_chain):
        if tree[c] or tail[c] == head[c]:
            continue
        a, b = head[c], tail[c]  # the loop follows the chord, then climbs from its head and comes down to its tail
        while a != b:
            climbing = depth[a] >= depth[b]
            node = a if climbing else b
            e = feed[node]
            if entries == len(row):
                row, column = np.concatenate((row, row)), np.concatenate((column, column))
                value = np.concatenate((value, value))
            sign = 1.0 if (tail[e] == node) == climbing else -1.0
            row[entries], column[entries] = e, n_loops
            value[entries] = sign * np.exp(0.5 * (weight[c] - weight[e]))
            entries += 1
            if climbing:
                a = parent[a]
            else:
                b = parent[b]
        chords[n_loops] = c
        n_loops += 1
    return chords[:n_loops], row[:entries], column[:entries], value[:entries]


@njit()
def _block_of_loops(n_chain: int, n_loops: int, row: Ints, column: Ints) -> tuple[Ints, int]:
    """Block of each loop: loops that share a tree chain, directly or by way of others; and the number of blocks."""
    sets = np.arange(n_loops)
    seen = np.full(n_chain, -1, np.int64)
    for k in range(len(row)):
        if seen[row[k]] < 0:
            seen[row[k]] = column[k]
        else:
            sets[find_set(sets, column[k])] = find_set(sets, seen[row[k]])
    block = np.empty(n_loops, np.int64)
    number = np.full(n_loops, -1, np.int64)
    count = 0
    for loop in range(n_loops):
        first = find_set(sets, loop)
        if number[first] < 0:
            number[first] = count
            count += 1
        block[loop] = number[first]
    return block, count


@njit()
def _solve(
    n_nodes: int, tail: Ints, head: Ints, theta: Floats, tree: Bools
) -> tuple[float, Floats, Ints, Floats, Ints, Ints, Ints, Floats, Ints]:
    """Fill the most probable tree; return log Z, probabilities "open" and the fields of :class:`OpenProcess`."""
    _kruskal(n_nodes, tail, head, np.argsort(-theta, kind="mergesort"), tree)
    n_junctions, chain, ends, weight, share = _compress(n_nodes, tail, head, theta)
    n_chain = len(weight)
    chain_tree = np.empty(n_chain, np.bool_)
    chords, row, column, value = _loop_rows(n_junctions, ends, weight, chain_tree)
    block, n_blocks = _block_of_loops(n_chain, len(chords), row, column)

    log_z = np.sum(theta)
    for c in range(n_chain):
        if not chain_tree[c]:
            log_z -= weight[c]
    # Loops and tree chains of each block, and their places in its matrix.
    n_columns = np.zeros(n_blocks, np.int64)
    place = np.empty(len(chords), np.int64)
    for loop in range(len(chords)):
        place[loop] = n_columns[block[loop]]
        n_columns[block[loop]] += 1
    n_rows = n_columns.copy()  # chords first, then tree chains
    row_place = np.full(n_chain, -1, np.int64)
    row_block = np.full(n_chain, -1, np.int64)
    for loop in range(len(chords)):
        row_place[chords[loop]], row_block[chords[loop]] = place[loop], block[loop]
    for k in range(len(row)):
        if row_place[row[k]] < 0:
            row_block[row[k]] = block[column[k]]
            row_place[row[k]] = n_rows[block[column[k]]]
            n_rows[block[column[k]]] += 1
    member_start = np.zeros(n_blocks + 1, np.int64)
    basis_start = np.zeros(n_blocks + 1, np.int64)
    member_start[1:] = np.cumsum(n_rows)
    basis_start[1:] = np.cumsum(n_rows * n_columns)
    members = np.empty(member_start[-1], np.int64)
    for c in range(n_chain):
        if row_place[c] >= 0:
            members[member_start[row_block[c]] + row_place[c]] = c
    basis = np.zeros(basis_start[-1])
    for k in range(len(row)):
        b = row_block[row[k]]
        basis[basis_start[b] + row_place[row[k]] * n_columns[b] + place[column[k]]] = value[k]
    p_chain = np.zeros(n_chain)
    for b in range(n_blocks):
        loops = basis[basis_start[b] : basis_start[b + 1]].reshape((n_rows[b], n_columns[b]))
        for k in range(n_columns[b]):
            loops[k, k] = 1.0
        factor = np.linalg.cholesky(loops.T @ loops)
        for k in range(n_columns[b]):
            log_z += 2.0 * np.log(factor[k, k])
        loops[:] = np.linalg.solve(factor, loops.T).T
        for k in range(n_rows[b]):
            p_chain[members[member_start[b] + k]] = min(1.0, np.sum(loops[k] ** 2))
    n_ring = 0
    ring = np.empty(n_chain, np.int64)
    for c in range(n_chain):
        if ends[c, 0] == ends[c, 1]:
            p_chain[c] = 1.0
            ring[n_ring] = c
            n_ring += 1
    p_open = np.empty(len(theta))
    for e in range(len(theta)):
        p_open[e] = p_chain[chain[e]] * share[e]
    return log_z, p_open, chain, share, ring[:n_ring], members, member_start, basis, basis_start


@njit()
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
        solved = _solve(
            node_start[graph + 1] - offset,
            tail[first:last] - offset,
            head[first:last] - offset,
            theta[first:last],
            tree[first:last],
        )
        log_z[graph] = solved[0]
        p_closed[first:last] = 1.0 - solved[1]


@njit()
def _draw_block(basis: Floats, uniform: Floats, picked: Ints) -> None:
    """Rows of a projection process: drawn one after the other, each given those before."""
    n_row, n_loops = basis.shape
    remaining = np.empty(n_row)  # probability that a chain is open, times the number of draws left
    for c in range(n_row):
        remaining[c] = np.sum(basis[c] ** 2)
    removed = np.zeros((n_loops, n_row))
    for draw in range(n_loops):
        target = uniform[draw] * np.sum(remaining)
        for c in range(n_row):
            if remaining[c] > 0.0:
                picked[draw] = c
                target -= remaining[c]
                if target <= 0.0:
                    break
        chosen = picked[draw]
        overlap = basis @ basis[chosen]
        for earlier in range(draw):
            overlap -= removed[earlier] * removed[earlier, chosen]
        removed[draw] = overlap / np.sqrt(remaining[chosen])
        remaining = np.maximum(remaining - removed[draw] ** 2, 0.0)
        remaining[chosen] = 0.0


@njit()
def _draw(
    n_nodes: int,
    tail: Ints,
    head: Ints,
    chain: Ints,
    share: Floats,
    ring: Ints,
    members: Ints,
    member_start: Ints,
    basis: Floats,
    basis_start: Ints,
    uniform: Floats,
    closed: Bools,
) -> None:
    """One random tree from two uniform numbers per loop: which chain opens, and where in the chain."""
    open_chain = np.full(len(chain), -1, np.int64)  # the draw that opened a chain
    done = 0
    for c in ring:
        open_chain[c] = done
        done += 1
    for b in range(len(member_start) - 1):
        chains = members[member_start[b] : member_start[b + 1]]
        n_loops = (basis_start[b + 1] - basis_start[b]) // len(chains)
        picked = np.zeros(n_loops, np.int64)
        matrix = basis[basis_start[b] : basis_start[b + 1]].reshape((len(chains), n_loops))
        _draw_block(matrix, uniform[0, done : done + n_loops], picked)
        for k in range(n_loops):
            open_chain[chains[picked[k]]] = done
            done += 1
    left = np.zeros(len(chain))  # probability left in a chain to its open edge
    last = np.full(len(chain), -1, np.int64)
    is_open = np.zeros(len(chain), np.bool_)
    for c in range(len(chain)):
        if open_chain[c] >= 0:
            left[c] = uniform[1, open_chain[c]]
    for e in range(len(chain)):
        c = chain[e]
        if open_chain[c] >= 0 and left[c] >= 0.0:
            left[c] -= share[e]
            if last[c] >= 0:
                is_open[last[c]] = False
            last[c] = e  # the last one so far: rounding may leave a remainder above all shares
            is_open[e] = True
    # Rounding may open a bridge once in 1e13 draws; taking the closed edges first returns a spanning tree always.
    _kruskal(n_nodes, tail, head, np.argsort(is_open, kind="mergesort"), closed)
