"""MQTT: messages of a broker (extra ``mqtt``).

The topic ``PREFIX/FEEDER`` takes batches, ``PREFIX/FEEDER/POINT`` measurements of one point (:mod:`.messages`).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from learnopt.errors import DataError, UnsupportedError
from learnopt.service.adapters.delivery import Batch, SourceLostError
from learnopt.service.adapters.messages import batch_of

_QUEUED = 10_000
"""Messages that wait here; of more, at quality of service 0, the newest are lost."""


@dataclass(frozen=True)
class Mqtt:
    """A broker.

    Parameters
    ----------
    prefix
        First levels of all topics, before the feeder's name.
    user, password
        "" where the broker asks for none.
    tls
        Speak TLS; with certificates of ``authority`` (PEM) where it is given, else those of the system.
    """

    host: str
    port: int = 1883
    prefix: str = "learnopt"
    user: str = ""
    password: str = ""
    tls: bool = False
    authority: Path | None = None

    def __post_init__(self) -> None:
        if not self.prefix or any(c in self.prefix for c in "+#\0") or self.prefix.startswith("/"):
            raise DataError("mqtt", [f"prefix {self.prefix!r} must be levels of a topic without '+' and '#'"])

    async def batches(self) -> AsyncIterator[Batch]:
        """Messages as they arrive, at least once."""
        try:
            import aiomqtt
        except ImportError:
            raise UnsupportedError("MQTT takes aiomqtt: pip install 'learnopt[mqtt]'") from None
        try:
            async with aiomqtt.Client(
                self.host,
                self.port,
                username=self.user or None,
                password=self.password or None,
                tls_context=ssl.create_default_context(cafile=self.authority) if self.tls else None,
                max_queued_incoming_messages=_QUEUED,
            ) as client:
                await client.subscribe(f"{self.prefix}/#", qos=1)
                async for message in client.messages:
                    payload = message.payload if isinstance(message.payload, bytes) else str(message.payload).encode()
                    found = self.read(str(message.topic), payload)
                    if found is not None:
                        yield found
        except (aiomqtt.MqttError, OSError) as error:
            raise SourceLostError(f"broker {self.host}:{self.port}: {error}") from None

    def read(self, topic: str, payload: bytes) -> Batch | None:
        """One message."""
        feeder, _, point = topic.removeprefix(f"{self.prefix}/").partition("/")
        return batch_of(feeder, point, payload) if feeder else None
