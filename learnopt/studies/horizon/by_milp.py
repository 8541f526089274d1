"""Proofs of a horizon with controls: the MILP proves the least loss of every step over all switches and all controls.

The sum of those bounds holds for every plan, whatever rules tie its steps; what switching adds is bounded by pricing
(:mod:`learnopt.studies.horizon.bound`), with the MILP of each step in place of the tree search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from learnopt.engines import SolveOptions, conclude
from learnopt.engines.milp.coupled import Coupled, Plan
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.milp.results import solve_periods
from learnopt.network import (
    Certificate,
    Configuration,
    Floats,
    HorizonProblem,
    Ints,
    ReconfigurationProblem,
    Result,
    Status,
)
from learnopt.network.result import relative_gap
from learnopt.studies.horizon.bound import Prices, best_at, find_prices
from learnopt.studies.horizon.devices import Candidate
from learnopt.studies.horizon.pool import Pool
from learnopt.studies.horizon.proven import Proven
from learnopt.studies.horizon.store import StepRecord
from learnopt.studies.horizon.work import Work

PRICED_ROUNDS = 4
"""Rounds of the bound with prices: each solves the MILP of every step once more."""


@dataclass(frozen=True)
class MilpStep:
    """Finds the best configuration and settings of one step, to a tenth of the gap asked for.

    Parameters
    ----------
    gap
        Relative gap asked for.
    portable
        It can be sent to another process.
    """

    gap: float
    portable: bool = True

    def __call__(
        self, t: int, step: ReconfigurationProblem, start: Configuration | None, work: Work, share: float
    ) -> StepRecord:
        """The record of a step."""
        left, patience = work.seconds(share), work.patient(share)
        gap, nodes = min(max(0.1 * self.gap, 1e-4), 1e-3), work.nodes_left(share)
        options = SolveOptions(gap=gap, time_limit=left, node_limit=nodes, patience=patience)
        result = MilpEngine().solve(step, options, start)
        work.count(result)
        found = () if result.configuration is None else (result.configuration,)
        settings = result.settings[:1]
        return StepRecord(result.status, result.certificate, result.message, result.dual_bound_kw, found, settings)


class MilpProofs:
    """What the MILP proves of one horizon; see :class:`learnopt.studies.horizon.run.Proofs`.

    Parameters
    ----------
    problem, work
        The horizon, and the time and effort of the call.
    gap
        Relative gap asked for.
    """

    def __init__(self, problem: HorizonProblem, work: Work, gap: float) -> None:
        self.problem, self.work, self.gap = problem, work, gap
        self.ac_kw: Floats = np.full(problem.n_steps, math.nan)
        self.step_proof = MilpStep(gap)
        """Of each step alone."""

    def of_steps(self, records: list[StepRecord]) -> Proven:
        """What the bounds of the steps prove together."""
        self.ac_kw = np.array([record.ac_bound_kw for record in records])
        return Proven.of_steps(self.problem.hours, self.ac_kw)

    def static(self, pool: Pool) -> Result:
        """Best single configuration among the candidates, its controls set anew in every step; not proven."""
        problem = self.problem
        best: tuple[float, Ints] | None = None
        for configuration in dict.fromkeys(pool.configurations):
            among = np.array([k for k, c in enumerate(pool.configurations) if c == configuration])
            path = pool.best(among)
            if path is not None and (best is None or pool.objective_kwh(path) < best[0]):
                best = pool.objective_kwh(path), path
        together = problem.together.replace(max_operations=None)
        found, settings = (None, None) if best is None else (pool.configurations[best[1][0]], pool.settings(best[1]))
        result = conclude(
            together, "milp", self.work.watch, configuration=found, settings=settings, status=Status.FEASIBLE
        )
        if best is None or result.configuration is None:
            return result
        return replace(result, objective_kw=best[0] / float(problem.hours.sum()))

    def look_ahead(self, pool: Pool, ahead: HorizonProblem, state: Configuration, known: int) -> None:
        """Candidates of a window are those of its steps: nothing to add."""

    def raised(self, pool: Pool, proven: Proven, records: list[StepRecord], gap: float) -> Proven:
        """What is proven after rounds over the steps with prices."""
        problem, work = self.problem, self.work
        prices: Prices | None = None
        first = work.rounds
        priced = problem.switching_cost > 0 or problem.max_operations is not None
        with work.stage("bound"):
            while priced and work.rounds < first + PRICED_ROUNDS and not work.late:
                path = pool.best()
                if path is None or proven.ac_kwh >= pool.objective_kwh(path) * (1 - gap):
                    break
                if work.content(relative_gap(pool.objective_kwh(path), proven.ac_kwh)):
                    break
                prices = find_prices(pool, prices, work)
                total, found = self._priced(pool, prices, gap)
                work.rounds += 1
                proven = proven.with_ac(total)
                if not pool.add(found, known=problem.n_steps):
                    break
        return proven

    def raises(self, told: Certificate) -> bool:
        """Rounds would raise the bound of this certificate."""
        return told in (Certificate.AC, Certificate.NONE)

    def _priced(self, pool: Pool, prices: Prices, gap: float) -> tuple[float, list[Candidate]]:
        """The bound at given prices of closed branches [kWh], and candidates worth a look."""
        problem, work = self.problem, self.work
        reference, total = best_at(pool, prices), prices.constant(pool)
        found: list[Candidate] = []
        for t in range(problem.n_steps):
            if work.late:
                return -math.inf, found
            work.report(f"bound, round {work.rounds + 1}", t, problem.n_steps)
            priced = Coupled(problem.alone(t), prices=prices.by_step[t : t + 1])
            start = Plan((pool.configurations[reference[t]],), pool.settings_at(int(reference[t]), t))
            share = 1 / (problem.n_steps - t)
            left, patience, nodes = work.seconds(share), work.patient(share), work.nodes_left(share)
            options = SolveOptions(gap=max(0.3 * gap, 1e-4), time_limit=left, node_limit=nodes, patience=patience)
            result = solve_periods(priced, options, start, self.ac_kw[t : t + 1])
            work.count(result)
            total += result.bound_kwh if result.proven else -math.inf
            if result.plan is not None and result.plan != start:
                found.append(Candidate.of(problem, result.plan.configurations[0], result.plan.settings[0]))
        return total, found
