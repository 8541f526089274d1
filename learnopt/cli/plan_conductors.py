"""``learnopt plan conductors``."""

from __future__ import annotations

import json
import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from learnopt.cli.options import (
    CaseArgument,
    JsonOption,
    NoChargingOption,
    ScenarioOption,
    VmaxOption,
    VminOption,
    build_problem,
    stderr,
    stdout,
)
from learnopt.errors import DataError
from learnopt.io.conductors import read_conductors
from learnopt.io.files import unwritable
from learnopt.network import Status
from learnopt.network.conductors import Mode

NO_PLAN = 1

ModeName = StrEnum("ModeName", {m.value: m.value.replace("_", "-") for m in Mode} | {"all": "all"})  # type: ignore[misc]

DEFAULT_MODE = ModeName(Mode.JOINT.value)


def conductors(
    case: CaseArgument,
    mode: Annotated[
        ModeName,
        typer.Option(help="Conductors (ocs), reconfiguration (odnr), one after the other, both at once, or all."),
    ] = DEFAULT_MODE,
    scenario: ScenarioOption = None,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    no_charging: NoChargingOption = False,
    costs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prices, and conductors where it has them (JSON); else proxy.")
    ] = None,
    budget: Annotated[float | None, typer.Option(help="Cap on the annual investment cost of all branches.")] = None,
    no_thicker_downstream: Annotated[
        bool, typer.Option("--no-thicker-downstream", help="No branch thicker than the one that feeds it.")
    ] = False,
    time_limit: Annotated[float | None, typer.Option(help="Seconds for each optimisation.")] = None,
    gap: Annotated[float, typer.Option(help="Relative gap to stop at.")] = 1e-3,
    json_output: JsonOption = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a self-contained page.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the bill of materials.")] = None,
) -> int:
    """Choose conductors, alone, before, after or together with reconfiguration, at least annual cost.

    The case's conductors are replaced by types of a catalogue; lengths keep the resistance of every branch.
    Exit code 0: every scenario has a plan; 1: one has none; 2: bad input.
    """
    # Planning loads the solvers: only when asked for.
    from learnopt.report.conductors.text import bill_csv, study_table, study_to_dict
    from learnopt.studies.conductors.study import run_study, warm_up
    from learnopt.studies.conductors.substitution import substitute

    faults = [
        f"{key} = {value} must be a finite number > 0"
        for key, value in (("time_limit", time_limit), ("budget", budget))
        if value is not None and not 0 < value < math.inf
    ]
    if not 0 <= gap < 1:
        faults.append(f"gap = {gap} must be at least 0 and below 1")
    faults += unwritable(report=report, table=csv)
    if faults:
        raise DataError("options", faults)
    catalogue, prices = read_conductors(costs)
    feeder = build_problem(case, scenario, vmin, vmax, no_charging=no_charging)
    if len(feeder.situations) > 1:
        raise DataError(str(scenario), [f"{len(feeder.members)} load situations: planning takes one"])
    problem = substitute(feeder, catalogue, prices, no_thicker_downstream=no_thicker_downstream, budget=budget)
    if not problem.routed.any():
        raise DataError(case, ["no branch has a resistance, so none has a length: there is nothing to choose"])
    modes = tuple(Mode) if mode.value == "all" else (Mode(mode.name),)
    with stderr.status("Planning ...") as status:
        warm_up()
        results = run_study(
            problem,
            modes,
            gap=gap,
            time_limit=math.inf if time_limit is None else time_limit,
            progress=lambda m: status.update(f"Planning {problem.network.name}: {m.value} ..."),
        )
    if csv is not None:
        bill_csv(csv, problem, results)
        stderr.print(f"Bill of materials written to {csv}", highlight=False, markup=False)
    if report is not None:
        from learnopt.report.conductors.page import write_plan_report

        write_plan_report(report, problem, results)
        stderr.print(f"Report written to {report}", highlight=False, markup=False)
    if json_output:
        typer.echo(json.dumps(study_to_dict(problem, results), allow_nan=False))
    else:
        stdout.print(study_table(problem, results))
        for m, result in results.items():
            stdout.print(f"{m.value}: {result.message}", markup=False, highlight=False)
    missing = [m for m in modes if results[m].plan is None or results[m].status is Status.INFEASIBLE]
    return NO_PLAN if missing else 0
