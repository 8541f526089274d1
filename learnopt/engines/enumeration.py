"""Enumeration of every radial configuration with its AC power flow: the oracle for small networks.

Branches in no loop are contracted; the remaining graph is searched branch by branch, including a branch where it
closes no loop and leaving it out where the rest still connects the graph, so that every path ends in a spanning tree.

Where a sweep finds no power flow a monotone one may prove that there is none (:mod:`learnopt.engines.bounds.trunk`), or
the judge finds one; what neither settles is below every bound.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import LONG_PATIENCE, njit
from learnopt.engines.base import SolveOptions, Stopwatch, conclude, infeasible, unsettled
from learnopt.engines.bounds.trunk import TrunkData, leaf_loss
from learnopt.engines.operations import OperationData, count_operations, operation_data
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.errors import UnsupportedError
from learnopt.network import Bools, Certificate, Configuration, Floats, Ints, ReconfigurationProblem, Result, Status
from learnopt.network.problem import Core
from learnopt.network.union_find import find_set
from learnopt.physics import evaluate
from learnopt.physics.limits import LimitArrays, limit_arrays, total_violation
from learnopt.physics.sweep import Grid, order_flow, problem_grid, sweep_tree, tree_flow

CHUNK = 20_000
"""Configurations between two looks at the clock."""
QUESTIONS = 256
"""Configurations without a settled power flow that are collected before the judge is asked."""
MOST_PROOFS = 64
"""Configurations that the judge leaves open whose relaxation is solved."""
MOST_QUESTIONS = 4096
"""Configurations put to the judge; any more of them count as not settled."""


def count_configurations(problem: ReconfigurationProblem) -> float:
    """Number of radial configurations, by the matrix-tree theorem (the cap on operations is not counted)."""
    if problem.contradictions:
        return 0.0
    tail, head, n = problem.core.tail, problem.core.head, problem.core.n_nodes
    laplacian = np.zeros((n, n))
    np.add.at(laplacian, (tail, tail), 1.0)
    np.add.at(laplacian, (head, head), 1.0)
    np.add.at(laplacian, (tail, head), -1.0)
    np.add.at(laplacian, (head, tail), -1.0)
    _, logarithm = np.linalg.slogdet(laplacian[1:, 1:]) if n > 1 else (1.0, 0.0)
    return float(np.exp(logarithm))


@njit()
def _connected(label: Ints, tail: Ints, head: Ints, first: int, scratch: Ints, n_sets: int) -> bool:
    """The sets become one when all branches from ``first`` on are added."""
    if n_sets == 1:
        return True
    scratch[:] = label
    for e in range(first, len(tail)):
        a, b = find_set(scratch, tail[e]), find_set(scratch, head[e])
        if a != b:
            scratch[a] = b
            n_sets -= 1
            if n_sets == 1:
                return True
    return False


class TreeWalk(NamedTuple):
    """Where a walk through the spanning trees of a graph stands."""

    branches: Ints
    """Network branch of each edge, shape (m,)."""
    tail: Ints
    head: Ints
    state: Ints
    """Per edge 0 not tried, 1 included, 2 left out; the tree consists of the edges before the depth with state 1."""
    depth: Ints
    """shape (1,); -1 after the last tree."""
    label: Ints
    """Sets joined so far at each depth, shape (m + 1, n_nodes)."""
    scratch: Ints
    """shape (n_nodes,)."""


def tree_walk(core: Core) -> TreeWalk:
    """The walk through all spanning trees of a core, before its first one."""
    m = len(core.branches)
    return TreeWalk(
        branches=core.branches,
        tail=core.tail,
        head=core.head,
        state=np.zeros(m, dtype=np.int64),
        depth=np.zeros(1, dtype=np.int64),
        label=np.tile(np.arange(core.n_nodes), (m + 1, 1)),
        scratch=np.zeros(core.n_nodes, dtype=np.int64),
    )


@njit(steps=lambda walk, closed: 20 * len(closed))
def next_tree(walk: Any, closed: Bools) -> bool:
    """Step to the next spanning tree and set the states of its branches in ``closed``; False after the last one."""
    branches, tail, head, state, place, label, scratch = walk
    m, n_sets, depth = len(tail), len(scratch), place[0]
    if depth < 0:
        return False
    if n_sets == 1:
        closed[branches] = False
        place[0] = -1
        return True
    for i in range(depth):
        if state[i] == 1:
            n_sets -= 1
    back = n_sets == 1
    while True:
        if not back and depth < m:
            a, b = find_set(label[depth], tail[depth]), find_set(label[depth], head[depth])
            label[depth + 1] = label[depth]
            if a != b:
                state[depth] = 1
                label[depth + 1][a] = b
                n_sets -= 1
            else:
                state[depth] = 2
            depth += 1
            if n_sets > 1:
                continue
            place[0] = depth
            for i in range(m):
                closed[branches[i]] = i < depth and state[i] == 1
            return True
        # Back to the last included branch that may be left out instead.
        back = True
        while depth > 0:
            depth -= 1
            if state[depth] == 1:
                n_sets += 1
                if _connected(label[depth], tail, head, depth + 1, scratch, n_sets):
                    state[depth] = 2
                    label[depth + 1] = label[depth]
                    depth += 1
                    back = False
                    break
            state[depth] = 0
        if back:
            place[0] = -1
            return False


class EnumerationData(NamedTuple):
    """What does not change while configurations are evaluated, per unit."""

    grid: Grid
    limits: LimitArrays
    trunk: TrunkData
    """Refutes what has no power flow."""
    s: NDArray[np.complex128]
    """Net loads, shape (n_bus,)."""
    operations: OperationData


TREES, FEASIBLE, OPEN = range(3)
"""Places in :attr:`EnumerationState.counts`: configurations seen, feasible ones, open questions."""


class EnumerationState(NamedTuple):
    """Where an enumeration stands; changed in place."""

    walk: TreeWalk
    closed: Bools
    """The configuration looked at, shape (n_branch,)."""
    counts: Ints
    """shape (3,)."""
    best: Bools
    """The best configuration so far, shape (n_branch,)."""
    best_value: Floats
    """Its objective [pu], infinite without one, shape (1,)."""
    questions: Bools
    """Configurations whose power flow is not settled, in the first rows, shape (QUESTIONS, n_branch)."""


def _tree_steps(data: EnumerationData) -> float:
    """Steps of a configuration: its power flow."""
    return 40.0 * len(data.s)


@njit(steps=lambda data, at, stop_at: (stop_at - at.counts[TREES]) * _tree_steps(data), patience=LONG_PATIENCE)
def _enumerate(data: Any, at: Any, stop_at: int) -> bool:
    """Go on until done (True), or until ``stop_at`` configurations were seen or questions pile up (False)."""
    tree, closed, counts, operations = tree_flow(len(data.s)), at.closed, at.counts, data.operations
    while counts[TREES] < stop_at and counts[OPEN] < len(at.questions):
        if not next_tree(at.walk, closed):
            return True
        counts[TREES] += 1
        count = count_operations(operations, closed)
        if count > operations.most:
            continue
        order_flow(data.grid, closed, tree)
        loss = sweep_tree(data.grid, data.s, tree)
        if np.isnan(loss):
            if not leaf_loss(data.trunk, closed, at.best_value[0] - operations.cost * count)[1]:
                at.questions[counts[OPEN]] = closed
                counts[OPEN] += 1
            continue
        if data.limits.active and total_violation(data.grid, data.limits, tree) > 0.0:
            continue
        counts[FEASIBLE] += 1
        value = loss + operations.cost * count
        if value < at.best_value[0]:
            at.best_value[0] = value
            at.best[:] = closed
    return at.walk.depth[0] < 0


@dataclass
class _Questions:
    """Configurations that no sweep settles, put to the judge; what he leaves open, and how many were too many."""

    problem: ReconfigurationProblem
    asked: int = 0
    doubted: list[Configuration] = field(default_factory=list)
    beyond: int = 0

    def put(self, closed: Bools, best: Bools, best_value: Floats) -> None:
        """Put states, shape (n, n_branch), to the judge; the best goes into ``best`` where it is better [pu]."""
        problem, kw = self.problem, self.problem.network.base.kw
        for row in closed:
            self.asked += 1
            if self.asked > MOST_QUESTIONS:
                self.beyond += 1
                continue
            configuration = Configuration(row.copy())
            judged = evaluate(problem, configuration)
            if judged.feasible and problem.admits(configuration):
                value = judged.loss_kw + problem.switching_cost * problem.operations(configuration)
                if value / kw < best_value[0]:
                    best[:], best_value[0] = row, value / kw
            elif unsettled(problem, configuration, judged):
                self.doubted.append(configuration)

    def least_kw(self, cutoff_kw: float) -> float:
        """Bound of the objective of all that is left open [kW]; infinite where none is below the cutoff."""
        if not self.doubted and not self.beyond:
            return math.inf
        if self.beyond or len(self.doubted) > MOST_PROOFS or self.problem.chords.any():
            return -math.inf
        from learnopt.engines.milp.one_configuration import least_objective  # loads Pyomo and HiGHS: rarely needed

        return min(least_objective(self.problem, configuration, cutoff_kw) for configuration in self.doubted)


def _start(problem: ReconfigurationProblem) -> tuple[EnumerationData, EnumerationState]:
    """What an enumeration needs, before its first configuration."""
    data = EnumerationData(
        grid=problem_grid(problem),
        limits=limit_arrays(problem),
        trunk=SearchSpace.of(problem).trunk,
        s=problem.p + 1j * problem.q,
        operations=operation_data(problem),
    )
    closed = (problem.usable & ~problem.free & (problem.blocks.block >= 0)) | problem.chords
    at = EnumerationState(
        walk=tree_walk(problem.core),
        closed=closed,
        counts=np.zeros(3, dtype=np.int64),
        best=closed.copy(),
        best_value=np.array([np.inf]),
        questions=np.zeros((QUESTIONS, problem.network.n_branch), dtype=bool),
    )
    return data, at


class EnumerationEngine:
    """Every radial configuration is evaluated: exact by exhaustion, for small networks.

    Parameters
    ----------
    max_configurations
        Refuse problems with more configurations than this.
    """

    name = "enumerate"

    def __init__(self, max_configurations: float = 5e6) -> None:
        self.max_configurations = max_configurations

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Optimum by exhaustion, with certificate ``ac``: the bound is the least objective of all configurations.

        Raises
        ------
        UnsupportedError
            If there are more than ``max_configurations`` configurations.
        """
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch, fixed_loops=True)) is not None:
            return failure
        count = count_configurations(problem)
        if count > self.max_configurations:
            raise UnsupportedError(
                f"{problem.network.name!r} has {count:.3g} radial configurations, enumeration takes "
                f"{self.max_configurations:g} at most",
                {"engine": "milp"},
            )
        net = problem.network
        data, at = _start(problem)
        open_questions = _Questions(problem)
        most = sys.maxsize if options.node_limit is None else options.node_limit
        finished = interrupted = False
        with watch.stage("enumerate"):
            try:
                while not finished:
                    some = min(CHUNK, _enumerate.patience(_tree_steps(data)))
                    finished = _enumerate(data, at, min(at.counts[TREES] + some, most))
                    open_questions.put(at.questions[: at.counts[OPEN]], at.best, at.best_value)
                    at.counts[OPEN] = 0
                    late = options.time_limit is not None and watch.elapsed > options.time_limit
                    if late or at.counts[TREES] >= most:
                        break
            except KeyboardInterrupt:
                interrupted = True
        found = Configuration(at.best) if np.isfinite(at.best_value[0]) else None
        value = float(at.best_value[0]) * net.base.kw
        seen = f"{at.counts[TREES]} radial configurations evaluated, {at.counts[FEASIBLE]} feasible."
        least = -math.inf if interrupted else open_questions.least_kw(value)
        if least < value:
            seen += f" The power flow of {len(open_questions.doubted) + open_questions.beyond} could not be settled."
        if not finished or (found is None and least < math.inf):
            status = Status.NO_SOLUTION if found is None else Status.FEASIBLE
            if interrupted:
                status, seen = Status.INTERRUPTED, f"Interrupted. {seen}"
            return conclude(problem, self.name, watch, configuration=found, status=status, message=seen)
        if found is None:
            message = f"{seen} None respects the limits."
            return conclude(problem, self.name, watch, configuration=None, status=Status.INFEASIBLE, message=message)
        return conclude(
            problem,
            self.name,
            watch,
            configuration=found,
            status=Status.OPTIMAL,
            gap=options.gap or 0.0,
            certificate=Certificate.AC,
            dual_bound_kw=min(value, least),
            message=seen,
            nodes=int(at.counts[TREES]),
        )
