"""What a solve may spend, and how work is shared between threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from learnopt.engines.base import Stopwatch

Task = TypeVar("Task")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Budget:
    """Time and threads.

    Parameters
    ----------
    limit
        Seconds on ``watch``.
    threads
        For compiled searches; it has no influence on what they do.
    """

    limit: float
    watch: Stopwatch
    threads: int = 1

    @property
    def left(self) -> bool:
        """There is time."""
        return self.seconds > 0

    @property
    def seconds(self) -> float:
        """Time left, negative when it is over."""
        return self.limit - self.watch.elapsed

    def share(self, part: float) -> Budget:
        """The same, but the time limit is this part of it."""
        return Budget(part * self.limit, self.watch, self.threads)


def in_threads(work: Callable[[Task], Answer], tasks: Iterable[Task], threads: int) -> list[Answer]:
    """Answers in the order of the tasks; ``work`` must be compiled without the interpreter's lock to gain anything."""
    listed = list(tasks)
    if threads == 1 or len(listed) < 2:
        return [work(task) for task in listed]
    with ThreadPoolExecutor(min(threads, len(listed))) as pool:
        return list(pool.map(work, listed))
