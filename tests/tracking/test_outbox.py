"""A store that goes away in the middle of a run: nothing is lost, and it is said."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import pytest

from learnopt.tracking import Store, TrackedRun, outbox, track_run
from learnopt.tracking.outbox import PAUSE_S, Outbox, kept_folder

pytestmark = pytest.mark.usefixtures("user_folders")


class Line:
    """The way to the store, which can be cut."""

    def __init__(self) -> None:
        self.cut = False
        self.whole = outbox.deliver

    def __call__(self, *entry: Any) -> None:
        """Deliver, or do not."""
        if self.cut:
            raise OSError("no route to host")
        self.whole(*entry)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    found = Line()
    monkeypatch.setattr(outbox, "deliver", found)
    return found


def recorded(store: Path, name: str) -> Any:
    """A run of the store by name, as MLflow has it."""
    with Store.of(store).client() as client:
        experiment = client.get_experiment_by_name("test")
        (run,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
        losses = client.get_metric_history(run.info.run_id, "loss")
        files = [each.path for each in client.list_artifacts(run.info.run_id)]
    return run, [each.value for each in losses], files


def test_what_could_not_be_sent_is_sent_at_the_end(
    tmp_path: Path, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    """Numbers, text and files of the time without a store arrive when it is back before the run ends."""
    with track_run(tmp_path, "test", "cut") as run:
        run.log_metrics({"loss": 3.0}, step=0)
        line.cut = True
        run.log_metrics({"loss": 2.0}, step=1)
        run.log_text("kept", "note.txt")
        assert "no route to host" in caplog.text
        line.cut = False
        run.log_metrics({"loss": 1.0}, step=2)
    found, losses, files = recorded(tmp_path, "cut")
    assert losses == [3.0, 2.0, 1.0]
    assert files == ["note.txt"]
    assert found.info.status == "FINISHED"
    assert "answers again: 4 entries" in caplog.text
    assert not any(kept_folder(Store.of(tmp_path)).iterdir())


def test_a_run_that_ends_without_its_store_is_sent_with_the_next(
    tmp_path: Path, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said where it is kept; the next run of this store sends it, how it ended included."""

    def fail() -> None:
        with track_run(tmp_path, "test", "first") as run:
            line.cut = True
            run.log_metrics({"loss": 2.0}, step=1)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert "2 entries of run" in caplog.text
    assert str(kept_folder(Store.of(tmp_path))) in caplog.text
    assert recorded(tmp_path, "first")[0].info.status == "RUNNING"
    line.cut = False
    with track_run(tmp_path, "test", "second"):
        pass
    found, losses, _ = recorded(tmp_path, "first")
    assert losses == [2.0]
    assert found.info.status == "FAILED"
    assert not any(kept_folder(Store.of(tmp_path)).iterdir())


def test_what_fails_on_the_way_stays(tmp_path: Path, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store goes away again while kept entries are sent: those that arrived are not sent twice."""
    arrived: list[int] = []

    def deliver(client: Any, store: Store, run_id: str, entry: dict[str, Any], file: Path | None) -> None:
        if len(arrived) in stops:
            stops.discard(len(arrived))
            raise OSError("gone")
        arrived.append(entry["step"])

    stops = {0}
    monkeypatch.setattr(outbox, "deliver", deliver)
    times = iter([0.0, 1.0, 2.0, PAUSE_S, PAUSE_S + 1.0, 3 * PAUSE_S])
    sender = Outbox(Store.of(tmp_path), "run", clock=lambda: next(times))
    sender.send({"kind": "metrics", "step": 0})
    sender.send({"kind": "metrics", "step": 1})
    stops = {1}
    sender.send({"kind": "metrics", "step": 2})  # PAUSE_S later: tries, and one arrives
    assert arrived == [0]
    assert sender.kept == 2
    assert sender.flush()
    assert arrived == [0, 1, 2]
    assert sender.kept == 0


def test_while_it_is_away_it_is_not_asked_all_the_time(tmp_path: Path, line: Line) -> None:
    """Each try may take seconds: between two lies a pause, however much is logged."""
    line.cut = True
    asked: list[float] = []
    line.whole = None  # type: ignore[assignment]
    now = [0.0]
    sender = Outbox(Store.of(tmp_path), "run", clock=lambda: now[0])
    sender.flush = lambda: asked.append(now[0])  # type: ignore[method-assign, assignment, return-value]
    for second in range(0, 130, 10):
        now[0] = float(second)
        sender.send({"kind": "metrics", "step": second})
    assert min(asked) == PAUSE_S
    assert sender.kept == 13


def test_a_run_travels_to_other_processes(tmp_path: Path) -> None:
    """Lightning pickles its logger where it trains in several processes."""
    run = TrackedRun(Store.of(tmp_path), "run", "0")
    logger = pickle.loads(pickle.dumps(run.lightning_logger()))
    assert logger.version == "run"


def test_bad_numbers_are_no_failure_of_the_store(tmp_path: Path) -> None:
    """A mistake of the caller is raised where it is made."""
    with pytest.raises(ValueError, match="kind 'song'"):
        Outbox(Store.of(tmp_path), "run").send({"kind": "song"})
    assert logging.getLogger("learnopt").level == logging.NOTSET
