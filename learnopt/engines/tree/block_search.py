"""The calibrated-current model block by block: exact, since flows of one block do not feel how another is switched.

A block is a biconnected component of the usable graph with substations merged. All that hangs behind one of its buses
is a fixed load, so its flows depend on its own switches only, and the least loss is the sum of the least losses of the
blocks: blocks cost the sum of their searches, not the product. That holds where nothing but the loss is asked for:
voltage and current limits, ratings, a cap on operations and the worst case of several scenarios couple blocks. (Behind
different buses of one area AC losses are coupled by the voltage; :mod:`learnopt.engines.tree.areas` are not.)
"""

from __future__ import annotations

import numpy as np

from learnopt.engines.tree.budget import Budget
from learnopt.engines.tree.currents import tree_flow
from learnopt.engines.tree.depth_first import DepthFirst
from learnopt.engines.tree.incumbent import PROOF_GAP
from learnopt.engines.tree.kernel import FINISHED, RUNNING
from learnopt.engines.tree.relaxation import Relaxation
from learnopt.network import Configuration, Floats, Ints, ReconfigurationProblem
from learnopt.physics.limits import limit_arrays


def deciding_blocks(problem: ReconfigurationProblem) -> list[Ints]:
    """Free branches of each block that has some, fewest first; all in one where blocks are coupled."""
    free = problem.core.branches
    if limit_arrays(problem).active or problem.max_operations is not None or problem.worst_case:
        return [free]
    block = problem.blocks.block[free]
    return sorted((free[block == k] for k in np.unique(block)), key=len)


def search_blocks(
    relaxation: Relaxation,
    blocks: list[Ints],
    incumbent: Configuration | None,
    gap: float,
    budget: Budget,
    nodes: int,
    most: int,
) -> tuple[Configuration | None, float, int]:
    """Least value of a relaxation without trunk gain, block by block.

    Parameters
    ----------
    incumbent
        An admissible configuration: in each block its rise is to beat, so the search is short where it is good.
    nodes
        Budget for each block.
    most
        For all of them.

    Returns
    -------
    The configuration (None where time or nodes were not enough), a bound of the value of every configuration [pu],
    and the nodes explored.
    """
    base = DepthFirst(relaxation, np.inf, gap).bound
    block, space = relaxation.space.problem.blocks, relaxation.space
    to_beat = np.full(len(block.entry), np.inf) if incumbent is None else _rises(relaxation, incumbent)
    closed, explored, complete = space.base_closed.copy(), 0, True
    for branches in blocks:
        # A little above what the incumbent adds, or it would not be found again.
        upper = to_beat[block.block[branches[0]]] + 2 * PROOF_GAP * base
        search = DepthFirst.of_block(relaxation, branches, upper, gap)
        outcome = RUNNING
        while outcome != FINISHED and budget.left and search.nodes < (left := min(nodes, most - explored)):
            outcome = search.search(min(search.chunk, left - search.nodes))
        base += search.bound
        explored += search.nodes
        complete = complete and outcome == FINISHED and search.improved is not None
        if search.improved is not None:
            closed |= search.improved.closed
    return Configuration(closed) if complete else None, base, explored


def _rises(relaxation: Relaxation, configuration: Configuration) -> Floats:
    """By how much a configuration raises the relaxation over that of the mesh, and what its switching costs [pu]."""
    space, problem = relaxation.space, relaxation.space.problem
    core, blocks = space.space.core, problem.blocks
    meshed = space.space.meshed_flow(relaxation.columns)
    radial = tree_flow(problem, configuration, relaxation.columns)
    rise = np.sum(radial[core] ** 2 - meshed[core] ** 2, axis=1) * space.space.r / space.root_vm**2
    rises: Floats = np.bincount(blocks.block[core], rise, len(blocks.entry)).astype(float)
    data = space.decisions
    cost = np.where(configuration.closed[data.branch], data.close_cost, data.open_cost)
    rises += np.bincount(blocks.block[data.branch], cost, len(blocks.entry))
    return rises
