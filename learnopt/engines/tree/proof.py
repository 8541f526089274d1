"""The proofs of the tree search: of the AC problem, and of the calibrated-current model."""

from __future__ import annotations

import math
import sys

from numpy.typing import NDArray

from learnopt.engines.tree.block_search import deciding_blocks, search_blocks
from learnopt.engines.tree.budget import Budget
from learnopt.engines.tree.coverage import mixed_signs
from learnopt.engines.tree.currents import power_flows, total_loss, tree_loss
from learnopt.engines.tree.depth_first import DepthFirst
from learnopt.engines.tree.frontier import BestFirst, serves
from learnopt.engines.tree.incumbent import PROOF_GAP, SearchState
from learnopt.engines.tree.kernel import FINISHED, IMPROVED, RUNNING
from learnopt.engines.tree.long_search import FRESH, continue_best_first, kick
from learnopt.engines.tree.relaxation import Relaxation, ac_relaxation, calibrated, model_relaxation
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.network import Certificate, Configuration, Status

HAND_OVER = 1e8
"""Entries of the loop matrix, over all nodes, after which the best-first search may take over: some seconds."""
HOPE, DESPAIR = 1, 100
"""It does where so many times that work is still expected; where it is the second, after a quarter of it."""
CALIBRATIONS = 8


def patience(space: SearchSpace) -> int:
    """Nodes after which the best-first search may take over, if it serves the problem."""
    return math.ceil(HAND_OVER / space.entries) if serves(space.problem) else sys.maxsize


def hopeless(search: DepthFirst, explored: int, patience: int) -> bool:
    """The best-first search should take over, after so many nodes in all."""
    remaining = search.nodes * (1 / search.progress - 1) if search.progress > 0 else math.inf
    return remaining > patience * (HOPE if explored >= patience else DESPAIR) and explored >= patience / 4


