"""From a profile to the steps of a savings study."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnopt.errors import DataError
from learnopt.generator.year import synthetic_year
from learnopt.io import Profiles, read_profiles
from learnopt.network import ReconfigurationProblem
from learnopt.studies.horizon.steps import step_rows
from learnopt.studies.savings.problem import Period, SavingsProblem

SYNTHETIC = "synthetic"


def profile_of(source: str, problem: ReconfigurationProblem) -> Profiles:
    """Loads over time: a file, ``simbench:CODE``, or a made-up year (``synthetic``, ``synthetic:7``).

    Raises
    ------
    DataError
        If the file is bad, or the seed no number.
    """
    name, _, seed = source.partition(":")
    if name != SYNTHETIC:
        return read_profiles(source, problem.network)
    if seed and not seed.isdigit():
        raise DataError("profile", [f"{source!r}: the seed of a synthetic year is a whole number, as in synthetic:7"])
    return synthetic_year(problem.network, np.random.default_rng(int(seed or 0)))


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
