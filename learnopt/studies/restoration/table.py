"""How restorable a network is: every branch, bus or zone as the only fault, each with its plan and its proof."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError
from learnopt.io.files import write_text
from learnopt.network import Floats, Id, ReconfigurationProblem
from learnopt.network.totals import consumption
from learnopt.parallel import Workers, run_tasks
from learnopt.studies.configuration.isolation import dead_zone
from learnopt.studies.restoration.fault import Fault
from learnopt.studies.restoration.reliability import Indices, SwitchingTimes, interruption, weights
from learnopt.studies.restoration.search import Second
from learnopt.studies.restoration.study import LIMITS, Restoration, refuse_restoration, restore

FORMAT = 2
"""Version of the rows that a folder keeps."""


_PER_FAULT = ("interrupted", "interrupted_hours", "unserved_kwh")


class Faults(StrEnum):
    """Which faults a table has."""

    BRANCHES = "branches"
    BUSES = "buses"
    ZONES = "zones"
    """One fault for all that no switch parts, by the first bus of it."""


@dataclass(frozen=True)
class Row:
    """One fault of the table.

    Parameters
    ----------
    kind, id, name
        What is out of order.
    status, certificate
        Of its plan.
    lost_kw
        Consumption that loses its supply by the fault and its isolation.
    restored_kw, unserved_kw, bound_kw
        Consumption with and without supply after the plan, and what no plan exceeds; None where not known.
    share
        Of the lost load, how much gets its supply back; 1 where nothing was lost.
    operations
        After isolating; None without a plan.
    loss_kw, min_voltage_pu
        After the plan.
    binding
        What keeps the rest without supply: ``fault``, ``no way``, ``limits``; "" where all have supply.
    minutes, interrupted, interrupted_hours, unserved_kwh
        As of :class:`~learnopt.studies.restoration.reliability.Interruption`; None where no times were given, the
        minutes also without a plan.
    """

    kind: str
    id: Id
    name: str
    status: str
    certificate: str
    lost_kw: float
    restored_kw: float | None
    unserved_kw: float | None
    bound_kw: float | None
    share: float | None
    operations: int | None
    loss_kw: float | None
    min_voltage_pu: float | None
    binding: str
    minutes: float | None = None
    interrupted: float | None = None
    interrupted_hours: float | None = None
    unserved_kwh: float | None = None


@dataclass(frozen=True, eq=False)
class Restorability:
    """The table.

    Parameters
    ----------
    problem
        What was asked.
    rows
        One for each fault, in the order of the file.
    rates
        Failures a year of each, shape (n_row,); None where nobody asked for indices.
    """

    problem: ReconfigurationProblem
    rows: tuple[Row, ...]
    rates: Floats | None = None

    @cached_property
    def indices(self) -> Indices | None:
        """Reliability over a year; None where nobody asked for it."""
        if self.rates is None:
            return None
        net = self.problem.network
        count, by_customers = weights(net, consumption(net, self.problem.scenario) * net.base.kw)
        columns = [[getattr(row, name) or 0.0 for row in self.rows] for name in _PER_FAULT]
        interrupted, hours, energy = (float(self.rates @ np.array(values)) for values in columns)
        everything = max(float(count.sum()), 1e-300)
        return Indices(by_customers, interrupted / everything, hours / everything, energy)

    @property
    def worst_first(self) -> list[Row]:
        """Rows by load without supply, most first."""
        return sorted(self.rows, key=lambda row: -(np.inf if row.unserved_kw is None else row.unserved_kw))

    @property
    def fully_restorable(self) -> int:
        """Faults after which every healthy bus has supply again."""
        return sum(row.binding in ("", "fault") and row.restored_kw is not None for row in self.rows)

    @property
    def mean_unserved_kw(self) -> float | None:
        """Load without supply after a fault, all being equally likely [kW]; None where some is not known."""
        values = [row.unserved_kw for row in self.rows]
        if not values or any(value is None for value in values):
            return None
        return float(np.mean([value for value in values if value is not None]))


def faults_of(problem: ReconfigurationProblem, kind: Faults) -> list[Fault]:
    """The faults of a table."""
    net = problem.network
    if kind is Faults.BRANCHES:
        return [Fault(branches=(e,)) for e in range(net.n_branch) if not problem.out_of_service[e]]
    if kind is Faults.BUSES:
        return [Fault(buses=(k,)) for k in range(net.n_bus)]
    seen: set[int] = set()
    found = []
    for k in range(net.n_bus):
        if k not in seen:
            seen |= dead_zone(problem, (), (k,)).buses
            found.append(Fault(buses=(k,)))
    return found


def row_of(restoration: Restoration, kind: str, index: int, times: SwitchingTimes | None = None) -> Row:
    """What the table says of a restoration; of its time where times of switching are given."""
    cost = None if times is None else interruption(restoration, times)
    net, found, judged = restoration.problem.network, restoration.found, restoration.evaluation
    ids, names = (net.branch_ids, net.branch_names) if kind == "branch" else (net.bus_ids, net.bus_names)
    planned = restoration.configuration is not None
    lost, unserved = restoration.lost_kw, restoration.total_kw - restoration.restored_kw
    reasons = [why for _, why in restoration.not_served]
    binding = next((why for why in (LIMITS, "no way", "fault") if why in reasons), "") if planned else LIMITS
    share = None
    if planned:
        back = restoration.served & restoration.outage.fed_before & ~restoration.outage.still_fed
        share = 1.0 if lost == 0 else float(restoration.outage.load_kw[back].sum()) / lost
    return Row(
        kind=kind,
        id=ids[index],
        name=names[index],
        status=found.status.value,
        certificate=found.certificate.value,
        lost_kw=lost,
        restored_kw=restoration.restored_kw if planned else None,
        unserved_kw=unserved if planned else None,
        bound_kw=restoration.bound_kw,
        share=share,
        operations=None if found.operations.value is None else int(found.operations.value),
        loss_kw=restoration.loss_kw,
        min_voltage_pu=None if judged is None else judged.min_voltage_pu,
        binding=binding,
        **({} if cost is None else vars(cost)),
    )


@dataclass(frozen=True, eq=False)
class _Task:
    """One fault for a process of its own."""

    problem: ReconfigurationProblem
    fault: Fault
    priority: Floats
    second: Second
    time_limit: float | None
    times: SwitchingTimes | None

    def __call__(self) -> Row:
        kind, index = ("branch", self.fault.branches[0]) if self.fault.branches else ("bus", self.fault.buses[0])
        found = restore(self.problem, self.fault, self.priority, self.second, time_limit=self.time_limit)
        return row_of(found, kind, index, self.times)


def restorability(
    problem: ReconfigurationProblem,
    kind: Faults = Faults.BRANCHES,
    priority: Floats | None = None,
    second: Second = Second.OPERATIONS,
    time_limit: float | None = None,
    jobs: int = 1,
    directory: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    scheduler: str | None = None,
    times: SwitchingTimes | None = None,
    rates: Floats | None = None,
) -> Restorability:
    """The table of all single faults.

    Parameters
    ----------
    priority, second
        As of :func:`~learnopt.studies.restoration.study.restore`.
    time_limit
        Seconds for each fault.
    jobs
        Processes.
    directory
        Folder that keeps the rows: an interrupted table goes on there.
    progress
        Called with the number of rows that are done, and of all.
    scheduler
        Address of a Dask scheduler that takes the place of processes.
    times, rates
        How long steps and repair take, and how often each fault happens a year, shape (n_fault,): for the indices.

    Raises
    ------
    DataError
        If the folder holds the rows of another question.
    """
    refuse_restoration(problem)
    worth = np.ones(problem.network.n_bus) if priority is None else priority
    faults = faults_of(problem, kind)
    kept = _Kept.open(directory, problem, kind, worth, second, time_limit, times)
    rows: dict[int, Row] = dict(kept.rows)
    missing = [k for k in range(len(faults)) if k not in rows]

    def take(place: int, row: Row) -> None:
        rows[missing[place]] = row
        kept.keep(missing[place], row)

    run_tasks(
        _Task.__call__,
        [_Task(problem, faults[k], worth, second, time_limit, times) for k in missing],
        Workers(0 if jobs == 1 else jobs, scheduler),
        take=take,
        progress=progress,
        done=len(rows),
    )
    return Restorability(problem, tuple(rows[k] for k in range(len(faults))), rates)


@dataclass(eq=False)
class _Kept:
    """Rows in a folder, a file each, with the question that they answer."""

    directory: Path | None
    rows: dict[int, Row]

    @classmethod
    def open(cls, directory: Path | None, problem: ReconfigurationProblem, *question: Any) -> _Kept:
        """What the folder holds; nothing where there is none."""
        if directory is None:
            return cls(None, {})
        asked = _fingerprint(problem, *question)
        note = directory / "question.json"
        if note.exists():
            if json.loads(note.read_text(encoding="utf-8")) != {"format": FORMAT, "question": asked}:
                raise DataError(str(directory), ["it holds the table of another question: give an empty folder"])
        else:
            directory.mkdir(parents=True, exist_ok=True)
            write_text(note, json.dumps({"format": FORMAT, "question": asked}))
        rows = {
            int(path.stem): Row(**json.loads(path.read_text(encoding="utf-8")))
            for path in directory.glob("[0-9]*.json")
        }
        return cls(directory, rows)

    def keep(self, k: int, row: Row) -> None:
        """Write a row; complete or not at all."""
        if self.directory is not None:
            write_text(self.directory / f"{k}.json", json.dumps(asdict(row)))


def _fingerprint(problem: ReconfigurationProblem, *question: Any) -> str:
    """A checksum of everything that an answer depends on."""
    digest = sha256()
    for each in (problem.network, *problem.situations, *problem.situations.networks):
        for one in fields(each):
            value = getattr(each, one.name)
            if isinstance(value, np.ndarray):
                digest.update(one.name.encode() + value.tobytes())
        digest.update(repr((getattr(each, "bus_ids", ()), getattr(each, "branch_ids", ()))).encode())
        digest.update(repr((getattr(each, "devices", ()), getattr(each, "tagged", ()))).encode())
    digest.update(repr((problem.limits, problem.charging)).encode())
    for array in (problem.out_of_service, problem.locked, problem.weights):
        digest.update(array.tobytes())
    for value in question:
        digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return digest.hexdigest()
