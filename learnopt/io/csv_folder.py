"""Folders of CSV tables: the case file as a spreadsheet sees it (every column: ``docs/formats.md``).

``buses.csv``, ``branches.csv`` and ``substations.csv`` are required. A table has the keys of the case file as columns;
an empty cell is an absent key. Comma, semicolon or tab; with semicolons a decimal comma is understood. An id is a
number where it is written like one; an apostrophe in front makes it text, as in spreadsheets: ``'150``.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from learnopt.errors import DataError, UnsupportedError
from learnopt.io.case_json import network_from_dict, network_to_dict
from learnopt.io.files import TEXT_MARK, read_text, safe_cell
from learnopt.io.violations import near_miss
from learnopt.network import Network

Row = dict[str, Any]


def _number(text: str) -> float:
    return float(text)


def _identifier(text: str) -> int | float | str:
    """A number where the text is how a number is written, else the text."""
    for kind in (int, float):
        try:
            value = kind(text)
            if str(value) == text and math.isfinite(value):
                return value
        except (ValueError, OverflowError):  # no number, or one of more digits than any number has
            continue
    return text


def _flag(text: str) -> bool:
    state = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.lower())
    if state is None:
        raise ValueError
    return state


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split()]


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split()]


def _matrix(text: str) -> list[list[float]]:
    return [_numbers(row) for row in text.split("|")]


_PHASE_POWERS: dict[str, Callable[[str], Any]] = {
    "connection": str,
    **dict.fromkeys(("p_a_kw", "p_b_kw", "p_c_kw", "q_a_kvar", "q_b_kvar", "q_c_kvar"), _number),
    "current_percent": _number,
    "impedance_percent": _number,
    "vm_min_pu": _number,
    "vm_max_pu": _number,
}
"""Columns of loads that speak of phases: rows with one of them are loads of their own, others add to their bus."""


_LONGEST_LINE = 2**20
_MOST_BYTES = 256 * 2**20
"""Of each table; a cell may have 128 KiB (Python's csv)."""
_EQUIPMENT = re.compile(
    r"nodes?|lines?|cables?|switch(es)?|breakers?|fuses?|transformers?|trafos?|regulators?|shunts?|storages?|batter(y|ies)"
    r"|sources?|reactors?|ties?"
)
"""Names of tables that would stand for equipment."""
_KINDS: Mapping[Callable[[str], Any], str] = {
    _number: "a number",
    _flag: "true or false",
    int: "a whole number",
    _numbers: "numbers separated by blanks",
    _matrix: "rows of numbers, separated by |",
    _integers: "whole numbers separated by blanks",
}
TABLES: Mapping[str, Mapping[str, Callable[[str], Any]]] = {
    "buses": {
        "id": _identifier,
        "name": str,
        "kv": _number,
        "p_kw": _number,
        "q_kvar": _number,
        "p_gen_kw": _number,
        "q_gen_kvar": _number,
        "shunt_p_kw": _number,
        "shunt_q_kvar": _number,
        "x": _number,
        "y": _number,
        "customers": int,
        "vm_min_pu": _number,
        "vm_max_pu": _number,
        "phases": str,
    },
    "branches": {
        "id": _identifier,
        "name": str,
        "from": _identifier,
        "to": _identifier,
        "r_ohm": _number,
        "x_ohm": _number,
        "b_us": _number,
        "g_us": _number,
        "ratio": _number,
        "shift_deg": _number,
        "ampacity_a": _number,
        "normally_open": _flag,
        "switchable": _flag,
        "operation": str,
        "phases": str,
        **dict.fromkeys(("r0_ohm", "x0_ohm", "b0_us"), _number),
        **dict.fromkeys(("r_matrix_ohm", "x_matrix_ohm", "b_matrix_us"), _matrix),
        "connection": str,
        **dict.fromkeys(("ratio_a", "ratio_b", "ratio_c"), _number),
        **dict.fromkeys(("r0_magnetising_ohm", "x0_magnetising_ohm", "from_share"), _number),
    },
    "substations": {
        "bus": _identifier,
        **dict.fromkeys(("v_pu", "va_deg", "s_min_kva", "s_max_kva"), _number),
        **dict.fromkeys(("r0_ohm", "x0_ohm", "r2_ohm", "x2_ohm"), _number),
    },
    "loads": {"bus": _identifier, "name": str, "p_kw": _number, "q_kvar": _number, **_PHASE_POWERS},
    "generation": {"bus": _identifier, "name": str, "p_kw": _number, "q_kvar": _number, **_PHASE_POWERS},
    "case": {
        "name": str,
        "title": str,
        "source": str,
        "base_kv": _number,
        "vmin_pu": _number,
        "vmax_pu": _number,
    },
    "capacitors": {"bus": _identifier, "steps_kvar": _numbers},
    "taps": {
        "branch": _identifier,
        "min_pu": _number,
        "max_pu": _number,
        "step_pu": _number,
        "positions_pu": _numbers,
        "position_numbers": _integers,
    },
    "generators": {
        "id": _identifier,
        "bus": _identifier,
        "p_min_kw": _number,
        "p_max_kw": _number,
        "q_min_kvar": _number,
        "q_max_kvar": _number,
        "switchable": _flag,
        "s_max_kva": _number,
        "mode": str,
        "power_factor": _number,
    },
    "devices": {
        "id": _identifier,
        "name": str,
        "branch": _identifier,
        "bus": _identifier,
        "operation": str,
        "normally_open": _flag,
    },
}
"""Columns of each table and how a cell is read."""
_NEEDED = {
    "buses": ("id",),
    "branches": ("id", "from", "to", "r_ohm", "x_ohm"),
    "substations": ("bus",),
    "loads": ("bus",),
    "generation": ("bus",),
    "capacitors": ("bus", "steps_kvar"),
    "taps": ("branch",),
    "generators": ("id", "bus", "p_max_kw"),
    "devices": ("id", "branch"),
}
_LISTS = ("buses", "branches", "capacitors", "taps", "generators", "devices", "generation")
"""Tables that are lists of the case file as they are."""
REQUIRED = ("buses", "branches", "substations")


def is_csv_folder(path: Path) -> bool:
    """A folder with at least one of the required tables."""
    return path.is_dir() and any((path / f"{table}.csv").is_file() for table in REQUIRED)


def read_csv_folder(path: Path) -> Network:
    """Read a folder of tables.

    Raises
    ------
    DataError
        With every violation of all tables: missing tables and columns, cells that cannot be read, and what a case file
        may not hold either.
    """
    bad = [f"{table}.csv is missing" for table in REQUIRED if not (path / f"{table}.csv").is_file()]
    tables = {
        table: _read_table(path / f"{table}.csv", table, bad) for table in TABLES if (path / f"{table}.csv").is_file()
    }
    if len(tables.get("case", [{}])) != 1:
        bad.append(f"case.csv must have one row below its header, it has {len(tables['case'])}")
    if bad:
        raise DataError(str(path), bad)
    return network_from_dict(_case(tables, path), str(path))


def unread_tables(path: Path) -> tuple[str, ...]:
    """A sentence that names the tables and columns of a folder that are not read; none where all are.

    Raises
    ------
    UnsupportedError
        For tables that stand for equipment or switches: what is in them has no effect.
    """
    others = sorted(file.stem for file in path.glob("*.csv") if file.stem not in TABLES)
    equipment = [name for name in others if _EQUIPMENT.fullmatch(name.lower())]
    if equipment:
        raise UnsupportedError(
            f"{path}: {', '.join(f'{name}.csv' for name in equipment)} is no table of a case: the tables are "
            f"{', '.join(f'{table}.csv' for table in TABLES)}. Switches are branches, with the columns switchable and "
            "normally_open"
        )
    found = [f"{name}.csv" for name in others]
    for table, columns in TABLES.items():
        if (path / f"{table}.csv").is_file():
            text = read_text(path / f"{table}.csv", _MOST_BYTES).partition("\n")[0]
            delimiter = max(",;\t", key=text.count)
            unknown = [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]
            unknown = [name for name in unknown if name and name not in columns]
            found += [f"{', '.join(unknown)} of {table}.csv"] * bool(unknown)
    return (f"not read: {'; '.join(found)}",) if found else ()


def _case(tables: Mapping[str, list[Row]], path: Path) -> dict[str, Any]:
    """The case file of the tables."""
    general: Row = {"name": path.resolve().name} | tables.get("case", [{}])[0]
    levels = Counter(bus["kv"] for bus in tables["buses"] if "kv" in bus)
    if levels:
        general.setdefault("base_kv", levels.most_common(1)[0][0])
    if "base_kv" not in general:
        raise DataError(
            str(path), ["no nominal voltage: give kv in buses.csv, or base_kv in case.csv [kV line-to-line]"]
        )
    case: dict[str, Any] = {key: general[key] for key in ("name", "title", "source", "base_kv") if key in general}
    limits = {key: general[key] for key in ("vmin_pu", "vmax_pu") if key in general}
    if limits:
        case["voltage_limits"] = limits
    case["substations"] = [row["bus"] for row in tables["substations"]]
    case["substation_data"] = {
        str(row["bus"]): {key: value for key, value in row.items() if key != "bus"} for row in tables["substations"]
    }
    buses = {str(row["id"]): row for row in tables["buses"]}
    unknown = [row["bus"] for row in tables.get("loads", []) if str(row["bus"]) not in buses]
    if unknown:
        raise DataError(str(path), [f"loads.csv: bus {bus!r} is not in buses.csv" for bus in dict.fromkeys(unknown)])
    by_phase: dict[bool, list[Row]] = {True: [], False: []}
    for row in tables.get("loads", []):
        by_phase[any(key in _PHASE_POWERS for key in row)].append(row)
    if by_phase[True]:
        case["loads"] = by_phase[True]
    for row in by_phase[False]:
        for key in ("p_kw", "q_kvar"):
            bus = buses[str(row["bus"])]
            bus[key] = bus.get(key, 0.0) + row.get(key, 0.0)
    return case | {key: tables[key] for key in _LISTS if key in tables}


def _read_table(path: Path, table: str, bad: list[str]) -> list[Row]:
    """Rows without their empty cells; what is wrong is added to ``bad``."""
    columns = TABLES[table]
    try:
        text = read_text(path, _MOST_BYTES)
    except DataError as error:
        bad.extend(f"{path.name}: {violation}" for violation in error.violations)
        return []
    longest = max(map(len, text.split("\n")))
    if longest > _LONGEST_LINE:
        bad.append(
            f"{path.name}: a line has {longest} characters: at most {_LONGEST_LINE >> 20} MiB are read in one line"
        )
        return []
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        header, *lines = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)) or [[]]
    except csv.Error as error:
        bad.append(f"{path.name}: not a CSV table: {error}")
        return []
    header = [name.strip() for name in header]
    needed = _needed(table, header)
    bad.extend(f"{path.name}: column {name!r} is missing" for name in needed if name not in header)
    bad.extend(f"{path.name}: column {name!r} is there twice" for name, n in Counter(header).items() if n > 1 and name)
    for name in header:
        if name not in columns and (meant := near_miss(name, columns, 0.8)):
            bad.append(f"{path.name}: {name!r} is not a column; {meant!r} is")
    rows = []
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            bad.append(f"{path.name}, line {number}: {len(cells)} cells, the header has {len(header)}")
            continue
        rows.append(_read_row(header, cells, columns, f"{path.name}, line {number}", delimiter == ";", bad))
        bad.extend(
            f"{path.name}, line {number}: {name} is missing"
            for name in needed
            if name in header and name not in rows[-1] and not cells[header.index(name)].strip()
        )
    return rows


