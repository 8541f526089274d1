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
from learnopt.engines.milp.coupled import Plan
from learnopt.engines.milp.highs import Outcome, SolverRun
from learnopt.engines.milp.incumbent import Incumbent
from learnopt.engines.milp.relaxation import SettableRelaxation
from learnopt.network import Configuration
from learnopt.network.topology import maximum_spanning_tree


def round_relaxation(search: Incumbent, model: SettableRelaxation, run: SolverRun, rounds: int) -> None:
    """Offer what a solution without integrality becomes, again from the incumbent while that gets better.

    One decision for all situations; its discrete part is looked for at the mean loads.

    Parameters
    ----------
    rounds
        Most rounds of tangents for each discrete point.
    """
    coupled = search.coupled
    mean = coupled.together.mean
    weight, (settings, *_) = model.closed_share(run)[0], model.proposal(run).settings
    point = Configuration(maximum_spanning_tree(mean.network, mean.usable, weight, mean.must_close))
    while (settled := settle_from_each_step(mean, point, settings, lambda: search.remaining > 0)) is not None:
        before = search.objective
        search.offer(coupled.served(*settled[:2]))
        if search.plan is None or search.remaining <= 0:
            return
        plan = dispatched(search, model, search.plan, rounds)
        search.offer(plan)
        point, settings = plan.configurations[0], plan.settings[0]
        if not search.objective < before * (1 - search.gap):
            return


def least_of(
    model: SettableRelaxation, plan: Plan, t: int | None, rounds: int, remaining: Callable[[], float]
) -> float:
    """Lower bound of the objective with the configurations of a plan, or with that of situation ``t``.

    It holds whatever the controls. Infinite where the relaxation has no solution there: the configuration has no power
    flow within the limits, or none of at most the loss for which the constants of the model were derived.

    Parameters
    ----------
    rounds
        Most rounds of tangents.
    remaining
        Seconds left.
    """
    bound = -math.inf
    model.settle_on(Plan(plan.configurations), t)
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
            if not model.cut(run):
                break
    finally:
        model.release()
    return bound


def dispatched(search: Incumbent, model: SettableRelaxation, plan: Plan, rounds: int) -> Plan:
    """The plan with the continuous controls of the relaxation at its discrete point."""
    settings = plan.settings
    model.settle_on(plan)
    try:
        for _ in range(rounds):
            run = model.solve_relaxation(search.remaining)
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.values is None or run.outcome is not Outcome.OPTIMAL:
                break
            settings = model.proposal(run).settings
            if not model.cut(run):
                break
    finally:
        model.release()
    return Plan(plan.configurations, settings)
