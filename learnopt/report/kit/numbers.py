"""Numbers and texts as people read them."""

from __future__ import annotations

import locale
from datetime import date
from html import escape
from math import floor, isfinite, log10

import numpy as np


def number(value: float | None, digits: int = 4) -> str:
    """A number with some significant digits, integers in full, thousands apart; a dash where it is not known."""
    if value is None or not isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - floor(log10(abs(value))))
    text = f"{value:,.{min(decimals, 6)}f}".replace(",", "\u202f")
    return text if any(digit in text for digit in "123456789") else "0"


def percent(share: float) -> str:
    """A share in percent with two significant digits, never rounded to zero."""
    value = 100 * share
    if value == 0:
        return "0 %"
    if abs(value) < 1e-4:
        return "less than 0.0001 %"
    return f"{value:.0f} %" if abs(value) >= 10 else f"{value:.2g} %"


def moment(time: str | np.datetime64) -> str:
    """An instant or a day as the reader's locale writes it; where none is set, ``2026-01-31 14:00``."""
    day, _, clock = str(time).partition("T")
    if not locale.setlocale(locale.LC_TIME).startswith(("C", "POSIX")):
        day = date.fromisoformat(day).strftime("%x")
    return f"{day} {clock[:5] if clock.endswith(':00') else clock}".strip()


def finite(value: float | None) -> float | None:
    """JSON has no NaN: a number that is not known is null."""
    return None if value is None or not isfinite(value) else float(value)


def escaped(text: object) -> str:
    """Text for HTML, which reads markup: ids of a file stay text."""
    return escape(str(text), quote=True)
