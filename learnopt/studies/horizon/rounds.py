"""Rounds of the bound: prices from the candidates, one priced search per step, new candidates (column generation).

The bound is that of :mod:`learnopt.studies.horizon.bound`. Where flows are not monotone (generation, charging,
capacitors) the AC bound of a step is dear to find and looser; it is found once per step and serves all rounds.
"""

from __future__ import annotations

import math

import numpy as np

from learnopt.engines.tree.priced import priced_bound
from learnopt.engines.tree.relaxation import Relaxation
from learnopt.network import Certificate, Configuration, Floats, HorizonProblem, ReconfigurationProblem
from learnopt.network.result import relative_gap
from learnopt.network.topology import maximum_spanning_tree
from learnopt.studies.horizon.bound import Prices, best_at, find_prices
from learnopt.studies.horizon.devices import Candidate
from learnopt.studies.horizon.pool import Pool
from learnopt.studies.horizon.proven import USEFUL_SHARE, Proven
from learnopt.studies.horizon.store import StepRecord
from learnopt.studies.horizon.work import Work

ROUNDS = 30
"""Rounds of one plan; a handful is usual."""
COARSE = 1e-3
"""Relative gap of the priced searches in the first round."""
FINE_SHARE, LOOSE_SHARE = 0.1, 0.3
"""Gap of the priced searches in the last round as a share of the gap asked for; where the bounds are loose."""
PROGRESS_SHARE = 0.05
"""Share of the gap left that the priced searches may leave open."""


class Rounds:
    """The bound of one horizon.

    Parameters
    ----------
    problem, work
        The horizon, and the time and effort of the call.
    loose
        Only the AC bound for mixed signs applies.

    Attributes
    ----------
    ac_kw
        AC bounds of the loss of each step [kW], NaN where there is none, shape (n_step,).
    """

    def __init__(self, problem: HorizonProblem, work: Work, loose: bool) -> None:
        self.problem, self.work, self.loose = problem, work, loose
        self.ac_kw: Floats = np.full(problem.n_steps, math.nan)
        self._metrics: list[Relaxation | None] = [None] * problem.n_steps
        self._prices: Prices | None = None

    def raised(
        self, pool: Pool, proven: Proven, certificate: Certificate, records: list[StepRecord], gap: float
    ) -> Proven:
        """What is proven after rounds that end at a gap, or with nothing new.

        Parameters
        ----------
        pool
            The candidates; more are added.
        proven
            What is known before, the sum of the bounds of the steps included where they are those of the AC problem.
        certificate
            The bound to raise: ``ac``, or ``model``, which belongs to the plan and starts anew with another one.
        records
            Steps alone; their bounds are the start for ``model``.
        gap
            Relative gap to reach.
        """
        work = self.work
        finest = (LOOSE_SHARE if self.loose else FINE_SHARE) * gap
        coarse = max(COARSE, finest) if self.loose else COARSE
        first = work.rounds
        while work.rounds < first + ROUNDS:
            path = pool.best()
            if path is None:
                break
            objective = pool.objective_kwh(path)
            plan = pool.along(path)
            if certificate is Certificate.MODEL:
                proven = proven.with_model(_sum_of_model(self.problem, records, plan), plan)
            best = proven.of(certificate)
            if best >= objective * (1 - gap) or work.late or work.content(relative_gap(objective, best)):
                break
            # Far from the gap asked for, rough proofs do.
            if math.isfinite(best) and objective > 0:
                coarse = min(coarse, max(finest, PROGRESS_SHARE * (1 - best / objective)))
            try:
                prices = self._prices = find_prices(pool, self._prices, work)
                value, found = self._round(pool, prices, plan, certificate, coarse)
            except KeyboardInterrupt:
                work.interrupt()
                break
            proven = proven.with_ac(value) if certificate is Certificate.AC else proven.with_model(value, plan)
            if self.loose and certificate is Certificate.AC and proven.ac_kwh < USEFUL_SHARE * objective:
                break  # the bound of the model is told first: more rounds of a dear one help nobody
            if not pool.add(map(Candidate, found), known=self.problem.n_steps):
                if coarse <= finest:
                    break
                coarse = max(0.1 * coarse, finest)
        return proven

    def _round(
        self, pool: Pool, prices: Prices, plan: tuple[Configuration, ...], certificate: Certificate, gap: float
    ) -> tuple[float, list[Configuration]]:
        """The bound at given prices [kWh], ``-inf`` where the time is over before, and configurations worth a look."""
        problem, work = self.problem, self.work
        reference, total = best_at(pool, prices), prices.constant(pool)
        found: list[Configuration] = []
        work.rounds += 1
        for t, step in enumerate(problem.steps):
            if work.late:
                return -math.inf, found
            work.report(f"bound, round {work.rounds}", t, problem.n_steps)
            hours, metric = problem.hours[t], self._metrics[t]
            priced = priced_bound(
                step,
                prices.by_step[t] / hours,
                pool.configurations[reference[t]],
                plan[t],
                certificate,
                gap=gap,
                metric=metric,
                node_limit=work.nodes_left(),
                goes_on=lambda: not work.late,
            )
            self._metrics[t] = priced.metric or metric
            work.nodes += max(priced.nodes, 1)
            total += priced.bound_kw * hours
            if self.loose and priced.certificate is Certificate.AC:
                self._learn_step(t, step, priced.bound_kw, prices.by_step[t] / hours)
            found += priced.found
        return total, found

    def _learn_step(self, t: int, step: ReconfigurationProblem, bound_kw: float, prices_kw: Floats) -> None:
        """The loss of a step is at least its bound with prices less the most that prices can add."""
        dearest = maximum_spanning_tree(step.network, step.usable, prices_kw, step.must_close)
        least = max(bound_kw - float(prices_kw[dearest].sum()), 0.0)
        self.ac_kw[t] = np.fmax(self.ac_kw[t], least)


def _sum_of_model(problem: HorizonProblem, records: list[StepRecord], plan: tuple[Configuration, ...]) -> float:
    """Sum of the bounds of the steps with currents held [kWh]; each holds for the best configuration of its step."""
    if any(r.bound_kw is None or r.configurations[0] != own for r, own in zip(records, plan, strict=True)):
        return -math.inf
    return float(problem.hours @ np.array([r.bound_kw for r in records]))
