"""Proofs of a horizon without controls: tree search of every step, rounds of priced searches for the whole."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from learnopt.engines import SolveOptions
from learnopt.engines.tree.coverage import ac_obstacles, tight_obstacles
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.network import Certificate, Configuration, Floats, HorizonProblem, ReconfigurationProblem, Result, Status
from learnopt.studies.horizon.devices import Candidate
from learnopt.studies.horizon.pool import Pool
from learnopt.studies.horizon.proven import Proven
from learnopt.studies.horizon.rounds import Rounds
from learnopt.studies.horizon.store import StepRecord
from learnopt.studies.horizon.work import Work

LOOSE_WORK, LEAST_NODES = 2e8, 500
"""Work of the first search for the configuration of a step where the tight AC bounds do not apply: buses times loops in
all nodes, a second or two; and its least nodes."""
LOOK_AHEAD_SHARE = 0.1
"""Share of the nodes left for one window."""
STATIC_SHARE = 0.3
"""Share of the limits for the best single configuration."""
STEPS_SHARE = 0.5
"""Share of the time left for what is found out about all steps alone, or about all windows."""


@dataclass(frozen=True)
class TreeStep:
    """Finds the best configurations of one step, proven to the end where that is quick.

    Parameters
    ----------
    certificate
        Of the searches.
    loose
        Only the bound for mixed signs proves something of the AC problem.
    gap
        Relative gap asked for.
    k_best
        Configurations proven.
    portable
        It can be sent to another process.
    """

    certificate: Certificate
    loose: bool
    gap: float
    k_best: int
    portable: bool = True

    def __call__(
        self, t: int, step: ReconfigurationProblem, start: Configuration | None, work: Work, share: float
    ) -> StepRecord:
        """The record of a step."""
        net = step.network
        if self.loose:
            quick = max(int(LOOSE_WORK / (net.n_bus * max(net.n_loops, 1))), LEAST_NODES)
            result = self._solve(step, start, work, work.nodes_left(share, quick), share, 1, self.gap)
            if result.configuration is None and result.status is not Status.INFEASIBLE:
                result = self._solve(step, start, work, work.nodes_left(share), share, 1, self.gap)
        else:
            result = self._solve(step, start, work, work.nodes_left(share), share, self.k_best)
        found = [] if result.configuration is None else [result.configuration]
        found += [a.configuration for a in result.alternatives if a.configuration not in found]
        return StepRecord(result.status, result.certificate, result.message, result.dual_bound_kw, tuple(found))

    def _solve(
        self,
        step: ReconfigurationProblem,
        start: Configuration | None,
        work: Work,
        nodes: int | None,
        share: float,
        k_best: int,
        gap: float | None = None,
    ) -> Result:
        options = SolveOptions(self.certificate, gap, node_limit=nodes)
        return _solve(step, start, work, options, STEPS_SHARE * share, k_best)


class TreeProofs:
    """What tree search proves of one horizon; see :class:`learnopt.studies.horizon.run.Proofs`.

    Parameters
    ----------
    problem, work
        The horizon, and the time and effort of the call.
    gap
        Relative gap asked for.
    k_best
        Configurations proven per step.
    """

    def __init__(self, problem: HorizonProblem, work: Work, gap: float, k_best: int) -> None:
        self.problem, self.work, self.gap, self.k_best = problem, work, gap, k_best
        tight = tight_obstacles(problem.together)
        self.certificate = Certificate.MODEL if tight else Certificate.AC
        """Of the searches, and of the bound that rounds raise."""
        # Only the bound for mixed signs proves something of the AC problem.
        self.loose = bool(tight) and not ac_obstacles(problem.together)
        self.ac_kw: Floats = np.full(problem.n_steps, math.nan)
        self.step_proof = TreeStep(self.certificate, self.loose, gap, k_best)
        """Of each step alone."""
        self._rounds = Rounds(problem, work, self.loose)

    def of_steps(self, records: list[StepRecord]) -> Proven:
        """What the bounds of the steps prove together; where that is nothing of the AC problem, the model counts."""
        self.ac_kw = np.array([record.ac_bound_kw for record in records])
        if np.isnan(self.ac_kw).any():
            self.certificate = Certificate.MODEL
        return Proven.of_steps(self.problem.hours, self.ac_kw)

    def static(self, pool: Pool) -> Result:
        """Best single configuration of all steps, the cost of switching to it included; a candidate too."""
        path = pool.best()
        start = None if path is None else pool.configurations[int(np.bincount(path).argmax())]
        result = self._solve(self.problem.together, start, self.work.nodes_left(STATIC_SHARE), STATIC_SHARE)
        if result.configuration is not None:
            pool.add([Candidate(result.configuration)], known=self.problem.n_steps)
        return result

    def look_ahead(self, pool: Pool, ahead: HorizonProblem, state: Configuration, known: int) -> None:
        """The best single configuration of a window is a candidate too."""
        share = STEPS_SHARE / (self.problem.n_steps + ahead.n_steps - 1 - known)
        result = self._solve(ahead.together, state, self.work.nodes_left(LOOK_AHEAD_SHARE), share)
        if result.configuration is not None:
            pool.add([Candidate(result.configuration)], known)

    def raised(self, pool: Pool, proven: Proven, records: list[StepRecord], gap: float) -> Proven:
        """What is proven after rounds of the bound.

        Where the AC bound is loose they come after those of the model, at its prices and for its plan.
        """
        rounds, stage = self._rounds, self.work.watch.stage
        with stage("bound"):
            proven = rounds.raised(pool, proven, self.certificate, records, gap)
        if not self.loose:
            return proven
        with stage("proofs"):
            proven = rounds.raised(pool, proven, Certificate.AC, records, gap)
        self.ac_kw = rounds.ac_kw
        path = pool.best()
        if path is not None and proven.held != pool.along(path):
            with stage("bound"):  # the searches found a better plan: the model is that of its voltages
                proven = rounds.raised(pool, proven, self.certificate, records, gap)
        return proven

    def raises(self, told: Certificate) -> bool:
        """Rounds would raise the bound of this certificate."""
        return self.loose or told in (self.certificate, Certificate.NONE)

    def _solve(
        self, problem: ReconfigurationProblem, start: Configuration | None, nodes: int | None, share: float
    ) -> Result:
        return _solve(problem, start, self.work, SolveOptions(self.certificate, None, node_limit=nodes), share)


def _solve(
    problem: ReconfigurationProblem,
    start: Configuration | None,
    work: Work,
    options: SolveOptions,
    share: float,
    k_best: int = 1,
) -> Result:
    """One search, with this share of the time left."""
    limited = replace(options, time_limit=work.seconds(share), patience=work.patient(share))
    result = TreeSearchEngine(k_best=k_best).solve(problem, limited, start)
    work.count(result)
    return result
