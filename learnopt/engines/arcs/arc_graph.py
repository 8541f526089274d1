"""The loops of a problem as arcs: other blocks contracted, substations merged, the elimination of its Laplacian."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from learnopt.network import Bools, Floats, Ints, ReconfigurationProblem
from learnopt.network.topology import DisjointSets, merged_nodes


class LoopArcs(NamedTuple):
    """The loops of a network as arcs; blocks without a decision are contracted, node 0 holds the substations."""

    tail: Ints
    head: Ints
    """Arcs are sorted by head."""
    start: Ints
    """Arcs into node j are ``start[j]`` to ``start[j + 1]``, shape (n_nodes + 1,)."""
    out_start: Ints
    """Arcs out of node i are ``out[out_start[i]:out_start[i + 1]]``."""
    out: Ints
    branch: Ints
    """Network branch of each arc."""
    edge: Ints
    """Its row among the branches in loops, shared with the arc the other way."""
    reverse: Ints
    """The arc the other way; -1 where nothing can ever flow so."""
    r: Floats
    price: Floats
    """Cost of the arc's branch being closed rather than open, shape (n_arcs,) [pu]."""
    must: Bools
    """The branch has to be closed, shape (n_arcs,)."""
    injection: Floats
    """shape (n_nodes, n_columns)."""
    end_a: Ints
    """Ends of each edge, shape (n_edges,)."""
    end_b: Ints
    order: Ints
    """Nodes but 0 in order of elimination."""
    later: Ints
    """Neighbours that are eliminated later: those of the k-th node are ``later_start[k]`` to ``later_start[k + 1]``."""
    later_start: Ints
    target: Ints
    """Entry of ``later`` that each pair of later neighbours of a node updates, in the order of the elimination."""
    entry: Ints
    """Entry of ``later`` of each edge; -1 where one end is node 0."""


@dataclass(frozen=True)
class ArcGraph:
    """The arcs of a problem and what they leave out."""

    arcs: LoopArcs
    node: Ints
    """Node of each bus, shape (n_bus,)."""
    loops: Ints
    """Branches in loops, shape (n_edges,)."""

    @classmethod
    def of(cls, problem: ReconfigurationProblem, r: Floats, price: Floats) -> ArcGraph:
        """The arc graph of a problem without injections.

        Parameters
        ----------
        r, price
            Resistance and cost of closing [pu], shape (n_branch,).
        """
        net, blocks = problem.network, problem.blocks
        merged = merged_nodes(net)
        sets = DisjointSets(int(merged.max()) + 1)
        deciding = problem.in_deciding_block
        for e in np.flatnonzero((blocks.block >= 0) & ~deciding):
            sets.join(int(merged[net.from_bus[e]]), int(merged[net.to_bus[e]]))
        label = np.array([sets.find(k) for k in range(int(merged.max()) + 1)])
        _, compact = np.unique(np.where(label == sets.find(0), -1, label), return_inverse=True)
        node = compact[merged]
        loops = np.flatnonzero(deciding)
        a, b = node[net.from_bus[loops]], node[net.to_bus[loops]]
        tail, head, edge = np.concatenate([a, b]), np.concatenate([b, a]), np.tile(np.arange(len(loops)), 2)
        # No branch of a block feeds the node through which the block is fed.
        fed_through = np.tile(compact[blocks.entry[blocks.block[loops]]], 2)
        kept = np.flatnonzero((head != 0) & (head != fed_through))
        kept = kept[np.lexsort((edge[kept], head[kept]))]
        tail, head, edge = tail[kept], head[kept], edge[kept]
        reverse = np.full(len(kept), -1)
        by_edge = np.argsort(edge, kind="stable")
        first = by_edge[:-1][edge[by_edge[:-1]] == edge[by_edge[1:]]]
        second = by_edge[1:][edge[by_edge[:-1]] == edge[by_edge[1:]]]
        reverse[first], reverse[second] = second, first
        n = int(compact.max()) + 1
        arcs = LoopArcs(
            tail=tail.astype(np.int64),
            head=head.astype(np.int64),
            start=np.searchsorted(head, np.arange(n + 1)).astype(np.int64),
            out_start=np.searchsorted(np.sort(tail), np.arange(n + 1)).astype(np.int64),
            out=np.argsort(tail, kind="stable").astype(np.int64),
            branch=loops[edge],
            edge=edge.astype(np.int64),
            reverse=reverse.astype(np.int64),
            r=r[loops][edge],
            price=price[loops][edge],
            must=problem.must_close[loops][edge],
            injection=np.zeros((n, 0)),
            end_a=a.astype(np.int64),
            end_b=b.astype(np.int64),
            **_elimination(n, a, b),
        )
        return cls(arcs, node.astype(np.int64), loops)

    def with_injections(self, columns: Floats) -> LoopArcs:
        """The arcs with injections of the buses, shape (n_bus, n_columns)."""
        injection = np.zeros((len(self.arcs.start) - 1, columns.shape[1]))
        np.add.at(injection, self.node, columns)
        # The sign of a column does not matter; where most is drawn its flows run away from the root.
        return self.arcs._replace(injection=injection * np.where(injection.sum(axis=0) < 0, -1.0, 1.0))


def _elimination(n: int, a: Ints, b: Ints) -> dict[str, Ints]:
    """Symbolic factorisation of the Laplacian grounded at node 0: least degree first, ties by number."""
    near: list[set[int]] = [set() for _ in range(n)]
    for i, j in zip(a.tolist(), b.tolist(), strict=True):
        if i and j and i != j:
            near[i].add(j)
            near[j].add(i)
    heap = [(len(near[k]), k) for k in range(1, n)]
    heapq.heapify(heap)
    position = [-1] * n
    order: list[int] = []
    rows: list[list[int]] = []
    while heap:
        degree, k = heapq.heappop(heap)
        if position[k] >= 0 or degree != len(near[k]):
            continue
        position[k] = len(order)
        order.append(k)
        rows.append(sorted(near[k]))
        for i in near[k]:
            near[i] |= near[k]
            near[i] -= {i, k}
            heapq.heappush(heap, (len(near[i]), i))
    where: dict[tuple[int, int], int] = {}
    later: list[int] = []
    start = [0]
    for k, row in zip(order, rows, strict=True):
        row.sort(key=position.__getitem__)
        for i in row:
            where[k, i] = len(later)
            later.append(i)
        start.append(len(later))
    target = [where[i, j] for row in rows for at, i in enumerate(row) for j in row[at + 1 :]]
    entry = [
        -1 if not (i and j) or i == j else where[i, j] if position[i] < position[j] else where[j, i]
        for i, j in zip(a.tolist(), b.tolist(), strict=True)
    ]
    return {
        "order": np.array(order, dtype=np.int64),
        "later": np.array(later, dtype=np.int64),
        "later_start": np.array(start, dtype=np.int64),
        "target": np.array(target, dtype=np.int64),
        "entry": np.array(entry, dtype=np.int64),
    }
