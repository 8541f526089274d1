"""What an engine knows on the way to a proof: incumbent, bound, gap, time; it tells whoever listens."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from learnopt.engines.base import PICOWATT, Progress, SolveOptions, Stopwatch, unsettled
from learnopt.network import Configuration, ReconfigurationProblem, Settings, Status
from learnopt.physics import evaluate


@dataclass
class Search:
    """What is known so far: incumbent, bound, and every configuration evaluated.

    What the judge could not settle is no answer, and is not excluded either: once a model goes on without it, no bound
    rises above what was proven of it (``cap``).
    """

    problem: ReconfigurationProblem
    engine: str
    gap: float
    options: SolveOptions
    watch: Stopwatch
    incumbent: Configuration | None = None
    settings: Settings | None = None  # of the incumbent, where the problem has controls
    objective: float = math.inf  # of the incumbent, judged [kW]
    bound: float = -math.inf  # of the full problem [kW]
    cap: float = math.inf  # least bound of a configuration that was left aside without being settled [kW]
    nodes: int = 0
    seen: set[tuple[Configuration, Settings | None]] = field(default_factory=set)
    doubted: set[Configuration] = field(default_factory=set)  # power flow not settled

    def offer(self, configuration: Configuration | None, settings: Settings | None = None) -> None:
        """Take a configuration as incumbent if the judge finds it feasible and better."""
        if configuration is None or (configuration, settings) in self.seen:
            return
        self.seen.add((configuration, settings))
        evaluation = evaluate(self.problem.applied(settings), configuration)
        if not evaluation.feasible or self.problem.faults(configuration, settings):
            if unsettled(self.problem, configuration, evaluation):
                self.doubted.add(configuration)
            return
        objective = evaluation.loss_kw + self.problem.switching_cost * self.problem.operations(configuration)
        if objective < self.objective:
            self.incumbent, self.settings, self.objective = configuration, settings, objective
            self.report()

    def raise_bound(self, value: float, nodes: int = 0) -> None:
        """Take a lower bound of all that is not excluded [kW], found with ``nodes`` in a round under way, tell of it.

        What is excluded costs at least as much as the incumbent, violates limits, or is not settled.
        """
        if math.isfinite(value):
            self.bound = max(self.bound, min(value, self.cap, self.objective))
        self.report(nodes)

    def leave_aside(self, bound: float) -> None:
        """Go on without a configuration that is not settled, of which no more than a bound [kW] is proven."""
        self.cap = min(self.cap, max(bound, self.bound))

    def report(self, nodes: int = 0) -> None:
        """Tell the caller what is known; ``nodes`` of a round under way come on top."""
        if self.options.progress is None:
            return
        found, proven = math.isfinite(self.objective), math.isfinite(self.bound)
        self.options.progress(
            Progress(
                engine=self.engine,
                elapsed_s=self.watch.elapsed,
                incumbent_kw=self.objective if found else None,
                bound_kw=min(self.bound, self.objective) if proven else None,
                gap=self.reached if found and proven else None,
                nodes=self.nodes + nodes,
            )
        )

    @property
    def reached(self) -> float:
        """Gap between incumbent and bound."""
        if not math.isfinite(self.objective) or not math.isfinite(self.bound):
            return math.inf
        return max(0.0, self.objective - self.bound) / max(abs(self.objective), PICOWATT)

    @property
    def asked(self) -> float:
        """Gap asked for, be it smaller than what a solver can prove; the engine's own where none is."""
        return self.gap if self.options.gap is None else self.options.gap

    @property
    def closed(self) -> bool:
        """Bound and incumbent have met within the gap."""
        return self.reached <= self.gap

    @property
    def cutoff(self) -> float:
        """Nothing is of interest unless it is better than the incumbent by more than the gap."""
        return self.objective - 0.9 * self.gap * abs(self.objective) if self.incumbent is not None else math.inf

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
        return Status.NO_SOLUTION if self.incumbent is None else Status.FEASIBLE
