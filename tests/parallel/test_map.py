"""The map: the same answers whoever does the work, and nothing left over however it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from parallel_tasks import die, fail_at_two, prepare, square

from learnopt.errors import DataError
from learnopt.parallel import Workers, WorkersLostError, run_tasks


@pytest.mark.parametrize("processes", [0, 2])
def test_answers_are_in_the_order_of_their_items(processes: int) -> None:
    """However tasks end; each worker has prepared once, each process has one thread; progress counts earlier ones."""
    taken: dict[int, int] = {}
    counts: list[tuple[int, int]] = []
    found = run_tasks(
        square,
        [3, 1, 2, 5],
        Workers(processes),
        (prepare, (f"for {processes}",)),
        take=lambda place, answer: taken.update({place: answer[0]}),
        progress=lambda *count: counts.append(count),
        done=2,
    )
    assert [answer for answer, _, _ in found] == [9, 1, 4, 25]
    assert all(words[-1:] == (f"for {processes}",) and words.count(words[-1]) == 1 for _, words, _ in found)
    assert taken == {0: 9, 1: 1, 2: 4, 3: 25}
    assert counts == [(2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]
    if processes:
        assert {threads for _, _, threads in found} == {"1"}
    assert not multiprocessing.active_children()


def test_nothing_to_do_starts_nothing() -> None:
    """Neither a process nor a connection to a scheduler that does not exist."""
    assert run_tasks(square, [], Workers(4)) == []
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("processes", [0, 2])
def test_a_task_that_raises_ends_the_others(processes: int) -> None:
    """Its own exception is raised at once, although others would take a minute; what was done had been taken."""
    taken: list[int] = []
    with pytest.raises(ZeroDivisionError, match="two"):
        run_tasks(fail_at_two, [0, 1, 2, 3], Workers(processes), take=lambda place, _: taken.append(place))
    assert set(taken) <= {0, 1}
    assert not multiprocessing.active_children()


def test_tasks_of_a_killed_process_are_done_by_another(tmp_path: Path) -> None:
    """A process that is killed costs its task a second try and nothing else."""
    found = run_tasks(die, [tmp_path / "calm", tmp_path / "once", tmp_path / "calm"], Workers(1))
    assert found == ["done"] * 3


def test_a_task_that_always_kills_its_process_is_an_error(tmp_path: Path) -> None:
    """After the retries, with its number and advice."""
    with pytest.raises(WorkersLostError, match=r"tasks 0, 2 times: killed, or out of memory; use fewer"):
        run_tasks(die, [tmp_path / "always"], Workers(1, retries=1))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_over(how: signal.Signals, tmp_path: Path) -> None:
    """Whatever ends the process that started them, workers in the middle of a task end too."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import signal\n"
        "from parallel_tasks import hold\n"
        "from learnopt.parallel import Workers, run_tasks\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # in the background of a shell it is ignored
        "    run_tasks(hold, [1, 2], Workers(2))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    )
    assert parent.stdout is not None
    assert [parent.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    parent.send_signal(how)
    assert parent.wait() != 0
    assert parent.stdout.read() == ""  # the pipe closes once both workers have ended too


def test_bad_workers() -> None:
    """All of it at once."""
    with pytest.raises(DataError, match=r"2 problems"):
        Workers(-1, "host:8786")
