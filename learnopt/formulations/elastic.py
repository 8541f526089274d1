r"""Elastic DistFlow: every limit may give, and the sum of relative violations is least.

Each limit has a slack s >= 0, the share by which it is missed. The model is linear in squared magnitudes, so the rows
understate s, never overstate it; with :math:`\bar s` the largest slack allowed:

.. math::

    |V| \ge V_{\min} (1 - s) &\Rightarrow\ v \ge V_{\min}^2 (1 - 2 s) \\
    |V| \le V_{\max} (1 + s) &\Rightarrow\ v \le V_{\max}^2 (1 + (2 + \bar s) s) \\
    |J| \le I_{\max} (1 + s) &\Rightarrow\ \ell \le I_{\max}^2 (1 + (2 + \bar s) s)

The dual bound is then a lower bound of the sum of violations of every configuration that misses no limit by more than
:math:`\bar s`; one that does misses a limit by more than that. Elastic programming: Chinneck (2008),
doi:10.1007/978-0-387-74932-7, chapter 6.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyomo.environ as pyo

from learnopt.formulations.distflow import build_reconfiguration
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.distflow_limits import RATING_DIRECTIONS, draws_forward
from learnopt.formulations.distflow_terms import closed, end_currents_sqr, substation_power
from learnopt.network import Limits, ReconfigurationProblem

WIDEST_VOLTAGE = 0.3
"""Largest relative violation of a voltage limit in the model."""
WIDEST_CURRENT = 1.0
"""Largest relative violation of an ampacity in the model."""
ASSUMED_LOWEST, ASSUMED_HIGHEST = 0.5, 1.5
"""Voltages looked at where no limit is enforced [pu]: what is proven then holds for those only."""


def widened(problem: ReconfigurationProblem) -> ReconfigurationProblem:
    """The problem with limits as wide as the slacks allow, without ratings of substations and switching cost."""
    net = problem.network
    low = np.where(problem.vm_min > 0, problem.vm_min * (1 - WIDEST_VOLTAGE), ASSUMED_LOWEST)
    high = np.where(problem.vm_max < np.inf, problem.vm_max * (1 + WIDEST_VOLTAGE), ASSUMED_HIGHEST)
    return problem.replace(
        network=replace(
            net, i_max=problem.i_max * (1 + WIDEST_CURRENT), vm_min=np.minimum(low, high), vm_max=np.maximum(low, high)
        ),
        limits=Limits(ampacity=True, voltage=True),
        switching_cost=0.0,
    )


def build_elastic(problem: ReconfigurationProblem, data: DistFlowData) -> pyo.ConcreteModel:
    """Least sum of relative violations.

    Parameters
    ----------
    problem
        The problem with its limits.
    data
        Data of the ``widened`` problem.
    """
    model = build_reconfiguration(data)
    model.objective.deactivate()
    model.slacks = pyo.VarList(domain=pyo.NonNegativeReals)
    model.elastic = pyo.ConstraintList()
    elastic_voltage(model, problem)
    elastic_current(model, problem, data)
    elastic_substation(model, problem, data)
    model.violation = pyo.Objective(expr=sum(model.slacks.values()) + 0.0, sense=pyo.minimize)
    return model


def highest_voltage(model: Any, bus: int) -> None:
    """Change the objective to the squared voltage of a bus, as high as it goes (its negative is minimised)."""
    model.violation.set_value(-model.v_bus[bus])


def elastic_voltage(model: Any, problem: ReconfigurationProblem) -> None:
    r"""Voltage limits with a slack per bus."""
    for k in model.buses:
        low, high = float(problem.vm_min[k]), float(problem.vm_max[k])
        if low > 0:
            model.elastic.add(model.v_bus[k] >= low**2 * (1 - 2 * model.slacks.add()))
        if high < np.inf:
            give = (2 + WIDEST_VOLTAGE) * model.slacks.add()
            model.elastic.add(model.v_bus[k] <= high**2 * (1 + give))


def elastic_current(model: Any, problem: ReconfigurationProblem, data: DistFlowData) -> None:
    r"""Ampacities with a slack per branch, at both ends where their currents differ."""
    arcs = data.arcs
    slack: dict[int, Any] = {}
    for a in model.arcs:
        e = int(arcs.branch[a])
        if not np.isfinite(problem.i_max[e]):
            continue
        if e not in slack:
            slack[e] = model.slacks.add()
        limit = problem.i_max[e] ** 2 * (closed(model, a) + (2 + WIDEST_CURRENT) * slack[e])
        for current in end_currents_sqr(model, data, a):
            model.elastic.add(current <= limit)


def elastic_substation(model: Any, problem: ReconfigurationProblem, data: DistFlowData) -> None:
    r"""Substation ratings with a slack each: polygon around s_max; s_min for passive feeders only."""
    net = problem.network
    for s, k in enumerate(net.substations):
        s_min, s_max = float(problem.s_min[s]), float(problem.s_max[s])
        if not model.out_of[int(k)] or (s_min == 0 and not np.isfinite(s_max)):
            continue
        active, reactive = substation_power(model, data, s)
        if np.isfinite(s_max):
            slack = model.slacks.add()
            for angle in np.arange(RATING_DIRECTIONS) * (2 * np.pi / RATING_DIRECTIONS):
                drawn = float(np.cos(angle)) * active + float(np.sin(angle)) * reactive
                model.elastic.add(drawn <= s_max * (1 + slack))
        if s_min > 0 and draws_forward(data, s):
            model.elastic.add(active + reactive >= s_min * (1 - model.slacks.add()))
