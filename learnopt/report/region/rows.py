"""The row of a feeder, and tables of rows as CSV, Parquet or JSON: what one run writes, the next one goes on with."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import PurePath
from typing import Any

from learnopt.errors import DataError
from learnopt.io.files import TEXT_MARK, safe_cell
from learnopt.io.places import Place, write_bytes

KINDS = (".csv", ".json", ".parquet")
"""Endings of a table."""


@dataclass(frozen=True)
class RegionRow:
    """What was found for a feeder; None for what is not known.

    Parameters
    ----------
    name, case, scenario
        Which one.
    question
        Checksum of its files and options, by which another run knows that the row is still true.
    buses, branches
        Size of the network.
    status, certificate
        How the solve ended, and what is proven.
    initial_loss_kw, loss_kw, saving_percent
        AC loss before and after, and the difference in percent of the former.
    bound_kw, gap
        Proven bound, and the relative distance to it.
    operations
        Of the switching plan.
    min_voltage_pu, violations
        After it: lowest voltage, and number of limits that are broken.
    open_branches
        Ids, parted by commas.
    engine
        Which one solved it.
    seconds
        Of the solve.
    message
        Why it stopped, where that needs words.
    error
        Why there is no answer; empty where there is one.
    """

    name: str
    case: str
    scenario: str | None
    question: str
    buses: int | None = None
    branches: int | None = None
    status: str = ""
    certificate: str = ""
    initial_loss_kw: float | None = None
    loss_kw: float | None = None
    saving_percent: float | None = None
    bound_kw: float | None = None
    gap: float | None = None
    operations: int | None = None
    min_voltage_pu: float | None = None
    violations: int | None = None
    open_branches: str = ""
    engine: str = ""
    seconds: float | None = None
    message: str = ""
    error: str = ""

    @property
    def solved(self) -> bool:
        """There is a configuration."""
        return self.loss_kw is not None


_TYPES = {each.name: str(each.type) for each in fields(RegionRow)}


def check_kind(name: str) -> None:
    """Refuse a table of an unknown ending.

    Raises
    ------
    DataError
        Naming those that are known.
    """
    if PurePath(name).suffix.lower() not in KINDS:
        raise DataError(name, [f"is no table of a known kind: let its name end in {', '.join(KINDS)}"])


def write_rows(path: Place, rows: Sequence[RegionRow]) -> None:
    """Write a table, all of it or nothing."""
    write_bytes(path, _WRITERS[PurePath(path.name).suffix.lower()](rows))


def read_rows(path: Place) -> list[RegionRow]:
    """A table of an earlier run; none where there is no such file.

    Raises
    ------
    DataError
        If the file is something else: it is not replaced then.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    try:
        found = _READERS[PurePath(path.name).suffix.lower()](content)
        return [RegionRow(**{key: _typed(_TYPES[key], value) for key, value in row.items()}) for row in found]
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        problem = f"is no table of a region that can be gone on with ({type(error).__name__}: {error})"
        raise DataError(str(path), [f"{problem}: give another file, or delete this one"]) from None


def _to_csv(rows: Sequence[RegionRow]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_TYPES)
    writer.writerows([["" if v is None else safe_cell(v) for v in asdict(row).values()] for row in rows])
    return text.getvalue().encode("utf-8")


def _from_csv(content: bytes) -> list[dict[str, Any]]:
    head, *lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    return [{key: _cell(_TYPES[key], cell) for key, cell in zip(head, line, strict=True)} for line in lines]


def _cell(kind: str, cell: str) -> Any:
    """What :func:`_to_csv` wrote; an empty cell is nothing, or an empty text where there is always one."""
    if cell == "":
        return "" if kind == "str" else None
    if kind.startswith("str"):
        marked = cell[:1] == TEXT_MARK and safe_cell(cell[1:]) == cell
        return cell[1:] if marked else cell
    return float(cell) if kind.startswith("float") else int(cell)


def _to_json(rows: Sequence[RegionRow]) -> bytes:
    return (json.dumps([asdict(row) for row in rows], indent=1, allow_nan=False) + "\n").encode("utf-8")


def _to_parquet(rows: Sequence[RegionRow]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}
    schema = pa.schema([(name, kinds[kind.partition(" ")[0]]) for name, kind in _TYPES.items()])
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), sink)
    return sink.getvalue()


def _from_parquet(content: bytes) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = pq.ParquetFile(pa.BufferReader(content)).read().to_pylist()
    return found


_WRITERS: Mapping[str, Callable[[Sequence[RegionRow]], bytes]] = {
    ".csv": _to_csv,
    ".json": _to_json,
    ".parquet": _to_parquet,
}
_READERS: Mapping[str, Callable[[bytes], list[dict[str, Any]]]] = {
    ".csv": _from_csv,
    ".json": json.loads,
    ".parquet": _from_parquet,
}


def _typed(kind: str, value: Any) -> Any:
    """A value of a column.

    Raises
    ------
    ValueError
        If it is of another type.
    """
    base, _, optional = kind.partition(" ")
    types = {"str": (str,), "int": (int,), "float": (float, int)}[base]
    if (value is None and optional) or (isinstance(value, types) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{value!r} is not {kind}")
