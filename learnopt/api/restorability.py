"""How restorable a network is: :func:`restorability` and a :class:`RestorabilityTable` that shows itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from learnopt.api.answer import Answer
from learnopt.api.question import Enforced, Rules, Situation, Source, chosen, warm
from learnopt.api.restoration import refuse_phases
from learnopt.api.unused import Unused, of_balanced
from learnopt.io.files import check_folder, write_text
from learnopt.network import Id
from learnopt.report.kit.origin import warnings_html
from learnopt.report.kit.page import page, table
from learnopt.report.restoration.table import (
    HEAD,
    NUMERIC,
    restorability_rows,
    restorability_sentences,
    restorability_table,
    restorability_to_dict,
)
from learnopt.studies.configuration.solve import AUTO
from learnopt.studies.inspection.reconcile import Origin
from learnopt.studies.restoration.reliability import SwitchingTimes, failure_rates
from learnopt.studies.restoration.search import Second
from learnopt.studies.restoration.study import priorities
from learnopt.studies.restoration.table import Faults, Restorability, faults_of
from learnopt.studies.restoration.table import restorability as study_restorability
from learnopt.wording import counted


@dataclass(frozen=True, eq=False)
class RestorabilityTable(Answer):
    """Every single fault with its plan and its proof.

    Parameters
    ----------
    result
        The complete answer.
    notes
        What was assumed or repaired while the scenario was read, one sentence each.
    origin
        Differences of the file to its own tool (``origin.warnings``).
    unused
        Options that were given and had no effect.
    """

    result: Restorability
    notes: tuple[str, ...] = ()
    origin: Origin = field(default_factory=Origin)
    unused: tuple[Unused, ...] = ()

    @property
    def found(self) -> bool:
        """A table always has an answer."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt restorability --json`` prints."""
        return restorability_to_dict(self.result, self.origin)

    def rendered(self) -> RenderableType:
        """What ``learnopt restorability`` prints."""
        return restorability_table(self.result, self.origin)

    def report(self, path: str | Path) -> Path:
        """Write the self-contained page of ``learnopt restorability --report``; returns its path."""
        name = self.result.problem.network.title or self.result.problem.network.name
        title = f"How restorable {name} is"
        sections = [f"<header><h1>{escape(title)}</h1></header>", warnings_html(self.origin), self._repr_html_()]
        write_text(Path(path), page(title, sections))
        return Path(path)

    def __repr__(self) -> str:
        result = self.result
        done = f"{result.fully_restorable} of {counted(len(result.rows), 'fault')} fully restorable"
        return f"RestorabilityTable({result.problem.network.name!r}: {done})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        said = [*self.without_effect, *restorability_sentences(self.result), *self.notes]
        rows = restorability_rows(self.result.worst_first)
        return "".join(f"<p>{escape(sentence)}</p>" for sentence in said) + table(HEAD, rows, NUMERIC)


def restorability(
    network: Source,
    *,
    faults: Faults | str = Faults.BRANCHES,
    scenario: Situation = None,
    priority: Mapping[Id, float] | None = None,
    then: Second | str = Second.OPERATIONS,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    charging: bool = True,
    remote_only: bool = False,
    time_limit: float | None = None,
    jobs: int = 1,
    resume: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    hour: float | None = None,
    accept_differences: bool = False,
    balanced: bool = False,
    scheduler: str | None = None,
    failures: float | str | Path | Mapping[Id, float] | None = None,
    repair_hours: float = 4.0,
    remote_minutes: float = 1.0,
    crew_minutes: float = 30.0,
) -> RestorabilityTable:
    """Restorable load, operations and loss after every single fault.

    Parameters
    ----------
    faults
        ``branches``, ``buses``, or ``zones``: all that no switch parts is one fault.
    network, scenario, priority, then, limits, vmin, vmax, charging, remote_only, hour, accept_differences, balanced
        As of :func:`restore`.
    time_limit
        Seconds for each fault.
    jobs
        Processes.
    resume
        Folder that keeps the rows: an interrupted table goes on there.
    progress
        Called with the number of faults that are done, and of all.
    scheduler
        Address of a Dask scheduler (``tcp://host:8786``) whose workers take the place of processes.
    failures
        Failures a year: one number for every fault, or by id or name, as a mapping or a CSV file with the columns
        ``id`` and ``failures_per_year``. With them the answer has SAIFI, SAIDI and the energy not supplied.
    repair_hours, remote_minutes, crew_minutes
        From a fault to its repair; a step by remote control, and by a crew on the spot, the way there included.

    Raises
    ------
    DataError
        If the input is bad, or the folder holds another table.
    UnsupportedError
        As of :func:`restore`.
    """
    rules = Rules(
        scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, charging=charging, remote_only=remote_only, hour=hour
    )
    directory = None if resume is None else Path(resume)
    check_folder(directory)
    question = rules.question(network, accept_differences)
    refuse_phases(question, balanced)
    worth = priorities(question.problem, priority)
    kind, second = chosen(Faults, "faults", faults), chosen(Second, "then", then)
    warm(AUTO)
    times = rates = None
    if failures is not None:
        times = SwitchingTimes(repair_hours, remote_minutes, crew_minutes)
        rates = failure_rates(failures, question.problem.network, faults_of(question.problem, kind))
    result = study_restorability(
        question.problem, kind, worth, second, time_limit, jobs, directory, progress, scheduler, times, rates
    )
    unused = of_balanced(balanced, question.origin.equivalent)
    return RestorabilityTable(result, question.notes, question.origin, unused)
