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
    node_limit
        Branch-and-bound nodes of all searches; None = no limit.
    report
        Told of progress.
    """

    limit: float
    report: Progress = _silent
    watch: Stopwatch = field(default_factory=Stopwatch)
    node_limit: int | None = None
    nodes: int = 0
    rounds: int = 0

    def count(self, found: Counted) -> None:
        """Add the nodes of a search, at least one; an interrupt during it ends the call."""
        if found.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        self.nodes += max(found.nodes, 1)

    def nodes_left(self, share: float = 1.0, most: int | None = None) -> int | None:
        """Nodes for the next search: a share of those left, one at least, ``most`` at most; None = no limit."""
        if self.node_limit is None:
            return most
        left = max(int(share * (self.node_limit - self.nodes)), 1)
        return left if most is None else min(left, most)

    @property
    def left(self) -> float:
        """Seconds left, below zero when late."""
        return self.limit - self.watch.elapsed

    @property
    def late(self) -> bool:
        """The time is over, or the nodes are spent."""
        return self.left < 0 or self._spent

    @property
    def reached(self) -> str:
        """Which limit is reached, in a sentence."""
        return (
            f"Node limit of {self.node_limit} reached." if self._spent else f"Time limit of {self.limit:g} s reached."
        )

    @property
    def _spent(self) -> bool:
        return self.node_limit is not None and self.nodes >= self.node_limit
