"""What a solve knew, and when: recorded on the way, and told to whoever listens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from learnopt.engines.base import Progress, Stopwatch, without_bounds
from learnopt.network import GapPoint
from learnopt.network.result import relative_gap

LEAST_CHANGE = 0.05
"""Share by which objective or gap fall from one recorded point to the next: some dozens for any solve."""


@dataclass
class GapCurve:
    """The points of one solve in the order of time; the last one is what is known now.

    Parameters
    ----------
    engine
        Its name.
    watch
        Its clock.
    listener
        Told at every look; None = nobody listens.
    """

    engine: str
    watch: Stopwatch
    listener: Callable[[Progress], None] | None = None
    points: list[GapPoint] = field(default_factory=list)

    def add(self, objective_kw: float | None, bound_kw: float | None, nodes: int) -> None:
        """Record and tell what is known now [kW]; None or infinite = not known."""
        objective = None if objective_kw is None or not math.isfinite(objective_kw) else objective_kw
        bound = None if bound_kw is None or not math.isfinite(bound_kw) else max(bound_kw, 0.0)
        if objective is not None and bound is not None:
            bound = min(bound, objective)
        gap = None if objective is None or bound is None else relative_gap(objective, bound)
        point = GapPoint(self.watch.elapsed, nodes, objective, bound, gap)
        if objective is not None or bound is not None:
            self._record(point)
        if self.listener is not None:
            self.listener(Progress(self.engine, point.seconds, objective, bound, gap, nodes, tuple(self.points)))

    def _record(self, point: GapPoint) -> None:
        """Keep a point; one that hardly differs from the one before takes the place of the last."""
        points = self.points
        if points and (points[-1].objective_kw, points[-1].bound_kw) == (point.objective_kw, point.bound_kw):
            return
        if len(points) > 1 and not _differ(points[-2], points[-1]):
            points.pop()
        points.append(point)

    def forget_bounds(self) -> None:
        """What was proven has lost its meaning: another model is to be bounded."""
        self.points[:] = without_bounds(self.points)


def _differ(before: GapPoint, after: GapPoint) -> bool:
    """Something is known that was not, or the gap has changed by its share."""
    if (before.objective_kw is None, before.bound_kw is None) != (after.objective_kw is None, after.bound_kw is None):
        return True
    if before.gap is None or after.gap is None:
        return before.objective_kw != after.objective_kw
    return abs(before.gap - after.gap) > LEAST_CHANGE * before.gap
