"""From a profile to the steps of a savings study."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnopt.errors import DataError
from learnopt.io import Profiles
from learnopt.network import ReconfigurationProblem
from learnopt.studies.horizon.steps import step_rows
from learnopt.studies.savings.problem import Period, SavingsProblem


def savings_problem(
    problem: ReconfigurationProblem,
    profiles: Profiles,
    start: str | None = None,
    steps: int | None = None,
    step_hours: float | None = None,
    period: Period | str = Period.MONTH,
    switching_cost: float = 0.0,
) -> SavingsProblem:
    """The study of a problem's network, limits and locks over a profile; steps as of a horizon.

    Raises
    ------
    DataError
        If the profile does not hold the steps asked for, or an option does not fit.
    """
    if period not in list(Period):
        raise DataError("savings", [f"period = {period!r} must be one of {', '.join(Period)}"])
    begins, length, own = step_rows(profiles, start, steps, step_hours)

    def averaged(loads: np.ndarray) -> Any:
        return np.add.reduceat(loads[begins[0] : begins[-1] + length], begins - begins[0]) / length

    return SavingsProblem(
        network=problem.network,
        times=profiles.times[begins],
        p=averaged(profiles.p),
        q=averaged(profiles.q),
        hours=np.full(len(begins), own * length),
        limits=problem.limits,
        charging=problem.charging,
        scenario=problem.scenario,
        period=Period(period),
        switching_cost=switching_cost,
    )
