"""The best-first search made ready for one problem: what the compiled part reads, and its state between two looks."""

from __future__ import annotations

import numpy as np

from learnopt.engines.arcs.arborescence import FLOOR, workspace
from learnopt.engines.arcs.arc_graph import ArcGraph
from learnopt.engines.arcs.best_first import Brood, Frontier, brood_of, expand, open_root
from learnopt.engines.arcs.chains import chain_workspace, chains_of
from learnopt.engines.arcs.node_pool import (
    FACTOR,
    IMPROVEMENTS,
    NODES,
    TO_BEAT,
    UNSETTLED,
    WAITING,
    give,
    open_bound,
    pool_of,
    take,
)
from learnopt.engines.tree.budget import in_threads
from learnopt.engines.tree.kernel import FINISHED, IMPROVED, RUNNING
from learnopt.engines.tree.relaxation import Relaxation
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.network.topology import maximum_spanning_tree

BATCH = 8
"""Nodes expanded side by side, whatever the number of threads: the answer must not depend on it."""
CHUNK_ARCS = 5e4
"""Arcs of all nodes between two looks at the clock: a fifth of a second."""


def serves(problem: ReconfigurationProblem) -> bool:
    """The best-first search takes the problem: no cap on operations, no worst case, no fixed loops among decisions.

    Its arcs are those of arborescences, in which every node is fed by one arc; flows in other blocks are fixed.
    """
    looped = (problem.chords & problem.in_deciding_block).any()
    coupled = problem.max_operations is not None or problem.worst_case or looped
    return not coupled and len(problem.core.branches) > 0


class BestFirst:
    """Best-first search of one relaxation of a problem.

    Parameters
    ----------
    relaxation
        What is minimised, or bounds what is; in one part.
    upper, gap
        Objective to beat [pu] and relative distance below it at which nodes are pruned.
    """

    def __init__(self, relaxation: Relaxation, upper: float, gap: float, threads: int = 1) -> None:
        space, columns = relaxation.space, relaxation.columns
        problem, decisions = space.problem, space.decisions
        r = problem.network.r / space.root_vm**2
        price = np.zeros(problem.network.n_branch)
        price[decisions.branch] = decisions.close_cost - decisions.open_cost
        graph = ArcGraph.of(problem, r, price)
        arcs = graph.with_injections(columns)
        outside = np.ones(len(r), dtype=bool)
        outside[graph.loops] = False
        lossless = float(np.sum(r[outside] @ space.space.meshed_flow(columns)[outside] ** 2))
        switching = space.trunk.leaf_constant + float(decisions.open_cost.sum())
        self.problem = problem
        self._trunk = space.trunk
        self._threads = threads
        chains = chains_of(arcs)
        self._frontier = Frontier(
            arcs=arcs,
            chains=chains,
            chain_work=chain_workspace(chains),
            base_closed=space.base_closed,
            constant=lossless + float(relaxation.constant[0]) + switching,
            switching=switching,
            gain=decisions.gain,
            floor=FLOOR * max(float(arcs.r.mean()), 1e-12),
        )
        self.pool = pool_of(arcs, problem.network.n_branch, upper, gap)
        n_branch = problem.network.n_branch
        self._lanes = [
            (self._frontier._replace(chain_work=chain_workspace(chains)), workspace(arcs), brood_of(arcs, n_branch))
            for _ in range(BATCH)
        ]

    @property
    def chunk(self) -> int:
        """Nodes between two looks at the clock."""
        return max(1, int(CHUNK_ARCS / len(self._frontier.arcs.tail)))

    @property
    def nodes(self) -> int:
        """Nodes explored."""
        return int(self.pool.scalars[NODES])

    @property
    def to_beat(self) -> float:
        """Objective to beat [pu]."""
        return float(self.pool.best[TO_BEAT])

    @to_beat.setter
    def to_beat(self, objective: float) -> None:
        self.pool.best[TO_BEAT] = objective

    @property
    def unsettled(self) -> float:
        """Least bound of a leaf whose power flow neither converged nor was refuted [pu], inf where there is none."""
        return float(self.pool.best[UNSETTLED])

    def doubt(self, value: float) -> None:
        """Count a leaf of this objective [pu] as not settled."""
        self.pool.best[UNSETTLED] = min(self.pool.best[UNSETTLED], value)

    @property
    def bound(self) -> float:
        """What is proven for all configurations [pu]."""
        return min(open_bound(self.pool), float(self.pool.best[TO_BEAT] * self.pool.best[FACTOR]))

    @property
    def improved(self) -> Configuration | None:
        """The leaf that improved the objective last."""
        return Configuration(self.pool.best_closed) if self.pool.scalars[IMPROVEMENTS] else None

    def search(self, max_nodes: int) -> int:
        """Continue; the outcome is one of :mod:`learnopt.engines.tree.kernel`.

        Each round expands the next few nodes, all knowing the same objective to beat, and takes in their children in
        order: threads change nothing but the time.
        """
        scalars, best = self.pool.scalars, self.pool.best
        if scalars[NODES] == 0:
            frontier, work, brood = self._lanes[0]
            scalars[NODES] = 1
            open_root(frontier, self._trunk, work, best[TO_BEAT] * best[FACTOR], brood)
            give(self.pool, brood)
        end = scalars[NODES] + max_nodes
        while scalars[WAITING] and scalars[NODES] < end:
            slots = take(self.pool, min(BATCH, end - scalars[NODES]))
            scalars[NODES] += len(slots)
            before = scalars[IMPROVEMENTS]
            for brood in in_threads(self._expanded, enumerate(slots), self._threads):
                give(self.pool, brood)
            if scalars[IMPROVEMENTS] > before:
                return IMPROVED
        return RUNNING if scalars[WAITING] else FINISHED

    def _expanded(self, task: tuple[int, int]) -> Brood:
        """What comes out of the node in a slot, in the memory of a lane."""
        frontier, work, brood = self._lanes[task[0]]
        expand(frontier, self._trunk, work, self.pool, task[1], self.pool.best[TO_BEAT], self.pool.best[FACTOR], brood)
        return brood

    def rounded(self) -> Configuration | None:
        """A radial configuration from the weights of the most promising node, None where none is open."""
        if not self.pool.scalars[WAITING]:
            return None
        arcs, problem = self._frontier.arcs, self.problem
        weight = np.zeros(problem.network.n_branch)
        np.add.at(weight, arcs.branch, self.pool.weight[self.pool.heap[0]].astype(float))
        tree = maximum_spanning_tree(problem.network, problem.usable, weight, problem.must_close)
        return Configuration(tree | self._frontier.base_closed)
