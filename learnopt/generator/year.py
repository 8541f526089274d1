"""A made-up year of loads, hour by hour: for trying things out where no measured profile is at hand.

Every loaded bus is a mixture of households, trade and industry with a daily, weekly and seasonal course, an hour or so
early or late, and noise that lasts some hours; buses that generate in the case follow the sun. The largest load of a
bus over the year is about that of the case.
"""

from __future__ import annotations

import numpy as np

from learnopt.io import Profiles
from learnopt.network import Floats, Network

HOURS = 8760
_START = np.datetime64("2025-01-01T00:00:00", "s")
_BASE = np.array([0.30, 0.25, 0.45])
"""Share of the peak that households, trade and industry draw at any time."""
_WEEKEND = np.array([1.08, 0.45, 0.60])
_SEASON = np.array([0.22, 0.10, 0.04])
"""Swing between January and July, relative to the mean."""
_PERSISTENCE, _NOISE = 0.7, 0.08


def synthetic_year(network: Network, rng: np.random.Generator) -> Profiles:
    """Loads of a year of 8760 hours, and generation that follows the sun.

    Parameters
    ----------
    rng
        Decides the mixture of customers, their shift in time and the noise; one seed, one year.
    """
    moment = np.arange(HOURS, dtype=float)
    n = network.n_bus
    mixture = rng.dirichlet([2.0, 1.0, 0.7], n)  # n_bus x customer
    shift = rng.normal(0.0, 0.8, n)
    weekday = (np.arange(HOURS) // 24 + 2) % 7  # 1 January 2025 is a Wednesday
    season = 1 + np.cos(2 * np.pi * (moment / 24 - 15) / 365)[:, None] * _SEASON / (1 + _SEASON)
    share = np.empty((HOURS, n))
    for k in range(n):
        daily = _daily((moment + shift[k]) % 24)
        daily[weekday >= 5] *= _WEEKEND
        share[:, k] = (daily * season) @ mixture[k]
    white = rng.normal(0.0, _NOISE * np.sqrt(1 - _PERSISTENCE**2), (HOURS, n))
    from scipy.signal import lfilter  # takes half a second, which only a made-up year needs to spend

    share *= np.exp(lfilter([1.0], [1.0, -_PERSISTENCE], white, axis=0))
    share /= np.quantile(share, 0.999, axis=0)
    # A bus that only feeds in, and does not say of what, is taken for a generator as a whole.
    alone = (network.p_load < 0) & (network.p_fed == 0) & (network.q_fed == 0)
    p_fed, q_fed = np.where(alone, -network.p_load, network.p_fed), np.where(alone, -network.q_load, network.q_fed)
    sun = _sun(moment) * np.repeat(rng.beta(2.5, 1.2, (HOURS // 24, 1)), 24)  # one cloudiness a day
    fed = np.outer(sun, p_fed), np.outer(sun, q_fed)
    return Profiles(
        _START + np.arange(HOURS) * np.timedelta64(3600, "s"),
        (network.p_load + p_fed) * share - fed[0],
        (network.q_load + q_fed) * share - fed[1],
        *fed,
        ("the loads are a synthetic year (households, trade, industry, sun), not measured ones",),
        network.n_branch,
    )


def _daily(hour: Floats) -> Floats:
    """Share of the peak at a time of day [h] of households, trade and industry, shape (n, 3)."""

    def hump(at: float, width: float) -> Floats:
        away = np.minimum(np.abs(hour - at), 24 - np.abs(hour - at))
        return np.exp(-0.5 * (away / width) ** 2)

    household = 0.55 * hump(7.5, 1.5) + 0.35 * hump(12.5, 2.0) + hump(19.5, 2.5)
    trade = np.clip(hump(10.5, 2.5) + hump(15.5, 2.5), 0, 1)
    industry = np.clip(hump(9.0, 3.0) + hump(15.0, 4.0), 0, 1)
    return _BASE + (1 - _BASE) * np.stack([household, trade, industry], axis=1)


def _sun(moment: Floats) -> Floats:
    """Share of the installed power under a clear sky at a latitude of 50 degrees, shape (n_hour,)."""
    declination = np.deg2rad(-23.4) * np.cos(2 * np.pi * (moment / 24 + 10) / 365)
    angle = 2 * np.pi * (moment % 24 - 12) / 24
    latitude = np.deg2rad(50.0)
    height = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(angle)
    return np.clip(height, 0.0, None)
