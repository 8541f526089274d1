"""Messages of telemetry: what is taken, what is refused by name, and which value stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from feeder_of_tests import NOON

from learnopt.errors import DataError
from learnopt.io import load_case
from learnopt.studies.operation.measurements import (
    Latest,
    Measurement,
    Point,
    Quality,
    Quantity,
    measurement_of,
    point_of,
)

HOUR = timedelta(hours=1)
GOOD = {"point": "bus:7:p_kw", "value": 12.5, "time": "2026-01-15T12:00:00Z"}


def test_a_message_is_a_measurement() -> None:
    """Ids and offsets are read; a point writes itself as it is read."""
    net = load_case("case33")
    one = measurement_of(GOOD | {"time": "2026-01-15T13:00:00+01:00", "quality": "doubtful"}, net)
    assert one == Measurement(Point("bus", net.bus_index["7"], Quantity.P), 12.5, NOON, Quality.DOUBTFUL)
    assert one.point.text(net) == "bus:7:p_kw"
    for text in ("branch:12:q_kvar", "branch:33:closed", "branch:2:tag", "bus:18:v_pu"):
        assert point_of(text, net).text(net) == text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"point": "bus:99:p_kw"}, "99"),
        ({"point": "bus:7:amps"}, "must be one of bus:ID:p_kw"),
        ({"point": "bus:7:closed"}, "must be one of"),
        ({"point": 7}, "must be one of"),
        ({"value": "12"}, "must be a finite number"),
        ({"value": float("nan")}, "must be a finite number"),
        ({"value": True}, "must be a finite number"),
        ({"value": 1e300}, "at most"),
        ({"point": "branch:33:closed", "value": 0.5}, "must be 0 or 1"),
        ({"point": "bus:7:v_pu", "value": -1}, "at least 0"),
        ({"time": "2026-01-15T12:00:00"}, "with an offset"),
        ({"time": "noon"}, "ISO 8601"),
        ({"time": 5}, "ISO 8601"),
        ({"quality": "fine"}, "good, doubtful, bad"),
        ({"quality": ["good"]}, "good, doubtful, bad"),
        ({"unit": "kW"}, "unknown field 'unit'"),
    ],
)
def test_what_is_no_measurement_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    """The sentence names the object, the value, and what it must be."""
    with pytest.raises(DataError, match=said):
        measurement_of(GOOD | change, load_case("case33"))


@pytest.mark.parametrize("raw", [None, [], "bus:7:p_kw", 3, {}, {"value": 1}])
def test_other_messages_are_refused(raw: Any) -> None:
    """Whatever arrives ends in a DataError."""
    with pytest.raises(DataError, match="measurements"):
        measurement_of(raw, load_case("case33"))


def test_the_last_good_value_stands() -> None:
    """Late messages and bad values change nothing."""
    point, latest = Point("bus", 3, Quantity.P), Latest()
    first = Measurement(point, 10.0, NOON)
    assert latest.take([first], NOON + HOUR) == 1
    assert latest.take([Measurement(point, 11.0, NOON - timedelta(seconds=1))], NOON + HOUR) == 0
    assert latest.take([Measurement(point, 12.0, NOON + timedelta(seconds=1), Quality.BAD)], NOON + HOUR) == 0
    assert latest.values() == [first]
    ahead = Measurement(point, 99.0, NOON + 2 * HOUR)
    assert latest.take([ahead], NOON + HOUR) == 0, "of the future: it would shut out all that is true until then"
    newer = Measurement(point, 13.0, NOON + timedelta(seconds=2))
    assert latest.take([newer], NOON + HOUR) == 1
    assert latest.of("bus", Quantity.P) == {3: newer}
