"""Tasks that workers can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

PREPARED: list[str] = []


def prepare(word: str) -> None:
    """What a worker does first."""
    PREPARED.append(word)


def square(number: int) -> tuple[int, tuple[str, ...], str | None]:
    """The answer, what this process prepared, and how many threads it may use."""
    return number * number, tuple(PREPARED), os.environ.get("OMP_NUM_THREADS")


def fail_at_two(number: int) -> int:
    """Raise for 2; the others take long."""
    if number == 2:
        raise ZeroDivisionError("two")
    time.sleep(0 if number < 2 else 60)
    return number


def die(marker: Path) -> str:
    """Kill this process in the middle of the task, unless it did so before."""
    if marker.name == "calm" or (marker.exists() and marker.name == "once"):
        return "done"
    marker.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def hold(number: int) -> None:
    """Say that it runs, and go on for a long time."""
    os.write(1, b"ready\n")  # whole, between those of others: print writes a line and its end one after the other
    time.sleep(60)
