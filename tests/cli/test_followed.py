"""What is done with a checkpoint is recorded below its run: where that is in the store, unless it is not wanted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from learnopt.cli.tracked import tracked
from learnopt.errors import DataError
from learnopt.tracking import Store, track_run
from learnopt.tracking.registry import ORIGIN

pytestmark = pytest.mark.usefixtures("user_folders")
REFERENCE = Path(__file__).parents[2] / "checkpoints" / "reference"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of nobody's run."""
    return shutil.copytree(REFERENCE, tmp_path / "checkpoint")


def test_whether_it_is_recorded(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the option, by naming a store, or because the run of the checkpoint is there; its parent is that run."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Store.of(tmp_path / "runs").uri)

    def recorded(track: bool | None, store: str | None = None) -> str | None:
        with tracked(track, store, "evaluate", checkpoint, []) as run:
            return None if run is None else run.run_id

    assert recorded(None) is None
    assert not (tmp_path / "runs").exists()
    with track_run(tmp_path / "runs", "learnopt", "training") as training:
        training.log_checkpoint(checkpoint)
    assert recorded(False) is None
    children = [recorded(None), recorded(True)]
    other = recorded(None, str(tmp_path / "others"))
    with Store.of(tmp_path / "runs").client() as client:
        tags = [client.get_run(run).data.tags for run in children]
    assert [each["mlflow.parentRunId"] for each in tags] == [training.run_id] * 2
    with Store.of(tmp_path / "others").client() as client:
        assert "mlflow.parentRunId" not in client.get_run(other).data.tags


def test_a_store_that_is_away_stops_only_what_was_asked_for(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the option the work goes on, and what is missing is said."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (checkpoint / ORIGIN).write_text('{"uri": "http://127.0.0.1:9", "run_id": "a1"}')
    with tracked(None, None, "evaluate", checkpoint, []) as run:
        assert run is None
    assert "Not recorded" in capsys.readouterr().err
    with pytest.raises(DataError, match="start the server"), tracked(True, None, "evaluate", checkpoint, []):
        pytest.fail("the work began")
    with pytest.raises(ZeroDivisionError), tracked(None, None, "evaluate", checkpoint, []):
        raise ZeroDivisionError
