"""Messages of a broker as measurements: JSON, whole or in parts."""

from __future__ import annotations

import json
import logging
from typing import Any

from learnopt.service.adapters.delivery import Batch

log = logging.getLogger("learnopt.service.adapters")
LARGEST = 4 * 2**20
"""Bytes of a message."""
_SHOWN = 120


def batch_of(feeder: str, point: str, payload: bytes) -> Batch | None:
    """The measurements of one message; None where it is no message of measurements, which is logged.

    Parameters
    ----------
    feeder
        Whose they are.
    point
        Point that the topic names, for measurements that name none; "" where it names none.
    payload
        JSON: a measurement, a list of them, or ``{"measurements": [...]}``.
    """
    try:
        if len(payload) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST // 2**20} MiB")
        raw = json.loads(payload)
    except (ValueError, RecursionError) as error:
        log.warning(
            "no message of measurements", extra={"feeder": feeder, "point": point, "error": str(error)[:_SHOWN]}
        )
        return None
    if isinstance(raw, dict) and set(raw) == {"measurements"}:
        raw = raw["measurements"]
    found = raw if isinstance(raw, list) else [raw]
    return Batch(feeder, [_named(one, point) for one in found])


def _named(one: Any, point: str) -> Any:
    return {"point": point, **one} if point and isinstance(one, dict) else one
