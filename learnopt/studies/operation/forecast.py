"""What the next hours will bring: the loads of the same time a day before, or a week before, or those of now."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib.metadata import entry_points
from typing import Protocol

import numpy as np

from learnopt.errors import DataError
from learnopt.network import Floats, Scenario

DAY = timedelta(days=1)
TOLERANCE = 0.5
"""Most distance of an instant of the past to the one that is asked for, in hours."""
KEPT = timedelta(days=8)


class Forecast(Protocol):
    """Anything that learns from estimated loads and says what to expect."""

    def learn(self, time: datetime, scenario: Scenario) -> None:
        """The loads of one time are known."""
        ...

    def expected(self, time: datetime, like: Scenario) -> Scenario:
        """The loads of a time; outages and locks are those of ``like``."""
        ...


@dataclass
class SeasonalNaive:
    """The default: a day before, a week before, else the last known loads, else those of the case.

    The level follows the present: what the last known loads were above or below those of a day before them is carried
    on, so that a cold day is not taken for the mild one before.
    """

    _past: deque[tuple[datetime, Floats, Floats]] = field(default_factory=deque)

    def learn(self, time: datetime, scenario: Scenario) -> None:
        """The loads of one time are known; those of more than eight days before are forgotten."""
        self._past.append((time, scenario.p.copy(), scenario.q.copy()))
        while self._past[0][0] < time - KEPT:
            self._past.popleft()

    def expected(self, time: datetime, like: Scenario) -> Scenario:
        """The loads of a time."""
        if not self._past:
            return like
        last, p, q = self._past[-1]
        for before in (DAY, 7 * DAY):
            then, then_now = self._at(time - before), self._at(last - before)
            if then is not None and then_now is not None:
                level = _ratio(p, then_now[0])
                p, q = level * then[0], level * then[1]
                break
        return replace(like, p_load=p + like.p_gen, q_load=q + like.q_gen, name=time.isoformat())

    def _at(self, time: datetime) -> tuple[Floats, Floats] | None:
        found = min(self._past, key=lambda one: abs((one[0] - time).total_seconds()))
        if abs((found[0] - time).total_seconds()) > 3600 * TOLERANCE:
            return None
        return found[1], found[2]


@dataclass
class Persistence:
    """The last known loads, whatever the hour."""

    _last: tuple[Floats, Floats] | None = None

    def learn(self, time: datetime, scenario: Scenario) -> None:
        """The loads of one time are known."""
        self._last = scenario.p.copy(), scenario.q.copy()

    def expected(self, time: datetime, like: Scenario) -> Scenario:
        """The same at any time."""
        if self._last is None:
            return like
        p, q = self._last
        return replace(like, p_load=p + like.p_gen, q_load=q + like.q_gen, name=time.isoformat())


OURS = {"seasonal": SeasonalNaive, "persistence": Persistence}
GROUP = "learnopt.forecasts"
"""Entry points of installed packages: a name, and a class without arguments that is a :class:`Forecast`."""


def forecast_of(name: str) -> Forecast:
    """A new forecast by its name; nothing but what is installed can be named.

    Raises
    ------
    DataError
        If there is none of this name, or it cannot be loaded.
    """
    if name in OURS:
        return OURS[name]()
    offered = {one.name: one for one in entry_points(group=GROUP)}
    if name not in offered:
        raise DataError("forecast", [f"{name!r} must be one of {', '.join([*OURS, *sorted(offered)])}"])
    try:
        found: Forecast = offered[name].load()()
    except Exception as error:
        # Whatever a package of others raises, it is that package which is named.
        raise DataError("forecast", [f"{name!r} cannot be loaded: {type(error).__name__}: {error}"]) from None
    return found


def _ratio(now: Floats, before: Floats) -> float:
    """Level of the loads against another time, between a half and twice."""
    total = float(np.abs(before).sum())
    return min(max(float(np.abs(now).sum()) / total, 0.5), 2.0) if total > 0 else 1.0
