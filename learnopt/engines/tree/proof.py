"""The proofs of the tree search: of the AC problem, and of the calibrated-current model."""

from __future__ import annotations

import math
import sys

from learnopt.engines.tree.block_search import deciding_blocks, search_blocks
from learnopt.engines.tree.budget import Budget
from learnopt.engines.tree.coverage import ac_obstacles, mixed_signs
from learnopt.engines.tree.currents import power_flows
from learnopt.engines.tree.depth_first import DepthFirst
from learnopt.engines.tree.frontier import BestFirst, serves
from learnopt.engines.tree.incumbent import PROOF_GAP, ROUNDING, SearchState
from learnopt.engines.tree.kernel import FINISHED, IMPROVED, RUNNING
from learnopt.engines.tree.long_search import FRESH, continue_best_first, kick
from learnopt.engines.tree.relaxation import Relaxation, ac_relaxation, model_at
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.network import Certificate, Configuration, Status

HAND_OVER = 1e8
"""Entries of the loop matrix, over all nodes, after which the best-first search may take over: some seconds."""
HOPE, DESPAIR = 1, 100
"""It does where so many times that work is still expected; where it is the second, after a quarter of it."""
GAP_LADDER = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4)
"""Gaps that a long search proves one after another before the one asked for: each takes a few times the work of the one
before, and whoever stops it has the bound of the last."""
ANY = 1 - 1e-9
"""A gap at which the first admissible configuration ends the search."""


def patience(space: SearchSpace) -> int:
    """Nodes after which a search may count as long."""
    return math.ceil(HAND_OVER / space.entries)


def hopeless(search: DepthFirst, explored: int, patience: int) -> bool:
    """A depth-first search counts as long, after so many nodes in all."""
    remaining = search.nodes * (1 / search.progress - 1) if search.progress > 0 else math.inf
    return remaining > patience * (HOPE if explored >= patience else DESPAIR) and explored >= patience / 4


