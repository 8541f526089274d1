"""Limits that the present state breaks and no switch can change, from the command line and in Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invocation import invoke

import learnopt


@pytest.fixture
def feeder(tmp_path: Path) -> Path:
    """A ring 0-1-2-3 with a thin tail to bus 4: overloaded, and its bus below its own voltage limit, always."""
    ends = [(0, 1), (1, 2), (2, 3), (0, 3), (2, 4)]
    case = {
        "name": "tail",
        "base_kv": 10.0,
        "substations": [0],
        "buses": [
            {"id": 0},
            *({"id": k, "p_kw": 300.0, "q_kvar": 100.0, "vm_min_pu": 0.95} for k in (1, 2, 3)),
            {"id": 4, "p_kw": 500.0, "q_kvar": 200.0, "vm_min_pu": 0.985},
        ],
        "branches": [
            {"id": f"L{k}", "from": a, "to": b, "r_ohm": r, "x_ohm": r, "normally_open": k == 3, "ampacity_a": amperes}
            for k, ((a, b), r, amperes) in enumerate(zip(ends, [0.5] * 4 + [2.0], [200.0] * 4 + [20.0], strict=True))
        ],
    }
    path = tmp_path / "tail.json"
    path.write_text(json.dumps(case), encoding="utf-8")
    return path


def test_solve_holds_and_says_so(capsys: pytest.CaptureFixture[str], feeder: Path) -> None:
    """An answer with the limits named in the message, the JSON and the table; strict limits are infeasible."""
    outcome = invoke(capsys, "solve", feeder, "--json")
    answer = outcome.json
    assert (outcome.code, answer["status"], answer["violations"]) == (0, "optimal", [])
    held = {(one["object"], one["id"]): one for one in answer["held_limits"]}
    assert set(held) == {("branch", "L4"), ("bus", 4)}
    assert held["branch", "L4"]["asked"] == pytest.approx(20.0)
    assert held["branch", "L4"]["held_at"] > 31
    assert held["bus", 4]["asked"] == pytest.approx(0.985)
    assert answer["min_voltage_pu"] >= held["bus", 4]["held_at"] * (1 - 1e-6)
    assert answer["max_loading"] > 1.5
    assert "branch 'L4'" in answer["message"]
    assert "no switch can change" in " ".join(invoke(capsys, "solve", feeder).out.split())
    strict = invoke(capsys, "solve", feeder, "--strict-limits", "--json")
    assert (strict.code, strict.json["status"], strict.json["held_limits"]) == (1, "infeasible", [])
    assert any("'L4'" in sentence for sentence in strict.json["conflicts"])
    assert any("Bus 4" in sentence for sentence in strict.json["conflicts"])


def test_check_and_horizon(capsys: pytest.CaptureFixture[str], feeder: Path, tmp_path: Path) -> None:
    """``check`` lists what is held apart from violations; a horizon holds the worst of its steps."""
    answer = invoke(capsys, "check", feeder, "--json").json
    assert answer["violations"] == []
    assert {one["id"] for one in answer["held_limits"]} == {"L4", 4}
    strict = invoke(capsys, "check", feeder, "--strict-limits", "--json").json
    assert len(strict["violations"]) == 2
    assert strict["held_limits"] == []
    day = tmp_path / "day.csv"
    day.write_text("time,scale\n2024-05-01 23:00,0.9\n2024-05-01 24:00,1.1\n", encoding="utf-8")
    plan = invoke(capsys, "horizon", feeder, "--profile", day, "--json")
    assert (plan.code, plan.json["status"]) == (0, "optimal")
    held = {one["id"]: one["held_at"] for one in plan.json["held_limits"]}
    now = {one["id"]: one["held_at"] for one in answer["held_limits"]}
    assert held["L4"] > now["L4"]
    assert held[4] < now[4]
    assert "'L4'" in plan.json["message"]
    strict = invoke(capsys, "horizon", feeder, "--profile", day, "--json", "--strict-limits")
    assert strict.json["status"] == "infeasible"


def test_savings(capsys: pytest.CaptureFixture[str], feeder: Path, tmp_path: Path) -> None:
    """A study holds the worst of its steps: no hour lies outside limits; strict limits count them all."""
    days = tmp_path / "days.csv"
    days.write_text("time,scale\n2024-05-01 23:00,0.9\n2024-05-01 24:00,1.1\n", encoding="utf-8")
    study = invoke(capsys, "savings", feeder, "--profile", days, "--json").json
    held = {one["id"]: one["held_at"] for one in study["held_limits"]}
    now = {one["id"]: one["held_at"] for one in invoke(capsys, "check", feeder, "--json").json["held_limits"]}
    assert held["L4"] > now["L4"]
    assert held[4] < now[4]
    assert "'L4'" in study["message"]
    assert [strategy["hours_outside_limits"] for strategy in study["strategies"]] == [0.0] * 4
    strict = invoke(capsys, "savings", feeder, "--profile", days, "--json", "--strict-limits").json
    assert strict["held_limits"] == []
    assert [strategy["hours_outside_limits"] for strategy in strict["strategies"]] == [2.0] * 4
    quiet = learnopt.savings(feeder, days)
    assert len(quiet.result.problem.limits.held) == 2
    assert learnopt.savings(feeder, days, strict_limits=True).result.problem.limits.held == ()


def test_python(feeder: Path) -> None:
    """The solution's problem says what is held; ``strict_limits`` enforces everything."""
    found = learnopt.solve(feeder)
    assert found.status == "optimal"
    assert len(found.problem.limits.held) == 2
    assert len(found.to_dict()["held_limits"]) == 2
    assert learnopt.solve(feeder, strict_limits=True).status == "infeasible"
