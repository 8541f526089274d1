r"""Crews that switch on the spot: who goes where and when, by CP-SAT of OR-Tools (extra ``crews``).

A step i takes :math:`d_i` minutes and begins when all steps before it have ended. A manual step needs a crew at its
place; crew k travels :math:`t^k_{ij}` minutes from place i to place j, from its depot 0 at first, and may do so while
others work. A step by remote control needs nobody. Least is the end of the last step,

.. math::

    \min\ \max_i (s_i + d_i), \quad s_j \ge s_i + d_i\ (i \prec j), \quad
    s_j \ge s_i + d_i + t^k_{ij} \text{ where crew } k \text{ goes from } i \text{ to } j

with one way from the depot through the places of each crew. Times are counted in tenths of a minute, rounded up: a
schedule holds as it stands, and what is proven is proven of the rounded times.

The problem is that of Goulart, Maravilha, Carrano and Campelo (2018), doi:10.1016/j.epsr.2018.06.020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.network import Bools, Floats

UNITS = 10
"""Of a minute."""


@dataclass(frozen=True, eq=False)
class CrewTask:
    """Steps to be carried out.

    Parameters
    ----------
    minutes
        Of each step on the spot, or by remote control, shape (n_step,).
    manual
        Steps that need a crew, shape (n_step,).
    after
        Steps that have ended before each begins.
    travel
        Minutes of each crew from place to place, shape (n_crew, n_step + 1, n_step + 1); place 0 is its depot.
    """

    minutes: Floats
    manual: Bools
    after: tuple[tuple[int, ...], ...]
    travel: Floats


@dataclass(frozen=True)
class CrewSchedule:
    """When each step begins, and who does it.

    Parameters
    ----------
    begin, end
        Minutes, shape (n_step,).
    crew
        Crew of each step from 0; None by remote control.
    bound
        No schedule ends before this [min].
    proven
        The schedule ends then.
    """

    begin: tuple[float, ...]
    end: tuple[float, ...]
    crew: tuple[int | None, ...]
    bound: float
    proven: bool

    @property
    def minutes(self) -> float:
        """End of the last step."""
        return max(self.end, default=0.0)


def schedule_crews(task: CrewTask, time_limit: float | None = None, workers: int = 1) -> CrewSchedule | None:
    """The schedule that ends first; None where none was found within the time limit.

    Parameters
    ----------
    time_limit
        Seconds.
    workers
        Threads of the solver; one gives the same answer every time it ends with a proof.

    Raises
    ------
    UnsupportedError
        Without OR-Tools, and where a manual step has no crew.
    """
    if task.manual.any() and not len(task.travel):
        raise UnsupportedError("a step on the spot needs a crew", {"crews": 1})
    cp_model = _cp_model()
    minutes = np.ceil(np.round(task.minutes * UNITS, 6)).astype(int)
    travel = np.ceil(np.round(task.travel * UNITS, 6)).astype(int)
    model = cp_model.CpModel()
    farthest = int(travel.max(initial=0))
    horizon = int(minutes.sum()) + farthest * (int(task.manual.sum()) + 1)
    begin = [model.new_int_var(0, horizon - int(d), f"s{i}") for i, d in enumerate(minutes)]
    last = model.new_int_var(0, horizon, "last")
    for i, before in enumerate(task.after):
        model.add(last >= begin[i] + int(minutes[i]))
        for j in before:
            model.add(begin[i] >= begin[j] + int(minutes[j]))
    goes = _ways(model, task, minutes, travel, begin)
    _keep_crews_busy(model, task, minutes, travel, begin)
    model.minimize(last)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = workers
    solver.parameters.random_seed = 0
    if time_limit is not None:
        solver.parameters.max_time_in_seconds = max(time_limit, 1e-3)
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    starts = [solver.value(variable) for variable in begin]
    crew: list[int | None] = [None] * len(starts)
    for (k, _, j), literal in goes.items():
        if j > 0 and solver.value(literal):
            crew[j - 1] = k
    return CrewSchedule(
        tuple(s / UNITS for s in starts),
        tuple((s + int(d)) / UNITS for s, d in zip(starts, minutes, strict=True)),
        tuple(crew),
        solver.best_objective_bound / UNITS,
        status == cp_model.OPTIMAL,
    )


def _cp_model() -> Any:
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise UnsupportedError("schedules of crews need OR-Tools: pip install 'learnopt[crews]'") from None
    return cp_model


def _ways(
    model: Any, task: CrewTask, minutes: Any, travel: Any, begin: Sequence[Any]
) -> dict[tuple[int, int, int], Any]:
    """Literals: crew k goes from place i to place j; place 0 is the depot, place i + 1 that of step i."""
    places = [int(i) + 1 for i in np.flatnonzero(task.manual)]
    goes: dict[tuple[int, int, int], Any] = {}
    if not places:
        return goes
    visits: dict[int, list[Any]] = {j: [] for j in places}
    waits = _waits(task)
    for k in range(len(travel)):
        arcs = [(0, 0, model.new_bool_var(f"idle{k}"))]
        for i in (0, *places):
            for j in (0, *places):
                if i == j or (i > 0 and j > 0 and waits[i - 1, j - 1]):
                    continue
                literal = goes[k, i, j] = model.new_bool_var(f"g{k}.{i}.{j}")
                arcs.append((i, j, literal))
                if j > 0:
                    visits[j].append(literal)
                    ready = begin[i - 1] + int(minutes[i - 1]) if i > 0 else 0
                    model.add(begin[j - 1] >= ready + int(travel[k, i, j])).only_enforce_if(literal)
        arcs += [(j, j, model.new_bool_var(f"not{k}.{j}")) for j in places]
        model.add_circuit(arcs)
    for literals in visits.values():
        model.add_exactly_one(literals)
    return goes


def _waits(task: CrewTask) -> Bools:
    """Whether step i begins after step j has ended, shape (n_step, n_step)."""
    n = len(task.minutes)
    waits = np.zeros((n, n), dtype=bool)
    for i, before in enumerate(task.after):
        waits[i, list(before)] = True
    for j in range(n):
        waits |= waits[:, j : j + 1] & waits[j : j + 1, :]
    return waits


def _keep_crews_busy(model: Any, task: CrewTask, minutes: Any, travel: Any, begin: Sequence[Any]) -> None:
    """Implied: just before each manual step a crew is on its way for the shortest way there, so no two share it."""
    manual = [int(i) for i in np.flatnonzero(task.manual)]
    if not manual:
        return
    places = [0, *[i + 1 for i in manual]]
    intervals = []
    for i in manual:
        least = min(int(travel[k, j, i + 1]) for k in range(len(travel)) for j in places if j != i + 1)
        intervals.append(model.new_fixed_size_interval_var(begin[i] - least, int(minutes[i]) + least, f"busy{i}"))
    model.add_cumulative(intervals, [1] * len(intervals), len(travel))
