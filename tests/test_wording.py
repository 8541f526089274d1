"""Nouns agree with their number; near words are found in their order."""

from __future__ import annotations

import pytest

from learnopt.wording import agreeing, counted, near_matches, suggestion


@pytest.mark.parametrize(
    ("count", "noun", "plural", "said"),
    [
        (1, "tap", "", "1 tap"),
        (0, "tap", "", "0 taps"),
        (2, "bus", "", "2 buses"),
        (2, "branch", "", "2 branches"),
        (1, "bus has", "buses have", "1 bus has"),
        (3, "bus has", "buses have", "3 buses have"),
    ],
)
def test_counted(count: int, noun: str, plural: str, said: str) -> None:
    assert counted(count, noun, plural) == said
    assert agreeing(count, noun, plural) == said.partition(" ")[2]


def test_near_matches() -> None:
    """Beginnings before parts before spelling; numbers have no neighbours; nothing is near to something else."""
    known = ["NS Kirchplatz (A2)", "Kirchplatz (A2)", "Bahnhof", "12", ""]
    assert near_matches("kirchplatz", known) == ["Kirchplatz (A2)", "NS Kirchplatz (A2)"]
    assert near_matches("Banhof", known) == ["Bahnhof"]
    assert near_matches("13", known) == near_matches("", known) == near_matches("xyz", known) == []
    assert suggestion("kirchplatz", known) == "; did you mean 'Kirchplatz (A2)' or 'NS Kirchplatz (A2)'?"
    assert suggestion("xyz", known) == ""
