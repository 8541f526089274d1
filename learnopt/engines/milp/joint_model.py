"""The model of several periods for HiGHS: blocks of the periods, their tangents, and what cuts off a plan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learnopt.engines.base import PICOWATT
from learnopt.engines.milp import highs
from learnopt.engines.milp.coupled import Coupled, Plan
from learnopt.engines.milp.engine import HighsRelaxation, light_units
from learnopt.engines.milp.highs import SolverRun
from learnopt.engines.milp.outer_approximation import Tangents
from learnopt.formulations.distflow import DistFlowData
from learnopt.formulations.periods import PeriodsData, build_periods
from learnopt.network import Floats, ReconfigurationProblem
from learnopt.physics import PowerFlow

TYPICAL_LOSS = 0.05
"""Share of the load that sizes the objective where no plan is known."""
LEAST_SHARE = 1e-4
"""Share of a squared current below which a solution outside the cone is let be."""


class JointModel:
    """One model of all periods.

    Parameters
    ----------
    coupled
        The periods.
    steps
        Their problems, switches fixed included.
    losses_kw
        Largest loss of each that matters [kW], shape (n_period,).
    objective
        Of a plan known [kWh], ``inf`` without one: the size of what is minimised.
    gap
        Relative gap to be reached.

    Attributes
    ----------
    proven
        Whether every constant is.
    """

    def __init__(
        self,
        coupled: Coupled,
        steps: Sequence[ReconfigurationProblem],
        losses_kw: Floats,
        objective: float,
        gap: float,
    ) -> None:
        horizon = coupled.horizon
        kw, hours = horizon.network.base.kw, horizon.hours
        data = [DistFlowData.of(step, loss / kw) for step, loss in zip(steps, losses_kw, strict=True)]
        self.proven = all(one.bounds.proven for one in data)
        if not np.isfinite(objective):
            objective = TYPICAL_LOSS * kw * sum(w * np.abs(step.p).sum() for w, step in zip(hours, steps, strict=True))
        size = max(abs(float(objective)), PICOWATT)
        model = build_periods(PeriodsData(horizon, tuple(data), coupled.tied, coupled.worst, coupled.prices))
        units = [unit for one, block in zip(data, model.period, strict=True) for unit in light_units(one, block)]
        self.compiled = highs.CompiledModel(model, size=size, units=units)
        self.parts = [
            HighsRelaxation(one, model=block, compiled=self.compiled)
            for one, block in zip(data, model.period, strict=True)
        ]
        blocks = zip(data, self.parts, strict=True)
        self._tangents = [Tangents(one.arcs, part.add_tangents, part.cuttable) for one, part in blocks]
        resistance = max(float(horizon.network.r.sum()), 1e-300)
        self._tolerance = 0.1 * gap * size / kw / resistance / max(float(hours.sum()), 1.0)

    def cut(self, run: SolverRun, share: float = LEAST_SHARE) -> int:
        """Tangents and cuts that a solution violates, by more than a share of a squared current; returns how many."""
        pairs = zip(self._tangents, self.parts, strict=True)
        added = sum(tangents.at_values(*part.arc_values(run), self._tolerance, share) for tangents, part in pairs)
        return added + sum(part.cut_ratings(run) for part in self.parts)

    def touch(self, t: int, flow: PowerFlow, step: ReconfigurationProblem) -> int:
        """Tangents at a power flow of period ``t`` that converged; returns how many are new."""
        return self._tangents[t].at_power_flow(flow, step.network) if flow.converged else 0

    def proposal(self, run: SolverRun) -> Plan:
        """The plan that a solution proposes."""
        settings = (part.settings(run) for part in self.parts)
        return Plan(tuple(part.proposal(run) for part in self.parts), tuple(s for s in settings if s is not None))

    def exclude(self, plan: Plan, t: int | None) -> None:
        """Cut off the configuration of one period, or the sequence of all where ``t`` is None."""
        chosen = range(len(self.parts)) if t is None else [t]
        columns, count = [], 0
        for k in chosen:
            own, n_closed = self.parts[k].closed_columns(plan.configurations[k])
            columns.append(own)
            count += n_closed
        row = np.concatenate(columns)
        self.compiled.add_rows(row[None, :], -np.ones((1, len(row))), np.array([1.0 - count]))
