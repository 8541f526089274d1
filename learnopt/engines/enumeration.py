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
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnopt.engines.base import SolveOptions, Stopwatch, conclude, infeasible, unsettled
from learnopt.engines.bounds.trunk import leaf_loss
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.errors import UnsupportedError
from learnopt.network import Bools, Certificate, Configuration, Floats, Ints, ReconfigurationProblem, Result, Status
from learnopt.network.union_find import find_set
from learnopt.physics import evaluate
from learnopt.physics.limits import limit_arrays, total_violation
from learnopt.physics.sweep import MAX_SWEEPS, TOLERANCE, order_tree, problem_grid, sweep_tree

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


@njit(cache=True)
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


@njit(cache=True)
def next_tree(tail: Ints, head: Ints, n_nodes: int, state: Ints, label: Ints, scratch: Ints, depth: int) -> int:
    """Step to the next spanning tree; returns its depth, or -1 after the last one.

    Parameters
    ----------
    state
        Per branch 0 not tried, 1 included, 2 left out, shape (n_branch + 1,); changed in place. The tree consists of
        the branches before the depth with state 1.
    label
        Sets joined so far at each depth, shape (n_branch + 1, n_nodes); changed in place.
    scratch
        shape (n_nodes,).
    depth
        What the last call returned; 0 at the start.
    """
    m = len(tail)
    n_sets = n_nodes
    for i in range(depth):
        if state[i] == 1:
            n_sets -= 1
    back = n_sets == 1 and depth > 0
    while True:
        if not back and n_sets > 1 and depth < m:
            a, b = find_set(label[depth], tail[depth]), find_set(label[depth], head[depth])
            label[depth + 1] = label[depth]
            if a != b:
                state[depth] = 1
                label[depth + 1][a] = b
                n_sets -= 1
            else:
                state[depth] = 2
            depth += 1
            if n_sets == 1:
                return depth
            continue
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
            return -1


@njit(cache=True)
def _enumerate(
    grid: Any,
    limits: Any,
    trunk: Any,
    s: NDArray[np.complex128],
    closed: Bools,
    branches: Ints,
    tail: Ints,
    head: Ints,
    n_nodes: int,
    normally_closed: Bools,
    counted: Bools,
    switching_cost: float,
    max_operations: int,
    best: Bools,
    stop_at: int,
    state: Ints,
    label: NDArray[np.int64],
    progress: Ints,
    best_value: Floats,
    open_questions: Bools,
) -> bool:
    """Search on from ``state`` until done (True), or until ``stop_at`` trees were seen or questions pile up (False).

    ``state[i]``: 0 not tried, 1 included, 2 left out. ``progress`` = (trees, feasible trees, depth, open questions);
    the states whose power flow is not settled are rows of ``open_questions``.
    """
    n, m = len(s), len(branches)
    order, parent, feed = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    shunt = np.empty(n, np.complex128)
    v, current = np.empty(n, np.complex128), np.empty(n, np.complex128)
    scratch = np.empty(n_nodes, np.int64)
    while progress[0] < stop_at and progress[3] < len(open_questions):
        if n_nodes > 1:
            progress[2] = next_tree(tail, head, n_nodes, state, label, scratch, progress[2])
            if progress[2] < 0:
                return True
        for i in range(m):
            closed[branches[i]] = i < progress[2] and state[i] == 1
        progress[0] += 1
        operations = 0
        for e in range(len(closed)):
            if counted[e] and closed[e] != normally_closed[e]:
                operations += 1
        if operations <= max_operations:
            order_tree(grid, closed, order, parent, feed)
            loss = sweep_tree(grid, s, order, parent, feed, shunt, v, current, TOLERANCE, MAX_SWEEPS)
            feasible = not np.isnan(loss)
            if not feasible:
                most = best_value[0] - switching_cost * operations
                if not leaf_loss(trunk, closed, most)[1]:
                    open_questions[progress[3]] = closed
                    progress[3] += 1
            if feasible and limits.active:
                feasible = total_violation(grid, limits, s, order, parent, feed, v, current) == 0.0
            if feasible:
                progress[1] += 1
                value = loss + switching_cost * operations
                if value < best_value[0]:
                    best_value[0] = value
                    best[:] = closed
        if n_nodes == 1:
            return True
    return False


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
                f"{self.max_configurations:g} at most: use --engine milp"
            )
        net = problem.network
        core = problem.core
        m = len(core.branches)
        closed = (problem.usable & ~problem.free & (problem.blocks.block >= 0)) | problem.chords
        best = closed.copy()
        label = np.tile(np.arange(core.n_nodes), (m + 1, 1))
        state, progress = np.zeros(m + 1, dtype=np.int64), np.zeros(4, dtype=np.int64)
        questions = np.zeros((QUESTIONS, net.n_branch), dtype=bool)
        open_questions = _Questions(problem)
        trunk = SearchSpace.of(problem).trunk
        best_value = np.array([np.inf])
        cap = problem.max_operations
        most = sys.maxsize if options.node_limit is None else options.node_limit
        finished = interrupted = False
        with watch.stage("enumerate"):
            try:
                while not finished:
                    finished = _enumerate(
                        problem_grid(problem),
                        limit_arrays(problem),
                        trunk,
                        problem.p + 1j * problem.q,
                        closed,
                        core.branches,
                        core.tail,
                        core.head,
                        core.n_nodes,
                        np.array(net.normal_configuration.closed),
                        ~problem.out_of_service,
                        problem.switching_cost / net.base.kw,
                        np.iinfo(np.int64).max if cap is None else cap,
                        best,
                        min(progress[0] + CHUNK, most),
                        state,
                        label,
                        progress,
                        best_value,
                        questions,
                    )
                    open_questions.put(questions[: progress[3]], best, best_value)
                    progress[3] = 0
                    late = options.time_limit is not None and watch.elapsed > options.time_limit
                    if late or progress[0] >= most:
                        break
            except KeyboardInterrupt:
                interrupted = True
        found = Configuration(best) if np.isfinite(best_value[0]) else None
        value = float(best_value[0]) * net.base.kw
        seen = f"{progress[0]} radial configurations evaluated, {progress[1]} feasible."
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
            nodes=int(progress[0]),
        )
