"""Who wants to hear that something has changed: pages that are open, each with a queue of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_WAITING = 100
"""Messages that wait for one page; of more the page is told the rest by the next one."""


class Bulletin:
    """News from any thread to the event loop."""

    def __init__(self) -> None:
        self._readers: dict[asyncio.Queue[str], asyncio.AbstractEventLoop] = {}
        self._turn = threading.Lock()

    def tell(self, feeder: str) -> None:
        """Something has changed on a feeder."""
        with self._turn:
            for queue, loop in self._readers.items():
                if not loop.is_closed():
                    loop.call_soon_threadsafe(_put, queue, feeder)

    @contextmanager
    def reading(self) -> Iterator[asyncio.Queue[str]]:
        """The queue of one page, inside the event loop."""
        queue: asyncio.Queue[str] = asyncio.Queue(_WAITING)
        with self._turn:
            self._readers[queue] = asyncio.get_running_loop()
        try:
            yield queue
        finally:
            with self._turn:
                del self._readers[queue]

    @property
    def readers(self) -> int:
        """How many there are."""
        return len(self._readers)


def _put(queue: asyncio.Queue[str], feeder: str) -> None:
    if not queue.full():
        queue.put_nowait(feeder)
