"""The model on HiGHS: a block for each load situation or period, what ties them, their tangents."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from learnopt.engines.base import PICOWATT
from learnopt.engines.milp import highs
from learnopt.engines.milp.coupled import Coupled, Plan
from learnopt.engines.milp.highs import SolverRun
from learnopt.engines.milp.relaxation import LEAST_SHARE, Held, HighsRelaxation, units_of_powers
from learnopt.engines.milp.tangents import Tangents
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.periods import PeriodsData, build_periods
from learnopt.formulations.voltage_paths import Window
from learnopt.network import Bools, Floats, Network, ReconfigurationProblem
from learnopt.physics import PowerFlow

TYPICAL_LOSS = 0.05
"""Share of the load that sizes the objective where no plan is known."""


def expected_size(coupled: Coupled, objective: float) -> float:
    """Order of the objectives to expect [kW, kWh]: that of a plan known, ``inf`` without one."""
    if math.isfinite(objective):
        return max(abs(objective), PICOWATT)
    horizon = coupled.horizon
    loads = zip(horizon.hours, coupled.steps, strict=True)
    typical = TYPICAL_LOSS * horizon.network.base.kw * sum(hours * np.abs(step.p).sum() for hours, step in loads)
    return max(float(typical), PICOWATT)


def cone_tolerance(coupled: Coupled, size: float, gap: float) -> float:
    """A squared current that is off by this much [pu] changes no objective by more than a tenth of the gap."""
    horizon = coupled.horizon
    resistance = max(float(horizon.network.r.sum()), 1e-300)
    return 0.1 * gap * size / horizon.network.base.kw / resistance / max(float(horizon.hours.sum()), 1.0)


class JointModel:
    """One model of all situations; see :class:`~learnopt.engines.milp.relaxation.SettableRelaxation`.

    Parameters
    ----------
    coupled
        The situations, and what ties them.
    steps
        Their problems, switches fixed included.
    losses_kw
        Largest loss of each that matters [kW], shape (n_period,).
    objective
        Of a plan known [kWh], ``inf`` without one: the size of what is minimised.
    gap
        Relative gap to be reached.
    windows
        Voltages assumed in each situation, not proven: no bound of the model is believed.
    """

    takes_tangents = True

    def __init__(
        self,
        coupled: Coupled,
        steps: Sequence[ReconfigurationProblem],
        losses_kw: Floats,
        objective: float,
        gap: float,
        windows: Sequence[Window] = (),
    ) -> None:
        horizon = coupled.horizon
        kw = horizon.network.base.kw
        cutoffs = zip(steps, losses_kw / kw, windows or (None,) * len(steps), strict=True)
        data = [DistFlowData.of(step, float(cutoff), window) for step, cutoff, window in cutoffs]
        assumed = "voltages were assumed" if windows else ""
        self.unproven = next((one.bounds.reason for one in data if not one.bounds.proven), assumed)
        size = expected_size(coupled, objective)
        model = build_periods(PeriodsData(horizon, tuple(data), coupled.tied, coupled.worst, coupled.prices))
        units = [unit for one, block in zip(data, model.period, strict=True) for unit in units_of_powers(one, block)]
        self.compiled = highs.CompiledModel(model, size=size, units=units)
        self.parts = [
            HighsRelaxation(one, model=block, compiled=self.compiled)
            for one, block in zip(data, model.period, strict=True)
        ]
        blocks = zip(data, self.parts, strict=True)
        self._tangents = [Tangents(one.arcs, part.add_tangents, part.cuttable) for one, part in blocks]
        self.hours = np.asarray(horizon.hours, dtype=float)
        self._tolerance = cone_tolerance(coupled, size, gap)

    def solve_relaxation(self, time_limit: float = math.inf) -> SolverRun:
        """Solve without integrality, from the last basis."""
        return self.compiled.solve_relaxation(time_limit)

    def solve(
        self,
        cutoff: float,
        gap: float,
        time_limit: float,
        heuristics: bool,
        watch: Callable[[float, int], None],
        node_limit: int | None = None,
    ) -> SolverRun:
        """Solve below a cutoff; HiGHS's own heuristics only where there is no incumbent."""
        return self.compiled.solve(
            cutoff=cutoff, gap=gap, time_limit=time_limit, heuristics=heuristics, node_limit=node_limit, watch=watch
        )

    def cut(self, run: SolverRun, share: float = LEAST_SHARE) -> int:
        """Tangents of currents and of ratings of generators that a solution violates; returns how many."""
        pairs = zip(self._tangents, self.parts, strict=True)
        added = sum(tangents.at_values(*part.arc_values(run), self._tolerance, share) for tangents, part in pairs)
        return added + sum(part.cut_ratings(run) for part in self.parts)

    def touch(self, t: int, flow: PowerFlow, network: Network, spacing: float = 0.0) -> int:
        """Tangents at a power flow of situation ``t``; returns how many are new, none where it did not converge."""
        return self._tangents[t].at_power_flow(flow, network, spacing) if flow.converged else 0

    def proposal(self, run: SolverRun) -> Plan:
        """The plan that a solution proposes."""
        settings = (part.settings(run) for part in self.parts)
        return Plan(tuple(part.proposal(run) for part in self.parts), tuple(s for s in settings if s is not None))

    def closed_share(self, run: SolverRun) -> list[Floats]:
        """Share by which each branch is closed in each situation."""
        return [part.closed_share(run) for part in self.parts]

    def settle_on(self, plan: Plan, t: int | None = None) -> None:
        """Leave nothing but the configurations of a plan, or that of situation ``t``, and its discrete settings."""
        for k in range(len(self.parts)) if t is None else [t]:
            self.parts[k].settle_on(plan.configurations[k], plan.settings[k] if plan.settings else None)

    def hold_common(self, plan: Plan, run: SolverRun, nearness: float) -> int:
        """Fix what a plan and a solution without integrality have in common; returns how many binaries stay free."""
        settings = plan.settings or (None,) * len(self.parts)
        each = zip(self.parts, plan.configurations, settings, strict=True)
        return sum(part.hold_common(configuration, own, run, nearness) for part, configuration, own in each)

    def hold(self, plan: Plan, branches: Bools, devices: Held) -> None:
        """Hold branches, bool of shape (n_branch,), and devices where a plan of one decision has them, for good."""
        settings = plan.settings or (None,) * len(self.parts)
        for part, configuration, own in zip(self.parts, plan.configurations, settings, strict=True):
            part.hold(configuration, branches, own, devices)

    def solve_held(self, cutoff: float, gap: float, time_limit: float, node_limit: int) -> SolverRun:
        """Look quickly for a solution below a cutoff with what is held."""
        return self.compiled.solve(
            cutoff=cutoff,
            gap=gap,
            time_limit=time_limit,
            heuristics=False,
            node_limit=node_limit,
            watch=lambda bound, nodes: None,  # with it Ctrl-C is an outcome
            quick=True,
        )

    def release(self) -> None:
        """Undo :meth:`settle_on` or :meth:`hold_common`."""
        for part in self.parts:
            part.release()

    def exclude(self, plan: Plan, t: int | None = None) -> None:
        """All radial configurations close equally many branches, so one branch closed in one situation must change."""
        columns, count = [], 0
        for k in range(len(self.parts)) if t is None else [t]:
            own, n_closed = self.parts[k].closed_columns(plan.configurations[k])
            columns.append(own)
            count += n_closed
        row = np.concatenate(columns)
        self.compiled.add_rows(row[None, :], -np.ones((1, len(row))), np.array([1.0 - count]))
