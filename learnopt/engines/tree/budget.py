"""What a solve may spend, and how work is shared between threads."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from learnopt.engines.base import Patience, Stopwatch

Task = TypeVar("Task")
Answer = TypeVar("Answer")


CHUNK_WORK = 4e7
"""Entries of the loop matrix that are touched between two looks at the clock: a second at most."""


@dataclass(frozen=True)
class Budget:
    """Time, nodes and threads.

    Parameters
    ----------
    limit
        Seconds on ``watch``.
    threads
        For compiled searches; it has no influence on what they do.
    nodes
        Number of nodes in all at which searches end.
    patience
        When to be content with less than was asked for.
    """

    limit: float
    watch: Stopwatch
    threads: int = 1
    nodes: int = sys.maxsize
    patience: Patience | None = None

    @property
    def left(self) -> bool:
        """There is time."""
        return self.seconds > 0

    @property
    def seconds(self) -> float:
        """Time left, negative when it is over."""
        return self.limit - self.watch.elapsed

    def share(self, part: float, explored: int, entries: int) -> Budget:
        """A part of what is left, in nodes: what a search finds in it is the same on every machine.

        Parameters
        ----------
        explored
            Nodes so far.
        entries
            Entries of the loop matrix, which a node touches.
        """
        nodes = part * min(self.nodes - explored, self.limit * CHUNK_WORK / entries)
        return replace(self, nodes=min(self.nodes, explored + int(min(nodes, sys.maxsize // 2))))

    def impatient(self, gap: float) -> bool:
        """The time has come to be content with a larger gap than this."""
        patience = self.patience
        return patience is not None and gap < patience.gap and self.watch.elapsed >= patience.seconds

    def content(self, gap: float) -> bool:
        """What is proven, this gap, is enough by now."""
        patience = self.patience
        return patience is not None and gap <= patience.gap and self.watch.elapsed >= patience.seconds

    def reached(self, explored: int, gap: float = math.inf) -> str:
        """Which limit ended a search that had proven a gap, in a sentence."""
        if self.patience is not None and explored < self.nodes and self.left:
            return self.patience.told(gap, self.watch.elapsed)
        if explored >= self.nodes:
            return f"Node limit of {self.nodes} reached."
        return f"Time limit of {self.limit:g} s reached."


def in_threads(work: Callable[[Task], Answer], tasks: Iterable[Task], threads: int) -> list[Answer]:
    """Answers in the order of the tasks; ``work`` must be compiled without the interpreter's lock to gain anything."""
    listed = list(tasks)
    if threads == 1 or len(listed) < 2:
        return [work(task) for task in listed]
    with ThreadPoolExecutor(min(threads, len(listed))) as pool:
        return list(pool.map(work, listed))
