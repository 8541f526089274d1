"""Components of a JSON dataset of power-grid-model as tables with checked cells.

A file is read as the plain JSON it is: the order of ``attributes`` says what the values of a list are, an object names
its own. Format: the page "Serialization" of power-grid-model's manual.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from learnopt.errors import DataError, UnsupportedError
from learnopt.io.pandapower.tables import Element, Tables
from learnopt.io.violations import near_miss

HERTZ = 50.0
"""Frequency of capacitances: power-grid-model's own default, which a file does not state."""

_ENDS = ("from_node", "to_node", "from_status", "to_status")
_OWN = ("name", "switchable", "operation")
"""Columns of branches that are learnopt's own words."""
_PAIRS = ("aa", "ba", "bb", "ca", "cb", "cc", "na", "nb", "nc", "nn")
BRANCHES: Mapping[str, tuple[str, ...]] = {
    "line": (*_ENDS, "r1", "x1", "c1", "tan1", "r0", "x0", "c0", "tan0", "i_n", *_OWN),
    "asym_line": (
        *(*_ENDS, "c0", "c1", "i_n", *_OWN),
        *(f"{one}_{pair}" for one in "rx" for pair in _PAIRS),
        *(f"c_{pair}" for pair in _PAIRS[:6]),
    ),
    "link": (*_ENDS, *_OWN),
    "generic_branch": (*_ENDS, "r1", "x1", "g1", "b1", "k", "theta", "sn", *_OWN),
    "transformer": (
        *(*_ENDS, "u1", "u2", "sn", "uk", "pk", "i0", "p0", "i0_zero_sequence", "p0_zero_sequence"),
        *("winding_from", "winding_to", "clock", "tap_side", "tap_pos", "tap_min", "tap_max", "tap_nom", "tap_size"),
        *("uk_min", "uk_max", "pk_min", "pk_max"),
        *("r_grounding_from", "x_grounding_from", "r_grounding_to", "x_grounding_to", *_OWN),
    ),
}
"""Components with two ends, and what they have."""
POWERS = ("sym_load", "asym_load", "sym_gen", "asym_gen")
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "node": ("u_rated", "name"),
    **BRANCHES,
    "source": ("node", "status", "u_ref", "u_ref_angle", "sk", "rx_ratio", "z01_ratio", "name"),
    "shunt": ("node", "status", "g1", "b1", "g0", "b0", "name"),
    **dict.fromkeys(POWERS, ("node", "status", "type", "p_specified", "q_specified", "name")),
}
_WITHOUT_EFFECT = ("fault", "transformer_tap_regulator")
"""Components that a power flow with taps held does not ask for; sensors besides."""
_SHOWN = 5


def is_power_grid_json(raw: Any) -> bool:
    """A parsed JSON file is a dataset of power-grid-model."""
    return isinstance(raw, dict) and "data" in raw and {"is_batch", "attributes", "version"} <= raw.keys()


def tables_of_json(raw: Mapping[str, Any], subject: str, notes: list[str]) -> Tables:
    """Tables of a parsed dataset, by component; ``notes`` gets what is not read.

    Raises
    ------
    DataError
        If it is no list of components, or ids are wrong or occur twice.
    UnsupportedError
        For updates and batches, and for components that are not modelled, by name.
    """
    if raw.get("type") != "input" or raw["is_batch"] is not False:
        raise UnsupportedError(
            f"{subject}: a dataset of type {str(raw.get('type'))[:20]!r} with is_batch = {str(raw['is_batch'])[:9]}: "
            "a network has type 'input' and is_batch = false"
        )
    data, attributes = raw["data"], raw["attributes"]
    if not isinstance(data, dict) or not isinstance(attributes, dict):
        raise DataError(subject, ["data and attributes must be objects with a list of each kind of component"])
    bad: list[str] = []
    elements = {}
    for kind, rows in data.items():
        found = list(_rows(str(kind), rows, attributes.get(kind), bad))
        if found:
            elements[str(kind)] = _element(str(kind), found, bad)
    ids = Counter(str(index) for one in elements.values() for index in one.index)
    bad += [f"id {index} occurs {n} times: ids are unique over all components" for index, n in ids.items() if n > 1]
    tables = Tables("", subject, HERTZ, elements, {}, bad)
    _refuse(tables, notes)
    if not len(tables["node"]):
        bad.append("there is no node")
    tables.raise_violations()
    return tables


def _rows(kind: str, rows: Any, order: Any, bad: list[str]) -> Iterator[dict[str, Any]]:
    """Each component as an object."""
    if not isinstance(rows, list):
        bad.append(f"{kind}: must be a list of components")
        return
    named = isinstance(order, list) and all(isinstance(one, str) for one in order) and len(set(order)) == len(order)
    for k, row in enumerate(rows):
        if isinstance(row, dict):
            yield row
        elif not isinstance(row, list) or not named or len(row) != len(order):
            bad.append(
                f"{kind}[{k}]: must be an object, or a list with a value for each of attributes.{kind}, which names "
                "them once"
            )
        else:
            yield dict(zip(order, row, strict=True))


def _element(kind: str, rows: list[dict[str, Any]], bad: list[str]) -> Element:
    """A table of rows; what has ``status`` 0 is out of service."""
    index = [row.get("id") for row in rows]
    bad.extend(
        f"{kind}[{k}]: id = {str(one)[:20]} must be a whole number from 0 on"
        for k, one in enumerate(index)
        if not isinstance(one, int) or isinstance(one, bool) or not 0 <= one < 2**31
    )
    names = dict.fromkeys(str(key) for row in rows for key in row if key != "id")
    columns = {name: [row.get(name) for row in rows] for name in names}
    if "status" in columns:
        columns["in_service"] = columns["status"]
    return Element(kind, index, columns, bad)


def _refuse(tables: Tables, notes: list[str]) -> None:
    """Components and columns that are not read.

    Raises
    ------
    UnsupportedError
        Naming components that have an effect.
    """
    found = []
    for kind, element in tables.elements.items():
        if kind in _WITHOUT_EFFECT or kind.endswith("_sensor"):
            notes.append(f"{kind}: not read, taps and powers stay as they are in the file")
        elif kind not in _KNOWN:
            found.append(", ".join(element.names()[:_SHOWN]))
        else:
            unread = [name for name in element.columns if name not in (*_KNOWN[kind], "in_service")]
            for name in unread:
                if meant := near_miss(name, _KNOWN[kind], 0.85):
                    tables.bad.append(f"{kind}: {name[:40]!r} is not an attribute; {meant!r} is")
            if unread:
                notes.append(f"attributes of {kind} that are not read: {', '.join(one[:40] for one in unread[:20])}")
    if found:
        raise UnsupportedError(
            f"{tables.subject}: not modelled: {'; '.join(found)}. Replace them, or take them out of the file"
        )
