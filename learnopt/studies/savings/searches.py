"""Tree searches of a study, each made once: in a folder also once over all runs, so that a killed study goes on.

.. code-block:: text

    DIR/savings.json     fingerprint of network, loads, limits, outages and locks
        searches.json    configuration found and loss proven, by a digest of what was searched

Files appear whole or not at all. Period, switching cost, representatives, gap and time may differ between runs in one
folder: a search that is the same in both is not made again. Searches are made by threads or by the workers of a Dask
scheduler; who makes them has no influence on what they find.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from learnopt.engines import SolveOptions, Stopwatch
from learnopt.engines.tree.budget import in_threads
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.errors import DataError
from learnopt.io.case_json import network_to_dict, read_json
from learnopt.io.files import write_text
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Status
from learnopt.parallel import Workers, run_tasks
from learnopt.studies.savings.problem import SavingsProblem

SAVE_S = 5.0
"""Seconds between two writes: what a kill can cost."""
THREADS = os.cpu_count() or 1
"""Searches at one time: they are compiled, and run outside Python's lock."""
_ENDED = (Status.OPTIMAL, Status.INFEASIBLE)


@dataclass(frozen=True, eq=False)
class Search:
    """A tree search to be made.

    Parameters
    ----------
    asked, options
        What is searched, and how long.
    start
        A configuration to begin with.
    """

    asked: ReconfigurationProblem
    options: SolveOptions
    start: Configuration


@dataclass(frozen=True)
class Found:
    """What a search is good for.

    Parameters
    ----------
    configuration
        The best one met, None where there is none.
    bound_kw
        Proven lower bound of the AC loss, 0 where nothing is proven.
    nodes
        Nodes of the search, at least one: remembered ones count again, so that a study that goes on is the same.
    """

    configuration: Configuration | None
    bound_kw: float
    nodes: int = 1


