r"""Proof that a radial state has no power flow: its loads cannot be fed.

Every power flow obeys, from the leaves up and from the roots down,

.. math::
    P_j \ge p_j + \sum_{\text{children}} (P_c + r_c \ell_c), \qquad
    \ell_j \ge ([P^s_j]_+^2 + [Q^s_j]_+^2) / w_i, \qquad
    w_j \le w_i - 2 (r P_j + x Q_j) - |z|^2 \ell_j

with :math:`P_j` the power that arrives at bus j, :math:`P^s_j = P_j + r \ell_j` the power sent to it, w squared
voltages, behind the ratio where there is one. Loads of either sign are allowed; charging and capacitors are loads
:math:`-B_k w_k`. Every right side moves one way: powers and currents only up, voltages only down. So what is computed
from valid bounds stays valid, and a squared voltage that falls below zero proves that there is no solution. Shunts that
draw active or inductive power only make it harder and are left out.

The first bounds are no current and, without currents, :math:`w_j \le c_j + m_j \max_k w_k`: c from the loads, m from
the B behind each branch. The largest voltage is then at most :math:`\max_j c_j / (1 - m_j)`, where every m is below 1.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order

from learnopt.compiling import njit
from learnopt.network import Configuration, Floats, Ints, ReconfigurationProblem
from learnopt.network.topology import merged_nodes

_ROUNDS = 20_000


def proven_without_solution(problem: ReconfigurationProblem, configuration: Configuration) -> bool:
    """Whether it is proven that a state has no AC power flow; False says nothing.

    For one scenario and radial states without fixed loops: elsewhere nothing is proven.
    """
    net, closed = problem.network, configuration.closed
    inner = ~net.is_substation
    if np.count_nonzero(closed) != np.count_nonzero(inner):
        return False
    node, edges = merged_nodes(net), np.flatnonzero(closed)
    tail, head = node[net.from_bus[edges]], node[net.to_bus[edges]]
    size = int(node.max()) + 1
    graph = coo_matrix((np.ones(len(edges)), (tail, head)), (size, size)).tocsr()
    order, before = breadth_first_order(graph, 0, directed=False)
    if len(order) != size:
        return False
    feed = np.full(size, -1, dtype=np.int64)
    downward = before[head] == tail
    feed[np.where(downward, head, tail)] = edges
    squared = net.ratio[edges] ** 2
    up, down = np.ones(size), np.ones(size)  # what an ideal transformer does to a squared voltage, before and after z
    up[head[downward]], down[tail[~downward]] = 1 / squared[downward], squared[~downward]
    p, q = np.zeros(size), np.zeros(size)
    p[node[inner]], q[node[inner]] = problem.p[inner], problem.q[inner]
    feeding = np.zeros(size)
    half = 0.5 * problem.b[edges]
    np.add.at(feeding, tail, half / squared)
    np.add.at(feeding, head, half)
    feeding[node[inner]] += net.b_shunt[inner]
    feeding = np.maximum(feeding, 0.0)
    top = float(net.substation_vm.max()) ** 2
    r, x = np.where(feed >= 0, net.r[feed], 0.0), np.where(feed >= 0, net.x[feed], 0.0)
    return _collapses(order.astype(np.int64), before.astype(np.int64), p, q, feeding, r, x, up, down, top, _ROUNDS)


@njit()
def _collapses(
    order: Ints,
    parent: Ints,
    p: Floats,
    q: Floats,
    feeding: Floats,
    r: Floats,
    x: Floats,
    up: Floats,
    down: Floats,
    top: float,
    rounds: int,
) -> bool:
    """Whether bounds of the squared voltages fall below zero; all arrays have shape (n_node,), node 0 is the root."""
    n = len(order)
    w, ell = np.full(n, _first_bound(order, parent, p, q, feeding, r, x, up, down, top)), np.zeros(n)
    w[0] = top
    down_p, down_q = np.empty(n), np.empty(n)
    if not np.isfinite(w).all():
        return False
    for _ in range(rounds):
        down_p[:] = p
        down_q[:] = q - feeding * w
        for i in range(n - 1, 0, -1):
            k = order[i]
            sent_p, sent_q = max(down_p[k] + r[k] * ell[k], 0.0), max(down_q[k] + x[k] * ell[k], 0.0)
            ell[k] = max(ell[k], (sent_p * sent_p + sent_q * sent_q) / (w[parent[k]] * up[k]))
            down_p[parent[k]] += down_p[k] + r[k] * ell[k]
            down_q[parent[k]] += down_q[k] + x[k] * ell[k]
        moved = 0.0
        for i in range(1, n):
            k = order[i]
            sending, squared = w[parent[k]] * up[k], r[k] * r[k] + x[k] * x[k]
            along = 2 * (r[k] * down_p[k] + x[k] * down_q[k]) + squared * ell[k]
            size = sending + 2 * (r[k] * abs(down_p[k]) + x[k] * abs(down_q[k])) + squared * ell[k]
            if sending - along < -1e-9 * size:
                return True
            # What is not yet below zero for certain must not be divided by.
            fresh = max(sending - along, 1e-12 * size) * down[k]
            moved = max(moved, w[k] - fresh)
            w[k] = min(w[k], fresh)
        if moved < 1e-14 * top:
            return False
    return False


@njit()
def _first_bound(
    order: Ints,
    parent: Ints,
    p: Floats,
    q: Floats,
    feeding: Floats,
    r: Floats,
    x: Floats,
    up: Floats,
    down: Floats,
    top: float,
) -> float:
    """Upper bound of every squared voltage behind the root, ``inf`` where none is known."""
    below_p, below_q, below_b = p.copy(), q.copy(), feeding.copy()
    for i in range(len(order) - 1, 0, -1):
        k = order[i]
        below_p[parent[k]] += below_p[k]
        below_q[parent[k]] += below_q[k]
        below_b[parent[k]] += below_b[k]
    c, m = np.full(len(order), top), np.zeros(len(order))
    largest = 1e-12 * top
    for i in range(1, len(order)):
        k = order[i]
        c[k] = (c[parent[k]] * up[k] - 2 * (r[k] * below_p[k] + x[k] * below_q[k])) * down[k]
        m[k] = (m[parent[k]] * up[k] + 2 * x[k] * below_b[k]) * down[k]
        if m[k] >= 0.999:
            return np.inf
        largest = max(largest, c[k] / (1 - m[k]))
    return largest
