"""What is wrong with a file: sentences that name object, value and what is expected, collected and raised at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from learnopt.errors import DataError
from learnopt.network import Id
from learnopt.wording import suggestion

LARGEST = 1e12
"""Largest number in the unit of its key: what is beyond is a slip, and overflows."""


class Rule(NamedTuple):
    """What a number must be, finite besides."""

    said: str = ""
    """Follows "must be a finite number" in the sentence: range and unit."""
    low: float = -math.inf
    high: float = LARGEST
    above: bool = False
    """``low`` itself is not allowed."""

    def holds(self, value: float) -> bool:
        """Whether a number is in range; NaN is not."""
        return -LARGEST <= value <= self.high and (value > self.low if self.above else value >= self.low)


FINITE = Rule()


def at_least_zero(unit: str, note: str = "") -> Rule:
    """A number >= 0."""
    return Rule(f" >= 0 [{unit}]{note}", 0.0)


def positive(unit: str) -> Rule:
    """A number > 0."""
    return Rule(f" > 0 [{unit}]", 0.0, above=True)


class Violations:
    """The violations of one file, in the order in which they are found.

    Parameters
    ----------
    subject
        What is read, for instance the path of a file.
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.found: list[str] = []

    def add(self, *sentences: str) -> None:
        """Take sentences found elsewhere."""
        self.found += sentences

    def require(self, holds: bool, sentence: str) -> None:
        """A sentence for what does not hold."""
        if not holds:
            self.found.append(sentence)

    def number(self, value: float | None, what: str, rule: Rule = FINITE) -> None:
        """A number that keeps a rule; None is not asked."""
        if value is not None and not rule.holds(value):
            self.found.append(f"{what} = {value} must be a finite number{rule.said}")

    def numbers(self, record: object, what: str, rules: Mapping[str, Rule]) -> None:
        """Numbers of a record by the names of its keys; ``what`` names the record."""
        for key, rule in rules.items():
            self.number(getattr(record, key), f"{what}: {key}" if what else key, rule)

    def unique(self, what: str, ids: Iterable[Id], advice: str = "ids must be unique") -> None:
        """Ids that occur twice, or that would be one JSON key."""
        counts = Counter(str(i) for i in ids)
        self.found += [f"{what} {key!r} occurs {n} times: {advice}" for key, n in counts.items() if n > 1]

    def known(self, value: Any, among: Collection[str], what: str, fault: str) -> None:
        """An id that is one of those known; ``what`` and ``fault`` stand before and behind it in the sentence."""
        if str(value) not in among:
            self.found.append(f"{what} {value!r} {fault}{suggestion(value, among)}")

    def stop(self) -> None:
        """End reading where something is wrong.

        Raises
        ------
        DataError
            With every violation found.
        """
        if self.found:
            raise DataError(self.subject, self.found)


def near_miss(key: object, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known key that somebody may have meant by another one; ``likeness`` from 0 to 1."""
    return next(iter(get_close_matches(str(key).lower(), list(known), n=1, cutoff=likeness)), None)


def refused_keys(raw: Any, known: Sequence[str]) -> list[str]:
    """A hint for each key of an object that is not known but looks like one that is."""
    hints = ((key, near_miss(key, known)) for key in raw if key not in known) if isinstance(raw, dict) else ()
    return [f"{key!r} looks like {meant!r}" for key, meant in hints if meant]
