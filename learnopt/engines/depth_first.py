"""The depth-first search made ready for one relaxation: its stack, and its state between two looks at the clock."""

from __future__ import annotations

import numpy as np

from learnopt.engines.relaxation import Relaxation
from learnopt.engines.tree_frames import Frames
from learnopt.engines.tree_kernel import open_bound, search
from learnopt.network import Configuration


class DepthFirst:
    """Depth-first search of one relaxation of a problem.

    Parameters
    ----------
    relaxation
        What is minimised, or bounds what is.
    upper, gap
        Objective to beat [pu] and relative distance below it at which nodes are pruned.
    n_best
        Leaves to keep: the worst of them is to beat.
    """

    def __init__(self, relaxation: Relaxation, upper: float, gap: float, n_best: int = 1) -> None:
        self._relaxation = relaxation
        self._frames = _root(relaxation, upper, gap, n_best)

    @property
    def chunk(self) -> int:
        """Nodes between two looks at the clock."""
        return self._relaxation.space.chunk

    @property
    def nodes(self) -> int:
        """Nodes explored."""
        return int(self._frames.scalars[1])

    @property
    def to_beat(self) -> float:
        """Objective to beat [pu]."""
        return float(self._frames.best[0])

    @to_beat.setter
    def to_beat(self, objective: float) -> None:
        self._frames.best[0] = objective

    @property
    def unsettled(self) -> float:
        """Least bound of a leaf whose power flow neither converged nor was refuted [pu], inf where there is none."""
        return float(self._frames.best[2])

    def doubt(self, value: float) -> None:
        """Count a leaf of this objective [pu] as not settled."""
        self._frames.best[2] = min(self._frames.best[2], value)

    @property
    def bound(self) -> float:
        """What is proven for all configurations [pu]."""
        return min(float(open_bound(self._frames)), self.to_beat * float(self._frames.best[1]))

    @property
    def improved(self) -> Configuration | None:
        """The leaf that improved the objective last."""
        return Configuration(self._frames.best_closed) if self._frames.scalars[4] else None

    @property
    def best_leaves(self) -> list[Configuration]:
        """The best leaves found, best first, at most ``n_best``."""
        return [Configuration(closed) for closed in self._frames.pool_closed[np.isfinite(self._frames.pool)]]

    @property
    def root_decisions(self) -> np.ndarray:
        """State of each decision that the root's bound forces (see :mod:`learnopt.engines.tree_kernel`), int8."""
        return np.array(self._frames.state[0])

    def search(self, max_nodes: int, stop_at_improvement: bool = False) -> int:
        """Continue; the outcome is one of :mod:`learnopt.engines.tree_kernel`."""
        space = self._relaxation.space
        return int(
            search(space.decisions, space.trunk, self._frames, space.base_closed, max_nodes, stop_at_improvement)
        )


def _root(relaxation: Relaxation, upper: float, gap: float, n_best: int) -> Frames:
    """A stack of the root frame alone."""
    space, columns = relaxation.space, relaxation.columns
    loops, data, net = space.space, space.decisions, space.problem.network
    scale = 1.0 / space.root_vm**2
    flow = loops.meshed_flow(columns)
    outside = np.ones(net.n_branch, dtype=bool)
    outside[loops.core] = False
    core_flow = flow[loops.core]
    each = scale * (net.r[outside] @ flow[outside] ** 2 + loops.r @ core_flow**2)
    # Floored resistances must not raise the bound: no branch carries more than the sum of the injections.
    if loops.floored.any():
        excess = float(np.sum(loops.r[loops.floored] - net.r[loops.core[loops.floored]])) * scale
        each -= excess * np.abs(columns).sum(axis=0) ** 2
    n_loops, n_core, m = loops.n_loops, len(loops.core), len(data.row)
    size = n_loops + 2  # one frame for each opened branch
    frames = Frames(
        K=np.empty((size, n_loops, n_loops)),
        F=np.empty((size, n_core, columns.shape[1])),
        g=np.empty((size, n_core)),
        state=np.zeros((size, m), dtype=np.int8),
        label=np.tile(np.arange(data.n_nodes), (size, 1)),
        part=np.zeros((size, space.n_parts)),
        gamma=np.zeros((size, space.n_parts)),
        switching=np.full(size, space.trunk.leaf_constant),
        closings=np.full(size, data.base_closings),
        openings=np.full(size, data.base_openings),
        chosen=np.full(size, -1),
        scalars=np.zeros(5, dtype=np.int64),
        best=np.array([upper, 1.0 - gap, np.inf]),
        best_closed=np.zeros(net.n_branch, dtype=bool),
        pool=np.full(n_best, np.inf),
        pool_closed=np.zeros((n_best, net.n_branch), dtype=bool),
    )
    frames.K[0] = loops.K / scale
    frames.F[0] = core_flow
    frames.g[0] = data.g0
    frames.part[0] = each.reshape(space.n_parts, -1).sum(axis=1) + relaxation.constant
    return frames
