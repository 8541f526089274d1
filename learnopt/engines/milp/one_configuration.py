"""What the relaxation proves of one configuration alone, where no power flow settles it."""

from __future__ import annotations

import math

import numpy as np

from learnopt.engines.milp.engine import HighsRelaxation
from learnopt.engines.milp.outer_approximation import Effort
from learnopt.engines.milp.rounding import least_of
from learnopt.engines.milp.tangents import Tangents
from learnopt.formulations.distflow_data import DistFlowData
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
    effort, kw = Effort(), problem.network.base.kw
    locks = np.where(problem.out_of_service, problem.locked, configuration.closed).astype(np.int8)
    alone = problem.replace(locked=locks)
    if alone.contradictions:
        return -math.inf
    data = DistFlowData.of(alone, cutoff_kw / kw)
    if not data.bounds.proven:
        return -math.inf
    size = cutoff_kw if math.isfinite(cutoff_kw) else 0.05 * float(np.abs(problem.p).sum()) * kw
    model = HighsRelaxation(data, size)
    tangents = Tangents(data.arcs, model.add_tangents, model.cuttable)
    tolerance = 0.1 * GAP * size / kw / max(float(problem.network.r.sum()), 1e-300)
    bound = least_of(
        model,
        configuration,
        lambda run: tangents.at_values(*model.arc_values(run), tolerance),
        effort.root_rounds,
        lambda: math.inf,
    )
    return bound - effort.rounding * abs(bound) if math.isfinite(bound) else bound
