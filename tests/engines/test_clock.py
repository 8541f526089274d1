"""Compiling does not count against time limits."""

import threading
import time

import pytest
from numba import njit
from numba.core.event import Event, EventStatus

from learnopt.engines.clock import CompileTime, Stopwatch, compiling_time

START = Event("numba:compiler_lock", EventStatus.START)
END = Event("numba:compiler_lock", EventStatus.END)


class _Clock:
    """Shows what it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _in_thread(work) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_compiling_within_compiling_counts_once():
    clock = _Clock()
    compiling = CompileTime(clock)
    for now, happens in ((1.0, START), (2.0, START), (4.0, END), (8.0, END)):
        clock.now = now
        compiling.notify(happens)
    clock.now = 100.0
    assert compiling.seconds == 7.0


def test_threads_that_compile_at_once_count_once():
    clock = _Clock()
    compiling = CompileTime(clock)
    clock.now = 1.0
    compiling.notify(START)
    clock.now = 3.0
    _in_thread(lambda: compiling.notify(START))
    clock.now = 4.0
    compiling.notify(END)
    clock.now = 6.0
    assert compiling.seconds == 5.0, "the other thread still compiles"


def test_interrupted_while_waiting_the_clock_goes_on():
    clock = _Clock()
    compiling = CompileTime(clock)
    compiling.notify(START)  # and no end
    clock.now = 5.0
    assert compiling.seconds == 0.0
    clock.now = 6.0
    assert compiling.seconds == 0.0
    compiling.notify(END)
    assert compiling.seconds == 0.0


def test_a_stopwatch_leaves_out_what_numba_compiles():
    @njit
    def fresh(x):
        total = 0.0
        for i in range(100):
            total += x * i
        return total

    before, begin, watch = compiling_time(), time.perf_counter(), Stopwatch()
    fresh(1.5)
    elapsed, compiled = watch.elapsed, compiling_time() - before
    wall = time.perf_counter() - begin
    assert compiled > 0
    assert elapsed + compiled <= wall

    before = compiling_time()
    fresh(2.5)
    assert compiling_time() == before, "nothing is compiled twice"


def test_stages_add_up():
    clock = _Clock()
    watch = Stopwatch(clock)
    for begin, end in ((1.0, 3.0), (10.0, 14.0)):
        clock.now = begin
        with watch.stage("search"):
            clock.now = end
    assert watch.stages == {"search": 6.0}
    assert watch.elapsed == 14.0


def test_a_stage_that_fails_counts():
    clock = _Clock()
    watch = Stopwatch(clock)

    def fails() -> None:
        with watch.stage("search"):
            clock.now = 2.0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert watch.stages == {"search": 2.0}
