"""A folder into which files of measurements are dropped: CSV or Parquet.

Columns are ``point``, ``value``, ``time``, and where wanted ``quality`` and ``feeder``. A file is read when it has
stood still; afterwards it lies in ``done``, or in ``wrong`` if nothing of it could be used, beside a text that says
what was refused. While the service does not answer a file stays where it is: it is read again by the next process, and
what is known changes nothing.
"""

from __future__ import annotations

import asyncio
import csv
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from learnopt.errors import DataError
from learnopt.service.adapters.delivery import AT_ONCE, Batch
from learnopt.service.schema import TakenView

log = logging.getLogger("learnopt.service.adapters")

LARGEST = 64 * 2**20
"""Bytes of a file."""
COLUMNS = ("point", "value", "time", "quality", "feeder")
_NEEDED = COLUMNS[:3]
_TOLD = 1000


@dataclass
class DropFolder:
    """A folder that is looked through again and again.

    Parameters
    ----------
    feeder
        Of files without a column ``feeder``; "" where every file has one.
    every_s
        Between two looks; a file that has not changed from one to the next is whole.
    once
        Take what is there, whether it stood still or not, and end.
    """

    folder: Path
    feeder: str = ""
    every_s: float = 2.0
    once: bool = False
    _known: dict[Path, tuple[int, int]] = field(default_factory=dict)
    _open: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise DataError("folder", [f"{self.folder} is no folder"])
        for name in ("done", "wrong"):
            (self.folder / name).mkdir(exist_ok=True)

    async def batches(self) -> AsyncIterator[Batch]:
        """Files as they come, each in one batch or several."""
        while True:
            for path in self._whole():
                async for batch in self._file(path):
                    yield batch
            if self.once:
                return
            await asyncio.sleep(self.every_s)

    def _whole(self) -> list[Path]:
        """Files that stand still, by their names."""
        before, self._known, found = self._known, {}, []
        for path in sorted(self.folder.iterdir()):
            if path.suffix.lower() not in (".csv", ".parquet") or path.name.startswith(".") or path in self._open:
                continue
            if path.is_symlink() or not path.is_file():
                continue
            try:
                stat = path.stat()
            except FileNotFoundError:  # somebody has taken it away
                continue
            self._known[path] = (stat.st_size, stat.st_mtime_ns)
            if self.once or before.get(path) == self._known[path]:
                found.append(path)
        return found

    async def _file(self, path: Path) -> AsyncIterator[Batch]:
        """Its measurements by feeders; the file is put away when the last of them was answered."""
        try:
            by_feeder = await asyncio.to_thread(self._read, path)
        except (DataError, OSError, ValueError, ArithmeticError, MemoryError) as error:
            said = list(error.violations) if isinstance(error, DataError) else [f"it cannot be read: {error}"]
            self._put_away(path, "wrong", said)
            return
        end = _Ended(self, path, len(by_feeder))
        self._open.add(path)
        for feeder, rows in by_feeder.items():
            yield Batch(feeder, rows, partial(end.became, len(rows)))

    def _read(self, path: Path) -> dict[str, list[Any]]:
        if path.stat().st_size > LARGEST:
            raise DataError(path.name, [f"it is larger than {LARGEST // 2**20} MiB: split it"])
        rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _parquet_rows(path)
        found: dict[str, list[Any]] = {}
        for row in rows:
            feeder = str(row.pop("feeder", None) or self.feeder)
            if not feeder:
                raise DataError(path.name, ["column 'feeder' is missing, and no --feeder was given"])
            found.setdefault(feeder, []).append(row)
        if not found:
            raise DataError(path.name, ["there is no row in it"])
        return found

    def _put_away(self, path: Path, where: str, said: list[str]) -> None:
        """Into another folder, beside a text where there is something to say; no file there is overwritten."""
        self._open.discard(path)
        if not path.exists():
            log.warning("file", extra={"file": path.name, "became": "taken away by somebody"})
            return
        stamp = f"{path.stat().st_mtime_ns:x}"
        target = self.folder / where / path.name
        if target.exists():
            target = target.with_name(f"{path.stem}.{stamp}{path.suffix}")
        if said:
            more = [f"... and {len(said) - _TOLD} more"] if len(said) > _TOLD else []
            text = "\n".join([*said[:_TOLD], *more]) + "\n"
            target.with_name(f"{target.name}.txt").write_text(text, encoding="utf-8")
        path.replace(target)
        log.info("file", extra={"file": path.name, "became": where, "refused": len(said)})


@dataclass
class _Ended:
    """What became of the parts of a file."""

    folder: DropFolder
    path: Path
    left: int
    used: bool = False
    said: list[str] = field(default_factory=list)

    def became(self, rows: int, answer: TakenView | str) -> None:
        """Of one part."""
        self.left -= 1
        refused = [answer] if isinstance(answer, str) else answer.refused
        self.used |= not isinstance(answer, str) and answer.taken + answer.old > 0
        self.said += refused
        if self.left == 0:
            self.folder._put_away(self.path, "done" if self.used else "wrong", self.said)


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, strict=True)
        try:
            _check_columns(path, rows.fieldnames or [])
            for row in rows:
                if None in row or None in row.values():
                    raise DataError(
                        path.name, [f"line {rows.line_num}: it must have {len(rows.fieldnames or [])} fields"]
                    )
                one: dict[str, Any] = {key: text.strip() for key, text in row.items()}
                one["value"] = _number(one["value"])
                yield {key: value for key, value in one.items() if value != "" or key in _NEEDED}
        except csv.Error as error:
            raise DataError(path.name, [f"line {rows.line_num}: {error}"]) from None


def _number(text: str) -> float | str:
    """As the service checks it: what is no number is told by it."""
    try:
        return float(text)
    except ValueError:
        return text


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(AT_ONCE):
                for row in batch.to_pylist():
                    yield {key: _plain(value) for key, value in row.items() if value is not None or key in _NEEDED}
    except pa.ArrowException as error:
        raise DataError(path.name, [f"it cannot be read as Parquet: {str(error)[:200]}"]) from None


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _check_columns(path: Path, names: Any) -> None:
    bad = [f"column {name!r} is missing" for name in _NEEDED if name not in names]
    bad += [f"unknown column {name!r}" for name in islice((n for n in names if n not in COLUMNS), 10)]
    if bad:
        raise DataError(path.name, bad)
