"""Keys of a case file that nobody reads: named, and refused where they look like a slip of the pen."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from learnopt.errors import DataError
from learnopt.io.case_json import (
    BranchRecord,
    BusRecord,
    CaseRecord,
    DeviceRecord,
    SubstationRecord,
    VoltageLimitsRecord,
)
from learnopt.io.controls_json import CapacitorRecord, GeneratorRecord, TapRecord
from learnopt.io.violations import near_miss

_LISTS: dict[str, type[BaseModel]] = {
    "buses": BusRecord,
    "devices": DeviceRecord,
    "branches": BranchRecord,
    "capacitors": CapacitorRecord,
    "taps": TapRecord,
    "generators": GeneratorRecord,
}
_CHANGES_THE_NETWORK = re.compile(
    r"(in_?service|out_?of_?service|status|state|closed|opened|open|outage|phases?|shift|tap.*|limits?|loads?|gen.*|pv"
    r"|r|x|b|g|p|q|rating|ampacity|voltage|.*(min|max)|.*_(k?w|mw|k?var|mvar|k?va|mva|(micro)?ohms?|us|ms|pu|k?a|k?v|deg))"
)
"""Keys that speak of equipment or its state: a file that has them means another network than the one read."""
_ALIKE = 0.85
"""Likeness from which a key is taken for a misspelt one."""


def unread_keys(raw: Any, subject: str) -> tuple[str, ...]:
    """A sentence that names the keys of a parsed case file that are not read; none where all are.

    Raises
    ------
    DataError
        For keys that look like a slip of the pen (a misspelt ``switchable`` would be the default), or that speak of
        equipment or its state (``in_service``, ``rate_a``).
    """
    if not isinstance(raw, dict):
        return ()
    parts: list[tuple[str, type[BaseModel], Iterable[Any]]] = [("", CaseRecord, [raw])]
    parts += [(name, record, _listed(raw.get(name))) for name, record in _LISTS.items()]
    data = raw.get("substation_data")
    parts.append(("substation_data", SubstationRecord, data.values() if isinstance(data, dict) else ()))
    parts.append(("voltage_limits", VoltageLimitsRecord, [raw.get("voltage_limits")]))
    found, bad = [], []
    for name, record, objects in parts:
        known = {field.alias or key for key, field in record.model_fields.items()}
        keys = dict.fromkeys(key for one in objects if isinstance(one, dict) for key in one if key not in known)
        place = f"{name}: " if name else ""
        for key in keys:
            meant = near_miss(key, known, _ALIKE)
            if meant:
                bad.append(f"{place}{key!r} is not a key; {meant!r} is")
            elif _CHANGES_THE_NETWORK.fullmatch(str(key).lower()):
                bad.append(f"{place}{key!r} is not a key, but would change the network: remove it, or say it by a key")
        if keys:
            found.append(place + ", ".join(map(str, keys)))
    if bad:
        raise DataError(subject, bad)
    return (f"keys that are not read: {'; '.join(found)}",) if found else ()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
