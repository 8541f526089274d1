"""One map, several engines."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, TypeVar

from learnopt.parallel.workers import Prepare, Workers

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Engine = Callable[
    [Callable[[Any], Any], Sequence[Any], Workers, Prepare | None], Generator[tuple[int, Any], None, None]
]
"""Yields answers as they come, each with the place of its item."""


def run_tasks(
    function: Callable[[Item], Answer],
    items: Sequence[Item],
    workers: Workers,
    prepare: Prepare | None = None,
    take: Callable[[int, Answer], object] | None = None,
    progress: Callable[[int, int], None] | None = None,
    done: int = 0,
) -> list[Answer]:
    """Answers in the order of the items.

    When a task raises, or Ctrl-C is pressed, the other tasks end at once; no process is left over then, nor when this
    process is killed. To go on later is the caller's: items are what is not done yet.

    Parameters
    ----------
    function
        Can be imported; takes one item.
    prepare
        What a worker does before its first task, for instance compile.
    take
        Called here with each answer as it comes, and the place of its item: what keeps answers.
    progress
        Called with the number of tasks done and of all, those of ``done`` included, at the beginning and after each.
    done
        Tasks of earlier runs.

    Raises
    ------
    WorkersLostError
        If the workers of a task ended more often than it is retried, or the scheduler did.
    DataError
        If there is no such scheduler, or its workers do not fit.
    UnsupportedError
        If a scheduler is given and Dask is not installed.
    """
    total = done + len(items)
    if progress is not None:
        progress(done, total)
    answers: dict[int, Answer] = {}
    with closing(_engine(workers)(function, items, workers, prepare)) as coming:
        for place, answer in coming:
            answers[place] = answer
            if take is not None:
                take(place, answer)
            if progress is not None:
                progress(done + len(answers), total)
    return [answers[place] for place in range(len(items))]


def size_of(workers: Workers) -> int:
    """How many tasks are done at one time.

    Raises
    ------
    DataError, UnsupportedError
        As :func:`run_tasks`.
    """
    if workers.scheduler is not None:
        from learnopt.parallel.cluster import size_of_cluster

        return size_of_cluster(workers.scheduler)
    return max(workers.processes, 1)


def _engine(workers: Workers) -> Engine:
    """Loaded when it is used: processes and Dask cost imports."""
    if workers.scheduler is not None:
        from learnopt.parallel.cluster import on_cluster

        return on_cluster
    if workers.processes:
        from learnopt.parallel.pool import in_processes

        return in_processes
    return _here


def _here(
    function: Callable[[Any], Any], items: Sequence[Any], workers: Workers, prepare: Prepare | None
) -> Generator[tuple[int, Any], None, None]:
    """In this process, in order."""
    if prepare is not None and items:
        prepare[0](*prepare[1])
    for place, item in enumerate(items):
        yield place, function(item)
