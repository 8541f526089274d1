"""Restoration after a fault: :func:`restore` and a :class:`RestorationPlan` that shows itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType

from learnopt.api.answer import Answer
from learnopt.api.over_time import situations_over_time
from learnopt.api.question import (
    Enforced,
    Question,
    Rules,
    Situation,
    Source,
    chosen,
    profile_source,
    read_profile,
    warm,
)
from learnopt.api.unused import Unused, of_balanced
from learnopt.errors import DataError, UnsupportedError
from learnopt.io import Profiles
from learnopt.network import Certificate, Configuration, Id, ReconfigurationProblem, Situations, Status
from learnopt.report.restoration.text import headline, restoration_table, restoration_to_dict, sentences
from learnopt.studies.configuration.solve import AUTO
from learnopt.studies.configuration.switching_order import Operation, Paralleling
from learnopt.studies.inspection.reconcile import Origin
from learnopt.studies.restoration.crews import crew_plan, read_crew_times
from learnopt.studies.restoration.fault import read_fault
from learnopt.studies.restoration.outage import Strain
from learnopt.studies.restoration.search import Second
from learnopt.studies.restoration.study import Restoration, priorities
from learnopt.studies.restoration.study import restore as study_restore


@dataclass(frozen=True, eq=False)
class RestorationPlan(Answer):
    """What can be supplied after a fault, by which steps, and what is proven of it.

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

    result: Restoration
    notes: tuple[str, ...] = ()
    origin: Origin = field(default_factory=Origin)
    unused: tuple[Unused, ...] = ()

    @property
    def found(self) -> bool:
        """There is a plan, be it that nothing can be done."""
        return self.result.configuration is not None

    @property
    def status(self) -> Status:
        """How the search ended."""
        return self.result.status

    @property
    def certificate(self) -> Certificate:
        """What is proven."""
        return self.result.certificate

    @property
    def configuration(self) -> Configuration | None:
        """State of every branch after the plan, None without one."""
        return self.result.configuration

    @property
    def restored_kw(self) -> float:
        """All consumption with supply after the plan [kW]."""
        return self.result.restored_kw

    @property
    def unserved_kw(self) -> float:
        """All consumption without [kW]."""
        return self.result.total_kw - self.result.restored_kw

    @property
    def bound_kw(self) -> float | None:
        """No plan supplies more than this [kW]; None where nothing is proven."""
        return self.result.bound_kw

    @property
    def loss_kw(self) -> float | None:
        """Loss with the plan [kW]."""
        return self.result.loss_kw

    @property
    def operations(self) -> list[Operation]:
        """The steps in order, each with the state it leads to."""
        return self.result.operations

    @property
    def not_served(self) -> list[Id]:
        """Ids of the buses without supply after the plan."""
        return [self.result.problem.network.bus_ids[k] for k, _ in self.result.not_served]

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt restore --json`` prints."""
        return restoration_to_dict(self.result, self.origin)

    def rendered(self) -> RenderableType:
        """What ``learnopt restore`` prints."""
        return restoration_table(self.result, self.origin)

    def report(self, path: str | Path) -> Path:
        """Write the self-contained page of ``learnopt restore --report``; returns its path."""
        from learnopt.report.restoration.page import write_restoration_report

        write_restoration_report(Path(path), self.result, self.origin)
        return Path(path)

    def __repr__(self) -> str:
        name, result = self.result.problem.network.name, self.result
        proof = f"{result.status.value}, certificate {result.certificate.value}"
        return f"RestorationPlan({name!r}: {proof}; {headline(result)})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        said = [*self.origin.warnings, *self.without_effect, *sentences(self.result), *self.notes]
        return f"<h4>{escape(headline(self.result))}</h4>" + "".join(f"<p>{escape(sentence)}</p>" for sentence in said)


def restore(
    network: Source,
    fault: Id | Iterable[Id],
    *,
    scenario: Situation = None,
    priority: Mapping[Id, float] | None = None,
    then: Second | str = Second.OPERATIONS,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    charging: bool = True,
    remote_only: bool = False,
    paralleling: Paralleling | str = Paralleling.ALLOWED,
    time_limit: float | None = None,
    hours: int | None = None,
    profile: Profiles | str | Path | None = None,
    start: str | None = None,
    pickup: float = 1.0,
    emergency: float = 1.0,
    crews: int | None = None,
    minutes: str | Path | Mapping[Id, float] | None = None,
    hour: float | None = None,
    accept_differences: bool = False,
    balanced: bool = False,
) -> RestorationPlan:
    """The plan after a fault: isolate it, supply the most load, and say what is proven.

    Parameters
    ----------
    network
        A network, what :func:`load` takes, or a problem.
    fault
        What is out of order: ``branch:ID``, ``bus:ID`` or ``substation:ID``, or an id or name that only one thing has;
        several at once as a list or parted by commas.
    scenario, limits, vmin, vmax, charging, remote_only
        As of :func:`problem`; none where a problem is given. Of several scenarios the plan holds in each.
    priority
        Worth of a kW at some buses, by id or name; 1 where absent.
    then
        What counts after the load: ``operations`` (fewest, then least loss) or ``loss`` (least, whatever the number
        of operations).
    paralleling
        Steps: ``allowed`` = a loop may be closed for a moment, ``forbidden`` = it is opened first.
    time_limit
        Seconds; the best plan by then is returned with what is proven.
    hours, profile, start
        Hours until the repair: one plan that holds in each of them, for the most load on their mean. Their loads are
        those of a profile (as of :func:`learnopt.savings`) from its instant ``start`` on.
    pickup
        Cold-load pickup: factor on loads that the fault took the supply from, in the first hour. Load is told without.
    emergency
        Factor on ratings of branches and substations until the repair.
    crews
        Crews that switch on the spot (extra ``crews``): who carries out which step and when, so that the last one ends
        as early as can be.
    minutes
        Minutes of steps on the spot by switch, branch or bus, or a CSV file with the columns ``id``, ``minutes`` and
        ``travel`` (the way there); 10 and 20 minutes where nothing is said, 1 by remote control.
    hour, accept_differences
        As of :func:`load`.
    balanced
        Of an unbalanced file: restore its balanced equivalent.

    Raises
    ------
    DataError
        If the input is bad, or nothing of the network has the name of the fault.
    UnsupportedError
        For an unbalanced file without ``balanced``, for crews without OR-Tools, for controls, a switching cost or a cap
        on operations.
    """
    rules = Rules(
        scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, charging=charging, remote_only=remote_only, hour=hour
    )
    faults = [fault] if isinstance(fault, str | int | float) else list(fault)
    question = rules.question(network, accept_differences)
    refuse_phases(question, balanced)
    problem, notes = question.problem, tuple[str, ...]()
    asked = read_fault(problem.network, faults)
    worth = priorities(problem, priority)
    second = chosen(Second, "then", then)
    strain = Strain(pickup, emergency)
    if hours is not None or profile is not None or start is not None:
        problem, notes = _over_hours(network, problem, hours, profile, start)
    if minutes is not None and crews is None:
        raise DataError("options", ["minutes of steps say nothing without the number of crews"], {"crews": 1})
    times = read_crew_times(minutes, problem.network)
    warm(AUTO)
    result = study_restore(
        problem,
        asked,
        worth,
        second,
        chosen(Paralleling, "paralleling", paralleling),
        time_limit,
        strain,
        None if hours is None else float(hours),
    )
    if crews is not None:
        left = None if time_limit is None else max(time_limit - result.solve_time_s, 1.0)
        result = replace(result, crews=crew_plan(result.operations, crews, times, left))
        if result.crews is None:
            notes = (*notes, "No schedule of the crews was found within the time limit.")
    unused = of_balanced(balanced, question.origin.equivalent)
    return RestorationPlan(result, (*question.notes, *notes), question.origin, unused)


def _over_hours(
    network: Source,
    problem: ReconfigurationProblem,
    hours: int | None,
    profile: Profiles | str | Path | None,
    start: str | None,
) -> tuple[ReconfigurationProblem, tuple[str, ...]]:
    """The problem of the hours until the repair, and notes of reading their loads."""
    if hours is None:
        raise DataError("options", ["a profile says nothing without the hours until the repair"], {"hours": 4})
    if hours < 1:
        raise DataError("options", [f"hours = {hours} must be a whole number of hours >= 1"])
    profiles = read_profile(profile_source(profile, network), problem.network)
    over = situations_over_time(problem, profiles, start, hours, 1.0)
    situations = Situations(tuple(each for _, each in over), np.ones(len(over)))
    return problem.replace(situations=situations), profiles.notes


def refuse_phases(question: Question, balanced: bool) -> None:
    """Raise UnsupportedError for a file in unequal phases, unless its balanced equivalent is asked for."""
    if question.origin.equivalent and not balanced:
        raise UnsupportedError(
            f"network {question.problem.network.name!r} is unbalanced, and restoration does not carry its phases: "
            "a plan of its balanced equivalent may pass limits of a phase",
            {"balanced": True},
        )
