"""Tables of load profiles as they stand in a file: times as text, numbers in columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from learnopt.errors import DataError, without_learning
from learnopt.io.profiles.clock import Times, check_cells
from learnopt.network import Floats, Ints, Network

if TYPE_CHECKING:  # half a second that only profiles have to pay
    import pyarrow as pa

_MOST_BYTES = 2**30
_LONGEST_LINE = 16 * 2**20
_LARGEST = 1e20
TIME_NAMES = ("time", "timestamp", "datetime", "date_time", "date", "time_utc")
_BUS_NAMES = ("bus", "bus_id", "node")
_GENERATION_SCALE_NAMES = ("generation_scale", "scale_generation", "pv_scale")
_SCALE_NAMES = ("scale", "scaling", "factor", "load_factor")
_UNITS = {"p_kw": ("p", 1.0), "q_kvar": ("q", 1.0), "p_mw": ("p", 1e3), "q_mvar": ("q", 1e3), "pu": ("pu", 1.0)}
_UNITS |= {"gen_kw": ("gen", 1.0), "gen_kvar": ("genq", 1.0), "gen_mw": ("gen", 1e3), "gen_mvar": ("genq", 1e3)}
_SUFFIX = re.compile(rf"^(?P<bus>.+?)[\s._:/]+(?P<unit>{'|'.join(_UNITS)})$", re.IGNORECASE)
_PREFIX = re.compile(rf"^(?P<unit>{'|'.join(_UNITS)})[\s._:/]+(?P<bus>.+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Quantity:
    """What a column holds.

    Parameters
    ----------
    bus
        Index of the bus, -1 for a factor of all loads.
    kind
        ``p``, ``q`` (power), ``pu`` (of the case's load at this bus) or ``scale`` (of all loads); of generation
        ``gen``, ``genq`` and ``gen_scale``.
    kilo
        kW or kvar of one unit of the column.
    bare
        The column names a bus without a unit: kW.
    """

    column: str
    bus: int
    kind: str
    kilo: float = 1.0
    bare: bool = False


@dataclass(frozen=True)
class ProfileTable:
    """Rows as they stand in the file.

    Parameters
    ----------
    times
        Text of each row's time.
    columns, values
        Names and numbers, shape (n_row, n_column); NaN where a value is missing. Of a long table the columns are those
        it has when it is made wide.
    long, cell
        A row holds the values of one bus: ``cell[r]`` is its position among the buses named, of ``n_cell``.
    """

    times: list[str | None]
    columns: list[str]
    values: Floats
    long: bool = False
    cell: Ints | None = None
    n_cell: int = 0


def quantity_of(column: str, network: Network) -> Quantity | None:
    """What a column name says, or None."""
    if column.strip().lower() in _SCALE_NAMES:
        return Quantity(column, -1, "scale")
    if column.strip().lower() in _GENERATION_SCALE_NAMES:
        return Quantity(column, -1, "gen_scale")
    bus = _bus_index(column, network)
    if bus is not None:
        return Quantity(column, bus, "p", bare=True)
    match = _SUFFIX.match(column.strip()) or _PREFIX.match(column.strip())
    bus = _bus_index(match["bus"], network) if match else None
    if match is None or bus is None:
        return None
    kind, kilo = _UNITS[match["unit"].lower()]
    return Quantity(column, bus, kind, kilo)


def bus_of_column(column: str) -> str:
    """The part of a column name that stands for a bus."""
    match = _SUFFIX.match(column.strip()) or _PREFIX.match(column.strip())
    return match["bus"].strip() if match else column.strip()


def _bus_index(text: str, network: Network) -> int | None:
    """Position of a bus by its id, or by its name where only one bus has it."""
    return network.find_bus(text)[0]


def read_profile_table(path: Path) -> ProfileTable:
    """Read a CSV file (comma, semicolon or tab; decimal comma with semicolons) or a Parquet file.

    Raises
    ------
    DataError
        If the file cannot be read, has no time column, or holds text where numbers belong.
    UnsupportedError
        Without pyarrow.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ModuleNotFoundError as missing:
        raise without_learning(f"load profile {path}", missing) from None

    subject = str(path)
    _check_size(path)
    try:
        table = pyarrow.parquet.read_table(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
        names = [str(name) for name in table.column_names]
    except OSError as error:
        raise DataError(subject, [f"cannot be read: {error.strerror or error}"]) from None
    except (pa.ArrowException, ValueError, KeyError, OverflowError) as error:
        raise DataError(subject, [f"not a table that can be read: {str(error).splitlines()[0]}"]) from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(subject, [f"column {name!r} occurs more than once" for name in twice])
    time_column = next((name for name in names if name.strip().lower() in TIME_NAMES), None)
    if time_column is None:
        raise DataError(subject, [f"no time column: name it {TIME_NAMES[0]!r} (columns: {', '.join(names[:8])})"])
    if table.num_rows == 0:
        raise DataError(subject, ["the table has no rows"])
    try:
        times = _texts(table[time_column])
    except (OverflowError, ValueError):  # instants of Parquet reach beyond those of the calendar
        raise DataError(subject, [f"column {time_column!r} holds times outside of the years 1 to 9999"]) from None
    others = [name for name in names if name != time_column]
    bus_column = next((name for name in others if name.strip().lower() in _BUS_NAMES), None)
    if bus_column is None:
        values = _numbers({name: table[name] for name in others}, subject)
        return ProfileTable(times, others, values)
    units = [name for name in others if name != bus_column]
    unknown = [name for name in units if name.strip().lower() not in _UNITS]
    if unknown or not units:
        wanted = f"a table of one row per time and bus has the columns time, bus and some of {', '.join(_UNITS)}"
        raise DataError(subject, [f"column {name!r} is not known: {wanted}" for name in unknown] or [wanted])
    labels = _texts(table[bus_column])
    blank = [row + 1 for row, label in enumerate(labels) if not (label or "").strip()]
    if blank:
        raise DataError(subject, [f"row {row}: the bus is missing" for row in blank[:5]])
    buses, cell = np.unique(np.array([str(label).strip() for label in labels]), return_inverse=True)
    columns = [f"{bus}.{unit.strip().lower()}" for unit in units for bus in buses]
    values = _numbers({name: table[name] for name in units}, subject)
    return ProfileTable(times, columns, values, True, cell.astype(np.int64), len(buses))


def _check_size(path: Path) -> None:
    """Refuse files that are too large, by their size and, where a Parquet file says it, by their rows and columns."""
    import pyarrow as pa
    import pyarrow.parquet

    try:
        size = path.stat().st_size
        cells = 0
        if path.suffix.lower() == ".parquet" and size <= _MOST_BYTES:
            metadata = pyarrow.parquet.ParquetFile(path).metadata
            cells = metadata.num_rows * metadata.num_columns
    except (OSError, pa.ArrowException, ValueError, KeyError, OverflowError):
        return  # said when it is read
    if size > _MOST_BYTES:
        raise DataError(str(path), [f"is larger than {_MOST_BYTES >> 20} MiB, the most that is read of profiles"])
    check_cells(cells, str(path))


def wide(table: ProfileTable, times: Times, subject: str) -> tuple[Times, Floats]:
    """A long table as one row per time; the n-th value of a bus at one time goes into the n-th row of that time.

    Raises
    ------
    DataError
        If that is too much (:func:`check_cells`).
    """
    assert table.cell is not None
    stamps, row = np.unique(times, return_inverse=True)
    key = row * table.n_cell + table.cell
    order = np.argsort(key, kind="stable")
    starts = np.concatenate([[0], np.flatnonzero(np.diff(key[order])) + 1])
    nth = np.zeros(len(key), dtype=np.int64)
    nth[order] = np.arange(len(key)) - np.repeat(starts, np.diff(np.concatenate([starts, [len(key)]])))
    slots, slot = np.unique(row * (nth.max() + 1) + nth, return_inverse=True)
    n_unit = table.values.shape[1]
    check_cells(len(slots) * n_unit * table.n_cell, subject)
    result = np.full((len(slots), n_unit * table.n_cell), np.nan)
    for unit in range(n_unit):
        result[slot, unit * table.n_cell + table.cell] = table.values[:, unit]
    return stamps[slots // (nth.max() + 1)], result


def _read_csv(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv

    with path.open(encoding="utf-8-sig") as file:
        header, sample = file.readline(_LONGEST_LINE), file.readline(_LONGEST_LINE)
    if len(header) == _LONGEST_LINE:
        raise DataError(str(path), [f"its first line is longer than {_LONGEST_LINE >> 20} MiB"])
    delimiter = max(";,\t", key=header.count)
    names = [name.strip().strip('"') for name in header.rstrip("\r\n").split(delimiter)]
    as_text = {name: pa.string() for name in names if name.lower() in (*TIME_NAMES, *_BUS_NAMES)}
    decimal = "," if delimiter != "," and "," in sample else "."
    return pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
        convert_options=pyarrow.csv.ConvertOptions(column_types=as_text, decimal_point=decimal),
    )


def _texts(column: Any) -> list[str | None]:
    """Values as text; instants in ISO 8601, with their offset where they have a zone."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return [None if value is None else value.isoformat() for value in column.to_pylist()]
    return [None if value is None else str(value) for value in column.to_pylist()]


def _numbers(columns: dict[str, Any], subject: str) -> Floats:
    """Columns side by side, NaN where a value is missing."""
    import pyarrow as pa

    arrays, bad = [], []
    for name, column in columns.items():
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            array = column.cast(pa.float64(), safe=False).to_numpy()  # whole numbers beyond 2^53 are rounded
        else:
            cells = column.to_pylist()
            wrong = next(((row, v) for row, v in enumerate(cells) if v is not None and not _is_number(v)), None)
            if wrong is not None:
                bad.append(f"column {name!r}, row {wrong[0] + 1}: {wrong[1]!r} is not a number")
                continue
            array = np.array([np.nan if v is None else float(v) for v in cells], dtype=float)
        beyond = np.flatnonzero(np.abs(array) > _LARGEST)
        bad += [
            f"column {name!r}, row {row + 1}: {array[row]} must be a finite number of at most 1e20"
            for row in beyond[:3]
        ]
        arrays.append(array)
    if bad:
        raise DataError(subject, bad)
    return np.column_stack(arrays) if arrays else np.empty((len(next(iter(columns.values()), [])), 0))


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)
