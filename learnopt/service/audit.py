"""The audit trail: who did what when, each line bound to all before it by a hash.

A line that is changed, taken out or put in breaks the chain there. Lines cut off at the end leave a whole chain:
whoever must be able to tell keeps the number and hash of the last line elsewhere (``learnopt service audit``).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from learnopt.service.database import Entry

FIRST = "0" * 64
"""What the first line is bound to."""


def canonical(value: Any) -> str:
    """JSON of one form only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def record(session: Session, who: str, what: str, **detail: Any) -> Entry:
    """Append a line, inside :meth:`.Database.write`."""
    last = session.scalars(select(Entry).order_by(Entry.number.desc()).limit(1)).first()
    number, before = (1, FIRST) if last is None else (last.number + 1, last.hash)
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    entry = Entry(number=number, time=now, who=who, what=what, detail=canonical(detail), hash="")
    entry.hash = _hash(entry, before)
    session.add(entry)
    session.flush()
    return entry


def _hash(entry: Entry, before: str) -> str:
    line = canonical([before, entry.number, entry.time, entry.who, entry.what, entry.detail])
    return hashlib.sha256(line.encode()).hexdigest()


@dataclass(frozen=True)
class Verified:
    """What was found of a chain.

    Parameters
    ----------
    lines
        How many there are.
    last
        Hash of the last one.
    broken_at
        Number of the first line that does not fit to those before; None where all fit.
    """

    lines: int
    last: str
    broken_at: int | None


def verify(session: Session, since: Verified | None = None) -> Verified:
    """Walk the chain: all of it, or on from where it was found whole; that line must still be what it was."""
    before, lines = FIRST, 0
    if since is not None and since.broken_at is None and since.lines:
        stands = session.get(Entry, since.lines)
        if stands is None or stands.hash != since.last:
            return Verified(since.lines, since.last, since.lines)
        before, lines = since.last, since.lines
    for entry in entries(session, lines):
        lines += 1
        if entry.number != lines or entry.hash != _hash(entry, before):
            return Verified(lines, before, entry.number)
        before = entry.hash
    return Verified(lines, before, None)


class Watch:
    """The chain for those who look at it often: new lines at every look, the whole of it once an hour.

    Parameters
    ----------
    whole_s
        Time after which the whole chain is walked again.
    clock
        Seconds that only go on.
    """

    def __init__(self, whole_s: float = 3600.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._whole_s, self._clock = whole_s, clock
        self._found: Verified | None = None
        self._walked = -whole_s

    def verify(self, session: Session) -> Verified:
        """As it stands."""
        now = self._clock()
        whole = self._found is None or self._found.broken_at is not None or now - self._walked >= self._whole_s
        found = verify(session, None if whole else self._found)
        self._found, self._walked = found, now if whole else self._walked
        return found


def entries(session: Session, after: int = 0, most: int | None = None) -> Iterator[Entry]:
    """Lines in their order, beginning after a number."""
    wanted = select(Entry).where(Entry.number > after).order_by(Entry.number)
    yield from session.scalars(wanted if most is None else wanted.limit(most)).yield_per(1000)


def line_of(entry: Entry) -> dict[str, Any]:
    """A line as it is exported."""
    return {
        "number": entry.number,
        "time": entry.time,
        "who": entry.who,
        "what": entry.what,
        "detail": json.loads(entry.detail),
        "hash": entry.hash,
    }
