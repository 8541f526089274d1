"""OPC UA: nodes of a server, read again and again (extra ``opcua``); nothing is ever written to it.

A table names the nodes: columns ``node`` (``ns=2;s=Feeder1.P``) and ``point``, and where wanted ``scale`` (a factor on
the value, as 0.001 for watts) and ``feeder``.
"""

from __future__ import annotations

import asyncio
import csv
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from learnopt.errors import DataError, UnsupportedError
from learnopt.service.adapters.delivery import Batch, SourceLostError

_COLUMNS = ("node", "point", "scale", "feeder")
_ANSWER_S = 10.0


@dataclass(frozen=True)
class Tag:
    """A node and the point that it measures."""

    node: str
    point: str
    scale: float
    feeder: str


def tags_of(path: Path, feeder: str = "") -> list[Tag]:
    """A table of nodes.

    Raises
    ------
    DataError
        With everything that is wrong in it.
    """
    found, bad = [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines)
            names = table.fieldnames or []
            bad += [f"column {name!r} is missing" for name in _COLUMNS[:2] if name not in names]
            bad += [f"unknown column {name!r}" for name in names if name not in _COLUMNS]
            for row in () if bad else table:
                where = f"line {table.line_num}"
                one = {key: str(row.get(key) or "").strip() for key in _COLUMNS}
                try:
                    scale = float(one["scale"] or 1)
                except ValueError:
                    scale = math.nan
                bad += [f"{where}: {key} is missing" for key in _COLUMNS[:2] if not one[key]]
                bad += [] if math.isfinite(scale) else [f"{where}: scale = {one['scale']!r} must be a number"]
                bad += [] if one["feeder"] or feeder else [f"{where}: no feeder, and no --feeder was given"]
                found.append(Tag(one["node"], one["point"], scale, one["feeder"] or feeder))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(path), [f"it cannot be read: {error}"]) from None
    if bad or not found:
        raise DataError(str(path), bad or ["there is no node in it"])
    return found


@dataclass(frozen=True)
class OpcUa:
    """A server and its nodes.

    Parameters
    ----------
    url
        ``opc.tcp://host:4840``.
    every_s
        Between two readings.
    user, password
        "" where the server lets anybody read.
    security
        As of asyncua: ``Basic256Sha256,SignAndEncrypt,certificate.der,key.pem``; "" = none.
    """

    url: str
    tags: list[Tag]
    every_s: float = 2.0
    user: str = ""
    password: str = ""
    security: str = ""

    async def batches(self) -> AsyncIterator[Batch]:
        """A batch of each feeder at every reading."""
        try:
            from asyncua.client.client import Client
            from asyncua.ua.uaerrors import UaError
        except ImportError:
            raise UnsupportedError("OPC UA takes asyncua: pip install 'learnopt[opcua]'") from None
        try:
            client = Client(self.url, timeout=_ANSWER_S)
            if self.user:
                client.set_user(self.user)
                client.set_password(self.password)
            if self.security:
                await client.set_security_string(self.security)
            async with client:
                nodes = [client.get_node(tag.node) for tag in self.tags]
                while True:
                    values = await client.read_attributes(nodes)
                    for batch in self._batches(values, datetime.now(UTC)):
                        yield batch
                    await asyncio.sleep(self.every_s)
        except (UaError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise SourceLostError(f"{self.url}: {error or type(error).__name__}") from None

    def _batches(self, values: list[Any], now: datetime) -> list[Batch]:
        found: dict[str, list[Any]] = {}
        for tag, value in zip(self.tags, values, strict=True):
            one = measured(tag, value, now)
            if one is not None:
                found.setdefault(tag.feeder, []).append(one)
        return [Batch(feeder, some) for feeder, some in found.items()]


def measured(tag: Tag, value: Any, now: datetime) -> dict[str, Any] | None:
    """A reading of a node as a measurement; None where the server gives no value at all.

    The time is that of the server where it is later than that of the source: an unchanged value is as fresh as the
    server's look at it. A value that is no number is flagged bad.
    """
    status = value.StatusCode
    given = None if value.Value is None else value.Value.Value
    if given is None:
        return None
    quality = "good" if status.is_good() else "bad" if status.is_bad() else "doubtful"
    times = [_utc(one) for one in (value.SourceTimestamp, value.ServerTimestamp) if one is not None]
    number = float(given) if isinstance(given, bool | int | float) else math.nan
    if not math.isfinite(number):
        number, quality = 0.0, "bad"
    return {
        "point": tag.point,
        "value": number if isinstance(given, bool) else number * tag.scale,
        "time": max(times, default=now).isoformat(),
        "quality": quality,
    }


def _utc(time: datetime) -> datetime:
    """Times of OPC UA are in UTC, with or without saying so."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
