"""What the relaxation proves of one configuration alone, where no power flow settles it."""

from __future__ import annotations

import math

import numpy as np

from learnopt.engines.milp.coupled import Coupled, Plan
from learnopt.engines.milp.model import JointModel
from learnopt.engines.milp.rounding import least_of
from learnopt.engines.milp.rounds import Effort
from learnopt.network import Configuration, ReconfigurationProblem

GAP = 1e-6
"""Share of the cutoff by which currents outside the cone may lower the bound."""


def least_objective(
    problem: ReconfigurationProblem, configuration: Configuration, cutoff_kw: float = math.inf
) -> float:
    """Lower bound of the objective of a radial configuration [kW], by tangents on its linear relaxation.

    Infinite where it is proven to have no power flow within the limits, or none with an objective of at most the
    cutoff; minus infinity where a constant could not be proven.

    Parameters
    ----------
    problem
        One scenario, without controls and fixed loops.
    """
    effort = Effort()
    locks = np.where(problem.out_of_service, problem.locked, configuration.closed).astype(np.int8)
    alone = problem.replace(locked=locks)
    if alone.contradictions:
        return -math.inf
    coupled = Coupled.of(alone)
    model = JointModel(coupled, coupled.steps, np.full(1, cutoff_kw), cutoff_kw, GAP)
    if model.unproven:
        return -math.inf
    bound = least_of(model, Plan((configuration,)), None, effort.root_rounds, lambda: math.inf)
    return bound - effort.rounding * abs(bound) if math.isfinite(bound) else bound
