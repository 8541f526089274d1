"""What stands before every request: how much one may ask, how large it may be, and what browsers are told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from learnopt.service.metrics import Metrics

LARGEST = 8 * 2**20
"""Bytes of a request."""
_MOST_KEYS = 10_000
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Pages load nothing from elsewhere; styles in attributes are those of the pictures."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


@dataclass
class Limiter:
    """So many at once, and so many a second from then on, for every key.

    Parameters
    ----------
    clock
        Seconds that only go on.
    """

    rate: float
    burst: float
    clock: Callable[[], float] = time.monotonic
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def wait_s(self, key: str) -> float:
        """0 where one more is allowed, else the time until it is."""
        with self._turn:
            now = self.clock()
            left, at = self._left.get(key, (self.burst, now))
            left = min(self.burst, left + self.rate * (now - at))
            if len(self._left) >= _MOST_KEYS:  # those that have had time enough to be full again
                full = self.burst / self.rate
                self._left = {k: v for k, v in self._left.items() if now - v[1] < full}
            allowed = left >= 1
            self._left[key] = (left - allowed, now)
            return 0.0 if allowed else (1 - left) / self.rate


class TooLargeError(HTTPException):
    """The body of a request goes on beyond what is allowed."""

    def __init__(self) -> None:
        super().__init__(413, f"the request is larger than {LARGEST // 2**20} MiB")


class Gate:
    """Around the whole application.

    Parameters
    ----------
    tls
        Browsers are told to come back over TLS only.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, tls: bool) -> None:
        self.app, self.metrics = app, metrics
        told = dict(HEADERS, **({"strict-transport-security": "max-age=31536000"} if tls else {}))
        self.headers = [(name.encode(), value.encode()) for name, value in told.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, received, status = time.perf_counter(), 0, 500

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > LARGEST:
                raise TooLargeError
            return message

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in self.headers if h[0] not in given)]
            await send(message)

        declared = dict(scope["headers"]).get(b"content-length", b"0")
        try:
            if not declared.isdigit() or int(declared) > LARGEST:
                raise TooLargeError
            await self.app(scope, counted, with_headers)
        except TooLargeError as error:
            await JSONResponse({"errors": [error.detail]}, error.status_code)(scope, receive, with_headers)
        finally:
            self.metrics.add("learnopt_requests_total", method=_method(scope), status=str(status))
            if not scope["path"].endswith("/events"):
                self.metrics.time("learnopt_request_seconds", time.perf_counter() - begun)


def _method(scope: Any) -> str:
    known = ("GET", "HEAD", "POST", "PATCH", "DELETE")
    return scope["method"] if scope["method"] in known else "other"
