"""Partial service on HiGHS: the relaxation of :mod:`learnopt.formulations.restoration`, and rows that it grows by."""

from __future__ import annotations

import math

import numpy as np

from learnopt.engines.milp import highs
from learnopt.engines.milp.highs import Outcome, SolverRun
from learnopt.engines.milp.relaxation import HighsRelaxation, units_of_powers
from learnopt.engines.milp.tangents import Tangents
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.restoration import Service, build_restoration
from learnopt.network import Bools, Configuration, ReconfigurationProblem
from learnopt.physics import PowerFlow

ROOT_ROUNDS = 30
"""Most rounds of tangents at the linear relaxation."""
OUTSIDE, OUTSIDE_SHARE = 1e-9, 1e-5
"""How far a squared current may lie outside the cone: of the squared load, and of itself."""
GAP = 1e-7
"""Relative gap of a run of the solver."""


class RestorationModel:
    """Partial service in the extended network of one load situation.

    Parameters
    ----------
    problem
        The extended network, its limits those that hold with and without supply.
    service
        Its zones, and what is minimised.
    size
        Order of the objectives to expect.
    loss_cutoff
        Largest loss of a plan [pu]; ``inf`` where none is proven.
    """

    def __init__(
        self, problem: ReconfigurationProblem, service: Service, size: float, loss_cutoff: float = math.inf
    ) -> None:
        data = DistFlowData.of(problem, loss_cutoff)
        self.unproven = data.bounds.reason
        model = build_restoration(data, service)
        compiled = highs.CompiledModel(model, size=size, units=units_of_powers(data, model))
        self._part = HighsRelaxation(data, model=model, compiled=compiled)
        self._tangents = Tangents(data.arcs, self._part.add_tangents, self._part.cuttable)
        arc_of = {int(data.arcs.branch[a]): a for a in self._part.choice}
        column = dict(zip(self._part.choice.tolist(), self._part.b.tolist(), strict=True))
        self._dark = np.array([column[arc_of[int(e)]] if int(e) in arc_of else -1 for e in service.edge])
        self._edge = service.edge
        load = float(np.abs(problem.p + 1j * problem.q).sum())
        self._outside = OUTSIDE * max(load, 1e-9) ** 2

    def solve_root(self, time_limit: float) -> SolverRun:
        """The linear relaxation, cut until its currents lie in the cone."""
        for _ in range(ROOT_ROUNDS):
            run = self._part.solve_relaxation(time_limit)
            if run.outcome is not Outcome.OPTIMAL or run.values is None or not self.cut(run):
                return run
        return run

    def solve(self, cutoff: float, time_limit: float, heuristics: bool) -> SolverRun:
        """The mixed-integer model below a cutoff."""
        return self._part.model.solve(
            cutoff=cutoff, gap=GAP, time_limit=time_limit, heuristics=heuristics, watch=lambda bound, nodes: None
        )

    def cut(self, run: SolverRun) -> int:
        """Tangents where a solution lies outside the cone; how many."""
        return self._tangents.at_values(*self._part.arc_values(run), self._outside, OUTSIDE_SHARE)

    def touch(self, flow: PowerFlow, problem: ReconfigurationProblem) -> int:
        """Tangents at a power flow of the extended network; how many are new."""
        return self._tangents.at_power_flow(flow, problem.network) if flow.converged else 0

    def proposal(self, run: SolverRun) -> tuple[Configuration, Bools]:
        """States of the extended network in a solution, and which zones have supply there, shape (n_zone,)."""
        configuration = self._part.proposal(run)
        return configuration, ~configuration.closed[self._edge]

    def exclude(self, served: Bools) -> None:
        """Some zone must get another supply than in this set of zones."""
        present = self._dark >= 0
        columns = self._dark[present]
        sign = np.where(served[present], 1.0, -1.0)
        lower = 1.0 - float(np.count_nonzero(~served[present]))
        if not len(columns):
            lower = 1.0
        self._part.model.add_rows(columns[None, :], sign[None, :], np.array([lower]))
