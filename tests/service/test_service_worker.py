"""The warm process: an answer in time, or an error in time and another process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from learnopt.errors import DataError
from learnopt.service.worker import Worker, WorkerError


def refuse(what: str) -> None:
    raise DataError(what, ["no good"])


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    found = Worker(str, "nothing to prepare")
    found.start()
    yield found
    found.stop()


def test_it_answers_and_stays(worker: Worker) -> None:
    """One process for all questions."""
    first = worker.ask(os.getpid, deadline_s=10)
    assert first == worker.ask(os.getpid, deadline_s=10) != os.getpid()


def test_errors_come_across(worker: Worker) -> None:
    """Those on purpose as they are; any other as one sentence. Neither ends the process."""
    before = worker.ask(os.getpid, deadline_s=10)
    with pytest.raises(DataError, match="no good"):
        worker.ask(refuse, "the input", deadline_s=10)
    with pytest.raises(WorkerError, match="ZeroDivisionError"):
        worker.ask(divmod, 1, 0, deadline_s=10)
    assert worker.ask(os.getpid, deadline_s=10) == before


def test_a_deadline_is_kept_and_another_process_takes_over(worker: Worker) -> None:
    """The late answer never arrives as that to a later question."""
    before, lost = worker.ask(os.getpid, deadline_s=10), worker.lost
    with pytest.raises(WorkerError, match=r"no answer within 0\.2 s"):
        worker.ask(time.sleep, 60, deadline_s=0.2)
    assert worker.ask(max, 3, 4, deadline_s=10) == 4
    assert worker.ask(os.getpid, deadline_s=10) != before
    assert worker.lost == lost + 1


@pytest.mark.parametrize("moment", ["between", "during"])
def test_a_process_that_is_killed_is_replaced(worker: Worker, moment: str) -> None:
    """Whether it was asked something or not."""
    process = worker.ask(os.getpid, deadline_s=10)
    if moment == "between":
        os.kill(process, signal.SIGKILL)
        worker._process.join()  # type: ignore[union-attr]
    else:
        with pytest.raises(WorkerError, match="has ended"):
            worker.ask(os.kill, process, signal.SIGKILL, deadline_s=10)
    assert worker.ask(max, 1, 2, deadline_s=10) == 2
