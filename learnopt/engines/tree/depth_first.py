"""The depth-first search made ready for one relaxation: its stack, and its state between two looks at the clock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from learnopt.engines.tree.budget import in_threads
from learnopt.engines.tree.frames import (
    DEPTH,
    FACTOR,
    IMPROVEMENTS,
    NODES,
    PER_FRAME,
    TO_BEAT,
    UNSETTLED,
    Frames,
    SearchData,
)
from learnopt.engines.tree.kernel import FINISHED, IMPROVED, RUNNING, node_steps, open_bound, search
from learnopt.engines.tree.relaxation import Relaxation
from learnopt.network import Bools, Configuration, Floats, Ints

LANES = 16
"""Subtrees searched side by side, whatever the number of threads: the answer must not depend on it."""
SPLIT_AFTER = 2000
"""Nodes before the tree is split."""
MEMORY = 2.5e8
"""Bytes of all stacks."""


class DepthFirst:
    """Depth-first search of one relaxation of a problem.

    Where it is long the tree is split into subtrees that are searched in rounds. In a round all know the same objective
    to beat; after it the best of what they found is known to all, and idle lanes get the largest open subtrees. So
    every round is a function of the one before, and threads change nothing but the time.

    Parameters
    ----------
    relaxation
        What is minimised, or bounds what is.
    upper, gap
        Objective to beat [pu] and relative distance below it at which nodes are pruned.
    n_best
        Leaves to keep: the worst of them is to beat. More than one are kept by a single stack.
    """

    def __init__(self, relaxation: Relaxation, upper: float, gap: float, n_best: int = 1, threads: int = 1) -> None:
        self._space = relaxation.space
        self._start(_root(relaxation, upper, gap, n_best), threads)

    def _start(self, root: Frames, threads: int = 1) -> None:
        self._threads = threads
        self._first = self._winner = root
        self._stacks = [root]
        self._finished_nodes = 0
        frame_bytes = sum(array.nbytes for array in (root.K, root.F, root.g, root.state, root.label))
        self._lanes = int(np.clip(MEMORY / frame_bytes, 1, LANES)) if len(root.pool) == 1 else 1

    @classmethod
    def of_block(cls, relaxation: Relaxation, branches: Ints, upper: float, gap: float) -> DepthFirst:
        """The search of the decisions of one block of loops alone: by how much the relaxation rises there at least.

        Cycles lie within blocks and what hangs behind a block is fixed, so the relaxation of a problem without parts is
        its value with everything closed plus these rises. Leaves are not judged, and other blocks stay open in them.
        ``upper`` is the rise to beat [pu].
        """
        whole = cls(relaxation, upper, gap)
        space, data = whole._space, whole._space.decisions
        block = space.problem.blocks.block
        rows = np.flatnonzero(block[space.space.core] == block[branches[0]])
        loops = np.flatnonzero(data.cycles[rows].any(axis=0))
        index = np.full(len(data.g0), -1)
        index[rows] = np.arange(len(rows))
        kept = np.isin(data.branch, branches)
        per_decision = ("branch", "tail", "head", "close_cost", "open_cost", "close_count", "open_count")
        own = data._replace(
            row=index[data.row[kept]],
            cycles=np.ascontiguousarray(data.cycles[np.ix_(rows, loops)]),
            g0=data.g0[rows],
            cheapest=(np.cumsum(kept) - 1)[data.cheapest[kept[data.cheapest]]],
            ac_leaves=False,
            **{name: getattr(data, name)[kept] for name in per_decision},
        )
        root = whole._first
        whole._start(_stack(
            own, np.ascontiguousarray(root.K[0][np.ix_(loops, loops)]), root.F[0][rows], np.zeros(1), 0.0,
            root.best, root.pool, space.problem.network.n_branch,
        ))  # fmt: skip
        whole._space = replace(space, decisions=own)
        return whole

    @property
    def chunk(self) -> int:
        """Nodes between two looks at the clock."""
        return self._space.chunk

    @property
    def nodes(self) -> int:
        """Nodes explored."""
        return self._finished_nodes + sum(int(stack.scalars[NODES]) for stack in self._stacks)

    @property
    def progress(self) -> float:
        """Share of the tree that is explored, if each decision halves it: a guess, good to an order of magnitude."""
        return 1.0 - sum(
            float(stack.share[: stack.scalars[DEPTH] + 1][_is_open(stack)].sum()) for stack in self._stacks
        )

    @property
    def to_beat(self) -> float:
        """Objective to beat [pu]."""
        return float(self._first.best[TO_BEAT])

    @to_beat.setter
    def to_beat(self, objective: float) -> None:
        for stack in (self._first, *self._stacks):
            stack.best[TO_BEAT] = objective

    @property
    def unsettled(self) -> float:
        """Least bound of a leaf whose power flow neither converged nor was refuted [pu], inf where there is none."""
        return min(float(stack.best[UNSETTLED]) for stack in (self._first, *self._stacks))

    def doubt(self, value: float) -> None:
        """Count a leaf of this objective [pu] as not settled."""
        self._first.best[UNSETTLED] = min(self._first.best[UNSETTLED], value)

    @property
    def bound(self) -> float:
        """What is proven for all configurations [pu]."""
        open_bounds = (float(open_bound(stack)) for stack in (self._first, *self._stacks))
        return min(*open_bounds, self.to_beat * float(self._first.best[FACTOR]))

    @property
    def improved(self) -> Configuration | None:
        """The leaf that improved the objective last."""
        return Configuration(self._winner.best_closed) if self._winner.scalars[IMPROVEMENTS] else None

    @property
    def best_leaves(self) -> list[Configuration]:
        """The best leaves found, best first, at most ``n_best``."""
        return [Configuration(closed) for closed in self._first.pool_closed[np.isfinite(self._first.pool)]]

    @property
    def root_decisions(self) -> np.ndarray:
        """State of each decision that the root's bound forces (see :mod:`learnopt.engines.tree.frames`), int8."""
        return np.array(self._first.state[0])

    def search(self, max_nodes: int, stop_at_improvement: bool = False) -> int:
        """Continue; the outcome is one of :mod:`learnopt.engines.tree.kernel`."""
        end = self.nodes + max_nodes
        outcome = FINISHED
        if self.nodes < SPLIT_AFTER or self._lanes == 1:
            alone = max_nodes if self._lanes == 1 else min(max_nodes, SPLIT_AFTER - self.nodes)
            outcome = self._round(alone, stop_at_improvement)
        while self._stacks and outcome != IMPROVED and self.nodes < end:
            self._split()
            outcome = self._round(max(1, (end - self.nodes) // len(self._stacks)), stop_at_improvement)
        return IMPROVED if outcome == IMPROVED else RUNNING if self._stacks else FINISHED

    def _round(self, max_nodes: int, stop_at_improvement: bool) -> int:
        """Continue all stacks for so many nodes each."""
        space, before = self._space, self.to_beat
        steps = node_steps(space.decisions, space.trunk)

        def continued(stack: Frames) -> int:
            fixed = space.decisions, space.trunk, stack, space.base_closed
            outcome, left = RUNNING, max_nodes
            while outcome == RUNNING and left > 0:
                some = min(left, search.patience(steps))
                outcome, left = int(search(*fixed, some, stop_at_improvement)), left - some
            return outcome

        outcomes = in_threads(continued, self._stacks, self._threads)
        best = min(self._stacks, key=lambda stack: float(stack.best[TO_BEAT]))
        if best.best[TO_BEAT] < before:
            self._winner = best
            self.to_beat = float(best.best[TO_BEAT])
        left = []
        for stack, outcome in zip(self._stacks, outcomes, strict=True):
            if outcome != FINISHED:
                left.append(stack)
            else:
                self._finished_nodes += int(stack.scalars[NODES])
                self.doubt(float(stack.best[UNSETTLED]))
        self._stacks = left
        return IMPROVED if IMPROVED in outcomes else RUNNING if left else FINISHED

    def _split(self) -> None:
        """Give idle lanes the open subtrees nearest to the root, of the stacks that have most."""
        while len(self._stacks) < self._lanes:
            largest = max(self._stacks, key=_open_frames)
            if _open_frames(largest) < 2:
                return
            self._stacks.append(_taken_off(largest))


def _is_open(stack: Frames) -> Bools:
    """Which frames are still to be explored, from the root."""
    return np.isfinite(stack.part[: stack.scalars[DEPTH] + 1, 0])


def _open_frames(stack: Frames) -> int:
    return int(_is_open(stack).sum())


def _taken_off(stack: Frames) -> Frames:
    """A stack of the open frame nearest to the root, which the old one forgets."""
    bottom = int(np.argmax(_is_open(stack)))
    own = {name: np.empty_like(getattr(stack, name)[bottom:]) for name in PER_FRAME}
    for name, array in own.items():
        array[0] = getattr(stack, name)[bottom]
    stack.part[bottom] = np.inf
    return stack._replace(
        **own,
        scalars=np.zeros(5, dtype=np.int64),
        best=np.array([stack.best[TO_BEAT], stack.best[FACTOR], np.inf]),
        best_closed=stack.best_closed.copy(),
        pool=np.full(1, np.inf),
        pool_closed=stack.pool_closed.copy(),
    )


def _root(relaxation: Relaxation, upper: float, gap: float, n_best: int) -> Frames:
    """A stack of the root frame alone."""
    space, columns = relaxation.space, relaxation.columns
    loops, net = space.space, space.problem.network
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
    part = each.reshape(space.n_parts, -1).sum(axis=1) + relaxation.constant
    best, pool = np.array([upper, 1.0 - gap, np.inf]), np.full(n_best, np.inf)
    return _stack(
        space.decisions, loops.K / scale, core_flow, part, space.trunk.leaf_constant, best, pool, net.n_branch
    )


def _stack(
    data: SearchData, K: Floats, F: Floats, part: Floats, switching: float, best: Floats, pool: Floats, n_branch: int
) -> Frames:
    """Room for one frame per opened branch, the first one filled."""
    size, m = len(K) + 2, len(data.row)
    frames = Frames(
        K=np.empty((size, *K.shape)),
        F=np.empty((size, *F.shape)),
        g=np.empty((size, len(F))),
        state=np.zeros((size, m), dtype=np.int8),
        label=np.tile(np.arange(data.n_nodes), (size, 1)),
        part=np.zeros((size, len(part))),
        gamma=np.zeros((size, len(part))),
        switching=np.full(size, switching),
        left=np.zeros(size),
        closings=np.full(size, data.base_closings),
        openings=np.full(size, data.base_openings),
        chosen=np.full(size, -1),
        share=np.ones(size),
        scalars=np.zeros(5, dtype=np.int64),
        best=best,
        best_closed=np.zeros(n_branch, dtype=bool),
        pool=pool,
        pool_closed=np.zeros((len(pool), n_branch), dtype=bool),
    )
    frames.K[0], frames.F[0], frames.g[0], frames.part[0] = K, F, data.g0, part
    return frames
