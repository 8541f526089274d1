"""Numbers and texts as people read them."""

from __future__ import annotations

from html import escape
from math import floor, isfinite, log10


def number(value: float | None, digits: int = 4) -> str:
    """A number with some significant digits, integers in full, thousands apart; a dash where it is not known."""
    if value is None or not isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - floor(log10(abs(value))))
    return f"{value:,.{min(decimals, 6)}f}".replace(",", "\u202f")


def percent(share: float) -> str:
    """A share in percent with two significant digits, never rounded to zero."""
    value = 100 * share
    if value == 0:
        return "0 %"
    if abs(value) < 1e-4:
        return "less than 0.0001 %"
    return f"{value:.0f} %" if abs(value) >= 10 else f"{value:.2g} %"


def finite(value: float | None) -> float | None:
    """JSON has no NaN: a number that is not known is null."""
    return None if value is None or not isfinite(value) else float(value)


def escaped(text: object) -> str:
    """Text for plotly and HTML, which read markup: ids of a file stay text."""
    return escape(str(text), quote=True)
