r"""Rows that an engine adds to the DistFlow model between two solves, for solvers that Pyomo drives.

:mod:`learnopt.engines.milp.highs` appends the same rows to its compiled matrix instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyomo.environ as pyo

from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.distflow_terms import sending_voltage_sqr, tangent_row
from learnopt.network import Configuration, Floats


def define_cuts(model: Any) -> None:
    """Empty lists of tangents and of excluded configurations, and a cutoff that is not in force yet."""
    model.tangents = pyo.ConstraintList()
    model.excluded = pyo.ConstraintList()
    model.cutoff_kw = pyo.Param(mutable=True, initialize=0.0)
    model.cutoff = pyo.Constraint(expr=model.objective.expr <= model.cutoff_kw)
    model.cutoff.deactivate()


def set_cutoff(model: Any, objective_kw: float) -> None:
    """Only configurations with an objective of at most this [kW] are of interest."""
    model.cutoff_kw.set_value(objective_kw)
    model.cutoff.activate()


def add_tangents(model: Any, data: DistFlowData, arcs: Iterable[int], alpha: Floats, beta: Floats) -> None:
    r"""l_a - 2 alpha P_a - 2 beta Q_a + (alpha^2 + beta^2) w_a >= 0: touches the cone where P / w, Q / w are these."""
    rows = np.stack(tangent_row(alpha, beta), axis=1).tolist()
    for a, (on_ell, on_p, on_q, on_w) in zip(arcs, rows, strict=True):
        power = on_p * model.P[a] + on_q * model.Q[a]
        model.tangents.add(on_ell * model.ell[a] + power + on_w * sending_voltage_sqr(model, data, a) >= 0)


def exclude(model: Any, data: DistFlowData, configuration: Configuration) -> None:
    """Exclude one configuration: all radial ones close equally many branches, so one closed branch must change."""
    inside = [a for a in model.choice if configuration.closed[data.arcs.branch[a]]]
    n_closed = len({int(data.arcs.branch[a]) for a in inside})
    model.excluded.add(sum(model.b[a] for a in inside) <= n_closed - 1)


def set_integrality(model: Any, integral: bool) -> None:
    """Binary switch states, or their relaxation to the interval from 0 to 1."""
    for variable in model.b.values():
        variable.domain = pyo.Binary if integral else pyo.UnitInterval


def proposed_configuration(model: Any, data: DistFlowData) -> Configuration:
    """The configuration of the solution that the model holds."""
    used = [a for a in model.choice if model.b[a].value > 0.5]
    return data.configuration(np.array(used, dtype=np.int64))


def arc_values(model: Any, data: DistFlowData) -> tuple[Floats, Floats, Floats, Floats]:
    """P, Q, l and w before the impedance of every arc in the solution that the model holds, each of shape (n_arc,)."""
    arcs = list(model.arcs)
    groups = (model.P, model.Q, model.ell, model.w)
    p, q, ell, w = (np.array([pyo.value(group[a], exception=False) or 0.0 for a in arcs]) for group in groups)
    return p, q, ell, w * data.arcs.sending_scale
