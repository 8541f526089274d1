"""Tasks on a Dask cluster; Dask schedules, and gives tasks of workers that have ended to others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import cache, partial
from itertools import islice
from typing import Any

from learnopt._version import __version__
from learnopt.errors import DataError, UnsupportedError
from learnopt.parallel.workers import Prepare, Workers, WorkersLostError

_AHEAD = 3
"""Tasks per worker that the scheduler knows at least: it never sees a million of them."""
_AT_ONCE = 256
"""Tasks that the scheduler knows where workers are few. They go there by halves, since a message of one task takes as
long as one of a hundred."""
_TIMEOUT_S = 30


def on_cluster(
    function: Callable[[Any], Any], items: Sequence[Any], workers: Workers, prepare: Prepare | None
) -> Generator[tuple[int, Any], None, None]:
    """Answers as they come from the workers of a scheduler."""
    assert workers.scheduler is not None
    if not items:
        return
    client = _connected(workers.scheduler)
    from distributed import CancelledError, as_completed
    from distributed.scheduler import KilledWorker

    places: dict[Any, int] = {}
    try:
        ahead = max(_AHEAD * _check(client, workers.scheduler), _AT_ONCE)
        coming = as_completed((), loop=client.loop)  # else it asks for a default client, which a command has not
        task, following = partial(_carry_out, function, prepare), iter(range(len(items)))

        def submit() -> None:
            """As many tasks as there is room for."""
            batch = list(islice(following, ahead - len(places)))
            # pure=False: a task writes files, its answer must not come from an earlier one of the same item.
            futures = client.map(task, [items[place] for place in batch], pure=False, retries=0) if batch else []
            places.update(zip(futures, batch, strict=True))
            coming.update(futures)

        submit()
        for future in coming:
            place = places.pop(future)
            try:
                answer = future.result()
            except KilledWorker:
                problem = f"workers of {workers.scheduler} ended in the middle of task {place} again and again"
                raise WorkersLostError(f"{problem}: killed, or out of memory; see their logs", (place,)) from None
            except CancelledError:
                problem = f"the connection to scheduler {workers.scheduler} is lost"
                raise WorkersLostError(f"{problem}: run it again when it is back; what is done stays") from None
            if len(places) <= ahead // 2:
                submit()
            yield place, answer
    finally:
        client.cancel(list(places))
        client.close()


def size_of_cluster(scheduler: str) -> int:
    """The number of workers.

    Raises
    ------
    DataError, UnsupportedError
        As :func:`on_cluster`.
    """
    client = _connected(scheduler)
    try:
        return _check(client, scheduler)
    finally:
        client.close()


def _connected(scheduler: str) -> Any:
    """A client, which is to be closed."""
    try:
        from distributed import Client
    except ModuleNotFoundError as missing:
        how = "pip install learnopt[cluster] adds it"
        raise UnsupportedError(f"a scheduler needs {missing.name}, which is not installed: {how}") from None
    try:
        return Client(scheduler, timeout=_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise DataError(f"scheduler {scheduler}", [f"does not answer ({error}): start it, or leave it out"]) from None


def _check(client: Any, scheduler: str) -> int:
    """The number of workers.

    Raises
    ------
    DataError
        If there are none, or some compute with another version of learnopt or several threads.
    """
    known = client.scheduler_info(n_workers=-1)["workers"]
    problems = [] if known else ["has no workers: start some with `dask worker ADDRESS --nthreads 1`"]
    threads = [address for address, worker in known.items() if worker["nthreads"] != 1]
    if threads:
        # Searches count and compile for one thread; Dask would run several tasks in one process.
        problems.append(f"workers with several threads ({', '.join(threads)}): start them with --nthreads 1")
    try:
        versions = client.run(_version)
    except ModuleNotFoundError:
        problems.append(f"workers without learnopt: install version {__version__} there")
        versions = {}
    problems += [f"worker {a} has learnopt {v}, not {__version__}" for a, v in versions.items() if v != __version__]
    if problems:
        raise DataError(f"scheduler {scheduler}", problems)
    return len(known)


def _version() -> str:
    return __version__


def _carry_out(function: Callable[[Any], Any], prepare: Prepare | None, item: Any) -> Any:
    if prepare is not None:
        _prepared(prepare)
    return function(item)


@cache
def _prepared(prepare: Prepare) -> None:
    """Once in a worker."""
    prepare[0](*prepare[1])
