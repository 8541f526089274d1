"""Limits of a study that the present state breaks and no switch can change: held, as in a single solve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from learnopt.network import Limits, ReconfigurationProblem
from learnopt.physics.batch import feasible_losses
from learnopt.studies.configuration.held import held_in_situations
from learnopt.studies.savings.measure import BATCH
from learnopt.studies.savings.problem import SavingsProblem


def hold_limits_of_study(problem: SavingsProblem) -> SavingsProblem:
    """The study with limits held that no configuration of some step respects; itself where there are none."""
    if problem.limits == Limits():
        return problem
    held = held_in_situations(_outside(problem))
    return replace(problem, limits=replace(problem.limits, held=(*problem.limits.held, *held))) if held else problem


def _outside(problem: SavingsProblem) -> Iterator[ReconfigurationProblem]:
    """The steps in which the present state breaks a limit, so many at a time."""
    for first in range(0, problem.n_steps, BATCH):
        steps = np.arange(first, min(first + BATCH, problem.n_steps))
        within = np.isfinite(feasible_losses(problem.of_steps(steps), [problem.present])[0])
        if not within.all():
            yield problem.of_steps(steps[~within])
