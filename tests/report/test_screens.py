"""What a dispatcher sees: every page on a desk, on a phone and on paper, measured in a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, chromium, needs_browser
from conftest import make_network
from report_results import solved

import learnopt
from learnopt.generator.example import write_example
from learnopt.io.files import write_text
from learnopt.network import Network, ReconfigurationProblem
from learnopt.physics import evaluate
from learnopt.report.configuration.page import report_html
from learnopt.report.drawing.files import write_diagram

pytestmark = needs_browser
OPTIMUM = [7, 9, 14, 32, 37]
DESK, PHONE, PAPER = (1280, False), (390, False), (688, True)
"""Widths [px]; paper is A4 less its margins."""
SIZES = {"desk": DESK, "phone": PHONE, "paper": PAPER}
MOST_BYTES = 1_500_000

# Boxes of all texts that are shown in pictures, by picture: left, top, right, bottom and the words.
TEXTS = """
[...document.querySelectorAll('svg.sheet, svg.chart')].filter(s => s.getClientRects().length).map(s => {
  const frame = s.getBoundingClientRect();
  return {frame: [frame.left, frame.top, frame.right, frame.bottom],
    texts: [...s.querySelectorAll('text')].filter(t => t.getClientRects().length
      && getComputedStyle(t.parentElement).display !== 'none').map(t => {
        const b = t.getBoundingClientRect();
        return [b.left, b.top, b.right, b.bottom, t.textContent];
      })};
})
"""
# Elements that reach beyond the page, or whose content is cut.
BEYOND = """
[...document.querySelectorAll('body *')].filter(e => e.getClientRects().length && !e.closest('svg')
  && !e.classList.contains('tip')).filter(e => {
    const b = e.getBoundingClientRect();
    return b.right > document.documentElement.clientWidth + 1 || b.left < -1
      || (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 && getComputedStyle(e).display !== 'inline');
  }).map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 40))
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all pages."""
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def large_network() -> Network:
    """Two stations with eight feeders of thirty buses, ties across all of them: long ones are shortened."""
    rng = np.random.default_rng(4)
    rows: list[tuple[object, ...]] = []
    loads = {}
    for f in range(8):
        before: object = "AB"[f % 2]
        for k in range(30):
            bus = f"{f}-{k}"
            rows.append((before, bus, 0.05, 0.05))
            loads[bus] = (float(rng.uniform(5, 30)), 4.0)
            before = bus if rng.random() < 0.9 else before
    for f in range(8):
        for k in (7, 18, 28):
            other = f"{(f + 1 + k % 3) % 8}-{int(rng.integers(3, 30))}"
            rows.append((f"{f}-{k}", other, 0.05, 0.05, {"normally_open": True, "id": f"tie {f}{k}"}))
    return make_network(rows, loads, ["A", "B"], name="large", title="Two stations")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pages(case33: Network, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of every kind, by name."""
    folder = tmp_path_factory.mktemp("pages")
    write_example(folder, np.random.default_rng(1))
    feeder, day = folder / "feeder.json", folder / "day.csv"
    found = {}

    def place(name: str) -> Path:
        found[name] = folder / f"{name}.html"
        return found[name]

    problem = ReconfigurationProblem.of(case33)
    write_text(place("solve"), report_html(problem, solved(problem, case33.configuration(OPTIMUM))))
    learnopt.solve(feeder, scenario=folder / "now.json").report(place("outage"))
    learnopt.check(feeder, ["K-N8", "K-C8", "T1", "T3", "T5"]).report(place("check"))
    learnopt.inspect(feeder).report(place("inspect"))
    learnopt.horizon(feeder, day, steps=6).report(place("horizon"))
    learnopt.savings(feeder, day, price_per_mwh=80.0).report(place("savings"))
    learnopt.plan_conductors("case16", "odnr").report(place("conductors"))
    learnopt.plan_substations("turkay").report(place("substations"))
    large = large_network()
    normal = large.normal_configuration
    many = ReconfigurationProblem.of(large)
    write_diagram(place("diagram"), many, normal, evaluate(many, normal))
    return found


KINDS = ("solve", "outage", "check", "inspect", "horizon", "savings", "conductors", "substations", "diagram")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_overflows_overlaps_or_is_cut(pages: dict[str, Path], browser: Browser, kind: str, size: str) -> None:
    """No page is wider than its window, no label of a picture meets another one or the rim, no script complains."""
    width, paper = SIZES[size]
    browser.open(pages[kind], width, paper=paper)
    if folder := os.environ.get("LEARNOPT_SCREENSHOTS"):
        browser.picture(Path(folder) / f"{kind}_{size}.png")
    assert browser.complaints == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(BEYOND) == []
    shown = browser.run(TEXTS)
    assert shown
    for picture in shown:
        left, top, right, bottom = picture["frame"]
        boxes = picture["texts"]
        for x0, y0, x1, y1, words in boxes:
            assert x0 >= left - 1, words
            assert x1 <= right + 1, words
            assert y0 >= top - 4, words  # boxes of letters are taller than what is drawn of them
            assert y1 <= bottom + 4, words
        for i, (a0, b0, a1, b1, one) in enumerate(boxes):
            for c0, d0, c1, d1, other in boxes[i + 1 :]:
                apart = a1 <= c0 + 1 or c1 <= a0 + 1 or b1 <= d0 + 3 or d1 <= b0 + 3
                assert apart, f"{one!r} meets {other!r}"


