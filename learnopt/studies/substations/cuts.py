r"""Supply cuts: rows that every plan satisfies and that the relaxation of the expansion model lacks.

Let W be a set of nodes that holds a demand j in stage t. Power reaches j from a built substation over links in use; the
substation stands in W, or the path enters W:

.. math:: \sum_{l\ \mathrm{enters}\ W} \beta_{lt} + \sum_{i \in W, s} \delta_{ist} \ge 1

These are the cut rows of the Steiner arborescence polytope with all substations merged into one root (Wong 1984,
doi:10.1007/BF02612335). For a fractional solution a violated row is a minimum cut between the root and j, so a maximum
flow per demand finds one if there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from learnopt.engines.milp.highs import CompiledModel
from learnopt.network import Bools, Floats, Ints
from learnopt.network.expansion import ExpansionProblem

_UNITS = 10_000
"""Integer units of capacity in the maximum flow."""
_LEAST_VIOLATION = 0.02
"""A cut is worth a row where the relaxation misses it by this much."""


class SupplyCuts:
    """Separation of supply cuts in a compiled model; each row is added once."""

    def __init__(self, problem: ExpansionProblem, m: Any, model: CompiledModel) -> None:
        self._problem, self._model = problem, model
        links = range(len(problem.links))
        self._offers = list(m.offers)
        self._beta = [model.columns([m.beta[k, t] for k in links]) for t in m.stages]
        self._delta = [model.columns([m.delta[(*o, t)] for o in self._offers]) for t in m.stages]
        self._seen: set[tuple[int, bytes]] = set()

    def at_values(self, values: Floats) -> int:
        """Add rows that a solution of the relaxation violates; returns their number."""
        added = 0
        for t in range(len(self._problem.stages)):
            beta, delta = (np.maximum(values[columns[t]], 0.0) for columns in (self._beta, self._delta))
            for inside in self._violated(t, beta, delta):
                if (t, inside.tobytes()) not in self._seen:
                    self._seen.add((t, inside.tobytes()))
                    columns = self._row(t, inside)
                    self._model.add_rows(columns[None, :], np.ones((1, len(columns))), np.ones(1))
                    added += 1
        return added

    def _row(self, stage: int, inside: Bools) -> Ints:
        """Columns of the cut of a set of nodes."""
        links = self._problem.links
        entering = inside[links.head] & ~inside[links.tail]
        standing = np.array([inside[i] for i, _ in self._offers])
        return np.concatenate([self._beta[stage][entering], self._delta[stage][standing]])

    def _violated(self, stage: int, beta: Floats, delta: Floats) -> Iterator[Bools]:
        """Sets of nodes, shape (n_node,), whose cut the solution misses."""
        problem, links = self._problem, self._problem.links
        root = problem.n_node
        site = np.array([i for i, _ in self._offers], dtype=np.int64)
        tail = np.concatenate([links.tail, np.full(len(site), root)])
        head = np.concatenate([links.head, site])
        share = np.concatenate([beta, delta])
        graph = csr_array((share, (tail, head)), shape=(root + 1, root + 1))
        graph.sum_duplicates()
        graph.data = np.round(_UNITS * graph.data)
        capacity = csr_array(graph.astype(np.int32))
        covered = np.zeros(problem.n_node, dtype=bool)
        for j in range(problem.n_site, problem.n_node):
            if problem.demand(stage, j) == 0 or covered[j]:
                continue
            flow = maximum_flow(capacity, root, j)
            if flow.flow_value >= (1 - _LEAST_VIOLATION) * _UNITS:
                continue
            residual = csr_array(capacity - flow.flow)
            residual.eliminate_zeros()
            reached = breadth_first_order(residual, root, return_predecessors=False)
            inside = np.ones(problem.n_node + 1, dtype=bool)
            inside[reached] = False
            covered |= inside[:-1]  # one cut serves all demands behind it, the next round finds the rest
            yield inside[:-1]
