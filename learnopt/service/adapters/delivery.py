"""From a source to the service: one interface for all sources, and the way that everything from them goes.

Nothing of it writes to a plant, or to the database: an adapter has a token of the role ``source`` and can do nothing
but send measurements. While the service does not answer, what is read waits here, so much of it, and then at its
source.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from learnopt.errors import LearnoptError
from learnopt.service.client import AnswerError, Client
from learnopt.service.schema import TakenView

log = logging.getLogger("learnopt.service.adapters")

AT_ONCE = 5000
"""Measurements of one request."""
_WAITING = 2000
"""Batches that wait for the service before the source has to."""
_LONGEST_S = 30.0
_DENIED = (401, 403)
_BUSY = (0, 429)


class SourceLostError(LearnoptError):
    """The source does not answer, or has gone away; it is tried again."""


@dataclass(frozen=True)
class Batch:
    """Measurements of one feeder that came together.

    Parameters
    ----------
    feeder
        Its name in the service.
    measurements
        As :func:`~learnopt.studies.operation.measurements.measurement_of` reads them; the service checks each.
    became
        Told what became of them, where the source has to know: the answer of the service, or a sentence why it has
        refused them all.
    """

    feeder: str
    measurements: Sequence[Any]
    became: Callable[[TakenView | str], None] | None = None


class Adapter(Protocol):
    """A source of measurements."""

    def batches(self) -> AsyncIterator[Batch]:
        """What arrives, until the source has no more.

        Raises
        ------
        SourceLostError
            Where it cannot be reached; it is asked again after a while.
        """
        ...


@dataclass
class Counted:
    """What was done since the start."""

    taken: int = 0
    old: int = 0
    refused: int = 0
    lost: int = 0
    """Times that the source was lost."""


@dataclass
class _Way:
    """The way of what arrives: a queue, and who sends from it."""

    client: Client
    pause_s: float
    counted: Counted = field(default_factory=Counted)

    def __post_init__(self) -> None:
        self.queue: asyncio.Queue[Batch | None] = asyncio.Queue(_WAITING)

    async def read(self, adapter: Adapter) -> None:
        """Everything of a source, as often as it is lost; the end of it is told by None."""
        wait_s = self.pause_s
        while True:
            try:
                async for batch in adapter.batches():
                    wait_s = self.pause_s
                    await self.queue.put(batch)
                break
            except SourceLostError as error:
                self.counted.lost += 1
                log.warning("source lost", extra={"error": str(error), "again_in_s": wait_s})
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_S)
        await self.queue.put(None)

    async def send(self) -> None:
        """What waits, together where it is of one feeder and nobody asks what became of it."""
        first = await self.queue.get()
        while first is not None:
            together, following = list(first.measurements), self._at_hand()
            while following and _joins(first, following[0]) and len(together) < AT_ONCE:
                together += following[0].measurements  # type: ignore[union-attr]
                following = self._at_hand()
            await self._sent(Batch(first.feeder, together, first.became))
            first = following[0] if following else await self.queue.get()

    def _at_hand(self) -> list[Batch | None]:
        """The next one, if it is there."""
        return [] if self.queue.empty() else [self.queue.get_nowait()]

    async def _sent(self, batch: Batch) -> None:
        """Until the service has answered."""
        parts = [batch.measurements[k : k + AT_ONCE] for k in range(0, len(batch.measurements), AT_ONCE)]
        taken, old, refused = 0, 0, list[str]()
        for part in parts:
            answer = await self._answer(batch.feeder, part)
            if isinstance(answer, str):
                self.counted.refused += len(part)
                log.error("refused", extra={"feeder": batch.feeder, "error": answer})
                if batch.became is not None:
                    batch.became(answer)
                return
            taken, old, refused = taken + answer.taken, old + answer.old, refused + answer.refused
        self.counted.taken += taken
        self.counted.old += old
        self.counted.refused += len(refused)
        for sentence in refused[:20]:
            log.warning("refused", extra={"feeder": batch.feeder, "error": sentence})
        if batch.became is not None:
            batch.became(TakenView(taken=taken, old=old, refused=refused))

    async def _answer(self, feeder: str, measurements: Sequence[Any]) -> TakenView | str:
        wait_s = self.pause_s
        while True:
            try:
                return await asyncio.to_thread(self.client.send, feeder, measurements)
            except AnswerError as error:
                if error.status in _DENIED:
                    raise
                if error.status not in _BUSY and error.status < 500:
                    return str(error)
                log.warning("the service does not answer", extra={"error": str(error), "again_in_s": wait_s})
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_S)


def _joins(first: Batch, following: Batch | None) -> bool:
    return (
        following is not None and first.became is None and following.became is None and following.feeder == first.feeder
    )


async def deliver(adapter: Adapter, client: Client, pause_s: float = 1.0) -> Counted:
    """Send what a source gives until it has no more, or this is cancelled.

    Parameters
    ----------
    pause_s
        Wait before a source or the service is tried again; doubled each time, up to half a minute.

    Raises
    ------
    AnswerError
        If the service does not let this token in.
    """
    way = _Way(client, pause_s)
    reading = asyncio.create_task(way.read(adapter))
    sending = asyncio.create_task(way.send())
    try:
        done, _ = await asyncio.wait((reading, sending), return_when=asyncio.FIRST_EXCEPTION)
        for one in done:
            one.result()
    finally:
        for one in (reading, sending):
            one.cancel()
            with contextlib.suppress(asyncio.CancelledError, LearnoptError):
                await one
    return way.counted