class AcProof:
    """Branch and bound of the AC problem, to one gap after another.

    Parameters
    ----------
    state
        What is known before; the proof continues it.
    space
        The problem, or one without configurations that were proven to be too dear.

    Attributes
    ----------
    handed_over
        The best-first search has taken over.
    """

    def __init__(self, state: SearchState, space: SearchSpace, budget: Budget) -> None:
        self.state, self.space, self.budget = state, space, budget
        # What an earlier proof has shown stays proven.
        known = state.bound_kw if state.certificate is Certificate.AC else None
        self._bound = -math.inf if known is None else known / state.problem.network.base.kw
        self._unsettled = math.inf
        self._kicked = self.handed_over = False
        self._patience = patience(space)
        # The metric for mixed signs is dear, and hardly better at a better incumbent.
        self._renewal = self._patience if mixed_signs(state.problem) else FRESH
        self._touched: tuple[Configuration, Relaxation] | None = None

    def relaxation(self, reference: Configuration) -> Relaxation:
        """The AC bound that touches the incumbent, or ``reference`` before there is one."""
        touched = self.state.incumbent or reference
        if self._touched is None or self._touched[0] != touched:
            flows = power_flows(self.state.problem, touched)
            self._touched = touched, ac_relaxation(self.space, flows, self.state.objective_pu)
        return self._touched[1]

    def run(self, reference: Configuration, gap: float, nodes: int = sys.maxsize) -> bool:
        """Search until nothing below the incumbent is left; False where time or nodes were not enough for that.

        Parameters
        ----------
        gap
            Relative distance below the incumbent at which nodes are pruned.
        nodes
            Budget of the depth-first search; the best-first search takes over only where it is not set.
        """
        state, outcome = self.state, IMPROVED
        state.certificate = Certificate.AC
        last = state.nodes + min(nodes, sys.maxsize - state.nodes)
        while outcome == IMPROVED:
            if state.nodes >= last:
                outcome = RUNNING
            elif not self.handed_over:
                outcome = self._depth_first(self.relaxation(reference), gap, last)
            elif not self._kicked:
                self._kicked = True
                kick(state, self.space, self.budget)
            else:
                frontier = BestFirst(self.relaxation(reference), state.objective_pu, gap, self.budget.threads)
                outcome = continue_best_first(state, frontier, self.budget)
                self._learn(frontier)
        self._conclude(outcome, gap)
        return outcome == FINISHED

    def _depth_first(self, relaxation: Relaxation, gap: float, last: int) -> int:
        """Until FINISHED, out of time (RUNNING), worth a new metric, long or through with ``last`` nodes (IMPROVED)."""
        state, touched = self.state, self.state.objective_pu
        search = DepthFirst(relaxation, touched, gap, threads=self.budget.threads)
        left = last - state.nodes
        outcome = RUNNING
        while outcome == RUNNING and self.budget.left and search.nodes < left:
            if hopeless(search, state.nodes + search.nodes, self._patience):
                self.handed_over = True
                break
            if search.nodes >= self._renewal:
                self._renewal *= 4
                if state.objective_pu < touched:
                    outcome = IMPROVED
                    break
            chunk = min(search.chunk, 1 + self._patience // 4, self._renewal - search.nodes, left - search.nodes)
            outcome = search.search(chunk, True)
            # Later a new start would throw away a long proof.
            if outcome == IMPROVED and not (state.take_leaf(search) and search.nodes <= FRESH):
                outcome = RUNNING
        state.nodes += search.nodes
        self._learn(search)
        return IMPROVED if outcome == RUNNING and self.budget.left else outcome

    def _learn(self, search: DepthFirst | BestFirst) -> None:
        self._bound = max(self._bound, search.bound)
        self._unsettled = search.unsettled
        self.state.prove(self._bound)

    def _conclude(self, outcome: int, gap: float) -> None:
        state = self.state
        if outcome != FINISHED:
            state.stopped(f"Time limit of {self.budget.limit:g} s reached.")
        elif state.incumbent is not None:
            settled = self._bound >= state.objective_pu * (1 - gap) * (1 - PROOF_GAP)
            state.status = Status.OPTIMAL if settled else Status.FEASIBLE
            within = f"AC optimum within a gap of {gap:g}."
            state.message = within if settled else "Some power flows were not settled."
        elif math.isfinite(self._unsettled):
            state.stopped("No configuration respects the limits as far as power flows could be settled.")
        else:
            state.status = Status.INFEASIBLE
            state.message = "No radial configuration has a power flow within the limits: the search excluded them all."


def prove_model(state: SearchState, space: SearchSpace, reference: Configuration, gap: float, budget: Budget) -> None:
    """Least loss for load currents held at the voltages of a reference, which moves to the answer until it stays."""
    problem = state.problem
    state.certificate, state.bound_kw = Certificate.MODEL, None
    used: set[Configuration] = set()
    blocks = deciding_blocks(problem)
    for _ in range(CALIBRATIONS):
        used.add(reference)
        flows = power_flows(problem, reference)
        if not all(flow.converged for flow in flows):
            state.stopped("No configuration with a power flow was found to calibrate the load currents.")
            return
        currents = calibrated(space, reference, flows)
        relaxation = model_relaxation(space, currents, flows)
        found, bound, outcome = None, -math.inf, RUNNING
        if len(blocks) > 1:
            found, bound, nodes = search_blocks(relaxation, blocks, state.incumbent, gap, budget, patience(space))
            state.nodes += nodes
            # Without a power flow it is no answer, and another one may be the best: blocks do not see that.
            if found is not None and not math.isnan(total_loss(problem, found)):
                outcome = FINISHED
        if outcome != FINISHED:
            together = _search_together(state, relaxation, currents, gap, budget)
            found, bound, outcome = together[0], max(bound, together[1]), together[2]
        state.prove(bound)
        state.offer(found)
        if outcome != FINISHED:
            state.stopped(f"Time limit of {budget.limit:g} s reached.")
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


def _search_together(
    state: SearchState, relaxation: Relaxation, currents: NDArray, gap: float, budget: Budget
) -> tuple[Configuration | None, float, int]:
    """The model with all decisions in one search: what it found, a bound [pu] and how it ended."""
    space = relaxation.space
    search = DepthFirst(relaxation, _held(state, relaxation, currents), gap, threads=budget.threads)
    outcome: int = RUNNING
    while outcome != FINISHED and budget.left and not hopeless(search, search.nodes, patience(space)):
        outcome = search.search(min(search.chunk, 1 + patience(space) // 4))
    state.nodes += search.nodes
    bound, found = search.bound, search.improved
    if outcome != FINISHED and budget.left:
        kick(state, space, budget)
        frontier = BestFirst(relaxation, min(search.to_beat, _held(state, relaxation, currents)), gap, budget.threads)
        while outcome != FINISHED and budget.left:
            outcome = frontier.search(frontier.chunk)
        state.nodes += frontier.nodes
        bound, found = max(bound, frontier.bound), frontier.improved or found
    return found, bound, outcome


def _held(state: SearchState, relaxation: Relaxation, currents: NDArray) -> float:
    """Objective of the incumbent for load currents [pu], a little above it: the search is to find it again."""
    if state.incumbent is None:
        return math.inf
    loss = tree_loss(relaxation.space.problem, state.incumbent, currents) + relaxation.iron_of(state.incumbent)
    return (loss + state.switching_pu(state.incumbent)) * (1 + 2 * PROOF_GAP)