def _needed(table: str, header: Collection[str]) -> tuple[str, ...]:
    """Columns that a table must have; matrices stand for the impedances of a branch, row by row."""
    needed = _NEEDED.get(table, ())
    return tuple(name for name in needed if not name.endswith("_ohm")) if "r_matrix_ohm" in header else needed


def _read_row(
    header: Iterable[str],
    cells: Iterable[str],
    columns: Mapping[str, Callable[[str], Any]],
    place: str,
    decimal_comma: bool,
    bad: list[str],
) -> Row:
    row: Row = {}
    for name, raw in zip(header, cells, strict=True):
        cell = raw.strip()
        if name not in columns or not cell:
            continue
        kind = columns[name]
        if kind in (_identifier, str) and cell.startswith(TEXT_MARK):
            row[name] = raw.lstrip().removeprefix(TEXT_MARK)
            continue
        if decimal_comma and kind in (_number, _numbers, _matrix):
            cell = cell.replace(",", ".")
        try:
            row[name] = kind(cell)
        except ValueError:
            bad.append(f"{place}: {name} = {raw!r} is not {_KINDS[kind]}")
    return row


def write_csv_folder(network: Network, path: Path) -> None:
    """Write a network as a new folder of tables, which reads back as the same case.

    Raises
    ------
    DataError
        If the folder exists.
    """
    if path.exists():
        raise DataError(str(path), ["exists already: give a folder that does not"])
    case = network_to_dict(network)
    general = {key: case[key] for key in ("name", "title", "source", "base_kv")} | case.get("voltage_limits", {})
    substations = [{"bus": bus} | case["substation_data"][str(bus)] for bus in case["substations"]]
    tables = {"case": [general], "substations": substations} | {
        key: case[key] for key in (*_LISTS, "loads") if key in case
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        for table, rows in tables.items():
            _write_table(partial / f"{table}.csv", TABLES[table], rows)
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_table(path: Path, columns: Mapping[str, Any], rows: list[Row]) -> None:
    used = [name for name in columns if any(row.get(name) not in (None, "") for row in rows)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(used)
        writer.writerows([_cell(row.get(name), columns[name]) for name in used] for row in rows)


def _cell(value: Any, kind: Callable[[str], Any]) -> str:
    """What reads back as the value."""
    if value is None:
        return ""
    if isinstance(value, str):
        plain = value == value.strip() and not value.startswith(TEXT_MARK) and kind(value) == value
        plain = plain and safe_cell(value) == value
        return value if plain and value else TEXT_MARK + value
    if isinstance(value, bool):
        return str(value).lower()
    if kind is _matrix:
        return " | ".join(" ".join(map(str, row)) for row in value)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
