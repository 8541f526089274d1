"""How far route lengths may change before another plan is cheaper."""

from __future__ import annotations

import math

import numpy as np

from learnopt.network import Floats
from learnopt.network.expansion import ExpansionProblem
from learnopt.studies.substations.engine import PlanOptions, plan_substations
from learnopt.studies.substations.plan import ExpansionPlan, plan_cost

FAR = 1e3
"""Lengths added, in units of all lengths together, beyond which a range counts as open."""
_EQUAL = 1e-7
"""Relative difference of costs that counts as none."""


def length_range(problem: ExpansionProblem, plan: ExpansionPlan, direction: Floats) -> tuple[float, float]:
    """Interval of t in which a plan stays optimal for the lengths ``length + t * direction``.

    The cost of every plan is linear in t, so the least cost is concave and the interval is one. Its ends are found as
    Newton does: where a plan is cheaper, go back to where it and the given plan cost the same. Each step takes another
    plan, so the steps end; each is an exact solve.

    Parameters
    ----------
    plan
        Optimal at t = 0.
    direction
        Change of each length [km], shape (n_route,), >= 0 and not all 0.

    Returns
    -------
    tuple of float
        Lower end (at least where the first length becomes 0) and upper end (``inf`` where nothing is cheaper out to
        ``FAR``).
    """
    lengths = np.array([route.length_km for route in problem.routes])
    shrinking = direction > 0
    shortest = -float(np.min(lengths[shrinking] / direction[shrinking]))
    longest = FAR * float(lengths.sum()) / float(direction.max())
    low = _end(problem, plan, lengths, direction, shortest)
    high = _end(problem, plan, lengths, direction, longest)
    return low, math.inf if high == longest else high


def _end(problem: ExpansionProblem, plan: ExpansionPlan, lengths: Floats, direction: Floats, t: float) -> float:
    """The farthest point towards t at which the plan is optimal."""
    while True:
        there = problem.with_lengths(np.maximum(lengths + t * direction, 0.0))
        other = plan_substations(there, PlanOptions(gap=0.0)).plan
        cost = plan_cost(there, plan).total
        if other is None or (worse := cost - plan_cost(there, other).total) <= _EQUAL * cost:
            return t
        here = plan_cost(problem, plan).total - plan_cost(problem, other).total  # <= 0: the plan is optimal at 0
        nearer = t * max(-here, 0.0) / (worse + max(-here, 0.0))
        if abs(nearer) >= abs(t) * (1 - 1e-12):
            return t
        t = nearer
