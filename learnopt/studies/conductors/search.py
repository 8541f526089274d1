r"""Local search for plans: conductors by AC sweep for a configuration, branch exchange around it.

Conductors of a configuration: economic choice :math:`\arg\min_t c_{et} + k r_{et} \ell_e` at the currents of the last
sweep, a few times; then steps, one branch at a time, each judged by a sweep of the whole feeder, until no conductor
change helps. With the rule on thickness a step takes the branches upstream along. Configurations: close a tie, open a
branch of its loop (:meth:`learnopt.engines.exchange.LocalSearch.neighbours`), choose conductors anew, keep the best.

A local optimum: nothing is proven here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from learnopt.engines.clock import Stopwatch
from learnopt.engines.exchange import PENALTY, LocalSearch
from learnopt.network import Bools, Configuration, Floats, Ints
from learnopt.network.conductors import ConductorProblem, Plan
from learnopt.physics.limits import limit_arrays, total_violation
from learnopt.physics.sweep import MAX_SWEEPS, TOLERANCE, order_tree, problem_grid, sweep_tree

ECONOMIC_ROUNDS = 4
"""Times that conductors are chosen for the currents of the last sweep."""


@njit(cache=True)
def _merit(
    grid: Any,
    limits: Any,
    s: NDArray[np.complex128],
    order: Ints,
    parent: Ints,
    feed: Ints,
    shunt: NDArray[np.complex128],
    v: NDArray[np.complex128],
    current: NDArray[np.complex128],
    z: NDArray[np.complex128],
    i_max: Floats,
    investment: Floats,
    per_unit: float,
    budget: float,
    rule: bool,
    kind: Ints,
) -> float:
    """Annual cost of conductors ``kind`` on an ordered tree, plus penalties; infinite without a power flow."""
    cost = 0.0
    for e in range(len(kind)):
        grid.impedance[e] = z[e, kind[e]]
        limits.i_max[e] = i_max[e, kind[e]]
        cost += investment[e, kind[e]]
    loss = sweep_tree(grid, s, order, parent, feed, shunt, v, current, TOLERANCE, MAX_SWEEPS)
    if np.isnan(loss):
        return np.inf
    missed = total_violation(grid, limits, s, order, parent, feed, v, current)
    if cost > budget:
        missed += cost / max(budget, 1e-9) - 1.0
    if rule:
        for k in order:
            above = parent[k]
            if above >= 0 and parent[above] >= 0 and kind[feed[k]] > kind[feed[above]]:
                missed += 1.0
    if missed > 1e-9:
        cost += PENALTY * per_unit * (1.0 + missed)
    return cost + per_unit * loss


@njit(cache=True)
def _choose(
    grid: Any,
    limits: Any,
    s: NDArray[np.complex128],
    closed: Bools,
    z: NDArray[np.complex128],
    i_max: Floats,
    investment: Floats,
    options: Bools,
    per_unit: float,
    budget: float,
    rule: bool,
    rounds: int,
    steps: bool,
    kind: Ints,
) -> float:
    """Choose conductors for a configuration, in place, from those given; returns the merit."""
    n, m, types = len(s), len(closed), options.shape[1]
    order, parent, feed = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    shunt = np.empty(n, np.complex128)
    v, current = np.empty(n, np.complex128), np.empty(n, np.complex128)
    if not order_tree(grid, closed, order, parent, feed):
        return np.inf
    merit = _merit(
        grid, limits, s, order, parent, feed, shunt, v, current, z, i_max, investment, per_unit, budget, rule, kind
    )
    best = kind.copy()
    trial = kind.copy()
    for _ in range(rounds):
        if np.isinf(merit) and _ > 0:
            break
        for e in range(m):
            if closed[e]:
                continue
            trial[e] = best[e]
            for t in range(types):
                if options[e, t] and (not options[e, trial[e]] or investment[e, t] < investment[e, trial[e]]):
                    trial[e] = t
        for position in range(n - 1, -1, -1):
            k = order[position]
            e = feed[k]
            if e < 0:
                continue
            square = current[k].real ** 2 + current[k].imag ** 2
            least = np.inf
            for t in range(types):
                if options[e, t]:
                    cost = investment[e, t] + per_unit * z[e, t].real * square
                    if square > i_max[e, t] ** 2:
                        cost += PENALTY * per_unit
                    if cost < least:
                        least, trial[e] = cost, t
        if rule:
            for position in range(n - 1, -1, -1):
                k = order[position]
                above = parent[k]
                if above >= 0 and feed[above] >= 0 and trial[feed[above]] < trial[feed[k]]:
                    trial[feed[above]] = trial[feed[k]]
        found = _merit(
            grid, limits, s, order, parent, feed, shunt, v, current, z, i_max, investment, per_unit, budget, rule, trial
        )
        if found < merit:
            merit = found
            best[:] = trial
        elif np.array_equal(best, trial):
            break
    improved = steps
    while improved:
        improved = False
        for position in range(n):
            k = order[position]
            if feed[k] < 0:
                continue
            e = feed[k]
            for t in range(types):
                if t == best[e] or not options[e, t]:
                    continue
                trial[:] = best
                trial[e] = t
                if rule:
                    above = parent[k]
                    while above >= 0 and feed[above] >= 0:
                        if trial[feed[above]] < t and options[feed[above], t]:
                            trial[feed[above]] = t
                        above = parent[above]
                found = _merit(
                    grid, limits, s, order, parent, feed, shunt, v, current,
                    z, i_max, investment, per_unit, budget, rule, trial,
                )  # fmt: skip
                if found < merit * (1 - 1e-10):
                    merit = found
                    best[:] = trial
                    improved = True
    kind[:] = best
    return merit


class PlanSearch:
    """Local search on one conductor problem, ready for many starts."""

    def __init__(self, problem: ConductorProblem) -> None:
        self.problem = problem
        feeder = problem.feeder
        self._grid = problem_grid(feeder)
        limits = limit_arrays(feeder)
        self._limits = limits._replace(i_max=limits.i_max.copy())
        self._s = feeder.p + 1j * feeder.q
        self._tables = (
            np.ascontiguousarray(problem.r + 1j * problem.x),
            np.ascontiguousarray(problem.i_max),
            np.ascontiguousarray(problem.investment),
            np.ascontiguousarray(problem.options),
            problem.costs.per_kw * feeder.network.base.kw,
            np.inf if problem.budget is None else problem.budget,
            problem.no_thicker_downstream,
        )

    def choose(self, configuration: Configuration, start: Ints | None = None, steps: bool = True) -> tuple[Plan, float]:
        """Conductors for a configuration.

        Parameters
        ----------
        start
            Conductors to start from; the thickest allowed if absent.
        steps
            Improve the economic choice branch by branch.

        Returns
        -------
        The plan and its merit: the annual cost, far above it where a limit is missed, infinite without a power flow.
        """
        problem = self.problem
        thickest = problem.options.shape[1] - 1 - problem.options[:, ::-1].argmax(axis=1)
        kind = thickest if start is None else np.where(problem.routed, start, 0)
        kind = np.array(kind, dtype=np.int64)
        merit = _choose(
            self._grid, self._limits, self._s, configuration.closed, *self._tables, ECONOMIC_ROUNDS, steps, kind
        )
        return Plan(configuration, np.where(problem.routed, kind, -1)), float(merit)

    def improve(self, start: Plan, seconds: float = math.inf) -> tuple[Plan, float]:
        """Branch exchange and conductor steps until neither helps, or until the time is over."""
        watch = Stopwatch()
        best, merit = self.choose(start.configuration, start.conductor)
        fresh = self.choose(start.configuration)
        if fresh[1] < merit:
            best, merit = fresh
        while True:
            found = best, merit
            for configuration in self._exchanges(best):
                if watch.elapsed > seconds:
                    return found
                plan, value = self.choose(configuration, steps=False)
                if value < merit * (1 + 2e-3):  # what comes close may win after the steps
                    plan, value = self.choose(configuration, plan.conductor)
                    if value < found[1] * (1 - 1e-9):
                        found = plan, value
            if found[1] >= merit * (1 - 1e-9):
                return best, merit
            best, merit = found

    def _exchanges(self, plan: Plan) -> list[Configuration]:
        problem = self.problem
        configurations = LocalSearch(problem.equipped(plan.conductor)).neighbours(
            plan.configuration, 8 * problem.network.n_branch
        )
        return [c for c in configurations if problem.feeder.admits(c)]
