"""Where runs go: a folder, a URI, the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnopt.errors import CheckpointError, DataError
from learnopt.tracking import Store, TrackedRun, checkpoint_folder, track_run
from learnopt.tracking.registry import origin_of
from learnopt.tracking.run import _tags

pytestmark = pytest.mark.usefixtures("user_folders")


def test_a_folder_has_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder by path or by text; ``mlruns`` where nobody says."""
    monkeypatch.chdir(tmp_path)
    wanted = Store(f"sqlite:///{tmp_path}/runs/mlflow.db", tmp_path / "runs")
    assert Store.of(Path("runs")) == Store.of("runs") == Store.of(wanted) == wanted
    assert Store.of().folder == tmp_path / "mlruns"
    assert not wanted.exists
    wanted.folder.mkdir()  # type: ignore[union-attr]
    (tmp_path / "runs" / "mlflow.db").touch()
    assert wanted.exists
    assert Store.of(f"{wanted.uri}?timeout=9").exists
    assert Store.of("postgresql://host/x").exists


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "https://host/mlflow", "sqlite:///x.db", "file:/tmp/x", "databricks"]
)
def test_a_uri_is_none_of_our_folders(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What MLflow takes as a URI is handed on as it is; no folder is made."""
    monkeypatch.chdir(tmp_path)
    assert Store.of(uri) == Store(uri)
    assert not list(tmp_path.iterdir())


def test_the_environment_is_honoured_and_an_option_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """``MLFLOW_TRACKING_URI`` says where, in MLflow's own words, unless a store is given."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert Store.of().uri == "http://host:5000"
    assert Store.of("runs").folder is not None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "some/folder")
    assert Store.of() == Store("some/folder")


def test_no_password_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """User and password of a URI are left out wherever it is told or written: messages, what is kept, checkpoints."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store = Store("http://me:secret@127.0.0.1:9/x")
    assert store.shown == "http://127.0.0.1:9/x"
    assert store.key == Store("http://me:changed@127.0.0.1:9/x").key
    with pytest.raises(DataError) as away, track_run(store, "test", "none"):
        pytest.fail("the run began")
    with pytest.raises(CheckpointError) as nothing:
        checkpoint_folder("models:/learnopt@champion", store)
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "card.json").write_text("{}")
    run = TrackedRun(store, "run", "0")
    run.log_checkpoint(checkpoint)
    assert origin_of(checkpoint, store) == "run"
    with monkeypatch.context() as patched:
        patched.setattr("sys.argv", ["learnopt", "train", "--store", store.uri])
        run.log_tags(_tags(store, "", None))
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert "learnopt train --store http://127.0.0.1:9/x" in "".join(files)
    assert "secret" not in "".join([str(away.value), str(nothing.value), caplog.text, run.view_command, *files])
    assert "is kept in" in caplog.text
    assert Store("postgresql://me:secret@host/x").shown == "postgresql://host/x"


def test_a_server_that_is_away_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens there: an error that names the store and what to do, and no folder of that name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with (
        pytest.raises(DataError, match=r"(?s)MLflow store http://127\.0\.0\.1:9: .*start the server"),
        track_run("http://127.0.0.1:9", "test", "none"),
    ):
        pytest.fail("the run began")
    assert [path.name for path in tmp_path.iterdir()] in ([], ["user"])
