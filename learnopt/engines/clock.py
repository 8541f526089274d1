"""The clock of time limits: it stands still while code is compiled.

The first solve of a process compiles its loops, which takes seconds to minutes where nothing is cached. That is no part
of a search: with it a limit of a minute would be reached on one machine and not on another.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from learnopt.compiling import numba_hooks

Clock = Callable[[], float]
GoesOn = Callable[[], bool]
"""There is time, as a stage asks on its way: where it says no the stage ends with the weaker result it has by then."""


def always() -> bool:
    """There is time without end."""
    return True


class CompileTime:
    """Seconds in which some thread compiled, loaded compiled code or waited for another one that did.

    A listener of numba's compiler lock, which a thread holds whenever it does so. All threads count alike: those of a
    search work for the one that waits for them.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._depth: dict[int, int] = {}
        self._since = self._total = 0.0

    def notify(self, event: Any) -> None:
        """What numba calls."""
        if event.is_start:
            self.on_start()
        else:
            self.on_end()

    def on_start(self) -> None:
        """A thread asks for the lock, perhaps not for the first time."""
        with self._lock:
            if not self._depth:
                self._since = self._clock()
            thread = threading.get_ident()
            self._depth[thread] = self._depth.get(thread, 0) + 1

    def on_end(self) -> None:
        """A thread has given the lock back."""
        with self._lock:
            thread = threading.get_ident()
            depth = self._depth.pop(thread, 0)
            if depth > 1:
                self._depth[thread] = depth - 1
            elif depth == 1 and not self._depth:
                self._total += self._clock() - self._since

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        with self._lock:
            # Whoever asks does not compile: it was interrupted while it waited for the lock, which says nothing then.
            self._depth.pop(threading.get_ident(), None)
            return self._total + (self._clock() - self._since if self._depth else 0.0)


_COMPILING = CompileTime()


def _listen() -> None:
    from numba.core import event

    event.Listener.register(CompileTime)
    event.register("numba:compiler_lock", _COMPILING)


if "numba" in sys.modules:
    _listen()
else:
    numba_hooks.append(_listen)


def compiling_time() -> float:
    """Seconds that this process has spent compiling."""
    return _COMPILING.seconds


def working_time() -> float:
    """Seconds since some fixed instant, less those spent compiling."""
    return time.perf_counter() - compiling_time()


@dataclass
class Stopwatch:
    """Time of a solve and of its named stages, without compiling. Every time limit is measured on one.

    Parameters
    ----------
    clock
        Seconds since some fixed instant.
    """

    clock: Clock = working_time
    stages: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._started = self.clock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a named stage."""
        begin = self.clock()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + self.clock() - begin

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock() - self._started
