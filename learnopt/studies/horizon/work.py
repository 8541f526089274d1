"""What the stages of one plan share: the time left, the nodes and rounds counted, and who is told of progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from learnopt.engines import Patience, Stopwatch
from learnopt.network import Status

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""
ENOUGH = 2.0
"""Of a patience: after so many times its seconds any gap will do."""
ANYTHING = 1 - 1e-9
"""A gap that every bound has reached."""
MOMENT = 1e-3
"""Seconds that a search gets at least, however late it is: for a configuration and the bound of its root."""


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
    patience
        When to be content with less than the gap asked for: with any gap after :data:`ENOUGH` times its seconds. None =
        never.
    report
        Told of progress.

    Attributes
    ----------
    contented
        A gap larger than the one asked for was enough.
    answers
        There is a plan, so that Ctrl-C ends the searches and not the call.
    interrupted
        It was pressed: what is known is the answer.
    """

    limit: float
    report: Progress = _silent
    watch: Stopwatch = field(default_factory=Stopwatch)
    node_limit: int | None = None
    patience: Patience | None = None
    nodes: int = 0
    rounds: int = 0
    answers: bool = False
    contented: bool = False
    interrupted: bool = False

    def count(self, found: Counted) -> None:
        """Add the nodes of a search, at least one; an interrupt during it is one of the call."""
        self.nodes += max(found.nodes, 1)
        if found.status is Status.INTERRUPTED:
            self.interrupt()

    def interrupt(self) -> None:
        """End all searches; the call too where there is no plan, or where Ctrl-C is pressed a second time."""
        if self.interrupted or not self.answers:
            raise KeyboardInterrupt
        self.interrupted = True

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, which an interrupt ends."""
        with self.watch.stage(name):
            try:
                yield
            except KeyboardInterrupt:
                self.interrupt()

    def nodes_left(self, share: float = 1.0, most: int | None = None) -> int | None:
        """Nodes for the next search: a share of those left, one at least, ``most`` at most; None = no limit."""
        if self.node_limit is None:
            return most
        left = max(int(share * (self.node_limit - self.nodes)), 1)
        return left if most is None else min(left, most)

    @property
    def left(self) -> float:
        """Seconds left until the limit, below zero when late."""
        return -math.inf if self.interrupted else self.limit - self.watch.elapsed

    def seconds(self, share: float = 1.0) -> float | None:
        """Time limit of a search: this share of what is left, a moment at least; None = no limit."""
        return None if self.left == math.inf else max(share * self.left, MOMENT)

    def patient(self, share: float) -> Patience | None:
        """Patience of a search: this share of what is left of that of the call, then any gap will do."""
        if self.patience is None:
            return None
        return Patience(max(share * (self._enough - self.watch.elapsed), 0.0), ANYTHING)

    def part(self, share: float) -> tuple[float, Patience | None]:
        """Seconds and patience of work of its own that gets this share of what is left."""
        seconds = math.inf if self.left == math.inf else max(share * self.left, MOMENT)
        if self.patience is None:
            return seconds, None
        left = max(share * (self._enough - self.watch.elapsed) / ENOUGH, 0.0)
        return seconds, Patience(left, self.patience.gap)

    @property
    def late(self) -> bool:
        """The time is over, or the nodes are spent, or nobody waits any longer."""
        return self.left < 0 or self._spent or self.watch.elapsed > self._enough

    def content(self, gap: float) -> bool:
        """What is proven, this gap, is enough by now; whoever asks ends his searches then."""
        if self.patience is not None and gap <= self.patience.gap and self.watch.elapsed >= self.patience.seconds:
            self.contented = True
        return self.contented

    def reached(self, gap: float) -> str:
        """Why the call ended before the gap asked for, in a sentence; ``gap`` is the one proven."""
        if self.interrupted:
            return "Interrupted; this is the best plan so far."
        if self._spent:
            return f"Node limit of {self.node_limit} reached."
        if self.patience is not None and math.isinf(gap):
            said = f"Nothing is proven after {self.watch.elapsed:.0f} s, as neither a gap nor a limit was set."
            return f"{said} To go on, ask for a gap or set a time limit."
        if self.patience is not None:
            return self.patience.told(gap, self.watch.elapsed)
        return f"Time limit of {self.limit:g} s reached."

    @property
    def _enough(self) -> float:
        """Seconds after which any gap will do."""
        return math.inf if self.patience is None else ENOUGH * self.patience.seconds

    @property
    def _spent(self) -> bool:
        return self.node_limit is not None and self.nodes >= self.node_limit
