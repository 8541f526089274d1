"""The proofs of the tree search: of the AC problem, and of the calibrated-current model."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from numpy.typing import NDArray

from learnopt.engines.base import Stopwatch
from learnopt.engines.coverage import mixed_signs
from learnopt.engines.currents import power_flows, tree_loss
from learnopt.engines.depth_first import DepthFirst
from learnopt.engines.frontier import BestFirst, serves
from learnopt.engines.incumbent import PROOF_GAP, SearchState
from learnopt.engines.long_search import FRESH, continue_best_first, kick
from learnopt.engines.relaxation import Relaxation, ac_relaxation, calibrated, model_relaxation
from learnopt.engines.search_space import SearchSpace
from learnopt.engines.tree_kernel import FINISHED, IMPROVED, RUNNING
from learnopt.network import Certificate, Configuration, Status

HAND_OVER = 1e8
"""Entries of the loop matrix, over all nodes, after which the best-first search takes over: some seconds."""
CALIBRATIONS = 8
KICK_SHARE = 0.1
"""Share of the time limit that kicks may take."""


def patience(space: SearchSpace) -> int:
    """Nodes after which the best-first search takes over, if it serves the problem."""
    return math.ceil(HAND_OVER / space.entries) if serves(space.problem) else sys.maxsize


@dataclass
class AcProof:
    """Branch and bound of the AC problem to a gap, or until the time is up.

    Parameters
    ----------
    state
        What is known before; the proof continues it.
    space
        The problem, or one without configurations that were proven to be too dear.
    gap
        Relative distance below the incumbent at which nodes are pruned.
    limit
        Seconds on ``watch``.
    """

    state: SearchState
    space: SearchSpace
    gap: float
    limit: float
    watch: Stopwatch

    def __post_init__(self) -> None:
        state, kw = self.state, self.state.problem.network.base.kw
        # What an earlier search, at a larger gap, has proven stays proven.
        known = state.bound_kw if state.certificate is Certificate.AC else None
        state.certificate, state.bound_kw = Certificate.AC, known
        self._bound = -math.inf if known is None else known / kw
        self._unsettled = math.inf
        self._patience = patience(self.space)
        # The metric for mixed signs is dear, and hardly better at a better incumbent.
        self._budget = self._patience if mixed_signs(state.problem) else FRESH

    def run(self, reference: Configuration) -> None:
        """Search; the metric touches the incumbent, or ``reference`` before there is one, and moves with it."""
        state, kicked, outcome = self.state, False, IMPROVED
        while outcome == IMPROVED:
            if state.nodes >= self._patience and not kicked:
                kicked = True
                kick(state, self.space, KICK_SHARE * self.limit, self.watch)
            flows = power_flows(state.problem, state.incumbent or reference)
            relaxation = ac_relaxation(self.space, flows, state.objective_pu)
            if state.nodes < self._patience:
                outcome = self._depth_first(relaxation)
            else:
                frontier = BestFirst(relaxation, state.objective_pu, self.gap)
                outcome = continue_best_first(state, frontier, self.limit, self.watch)
                self._learn(frontier)
        self._conclude(outcome)

    def _depth_first(self, relaxation: Relaxation) -> int:
        """Until FINISHED, out of time (RUNNING), worth a new metric or work for the best-first search (IMPROVED)."""
        state, touched = self.state, self.state.objective_pu
        search = DepthFirst(relaxation, touched, self.gap)
        left = self._patience - state.nodes
        outcome = RUNNING
        while outcome == RUNNING and self.watch.elapsed < self.limit and search.nodes < left:
            if search.nodes >= self._budget:
                self._budget *= 4
                if state.objective_pu < touched:
                    outcome = IMPROVED
                    break
            outcome = search.search(min(search.chunk, self._budget - search.nodes), True)
            # Later a new start would throw away a long proof.
            if outcome == IMPROVED and not (state.take_leaf(search) and search.nodes <= FRESH):
                outcome = RUNNING
        state.nodes += search.nodes
        self._learn(search)
        return IMPROVED if outcome == RUNNING and self.watch.elapsed < self.limit else outcome

    def _learn(self, search: DepthFirst | BestFirst) -> None:
        self._bound = max(self._bound, search.bound)
        self._unsettled = search.unsettled
        self.state.prove(self._bound)

    def _conclude(self, outcome: int) -> None:
        state = self.state
        if outcome != FINISHED:
            state.stopped(f"Time limit of {self.limit:g} s reached.")
        elif state.incumbent is not None:
            settled = self._bound >= state.objective_pu * (1 - self.gap) * (1 - PROOF_GAP)
            state.status = Status.OPTIMAL if settled else Status.FEASIBLE
            within = f"AC optimum within a gap of {self.gap:g}."
            state.message = within if settled else "Some power flows were not settled."
        elif math.isfinite(self._unsettled):
            state.stopped("No configuration respects the limits as far as power flows could be settled.")
        else:
            state.status = Status.INFEASIBLE
            state.message = "No radial configuration respects the limits: the search excluded them all."


def prove_model(
    state: SearchState, space: SearchSpace, reference: Configuration, gap: float, limit: float, watch: Stopwatch
) -> None:
    """Least loss for load currents held at the voltages of a reference, which moves to the answer until it stays."""
    problem = state.problem
    state.certificate = Certificate.MODEL
    used: set[Configuration] = set()
    for _ in range(CALIBRATIONS):
        used.add(reference)
        flows = power_flows(problem, reference)
        if not all(flow.converged for flow in flows):
            state.stopped("No configuration with a power flow was found to calibrate the load currents.")
            return
        currents = calibrated(space, reference, flows)
        relaxation = model_relaxation(space, currents)
        search: DepthFirst | BestFirst = DepthFirst(relaxation, _held(state, currents), gap)
        outcome: int = RUNNING
        while outcome != FINISHED and watch.elapsed < limit and search.nodes < patience(space):
            outcome = search.search(search.chunk)
        state.nodes += search.nodes
        bound, found = search.bound, search.improved
        if outcome != FINISHED and watch.elapsed < limit:
            kick(state, space, KICK_SHARE * limit, watch)
            search = BestFirst(relaxation, min(search.to_beat, _held(state, currents)), gap)
            while outcome != FINISHED and watch.elapsed < limit:
                outcome = search.search(search.chunk)
            state.nodes += search.nodes
            bound, found = max(bound, search.bound), search.improved or found
        state.prove(bound)
        state.offer(found)
        if outcome != FINISHED:
            state.stopped(f"Time limit of {limit:g} s reached.")
            return
        if found is None or found in used:
            break
        reference = found
    if state.incumbent is None:
        state.stopped("No radial configuration that respects the limits was found by an exhaustive search.")
        return
    state.status = Status.OPTIMAL
    state.message = (
        "Optimum of the calibrated-current model: load currents held at the voltages of the answer and split "
        "by Kirchhoff's current law."
    )


def _held(state: SearchState, currents: NDArray) -> float:
    """Objective of the incumbent for load currents [pu], a little above it: the search is to find it again."""
    if state.incumbent is None:
        return math.inf
    loss = tree_loss(state.problem, state.incumbent, currents)
    return (loss + state.switching_pu(state.incumbent)) * (1 + 2 * PROOF_GAP)
