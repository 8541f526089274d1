"""The MILP for part of the time, then iterated branch exchange from its best solution.

For systems that the MILP does not close in the time there is: its bound and certificate stay, the configuration gets
better where local search can improve it. Kicks of a few random exchanges, each followed by branch exchange, leave local
optima; after ``patience`` kicks without improvement the search ends, so that a run without time limit ends too.

References
----------
Lourenço, Martin, Stützle (2003), doi:10.1007/0-306-48056-5_11 (iterated local search).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from learnopt.engines.base import SolveOptions, Stopwatch, conclude
from learnopt.engines.exchange import LocalSearch
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.milp.results import DEFAULT_GAP
from learnopt.network import Configuration, ReconfigurationProblem, Result, Status
from learnopt.physics import evaluate

KICKS = (2, 5)
"""Random exchanges of a kick, from and below."""
NEIGHBOURS = 100
"""A kick chooses among so many best exchanges: bad enough to leave, not bad enough to be lost."""


class HybridEngine:
    """Time-limited MILP, then local search.

    Parameters
    ----------
    exact_share
        Share of the time limit for the MILP.
    patience
        Kicks without improvement after which the local search ends.
    """

    name = "hybrid"

    def __init__(self, exact_share: float = 0.7, patience: int = 200) -> None:
        self.exact_share = exact_share
        self.patience = patience

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Best configuration of both; bound and certificate are those of the MILP, in the full problem."""
        watch = Stopwatch()
        limit = math.inf if options.time_limit is None else options.time_limit
        share = None if options.time_limit is None else self.exact_share * options.time_limit
        with watch.stage("milp"):
            exact = MilpEngine().solve(problem, replace(options, time_limit=share), start)
        held = problem.applied(exact.settings)  # the local search moves switches only
        done = exact.status in (Status.OPTIMAL, Status.INTERRUPTED)
        if exact.configuration is None or done or held.situations.networks:
            return replace(exact, engine=self.name, solve_time_s=watch.elapsed)
        with watch.stage("exchange"):
            better, kicks = self._improve(held, exact.configuration, options.seed, limit, watch)
        return conclude(
            problem,
            self.name,
            watch,
            configuration=better,
            status=Status.FEASIBLE if exact.dual_bound_kw is None else Status.OPTIMAL,
            gap=DEFAULT_GAP if options.gap is None else options.gap,
            certificate=exact.certificate,
            dual_bound_kw=exact.dual_bound_kw,
            message=f"{exact.message} Then {kicks} kicks of branch exchange.",
            nodes=exact.nodes,
            engine_version=exact.engine_version,
            settings=exact.settings,
        )

    def _improve(
        self, problem: ReconfigurationProblem, start: Configuration, seed: int, limit: float, watch: Stopwatch
    ) -> tuple[Configuration, int]:
        rng = np.random.default_rng(seed)
        search = LocalSearch(problem)
        first = search.improve(start)
        best, merit = (start, math.inf) if first is None else first
        if not self._accepts(problem, best):
            best, merit = start, math.inf
        kicks = failures = 0
        while failures < self.patience and watch.elapsed < limit:
            candidate = best
            for _ in range(int(rng.integers(*KICKS))):
                around = search.neighbours(candidate, NEIGHBOURS)
                if not around:
                    break
                candidate = around[int(rng.integers(len(around)))]
            kicks += 1
            failures += 1
            found = search.improve(candidate)
            if found is not None and found[1] < merit * (1 - 1e-9) and self._accepts(problem, found[0]):
                (best, merit), failures = found, 0
        return best, kicks

    @staticmethod
    def _accepts(problem: ReconfigurationProblem, configuration: Configuration) -> bool:
        return problem.admits(configuration) and evaluate(problem, configuration).feasible
