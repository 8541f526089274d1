"""A restoration with crews: which crew carries out which step, when it begins, and when the last one ends.

The states between the steps are those of the plan, each of which the judge has seen: a step of restoring begins when
the one before it has ended, the first of them when the fault is isolated and earthed. Switches around the fault are
opened in any order, since protection has tripped what they part. Crews travel while others work.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from learnopt.engines.crews import CrewSchedule, CrewTask, schedule_crews
from learnopt.errors import DataError
from learnopt.network import Id, Network
from learnopt.studies.configuration.switching_order import Action, Operation, PlanState

COLUMNS = ("id", "minutes", "travel")
"""Of a table of minutes: what is operated, minutes on the spot, minutes of the way there (may be empty)."""


@dataclass(frozen=True)
class CrewTimes:
    """Minutes of steps and ways.

    Parameters
    ----------
    remote, on_the_spot, way
        Of a step by remote control, of one by a crew that is there, and of the way there from anywhere else, where
        nothing else is said.
    steps, ways
        Minutes on the spot and of the way there, by place: ``branch`` or ``bus`` and its index.
    """

    remote: float = 1.0
    on_the_spot: float = 10.0
    way: float = 20.0
    steps: Mapping[tuple[str, int], float] = field(default_factory=dict)
    ways: Mapping[tuple[str, int], float] = field(default_factory=dict)


@dataclass(frozen=True)
class CrewPlan:
    """Crews and their schedule, a place in it for each step of the plan."""

    crews: int
    schedule: CrewSchedule


def crew_plan(
    operations: Sequence[Operation], crews: int, times: CrewTimes, time_limit: float | None = None
) -> CrewPlan | None:
    """The schedule that ends first; None where none was found within the time limit.

    Raises
    ------
    DataError
        For less than one crew.
    UnsupportedError
        Without OR-Tools.
    """
    if crews < 1:
        raise DataError("crews", [f"crews = {crews} must be a whole number >= 1"])
    places = [_place(step) for step in operations]
    manual = np.array([step.manual for step in operations], dtype=bool)
    minutes = [
        times.steps.get(place, times.on_the_spot if step.manual else times.remote)
        for step, place in zip(operations, places, strict=True)
    ]
    way = np.array([0.0, *(times.ways.get(place, times.way) for place in places)])
    travel = np.tile(way, (len(way), 1))
    for i, place in enumerate(places):
        for j, other in enumerate(places):
            if place == other:
                travel[i + 1, j + 1] = 0.0
    task = CrewTask(np.array(minutes), manual, _after(operations), np.tile(travel, (crews, 1, 1)))
    schedule = schedule_crews(task, time_limit)
    return None if schedule is None else CrewPlan(crews, schedule)


def _place(step: Operation) -> tuple[str, int]:
    return ("branch", step.branch) if step.bus is None else ("bus", step.bus)


def _after(operations: Sequence[Operation]) -> tuple[tuple[int, ...], ...]:
    """Steps that have ended before each begins."""
    isolating = [k for k, step in enumerate(operations) if step.state is PlanState.ISOLATING]
    opening = tuple(k for k in isolating if operations[k].action is Action.OPEN)
    found: list[tuple[int, ...]] = []
    for k, step in enumerate(operations):
        if step.state is PlanState.ISOLATING:
            found.append(() if step.action is Action.OPEN else opening)
        else:
            found.append((*isolating, *((k - 1,) if k else ())))
    return tuple(found)


def read_crew_times(given: str | Path | Mapping[Id, float] | None, network: Network) -> CrewTimes:
    """Minutes by switch, branch or bus: a mapping of minutes on the spot, or a CSV file with :data:`COLUMNS`.

    Raises
    ------
    DataError
        For what the network has not, and minutes that are no finite numbers >= 0.
    """
    if given is None:
        return CrewTimes()
    rows: list[tuple[Id, float | str, float | str]]
    rows = [(key, value, "") for key, value in given.items()] if isinstance(given, Mapping) else _rows(Path(given))
    steps: dict[tuple[str, int], float] = {}
    ways: dict[tuple[str, int], float] = {}
    bad = []
    for text, on_the_spot, way in rows:
        place, why = _found(network, text)
        if place is None:
            bad.append(why)
            continue
        for name, value, into in (("minutes", on_the_spot, steps), ("travel", way, ways)):
            if value == "":
                continue
            try:
                number = float(value)
            except ValueError:
                number = float("nan")
            if np.isfinite(number) and number >= 0:
                into[place] = number
            else:
                bad.append(f"{text!r}: {name} = {value!r} must be a finite number >= 0")
    if bad:
        raise DataError("minutes", bad)
    return CrewTimes(steps=steps, ways=ways)


def _found(network: Network, text: Id) -> tuple[tuple[str, int] | None, str]:
    """The place that an id or name of a device, branch or bus stands for; or none, and why."""
    for device in network.switchgear.devices:
        if str(device.id) == str(text):
            return ("branch", network.branch_index[str(device.branch)]), ""
    branch, why = network.find_branch(text)
    if branch is not None:
        return ("branch", branch), ""
    bus, _ = network.find_bus(text)
    return (None, why) if bus is None else (("bus", bus), "")


def _rows(path: Path) -> list[tuple[Id, float | str, float | str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), [f"cannot be read: {error}"]) from None
    rows = csv.DictReader(io.StringIO(text))
    if not {"id", "minutes"} <= set(rows.fieldnames or ()):
        named = ", ".join(rows.fieldnames or ("none",))
        raise DataError(str(path), [f"needs the columns id and minutes (and may have travel), has {named}"])
    return [(row["id"], (row["minutes"] or "").strip(), (row.get("travel") or "").strip()) for row in rows]
