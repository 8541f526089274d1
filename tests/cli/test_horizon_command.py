"""``learnopt horizon`` from the outside: what it prints, writes and refuses."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import CASES
from invocation import invoke


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """Six hours of rising load."""
    path = tmp_path / "day.csv"
    rows = [f"2026-01-05T{hour:02d}:00,{0.5 + 0.1 * hour:.2f}" for hour in range(6)]
    path.write_text("\n".join(["time,scale", *rows]) + "\n", encoding="utf-8")
    return path


def test_plan_as_json_report_and_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, day: Path) -> None:
    """One JSON object whose figures agree with each other; the page and the folder hold the same plan."""
    page, folder = tmp_path / "plan.html", tmp_path / "kept"
    given = ("horizon", "case33", "--profile", day, "--switching-cost", 1, "--report", page, "--out", folder)
    outcome = invoke(capsys, *given, "--json")
    assert outcome.code == 0
    answer = outcome.json
    assert answer["certificate"] == "ac"
    assert answer["steps"] == len(answer["plan"]) == 6
    assert answer["energy_kwh"] == pytest.approx(sum(s["loss_kw"] * s["hours"] for s in answer["plan"]))
    assert answer["objective_kwh"] == pytest.approx(answer["energy_kwh"] + answer["operations"])
    assert answer["dual_bound_kwh"] <= answer["objective_kwh"] <= answer["static"]["objective_kwh"] + 1e-9
    assert answer["days"][0]["operations"] == answer["operations"] == sum(s["operations"] for s in answer["plan"])
    first = answer["plan"][0]
    assert first["operations"] == len(first["closed"]) + len(first["opened"])
    text = page.read_text(encoding="utf-8")
    assert "Switches over time" in text
    assert "http://" not in text.split("<script>")[0]
    kept = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert kept["plan"] == answer["plan"]
    assert len(list((folder / "steps").iterdir())) == 6
    table = invoke(capsys, *given)
    assert table.code == 0
    assert "switching" in table.out


def test_cap_of_nothing_keeps_the_normal_state(capsys: pytest.CaptureFixture[str], day: Path) -> None:
    """Without a single operation the plan is the normal configuration, proven."""
    answer = invoke(capsys, "horizon", "case33", "--profile", day, "--max-operations", 0, "--json").json
    assert answer["operations"] == 0
    assert answer["status"] == "optimal"
    assert answer["energy_kwh"] == pytest.approx(answer["normal_energy_kwh"])


def test_remote_only(capsys: pytest.CaptureFixture[str], tmp_path: Path, day: Path) -> None:
    """Nobody travels: a switch that the free plan moves stays as it is once it is operated by hand."""
    given = ("horizon", tmp_path / "case.json", "--profile", day, "--steps", 2, "--json")
    case = json.loads((CASES / "case33.json").read_text(encoding="utf-8"))
    (tmp_path / "case.json").write_text(json.dumps(case), encoding="utf-8")
    moved = {branch for step in invoke(capsys, *given).json["plan"] for branch in (*step["closed"], *step["opened"])}
    held = sorted(moved)[0]
    next(branch for branch in case["branches"] if branch["id"] == held)["operation"] = "manual"
    (tmp_path / "case.json").write_text(json.dumps(case), encoding="utf-8")
    free, stay = invoke(capsys, *given).json, invoke(capsys, *given, "--remote-only").json
    assert held in {branch for step in free["plan"] for branch in (*step["closed"], *step["opened"])}
    assert held not in {branch for step in stay["plan"] for branch in (*step["closed"], *step["opened"])}
    assert free["energy_kwh"] < stay["dual_bound_kwh"]
    assert stay["bounds_kwh"] == {"ac": stay["dual_bound_kwh"], "model": None}


@pytest.fixture
def controlled(tmp_path: Path) -> Path:
    """The 16-bus case with two banks, a stepped tap and a generator."""
    case = json.loads((CASES / "case16.json").read_text(encoding="utf-8"))
    case["capacitors"] = [{"bus": 9, "steps_kvar": [1200, 2400]}, {"bus": 14, "steps_kvar": [900]}]
    case["taps"] = [{"branch": 1, "min_pu": 0.975, "max_pu": 1.025, "step_pu": 0.025}]
    case["generators"] = [{"id": "g", "bus": 12, "p_max_kw": 1000, "q_min_kvar": -300, "q_max_kvar": 300}]
    path = tmp_path / "case16c.json"
    path.write_text(json.dumps(case), encoding="utf-8")
    return path


def test_controls_over_time(capsys: pytest.CaptureFixture[str], tmp_path: Path, day: Path, controlled: Path) -> None:
    """Settings of every step in JSON, table and page; banks rest; a second run goes on from the folder."""
    page, folder = tmp_path / "plan.html", tmp_path / "kept"
    given = (
        "horizon", controlled, "--profile", day, "--steps", 4, "--controls", "capacitors,taps", "--capacitor-hours", 2,
        "--control-cost", 0.5, "--switching-cost", 2, "--max-operations-per-switch", 1, "--out", folder,
    )  # fmt: skip
    answer = invoke(capsys, *given, "--engine", "milp", "--report", page, "--json").json
    assert (answer["status"], answer["certificate"]) == ("optimal", "ac")
    plan = answer["plan"]
    assert {row["bus"] for row in plan[0]["capacitors"]} == {9, 14}
    assert plan[0]["generators"] == []
    assert answer["control_changes"] == sum(step["control_changes"] for step in plan)
    cost = 2 * answer["operations"] + 0.5 * answer["control_changes"]
    assert answer["objective_kwh"] == pytest.approx(answer["energy_kwh"] + cost)
    for bank in (0, 1):
        kvar = [step["capacitors"][bank]["kvar"] for step in plan]
        changed = [t for t in range(1, 4) if kvar[t] != kvar[t - 1]]
        assert all(b - a >= 2 for a, b in pairwise(changed))
    moved = [branch for step in plan for branch in (*step["closed"], *step["opened"])]
    assert len(moved) == len(set(moved))
    assert "capacitor 9 [kvar]" in page.read_text(encoding="utf-8")
    again = invoke(capsys, *given)
    assert "tap 1" in " ".join(again.out.split())


def test_no_plan_is_exit_code_one(capsys: pytest.CaptureFixture[str], tmp_path: Path, day: Path) -> None:
    """Limits that no configuration respects: status, reason and a report, not an error."""
    page = tmp_path / "none.html"
    outcome = invoke(capsys, "horizon", "case33", "--profile", day, "--vmin", 0.999, "--json", "--report", page)
    assert outcome.code == 1
    assert outcome.json["status"] == "infeasible"
    assert outcome.json["plan"] == []
    assert "There is no plan." in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--window", -1), "window = -1 must be from 1 to the 6 steps"),
        (("--window", 7), "window = 7 must be from 1 to the 6 steps"),
        (("--switching-cost", -2), "switching_cost = -2.0 must be"),
        (("--max-operations", -2), "max_operations = -2 must be >= 0"),
        (("--steps", 9), "steps = 9 must be from 1 to the 6"),
        (("--steps", 0), "steps = 0 must be from 1"),
        (("--start", "yesterday"), "'yesterday' is not an ISO date"),
        (("--start", "2030-01-01"), "is not within the profile"),
        (("--step-hours", 0.3), "step_hours = 0.3 must be a multiple of the 1 h"),
        (("--gap", -1), "gap = -1.0 must be"),
        (("--out", __file__), "is a file: give a folder"),
        (("--controls", "capacitors"), "no controls of the kinds capacitors: leave out --controls"),
        (("--max-operations-per-switch", -1), "max_operations_per_switch = -1 must be >= 0"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], day: Path, arguments: tuple, sentence: str) -> None:
    """Each is refused with what is wrong and what would be right."""
    outcome = invoke(capsys, "horizon", "case33", "--profile", day, *arguments, "--json")
    assert outcome.code == 2
    assert any(sentence in error for error in outcome.json["errors"]), outcome.json


def test_profile_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = invoke(capsys, "horizon", "case33", "--json")
    assert outcome.code == 2
    assert "use --profile FILE" in outcome.json["errors"][1]
