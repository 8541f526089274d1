"""A tracked run leaves parameters, metrics, pictures and files in a local store, and tells how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from learnopt.io.case_json import network_to_dict
from learnopt.learned import serve
from learnopt.learned.engine import LearnedEngine
from learnopt.learning.calibration import Reliability
from learnopt.learning.figures import loss_figure, reliability_figure
from learnopt.network import Network
from learnopt.tracking import REGISTERED, DataInput, track_run
from learnopt.tracking.run import KIND

pytestmark = pytest.mark.usefixtures("user_folders")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one finished and one failed run."""
    folder = tmp_path_factory.mktemp("mlruns")
    checkpoint = folder / "weights"
    checkpoint.mkdir()
    (checkpoint / "card.json").write_text("{}")
    with track_run(folder, "test", "good", "What it is *for*.", parent="0123") as run:
        run.log_parameters({"seed": 3, "model": {"hidden": 16}})
        run.log_metrics({"tree_rate": 0.5, "fixing": {"0.1": {"tau": None, "coverage": 0.25}}}, prefix="test.")
        run.log_json({"feeders": 7}, "dataset_manifest.json")
        run.log_datasets([DataInput("small", "c0ffee" * 10, "s3://data/small", {"feeders": 7})])
        run.log_all_metrics({"tree_rate": 0.5, "fixing": {"0.1": {"tau": None, "coverage": 0.25}}})
        history = [{"train_loss": 1.0, "validation_loss": 1.2}, {"train_loss": 0.8, "validation_loss": 1.0}]
        run.log_figure(loss_figure(history), "loss")
        run.log_figure(reliability_figure(Reliability(np.ones(1), np.ones(1), np.ones(1))), "reliability")
        run.log_checkpoint(checkpoint)
        logger = run.lightning_logger()
        for epoch, loss in enumerate((1.0, 0.8)):
            logger.log_metrics({"train_loss": loss}, step=epoch)
        logger.finalize("success")
        assert run.view_command == f"mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db"
    with pytest.raises(RuntimeError, match="stop"), track_run(folder, "test", "bad"):
        raise RuntimeError("stop")
    return folder


def runs(store: Path) -> dict[str, object]:
    """Runs of the store by name."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def test_parameters_metrics_and_provenance(store: Path) -> None:
    """Nested values become dotted names, None is left out, commit and versions are recorded."""
    data = runs(store)["good"].data  # type: ignore[attr-defined]
    assert data.params == {"seed": "3", "model.hidden": "16"}
    assert data.metrics == {"test.tree_rate": 0.5, "test.fixing.0.1.coverage": 0.25, "train_loss": 0.8}
    assert data.tags["version.torch"]
    assert data.tags["mlflow.source.git.commit"]
    assert data.tags["mlflow.user"]
    assert data.tags["mlflow.source.type"] == "LOCAL"
    assert data.tags["mlflow.note.content"] == "What it is *for*."
    assert data.tags["mlflow.parentRunId"] == "0123"
    assert data.tags["data"] == "small c0ffeec0ffee"


def test_data_is_an_input_of_the_run(store: Path) -> None:
    """The dataset has a name, a checksum, where it lies, and what it was used for."""
    (entry,) = runs(store)["good"].inputs.dataset_inputs  # type: ignore[attr-defined]
    assert (entry.dataset.name, entry.dataset.digest[:6]) == ("small", "c0ffee")
    assert json.loads(entry.dataset.source) == {"uri": "s3://data/small"}
    assert json.loads(entry.dataset.profile) == {"feeders": 7}
    assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "training")]


def test_every_number_is_in_a_table(store: Path) -> None:
    """As MLflow's pages read tables: columns and rows, and a tag that names the file."""
    (file,) = (store / "artifacts").rglob("metrics.json")
    rows = [["tree_rate", 0.5], ["fixing.0.1.coverage", 0.25]]
    assert json.loads(file.read_text()) == {"columns": ["metric", "value"], "data": rows}
    tags = runs(store)["good"].data.tags  # type: ignore[attr-defined]
    assert json.loads(tags["mlflow.loggedArtifacts"]) == [{"path": "metrics.json", "type": "table"}]