class Proof:
    """Branch and bound to one gap after another; leaves count their AC loss, whatever bounds the inner nodes.

    Parameters
    ----------
    state
        What is known before; the proof continues it.
    space
        The problem, or one without configurations that were proven to be too dear.

    Attributes
    ----------
    long
        The search is: it goes from coarse gaps to fine ones, by the best-first search where that serves the problem.
    """

    certificate: Certificate

    def __init__(self, state: SearchState, space: SearchSpace, budget: Budget) -> None:
        self.state, self.space, self.budget = state, space, budget
        self._bound = -math.inf
        self._unsettled = math.inf
        self._kicked = self.long = False
        self._patience, self._serves = patience(space), serves(space.problem)
        # The metric for mixed signs is dear, and hardly better at a better incumbent.
        self._renewal = FRESH
        if mixed_signs(state.problem):
            self._renewal = self._patience if self._serves else sys.maxsize
        self._touched: tuple[Configuration, Relaxation] | None = None

    def relaxation(self, reference: Configuration) -> Relaxation:
        """The relaxation that touches the incumbent, or ``reference`` before there is one."""
        touched = self.state.incumbent or reference
        if self._touched is None or self._touched[0] != touched:
            self._touched = touched, self._touching(touched)
        return self._touched[1]

    def _touching(self, touched: Configuration) -> Relaxation:
        raise NotImplementedError

    @property
    def _current(self) -> bool:
        """What is proven so far holds for the incumbent as it is."""
        return True

    def _optimal(self, gap: float) -> str:
        """What an optimum is, in a sentence."""
        raise NotImplementedError

    def prove(self, reference: Configuration, gap: float) -> bool:
        """Search to a gap, at once where that is short, else from coarse gaps to fine ones; parameters as of run."""
        if not self.long and self.run(reference, gap, until_long=True):
            return True
        return self.long and self.coarse_to_fine(reference, gap)

    def coarse_to_fine(self, reference: Configuration, gap: float) -> bool:
        """Search to one gap after another: one run proves little before it ends, and is stopped with little."""
        state = self.state
        for stage in GAP_LADDER:
            if gap < stage < state.reached:
                if not self.run(reference, stage):
                    return False
                if state.status is not Status.OPTIMAL:  # nothing finer can be proven, or there is no configuration
                    return True
        return self.run(reference, gap)

    def run(self, reference: Configuration, gap: float, nodes: int = sys.maxsize, until_long: bool = False) -> bool:
        """Search until nothing below the incumbent is left; False where time or nodes were not enough for that.

        Parameters
        ----------
        gap
            Relative distance below the incumbent at which nodes are pruned.
        nodes
            Budget of the depth-first search; the best-first search takes over only where it is not set.
        until_long
            Give up as soon as the search counts as long.
        """
        state, outcome = self.state, IMPROVED
        state.certificate = self.certificate
        last = min(state.nodes + min(nodes, sys.maxsize - state.nodes), self.budget.nodes)
        while outcome == IMPROVED:
            # Even where no time is left the root is bounded.
            ended = state.nodes >= last or (self._bound > -math.inf and not state.goes_on)
            if (ended and self._current) or (self.long and until_long):
                outcome = RUNNING
            elif not (self.long and self._serves):
                outcome = self._depth_first(self.relaxation(reference), gap, last, until_long)
            elif not self._kicked:
                self._kicked = True
                kick(state, self.space, self.budget)
            else:
                frontier = BestFirst(self.relaxation(reference), state.objective_pu, gap, self.budget.threads)
                outcome = continue_best_first(state, frontier, self.budget, self._learn)
                self._learn(frontier)
        self._conclude(outcome, gap)
        return outcome == FINISHED

    def _depth_first(self, relaxation: Relaxation, gap: float, last: int, until_long: bool) -> int:
        """Until FINISHED, out of time (RUNNING), worth a new metric, long or through with ``last`` nodes (IMPROVED)."""
        state, touched = self.state, self.state.objective_pu
        search = DepthFirst(relaxation, touched, gap, threads=self.budget.threads)
        left = last - state.nodes
        outcome = RUNNING
        may_end = not self.long and (until_long or self._serves)
        while outcome == RUNNING and state.goes_on and search.nodes < left:
            explored = state.nodes + search.nodes
            if may_end and (hopeless(search, explored, self._patience) or self.budget.impatient(gap)):
                self.long = True
                break
            if search.nodes >= self._renewal:
                self._renewal *= 4
                if state.objective_pu < touched:
                    outcome = IMPROVED
                    break
            chunk = min(search.chunk, 1 + self._patience // 4, self._renewal - search.nodes, left - search.nodes)
            outcome = search.search(chunk, True)
            state.report(search.nodes)
            # Later a new start would throw away a long proof.
            if outcome == IMPROVED and not (state.take_leaf(search) and search.nodes <= FRESH):
                outcome = RUNNING
        state.nodes += search.nodes
        self._learn(search)
        return IMPROVED if outcome == RUNNING and state.goes_on else outcome

    def _learn(self, search: DepthFirst | BestFirst) -> None:
        self._bound = max(self._bound, search.bound)
        self._unsettled = search.unsettled
        self.state.prove(self._bound)

    def _conclude(self, outcome: int, gap: float) -> None:
        state = self.state
        if outcome != FINISHED:
            state.stopped()
        elif state.incumbent is not None:
            settled = self._bound >= state.objective_pu * (1 - gap) * (1 - PROOF_GAP)
            state.status = Status.OPTIMAL if settled else Status.FEASIBLE
            state.message = self._optimal(gap) if settled else "Some power flows were not settled."
        elif math.isfinite(self._unsettled):
            state.stopped("No configuration respects the limits as far as power flows could be settled.")
        else:
            state.status = Status.INFEASIBLE
            state.message = "No radial configuration has a power flow within the limits: the search excluded them all."


class AcProof(Proof):
    """Branch and bound of the AC problem."""

    certificate = Certificate.AC

    def __init__(self, state: SearchState, space: SearchSpace, budget: Budget) -> None:
        super().__init__(state, space, budget)
        if state.certificate is Certificate.AC and state.bound_kw is not None:
            # What an earlier proof has shown stays proven.
            self._bound = state.bound_kw / state.problem.network.base.kw

    def _touching(self, touched: Configuration) -> Relaxation:
        flows = power_flows(self.state.problem, touched)
        return ac_relaxation(self.space, flows, self.state.objective_pu, lambda: self.budget.left)

    def _optimal(self, gap: float) -> str:
        return f"AC optimum within a gap of {gap + ROUNDING:g}."


class ModelProof(Proof):
    """Branch and bound of the model that is exact at the incumbent: what it leaves open is examined in AC.

    So there is an end: a better leaf becomes the incumbent, the model moves to it, and AC losses only fall. What has a
    lower value in the last model than the answer was found to have a higher AC loss.
    """

    certificate = Certificate.MODEL

    @property
    def _current(self) -> bool:
        return self._touched is None or self.state.incumbent in (None, self._touched[0])

    def _touching(self, touched: Configuration) -> Relaxation:
        # What was proven for other currents is nothing for these.
        self._bound = -math.inf
        self.state.forget_bound()
        return model_at(self.space, touched, power_flows(self.state.problem, touched))

    def _optimal(self, gap: float) -> str:
        return (
            "Optimum of the calibrated-current model: load currents held at the voltages of the answer and split "
            "by Kirchhoff's current law. What has less loss in it has more by AC power flow."
        )

    def settle(self, reference: Configuration, gap: float) -> bool:
        """Prove until the model touches the answer; False where time or nodes were not enough for that."""
        while True:
            if not (self._by_blocks(gap) or self.prove(reference, gap)):
                return False
            if self._touched is None or self.state.incumbent in (None, self._touched[0]):
                return True

    def _by_blocks(self, gap: float) -> bool:
        """The blocks of the problem one by one, where that is enough for a proof at the incumbent."""
        state, blocks = self.state, deciding_blocks(self.state.problem)
        while len(blocks) > 1 and (touched := state.incumbent) is not None:
            state.certificate = self.certificate
            least = self.relaxation(touched).in_model
            most = self.budget.nodes - state.nodes
            found, bound, nodes = search_blocks(least, blocks, touched, gap, self.budget, self._patience, most)
            state.nodes += nodes
            self._bound = max(self._bound, bound)
            state.prove(self._bound)
            state.offer(found)
            if state.incumbent == touched:
                if self._bound < state.objective_pu * (1 - gap) * (1 - PROOF_GAP):
                    return False
                self._conclude(FINISHED, gap)
                return True
        return False


def prove_model(state: SearchState, space: SearchSpace, reference: Configuration, gap: float, budget: Budget) -> None:
    """Least loss for load currents held at the voltages of the answer, as far as AC power flows do not refute it."""
    tight = not (ac_obstacles(state.problem) or mixed_signs(state.problem))
    if state.incumbent is None and tight and not AcProof(state, space, budget).run(reference, ANY):
        return
    if state.incumbent is not None or not tight:
        ModelProof(state, space, budget).settle(reference, gap)
