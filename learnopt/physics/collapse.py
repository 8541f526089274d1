r"""Proof that a radial state has no power flow: its loads cannot be fed.

For loads :math:`p, q \ge 0` every power flow obeys, from the roots down and from the leaves up,

.. math::
    P_j \ge p_j + \sum_{\text{children}} (P_c + r_c \ell_c), \qquad
    \ell_j \ge (P^s_j{}^2 + Q^s_j{}^2) / w_i, \qquad
    w_j \le w_i - 2 (r P_j + x Q_j) - |z|^2 \ell_j

with :math:`P_j` the power that arrives at bus j, :math:`P^s_j = P_j + r \ell_j` the power sent to it, w squared
voltages. Every right side moves one way: the powers only up, the voltages only down. So what is computed from upper
bounds of the voltages (that of the source) and lower bounds of the powers (the loads) stays a bound of either kind, and
a squared voltage that falls below zero proves that there is no solution. Shunts that draw active or inductive power
only make it harder and are left out.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order

from learnopt.network import Configuration, Floats, Ints, ReconfigurationProblem
from learnopt.network.topology import merged_nodes

_ROUNDS = 20_000


def proven_without_solution(problem: ReconfigurationProblem, configuration: Configuration) -> bool:
    """Whether it is proven that a state has no AC power flow; False says nothing.

    For one scenario, radial states, and networks that only draw: elsewhere nothing is proven.
    """
    net, closed = problem.network, configuration.closed
    inner = ~net.is_substation
    draws = (problem.p[inner] >= 0).all() and (problem.q[inner] >= 0).all()
    passive = not (problem.b[closed] > 0).any() and not (net.b_shunt > 0).any() and (net.ratio[closed] == 1).all()
    if not draws or not passive or np.count_nonzero(closed) != np.count_nonzero(inner):
        return False
    node, edges = merged_nodes(net), np.flatnonzero(closed)
    tail, head = node[net.from_bus[edges]], node[net.to_bus[edges]]
    size = int(node.max()) + 1
    graph = coo_matrix((np.ones(len(edges)), (tail, head)), (size, size)).tocsr()
    order, before = breadth_first_order(graph, 0, directed=False)
    if len(order) != size:
        return False
    feed = np.full(size, -1, dtype=np.int64)
    feed[np.where(before[head] == tail, head, tail)] = edges
    p, q = np.zeros(size), np.zeros(size)
    p[node[inner]], q[node[inner]] = problem.p[inner], problem.q[inner]
    top = float(net.substation_vm.max()) ** 2
    r, x = np.where(feed >= 0, net.r[feed], 0.0), np.where(feed >= 0, net.x[feed], 0.0)
    return _collapses(order.astype(np.int64), before.astype(np.int64), p, q, r, x, top, _ROUNDS)


@njit(cache=True)
def _collapses(order: Ints, parent: Ints, p: Floats, q: Floats, r: Floats, x: Floats, top: float, rounds: int) -> bool:
    """Whether bounds of the squared voltages fall below zero; all arrays have shape (n_node,), node 0 is the root."""
    n = len(order)
    w, ell = np.full(n, top), np.zeros(n)
    down_p, down_q = np.empty(n), np.empty(n)
    for _ in range(rounds):
        down_p[:] = p
        down_q[:] = q
        for i in range(n - 1, 0, -1):
            k = order[i]
            sent_p, sent_q = down_p[k] + r[k] * ell[k], down_q[k] + x[k] * ell[k]
            fresh = (sent_p * sent_p + sent_q * sent_q) / w[parent[k]]
            ell[k] = max(ell[k], fresh)
            down_p[parent[k]] += down_p[k] + r[k] * ell[k]
            down_q[parent[k]] += down_q[k] + x[k] * ell[k]
        moved = 0.0
        for i in range(1, n):
            k = order[i]
            squared = r[k] * r[k] + x[k] * x[k]
            fresh = w[parent[k]] - 2 * (r[k] * down_p[k] + x[k] * down_q[k]) - squared * ell[k]
            if fresh < -1e-9 * top:
                return True
            # What is not yet below zero for certain must not be divided by.
            fresh = max(fresh, 1e-12 * top)
            moved = max(moved, w[k] - fresh)
            w[k] = min(w[k], fresh)
        if moved < 1e-14 * top:
            return False
    return False
