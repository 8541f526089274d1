"""``learnopt plan conductors``: JSON contract, files, exit codes, bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from learnopt.io.conductors import default_costs
from tests.cli.invocation import invoke

KEYS = {
    "total_cost",
    "investment_cost",
    "energy_cost",
    "loss_kw",
    "min_voltage_pu",
    "open_branches",
    "conductors",
    "dual_bound",
    "gap",
}
SMALL = ("plan", "conductors", "case33", "--vmin", 0.92, "--vmax", 1.0)


def test_all_scenarios(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page, bill = tmp_path / "plan.html", tmp_path / "bill.csv"
    done = invoke(capsys, *SMALL, "--mode", "all", "--json", "--report", page, "--csv", bill)
    assert done.code == 0, done.err
    scenarios = done.json["scenarios"]
    assert list(scenarios) == ["base", "ocs", "odnr", "odnr_ocs", "ocs_odnr", "joint"]
    assert all(set(s) >= KEYS for s in scenarios.values())
    cost = {name: s["total_cost"] for name, s in scenarios.items()}
    assert cost["joint"] <= min(cost["odnr_ocs"], cost["ocs_odnr"])
    assert cost["odnr_ocs"] <= cost["odnr"] <= cost["base"]
    assert cost["ocs_odnr"] <= cost["ocs"] <= cost["base"]
    joint = scenarios["joint"]
    assert joint["gap"] <= 1e-3
    assert joint["min_voltage_pu"] >= 0.92
    assert len(joint["open_branches"]) == 5
    assert len(joint["conductors"]) == 37
    text = page.read_text(encoding="utf-8")
    assert "ocs-odnr" in text
    assert "http-equiv" in text
    with bill.open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["scenario"] == "joint"]
    assert sum(int(row["branches"]) for row in rows) == 37
    assert sum(float(row["investment_per_year"]) for row in rows) == pytest.approx(joint["investment_cost"], abs=0.1)


def test_infeasible_exits_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    done = invoke(capsys, "plan", "conductors", "case33", "--vmin", 0.999, "--mode", "ocs", "--json")
    assert done.code == 1
    answer = done.json["scenarios"]["ocs"]
    assert answer["status"] == "infeasible"
    assert answer["total_cost"] is None
    assert "0.999" in answer["message"]


def changed(folder: Path, **changes: object) -> Path:
    path = folder / "costs.json"
    path.write_text(json.dumps(json.loads(default_costs().read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return path


BAD_COSTS = {
    "negative price": ({"energy_price_per_kwh": -1}, "energy_price_per_kwh"),
    "loss factor": ({"loss_factor": 1.5}, "loss_factor"),
    "interest in percent": ({"interest_rate": 8}, "0.08 is 8 %"),
    "no conductor": ({"conductors": []}, "conductors is empty"),
    "no price": ({"conductors": [{"name": "A", "r_ohm_per_km": 1, "x_ohm_per_km": 1, "ampacity_a": 9}]}, "cost_per_km"),
    "text": ({"loss_factor": "much"}, "loss_factor"),
}


@pytest.mark.parametrize("name", BAD_COSTS)
def test_bad_cost_file(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    changes, word = BAD_COSTS[name]
    done = invoke(capsys, *SMALL, "--costs", changed(tmp_path, **changes), "--json")
    assert done.code == 2
    assert any(word in error for error in done.json["errors"])


def test_bad_options_are_told_all_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    done = invoke(capsys, *SMALL, "--budget", -1, "--gap", 2, "--time-limit", 0, "--json")
    assert done.code == 2
    assert len(done.json["errors"]) == 3
    unwritable = invoke(capsys, *SMALL, "--csv", tmp_path, "--json")
    assert unwritable.code == 2
    assert "table" in unwritable.json["errors"][0]


def test_own_conductors_replace_the_catalogue(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    own = [
        {"name": name, "r_ohm_per_km": r, "x_ohm_per_km": 0.35, "ampacity_a": a, "cost_per_km": cost}
        for name, r, a, cost in (("big", 0.2, 500, 5000), ("small", 0.8, 300, 1500))
    ]
    done = invoke(capsys, *SMALL, "--mode", "ocs", "--costs", changed(tmp_path, conductors=own), "--json")
    assert done.code == 0
    assert set(done.json["scenarios"]["ocs"]["conductors"].values()) == {"big", "small"}
