"""Every answer shows itself: a line, a table for notebooks, a page, and the JSON of the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import learnopt
from learnopt.cli.app import run

ANSWERS: dict[str, tuple[Callable[[Path], learnopt.Answer], tuple[str, ...], str]] = {
    "solve": (
        lambda profile: learnopt.solve("case16"),
        ("solve", "case16", "--threads", "1"),
        "Solution('case16': optimal, certificate ac; ",
    ),
    "check": (
        lambda profile: learnopt.check("case33", [7, 9, 14, 32, 37]),
        ("check", "case33", "--open", "7,9,14,32,37"),
        "ConfigurationCheck('case33': radial; 139.551 kW; 0 violations)",
    ),
    "inspect": (
        lambda profile: learnopt.inspect("case33"),
        ("inspect", "case33"),
        "NetworkInspection('case33': 33 buses, 37 branches, 5 loops; 0 errors, ",
    ),
    "horizon": (
        lambda profile: learnopt.horizon("case33", profile, switching_cost=1.0),
        ("horizon", "case33", "--profile", "PROFILE", "--switching-cost", "1"),
        "HorizonStudy('case33': optimal, certificate ac, gap ",
    ),
    "savings": (
        lambda profile: learnopt.savings("case33", profile, proof_time=0.0),
        ("savings", "case33", "--profile", "PROFILE", "--proof-time", "0"),
        "SavingsStudy('case33': present ",
    ),
    "plan conductors": (
        lambda profile: learnopt.plan_conductors("case33", "ocs"),
        ("plan", "conductors", "case33", "--mode", "ocs"),
        "ConductorStudy('case33': ocs ",
    ),
    "plan substations": (
        lambda profile: learnopt.plan_substations("turkay"),
        ("plan", "substations", "turkay"),
        "SubstationStudy('turkay': optimal, gap ",
    ),
}
TIMES = ("solve_time_s", "stage_times_s", "gap_curve", "engine_version", "scenarios", "message", "rounds", "nodes")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of one load for all buses."""
    path = tmp_path_factory.mktemp("profiles") / "day.csv"
    path.write_text("time,scale\n2026-01-01T00:00,0.5\n2026-01-01T01:00,0.9\n")
    return path


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_shows_itself(
    name: str, profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A repr of one line, HTML and a page, and strict JSON: the object of the command, but for times."""
    ask, command, line = ANSWERS[name]
    answer = ask(profile)
    assert answer.found
    assert repr(answer).startswith(line)
    assert "\n" not in repr(answer)
    assert len(repr(answer)) < 200
    assert "<t" in answer._repr_html_()
    page = answer.report(tmp_path / "page.html")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    own = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    capsys.readouterr()
    answer.table()
    assert capsys.readouterr().out.strip()
    with pytest.raises(SystemExit):
        run([str(profile) if word == "PROFILE" else word for word in command] + ["--json"])
    printed = json.loads(capsys.readouterr().out)
    assert own.keys() == printed.keys()
    for key in own.keys() - set(TIMES):
        assert _close(own[key], printed[key]), key


def _close(a: Any, b: Any) -> bool:
    """The same but for rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_close, a, b))
    return bool(a == pytest.approx(b, rel=1e-6)) if isinstance(a, float) else a == b


def test_a_check_that_fails_says_why(tmp_path: Path) -> None:
    """Loops too many, unknown ids, and limits that are broken."""
    looped = learnopt.check("case33", [7, 9, 14, 32])
    assert not looped.found
    assert looped.loss_kw is not None
    assert "not radial" in repr(looped)
    assert looped.report(tmp_path / "looped.html").is_file()
    assert any("0.95" in sentence for sentence in learnopt.check("case33", vmin=0.95).violations)
    assert learnopt.check("case33").open_branches == [33, 34, 35, 36, 37]
    with pytest.raises(learnopt.DataError, match="branch 99 is not"):
        learnopt.check("case33", [7, 99])


def test_an_inspection_draws_and_tells(tmp_path: Path) -> None:
    """The present state as a picture, findings by severity; a network is as good as its name."""
    found = learnopt.inspect(learnopt.load("case33"))
    assert found.facts["buses"] == 33
    assert any("no voltage limits" in finding.value for finding in found.findings)
    assert found.plot()._repr_png_().startswith(b"\x89PNG")
    assert found.draw(tmp_path / "now.html").stat().st_size > 1000


def test_a_horizon_from_a_problem_keeps_its_locks(profile: Path) -> None:
    """Outages and locks of the problem, or of a scenario, hold in every step; options of a problem are refused."""
    locked = learnopt.problem("case33", {"locked": {37: "closed"}, "out_of_service": [22]})
    told: list[str] = []
    plan = learnopt.horizon(locked, profile, progress=lambda what, done, total: told.append(what))
    assert plan.found
    assert all(22 in opened and 37 not in opened for opened in plan.open_branches)
    assert told
    same = learnopt.horizon("case33", profile, scenario={"locked": {37: "closed"}, "out_of_service": [22]})
    assert same.open_branches == plan.open_branches
    with pytest.raises(learnopt.DataError, match="vmin: part of the problem"):
        learnopt.horizon(locked, profile, vmin=0.9)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"engine": "magic"}, learnopt.DataError, "engine = 'magic' must be one of 'auto', 'tree', 'milp', 'learned'"),
        ({"controls": "taps"}, learnopt.UnsupportedError, "no controls of the kinds taps: leave out controls"),
        ({"window": 9}, learnopt.DataError, "window = 9"),
    ],
)
def test_options_of_a_horizon_that_do_not_fit(
    profile: Path, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        learnopt.horizon("case33", profile, **options)


def test_a_checkpoint_that_no_engine_of_a_horizon_asks_is_told(profile: Path) -> None:
    """It has no effect, and nothing reads it."""
    plan = learnopt.horizon("case33", profile, steps=1, checkpoint="nowhere")
    assert plan.without_effect == ['checkpoint has no effect: it belongs to engine="learned".']


@pytest.mark.parametrize("study", [learnopt.horizon, learnopt.savings])
def test_loads_over_time_are_asked_for(study: Callable[..., learnopt.Answer]) -> None:
    """A SimBench grid has its own, nothing else does."""
    with pytest.raises(learnopt.DataError, match="no loads over time"):
        study("case33")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "thicker"}, "mode = 'thicker' must be one of 'base', 'ocs'"),
        ({"budget": -1.0, "time_limit": np.inf, "gap": 1.0}, "budget = -1.0 must be"),
        ({"scenario": {"scenarios": [{}, {}]}}, "2 load situations"),
    ],
)
def test_options_of_planning_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(learnopt.DataError, match=message):
        learnopt.plan_conductors("case33", **options)


def test_bills_of_materials(tmp_path: Path) -> None:
    """What is bought, as a table that spreadsheets open."""
    stations = learnopt.plan_substations("turkay")
    assert "substation" in stations.bill(tmp_path / "stations.csv").read_text()
    assert stations.total_cost is not None
    assert stations.plot()._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(learnopt.DataError, match="treatment = 'cubic' must be one of"):
        learnopt.plan_substations("turkay", treatment="cubic")
    wires = learnopt.plan_conductors("case33", "base")
    assert "base" in wires.bill(tmp_path / "wires.csv").read_text()
