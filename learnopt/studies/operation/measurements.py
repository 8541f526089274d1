"""What telemetry says: one value of one point at one time, with its quality.

A point is ``bus:ID:p_kw``, ``bus:ID:q_kvar`` (drawn there, what feeds in is negative), ``bus:ID:v_pu``,
``branch:ID:p_kw``, ``branch:ID:q_kvar`` (into the branch at its from end), ``branch:ID:closed``, ``branch:ID:tag``
(0 or 1: "do not operate"), ``bus:ID:fault`` or ``branch:ID:fault`` (0 or 1: out of order there until it is 0 again; of
doubtful quality it is supposed, and not located). For the id a name does as well, where it is unique.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from learnopt.errors import DataError
from learnopt.network import Network

AHEAD = timedelta(seconds=5)
"""Most that the clock of a source may be ahead."""
LARGEST = 1e12
"""Of a value, in its unit; beyond is no measurement."""


class Quality(StrEnum):
    """What the source says of a value."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    """Used, at less weight: substituted, or outside its usual range."""
    BAD = "bad"
    """Never used."""


class Quantity(StrEnum):
    """What is measured at a point."""

    P = "p_kw"
    Q = "q_kvar"
    V = "v_pu"
    CLOSED = "closed"
    TAG = "tag"
    FAULT = "fault"


QUANTITIES = {
    "bus": (Quantity.P, Quantity.Q, Quantity.V, Quantity.FAULT),
    "branch": (Quantity.P, Quantity.Q, Quantity.CLOSED, Quantity.TAG, Quantity.FAULT),
}
STATES = (Quantity.CLOSED, Quantity.TAG, Quantity.FAULT)
"""Quantities that are 0 or 1."""


class Point(NamedTuple):
    """A place in a network and a quantity there."""

    kind: str
    """``bus`` or ``branch``."""
    place: int
    quantity: Quantity

    def text(self, network: Network) -> str:
        """As it is written, by its id."""
        ids = network.bus_ids if self.kind == "bus" else network.branch_ids
        return f"{self.kind}:{ids[self.place]}:{self.quantity.value}"


@dataclass(frozen=True)
class Measurement:
    """One value.

    Parameters
    ----------
    point
        Where, and what.
    value
        In the unit of the quantity.
    time
        With a time zone.
    quality
        Of its source.
    """

    point: Point
    value: float
    time: datetime
    quality: Quality = Quality.GOOD


def point_of(text: str, network: Network) -> Point:
    """The point that a text names.

    Raises
    ------
    DataError
        If there is none of that name in the network.
    """
    kind, _, rest = str(text).partition(":")
    identity, _, quantity = rest.rpartition(":")
    if kind not in QUANTITIES or quantity not in {q.value for q in QUANTITIES[kind]} or not identity:
        known = ", ".join(f"{k}:ID:{q.value}" for k, all_of in QUANTITIES.items() for q in all_of)
        raise DataError("measurements", [f"point {text!r} must be one of {known}"])
    index, why = network.find_bus(identity) if kind == "bus" else network.find_branch(identity)
    if index is None:
        raise DataError("measurements", [f"point {text!r}: {why}"])
    return Point(kind, index, Quantity(quantity))


def measurement_of(raw: Any, network: Network) -> Measurement:
    """A measurement of a message: ``{"point": ..., "value": ..., "time": ISO 8601, "quality": "good"}``.

    Raises
    ------
    DataError
        If a field is missing, unknown, of another type, not finite, or a state is neither 0 nor 1.
    """
    if not isinstance(raw, Mapping):
        raise DataError("measurements", [f"{str(raw)[:80]!r} must be an object with point, value and time"])
    bad = [f"unknown field {str(key)[:40]!r}" for key in raw if key not in ("point", "value", "time", "quality")]
    bad += [f"field {key!r} is missing" for key in ("point", "value", "time") if key not in raw]
    if bad:
        raise DataError("measurements", bad)
    point = point_of(raw["point"], network)
    value, time, quality = raw["value"], raw["time"], raw.get("quality", Quality.GOOD.value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        bad.append(f"{raw['point']}: value = {str(value)[:40]!r} must be a finite number")
    elif not abs(value) <= LARGEST:
        bad.append(f"{raw['point']}: value = {value:g} must be at most {LARGEST:g}")
    elif point.quantity in STATES and value not in (0, 1):
        bad.append(f"{raw['point']}: value = {value:g} must be 0 or 1")
    elif point.quantity is Quantity.V and value < 0:
        bad.append(f"{raw['point']}: value = {value:g} must be at least 0 [pu]")
    try:
        when = datetime.fromisoformat(time) if isinstance(time, str) else None
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        bad.append(
            f"{raw['point']}: time = {str(time)[:40]!r} must be ISO 8601 with an offset, as 2026-01-31T12:00:00Z"
        )
    if not isinstance(quality, str) or quality not in {q.value for q in Quality}:
        bad.append(f"{raw['point']}: quality = {str(quality)[:40]!r} must be one of good, doubtful, bad")
    if bad or when is None:
        raise DataError("measurements", bad)
    return Measurement(point, float(value), when.astimezone(UTC), Quality(quality))


class Latest:
    """The last good value of every point.

    A value is taken only if it is newer than the one that stands, so messages that come late change nothing, and only
    if it is not of the future: a clock that is ahead would shut out all that is true until then.
    """

    def __init__(self) -> None:
        self._at: dict[Point, Measurement] = {}

    def take(self, some: Iterable[Measurement], now: datetime) -> int:
        """How many were taken. A value of bad quality is not taken: the last good one stays, and ages."""
        taken = 0
        for one in some:
            known = self._at.get(one.point)
            usable = one.quality is not Quality.BAD and one.time <= now + AHEAD
            if usable and (known is None or one.time > known.time):
                self._at[one.point] = one
                taken += 1
        return taken

    def values(self) -> list[Measurement]:
        """All of them, in the order of their points."""
        return [self._at[point] for point in sorted(self._at)]

    def of(self, kind: str, quantity: Quantity) -> dict[int, Measurement]:
        """By the bus or branch."""
        return {p.place: m for p, m in sorted(self._at.items()) if p.kind == kind and p.quantity is quantity}
