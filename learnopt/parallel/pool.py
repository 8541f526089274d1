"""Tasks in processes of this machine, which end with the one that started them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from typing import Any

from learnopt.parallel.workers import Prepare, Workers, WorkersLostError

_AHEAD = 3
"""Tasks per process that are handed out: the next ones lie ready, and items are not all pickled at once."""


def in_processes(
    function: Callable[[Any], Any], items: Sequence[Any], workers: Workers, prepare: Prepare | None
) -> Generator[tuple[int, Any], None, None]:
    """Answers as they come; processes that were killed are replaced and their tasks given out again."""
    left = list(range(len(items)))
    lost: Counter[int] = Counter()
    while left:
        finished: set[int] = set()
        try:
            with closing(_one_pool(function, items, left, workers.processes, prepare)) as coming:
                for place, answer in coming:
                    finished.add(place)
                    yield place, answer
        except _PoolBrokenError as broken:
            lost.update(broken.places)
            hopeless = [place for place in broken.places if lost[place] > workers.retries]
            if hopeless:
                raise WorkersLostError(
                    f"processes ended in the middle of tasks {', '.join(map(str, hopeless))}, "
                    f"{workers.retries + 1} times: killed, or out of memory; use fewer of them",
                    tuple(hopeless),
                ) from None
        left = [place for place in left if place not in finished]


class _PoolBrokenError(Exception):
    """A process of a pool has ended; none of its tasks is known to be done."""

    def __init__(self, places: Sequence[int]) -> None:
        self.places = places
        super().__init__(places)


def _one_pool(
    function: Callable[[Any], Any], items: Sequence[Any], places: Sequence[int], processes: int, prepare: Prepare | None
) -> Generator[tuple[int, Any], None, None]:
    """Answers from one pool, until all are there or a process ends."""
    others = set(multiprocessing.active_children())
    # Spawned, since compiled code and solvers do not fork well.
    pool = ProcessPoolExecutor(
        min(processes, len(places)), multiprocessing.get_context("spawn"), initializer=_begin, initargs=(prepare,)
    )
    waiting: dict[Future[Any], int] = {}
    coming = iter(places)
    try:
        while True:
            with _one_thread_each():  # processes are started by what is submitted
                while len(waiting) < _AHEAD * processes and (place := next(coming, None)) is not None:
                    waiting[pool.submit(function, items[place])] = place
            if not waiting:
                break
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                answer = future.result()
                yield waiting.pop(future), answer
    except BrokenProcessPool:
        raise _PoolBrokenError(sorted(waiting.values())) from None
    except BaseException:
        # What a task writes appears whole or not at all: stopping at once loses nothing but the work on it.
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(prepare: Prepare | None) -> None:
    """Before the first task of a process."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started it ends the others
    if prepare is not None:
        prepare[0](*prepare[1])


def end_with_parent() -> None:
    """End this process when its parent ends, however that happens: a killed run leaves no workers behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that start meanwhile compute in one thread: they are the parallelism."""
    previous = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if previous is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = previous
