r"""Limits in the DistFlow model: ampacities, substation ratings, operations; and the cone for solvers that take it.

Symbols: :mod:`learnopt.formulations.distflow`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyomo.environ as pyo

from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.distflow_terms import (
    closed,
    end_currents_sqr,
    operations_expression,
    sending_voltage_sqr,
    substation_power,
)
from learnopt.physics.judge import LIMIT_TOLERANCE

RATING_DIRECTIONS = 32
"""Sides of the polygon around the circle of a substation rating (0.5 % at its corners, always outside)."""


def constraint_current_limit(model: Any, data: DistFlowData) -> None:
    r"""Ampacity at both ends of an arc where their currents differ; else it is the bound of l_a."""
    model.current_limit = pyo.ConstraintList()
    for a in model.arcs:
        limit = (data.i_max[a] * (1 + LIMIT_TOLERANCE)) ** 2
        ends = end_currents_sqr(model, data, a)
        if math.isfinite(limit) and len(ends) > 1:
            for current in ends:
                model.current_limit.add(current <= limit * closed(model, a))


def draws_forward(data: DistFlowData, substation: int) -> bool:
    """Nothing can push active or reactive power back into a substation."""
    problem, net = data.problem, data.problem.network
    k = net.substations[substation]
    own = bool(problem.p[k] >= 0 and problem.q[k] >= 0 and net.b_shunt[k] <= 0 and not problem.controls)
    return own and data.bounds.passive_p and data.bounds.passive_q


def constraint_substation_rating(model: Any, data: DistFlowData) -> None:
    r"""Apparent power drawn at a substation: at most s_max (outer polygon), at least s_min (P + Q, passive feeders).

    Both are relaxations: the engine cuts off a configuration that still violates a rating.
    """
    problem, net = data.problem, data.problem.network
    model.substation_rating = pyo.ConstraintList()
    for s, k in enumerate(net.substations):
        s_min, s_max = problem.s_min[s], problem.s_max[s]
        if not model.out_of[int(k)] or (s_min == 0 and not math.isfinite(s_max)):
            continue
        active, reactive = substation_power(model, data, s)
        if math.isfinite(s_max):
            for angle in np.arange(RATING_DIRECTIONS) * (2 * np.pi / RATING_DIRECTIONS):
                model.substation_rating.add(
                    math.cos(angle) * active + math.sin(angle) * reactive <= s_max * (1 + LIMIT_TOLERANCE)
                )
        if s_min > 0 and draws_forward(data, s):
            model.substation_rating.add(active + reactive >= s_min / (1 + LIMIT_TOLERANCE))


def constraint_operations_cap(model: Any, data: DistFlowData) -> None:
    r"""Number of switching operations at most the cap."""
    cap = data.problem.max_operations
    if cap is None:
        return
    expression = operations_expression(model, data)
    if isinstance(expression, (int, float)):
        if expression > cap:
            model.operations_cap = pyo.Constraint(expr=pyo.Constraint.Infeasible)
        return
    model.operations_cap = pyo.Constraint(expr=expression <= cap)


def constraint_current_cone(model: Any, data: DistFlowData) -> None:
    r"""P_a^2 + Q_a^2 <= l_a w_a, a rotated second-order cone: for solvers that take it, instead of tangents.

    References
    ----------
    Farivar & Low (2013), doi:10.1109/TPWRS.2013.2255317 (relaxation of the branch current to a cone).
    """
    model.current_cone = pyo.Constraint(
        model.arcs,
        rule=lambda _, a: model.P[a] ** 2 + model.Q[a] ** 2 <= model.ell[a] * sending_voltage_sqr(model, data, a),
    )
