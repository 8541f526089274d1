"""Tables of a terminal: at no width is a word or a number cut."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from learnopt.report.kit.numbers import moment, number
from learnopt.report.kit.terminal import Listing, Paragraph

_BASE = (number(52838.5, 6), number(5584.93, 6), number(47253.6, 6), "0 %", "224.8", "69, 70, 71, 72, 73")
_JOINT = (number(12768.3, 6), number(5171.35, 6), number(7596.99, 6), "75.84 %", "36.13", "14, 17, 42, 55, 64")
SCENARIOS = Listing(
    ("scenario", "cost a year", "investment", "energy", "benefit", "loss kW", "open branches", "gap", "status"),
    [("base", *_BASE, "0 %", "feasible"), ("joint", *_JOINT, "–", "optimal")],
    (1, 2, 3, 4, 5, 7),
    "case69, USD (proxy)",
)


def printed(what: Listing | Paragraph, width: int) -> str:
    """What a terminal of this width shows."""
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(what)
    return out.getvalue()


def squeezed(text: str) -> str:
    """Letters and digits in order, whatever the lines."""
    return re.sub(r"\W", "", text)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_no_number_is_cut_whether_as_table_turned_or_as_blocks(width: int) -> None:
    """Every number stands whole in one line, and no line is longer than the terminal."""
    text = printed(SCENARIOS, width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for row in SCENARIOS.rows:
        for k in (1, 2, 3, 5):
            assert str(row[k]) in text


def test_a_wide_terminal_has_a_table_a_narrow_one_a_block_per_row() -> None:
    """The form follows the width: rows below each other, rows side by side, lines."""
    wide, turned, narrow = (printed(SCENARIOS, width) for width in (160, 60, 32))
    assert re.search(r"┃ scenario ┃ +cost a year ┃", wide)
    assert re.search(r"┃ scenario +┃ +base ┃ +joint ┃", turned)
    assert "┃" not in narrow
    assert "\nscenario base\n  cost a year" in narrow


def test_units_stay_with_their_numbers() -> None:
    """A line never ends between a number and its unit, nor inside the thousands."""
    text = printed(Paragraph("this one loses 153.4 kW and costs 12\u202f768.3 a year at 69 % loading"), 19)
    assert text.splitlines() == ["this one loses", "153.4 kW and costs", "12\u202f768.3 a year at", "69 % loading"]


def test_two_columns_stay_a_table_as_long_as_words_fit() -> None:
    """Facts of a feeder are read as a table on a phone, too."""
    text = printed(Listing(("", "case33"), [("highest loading", "not known: the file has no ampacities")]), 40)
    assert "│ highest    │ not known: the file    │\n│ loading    │ has no ampacities      │" in text
    assert max(map(len, text.splitlines())) <= 40


def test_a_word_longer_than_a_line_is_folded() -> None:
    """A path is readable whole, over several lines."""
    path = "/a/folder/" + "x" * 70
    text = printed(Listing(("what", "where"), [("report", path)]), 40)
    assert squeezed(path) in squeezed(text.replace("report", ""))


words = st.text("abcdefgh 0123456789.", min_size=1, max_size=40).map(str.strip).filter(bool)


@settings(max_examples=60)
@given(st.data(), st.integers(1, 8), st.integers(1, 5), st.integers(24, 120))
def test_nothing_of_any_table_is_lost(data: st.DataObject, n_column: int, n_row: int, width: int) -> None:
    """Every cell appears with all its words, in lines no longer than the terminal."""
    head = data.draw(st.lists(words, min_size=n_column, max_size=n_column))
    rows = data.draw(st.lists(st.lists(words, min_size=n_column, max_size=n_column), min_size=n_row, max_size=n_row))
    text = printed(Listing(head, [[Text(cell, "bold") for cell in row] for row in rows]), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    left = "".join(sorted(squeezed(text)))
    for row in rows:
        for cell in row:
            for letter in set(squeezed(cell)):
                assert left.count(letter) >= cell.count(letter)
    assert len(squeezed(text)) >= sum(len(squeezed(cell)) for row in rows for cell in row)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-0.0, "0"), (1e-12, "0"), (-3e-9, "0"), (1.2345e-4, "0.000123")]
)
def test_zero_is_written_as_zero(value: float, text: str) -> None:
    """What rounds to nothing is 0, not 0.000000."""
    assert number(value, 4) == text


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2026-01-31T14:00:00", "2026-01-31 14:00"),
        ("2026-01-31T14:00:30", "2026-01-31 14:00:30"),
        ("2026-01-31", "2026-01-31"),
    ],
)
def test_instants_without_a_locale(time: str, text: str) -> None:
    """Day and minute; seconds only where there are some."""
    assert moment(time) == text


def test_instants_in_the_form_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a locale the day is written as that locale writes it."""
    monkeypatch.setattr("locale.setlocale", lambda *_: "de_DE.UTF-8")
    assert moment("2026-01-31T14:00:00") == "01/31/26 14:00"  # strftime itself still has the locale C
