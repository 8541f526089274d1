"""What the stages of one plan share: the time left, the nodes and rounds counted, and who is told of progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from learnopt.engines import Stopwatch
from learnopt.network import Status

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""


class Counted(Protocol):
    """Outcome of a search."""

    @property
    def status(self) -> Status:
        """How it ended."""
        ...

    @property
    def nodes(self) -> int:
        """Branch-and-bound nodes."""
        ...


def _silent(_what: str, _done: int, _total: int) -> None:
    """Nobody is told."""


@dataclass
class Work:
    """Time and effort of one call of :func:`learnopt.studies.horizon.plan_horizon`.

    Parameters
    ----------
    limit
        Seconds for everything; ``inf`` = no limit.
    report
        Told of progress.
    """

    limit: float
    report: Progress = _silent
    watch: Stopwatch = field(default_factory=Stopwatch)
    nodes: int = 0
    rounds: int = 0

    def count(self, found: Counted) -> None:
        """Add the nodes of a search; an interrupt during it ends the call."""
        if found.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        self.nodes += found.nodes

    @property
    def left(self) -> float:
        """Seconds left, below zero when late."""
        return self.limit - self.watch.elapsed

    @property
    def late(self) -> bool:
        """The time is over."""
        return self.left < 0
