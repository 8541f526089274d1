"""What a solve of the tree search has found and proven so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from learnopt.engines.base import unsettled
from learnopt.engines.exchange import LocalSearch
from learnopt.engines.gap_curve import GapCurve
from learnopt.engines.tree.budget import Budget
from learnopt.engines.tree.currents import total_loss
from learnopt.network import Certificate, Configuration, Evaluation, ReconfigurationProblem, Status
from learnopt.network.result import relative_gap
from learnopt.physics import evaluate

PROOF_GAP = 1e-9
"""Relative gap of a proof at "gap 0"."""
ROUNDING = PROOF_GAP / 2
"""By so much less than the gap nodes are pruned below the incumbent, for the rounding of power flows."""


class Search(Protocol):
    """What the state needs to know about a search."""

    to_beat: float
    """Objective to beat [pu]."""

    @property
    def improved(self) -> Configuration | None:
        """The leaf that improved the objective last."""
        ...

    def doubt(self, value: float) -> None:
        """Count a leaf of this objective [pu] as not settled."""
        ...


@dataclass
class SearchState:
    """Incumbent, bound and status of a solve under way, which ends when the budget is spent."""

    problem: ReconfigurationProblem
    budget: Budget
    incumbent: Configuration | None = None
    judged: Evaluation | None = None
    """What the judge said of the incumbent."""
    objective_pu: float = math.inf
    bound_kw: float | None = None
    certificate: Certificate = Certificate.NONE
    nodes: int = 0
    status: Status = Status.NO_SOLUTION
    message: str = ""
    curve: GapCurve | None = None
    """Told of every better configuration and bound."""

    @cached_property
    def local_search(self) -> LocalSearch:
        """Branch exchange; of several scenarios it sees the mean loads."""
        return LocalSearch(self.problem.mean)

    def offer(self, configuration: Configuration | None) -> None:
        """Take a configuration as incumbent if the AC power flow finds it feasible and better."""
        if configuration is None or configuration == self.incumbent:
            return
        # The sweep's own figure, or the search would find the incumbent again where the judge rounds upwards; the
        # judge's where sweeps find no solution.
        loss = total_loss(self.problem, configuration)
        if loss + self.switching_pu(configuration) >= self.objective_pu or not self.problem.admits(configuration):
            return
        judged = evaluate(self.problem, configuration)
        loss = judged.loss_kw / self.problem.network.base.kw if math.isnan(loss) else loss
        objective = loss + self.switching_pu(configuration)
        if judged.feasible and objective < self.objective_pu:
            self.incumbent, self.objective_pu, self.judged = configuration, objective, judged
            self.report()

    def offer_improved(self, configuration: Configuration) -> None:
        """Offer a configuration, and what branch exchange makes of it in the time left."""
        self.offer(configuration)
        if (better := self.local_search.improve(configuration, seconds=self.budget.seconds)) is not None:
            self.offer(better[0])

    def take_leaf(self, search: Search) -> bool:
        """Offer the leaf that improved an AC search, and tell the search what is to beat now; False if it is as before.

        A leaf that the search's own power flow solves and the judge's does not stays in the bound of the search.
        """
        found, value, before = search.improved, search.to_beat, self.objective_pu
        if found is None:
            return False
        self.offer_improved(found)
        search.to_beat = self.objective_pu
        better = self.objective_pu < before
        if not better and found != self.incumbent and unsettled(self.problem, found, evaluate(self.problem, found)):
            search.doubt(value)
        return better

    def switching_pu(self, configuration: Configuration) -> float:
        """Switching cost [pu]."""
        return self.problem.switching_cost * self.problem.operations(configuration) / self.problem.network.base.kw

    def prove(self, bound_pu: float) -> None:
        """Set the bound; nothing where it is infinite."""
        self.bound_kw = bound_pu * self.problem.network.base.kw if math.isfinite(bound_pu) else None
        self.report()

    def forget_bound(self) -> None:
        """What was proven is nothing for what comes."""
        self.bound_kw = None
        if self.curve is not None:
            self.curve.forget_bounds()

    def report(self, nodes: int = 0) -> None:
        """Tell what is known; ``nodes`` of a search under way come on top."""
        if self.curve is not None:
            self.curve.add(self.objective_pu * self.problem.network.base.kw, self.bound_kw, self.nodes + nodes)

    @property
    def reached(self) -> float:
        """Relative gap that is proven, infinite without one."""
        value = self.objective_pu * self.problem.network.base.kw
        if self.bound_kw is None or not math.isfinite(value):
            return math.inf
        return relative_gap(value, min(value, self.bound_kw))

    @property
    def goes_on(self) -> bool:
        """There is time, and less than what is proven would not do."""
        return self.budget.left and not self.budget.content(self.reached)

    def stopped(self, message: str = "") -> None:
        """End without proof, by the budget where nothing else is said."""
        self.status = Status.NO_SOLUTION if self.incumbent is None else Status.FEASIBLE
        self.message = message or self.budget.reached(self.nodes, self.reached)