@pytest.mark.parametrize("kind", KINDS)
def test_pages_are_light_and_know_small_windows(pages: dict[str, Path], kind: str) -> None:
    """Every page states its viewport and weighs less than a photograph."""
    text = pages[kind].read_text(encoding="utf-8")
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert len(text.encode()) < MOST_BYTES
    assert ">None<" not in text


def test_steps_of_an_order_are_cards_on_a_phone(pages: dict[str, Path], browser: Browser) -> None:
    """At 390 pixels every cell of the switching plan stands below the one before, with its name, in full letters."""
    browser.open(pages["outage"], PHONE[0])
    cells = browser.run(
        """[...document.querySelector('.plan tbody tr').children].map(c => {
             const b = c.getBoundingClientRect(), name = getComputedStyle(c, '::before').content;
             return [b.top, b.bottom, name, parseFloat(getComputedStyle(c).fontSize)];
           })"""
    )
    assert [c[2] for c in cells][:4] == ['"step"', '"action"', '"by"', '"what"']
    assert all(before[1] <= after[0] + 1 for before, after in pairwise(cells))
    assert all(cell[3] >= 13 for cell in cells)


def test_open_switches_and_changed_ones_are_named(pages: dict[str, Path], browser: Browser) -> None:
    """All open switches of a feeder of 33 buses have their id on the screen of a desk, before and after."""
    browser.open(pages["solve"], DESK[0])
    before, after = browser.run(
        """[...document.querySelectorAll('svg.sheet')]
             .map(s => [...s.querySelectorAll('.fitted text')].map(t => t.textContent))"""
    )
    for texts in (before, after):
        assert {"33", "34", "35", "36", "37", "7", "9", "14", "32"} <= set(texts)


@pytest.mark.parametrize("kind", ["solve", "diagram"])
def test_zoom_moves_all_pictures_and_shows_other_ids(pages: dict[str, Path], browser: Browser, kind: str) -> None:
    """Closer there are other ids, as large as before, and all pictures of the page have moved alike."""
    browser.open(pages[kind], PHONE[0])
    state = """[...document.querySelectorAll('svg.sheet')].map(s => [
        s.querySelector('.view').getAttribute('transform'),
        [...s.querySelectorAll('.fitted text')].map(t => t.textContent),
        s.querySelector('.fitted text').getBoundingClientRect().height])"""
    far = browser.run(state)
    closer = "document.querySelector('.buttons button').click();"
    browser.run(f"{3 * closer} new Promise(done => setTimeout(done, 200))")
    near = browser.run(state)
    assert far[0][0] != near[0][0]
    assert {transform for transform, _, _ in near} == {near[0][0]}
    assert near[0][2] == pytest.approx(far[0][2], abs=1)
    assert set(near[0][1]) != set(far[0][1])
    if kind == "diagram":
        assert set(near[0][1]) - set(far[0][1])


def test_the_mouse_is_told_what_it_points_at(pages: dict[str, Path], browser: Browser) -> None:
    """Over the open switch 33 stands its name with its ends; beside everything nothing."""
    browser.open(pages["solve"], DESK[0])
    x, y = browser.run(
        """(() => {
             const s = document.querySelector('svg.sheet');
             s.scrollIntoView();
             const { spots } = JSON.parse(s.parentElement.querySelector('script').textContent);
             const [x, y] = spots.find(p => p[2].startsWith('branch 33'));
             const r = s.getBoundingClientRect(), k = r.width / 1160;
             return [r.left + x * k, r.top + y * k];
           })()"""
    )
    browser.move(x, y)
    tip = "(t => [t.hidden, t.textContent])(document.querySelector('.tip'))"
    hidden, text = browser.run(tip)
    assert not hidden
    assert text.startswith("branch 33 (21 – 8)\nopen")
    browser.move(3, 3)
    assert browser.run(tip)[0]


def test_packed_words_are_read(pages: dict[str, Path], browser: Browser) -> None:
    """The words of a large network are compressed in the page, and there in the browser."""
    assert 'class="packed"' in pages["diagram"].read_text(encoding="utf-8")
    browser.open(pages["diagram"], DESK[0])
    assert browser.run("document.querySelectorAll('.fitted text').length") > 50
    assert browser.complaints == []


def test_feeders_have_colours(pages: dict[str, Path], browser: Browser, case33: Network) -> None:
    """The legend names both feeders of the 33 buses, widths with their losses, and the colours are in the picture."""
    browser.open(pages["solve"], DESK[0])
    entries = browser.run("[...document.querySelectorAll('.legend li')].map(l => l.textContent)")
    assert "feeder 2" in entries
    assert "feeder 18" in entries
    assert sum("kW lost" in entry for entry in entries) == 3
