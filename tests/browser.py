"""A headless Chromium that tests look through: pages at a size, for the screen or for paper, measured and pictured.

It is driven over its own debugging pipe, with nothing but the standard library. Where no Chromium is installed the
tests that need one are skipped by name.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FOUND = next((path for name in _NAMES if (path := shutil.which(name))), None)
_ABOVE = 10
"""Descriptors from here on are none of those that Chromium is given."""
needs_browser = pytest.mark.skipif(FOUND is None, reason=f"no browser installed: none of {', '.join(_NAMES)}")


class Browser:
    """One page of a running Chromium.

    Parameters
    ----------
    reader, writer
        Descriptors of its debugging pipe: JSON messages, each ended by a zero byte.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self._rest = b""
        self._last = 0
        self._session = ""
        self.complaints: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command; events that come before it are looked at."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._reader, 1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        line, self._rest = self._rest.split(b"\0", 1)
        message = dict(json.loads(line))
        if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(json.dumps(message["params"]))
        return message

    def open(self, page: Path | str, width: int, height: int = 900, paper: bool = False, dark: bool = False) -> None:
        """Load a file, or an address, at a width [px]; a narrow one as a phone; dark as in a dark room."""
        self.complaints = []
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._ask("Emulation.setEmulatedMedia", media="print" if paper else "screen", features=scheme)
        self._ask("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        self.run("new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))")
        self.run("new Promise(done => setTimeout(done, 300))")

    def run(self, script: str) -> Any:
        """Value of an expression in the page."""
        answer = self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """A key: ``Tab`` or ``Enter``."""
        code, text = {"Tab": (9, ""), "Enter": (13, "\r")}[key]
        for kind in ("keyDown", "keyUp"):
            typed = {"text": text} if text and kind == "keyDown" else {}
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **typed)

    def move(self, x: float, y: float) -> None:
        """The mouse to a place of the window."""
        self._ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        size = self._ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12000), "scale": 1}
        found = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(found["data"]))

    def paper(self, path: Path) -> None:
        """The page as PDF, on the paper that it asks for."""
        found = self._ask("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile, ended at the end."""
    assert FOUND is not None
    to_browser, from_browser = os.pipe(), os.pipe()

    def pipes() -> None:
        """Chromium reads commands from descriptor 3 and answers on 4, whatever numbers the pipes have."""
        reader, writer = (fcntl.fcntl(one, fcntl.F_DUPFD, _ABOVE) for one in (to_browser[0], from_browser[1]))
        os.dup2(reader, 3)
        os.dup2(writer, 4)

    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"]
    with subprocess.Popen(
        [FOUND, *arguments, f"--user-data-dir={profile}"],
        preexec_fn=pipes,
        pass_fds=(3, 4),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(to_browser[0])
        os.close(from_browser[1])
        try:
            yield Browser(from_browser[0], to_browser[1])
        finally:
            process.kill()
            os.close(to_browser[1])
            os.close(from_browser[0])
