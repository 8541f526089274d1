"""``learnopt savings`` from the outside: what it prints, writes and refuses; the same in a notebook."""

from __future__ import annotations

from pathlib import Path

import pytest
from invocation import invoke

import learnopt

STEPS = 30
GIVEN = ("savings", "case33", "--profile", "synthetic", "--start", "2025-01-31T12:00", "--steps", STEPS)


def test_json_table_page_and_picture(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One JSON object whose figures agree with each other; the page and the picture hold the same study."""
    page, picture = tmp_path / "savings.html", tmp_path / "losses.svg"
    written = ("--report", page, "--out", picture, "--price", 100, "--co2", 300)
    outcome = invoke(capsys, *GIVEN, *written, "--json")
    assert outcome.code == 0
    assert "synthetic year" in outcome.err
    answer = outcome.json
    present, static, seasonal, hourly = answer["strategies"]
    assert [s["name"] for s in answer["strategies"]] == ["present", "static", "seasonal", "hourly"]
    assert answer["certificate"] == "ac"
    for strategy in (static, seasonal, hourly):
        assert strategy["bound_mwh"] <= strategy["energy_mwh"] < present["energy_mwh"]
        assert strategy["saved_mwh"] == pytest.approx(present["energy_mwh"] - strategy["energy_mwh"])
        assert strategy["cost_saved"] == pytest.approx(100 * strategy["saved_mwh"])
        assert strategy["co2_saved_t"] == pytest.approx(0.3 * strategy["saved_mwh"])
        assert sum(c["hours"] for c in strategy["configurations"]) == pytest.approx(STEPS)
    assert [month["month"] for month in answer["months"]] == ["2025-01", "2025-02"]
    assert sum(month["static"] for month in answer["months"]) == pytest.approx(static["energy_mwh"])
    change = static["changes"][0]
    assert static["operations"] == len(change["close"]) + len(change["open"])
    text = page.read_text(encoding="utf-8")
    assert "What switching saves" in text
    assert "http://" not in text.split("<script>")[0]
    assert picture.read_text(encoding="utf-8").startswith("<?xml")
    assert "hours outside limits" in invoke(capsys, *GIVEN, "--proof-time", 0).out


def test_resume(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A folder of one study goes on, and is refused to another."""
    kept = ("--proof-time", 0, "--resume", tmp_path / "kept", "--json")
    first = invoke(capsys, *GIVEN, *kept).json
    assert invoke(capsys, *GIVEN, *kept).json["strategies"] == first["strategies"]
    refused = invoke(capsys, *GIVEN, "--vmin", 0.5, *kept)
    assert refused.code == 2
    assert "holds a study of another network" in refused.json["errors"][0]


@pytest.mark.parametrize("command", ["savings", "horizon"])
def test_an_outage_is_isolated_first(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str) -> None:
    """Where the present state leaves buses dark there is nothing to compare with, and the order of things is told."""
    scenario = tmp_path / "outage.json"
    scenario.write_text('{"out_of_service": [7]}', encoding="utf-8")
    profile = tmp_path / "profile.csv"
    rows = [f"2025-01-31T{hour}:00,{scale}" for hour, scale in ((12, 1), (13, 0.9), (14, 0.8))]
    profile.write_text("\n".join(["time,scale", *rows]), encoding="utf-8")
    given = (command, "case33", "--profile", profile, "--scenario", scenario)
    answer = invoke(capsys, *given, "--json").json
    assert answer["isolation"] == ["Out of service, to be isolated before anything is closed: open 7; earth 7."]
    if command == "savings":
        assert answer["strategies"][0]["energy_mwh"] is None
        assert 7 in answer["strategies"][1]["configurations"][0]["open_branches"]
    else:
        assert (answer["normal_energy_kwh"], answer["normal_violations"]) == (None, 3)
    assert "to be isolated before anything is closed" in " ".join(invoke(capsys, *given).out.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--price", -1), "price = -1.0 must be a finite number >= 0 [EUR per MWh]"),
        (("--co2", "nan"), "co2 = nan must be"),
        (("--representatives", 0), "representative_steps = 0 must be >= 1"),
        (("--gap", -1), "gap = -1.0 must be"),
        (("--proof-time", -1), "proof_time = -1.0 must be"),
        (("--switching-cost", "inf"), "switching_cost = inf must be"),
        (("--profile", "synthetic:x"), "the seed of a synthetic year is a whole number"),
        (("--report", "/nowhere/a.html"), "cannot be written there"),
        (("--out", "losses.txt"), "the picture is written as .png"),
        (("--steps", 9000), "steps = 9000 must be from 1"),
        (("--resume", "/dev/null"), "is a file: give a folder"),
        (("--resume", "/proc/nowhere"), "cannot be written"),
    ],
)
def test_savings_refuse(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple, sentence: str
) -> None:
    """Each is refused with what is wrong and what would be right."""
    monkeypatch.chdir(tmp_path)
    outcome = invoke(capsys, *GIVEN, "--proof-time", 0, *arguments, "--json")
    assert outcome.code == 2
    assert any(sentence in error for error in outcome.json["errors"]), outcome.json
    assert not list(tmp_path.iterdir())


def test_profile_and_case_that_do_not_fit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """No profile, and scenarios where only locks belong."""
    missing = invoke(capsys, "savings", "case33", "--json")
    assert missing.code == 2
    assert "use --profile FILE or synthetic" in missing.json["errors"][1]
    several = tmp_path / "several.csv"
    several.write_text("time,scale\n2025-01-01T00:00,1\n2025-01-01T01:00,0.5\n", encoding="utf-8")
    refused = invoke(capsys, *GIVEN, "--scenario", several, "--json")
    assert refused.code == 2
    assert "several scenarios" in refused.json["errors"][0]


def test_in_a_notebook(tmp_path: Path) -> None:
    """The same study by the package: it shows itself, draws and writes."""
    study = learnopt.savings("case33", "synthetic", steps=10, proof_time=0, price_per_mwh=80.0)
    assert "one configuration" in repr(study)
    assert "80 EUR per MWh" in study._repr_html_()
    assert study.plot().save(tmp_path / "losses.png").stat().st_size > 0
    assert study.report(tmp_path / "savings.html").exists()
    asked = learnopt.problem("case33", {"locked": {"33": "open"}})
    locked = learnopt.savings(asked, "synthetic", steps=10, proof_time=0)
    assert all(33 in c["open_branches"] for s in locked.to_dict()["strategies"] for c in s["configurations"])
    with pytest.raises(learnopt.DataError, match="limits: part of the problem"):
        learnopt.savings(asked, "synthetic", limits="none")
    with pytest.raises(learnopt.DataError, match='use profile="FILE" or "synthetic"'):
        learnopt.savings("case33")
