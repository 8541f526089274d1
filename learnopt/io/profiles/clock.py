"""Clock times of measured series: reading them, clock changes, duplicates, gaps and missing values.

Whatever is repaired is said in a note; nothing is repaired in silence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from learnopt.errors import DataError
from learnopt.network import Floats, Ints
from learnopt.wording import counted

Times = NDArray[np.datetime64]

HOUR = 3600
_LONGEST_FILLED = 3 * HOUR
"""Rows that are missing for longer stay missing: the series has a gap there [s]."""
_MOST_CELLS = 200_000_000
"""Numbers of a series in memory: ten years of quarter hours at 570 buses."""
_MOST_MISSING = 0.25
"""A column with a larger share of missing values is refused."""
_DAY_FIRST = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?$")
_END_OF_DAY = re.compile(r"(?P<date>\d.*[ T])24(?::?00){0,2}(?:[.,]0+)?(?P<offset>(?:Z|[+-]\d\d.*)?)$")
_HOUR_24 = re.compile(r"[ T]24")
_LONGEST_SUMMER = np.timedelta64(245, "D")
_AUTUMN, _SPRING = (4, 10, 11), (3, 9, 10)
"""Months in which clocks are put back, and forward, on a Sunday night: both hemispheres."""


def read_times(texts: Sequence[str | None], subject: str) -> tuple[Times, bool]:
    """Instants of a column of text: ISO 8601 with or without UTC offset, or day first (``31.12.2016 23:45``).

    ``24:00`` is midnight of the next day.

    Returns
    -------
    datetime64[s], shape (n_row,)
        UTC where the texts have an offset, else as written.
    bool
        The texts have an offset.

    Raises
    ------
    DataError
        With the first lines whose time cannot be read; if only some times have an offset.
    """
    moments: list[datetime] = []
    bad = []
    for row, text in enumerate(texts):
        moment = _moment(text or "")
        if moment is None:
            bad.append(f"row {row + 1}: time {text!r} is not a time: write 2016-12-31 23:45 or 2016-12-31T23:45+01:00")
        else:
            moments.append(moment)
    if bad:
        more = [f"{len(bad) - 5} more rows have no readable time"] if len(bad) > 5 else []
        raise DataError(subject, bad[:5] + more)
    zoned = {moment.tzinfo is not None for moment in moments}
    if len(zoned) > 1:
        raise DataError(subject, ["some times have a UTC offset and some have none: write all in one way"])
    naive = [moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment for moment in moments]
    return np.array(naive, dtype="datetime64[s]"), True in zoned


def _moment(text: str) -> datetime | None:
    text = text.strip()
    # ISO 8601 ends a day at 24:00: midnight of the next one. Hour-ending meters write it, Python does not read it.
    end_of_day = _END_OF_DAY.match(text)
    if end_of_day:
        text = f"{end_of_day['date']}00:00{end_of_day['offset']}"
    parts = _DAY_FIRST.match(text)
    try:
        if parts:
            day, month, year, hour, minute, second = (int(part or 0) for part in parts.groups())
            moment = datetime(year, month, day, hour, minute, second)
        elif len(text) >= 8 and (end_of_day or not _HOUR_24.search(text)):
            moment = datetime.fromisoformat(text)
        else:
            return None
        return moment + timedelta(days=1) if end_of_day else moment
    except (ValueError, OverflowError):
        return None


def check_cells(cells: int, subject: str) -> None:
    """Refuse series that would fill the memory.

    Raises
    ------
    DataError
        If there are more than 200 million numbers.
    """
    if cells > _MOST_CELLS:
        raise DataError(
            subject,
            [f"{cells} numbers (times by columns) are more than the {_MOST_CELLS} that are read: give fewer times"],
        )


def regular_series(
    times: Times, values: Floats, columns: Sequence[str], local: bool, subject: str
) -> tuple[Times, Floats, list[str]]:
    """A series in order of time, one row per instant, without missing values.

    Parameters
    ----------
    times, values
        Rows as in the file, shapes (n_row,) and (n_row, n_column); NaN where a value is missing.
    columns
        Names for notes and errors.
    local
        The times are clock times without offset: look for clock changes, and answer in standard (winter) time.

    Returns
    -------
    times, values, notes
        Strictly increasing times; what was repaired.

    Raises
    ------
    DataError
        If a column misses more than a quarter of its values.
    """
    notes: list[str] = []
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    stamps, first, count = np.unique(times, return_index=True, return_counts=True)
    summers = _summers(stamps, count) if local else []
    if np.any(np.diff(order) < 0) and not summers:
        notes.append("rows were not in order of time: sorted")
    rows = _one_row_per_stamp(stamps, first, count, values, summers, notes)
    times, values = _standard_time(stamps, rows, values[np.minimum(first + 1, len(values) - 1)], summers, notes)
    values = _fill_missing(times, values, columns, notes, subject)
    times, values = _fill_gaps(times, values, notes, subject)
    return times, values, notes


def _resolution(stamps: Times) -> int:
    """Most common step between instants [s]; 0 for a single one."""
    steps, counts = np.unique(np.diff(stamps).astype(np.int64), return_counts=True)
    return int(steps[np.argmax(counts)]) if len(steps) else 0


def _sunday_night(stamp: np.datetime64, months: tuple[int, ...]) -> bool:
    moment: datetime = stamp.astype("datetime64[s]").item()
    return moment.month in months and moment.weekday() == 6 and moment.hour <= 3


@dataclass(frozen=True)
class _Summer:
    """Daylight saving time in a series: rows ``begin`` to ``end`` of the unique stamps are one hour ahead.

    Rows ``twice`` to ``end`` are shown a second time by the clock put back; empty where the series ends before that.
    """

    begin: int
    twice: int
    end: int
    skipped: bool
    """The series shows the clock put forward at its begin."""


def _summers(stamps: Times, count: Ints) -> list[_Summer]:
    """Daylight saving times that a series shows by an hour that is skipped, an hour that occurs twice, or both."""
    step = _resolution(stamps)
    if not 0 < step <= HOUR or HOUR % step:
        return []
    steps = np.diff(stamps).astype(np.int64)
    skips = [k + 1 for k in np.flatnonzero(steps == step + HOUR).tolist() if _sunday_night(stamps[k] + step, _SPRING)]
    length = HOUR // step
    twice = np.flatnonzero(count == 2)
    returns = [
        int(run[0])
        for run in np.split(twice, np.flatnonzero(np.diff(twice) > 1) + 1)
        if len(run) == length and _sunday_night(stamps[run[0]], _AUTUMN)
    ]
    summers = []
    for start in returns:
        before = [k for k in skips if stamps[start] - stamps[k] < _LONGEST_SUMMER and k < start]
        if before:
            summers.append(_Summer(before[-1], start, start + length, skipped=True))
        elif stamps[start] - stamps[0] < _LONGEST_SUMMER:
            summers.append(_Summer(0, start, start + length, skipped=False))
    used = {summer.begin for summer in summers}
    # A summer that the series does not see the end of. Longer than a summer, the hour is just missing.
    for k in skips:
        if k not in used and stamps[-1] - stamps[k] < _LONGEST_SUMMER:
            summers.append(_Summer(k, len(stamps), len(stamps), skipped=True))
    return summers


def _one_row_per_stamp(
    stamps: Times, first: Ints, count: Ints, values: Floats, summers: list[_Summer], notes: list[str]
) -> Floats:
    """First row of every stamp; rows of a stamp that no clock change explains are averaged."""
    rows = values[first].copy()
    explained = np.zeros(len(stamps), dtype=bool)
    for summer in summers:
        explained[summer.twice : summer.end] = True
    repeated = np.flatnonzero((count > 1) & ~explained)
    for k in repeated:
        same = values[first[k] : first[k] + count[k]]
        known = np.isfinite(same)
        total = np.where(known, same, 0.0).sum(axis=0)
        rows[k] = np.divide(total, known.sum(axis=0), out=np.full(len(total), np.nan), where=known.any(axis=0))
    if len(repeated):
        notes.append(
            f"{counted(len(repeated), 'time occurs', 'times occur')} "
            f"more than once, first {stamps[repeated[0]]}: their rows were averaged"
        )
    return rows


def _standard_time(
    stamps: Times, rows: Floats, second: Floats, summers: list[_Summer], notes: list[str]
) -> tuple[Times, Floats]:
    """Summers moved back by an hour, and the second showing of the hour at their end put behind the first."""
    times, values = [stamps.copy()], [rows]
    for summer in summers:
        times[0][summer.begin : summer.end] -= np.timedelta64(HOUR, "s")
        if summer.skipped:
            notes.append(f"clocks put forward: the hour before {stamps[summer.begin]} does not exist")
        if summer.twice < summer.end:
            notes.append(
                f"clocks put back: the hour from {stamps[summer.twice]} occurs twice, both are kept in their order"
            )
            times.append(stamps[summer.twice : summer.end])
            values.append(second[summer.twice : summer.end])
    if summers:
        notes.append("times are standard (winter) time throughout")
    moved = np.concatenate(times)
    order = np.argsort(moved, kind="stable")
    return moved[order], np.concatenate(values)[order]


def _fill_missing(times: Times, values: Floats, columns: Sequence[str], notes: list[str], subject: str) -> Floats:
    """Missing values interpolated linearly in time, the nearest one at the ends."""
    missing = np.isnan(values)
    if not missing.any():
        return values
    share = missing.mean(axis=0)
    bad = [
        f"column {columns[c]!r}: {share[c]:.0%} of the values are missing: give them or leave the column out"
        for c in np.flatnonzero(share > _MOST_MISSING).tolist()
    ]
    if bad:
        raise DataError(subject, bad)
    filled = values.copy()
    holed = np.flatnonzero(missing.any(axis=0)).tolist()
    for c in holed:
        known = ~missing[:, c]
        filled[~known, c] = _interpolate(times[~known], times[known], values[known, c])
    names = ", ".join(repr(columns[c]) for c in holed[:5]) + (" ..." if len(holed) > 5 else "")
    notes.append(
        f"{counted(int(missing.sum()), 'missing value')} in {counted(len(holed), 'column')} ({names}): interpolated"
    )
    return filled


def _fill_gaps(times: Times, values: Floats, notes: list[str], subject: str) -> tuple[Times, Floats]:
    """Rows for the instants that a short gap leaves out."""
    step = _resolution(times)
    gaps = np.diff(times).astype(np.int64)
    longest = max(_LONGEST_FILLED + step, step)
    long = np.flatnonzero(gaps > longest)
    if len(long):
        widest = long[np.argmax(gaps[long])]
        notes.append(f"{counted(len(long), 'gap')} of more than 3 hours left open, longest after {times[widest]}")
    short = np.flatnonzero((gaps > step) & (gaps <= longest) & (gaps % max(step, 1) == 0))
    if not len(short):
        return times, values
    check_cells(int(gaps[short].sum() // max(step, 1) + len(times)) * values.shape[1], subject)
    new = np.concatenate([times[k] + np.arange(step, gaps[k], step).astype("timedelta64[s]") for k in short])
    notes.append(
        f"{counted(len(new), 'time is', 'times are')} missing in gaps of up to 3 hours, first {new[0]}: interpolated"
    )
    rows = np.column_stack([_interpolate(new, times, column) for column in values.T])
    order = np.argsort(np.concatenate([times, new]), kind="stable")
    return np.concatenate([times, new])[order], np.concatenate([values, rows])[order]


def _interpolate(wanted: Times, times: Times, values: Floats) -> Floats:
    return np.interp(wanted.astype(np.int64), times.astype(np.int64), values)
