"""Tables of a pandapower net, from its JSON file or from the object, with the cells checked.

A file is read as the plain JSON it is: pandapower need not be installed, and nothing that a file names is imported.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learnopt.errors import DataError, UnsupportedError
from learnopt.io.case_json import each_key_once
from learnopt.network import Bools, Floats

_OLDEST = 2
MODELLED = (
    *("bus", "line", "trafo", "trafo3w", "switch", "load", "sgen", "storage", "asymmetric_load", "asymmetric_sgen"),
    *("ward", "shunt", "ext_grid", "gen"),
)
"""Tables that are read."""
UNLIMITED_KA = 1e3
"""Ratings of lines from here on are stand-ins for "none" [kA]."""
_SHOWN = 60
"""Characters of a cell that a sentence shows."""


@dataclass(frozen=True)
class Element:
    """One kind of element: rows by index, cells by column; violations go to the list of the net.

    A column that is absent takes the default. A cell without value (NaN, null) in a column that is there is a
    violation, unless cells of the column may be empty, or the row is out of service.
    """

    kind: str
    index: Sequence[Any]
    columns: Mapping[str, Sequence[Any]]
    bad: list[str]

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def names(self) -> list[str]:
        """Element and index, as in results: ``line 12``."""
        return [f"{self.kind} {i}" for i in self.index]

    def numbers(self, column: str, default: float | None = None, low: float = -math.inf, empty: bool = False) -> Floats:
        """Finite numbers >= ``low``.

        Parameters
        ----------
        default
            Of a column that is absent; without one the column must be there.
        empty
            A cell may be without value, and takes the default.
        """
        values = np.full(len(self), math.nan if default is None else default)
        cells = self.columns.get(column)
        if cells is None and default is not None:
            return values
        on = self._on
        for row, cell in enumerate(self._cells(column)):
            if _absent(cell):
                if not empty and on[row]:
                    written = "is missing" if cells is None else "has no value (NaN or null)"
                    self.bad.append(f"{self.kind} {self.index[row]}: {column} {written}: give a number")
                continue
            number = isinstance(cell, (int, float, np.number)) and not isinstance(cell, (bool, np.bool_))
            if number and _finite(cell) and cell >= low:
                values[row] = float(cell)
            else:
                expected = "a finite number" + (f" >= {low:g}" if math.isfinite(low) else "")
                self.bad.append(f"{self.kind} {self.index[row]}: {column} = {_shown(cell)} must be {expected}")
        return values

    @property
    def _on(self) -> list[bool]:
        """Rows in service; others need not be complete."""
        return [cell is None or _absent(cell) or bool(cell) for cell in self._cells("in_service")]

    def flags(self, column: str, default: bool, empty: bool = False) -> Bools:
        """True or false; ``default`` and ``empty`` as in :meth:`numbers`."""
        values = np.full(len(self), default)
        if column not in self.columns:
            return values
        for row, cell in enumerate(self._cells(column)):
            if isinstance(cell, (bool, np.bool_)) or (not _absent(cell) and cell in (0, 1)):
                values[row] = bool(cell)
            elif not (empty and _absent(cell)):
                self.bad.append(f"{self.kind} {self.index[row]}: {column} = {_shown(cell)} must be true or false")
        return values

    def texts(self, column: str) -> list[str]:
        """Text, "" where there is none."""
        return ["" if _absent(cell) else str(cell) for cell in self._cells(column)]

    def references(self, column: str, target: Element) -> list[Any]:
        """Indices of another element; None for one it does not have."""
        known = {str(i): i for i in target.index}
        found = []
        for row, cell in enumerate(self._cells(column)):
            whole = isinstance(cell, (float, np.floating)) and float(cell).is_integer()
            key = str(int(cell)) if whole else str(cell)[:_SHOWN]
            if key not in known:
                self.bad.append(
                    f"{self.kind} {self.index[row]}: {column} = {_shown(cell)} is not a {target.kind} of the net"
                )
            found.append(known.get(key))
        return found

    def _cells(self, column: str) -> Sequence[Any]:
        return self.columns.get(column, [None] * len(self))


@dataclass(frozen=True)
class Tables:
    """The tables of a net; ``bad`` collects what is wrong with their cells until somebody raises it."""

    name: str
    subject: str
    f_hz: float
    elements: Mapping[str, Element]
    extras: Mapping[str, Any]
    bad: list[str] = field(default_factory=list)

    def __getitem__(self, kind: str) -> Element:
        """The element of a kind; an empty one where the net has none."""
        return self.elements.get(kind, Element(kind, (), {}, self.bad))

    def raise_violations(self) -> None:
        """Everything that is wrong so far.

        Raises
        ------
        DataError
            With all violations.
        """
        if self.bad:
            raise DataError(self.subject, list(dict.fromkeys(self.bad)))


def _finite(cell: Any) -> bool:
    """A number that a float can hold; integers of a JSON file have any size."""
    try:
        return math.isfinite(cell)
    except OverflowError:
        return False


def _shown(cell: Any) -> str:
    """A cell in a sentence."""
    text = repr(cell)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _absent(cell: Any) -> bool:
    # pandas.NA is no float; comparing with itself tells NaN and refuses to answer for NA.
    return (
        cell is None or (isinstance(cell, (float, np.floating)) and math.isnan(cell)) or type(cell).__name__ == "NAType"
    )


def is_pandapower_json(raw: Any) -> bool:
    """A parsed JSON file is a net written by ``pandapower.to_json``."""
    return isinstance(raw, dict) and raw.get("_class") == "pandapowerNet"


def tables_of_json(raw: Mapping[str, Any], subject: str) -> Tables:
    """Tables of a parsed file of ``pandapower.to_json``.

    Raises
    ------
    DataError
        If tables are damaged, or required ones are missing.
    UnsupportedError
        If the file is from before pandapower 2.
    """
    content = raw.get("_object")
    if isinstance(content, str):
        try:
            content = json.loads(content, object_pairs_hook=each_key_once)
        except (ValueError, RecursionError):
            content = None
    if not isinstance(content, dict):
        raise DataError(
            subject, ["the pandapower net has no content ('_object'): write it again with pandapower.to_json"]
        )
    version = str(content.get("version", "absent"))
    major = version.split(".")[0]
    if major.isdigit() and int(major) < _OLDEST:
        raise UnsupportedError(
            f"{subject}: written by pandapower {version}: open it with a newer pandapower and save it with to_json"
        )
    bad: list[str] = []
    elements = {}
    for kind, value in content.items():
        if isinstance(value, dict) and value.get("_class") == "DataFrame" and not kind.startswith(("_", "res_")):
            parsed = _split_table(value.get("_object"))
            if parsed is None:
                bad.append(
                    f"table {kind!r} is damaged: it must hold columns (each once), index and data in the layout 'split'"
                )
            else:
                elements[kind] = Element(kind, *parsed, bad)
    extras = {kind: value for kind, value in content.items() if not kind.startswith("_")}
    return _checked(Tables(str(content.get("name") or ""), subject, _f_hz(content, bad), elements, extras, bad))


def _split_table(table: Any) -> tuple[list[Any], dict[str, list[Any]]] | None:
    """Index and columns of a table in the layout ``split``; None where it is not one."""
    try:
        parsed = json.loads(table, object_pairs_hook=each_key_once) if isinstance(table, str) else table
        index, columns, data = parsed["index"], parsed["columns"], parsed["data"]
        if len(data) != len(index) or any(len(row) != len(columns) for row in data):
            return None
        if not all(isinstance(i, (int, str)) and not isinstance(i, bool) for i in index):
            return None
        if len(set(map(str, columns))) != len(columns):
            return None
        return index, {str(name): [row[c] for row in data] for c, name in enumerate(columns)}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def tables_of_net(net: Mapping[str, Any], subject: str) -> Tables:
    """Tables of a ``pandapowerNet`` object."""
    bad: list[str] = []
    elements = {
        kind: Element(kind, table.index.tolist(), {str(c): table[c].tolist() for c in table.columns}, bad)
        for kind, table in net.items()
        if hasattr(table, "columns") and not kind.startswith(("_", "res_"))
    }
    extras = {kind: value for kind, value in net.items() if not kind.startswith("_")}
    return _checked(Tables(str(net.get("name") or ""), subject, _f_hz(net, bad), elements, extras, bad))


def _f_hz(content: Mapping[str, Any], bad: list[str]) -> float:
    value = content.get("f_hz", 50.0)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and _finite(value) and value > 0:
        return float(value)
    bad.append(f"f_hz = {_shown(value)} must be a finite number > 0 [Hz]")
    return 50.0


def _checked(tables: Tables) -> Tables:
    """The tables, if there are buses and a source and no index occurs twice."""
    if not len(tables["bus"]):
        tables.bad.append("the net has no bus")
    for kind in MODELLED:
        counts = Counter(str(i) for i in tables[kind].index)
        tables.bad.extend(f"{kind} {i} occurs {n} times in its table" for i, n in counts.items() if n > 1)
    tables.raise_violations()
    return tables
