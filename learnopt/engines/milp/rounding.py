"""Discrete points of the relaxation: incumbents with their controls set, and what is proven of one configuration.

Switches and controls improved in turns from the normal state end in local optima that depend on the order; the
relaxation sees both at once. Its largest shares make a tree, which coordinate search settles on a discrete setting;
with the discrete part fixed the relaxation, its cone touched until the solution lies on it, dispatches what is
continuous: the subproblem of outer approximation (Duran & Grossmann 1986, doi:10.1007/BF02592064).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from learnopt.engines.dispatch import settle_from_each_step
from learnopt.engines.milp.highs import Outcome, SolverRun
from learnopt.engines.milp.outer_model import SettableRelaxation
from learnopt.engines.milp.search_state import Search
from learnopt.network import Configuration, Settings
from learnopt.network.topology import maximum_spanning_tree


def round_relaxation(
    search: Search, model: SettableRelaxation, run: SolverRun, cut: Callable[[SolverRun], int], rounds: int
) -> None:
    """Offer what a solution of the linear relaxation becomes, again from its incumbent while that gets better.

    Parameters
    ----------
    cut
        Appends tangents where a solution lies outside the cone; returns how many.
    rounds
        Most rounds of them for each discrete point.
    """
    problem = search.problem
    weight, settings = model.closed_share(run), model.settings(run)
    point = Configuration(maximum_spanning_tree(problem.network, problem.usable, weight, problem.must_close))
    while (settled := settle_from_each_step(problem, point, settings)) is not None:
        before = search.objective
        search.offer(*settled[:2])
        if search.incumbent is None or search.settings is None:
            return
        point = search.incumbent
        settings = dispatched(search, model, point, search.settings, cut, rounds)
        search.offer(point, settings)
        if not search.objective < before * (1 - search.gap):
            return


def least_of(
    model: SettableRelaxation,
    point: Configuration,
    cut: Callable[[SolverRun], int],
    rounds: int,
    remaining: Callable[[], float],
) -> float:
    """Lower bound of the objective of one configuration [kW], whatever its controls.

    Infinite where the relaxation has no solution there: the configuration has no power flow within the limits, or none
    of at most the loss for which the constants of the model were derived.

    Parameters
    ----------
    cut
        Appends tangents where a solution lies outside the cone; returns how many.
    rounds
        Most rounds of them.
    remaining
        Seconds left.
    """
    bound = -math.inf
    model.settle_on(point)
    try:
        for _ in range(rounds):
            run = model.solve_relaxation(remaining())
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is Outcome.INFEASIBLE:
                return math.inf
            if run.values is None or run.outcome is not Outcome.OPTIMAL:
                break
            bound = max(bound, run.bound)
            if not cut(run):
                break
    finally:
        model.release()
    return bound


def dispatched(
    search: Search,
    model: SettableRelaxation,
    point: Configuration,
    settings: Settings,
    cut: Callable[[SolverRun], int],
    rounds: int,
) -> Settings:
    """Settings with the continuous controls of the relaxation at a discrete point."""
    model.settle_on(point, settings)
    try:
        for _ in range(rounds):
            run = model.solve_relaxation(search.remaining)
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.values is None or run.outcome is not Outcome.OPTIMAL:
                break
            settings = model.settings(run) or settings
            if not cut(run):
                break
    finally:
        model.release()
    return settings
