"""Currents of powers, and what money of later years is worth today."""

from __future__ import annotations

import math


def current_a(mva: float, kv: float) -> float:
    r"""Current of a power [A]: :math:`S / (\sqrt 3 V)`."""
    return 1e3 * mva / (math.sqrt(3.0) * kv)


def annual_factor(interest: float, years: float) -> float:
    r"""Present worth of one unit a year, paid at the end of each of a number of years: :math:`\sum (1+i)^{-n}`.

    Closed form of the sum; the interest is a share of 1 and may be 0.
    """
    return years if interest == 0 else (1 - (1 + interest) ** -years) / interest


def discount(interest: float, years: float) -> float:
    """Present worth of one unit that is paid after a number of years."""
    return (1 + interest) ** -years
