"""A region in words and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType

from learnopt.report.kit.numbers import number
from learnopt.report.kit.terminal import Listing, paragraphs
from learnopt.report.region.rows import RegionRow
from learnopt.wording import agreeing, counted

HEAD = ("feeder", "buses", "loss now [kW]", "best [kW]", "saving [%]", "gap [%]", "operations", "proof")
NUMERIC = (1, 2, 3, 4, 5, 6)
MOST_ROWS = 20
"""Rows that a terminal shows of the best, and of those without an answer."""
MOST_ERRORS = 5
"""Errors that a terminal tells."""


def region_to_dict(rows: Sequence[RegionRow]) -> dict[str, Any]:
    """The object that ``region --json`` prints; null for what is not known."""
    before, after = _sums(rows)
    return {
        "feeders": len(rows),
        "solved": sum(row.solved for row in rows),
        "errors": sum(bool(row.error) for row in rows),
        "initial_loss_kw": before,
        "loss_kw": after,
        "rows": [asdict(row) for row in rows],
    }


def region_rows(rows: Sequence[RegionRow]) -> list[list[str]]:
    """Rows for people."""
    return [
        [
            row.name,
            "–" if row.buses is None else str(row.buses),
            number(row.initial_loss_kw),
            number(row.loss_kw),
            "–" if row.saving_percent is None else f"{row.saving_percent:.2f}",
            "–" if row.gap is None else f"{100 * row.gap:.2f}",
            "–" if row.operations is None else str(row.operations),
            "error" if row.error else row.certificate if row.solved else row.status,
        ]
        for row in rows
    ]


def chosen_rows(rows: Sequence[RegionRow]) -> list[RegionRow]:
    """Those that a terminal shows: most saved first, then those without an answer."""
    solved = sorted((row for row in rows if row.solved), key=lambda row: -_saved(row))
    return [*solved[:MOST_ROWS], *[row for row in rows if not row.solved][:MOST_ROWS]]


def region_sentences(rows: Sequence[RegionRow], errors: int | None = None) -> list[str]:
    """What the table comes to, and what is wrong with some feeders: with so many of them, all where absent."""
    solved, (before, after) = sum(row.solved for row in rows), _sums(rows)
    told = [f"{solved} of {counted(len(rows), 'feeder')} {agreeing(solved, 'has', 'have')} an answer."]
    if before:
        percent = 100 * (before - after) / before
        told.append(f"Their losses: {number(before)} kW now, {number(after)} kW at best, {percent:.2f} % less.")
    failed = [row for row in rows if row.error]
    told += [f"{row.name} could not be solved: {row.error}" for row in failed[:errors]]
    if len(failed) > len(failed[:errors]):
        told.append(f"{counted(len(failed) - len(failed[:errors]), 'more feeder')} could not be solved.")
    return told


def region_table(rows: Sequence[RegionRow], place: str | None) -> RenderableType:
    """What the terminal shows.

    Parameters
    ----------
    place
        File with all rows, None where there is none.
    """
    shown, told = chosen_rows(rows), region_sentences(rows, MOST_ERRORS)
    if len(shown) < len(rows):
        where = "--out FILE.csv keeps all" if place is None else f"all are in {place}"
        told.append(f"{len(shown)} rows are shown, those that save most and some without an answer: {where}.")
    return Group(Listing(HEAD, region_rows(shown), NUMERIC, "Feeders, most saved first"), *paragraphs(told))


def _saved(row: RegionRow) -> float:
    return (row.initial_loss_kw or 0.0) - (row.loss_kw or 0.0)


def _sums(rows: Sequence[RegionRow]) -> tuple[float, float]:
    """Losses before and after of the feeders where both are known [kW]."""
    both = [(r.initial_loss_kw, r.loss_kw) for r in rows if r.initial_loss_kw is not None and r.loss_kw is not None]
    return sum(before for before, _ in both), sum(after for _, after in both)
