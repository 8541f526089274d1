"""``learnopt plan substations``: the contract of the JSON, exit codes, files, bad input."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from invocation import invoke

CapSys = pytest.CaptureFixture[str]
SAMPLE = Path(__file__).parents[2] / "datasets" / "planning" / "turkay.json"


def test_json_of_the_sample(capsys: CapSys) -> None:
    """The keys that others rely on, with the plan of the seed."""
    outcome = invoke(capsys, "plan", "substations", "turkay", "--json")
    assert outcome.code == 0
    answer = outcome.json
    assert {"total_cost", "substations", "routes", "flows", "dual_bound", "gap", "status"} <= answer.keys()
    assert answer["status"] == "optimal"
    assert answer["dual_bound"] <= answer["total_cost"]
    assert answer["total_cost"] == pytest.approx(sum(answer["costs"].values()))
    assert [s["site"] for s in answer["substations"]] == [1]
    assert len(answer["routes"]) == len(answer["flows"]) == 7
    (stage,) = answer["stages"]
    assert len(stage["transfers"]) == 7
    assert stage["loss"]["tangent_mw"] < 0 < stage["loss"]["quadratic_mw"] < stage["loss"]["limit_mw"]
    assert stage["ac"]["violations"] == []


def test_files(capsys: CapSys, tmp_path: Path) -> None:
    """Report and bill of materials are written whole; the bill adds up to the fixed costs."""
    page, bill = tmp_path / "plan.html", tmp_path / "bill.csv"
    outcome = invoke(capsys, "plan", "substations", SAMPLE, "--report", page, "--csv", bill)
    assert outcome.code == 0
    text = page.read_text(encoding="utf-8")
    assert "Plan of Sample of Türkay" in text
    assert "http://" not in text.split("</style>")[0]
    rows = list(csv.DictReader(io.StringIO(bill.read_text(encoding="utf-8"))))
    answer = invoke(capsys, "plan", "substations", "turkay", "--json").json
    fixed = answer["costs"]["substation_fixed"] + answer["costs"]["feeder_fixed"]
    assert sum(float(row["cost_TL"]) for row in rows) == pytest.approx(fixed)
    assert {row["item"] for row in rows} == {"substation", "line"}


def test_infeasible_plan(capsys: CapSys, tmp_path: Path) -> None:
    """No plan: exit code 1, the demand that is short by name, and a page that says so."""
    raw = json.loads(SAMPLE.read_text(encoding="utf-8"))
    raw["substation_sizes"][0]["capacity_mva"] = 20
    raw["max_substations"] = 1
    path, page = tmp_path / "tight.json", tmp_path / "plan.html"
    path.write_text(json.dumps(raw))
    outcome = invoke(capsys, "plan", "substations", path, "--json", "--report", page)
    assert outcome.code == 1
    answer = outcome.json
    assert (answer["status"], answer["total_cost"], answer["flows"]) == ("infeasible", None, [])
    assert any("stay unserved" in sentence for sentence in answer["conflicts"])
    assert "stay unserved" in page.read_text(encoding="utf-8")
    assert invoke(capsys, "plan", "substations", path).code == 1


def test_options_of_the_problem(capsys: CapSys) -> None:
    """``--n-1`` builds what the loss of a transformer needs, and costs more."""
    plain = invoke(capsys, "plan", "substations", "turkay", "--radial", "--json").json
    secure = invoke(capsys, "plan", "substations", "turkay", "--n-1", "--json")
    assert secure.code == 0
    assert secure.json["total_cost"] > plain["total_cost"]
    assert len(secure.json["substations"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.json"], "turkay"),
        (["turkay", "--gap", "-1"], "gap = -1.0"),
        (["turkay", "--time-limit", "0"], "time_limit = 0.0"),
        (["turkay", "--treatment", "cubic"], "cubic"),
        (["turkay", "--report", "none/r.html"], "none/r.html"),
        (["turkay", "--csv", "."], "cannot be written"),
        (["case.json"], "sites is missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input(
    capsys: CapSys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    """Exit code 2 and ``errors``, for files and options alike."""
    (tmp_path / "case.json").write_text('{"name": "x"}')
    monkeypatch.chdir(tmp_path)
    outcome = invoke(capsys, "plan", "substations", *arguments, "--json")
    assert outcome.code == 2
    assert said in " ".join(outcome.json["errors"])
