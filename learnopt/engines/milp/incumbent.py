"""What is known on the way to a proof: the best plan, the bound, the gap, the time; it tells whoever listens."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from learnopt.engines.base import PICOWATT, SolveOptions, Stopwatch
from learnopt.engines.gap_curve import GapCurve
from learnopt.engines.milp.coupled import Coupled, Plan
from learnopt.network import Configuration, Status

QUICK_SHARE = 0.1
"""Share of a patience after which a solve looks for the gap that would do, before the one asked for."""


@dataclass
class Incumbent:
    """What is known so far: the best plan, a bound, and every plan that was judged.

    What the judge could not settle is no answer, and is not excluded either: once a model goes on without it, no bound
    rises above what was proven of it (``cap``).
    """

    coupled: Coupled
    engine: str
    finest: float  # the gap asked for, as far as a solver can prove it
    options: SolveOptions
    watch: Stopwatch
    plan: Plan | None = None
    objective: float = math.inf  # of the plan, judged [kW, kWh where the situations are periods]
    bound: float = -math.inf  # of the full problem
    cap: float = math.inf  # least bound of what was left aside without being settled
    nodes: int = 0
    seen: set[Plan] = field(default_factory=set)
    found: list[Plan] = field(default_factory=list)  # that respect all limits and rules
    refused: set[tuple[int, Configuration]] = field(default_factory=set)  # no power flow within the limits of period t
    doubted: set[tuple[int, Configuration]] = field(default_factory=set)  # among those: power flow not settled

    def __post_init__(self) -> None:
        self.curve = GapCurve(self.engine, self.watch, self.options.progress)

    def offer(self, plan: Plan | None) -> None:
        """Take a plan as incumbent if the judge finds it feasible and better."""
        if plan is None or plan in self.seen:
            return
        self.seen.add(plan)
        if not self.coupled.respects_rules(plan):
            return
        judged = self.coupled.judged(plan)
        for t, (evaluation, configuration) in enumerate(zip(judged, plan.configurations, strict=True)):
            if not evaluation.feasible:
                self.refused.add((t, configuration))
            if evaluation.unsettled:  # an admissible one, as the rules were respected
                self.doubted.add((t, configuration))
        if not all(evaluation.feasible for evaluation in judged):
            return
        self.found.append(plan)
        objective = self.coupled.objective_of(plan, judged)
        if objective < self.objective:
            self.plan, self.objective = plan, objective
            self.report()

    @property
    def configuration(self) -> Configuration | None:
        """The first configuration of the plan: the only one where all situations share it."""
        return None if self.plan is None else self.plan.configurations[0]

    def raise_bound(self, value: float, nodes: int = 0) -> None:
        """Take a lower bound of all that is not excluded, found with ``nodes`` in a round under way, tell of it.

        What is excluded costs at least as much as the incumbent, violates limits, or is not settled.
        """
        if math.isfinite(value):
            self.bound = max(self.bound, min(value, self.cap, self.objective))
        self.report(nodes)

    def leave_aside(self, bound: float) -> None:
        """Go on without a configuration that is not settled, of which no more than a bound is proven."""
        self.cap = min(self.cap, max(bound, self.bound))

    def report(self, nodes: int = 0) -> None:
        """Tell the caller what is known; ``nodes`` of a round under way come on top."""
        self.curve.add(self.objective, self.bound, self.nodes + nodes)

    @property
    def reached(self) -> float:
        """Gap between incumbent and bound."""
        if not math.isfinite(self.objective) or not math.isfinite(self.bound):
            return math.inf
        return max(0.0, self.objective - self.bound) / max(abs(self.objective), PICOWATT)

    @property
    def asked(self) -> float:
        """Gap asked for, be it smaller than what a solver can prove; the engine's own where none is."""
        return self.finest if self.options.gap is None else self.options.gap

    @property
    def gap(self) -> float:
        """The gap to be proven next: the finest at once, or at last; with patience the one that would do in between."""
        patience = self.options.patience
        if patience is None or self.watch.elapsed < QUICK_SHARE * patience.seconds:
            return self.finest
        fine = self.watch.elapsed < patience.seconds and self.reached <= patience.gap
        return self.finest if fine else max(self.finest, patience.gap)

    @property
    def until(self) -> float:
        """Seconds left until the time limit, or until another gap is to be proven."""
        patience, elapsed = self.options.patience, self.watch.elapsed
        if patience is None or self.gap > self.finest:
            return self.remaining
        turns = [t - elapsed for t in (QUICK_SHARE * patience.seconds, patience.seconds) if t > elapsed]
        return min(self.remaining, *turns, math.inf)

    @property
    def closed(self) -> bool:
        """Bound and incumbent have met within the gap."""
        return self.reached <= self.gap

    @property
    def cutoff(self) -> float:
        """Nothing is of interest unless it is better than the incumbent by more than the gap."""
        return self.below(self.gap)

    def below(self, gap: float) -> float:
        """What is better than the incumbent by more than a gap, a little less of it for rounding."""
        return self.objective - 0.9 * gap * abs(self.objective) if self.plan is not None else math.inf

    @property
    def limit(self) -> float:
        """Time limit [s]."""
        return math.inf if self.options.time_limit is None else self.options.time_limit

    @property
    def remaining(self) -> float:
        """Seconds left."""
        return self.limit - self.watch.elapsed

    @property
    def nodes_left(self) -> int | None:
        """Nodes left; None = no limit."""
        return None if self.options.node_limit is None else max(self.options.node_limit - self.nodes, 0)

    @property
    def over(self) -> str:
        """Which limit is reached, in a sentence; empty while there is time and nodes are left."""
        if self.remaining <= 0:
            return f"Time limit of {self.limit:g} s reached."
        return f"Node limit of {self.options.node_limit} reached." if self.nodes_left == 0 else ""

    @property
    def doubt(self) -> str:
        """What keeps the bound down, or a proof of infeasibility away; empty where everything was settled."""
        if math.isinf(self.cap) and self.cap > 0:
            return ""
        known = f", {self.cap:.6g} kW is proven of them" if math.isfinite(self.cap) else ""
        return f"Some configurations proposed could not be settled{known}."

    @property
    def stopped(self) -> Status:
        """Status of a run that ends without proof."""
        return Status.NO_SOLUTION if self.plan is None else Status.FEASIBLE
