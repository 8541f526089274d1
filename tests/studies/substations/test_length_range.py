"""How far route lengths may change before another plan is cheaper, against enumeration."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from plan_instances import tiny
from plan_oracle import least_cost

from learnopt.studies.substations.engine import PlanOptions, plan_substations
from learnopt.studies.substations.plan import plan_cost

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from length_range import length_range


def test_length_range_ends_where_plans_cost_the_same() -> None:
    """Inside the range the plan is optimal, outside another one is; checked by enumeration."""
    problem = tiny(5, n_route=6, radial=True)
    plan = plan_substations(problem, PlanOptions(gap=0.0)).plan
    assert plan is not None
    lengths = np.array([route.length_km for route in problem.routes])
    ended = 0
    for e in range(len(lengths)):
        direction = np.eye(len(lengths))[e]
        low, high = length_range(problem, plan, direction)
        assert low <= 0 <= high
        for end, sign in ((low, -1), (high, 1)):
            for t, optimal in ((end - 1e-3 * sign, True), (end + 1e-2 * sign, False)):
                if math.isinf(end) or not 0.01 < lengths[e] + t < 1e3 or (t < low) + (t > high) == optimal:
                    continue
                there = problem.with_lengths(lengths + t * direction)
                assert (plan_cost(there, plan).total <= least_cost(there) * (1 + 1e-6)) == optimal
                ended += not optimal
    assert ended > 0
