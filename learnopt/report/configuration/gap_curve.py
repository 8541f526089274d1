"""How the gap fell while a solve ran: in words, and as rows of a table. Needs no picture."""

from __future__ import annotations

from collections.abc import Sequence

from learnopt.network import GapPoint
from learnopt.report.kit.numbers import number, percent

SHORT_S = 2.0
"""A solve that took less needs no history."""


def milestones(curve: Sequence[GapPoint]) -> list[GapPoint]:
    """The points at which the gap had halved since the milestone before, oldest first, without the last point."""
    kept: list[GapPoint] = []
    for point in curve[:-1]:
        if point.gap is not None and (not kept or point.gap <= (kept[-1].gap or 0.0) / 2):
            kept.append(point)
    return kept[-3:]


def gap_rows(curve: Sequence[GapPoint]) -> list[tuple[str, ...]]:
    """Seconds, nodes, objective, bound and gap of every point at which something is known of a bound."""

    def kw(value: float | None) -> str:
        return "–" if value is None else number(value, 7)

    return [
        (f"{p.seconds:.1f}", str(p.nodes), kw(p.objective_kw), kw(p.bound_kw), "–" if p.gap is None else percent(p.gap))
        for p in curve
        if p.bound_kw is not None
    ]


def gap_story(curve: Sequence[GapPoint]) -> str:
    """How the gap fell, in a sentence; empty where that took no time or nothing was proven."""
    told = [point for point in curve if point.gap is not None]
    if not told or told[-1].seconds < SHORT_S:
        return ""
    steps = [*milestones(told), told[-1]]
    return "Gap on the way: " + ", ".join(f"{percent(p.gap or 0.0)} after {p.seconds:.1f} s" for p in steps) + "."
