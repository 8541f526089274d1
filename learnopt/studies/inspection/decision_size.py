"""What is left to decide of a problem: the reductions that every engine makes, counted.

Nothing here changes an answer: what cannot be switched is contracted, laterals are lumped where they hang on, switches
in series become a chain of which at most one opens, and parts that meet in one node only are decided apart. Results are
always in the ids of the file.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from learnopt.network import ReconfigurationProblem
from learnopt.network.topology import blocks


@dataclass(frozen=True)
class DecisionSize:
    """Sizes before and after the reductions.

    Parameters
    ----------
    buses, branches
        Of the file.
    laterals
        Buses in no loop: their supply is no decision.
    nodes, switches
        Of the graph that is left: buses between switches that can only be one, and the switches in loops.
    loops
        Switches to open among them.
    chains
        Series of switches; at most one of each opens.
    parts
        Parts of the graph that are decided apart.
    log10_configurations
        Decimal logarithm of the number of radial configurations (Kirchhoff's matrix-tree theorem).
    """

    buses: int
    branches: int
    laterals: int
    nodes: int
    switches: int
    loops: int
    chains: int
    parts: int
    log10_configurations: float

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def decision_size(problem: ReconfigurationProblem) -> DecisionSize:
    """Count what the reductions leave of a problem."""
    net, core = problem.network, problem.core
    structure, bridges = problem.blocks, problem.blocks.bridges
    looped = np.zeros(net.n_bus, dtype=bool)
    inside = (structure.block >= 0) & ~bridges
    looped[net.from_bus[inside]] = looped[net.to_bus[inside]] = True
    parts = blocks(core.n_nodes, core.tail, core.head, np.ones(len(core.branches), dtype=bool))
    touched = np.unique(np.concatenate([core.tail, core.head]))
    chains = 0
    log10 = 0.0
    for block in range(len(parts.entry)):
        some = np.flatnonzero(parts.block == block)
        names, ends = np.unique(np.concatenate([core.tail[some], core.head[some]]), return_inverse=True)
        tail, head = ends[: len(some)], ends[len(some) :]
        degree = np.bincount(ends)
        # A ring is one chain; else every node where more than two switches meet ends some.
        meeting = degree[degree > 2]
        chains += int(meeting.sum()) // 2 if len(meeting) else 1
        laplacian = np.diag(degree.astype(float))
        np.subtract.at(laplacian, (tail, head), 1.0)
        np.subtract.at(laplacian, (head, tail), 1.0)
        log10 += float(np.linalg.slogdet(laplacian[1:, 1:])[1]) / math.log(10) if len(names) > 1 else 0.0
    return DecisionSize(
        buses=net.n_own_bus,
        branches=net.n_own_branch,
        laterals=int(np.count_nonzero(~looped & ~net.is_substation & ~net.auxiliary)),
        nodes=len(touched),
        switches=len(core.branches),
        loops=len(core.branches) - core.n_nodes + 1,
        chains=chains,
        parts=len(parts.entry),
        log10_configurations=log10,
    )
