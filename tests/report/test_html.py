from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import make_network
from report_results import failed, solved

from learnopt.io.files import write_text
from learnopt.network import Certificate, Network, ReconfigurationProblem, Scenario, Status
from learnopt.physics import evaluate
from learnopt.report.configuration.page import report_html
from learnopt.report.drawing.profile import profile_chart, profile_figure, voltage_profile

HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What a browser would load from a page, its tags and its text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """What a tag loads."""
        self._inside = tag
        found = [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.loads += [value for value in found if not value.startswith("#")]  # a part of the page itself
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        """Text goes on outside."""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Text of the page or of a script."""
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """What a reader sees, on one line."""
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_report_of_a_solution(case33: Network, tmp_path: Path) -> None:
    """The page tells loss before and after, saving, certificate and plan, and loads nothing from anywhere."""
    problem = ReconfigurationProblem.of(case33)
    path = tmp_path / "report.html"
    write_text(path, report_html(problem, solved(problem, case33.configuration([7, 9, 14, 32, 37]))))
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    source = path.read_text(encoding="utf-8")
    page = Page(source)
    assert page.loads == []
    assert path.stat().st_size < 200_000
    assert "default-src 'none'" in source
    style = source.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    for fact in (
        "202.7 kW",
        "139.6 kW",
        "63.13 kW",
        "31 %",
        "0.9378 pu",
        "can lose less than 139.412 kW",
        "loop closed",
    ):
        assert fact in page.text, fact


def test_hostile_ids_stay_text(tmp_path: Path) -> None:
    """Ids, names and messages that look like markup appear as text and start no script."""
    net = make_network(
        [(0, HOSTILE, 1, 1, {"id": "</script><b>"}), (0, "$x$", 1, 1), (HOSTILE, "$x$", 1, 1, {"normally_open": True})],
        {HOSTILE: (900, 300), "$x$": (100, 30)},
        name=HOSTILE,
        title="$a$ " + HOSTILE,
        source="<img src=http://example.org>",
    )
    problem = ReconfigurationProblem.of(net)
    result = solved(problem, net.configuration(["</script><b>"]), message=HOSTILE, engine="<i>")
    source = report_html(problem, result)
    page = Page(source)
    assert HOSTILE not in source
    assert len(page.scripts) == 3  # what moves pictures, and the words of two of them
    assert not any("</script" in script for script in page.scripts)
    assert page.text.count(HOSTILE) >= 3
    assert "</script><b>" in page.text
    assert page.loads == []


@pytest.mark.parametrize("status", [Status.INFEASIBLE, Status.NO_SOLUTION, Status.INTERRUPTED])
def test_report_without_configuration(case33: Network, status: Status) -> None:
    """A result without a configuration has a page that says why and shows the feeder as it is."""
    text = Page(report_html(ReconfigurationProblem.of(case33), failed(status, "bus 18 stays below 0.95 pu"))).text
    assert "bus 18 stays below 0.95 pu" in text
    assert "202.7 kW" in text
    assert "Switching plan" not in text


def test_report_of_an_outage(case33: Network) -> None:
    """A start that does not feed every bus has no figures before, and the plan says that supply is restored."""
    scenario = Scenario.nominal(case33)
    out = scenario.out_of_service.copy()
    out[case33.branches([7])] = True
    problem = ReconfigurationProblem.of(case33, replace(scenario, out_of_service=out))
    target = case33.configuration([7, 9, 14, 32, 37])
    text = Page(report_html(problem, solved(problem, target, certificate=Certificate.NONE))).text
    assert "out of service" in text.lower()
    assert "have no path to a substation" in text
    assert "restored by the first closings" in text
    assert "139.6 kW" in text


def test_voltage_violations_are_listed(case33: Network) -> None:
    """Violations before are counted and listed, after too."""
    problem = ReconfigurationProblem.of(replace(case33, vm_min=0.93))
    text = Page(report_html(problem, solved(problem, case33.configuration([7, 9, 14, 32, 37])))).text
    assert re.search(r"Before: \d+", text)
    assert "bus 18: voltage 0.91309 pu is below 0.93 pu" in text
    assert "at least 0.93 pu" in text


def test_voltage_limits_of_each_bus(case33: Network) -> None:
    """Limits that differ are told as a range, and the profile shows that of each bus."""
    low = np.where(np.arange(case33.n_bus) % 2, 0.93, 0.9)
    problem = ReconfigurationProblem.of(replace(case33, vm_min=low, vm_max=np.where(low > 0.9, np.inf, 1.02)))
    page = report_html(problem, solved(problem, case33.configuration([7, 9, 14, 32, 37])))
    assert "at least 0.9 to 0.93 pu, bus by bus and at most 1.02 pu" in Page(page).text
    assert "lower limit, bus by bus" in page
    evaluation = evaluate(problem, case33.normal_configuration)
    profile = voltage_profile(problem, case33.normal_configuration, evaluation)
    axes = profile_figure(problem, profile, None).axes[0]
    drawn = {text.get_text() for text in axes.get_legend().get_texts()}
    assert {"lower limit, bus by bus", "upper limit, bus by bus"} <= drawn
    series = {one.name: one for one in profile_chart(problem, profile, None).series}
    shown = series["lower limit, bus by bus"].y
    assert np.isnan(shown[0])
    np.testing.assert_array_equal(shown[1:], low[1:])


def test_same_result_same_bytes(case33: Network) -> None:
    """The page depends on the result alone."""
    problem = ReconfigurationProblem.of(case33)
    result = solved(problem, case33.configuration([7, 9, 14, 32, 37]))
    assert report_html(problem, result) == report_html(problem, result)


def test_zero_resistance_network() -> None:
    """A feeder without resistance has a profile by number of branches and a saving without division by zero."""
    net = make_network([(0, 1, 0, 1), (1, 2, 0, 1), (0, 2, 0, 1, {"normally_open": True})], {2: (100, 50)})
    problem = ReconfigurationProblem.of(net)
    source = report_html(problem, solved(problem, net.configuration([2])))
    assert "branches from the substation" in source
    assert not np.isnan(problem.p).any()
