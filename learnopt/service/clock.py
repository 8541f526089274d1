"""What time it is on the feeders: that of the world, or of a demo whose day takes minutes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Clock:
    """A clock.

    Parameters
    ----------
    start
        What it shows at the beginning; None = the time of the world.
    speed
        Seconds that it goes on in one second.
    """

    start: datetime | None = None
    speed: float = 1.0
    _began: float = field(default_factory=time.monotonic, repr=False)

    def now(self) -> datetime:
        """In UTC."""
        if self.start is None:
            return datetime.now(UTC)
        return self.start + timedelta(seconds=self.speed * (time.monotonic() - self._began))
