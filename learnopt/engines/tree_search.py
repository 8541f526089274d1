"""Exact tree search in loop space: proof of the calibrated-current model, or of the AC problem itself.

``model``: load currents are held at the voltages of a reference configuration; the search proves the least loss of all
radial configurations for these currents, then moves the reference to the answer and repeats until it stays.

``ac``: for non-negative loads without charging, metric B and the trunk gain (:mod:`learnopt.engines.trunk`) turn the
same search into a proof for the AC problem. The metric touches the incumbent and is renewed when a better one is found.
With generation, capacitors, charging or shunts another metric (:mod:`learnopt.engines.mixed_bound`) takes its place,
after switches were fixed by it (:mod:`learnopt.engines.probing`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from learnopt.engines.base import SolveOptions, Stopwatch, conclude, infeasible
from learnopt.engines.coverage import ac_obstacles, mixed_signs
from learnopt.engines.currents import power_flows, tree_loss
from learnopt.engines.exchange import find_incumbent, radial_start
from learnopt.engines.frontier import BestFirst
from learnopt.engines.incumbent import PROOF_GAP, SearchState
from learnopt.engines.long_search import continue_best_first, kick
from learnopt.engines.ranking import k_best
from learnopt.engines.relaxation import ac_relaxation
from learnopt.engines.search_space import SearchSpace
from learnopt.engines.tree_proof import AcProof, patience, prove_model
from learnopt.errors import DataError
from learnopt.network import Alternative, Certificate, Configuration, ReconfigurationProblem, Result, Status

FEW_LOOPS, USEFUL_SHARE = 8, 0.8
"""With more loops and a bound below this share of the incumbent there, no search with mixed signs would end."""
GAP_LADDER = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""With mixed signs the search is run at these gaps first: depth first, one run proves nothing before it ends."""


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
        if (failure := infeasible(problem, self.name, watch, several_scenarios=True)) is not None:
            return failure
        prove_ac = options.certify is Certificate.AC
        obstacles = ac_obstacles(problem) if prove_ac else []
        gap = max((options.gap or 0.0) if self.k_best == 1 else 0.0, PROOF_GAP)
        limit = math.inf if options.time_limit is None else options.time_limit
        state = SearchState(problem)
        ranking: tuple[tuple[Alternative, ...], float | None] = (), None
        try:
            with watch.stage("incumbent"):
                rng = np.random.default_rng(options.seed)
                # Of several scenarios branch exchange sees the mean loads: only a start.
                reference = find_incumbent(problem.mean, start, rng, self.random_starts, 0.2 * limit, watch)
                state.offer(reference)
                reference = reference or radial_start(problem)
            with watch.stage("setup"):
                space = whole = SearchSpace.of(problem)
            with watch.stage("search"):
                if prove_ac and not obstacles and mixed_signs(problem):
                    space = _fixed(state, whole, gap)
                    obstacles = _useless(state, space, state.incumbent or reference)
                if not prove_ac or obstacles:
                    prove_model(state, space, reference, gap, limit, watch)
                else:
                    if problem.scenarios is not None:  # for a start near the optimum
                        prove_model(state, space, reference, gap, 0.3 * limit, watch)
                    ladder = [g for g in GAP_LADDER if g > gap] if mixed_signs(problem) else []
                    for stage in [*ladder, gap]:
                        if stage > gap and state.nodes >= patience(space):
                            continue  # the best-first search takes over, which proves as it goes
                        AcProof(state, space, stage, limit, watch).run(reference)
                        if state.status is not Status.OPTIMAL:
                            break
            if self.k_best > 1 and state.status is Status.OPTIMAL:
                with watch.stage("ranking"):
                    ranking = k_best(state, whole, self.k_best, limit, watch)
        except KeyboardInterrupt:
            state.status, state.message = Status.INTERRUPTED, "Interrupted; this is the best configuration so far."
        if obstacles:
            state.message += f" No AC certificate from the tree search: {'; '.join(obstacles)}. Use --engine milp."
        result = conclude(
            problem,
            self.name,
            watch,
            configuration=state.incumbent,
            status=state.status,
            certificate=state.certificate,
            dual_bound_kw=state.bound_kw,
            message=state.message,
            nodes=state.nodes,
        )
        return replace(result, alternatives=ranking[0], rest_bound_kw=ranking[1])


def _fixed(state: SearchState, space: SearchSpace, gap: float) -> SearchSpace:
    """The space of the problem with the switches fixed that bounds decide, so that the next bound is tighter."""
    from learnopt.engines.probing import fix_by_bounds  # loaded with mixed signs only

    if state.incumbent is None or state.problem.scenarios is not None:
        return space
    reduced = fix_by_bounds(state.problem, state.incumbent, state.objective_pu * (1 - gap), probes=False)
    return space if reduced.contradictions else SearchSpace.of(reduced)


def _useless(state: SearchState, space: SearchSpace, touched: Configuration) -> list[str]:
    """Why a search with the bound for mixed signs would be in vain; empty where it may end."""
    problem = state.problem
    relaxation = ac_relaxation(space, power_flows(problem, touched), state.objective_pu)
    if not relaxation.proves:
        return ["no bound on voltages could be proven: enforce limits, or give a start that does"]
    columns, constant = relaxation.columns, relaxation.constant
    parts = columns.reshape(len(columns), len(constant), -1)
    losses = [tree_loss(problem.mean, touched, parts[:, i]) / space.root_vm**2 for i in range(len(constant))]
    value = float(np.max(losses + constant)) + state.switching_pu(touched)
    if space.space.n_loops > FEW_LOOPS and value < USEFUL_SHARE * state.objective_pu:
        return ["reverse flows may be too large for its bound to be of use"]
    return []


def compile_long_search(problem: ReconfigurationProblem) -> None:
    """Compile what only a long search uses, on a small problem: its time is then its own."""
    space, state, watch = SearchSpace.of(problem), SearchState(problem), Stopwatch()
    state.offer(reference := radial_start(problem))
    relaxation = ac_relaxation(space, power_flows(problem, reference), math.inf)
    kick(state, space, 0.0, watch)
    continue_best_first(state, BestFirst(relaxation, state.objective_pu, 0.0), math.inf, watch)
