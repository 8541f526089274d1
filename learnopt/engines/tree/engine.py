"""Exact tree search in loop space: proof of the calibrated-current model, or of the AC problem itself.

``model``: load currents are held at the voltages of a reference configuration; the search proves that no radial
configuration with less loss for these currents has less by AC power flow, or moves the reference to one that has and
repeats.

``ac``: for non-negative loads without charging, metric B and the trunk gain (:mod:`learnopt.engines.bounds.trunk`) turn
the same search into a proof for the AC problem. The metric touches the incumbent and is renewed when a better one is
found. With generation, capacitors, charging or shunts another metric (:mod:`learnopt.engines.bounds.mixed_bound`) takes
its place, after switches were fixed by it (:mod:`learnopt.engines.tree.probing`).
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np

from learnopt.engines.base import SolveOptions, Stopwatch, conclude, infeasible
from learnopt.engines.exchange import find_incumbent, radial_start
from learnopt.engines.gap_curve import GapCurve
from learnopt.engines.tree.area_search import solve_areas
from learnopt.engines.tree.areas import areas
from learnopt.engines.tree.budget import Budget
from learnopt.engines.tree.coverage import ac_obstacles, mixed_signs
from learnopt.engines.tree.currents import power_flows
from learnopt.engines.tree.frontier import BestFirst
from learnopt.engines.tree.incumbent import PROOF_GAP, ROUNDING, SearchState
from learnopt.engines.tree.long_search import continue_best_first, kick
from learnopt.engines.tree.mixed_proof import prove_mixed
from learnopt.engines.tree.proof import AcProof, prove_model
from learnopt.engines.tree.ranking import k_best
from learnopt.engines.tree.relaxation import ac_relaxation
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.errors import DataError
from learnopt.network import Alternative, Certificate, Configuration, ReconfigurationProblem, Result, Status

MORE_STARTS = 20
"""Random trees to start from where no admissible configuration was found from the others."""


class TreeSearchEngine:
    """Branch and bound over spanning trees with a certificate.

    Parameters
    ----------
    random_starts
        Random trees for the first incumbent, besides the normal configuration and sequential opening.
    k_best
        Number of best configurations to find and to prove, 1 for the optimum alone. More than one asks for gap 0.
    """

    name = "tree"

    def __init__(self, random_starts: int = 0, k_best: int = 1) -> None:
        if k_best < 1:
            raise DataError("options", [f"k_best = {k_best} must be >= 1"])
        self.random_starts = random_starts
        self.k_best = k_best

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Prove the optimum of the calibrated-current model (default), or of the AC problem (``certify = ac``).

        Where the AC bound does not cover the problem the certificate is ``model`` and the message says why.
        """
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch, several_scenarios=True, fixed_loops=True)) is not None:
            return failure
        if self.k_best == 1 and len(parts := areas(problem)) > 1:
            return solve_areas(self.name, self._solve_whole, problem, parts, options, start, watch)
        return self._solve_whole(problem, options, start, watch)

    def _solve_whole(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None, watch: Stopwatch
    ) -> Result:
        """One search for a problem that has a radial configuration, whatever its areas."""
        prove_ac = options.certify is Certificate.AC
        obstacles = ac_obstacles(problem) if prove_ac else []
        # Of a gap of one or more any configuration is within it: no bound is below zero.
        gap = min(max((options.gap or 0.0) if self.k_best == 1 else 0.0, PROOF_GAP), 1.0) - ROUNDING
        limit = math.inf if options.time_limit is None else options.time_limit
        budget = Budget(limit, watch, options.threads, options.node_limit or sys.maxsize, options.patience)
        state = SearchState(problem, budget, curve=GapCurve(self.name, watch, options.progress))
        ranking: tuple[tuple[Alternative, ...], float | None] = (), None
        try:
            with watch.stage("incumbent"):
                rng = np.random.default_rng(options.seed)
                # Of several scenarios branch exchange sees the mean loads: only a start.
                reference = find_incumbent(problem.mean, start, rng, self.random_starts, limit, watch)
                state.offer(reference)
                if state.incumbent is None:  # what branch exchange found violates limits
                    state.offer(find_incumbent(problem.mean, None, rng, MORE_STARTS, limit, watch))
                reference = reference or radial_start(problem)
            with watch.stage("setup"):
                space = SearchSpace.of(problem)
            with watch.stage("search"):
                if prove_ac and not obstacles and len(problem.situations) > 1:  # for a start near the optimum
                    prove_model(state, space, reference, gap, budget.share(0.3, state.nodes, space.entries))
                    state.forget_bound()  # of the model: the AC proof may end before it has one of its own
                if prove_ac and not obstacles:
                    if mixed_signs(problem):
                        obstacles = prove_mixed(state, space, reference, gap, budget)
                    else:
                        AcProof(state, space, budget).prove(reference, gap)
                if not prove_ac or obstacles:
                    state.forget_bound()
                    prove_model(state, space, reference, gap, budget)
            if self.k_best > 1 and state.status is Status.OPTIMAL:
                with watch.stage("ranking"):
                    ranking = k_best(state, space, self.k_best, budget)
        except KeyboardInterrupt:
            state.status, state.message = Status.INTERRUPTED, "Interrupted; this is the best configuration so far."
        if obstacles:
            other = "enumerate where states are few" if problem.chords.any() else "milp"
            state.message += f" No AC certificate from the tree search: {'; '.join(obstacles)}. Use engine {other}."
        result = conclude(
            problem,
            self.name,
            watch,
            configuration=state.incumbent,
            status=state.status,
            gap=(options.gap or 0.0) if self.k_best == 1 else 0.0,
            certificate=state.certificate,
            dual_bound_kw=state.bound_kw,
            message=state.message,
            nodes=state.nodes,
            judged=state.judged,
            curve=() if state.curve is None else state.curve.points,
        )
        rest = None if result.certificate is Certificate.NONE else ranking[1]
        return replace(result, alternatives=ranking[0], rest_bound_kw=rest)


def compile_long_search(problem: ReconfigurationProblem) -> None:
    """Compile what only a long search uses, on a small problem: its time is then its own."""
    budget = Budget(math.inf, Stopwatch())
    space, state = SearchSpace.of(problem), SearchState(problem, budget)
    state.offer(reference := radial_start(problem))
    relaxation = ac_relaxation(space, power_flows(problem, reference), math.inf)
    kick(state, space, budget)
    frontier = BestFirst(relaxation, state.objective_pu, 0.0)
    continue_best_first(state, frontier, budget, lambda search: state.prove(search.bound))
