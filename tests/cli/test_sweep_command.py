"""``learnopt sweep``: nested runs, the best registered, the table."""

from __future__ import annotations

from pathlib import Path

import pytest
from invocation import invoke

from learnopt.tracking import Store
from learnopt.tracking.registry import find_version


def test_seeds_are_runs_below_one(
    capsys: pytest.CaptureFixture[str], labelled_dataset: Path, tmp_path: Path, user_folders: Path
) -> None:
    """Two seeds: two children with curves and checkpoints, a parent with the table and the newest version."""
    config = tmp_path / "tiny.toml"
    config.write_text("name = 'tiny'\nepochs = 1\ntest_share = 0.3\n[model]\nhidden = 4\nlayers = 1\n")
    given = ("sweep", "--config", config, "--data", labelled_dataset, "--out", tmp_path / "out", "--seeds", "2")
    found = invoke(capsys, *given, "--store", tmp_path / "runs", "--json")
    assert found.code == 0
    (trial,) = found.json["trials"]
    assert len(trial["losses"]) == 2
    assert Path(found.json["best"], "card.json").is_file()
    store = Store.of(tmp_path / "runs")
    with store.client() as client:
        runs = client.search_runs([client.get_experiment_by_name("learnopt").experiment_id])
        children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == found.json["run_id"]]
        parent = next(run for run in runs if run.info.run_id == found.json["run_id"])
        artifacts = {each.path for each in client.list_artifacts(parent.info.run_id)}
    assert sorted(run.info.run_name for run in children) == ["tiny-000-0", "tiny-000-1"]
    assert all("validation_loss" in run.data.metrics for run in children)
    assert parent.info.run_name == "sweep tiny"
    assert parent.data.metrics["best_validation_loss"] == pytest.approx(trial["validation_loss"])
    assert {"trials.json", "checkpoint"} <= artifacts
    version = find_version(store, "learnopt", "latest")
    assert version is not None
    assert version.run_id == parent.info.run_id


def test_bad_settings_are_said(capsys: pytest.CaptureFixture[str], labelled_dataset: Path, tmp_path: Path) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text("name = 'tiny'\n")
    given = ("sweep", "--config", config, "--out", tmp_path / "out")
    assert "no data folder" in invoke(capsys, *given).err
    found = invoke(capsys, *given, "--data", labelled_dataset, "--vary", "speed=1..2")
    assert found.code == 2
    assert "learning_rate" in found.err
