"""What an engine knows on the way to a proof: incumbent, bound, gap, time; it tells whoever listens."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from learnopt.engines.base import Progress, SolveOptions, Stopwatch
from learnopt.network import Configuration, ReconfigurationProblem, Settings, Status
from learnopt.physics import evaluate


@dataclass
class Search:
    """What is known so far: incumbent, bound, and every configuration evaluated."""

    problem: ReconfigurationProblem
    engine: str
    gap: float
    options: SolveOptions
    watch: Stopwatch
    incumbent: Configuration | None = None
    settings: Settings | None = None  # of the incumbent, where the problem has controls
    objective: float = math.inf  # of the incumbent, judged [kW]
    bound: float = -math.inf  # of the full problem [kW]
    nodes: int = 0
    seen: set[tuple[Configuration, Settings | None]] = field(default_factory=set)

    def offer(self, configuration: Configuration | None, settings: Settings | None = None) -> None:
        """Take a configuration as incumbent if the judge finds it feasible and better."""
        if configuration is None or (configuration, settings) in self.seen:
            return
        self.seen.add((configuration, settings))
        evaluation = evaluate(self.problem.applied(settings), configuration)
        if not evaluation.feasible or self.problem.faults(configuration, settings):
            return
        objective = evaluation.loss_kw + self.problem.switching_cost * self.problem.operations(configuration)
        if objective < self.objective:
            self.incumbent, self.settings, self.objective = configuration, settings, objective
            self.report()

    def raise_bound(self, value: float, nodes: int = 0) -> None:
        """Take a lower bound of the full problem [kW], found with ``nodes`` in a round under way, and tell of it."""
        if math.isfinite(value):
            self.bound = max(self.bound, value)
        self.report(nodes)

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
        return max(0.0, self.objective - self.bound) / max(abs(self.objective), 1e-9)

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
    def stopped(self) -> Status:
        """Status of a run that ends without proof."""
        return Status.NO_SOLUTION if self.incumbent is None else Status.FEASIBLE
