"""A process that stays warm and answers within a deadline; if it does not, or dies, another one takes over."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from learnopt.errors import LearnoptError
from learnopt.parallel.pool import end_with_parent

Answer = TypeVar("Answer")
STARTING_S = 300.0
"""Longest time to import and compile."""
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerError(LearnoptError):
    """There is no answer: the process died, was too late, or failed; the message says which."""


class Worker:
    """One process, one question at a time.

    Parameters
    ----------
    prepare
        Called in the process with ``arguments`` before the first question, outside of every deadline.
    """

    def __init__(self, prepare: Callable[..., object], *arguments: Any) -> None:
        self._prepare = prepare, arguments
        self._turn = threading.Lock()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._unanswered = False
        self.lost = 0
        """Processes that had to be replaced."""

    def start(self) -> None:
        """Begin to warm up, without waiting for it."""
        with self._turn:
            if self._process is None:
                self._begin()

    def ask(self, function: Callable[..., Answer], *arguments: Any, deadline_s: float, **named: Any) -> Answer:
        """The answer of a function that can be imported.

        Raises
        ------
        WorkerError
            If there is none within the deadline, the process ends, or it fails in a way that is nobody's input.
        LearnoptError
            What the function raises of this kind.
        """
        with self._turn:
            if self._process is None or not self._process.is_alive():
                self._end()
                self._begin()
            self._received(STARTING_S, "did not get ready")
            assert self._pipe is not None
            try:
                self._pipe.send((function, arguments, named))
            except OSError:
                self._lose()
                raise WorkerError("the process of the solver has ended") from None
            self._unanswered = True
            kind, answer = self._received(deadline_s, "gave no answer")
        if kind == "refused":
            raise answer
        if kind == "failed":
            raise WorkerError(f"the solver failed: {answer}")
        return answer

    def stop(self) -> None:
        """End the process."""
        with self._turn:
            self._end()

    def _begin(self) -> None:
        # Spawned, since compiled code and solvers do not fork well.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *self._prepare), daemon=True)
        before = {name: os.environ.get(name) for name in _ONE_THREAD}
        os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
        try:
            self._process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        theirs.close()
        self._unanswered = True  # it says when it is ready

    def _received(self, wait_s: float, what: str) -> tuple[str, Any]:
        """The next message, where one is to come."""
        if not self._unanswered:
            return "ready", None
        assert self._pipe is not None
        try:
            if self._pipe.poll(wait_s):
                message: tuple[str, Any] = self._pipe.recv()
                self._unanswered = False
                return message
            why = f"the solver {what} within {wait_s:g} s"
        except (EOFError, OSError):
            why = "the process of the solver has ended"
        self._lose()
        raise WorkerError(why)

    def _lose(self) -> None:
        self.lost += 1
        self._end()
        self._begin()  # the next question finds it warm

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None


def _serve(pipe: Connection, prepare: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    """What the process does."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare(*arguments)
    pipe.send(("ready", None))
    with contextlib.suppress(EOFError, OSError):
        while True:
            function, given, named = pipe.recv()
            try:
                message = ("answer", function(*given, **named))
            except LearnoptError as error:
                message = ("refused", error)
            except Exception as error:
                # Whatever a solver raises is an alarm in the room and not its end.
                message = ("failed", f"{type(error).__name__}: {error} ({traceback.format_exc(limit=-2)})")
            pipe.send(message)