class Searches:
    """The tree searches of one study.

    Parameters
    ----------
    problem
        The study.
    directory
        Where they are kept, made where it does not exist; None = nowhere.
    threads
        Searches at one time.
    scheduler
        Address of a Dask scheduler whose workers search in place of threads.

    Raises
    ------
    DataError
        If the folder cannot be written or holds another study.
    """

    def __init__(
        self, problem: SavingsProblem, directory: Path | None, threads: int = THREADS, scheduler: str | None = None
    ) -> None:
        self.problem = problem
        self.directory = directory
        self.threads, self.scheduler = threads, scheduler
        self._known: dict[str, Found] = {}
        self._saved = 0
        self._since = Stopwatch()
        self._keeping = Lock()
        if directory is None:
            return
        identity = {"fingerprint": _fingerprint(problem), "n_steps": problem.n_steps}
        manifest = directory / "savings.json"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if not manifest.exists():
                _write(manifest, identity)
        except OSError as error:
            raise DataError(str(directory), [f"cannot be written: {error.strerror or error}"]) from None
        if read_json(manifest) != identity:
            reason = "holds a study of another network, profile, limits or locks: choose another folder, or delete it"
            raise DataError(str(directory), [reason])
        self._known = self._read()
        self._saved = len(self._known)

    def ask(self, searches: Sequence[Search], report: Callable[[int], None] = lambda _done: None) -> list[Found]:
        """Make searches, or remember them; what they find in their order.

        What came to its end is remembered for any limits, what ended at a node limit for this one, and what ended at a
        time limit not at all: that depends on the machine.

        Parameters
        ----------
        report
            Called with the number of searches that are done.

        Raises
        ------
        KeyboardInterrupt
            If a search was interrupted.
        WorkersLostError
            If the workers of a scheduler end again and again, or the scheduler does.
        """
        found = [self._remembered(search) for search in searches]
        missing = [k for k, one in enumerate(found) if one is None]
        done = count(len(searches) - len(missing) + 1)

        def keep(search: Search, answer: tuple[Status, Found]) -> Found:
            with self._keeping:
                self._keep(search, *answer)
                self.save()
                report(next(done))
            return answer[1]

        wanted = [searches[k] for k in missing]
        if self.scheduler is None:
            answers = in_threads(lambda search: keep(search, _search(search)), wanted, self.threads)
        else:
            who = Workers(scheduler=self.scheduler)
            taken = run_tasks(_search, wanted, who, take=lambda place, answer: keep(wanted[place], answer))
            answers = [one for _, one in taken]
        made = iter(answers)
        return [next(made) if one is None else one for one in found]

    def _remembered(self, search: Search) -> Found | None:
        key, limit = _digest(search.asked, search.options), search.options.node_limit
        ended = self._known.get(key)
        if ended is not None and (limit is None or ended.nodes <= limit):
            return ended
        return self._known.get(f"{key} {limit}")

    def _keep(self, search: Search, status: Status, found: Found) -> None:
        key, limit = _digest(search.asked, search.options), search.options.node_limit
        if status in _ENDED:
            self._known[key] = found
        elif search.options.time_limit is None:
            self._known[f"{key} {limit}"] = found

    def save(self, now: bool = False) -> None:
        """Write what is new, at most every :data:`SAVE_S` seconds unless asked to."""
        if self.directory is None or len(self._known) == self._saved or not (now or self._since.elapsed > SAVE_S):
            return
        trees = {c: k for k, c in enumerate(dict.fromkeys(f.configuration for f in self._known.values()))}
        net = self.problem.network
        content = {
            "open_branches": [None if c is None else net.open_ids(c) for c in trees],
            "searches": {key: [trees[f.configuration], f.bound_kw, f.nodes] for key, f in self._known.items()},
        }
        _write(self.directory / "searches.json", content)
        self._saved, self._since = len(self._known), Stopwatch()

    def _read(self) -> dict[str, Found]:
        """What a run before has kept; nothing where it cannot be read: it is then made again."""
        assert self.directory is not None
        try:
            raw = json.loads((self.directory / "searches.json").read_text(encoding="utf-8"))
            net = self.problem.network
            trees = [None if ids is None else net.configuration(ids) for ids in raw["open_branches"]]
            return {
                str(key): Found(trees[k], float(bound), int(nodes))
                for key, (k, bound, nodes) in raw["searches"].items()
            }
        except (OSError, ValueError, KeyError, IndexError, TypeError, DataError):
            return {}


def _search(search: Search) -> tuple[Status, Found]:
    """How a search ends, and what it finds."""
    result = TreeSearchEngine().solve(search.asked, search.options, search.start)
    if result.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    proven = result.certificate is Certificate.AC and result.dual_bound_kw is not None
    bound = max(result.dual_bound_kw or 0.0, 0.0) if proven else 0.0
    return result.status, Found(result.configuration, bound, max(result.nodes, 1))


def _digest(asked: ReconfigurationProblem, options: SolveOptions) -> str:
    """Digest of loads, weights, limits and what is to be proven; the rest is that of the study."""
    digest = hashlib.sha256(repr((asked.limits, options.certify, options.gap)).encode())
    for scenario in asked.situations:
        digest.update(np.ascontiguousarray(scenario.p_load).tobytes())
        digest.update(np.ascontiguousarray(scenario.q_load).tobytes())
    digest.update(np.ascontiguousarray(asked.weights).tobytes())
    return digest.hexdigest()[:32]


def _fingerprint(problem: SavingsProblem) -> str:
    """Digest of everything that a search depends on."""
    rules = [repr(problem.limits), repr(problem.charging), json.dumps(network_to_dict(problem.network), sort_keys=True)]
    digest = hashlib.sha256("\n".join(rules).encode())
    frame = problem.frame
    for array in (problem.p, problem.q, problem.hours, frame.out_of_service, frame.locked):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _write(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, allow_nan=False))
