"""Master of the Benders decomposition: the DistFlow model with the estimate of infeasibility in its objective."""

from __future__ import annotations

import pyomo.environ as pyo

from learnopt.formulations.distflow import build_reconfiguration
from learnopt.formulations.distflow_data import DistFlowData


def build_master(data: DistFlowData) -> pyo.ConcreteModel:
    """Loss, switching cost and ``alpha`` >= 0 [kW], what the slave will need in slack; the cuts on it are added later.

    References
    ----------
    Khodr, Martinez-Crespo, Vale, Ramos, eq. (17).
    """
    model = build_reconfiguration(data)
    model.alpha = pyo.Var(domain=pyo.NonNegativeReals)
    model.objective.set_value(model.objective.expr + model.alpha)
    return model
