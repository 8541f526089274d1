"""What to build: :func:`plan_conductors` for a feeder, :func:`plan_substations` for an area."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType

from learnopt.api.answer import Answer
from learnopt.api.picture import Picture
from learnopt.api.question import Enforced, Rules, Situation, Source, chosen
from learnopt.errors import DataError
from learnopt.io import load
from learnopt.io.conductors import read_conductors
from learnopt.io.planning import load_planning
from learnopt.network import Network, ReconfigurationProblem, Status
from learnopt.network.conductors import ConductorProblem, Mode
from learnopt.network.expansion import ExpansionProblem
from learnopt.report.conductors.text import NUMERIC, STUDY_HEAD, bill_csv, study_rows, study_table, study_to_dict
from learnopt.report.kit.terminal import Paragraph
from learnopt.report.substations.text import (
    bill_of_materials,
    plan_table,
    plan_to_dict,
    route_rows,
    substation_rows,
)
from learnopt.studies.conductors import engine as conductor_engine
from learnopt.studies.conductors.study import run_study, warm_up
from learnopt.studies.conductors.substitution import substitute
from learnopt.studies.substations import engine as substation_engine
from learnopt.studies.substations.engine import PlanOptions, Treatment
from learnopt.studies.substations.plan import ExpansionResult
from learnopt.wording import counted

ALL_MODES = "all"
"""Every scenario of the conductor study."""


@dataclass(frozen=True, eq=False)
class ConductorStudy(Answer):
    """Conductors of a feeder, alone, before, after or together with reconfiguration.

    Parameters
    ----------
    problem
        What was asked.
    results
        The complete answer of each scenario, first steps included.
    modes
        The scenarios asked for.
    notes
        What was assumed or repaired while the scenario file was read, one sentence each.
    """

    problem: ConductorProblem
    results: Mapping[Mode, conductor_engine.ConductorResult]
    modes: tuple[Mode, ...]
    notes: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Every scenario asked for has a plan."""
        asked = [self.results[mode] for mode in self.modes]
        return all(one.plan is not None and one.status is not Status.INFEASIBLE for one in asked)

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt plan conductors --json`` prints; costs per year."""
        return study_to_dict(self.problem, self.results)

    def rendered(self) -> RenderableType:
        """What ``learnopt plan conductors`` prints."""
        said = (Paragraph(f"{mode.value}: {result.message}") for mode, result in self.results.items())
        return Group(study_table(self.problem, self.results), *said)

    def report(self, path: str | Path) -> Path:
        """Write the self-contained page of ``learnopt plan conductors --report``; returns its path."""
        from learnopt.report.conductors.page import write_plan_report

        write_plan_report(Path(path), self.problem, self.results)
        return Path(path)

    def bill(self, path: str | Path) -> Path:
        """Write the bill of materials of every scenario that has a plan (CSV); returns its path."""
        bill_csv(Path(path), self.problem, self.results)
        return Path(path)

    def __repr__(self) -> str:
        name, currency = self.problem.network.name, self.problem.costs.currency
        costs = ((mode.value, self.results[mode]) for mode in self.modes)
        words = (
            f"{mode} {result.status.value}" if result.total_cost is None else f"{mode} {result.total_cost:,.2f}"
            for mode, result in costs
        )
        return f"ConductorStudy({name!r}: {', '.join(words)} {currency} a year)"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from learnopt.report.kit.page import table

        said = [*(f"{mode.value}: {result.message}" for mode, result in self.results.items()), *self.notes]
        rows = study_rows(self.problem, self.results)
        return table(STUDY_HEAD, rows, NUMERIC) + "".join(f"<p>{escape(s)}</p>" for s in said)


def plan_conductors(
    network: Source,
    mode: Mode | str = Mode.JOINT,
    *,
    scenario: Situation = None,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    charging: bool = True,
    costs: str | Path | None = None,
    budget: float | None = None,
    no_thicker_downstream: bool = False,
    time_limit: float | None = None,
    gap: float = conductor_engine.DEFAULT_GAP,
    progress: Callable[[Mode], None] | None = None,
) -> ConductorStudy:
    """Choose conductors, alone, before, after or together with reconfiguration, at least annual cost.

    The conductors of the case are replaced by types of a catalogue; lengths keep the resistance of every branch.

    Parameters
    ----------
    network
        A network, what :func:`learnopt.load` takes, or a problem.
    mode
        ``base``: what is there; conductors (``ocs``), reconfiguration (``odnr``), one after the other (``odnr_ocs``,
        ``ocs_odnr``), both at once (``joint``), or ``all``.
    scenario, limits, vmin, vmax, charging
        As of :func:`problem`; none where a problem is given.
    costs
        File of prices, and conductors where it has them; a proxy where absent.
    budget
        Cap on the annual investment cost of all branches.
    no_thicker_downstream
        No branch thicker than the one that feeds it.
    time_limit
        Seconds for each optimisation.
    gap
        Relative gap at which to stop.
    progress
        Called with each scenario before it is solved.

    Raises
    ------
    DataError
        If the input is bad.
    """
    name = str(mode).replace("-", "_")
    modes = tuple(Mode) if name == ALL_MODES else (chosen(Mode, "mode", name),)
    faults = [
        f"{key} = {value} must be a finite number > 0"
        for key, value in (("time_limit", time_limit), ("budget", budget))
        if value is not None and not 0 < value < math.inf
    ]
    if not 0 <= gap < 1:
        faults.append(f"gap = {gap} must be at least 0 and below 1")
    if faults:
        raise DataError("options", faults)
    catalogue, prices = read_conductors(None if costs is None else Path(costs))
    # Its conductors are replaced: what the tool of a file makes of them says nothing about the plan.
    given = network if isinstance(network, Network | ReconfigurationProblem) else load(network)
    question = Rules(scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, charging=charging).question(given)
    feeder = question.problem
    if len(feeder.situations) > 1:
        raise DataError("options", [f"scenario: {len(feeder.situations)} load situations, planning takes one"])
    asked = substitute(feeder, catalogue, prices, no_thicker_downstream=no_thicker_downstream, budget=budget)
    if not asked.routed.any():
        nothing = "no branch has a resistance, so none has a length: there is nothing to choose"
        raise DataError(feeder.network.name, [nothing])
    warm_up()
    limit = math.inf if time_limit is None else time_limit
    results = run_study(asked, modes, gap=gap, time_limit=limit, progress=progress or (lambda mode: None))
    return ConductorStudy(asked, results, modes, question.notes)


@dataclass(frozen=True, eq=False)
class SubstationStudy(Answer):
    """Substations, sizes and lines of least cost.

    Parameters
    ----------
    problem, result
        What was asked, and the complete answer.
    """

    problem: ExpansionProblem
    result: ExpansionResult

    @property
    def found(self) -> bool:
        """There is a plan."""
        return self.result.plan is not None

    @property
    def status(self) -> Status:
        """How planning ended."""
        return self.result.status

    @property
    def total_cost(self) -> float | None:
        """Cost of the plan; None without one."""
        return None if self.result.costs is None else self.result.costs.total

    @property
    def gap(self) -> float | None:
        """Relative distance of the cost and its proven bound; None where nothing is proven."""
        return self.result.gap

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt plan substations --json`` prints."""
        return plan_to_dict(self.problem, self.result)

    def rendered(self) -> RenderableType:
        """What ``learnopt plan substations`` prints."""
        return plan_table(self.problem, self.result)

    def plot(self) -> Picture:
        """Draw the map of the plan."""
        from learnopt.report.substations.figure import map_figure

        return Picture(map_figure(self.problem, self.result.plan))

    def report(self, path: str | Path) -> Path:
        """Write the self-contained page of ``learnopt plan substations --report``; returns its path."""
        from learnopt.report.substations.page import write_plan_report

        write_plan_report(Path(path), self.problem, self.result)
        return Path(path)

    def bill(self, path: str | Path) -> Path:
        """Write the bill of materials (CSV); returns its path."""
        from learnopt.io.files import write_text

        write_text(Path(path), bill_of_materials(self.problem, self.result))
        return Path(path)

    def __repr__(self) -> str:
        name, plan = self.problem.name, self.result.plan
        if plan is None or self.total_cost is None:
            return f"SubstationStudy({name!r}: {self.status.value}; {self.result.message})"
        gap = "" if self.gap is None else f", gap {self.gap:.2g}"
        size = f"{counted(len(plan.substations), 'substation')}, {counted(len(plan.lines), 'line')}"
        cost = f"{self.total_cost:,.6g} {self.problem.currency}"
        return f"SubstationStudy({name!r}: {self.status.value}{gap}; {cost}; {size})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from learnopt.report.kit.numbers import number
        from learnopt.report.kit.page import table

        said = "".join(f"<p>{escape(s)}</p>" for s in (repr(self), self.result.message, *self.result.conflicts) if s)
        if not self.found:
            return said
        stations = [
            (str(row["site"]), row["size"], row["stage"], ", ".join(number(mva) for mva in row["delivered_mva"]))
            for row in substation_rows(self.problem, self.result)
        ]
        lines = [
            (str(row["route"]), row["line_type"], number(row["length_km"]), row["stage"], number(row["max_mva"]))
            for row in route_rows(self.problem, self.result)
        ]
        head = ("route", "line", "km", "stage", "largest MVA")
        return said + table(("site", "size", "stage", "delivers MVA"), stations, (3,)) + table(head, lines, (2, 4))


