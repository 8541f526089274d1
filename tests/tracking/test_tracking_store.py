"""Where runs go: a folder, a URI, the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnopt.errors import DataError
from learnopt.tracking import Store, track_run

pytestmark = pytest.mark.usefixtures("user_folders")


def test_a_folder_has_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder by path or by text; ``mlruns`` where nobody says."""
    monkeypatch.chdir(tmp_path)
    wanted = Store(f"sqlite:///{tmp_path}/runs/mlflow.db", tmp_path / "runs")
    assert Store.of(Path("runs")) == Store.of("runs") == Store.of(wanted) == wanted
    assert Store.of().folder == tmp_path / "mlruns"
    assert not wanted.exists


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


def test_no_password_is_shown() -> None:
    """User and password of a URI are left out wherever it is told."""
    assert Store("https://me:secret@host:1/x").shown == "https://host:1/x"


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
