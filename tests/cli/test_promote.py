"""``learnopt promote``: the alias moves only for a better model, and exit codes say which."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from invocation import invoke

from learnopt.learned import acceptance
from learnopt.tracking import Store, track_run
from learnopt.tracking.registry import ORIGIN, find_version

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


@pytest.mark.parametrize("asked", [(), ("--track",), ("--no-track",)])
def test_an_evaluation_is_recorded_below_the_run_of_the_model(
    capsys: CapSys, store: Path, other_dataset: Path, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    """A child run with the headline numbers, unless it is not wanted; the store is that of the environment."""
    given = ("--checkpoint", "models:/learnopt/1", "--data", other_dataset, "--no-baselines")
    done = invoke(capsys, "evaluate", *given, *asked)
    assert done.code == 0
    with Store.of(store).client() as client:
        (experiment,) = client.search_experiments(filter_string="name = 'learnopt'")
        runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert not (tmp_path / "mlruns").exists()
    if asked == ("--no-track",):
        assert set(runs) == {"two"}
        return
    child = runs["evaluate tiny"]
    assert child.data.tags["mlflow.parentRunId"] == runs["two"].info.run_id
    assert {"test_exact_tree", "test_mean_regret_percent"} <= child.data.metrics.keys()
    assert child.inputs.dataset_inputs[0].dataset.name == other_dataset.name
    assert "Look at the run" in done.err


@pytest.mark.parametrize("asked", [(), ("--track",)])
def test_a_server_that_is_away_stops_only_what_was_to_be_recorded(
    capsys: CapSys,
    tiny_checkpoint: Path,
    other_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[str, ...],
) -> None:
    """Without the option the figures come and it is said; with it nothing is measured first."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    checkpoint = shutil.copytree(tiny_checkpoint, tmp_path / "followed")
    (checkpoint / ORIGIN).write_text('{"uri": "http://127.0.0.1:9", "run_id": "a1"}')
    done = invoke(capsys, "evaluate", "--checkpoint", checkpoint, "--data", other_dataset, "--no-baselines", *asked)
    assert done.code == (2 if asked else 0)
    assert "start the server" in done.err
    assert ("Not recorded" in done.err) == (not asked)
    assert ("exact tree" in done.out) == (not asked)


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