def plan_substations(
    source: ExpansionProblem | str | Path,
    *,
    gap: float = 1e-4,
    time_limit: float | None = None,
    treatment: Treatment | str = Treatment.QUADRATIC,
    radial: bool = False,
    n_minus_1: bool = False,
    seed: int = 0,
) -> SubstationStudy:
    """Find the substations, sizes and lines of least cost, and say what is proven.

    Parameters
    ----------
    source
        A planning file (JSON), the sample ``turkay``, or a problem.
    gap
        Relative gap at which to stop.
    time_limit
        Seconds; the best found by then is returned.
    treatment
        Of quadratic costs and losses in the model: ``tangent``, ``piecewise`` or ``quadratic`` (exact).
    radial
        Ask for a radial plan, whatever the file says.
    n_minus_1
        Ask for supply without any one transformer, whatever the file says.
    seed
        Of the local search.

    Raises
    ------
    DataError
        If the input is bad. Limits and infeasibility are statuses of the result.
    """
    options = PlanOptions(gap, time_limit, chosen(Treatment, "treatment", treatment), seed)
    asked = source if isinstance(source, ExpansionProblem) else load_planning(source)
    asked = asked.replace(radial=asked.radial or radial, n_minus_1=asked.n_minus_1 or n_minus_1)
    return SubstationStudy(asked, substation_engine.plan_substations(asked, options))
