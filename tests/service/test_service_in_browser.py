"""The pages in a real browser: log in, see a proposal appear, approve, follow the steps, abort; two people at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from browser import Browser, chromium, needs_browser
from control_room import Made, make

from learnopt.service import people
from learnopt.service.app import application
from learnopt.service.people import Role

PASSWORD = "correct horse battery"
pytestmark = needs_browser


@contextmanager
def listening(made: Made) -> Iterator[str]:
    """Address of the room's pages."""
    with made.room.database.write() as session:
        for name, role in (("anna", Role.OPERATOR), ("ben", Role.OPERATOR), ("vera", Role.VIEWER)):
            people.add_user(session, name, PASSWORD, role, "console")
    config = uvicorn.Config(application(made.room), port=0, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


def log_in(browser: Browser, url: str, name: str, width: int = 1200, dark: bool = False) -> None:
    browser.open(f"{url}/login", width, dark=dark)
    until(browser, "document.querySelector('[name=name]')", "the form")
    browser.run(
        f"document.querySelector('[name=name]').value = '{name}';"
        f"document.querySelector('[name=password]').value = '{PASSWORD}';"
        "document.querySelector('button.main').click()"
    )
    shows(browser, "Log out")


def until(browser: Browser, condition: str, what: str) -> None:
    """Wait for a condition, over pages that are loaded meanwhile."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(AssertionError):  # the page went away while it was asked
            if browser.run(f"document.readyState === 'complete' && !!({condition})"):
                return
        time.sleep(0.05)
    raise AssertionError(f"{what} does not appear in:\n{browser.run('document.body.innerText')}")


def shows(browser: Browser, text: str) -> None:
    """Wait until the page says so, by itself."""
    until(browser, f"document.body.innerText.includes({text!r})", text)


def click(browser: Browser, what: str, reason: str = "") -> None:
    """A button of a proposal."""
    form = f"document.querySelector('form[action$=\"/{what}\"]')"
    until(browser, form, what)
    if reason:
        browser.run(f"{form}.querySelector('[name=reason]').value = {reason!r}")
    browser.run(f"{form}.querySelector('button').click()")


def test_a_proposal_from_its_appearance_to_the_way_back(tmp_path: Path) -> None:
    """Two people look; what one does the other sees without loading the page; nothing is complained of."""
    made = make(tmp_path)
    with listening(made) as url, chromium(tmp_path / "a") as anna, chromium(tmp_path / "b") as ben:
        log_in(anna, url, "anna")
        log_in(ben, url, "ben", width=390)
        for browser, width in ((anna, 1200), (ben, 390)):
            browser.open(f"{url}/feeders/case33", width)
            shows(browser, "No cycle yet")
            shows(browser, "Live.")
        made.measured(5)
        for browser in (anna, ben):
            shows(browser, "Waits for approval")
            shows(browser, "Proven with the AC power flow")
            assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        until(anna, "document.querySelectorAll('.sheets.live svg.sheet').length === 2", "now, and proposed")
        click(anna, "approve")
        shows(anna, "Approved by anna")
        shows(ben, "Approved by anna")
        click(ben, "begin")
        shows(ben, "carry it out now")
        made.measured(0.1)
        shows(anna, "confirmed by telemetry")
        shows(anna, "Step 2 is carried out")
        click(anna, "abort", reason="a storm is coming")
        shows(anna, "On the way back")
        shows(anna, "a storm is coming")
        for _ in range(3):
            made.measured(0.1)
        shows(ben, "Aborted, back at the start")
        assert anna.complaints + ben.complaints == []
    assert made.state(1) == "aborted"


def test_by_keyboard_in_a_dark_room(tmp_path: Path) -> None:
    """Tab finds the button, Enter presses it; nothing is light; a viewer has no buttons; refusals are told."""
    made = make(tmp_path)
    made.measured(5)
    with listening(made) as url, chromium(tmp_path / "a") as browser:
        log_in(browser, url, "anna", dark=True)
        browser.open(f"{url}/proposals/1", 800, dark=True)
        shows(browser, "Live.")
        assert browser.run(CONTRAST) == []
        for _ in range(20):
            browser.press("Tab")
            if browser.run("document.activeElement.textContent") == "Approve":
                break
        assert browser.run("document.activeElement.textContent") == "Approve"
        assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        browser.press("Enter")
        shows(browser, "Approved by anna")
        made.clock.on(seconds=5)
        made.room.take("case33", [{"point": "branch:37:closed", "value": 1, "time": made.clock.now().isoformat()}], "x")
        click(browser, "begin")
        shows(browser, "This is not possible as things stand")
        shows(browser, "branch 37 is closed now")
        browser.open(f"{url}/alarms", 390, dark=True)
        shows(browser, "no step asked for it")
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        assert browser.run(CONTRAST) == []
        browser.run("document.querySelector('form[action=\"/logout\"] button').click()")
        shows(browser, "Password")
        log_in(browser, url, "vera")
        browser.open(f"{url}/proposals/1", 800)
        assert browser.run("document.querySelectorAll('.acts button').length") == 0
        assert browser.run(CONTRAST) == []
        assert [one for one in browser.complaints if "409" not in one] == []


CONTRAST = """(() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(c)) return c;
    }
    return 'rgb(255, 255, 255)';
  };
  const poor = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.closest('.sheets') || !e.getClientRects().length || e.closest('.skip')) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) poor.push(e.outerHTML.slice(0, 90) + ' ' + ((a + .05) / (b + .05)).toFixed(2));
  }
  return poor;
})()"""
"""Texts whose contrast to their ground is below that of WCAG AA."""
