"""Tasks on a Dask cluster of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from parallel_tasks import die, fail_at_two, prepare, square

from learnopt.errors import DataError
from learnopt.parallel import Workers, WorkersLostError, cluster, run_tasks

distributed = pytest.importorskip("distributed", reason="Dask distributed is not installed (extra cluster)")
dask = pytest.importorskip("dask", reason="Dask is not installed (extra cluster)")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A scheduler with two worker processes of one thread, which may be killed."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as made,
    ):
        with made.get_client() as client:
            client.run(_import_tasks, str(Path(__file__).parent))
        # Closed: a client that others have left open would be the default one, which a command does not have.
        with pytest.raises(ValueError, match="No client"):
            distributed.default_client()
        yield made.scheduler_address


def _import_tasks(folder: str) -> None:
    import sys

    sys.path.insert(0, folder)


def test_the_same_answers_as_here(scheduler: str) -> None:
    """In the order of the items, each worker prepared once."""
    counts: list[tuple[int, int]] = []
    found = run_tasks(
        square, list(range(20)), Workers(scheduler=scheduler), (prepare, ("x",)), progress=lambda *n: counts.append(n)
    )
    assert [answer for answer, _, _ in found] == [k * k for k in range(20)]
    assert {words for _, words, _ in found} == {("x",)}
    assert counts == [(k, 20) for k in range(21)]


def test_a_task_that_raises(scheduler: str) -> None:
    """Its own exception; the tasks that wait are cancelled."""
    with pytest.raises(ZeroDivisionError, match="two"):
        run_tasks(fail_at_two, [2], Workers(scheduler=scheduler))


def test_tasks_of_a_killed_worker_are_done_by_another(scheduler: str, tmp_path: Path) -> None:
    """Dask hands them on."""
    assert run_tasks(die, [tmp_path / "once"], Workers(scheduler=scheduler)) == ["done"]


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is named, and what to do."""
    monkeypatch.setattr(cluster, "_TIMEOUT_S", 1)
    with pytest.raises(DataError, match=r"(?s)scheduler tcp://127\.0\.0\.1:9: .*does not answer"):
        run_tasks(square, [1], Workers(scheduler="tcp://127.0.0.1:9"))


def test_workers_that_do_not_fit() -> None:
    """Several threads in one worker are refused: searches compute in one."""
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as made,
        pytest.raises(DataError, match="--nthreads 1"),
    ):
        run_tasks(square, [1], Workers(scheduler=made.scheduler_address))


SERVE = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    made = LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50)
    print(made.scheduler_address, flush=True)
    sys.stdin.read()
"""


def test_a_scheduler_that_is_killed_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told in a sentence when it does not come back; its worker ends with it."""
    monkeypatch.setattr(cluster, "_TIMEOUT_S", 10)
    (tmp_path / "serve.py").write_text(SERVE)
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    served = subprocess.Popen(
        [sys.executable, str(tmp_path / "serve.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    with served:
        assert served.stdout is not None
        address = served.stdout.readline().strip()
        # The second answer never comes: with the first its scheduler is gone.
        with pytest.raises(WorkersLostError, match=r"the connection to scheduler tcp.* is lost"):
            run_tasks(fail_at_two, [1, 3], Workers(scheduler=address), take=lambda *_: served.kill())
        assert served.stdout.read() == ""  # the pipe closes once the worker has ended too


def test_workers_that_die_again_and_again(scheduler: str, tmp_path: Path) -> None:
    """Told with the number of the task; last, since it costs workers."""
    with pytest.raises(WorkersLostError, match="task 0 again and again"):
        run_tasks(die, [tmp_path / "always"], Workers(scheduler=scheduler))
