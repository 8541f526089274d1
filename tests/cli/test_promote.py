"""``learnopt promote``: the alias moves only for a better model, and exit codes say which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from invocation import invoke

from learnopt.learned import acceptance
from learnopt.tracking import Store, track_run
from learnopt.tracking.registry import find_version

CapSys = pytest.CaptureFixture[str]


@pytest.fixture
def store(user_folders: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with two versions, reached by the environment."""
    with track_run(tmp_path / "runs", "learnopt", "two") as run:
        run.log_model(tiny_checkpoint)
        run.log_model(tiny_checkpoint)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Store.of(tmp_path / "runs").uri)
    return tmp_path / "runs"


def test_the_alias_moves_only_for_a_better_model(
    capsys: CapSys, store: Path, other_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First without a champion, then against an equal, then against a worse one."""
    champion = lambda: find_version(Store.of(store), "learnopt", "champion")  # noqa: E731
    first = invoke(capsys, "promote", "--data", other_dataset, "--challenger", "1", "--json")
    assert (first.code, first.json["moved"], first.json["version"]) == (0, True, "1")

    equal = invoke(capsys, "promote", "--data", other_dataset)
    assert equal.code == 1
    assert "version 2, challenger" in equal.out
    assert "learnopt@champion stays." in equal.out
    found = champion()
    assert found is not None
    assert found.number == "1"

    measured = acceptance.measure
    regrets = iter([0.0, 1.0])
    monkeypatch.setattr(
        acceptance, "measure", lambda *given: replace(measured(*given), mean_regret_percent=next(regrets))
    )
    better = invoke(capsys, "promote", "--data", other_dataset)
    assert better.code == 0
    assert "learnopt@champion is version 2 now." in better.out
    found = champion()
    assert found is not None
    assert found.number == "2"
    with Store.of(store).client() as client:
        tags = client.get_model_version("learnopt", "2").tags
    assert tags["champion.after_version"] == "1"
    assert "is better" in tags["champion.because"]
    assert "is version 2 already" in invoke(capsys, "promote", "--data", other_dataset).out

    solved = invoke(
        capsys, "solve", "case33", "--engine", "learned", "--checkpoint", "models:/learnopt@champion", "--json"
    )
    assert solved.json["learned"]["checkpoint"] == "tiny"


def test_an_evaluation_is_recorded_below_the_run_of_the_model(
    capsys: CapSys, store: Path, other_dataset: Path, tmp_path: Path
) -> None:
    """A child run with the headline numbers, without being asked for; the store is that of the environment."""
    done = invoke(capsys, "evaluate", "--checkpoint", "models:/learnopt/1", "--data", other_dataset, "--no-baselines")
    assert done.code == 0
    with Store.of(store).client() as client:
        (experiment,) = client.search_experiments(filter_string="name = 'learnopt'")
        runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    child = runs["evaluate tiny"]
    assert child.data.tags["mlflow.parentRunId"] == runs["two"].info.run_id
    assert {"test_exact_tree", "test_mean_regret_percent"} <= child.data.metrics.keys()
    assert child.inputs.dataset_inputs[0].dataset.name == other_dataset.name
    assert not (tmp_path / "mlruns").exists()


def test_without_a_store_or_a_model(capsys: CapSys, tmp_path: Path, other_dataset: Path) -> None:
    """Told, and nothing is made."""
    for given in (tmp_path / "none", f"sqlite:///{tmp_path}/none"):
        done = invoke(capsys, "promote", "--data", other_dataset, "--store", given)
        assert done.code == 2
        assert "there is none" in done.err
        assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("alias", ["latest", "1"])
def test_an_alias_is_no_version(capsys: CapSys, store: Path, other_dataset: Path, alias: str) -> None:
    """It would be compared with a version of that number, or with itself."""
    done = invoke(capsys, "promote", "--data", other_dataset, "--alias", alias)
    assert done.code == 2
    assert f"--alias {alias} names a version" in done.err