def test_status_of_runs(store: Path) -> None:
    """A run that raised is FAILED, the other FINISHED."""
    assert {name: run.info.status for name, run in runs(store).items()} == {  # type: ignore[attr-defined]
        "good": "FINISHED",
        "bad": "FAILED",
    }


def test_artifacts_are_files_of_the_store(store: Path) -> None:
    """Manifest, pictures and checkpoint lie under ``artifacts``."""
    files = {p.name: p for p in (store / "artifacts").rglob("*") if p.is_file()}
    assert set(files) == {"dataset_manifest.json", "loss.png", "reliability.png", "card.json", "metrics.json"}
    assert files["loss.png"].read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error:.*type hints.*")
def test_registered_model_answers_a_feeder(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Loaded from the registry as a server does, ready before the first request: switch states, and a signature.

    A row that is no feeder makes the request a bad one, HTTP 400, whatever the other rows are.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    made_ready: list[str] = []
    monkeypatch.setattr(serve, "get_ready", lambda engine, feeder: made_ready.append(json.loads(feeder)["name"]))
    with track_run(tmp_path, "test", "serving") as run:
        run.log_model(tiny_checkpoint)
        run.log_model(tiny_checkpoint, description="The second.")
    assert capfd.readouterr().err == ""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        model = mlflow.pyfunc.load_model(f"models:/{REGISTERED}/1")
        example = model.input_example
        assert model.metadata.signature.inputs.input_names() == ["feeder", "scenario"]
        locked = json.dumps({"locked": {"S-A": "open"}})
        rows = [{**example.iloc[0], "scenario": locked}, {"feeder": "{}", "scenario": ""}]
        (ring,) = (json.loads(text) for text in model.predict(pd.DataFrame(rows[:1]))["answer"])
        with pytest.raises(MlflowException) as refused:
            model.predict(pd.DataFrame(rows))
        client = mlflow.MlflowClient()
        versions = {version.version: version.description for version in client.search_model_versions()}
        assert (list(versions), versions[2]) == ([2, 1], "The second.")
        assert client.get_experiment_by_name("test").tags[KIND] == "custom_model_development"
        first = json.loads(model.predict(example)["answer"][0])
    finally:
        mlflow.set_tracking_uri(before)
    assert first["open_branches"] == ["A-B"]
    assert first["status"] == "feasible"
    assert set(first["p_closed"]) == {"S-A", "A-B", "B-S"}
    assert ring["open_branches"] == ["S-A"]
    assert made_ready == ["ring"]  # when it is loaded, not when it is written
    assert refused.value.get_http_status_code() == 400
    assert "row 2: feeder: base_kv is missing" in json.loads(refused.value.serialize_as_json())["errors"]


def test_getting_ready_compiles_what_requests_need(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, triangle: Network
) -> None:
    """A small request with and without generation, and the search that large feeders take."""
    asked = []
    answer = serve.answer
    monkeypatch.setattr(serve, "answer", lambda *request: asked.append(answer(*request)["status"]))
    monkeypatch.setattr(serve, "warm_up", lambda engine, options, n_loops: asked.append(n_loops > serve.MANY_LOOPS))
    serve.get_ready(LearnedEngine(tiny_checkpoint), json.dumps(network_to_dict(triangle)))
    assert asked == ["feasible", "feasible", True]


def test_importing_tracking_does_not_import_mlflow() -> None:
    """The command line pays for MLflow only when it tracks."""
    code = "import sys, learnopt.tracking; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tracking_prints_nothing(tmp_path: Path) -> None:
    """A new store is made without a word on stdout or stderr."""
    code = f"""
from pathlib import Path
from learnopt.tracking import track_run
with track_run(Path({str(tmp_path)!r}), "test", "quiet") as run:
    run.log_parameters({{"seed": 1}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
