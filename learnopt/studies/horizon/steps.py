"""From load profiles to the steps of a horizon: which ones, how long, averaged over their duration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from learnopt.errors import DataError
from learnopt.io import Profiles
from learnopt.network import Floats, Ints, Scenario

_HOUR = np.timedelta64(3600, "s")


def horizon_steps(
    profiles: Profiles, start: str | None = None, steps: int | None = None, step_hours: float | None = None
) -> tuple[NDArray[np.datetime64], tuple[Scenario, ...], Floats]:
    """Times, scenarios and durations of the steps that a profile holds.

    Parameters
    ----------
    start
        First instant, an ISO date or time; that of the profile where absent.
    steps
        Number of steps; as many as the profile holds where absent.
    step_hours
        Duration of a step [h], a multiple of the profile's own; loads are averaged over it. The profile's own where
        absent.

    Returns
    -------
    times
        Begin of each step, datetime64[s], shape (n_step,).
    scenarios
        Length n_step, named by their time.
    hours
        Shape (n_step,).

    Raises
    ------
    DataError
        If the profile does not hold what is asked for.
    """
    begins, length, own = step_rows(profiles, start, steps, step_hours)
    scenarios = []
    for k in begins:
        p, q = profiles.p[k : k + length].mean(axis=0), profiles.q[k : k + length].mean(axis=0)
        scenarios.append(replace(profiles.scenario(int(k)), p_load=p, q_load=q, name=str(profiles.times[k])))
    return profiles.times[begins], tuple(scenarios), np.full(len(begins), own * length)


def step_rows(
    profiles: Profiles, start: str | None = None, steps: int | None = None, step_hours: float | None = None
) -> tuple[Ints, int, float]:
    """Rows of a profile at which the steps begin, rows per step, and hours per row; as :func:`horizon_steps`."""
    times = profiles.times
    bad = []
    spacing = np.diff(times) / _HOUR
    own = float(np.min(spacing)) if len(spacing) else 1.0
    if len(spacing) and not np.allclose(spacing, own):
        bad.append("the instants are not equally spaced: a horizon needs steps of one duration")
    first = 0
    if start is not None:
        try:
            instant = np.datetime64(start).astype("datetime64[s]")
        except ValueError:
            bad.append(f"start = {start!r} is not an ISO date or time, for instance 2026-01-31 or 2026-01-31T06:00")
        else:
            first = int(np.searchsorted(times, instant))
            if np.isnat(instant) or instant < times[0] or first == len(times):
                bad.append(f"start = {start} is not within the profile, {times[0]} to {times[-1]}")
    length = 1
    if step_hours is not None:
        length = round(step_hours / own) if step_hours > 0 else 0
        if length < 1 or abs(length * own - step_hours) > 1e-6:
            bad.append(f"step_hours = {step_hours} must be a multiple of the {own:g} h between instants of the profile")
            length = 1
    held = (len(times) - first) // length
    if steps is not None and not 1 <= steps <= held:
        bad.append(f"steps = {steps} must be from 1 to the {held} that the profile holds from there")
    elif held < 1:
        bad.append("the profile is shorter than one step")
    if bad:
        raise DataError("profile", bad)
    count = held if steps is None else steps
    return first + length * np.arange(count), length, own
