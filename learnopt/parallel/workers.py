"""Who does the work of a map, and what happens when they end in the middle of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from learnopt.errors import DataError, LearnoptError

Prepare = tuple[Callable[..., object], tuple[Any, ...]]
"""A function and its arguments, called once in every worker before its first task."""


class WorkersLostError(LearnoptError):
    """Workers ended again and again in the middle of their tasks (killed, or out of memory), or their scheduler did.

    Parameters
    ----------
    reason
        What happened, and what to do.
    places
        Of the items whose tasks were in work then: one of them may be the cause. None where a scheduler ended.
    """

    def __init__(self, reason: str, places: tuple[int, ...] = ()) -> None:
        super().__init__(reason)
        self.places = places


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Parameters
    ----------
    processes
        Of this machine; 0 = this process itself. Not used where there is a scheduler.
    scheduler
        Address of a Dask scheduler (``tcp://host:8786``). Its workers have this version of learnopt, one thread each,
        and see the folders that tasks name.
    retries
        How often a task is given to another worker when its own has ended in the middle of it. An exception of a task
        is none of these: it would come again. A scheduler goes by its own ``allowed-failures``.
    """

    processes: int = 1
    scheduler: str | None = None
    retries: int = 2

    @classmethod
    def of(cls, count: int, scheduler: str | None = None) -> Workers:
        """As options say it: so many processes, 0 = one per core; where that is one, this process itself.

        Raises
        ------
        DataError
            If the count is negative, or the scheduler no address.
        """
        processes = count or os.cpu_count() or 1
        return cls(0 if processes == 1 else processes, scheduler)

    def __post_init__(self) -> None:
        problems = [f"{name} = {n} must be >= 0" for name, n in vars(self).items() if name != "scheduler" and n < 0]
        if self.scheduler is not None and "://" not in self.scheduler:
            problems.append(f"scheduler {self.scheduler!r} is no address: write it as tcp://host:8786")
        if problems:
            raise DataError("workers", problems)


HERE = Workers(0)
"""This process itself."""
