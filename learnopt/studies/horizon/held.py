"""Limits of a horizon that the present state breaks and no switch can change: held, as in a single solve."""

from __future__ import annotations

from dataclasses import replace

from learnopt.network import HorizonProblem
from learnopt.studies.configuration.held import held_in_situations


def hold_limits_of_steps(problem: HorizonProblem) -> HorizonProblem:
    """The horizon with limits held that no configuration of some step respects; itself where there are none."""
    held = held_in_situations(problem.steps)
    return replace(problem, limits=replace(problem.limits, held=(*problem.limits.held, *held))) if held else problem
