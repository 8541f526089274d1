"""A learned model beside the cycles: its fast answer to the loads of now against what is proven of them.

It decides nothing: advice is exact. What is kept is how far its answers are from the proven best, by feeder, so that
people see whether the model in use is worth its place before anybody relies on it. Its address may be an alias of
MLflow (``models:/learnopt@champion``), which is asked again before every comparison: a model that takes its place is
loaded without a restart.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from learnopt.engines import SolveOptions
from learnopt.errors import LearnoptError
from learnopt.network import Certificate, Limits, ReconfigurationProblem
from learnopt.service import thinking
from learnopt.service.thinking import Snapshot
from learnopt.service.worker import Worker
from learnopt.studies.configuration.solve import solve

log = logging.getLogger("learnopt.service")

LATEST = 100
"""Comparisons of a feeder that its regret is the mean of."""
ENOUGH = 20
"""Comparisons before anybody is alarmed."""
TOO_FAR = 0.02
"""Mean regret, relative to the least loss, that is an alarm."""
_GAP, _NODES = 1e-3, 20_000
_DEADLINE_S = 120.0


@dataclass(frozen=True)
class Compared:
    """One comparison.

    Parameters
    ----------
    folder
        Of the checkpoint that answered.
    model
        Its name.
    regret
        Loss of its answer over that of the best known, relative to it; None where either has no answer.
    proven
        The best known is proven.
    """

    folder: str
    model: str
    regret: float | None
    proven: bool


@lru_cache(maxsize=2)
def _engine(folder: str) -> Any:
    """The learned engine of a folder, loaded once."""
    from learnopt.learned.choice import engine_of

    return engine_of("learned", folder)


def compare(address: str, snapshot: Snapshot) -> Compared | None:
    """The model's fast answer against the exact one, at the loads of a snapshot; None on a picture without an estimate.

    Raises
    ------
    CheckpointError
        If nothing is behind the address.
    """
    # Load torch, or MLflow: in the process of the model alone.
    from learnopt.learning.checkpoint import directory_of, load_card

    folder = directory_of(address)
    picture = thinking.looked(snapshot).picture
    if not picture.estimated:
        return None
    problem = ReconfigurationProblem.of(picture.network, picture.scenario, limits=Limits.of(picture.network))
    options = SolveOptions(gap=_GAP, node_limit=_NODES)
    fast = _engine(str(folder)).solve(problem, SolveOptions(certify=Certificate.NONE))
    best = solve(problem, options=options)
    name = load_card(Path(folder)).name
    if fast.loss_kw is None or best.loss_kw is None or best.loss_kw <= 0:
        return Compared(str(folder), name, None, False)
    regret = (fast.loss_kw - best.loss_kw) / best.loss_kw
    return Compared(str(folder), name, regret, best.certificate is not Certificate.NONE)


class Shadow:
    """Comparisons one after the other, in a thread and a process of their own; what comes meanwhile is passed over.

    Parameters
    ----------
    address
        Folder, name or MLflow address of a checkpoint.
    told
        Called with the feeder, the comparison, the mean regret of the latest ones (None without any) and their number.
    """

    def __init__(self, address: str, told: Callable[[str, Compared, float | None, int], None]) -> None:
        self.address, self._told = address, told
        self.worker = Worker(thinking.imported)
        self._regrets: dict[str, deque[float]] = {}
        self._waiting: list[tuple[str, Snapshot]] = []
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Begin."""
        self.worker.start()
        self._thread.start()

    def stop(self) -> None:
        """End; nobody waits for a comparison, whose process ends with this one."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1)
        if not self._thread.is_alive():
            self.worker.stop()

    def offer(self, feeder: str, snapshot: Snapshot) -> None:
        """A cycle was looked at; compared if nothing waits."""
        if not self._waiting:
            self._waiting.append((feeder, snapshot))
            self._wake.set()

    def look(self, feeder: str, snapshot: Snapshot) -> None:
        """One comparison; what fails is logged, and the cycles go on."""
        try:
            found = self.worker.ask(compare, self.address, snapshot, deadline_s=_DEADLINE_S)
        except LearnoptError as error:
            log.error("model", extra={"feeder": feeder, "error": str(error)})
            return
        if found is None:
            return
        known = self._regrets.setdefault(feeder, deque(maxlen=LATEST))
        if found.regret is not None and found.proven:
            known.append(found.regret)
        self._told(feeder, found, sum(known) / len(known) if known else None, len(known))

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._waiting and not self._stop.is_set():
                try:
                    self.look(*self._waiting[0])
                except Exception as error:
                    # The database, or whoever listens: the next comparison goes on.
                    log.error("model", extra={"error": str(error)}, exc_info=True)
                self._waiting.clear()
