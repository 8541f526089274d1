"""Commands on a file whose own tool computes something else: refused, or told on top of every answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from invocation import Outcome, invoke
from source_tools import FakeTool

import learnopt
from learnopt.io import load
from learnopt.io.source import Loaded, SourceState

CapSys = pytest.CaptureFixture[str]
COMMANDS = {
    "inspect": (),
    "check": (),
    "solve": (),
    "horizon": ("--profile", "PROFILE"),
    "savings": ("--profile", "PROFILE", "--proof-time", "0"),
}


def lossy(state: SourceState) -> SourceState:
    return replace(state, loss_kw=1.5 * state.loss_kw)


@pytest.fixture
def case33_as(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeTool]:
    """Make every command read case33 from a file with a tool that changes its results so."""

    def read_as(change: Callable[[SourceState], SourceState], explained: tuple[str, ...] = ()) -> FakeTool:
        tool = FakeTool(change)
        network = load("case33")
        monkeypatch.setattr("learnopt.api.question.load_with_source", lambda *_: Loaded(network, (), tool, explained))
        return tool

    return read_as


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """Two hours of one load for all buses."""
    path = tmp_path / "day.csv"
    path.write_text("time,scale\n2026-01-01T00:00,0.5\n2026-01-01T01:00,0.6\n")
    return path


def run(capsys: CapSys, name: str, profile: Path, *more: object) -> Outcome:
    arguments = [profile if a == "PROFILE" else a for a in COMMANDS[name]]
    return invoke(capsys, name, "case33", *arguments, *more)


@pytest.mark.parametrize("name", COMMANDS)
def test_difference_is_refused_or_told(
    capsys: CapSys, case33_as: Callable[..., FakeTool], profile: Path, name: str
) -> None:
    """Exit code 2 with both values; with --accept-differences a warning in JSON, on top of the terminal."""
    case33_as(lossy)
    refused = run(capsys, name, profile, "--json")
    assert refused.code == 2
    assert "in Fake" in refused.json["errors"][0]
    accepted = run(capsys, name, profile, "--json", "--accept-differences")
    assert accepted.code == 0
    assert "accepted by the user" in accepted.json["warnings"][0]
    shown = run(capsys, name, profile, "--accept-differences").out
    assert shown.lstrip().startswith("Warning")
    if name in ("check", "solve", "horizon"):
        assert accepted.json["source_tool"]["difference"] == pytest.approx(0.5, abs=1e-3)
        assert "In your own model (Fake)" in shown
        without = run(capsys, name, profile, "--json", "--accept-differences", "--no-source-check").json
        assert without["source_tool"] is None


@pytest.mark.parametrize("name", ["solve", "horizon", "savings"])
def test_reports_say_it_too(
    capsys: CapSys, case33_as: Callable[..., FakeTool], profile: Path, tmp_path: Path, name: str
) -> None:
    """The page begins with the warning; of an unbalanced file it speaks of the balanced equivalent."""
    case33_as(lossy, ("imbalance: phases carry 1, 2, 3 kW",))
    page = tmp_path / "page.html"
    assert run(capsys, name, profile, "--report", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "Warning:" in text
    assert "imbalance: phases carry" in text
    assert "balanced equivalent" in text
    assert "radial configuration of this feeder" not in text


def test_python_refuses_warns_and_checks(case33_as: Callable[..., FakeTool]) -> None:
    """learnopt.load and learnopt.solve do what the commands do."""
    case33_as(lossy)
    with pytest.raises(learnopt.DataError, match="in Fake"):
        learnopt.load("file")
    with pytest.warns(UserWarning, match="accepted by the user"):
        learnopt.load("file", accept_differences=True)
    found = learnopt.solve("file", accept_differences=True)
    assert found.origin.source is not None
    assert found.to_dict()["source_tool"]["difference"] == pytest.approx(0.5)
    assert "Warning" in found._repr_html_()
    assert learnopt.solve("file", accept_differences=True, source_check=False).origin.source is None


def test_a_network_remembers_its_tool(case33_as: Callable[..., FakeTool]) -> None:
    """What ``load`` gave is checked in the tool and told with its warnings; an edited network is not the file's."""
    case33_as(lossy)
    with pytest.warns(UserWarning, match="accepted by the user"):
        network = learnopt.load("file", accept_differences=True)
    for asked in (network, learnopt.problem(network)):
        found = learnopt.solve(asked)
        assert found.origin.source is not None
        assert found.to_dict()["source_tool"]["difference"] == pytest.approx(0.5)
        assert "accepted by the user" in found.to_dict()["warnings"][0]
    assert learnopt.solve(network, source_check=False).origin.source is None
    edited = learnopt.solve(replace(network, p_load=0.9 * network.p_load))
    assert edited.origin.source is None
    assert edited.to_dict()["warnings"] == []
