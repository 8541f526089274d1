"""Loads of a profile as situations of a problem: one for each step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from learnopt.io import Profiles
from learnopt.network import ReconfigurationProblem, Scenario
from learnopt.studies.savings.profile import savings_problem


def situations_over_time(
    problem: ReconfigurationProblem, profiles: Profiles, start: str | None, steps: int | None, step_hours: float | None
) -> tuple[tuple[np.datetime64, Scenario], ...]:
    """Instants of a profile, each with its loads, and with outages, locks and tags of a problem.

    Raises
    ------
    DataError
        If the profile does not hold the steps asked for.
    """
    study = savings_problem(problem, profiles, start, steps, step_hours)
    like = problem.scenario
    return tuple(
        (
            time,
            replace(
                like,
                p_load=p + like.p_gen,
                q_load=q + like.q_gen,
                out_of_service=problem.out_of_service,
                locked=problem.locked,
                name=str(time),
            ),
        )
        for time, p, q in zip(study.times, study.p, study.q, strict=True)
    )
