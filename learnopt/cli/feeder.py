"""``learnopt cases``, ``check`` and ``draw``: what a feeder is and how a configuration of it does."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from learnopt.cli.options import (
    AcceptOption,
    CaseArgument,
    HourOption,
    JsonOption,
    NoChargingOption,
    NoLimitsOption,
    NoSourceCheckOption,
    ScenarioOption,
    StrictLimitsOption,
    VmaxOption,
    VminOption,
    build_problem,
    read_case,
    stderr,
    stdout,
)
from learnopt.errors import DataError
from learnopt.io import case_index
from learnopt.network import Configuration, Evaluation, ReconfigurationProblem
from learnopt.network.held import held_in_words, held_to_dicts
from learnopt.network.topology import radiality_faults
from learnopt.physics import evaluate, evaluate_as_it_is, other_solution
from learnopt.report.configuration.text import balance_to_dict
from learnopt.report.kit.origin import origin_to_dict, with_origin
from learnopt.studies.configuration.held import hold_limits
from learnopt.studies.configuration.isolation import isolation_in_words
from learnopt.studies.configuration.switching_order import normal_state

OpenOption = Annotated[
    str | None,
    typer.Option("--open", metavar="IDS", help="Open branches, comma-separated ids; the normal ones if absent."),
]


def cases(json_output: JsonOption = False) -> None:
    """List the named cases."""
    index = case_index()
    if json_output:
        typer.echo(json.dumps({"cases": [{"name": name, **entry} for name, entry in index.items()]}))
        return
    table = Table()
    for column in ("case", "buses", "branches", "loops"):
        table.add_column(column, no_wrap=True)
    table.add_column("title", ratio=3)
    table.add_column("source", ratio=2)
    for name, entry in index.items():
        numbers = (str(entry[key]) for key in ("buses", "branches", "loops"))
        table.add_row(name, *numbers, escape(entry["title"]), escape(str(entry.get("doi") or entry["source"])))
    stdout.print(table)


def _configuration(problem: ReconfigurationProblem, open_ids: str | None) -> Configuration:
    """States given on a command line, branches out of service open; ids may be numbers or strings.

    Raises
    ------
    DataError
        Listing ids that the network does not have.
    """
    if open_ids is None:
        return normal_state(problem)
    given = problem.network.configuration([part.strip() for part in open_ids.split(",") if part.strip()])
    return Configuration(given.closed & ~problem.out_of_service)


def check(
    case: CaseArgument,
    open_ids: OpenOption = None,
    scenario: ScenarioOption = None,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    no_limits: NoLimitsOption = False,
    strict_limits: StrictLimitsOption = False,
    no_charging: NoChargingOption = False,
    hour: HourOption = None,
    accept_differences: AcceptOption = False,
    no_source_check: NoSourceCheckOption = False,
    json_output: JsonOption = False,
) -> int:
    """AC loss, voltages and violations of a given configuration.

    Exit code 0: it is radial, but for fixed loops, and has a power flow (violations are listed); 1: it is not or has
    none; 2: bad input. With loops too many it is computed as it stands, all of them closed.
    """
    imported = read_case(case, accept_differences, hour)
    problem = build_problem(imported.network, scenario, vmin, vmax, no_limits, no_charging)
    if not strict_limits:
        problem = hold_limits(problem)
    configuration = _configuration(problem, open_ids)
    evaluation = evaluate_as_it_is(problem, configuration)
    origin = imported.judged(problem, configuration, evaluation, check=not no_source_check)
    answer = _check(problem, configuration, evaluation) | origin_to_dict(origin)
    if json_output:
        typer.echo(json.dumps(answer, allow_nan=False))
    else:
        table = Table("", escape(problem.network.name))
        figures = ("loss_kw", "min_voltage_pu", "min_voltage_bus", "max_loading", "operations")
        for key in ("radial", "fixed_loops", "converged", *figures):
            table.add_row(key, escape(str(answer[key])))
        stdout.print(with_origin(origin, table))
        for violation in answer["violations"]:
            stdout.print(f"  - {violation}", markup=False, highlight=False)
        if answer["held_limits"]:
            stdout.print(held_in_words(problem.network, problem.limits), markup=False, highlight=False)
        for sentence in answer["isolation"]:
            stdout.print(sentence, markup=False, highlight=False)
        if answer["note"]:
            stdout.print(answer["note"], markup=False, highlight=False)
    return 0 if answer["radial"] and answer["converged"] else 1


def _check(problem: ReconfigurationProblem, configuration: Configuration, evaluation: Evaluation) -> dict[str, Any]:
    net = problem.network
    radiality = radiality_faults(net, configuration.closed)
    faults = [*problem.faults(configuration), *evaluation.violations]
    known = evaluation.converged
    lowest = int(np.argmin(evaluation.vm)) if known else 0
    rated = bool(np.isfinite(net.i_max).any())
    return {
        "case": net.name,
        "open_branches": net.open_ids(configuration),
        "radial": not radiality,
        "fixed_loops": int(problem.chords.sum()),
        "converged": known,
        "loss_kw": evaluation.loss_kw if known else None,
        "min_voltage_pu": evaluation.min_voltage_pu if known else None,
        "min_voltage_bus": net.bus_ids[lowest] if known else None,
        "max_loading": evaluation.max_loading if known and rated else None,
        "voltages_pu": {str(bus): float(vm) for bus, vm in zip(net.bus_ids, evaluation.vm, strict=True)}
        if known
        else None,
        "operations": problem.operations(configuration),
        **balance_to_dict(problem, configuration, evaluation),
        "violations": list(dict.fromkeys(faults)),
        "held_limits": held_to_dicts(net, problem.limits),
        "isolation": isolation_in_words(problem),
        "note": "" if radiality else other_solution(problem, configuration, evaluation),
    }


class Picture(StrEnum):
    """What ``draw`` draws."""

    DIAGRAM = "diagram"
    PROFILE = "profile"
    LOADING = "loading"


def draw(
    case: CaseArgument,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Picture to write: .png, .svg, .pdf; a diagram also as .html.")
    ],
    what: Annotated[
        Picture, typer.Option(help="One-line diagram, voltage profile, or the most loaded branches.")
    ] = Picture.DIAGRAM,
    open_ids: OpenOption = None,
    scenario: ScenarioOption = None,
) -> None:
    """Draw a configuration; with --open, profile and loadings show the normal one beside it."""
    problem = build_problem(case, scenario)
    configuration = _configuration(problem, open_ids)
    faults = radiality_faults(problem.network, configuration.closed)
    if faults:
        raise DataError(f"{problem.network.name}: configuration to draw", faults)
    reference = None if open_ids is None else normal_state(problem)
    _draw(what, out, problem, configuration, reference)
    stderr.print(f"Drawing written to {out}", highlight=False, markup=False)


def _draw(
    what: Picture,
    out: Path,
    problem: ReconfigurationProblem,
    configuration: Configuration,
    reference: Configuration | None,
) -> None:
    # Imported late: matplotlib and plotly take a second, and other commands do without.
    from learnopt.report.drawing.files import write_diagram
    from learnopt.report.drawing.loading import loading_figure
    from learnopt.report.drawing.profile import profile_figure, voltage_profile
    from learnopt.report.kit.files import write_figure

    evaluation = evaluate(problem, configuration)
    if what is Picture.DIAGRAM:
        write_diagram(out, problem, configuration, evaluation, reference)
        return
    if not evaluation.converged:
        raise DataError(f"{problem.network.name}: configuration to draw", list(evaluation.violations))
    # Without a configuration to compare with, the state drawn is the one before anything is done.
    before = (configuration, evaluation) if reference is None else (reference, evaluate(problem, reference))
    after = (configuration, None if reference is None else evaluation)
    if what is Picture.PROFILE:
        profiles = [voltage_profile(problem, state, found) for state, found in (before, after)]
        write_figure(out, profile_figure(problem, profiles[0], profiles[1]))
    else:
        figure = loading_figure(problem, before[1], after[1])
        assert figure is not None, "the power flow has a solution"
        write_figure(out, figure)
