"""``learnopt monitor`` and ``calibrate`` on one's own history: what is printed, recorded and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from invocation import invoke

from learnopt.tracking import Store

CapSys = pytest.CaptureFixture[str]


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """Five days of case33, twice a day."""
    rng = np.random.default_rng(0)
    rows = [
        f"2026-05-{day:02d}T{hour:02d}:00,{rng.uniform(20, 900):.0f},{rng.uniform(20, 900):.0f}"
        for day in range(4, 9)
        for hour in (6, 18)
    ]
    path = tmp_path / "may.csv"
    path.write_text("\n".join(["time,18.p_kw,25.p_kw", *rows]) + "\n")
    return path


def test_a_look_at_many_feeders_is_a_run(
    capsys: CapSys, tiny_checkpoint: Path, other_dataset: Path, tmp_path: Path, user_folders: Path
) -> None:
    """JSON and table say the same; the run has curves over periods, tables, a picture, and the verdict as a tag."""
    given = ("monitor", "--data", other_dataset, "--checkpoint", tiny_checkpoint)
    found = invoke(capsys, *given, "--store", tmp_path / "runs", "--json")
    assert found.code == (0 if found.json["verdict"] == "keep" else 1)
    shown = invoke(capsys, *given)
    assert shown.code == found.code
    assert shown.out.splitlines()[-1]
    assert found.json["verdict"].capitalize() + ":" in shown.out
    with Store.of(tmp_path / "runs").client() as client:
        (run,) = client.search_runs([client.get_experiment_by_name("learnopt").experiment_id])
        artifacts = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert run.data.tags["verdict"] == found.json["verdict"]
    assert run.data.tags["mlflow.runName"] == "monitor tiny"
    assert {"periods.json", "claims.json", "monitored.json", "plots"} <= artifacts
    assert run.data.metrics["test_mean_regret_percent"] == pytest.approx(
        found.json["whole"]["metrics"]["mean_regret_percent"]
    )
    assert "period.test_exact_tree" in run.data.metrics


def test_one_command_each_for_a_utilitys_own_history(
    capsys: CapSys, tiny_checkpoint: Path, profile: Path, tmp_path: Path
) -> None:
    """Solved exactly, calibrated on, looked at: the answers are kept where --data says and not solved again."""
    own = ("--case", "case33", "--profile", profile, "--data", tmp_path / "own")
    done = invoke(capsys, "calibrate", *own, "--checkpoint", tiny_checkpoint, "--out", tmp_path / "mine", "--json")
    assert done.code == 0
    assert done.json["calibration"]["n_feeders"] == 3  # days
    labels = next((tmp_path / "own").glob("labels-*.parquet"))
    written = labels.stat().st_mtime_ns
    found = invoke(capsys, "monitor", *own, "--checkpoint", tmp_path / "mine", "--every", "day", "--json")
    assert labels.stat().st_mtime_ns == written
    assert [period["name"] for period in found.json["periods"]] == ["2026-05-08"]
    assert found.json["risks"] == []  # three days state none
    assert "calibrate it on more" in " ".join(found.json["reasons"])
    alone = invoke(
        capsys, "monitor", "--case", "case33", "--profile", profile, "--checkpoint", tmp_path / "mine", "--json"
    )
    assert alone.json["whole"] == found.json["whole"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --data DIR, or --case and --profile"),
        (["--case", "case33"], "give --data DIR, or --case and --profile"),
        (["--data", "a", "--data", "b", "--case", "case33", "--profile", "p.csv"], "the one folder"),
        (["--data", "a", "--every", "year"], "must be one of 'day', 'week', 'month'"),
        (["--data", "nowhere"], "nowhere"),
        (["--data", "a", "--checkpoint", "nothing"], "nothing"),
    ],
)
def test_what_is_wrong_is_said(
    capsys: CapSys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = invoke(capsys, "monitor", *options)
    assert found.code == 2
    assert message in found.err
