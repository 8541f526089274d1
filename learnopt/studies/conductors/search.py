r"""Local search for plans: conductors by AC sweep for a configuration, branch exchange around it.

Conductors of a configuration: economic choice :math:`\arg\min_t c_{et} + k r_{et} \ell_e` at the currents of the last
sweep, a few times; then steps, one branch at a time, each judged by a sweep of the whole feeder, until no conductor
change helps. With the rule on thickness a step takes the branches upstream along. Configurations: close a tie, open a
branch of its loop (:meth:`learnopt.engines.exchange.LocalSearch.neighbours`), choose conductors anew, keep the best.

A local optimum: nothing is proven here.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import njit
from learnopt.engines.clock import Stopwatch
from learnopt.engines.exchange import PENALTY, LocalSearch
from learnopt.network import Bools, Configuration, Floats, Ints
from learnopt.network.conductors import ConductorPlan, ConductorProblem
from learnopt.physics.limits import LimitArrays, limit_arrays, total_violation
from learnopt.physics.sweep import Grid, order_flow, problem_grid, sweep_tree, tree_flow
from learnopt.studies.conductors.compiled import inner

ECONOMIC_ROUNDS = 4
"""Times that conductors are chosen for the currents of the last sweep."""


class ChoiceData(NamedTuple):
    """What does not change while conductors are chosen, per unit; n_type conductors."""

    grid: Grid
    """Its impedances become those of the conductors tried."""
    limits: LimitArrays
    """Its ampacities likewise."""
    s: NDArray[np.complex128]
    """Net loads, shape (n_bus,)."""
    z: NDArray[np.complex128]
    """Impedance of each branch with each conductor, shape (n_branch, n_type)."""
    i_max: Floats
    investment: Floats
    """Annual cost [currency], shape (n_branch, n_type)."""
    options: Bools
    """Conductors allowed, shape (n_branch, n_type)."""
    per_unit: float
    """Annual cost of one unit of loss."""
    budget: float
    rule: bool
    """No branch may be thicker than the one that feeds it."""


@inner
def _merit(data: Any, tree: Any, kind: Ints) -> float:
    """Annual cost of conductors ``kind`` on an ordered tree, plus penalties; infinite without a power flow."""
    cost = 0.0
    for e in range(len(kind)):
        data.grid.impedance[e] = data.z[e, kind[e]]
        data.limits.i_max[e] = data.i_max[e, kind[e]]
        cost += data.investment[e, kind[e]]
    loss = sweep_tree(data.grid, data.s, tree)
    if np.isnan(loss):
        return np.inf
    missed = total_violation(data.grid, data.limits, tree)
    if cost > data.budget:
        missed += cost / max(data.budget, 1e-9) - 1.0
    if data.rule:
        parent, feed = tree.parent, tree.feed
        for k in tree.order:
            above = parent[k]
            if above >= 0 and parent[above] >= 0 and kind[feed[k]] > kind[feed[above]]:
                missed += 1.0
    if missed > 1e-9:
        cost += PENALTY * data.per_unit * (1.0 + missed)
    return cost + data.per_unit * loss


@inner
def _economic(data: Any, closed: Bools, tree: Any, kind: Ints) -> None:
    """Change ``kind`` to the cheapest conductor of each branch at the currents of the last sweep."""
    order, parent, feed, _, current = tree
    options, investment, types = data.options, data.investment, data.options.shape[1]
    for e in range(len(closed)):
        if closed[e]:
            continue
        for t in range(types):
            if options[e, t] and (not options[e, kind[e]] or investment[e, t] < investment[e, kind[e]]):
                kind[e] = t
    for k in order[::-1]:
        e = feed[k]
        if e < 0:
            continue
        square = current[k].real ** 2 + current[k].imag ** 2
        least = np.inf
        for t in range(types):
            if options[e, t]:
                cost = investment[e, t] + data.per_unit * data.z[e, t].real * square
                if square > data.i_max[e, t] ** 2:
                    cost += PENALTY * data.per_unit
                if cost < least:
                    least, kind[e] = cost, t
    if data.rule:
        for k in order[::-1]:
            above = parent[k]
            if above >= 0 and feed[above] >= 0 and kind[feed[above]] < kind[feed[k]]:
                kind[feed[above]] = kind[feed[k]]


@inner
def _step(data: Any, tree: Any, k: int, t: int, kind: Ints) -> None:
    """Give the branch that feeds bus ``k`` conductor ``t``; with the rule those upstream are no thinner."""
    parent, feed = tree.parent, tree.feed
    kind[feed[k]] = t
    if data.rule:
        above = parent[k]
        while above >= 0 and feed[above] >= 0:
            if kind[feed[above]] < t and data.options[feed[above], t]:
                kind[feed[above]] = t
            above = parent[above]


@njit()
def _choose(data: Any, closed: Bools, steps: bool, kind: Ints) -> float:
    """Choose conductors for a configuration, in place, from those given; returns the merit."""
    tree = tree_flow(len(data.s))
    if not order_flow(data.grid, closed, tree):
        return np.inf
    best, trial = kind.copy(), kind.copy()
    merit = _merit(data, tree, best)
    for attempt in range(ECONOMIC_ROUNDS):
        if np.isinf(merit) and attempt > 0:
            break
        _economic(data, closed, tree, trial)
        found = _merit(data, tree, trial)
        if found < merit:
            merit = found
            best[:] = trial
        elif np.array_equal(best, trial):
            break
    improved = steps
    while improved:
        improved = False
        for k in tree.order:
            e = tree.feed[k]
            if e < 0:
                continue
            for t in range(data.options.shape[1]):
                if t == best[e] or not data.options[e, t]:
                    continue
                trial[:] = best
                _step(data, tree, k, t, trial)
                found = _merit(data, tree, trial)
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
        self._data = ChoiceData(
            grid=problem_grid(feeder),
            limits=limit_arrays(feeder),
            s=feeder.p + 1j * feeder.q,
            z=np.ascontiguousarray(problem.r + 1j * problem.x),
            i_max=np.ascontiguousarray(problem.i_max),
            investment=np.ascontiguousarray(problem.investment),
            options=np.ascontiguousarray(problem.options),
            per_unit=problem.costs.per_kw * feeder.network.base.kw,
            budget=np.inf if problem.budget is None else problem.budget,
            rule=problem.no_thicker_downstream,
        )

    def choose(
        self, configuration: Configuration, start: Ints | None = None, steps: bool = True
    ) -> tuple[ConductorPlan, float]:
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
        merit = _choose(self._data, np.array(configuration.closed), steps, kind)
        return ConductorPlan(configuration, np.where(problem.routed, kind, -1)), float(merit)

    def improve(self, start: ConductorPlan, seconds: float = math.inf) -> tuple[ConductorPlan, float]:
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

    def _exchanges(self, plan: ConductorPlan) -> list[Configuration]:
        problem = self.problem
        configurations = LocalSearch(problem.equipped(plan.conductor)).neighbours(
            plan.configuration, 8 * problem.network.n_branch
        )
        return [c for c in configurations if problem.feeder.admits(c)]
