r"""What an objective known allows in each period: a ceiling of its loss, and switches that it fixes.

A plan of objective at most U has in period t

.. math:: \mathrm{loss}_t \le \Bigl(U - P - \sum_{s \ne t} h_s\,\underline{\mathrm{loss}}_s\Bigr) / h_t

with proven bounds of the losses of the other periods and P the least that prices can add. Where one decision serves all
situations, the bounds of the tree search on all of them together fix switches instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from learnopt.engines.base import Stopwatch
from learnopt.engines.clock import GoesOn
from learnopt.engines.milp.coupled import Coupled, Plan
from learnopt.engines.milp.highs import Outcome
from learnopt.engines.milp.relaxation import HighsRelaxation
from learnopt.engines.milp.tangents import Tangents
from learnopt.engines.tree.probing import fix_by_bounds
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.network import Configuration, Floats, ReconfigurationProblem
from learnopt.physics import power_flow

BOUND_ROUNDS = 12
"""Tangent rounds for the bound of one period alone."""
BOUND_TOLERANCE = 1e-6
"""Squared current by which a solution may lie outside the cone [pu]; less where the loads are below 1 pu."""
BOUND_SHARE = 0.2
"""Share of the time limit for the bounds of the periods alone."""


class Ceilings:
    """Proven bounds of the loss of each period alone, and what follows from them.

    Parameters
    ----------
    coupled
        The periods.
    bounds_kw
        Proven bounds [kW], shape (n_period,); 0 where NaN or absent.
    """

    def __init__(self, coupled: Coupled, bounds_kw: Floats | None) -> None:
        self.coupled = coupled
        n = coupled.horizon.n_steps
        self.bounds = np.zeros(n) if bounds_kw is None else np.maximum(np.nan_to_num(bounds_kw, nan=0.0), 0.0)
        self.weights = coupled.horizon.hours

    def losses_kw(self, objective: float) -> Floats:
        """Largest loss of each period in a plan of at most this objective [kW], shape (n_period,)."""
        n = len(self.bounds)
        if not math.isfinite(objective):
            return np.full(n, math.inf)
        if self.coupled.worst:
            return np.full(n, max(objective, 0.0))
        left = objective - self.coupled.least_price() - float(self.weights @ self.bounds)
        with np.errstate(divide="ignore"):
            return np.where(self.weights > 0, self.bounds + max(left, 0.0) / self.weights, math.inf)

    def bound_periods(self, plan: Plan, objective: float, watch: Stopwatch, limit: float) -> None:
        """Bound the loss of each period alone, by tangents on its linear relaxation.

        Parameters
        ----------
        plan, objective
            A plan known, with its objective a little rounded up [kWh].
        watch, limit
            Of the whole search [s]; this ends after ``BOUND_SHARE`` of it.
        """
        for t, (step, loss) in enumerate(zip(self.coupled.steps, self.losses_kw(objective), strict=True)):
            if watch.elapsed > BOUND_SHARE * limit:
                return
            alone = step.replace(switching_cost=0.0)
            data = DistFlowData.of(alone, loss / step.network.base.kw)
            if not data.bounds.proven:
                continue
            part = HighsRelaxation(data, max(loss if math.isfinite(loss) else 0.0, 1.0))
            tangents = Tangents(data.arcs, part.add_tangents, part.cuttable)
            applied = plan.applied(step, t)
            flow = power_flow(applied, plan.configurations[t])
            if flow.converged:
                tangents.at_power_flow(flow, applied.network)
            tolerance = BOUND_TOLERANCE * min(1.0, float(np.abs(alone.p + 1j * alone.q).sum())) ** 2
            for _ in range(BOUND_ROUNDS):
                run = part.solve_relaxation(max(limit - watch.elapsed, 0.0))
                if run.outcome is not Outcome.OPTIMAL:
                    break
                self.bounds[t] = max(self.bounds[t], run.bound - 1e-6 * abs(run.bound))
                if not tangents.at_values(*part.arc_values(run), tolerance) + part.cut_ratings(run):
                    break

    def fixed(
        self, plan: Plan, cutoff: float, goes_on: GoesOn, learn: Callable[[float], None]
    ) -> tuple[ReconfigurationProblem, ...]:
        """The periods with switches fixed whose other state is too dear; contradictory where nothing is cheap enough.

        Where they are tied the bounds are those of one configuration for all, else of each period alone.

        Parameters
        ----------
        plan
            The incumbent; the bounds touch its configurations.
        cutoff
            Objective above which nothing is of interest [kWh].
        goes_on
            There is time. Where there is none what was fixed by then is returned.
        learn
            Told of lower bounds of the objective [kWh].
        """
        coupled, steps = self.coupled, self.coupled.steps
        if coupled.tied:
            total = 1.0 if coupled.worst else float(self.weights.sum())
            kw = coupled.horizon.network.base.kw
            together, point = coupled.together, plan.configurations[0]
            return self._fixed(
                together, point, cutoff / total / kw, goes_on, lambda bound: learn(bound * total * kw)
            ).members
        ceilings = self.losses_kw(cutoff) / coupled.horizon.network.base.kw
        each = zip(steps, plan.configurations, ceilings.tolist(), strict=True)
        return tuple(self._fixed(step, point, ceiling, goes_on) for step, point, ceiling in each)

    @staticmethod
    def _fixed(
        problem: ReconfigurationProblem,
        incumbent: Configuration,
        ceiling: float,
        goes_on: GoesOn,
        learn: Callable[[float], None] | None = None,
    ) -> ReconfigurationProblem:
        """One problem with switches fixed, for objectives below a ceiling [pu]."""
        # Where the incumbent is not admitted the bound would not touch where it is needed.
        if not math.isfinite(ceiling) or not problem.free.any() or not problem.admits(incumbent):
            return problem
        return fix_by_bounds(problem, incumbent, ceiling, goes_on=goes_on, learn=learn)
