"""``learnopt horizon``: a day or a week, switching operations counted."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from learnopt.cli.options import (
    AcceptOption,
    CaseArgument,
    ControlsOption,
    JsonOption,
    NoChargingOption,
    NoLimitsOption,
    NoSourceCheckOption,
    RemoteOnlyOption,
    StrictLimitsOption,
    VmaxOption,
    VminOption,
    build_problem,
    profile_source,
    read_case,
    stderr,
    stdout,
)
from learnopt.errors import DataError
from learnopt.io.files import check_folder, check_writable

NO_PLAN = 1


class HorizonEngine(StrEnum):
    """How the steps of a horizon are solved."""

    AUTO = "auto"
    """Tree search; the MILP where controls are set."""
    TREE = "tree"
    """Tree search of every step, plan and bound over its candidates."""
    MILP = "milp"
    """All steps, or those of each window, in one mixed-integer model besides."""
    LEARNED = "learned"
    """As auto, with starts and candidates from a prediction per step."""


def horizon(
    case: CaseArgument,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Loads over time (.csv, .parquet, simbench:CODE); a SimBench case has its own."
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(help="First instant (ISO date or time).")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of steps; all of the profile if absent.")] = None,
    step_hours: Annotated[float | None, typer.Option(help="Hours per step; loads are averaged over it.")] = (None),
    window: Annotated[
        int | None, typer.Option(help="Steps known ahead when each step is decided; all of them if absent.")
    ] = None,
    switching_cost: Annotated[float, typer.Option(help="Cost of one switching operation \\[kWh].")] = 0.0,
    max_operations: Annotated[int | None, typer.Option(help="Cap on the operations of the whole horizon.")] = None,
    max_operations_per_step: Annotated[int | None, typer.Option(help="Cap on the operations before each step.")] = None,
    max_operations_per_switch: Annotated[int | None, typer.Option(help="Cap on the operations of each switch.")] = None,
    controls: ControlsOption = "none",
    capacitor_hours: Annotated[float, typer.Option(help="Least hours between changes of one capacitor bank.")] = 0.0,
    tap_hours: Annotated[float, typer.Option(help="Least hours between changes of one tap with positions.")] = 0.0,
    control_cost: Annotated[float, typer.Option(help="Cost of a change of a bank or a stepped tap \\[kWh].")] = 0.0,
    engine: Annotated[
        HorizonEngine, typer.Option(help="Candidates by tree search, all steps as one MILP besides, or learned starts.")
    ] = HorizonEngine.AUTO,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint of the learned engine; the reference one if absent.")
    ] = None,
    gap: Annotated[float, typer.Option(help="Relative gap to stop at.")] = 1e-3,
    time_limit: Annotated[float | None, typer.Option(help="Seconds; the best plan found by then is returned.")] = None,
    k_best: Annotated[int, typer.Option(help="Configurations proven per step, as candidates.")] = 4,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    no_limits: NoLimitsOption = False,
    strict_limits: StrictLimitsOption = False,
    no_charging: NoChargingOption = False,
    remote_only: RemoteOnlyOption = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep what is proven there; an interrupted run goes on.")
    ] = None,
    accept_differences: AcceptOption = False,
    no_source_check: NoSourceCheckOption = False,
    json_output: JsonOption = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a self-contained page.")] = None,
) -> int:
    """Plan the configurations of a day or a week: energy lost plus switching is least, with a proven bound.

    Exit code 0: a plan was returned; 1: none exists or none was found in the limits; 2: bad input.
    """
    from learnopt.engines import SolveOptions
    from learnopt.io import read_profiles
    from learnopt.network import Certificate
    from learnopt.report.horizon.page import write_horizon_report
    from learnopt.report.horizon.text import horizon_table, horizon_to_dict
    from learnopt.studies.configuration.solve import warm_up
    from learnopt.studies.horizon import HorizonProblem, plan_horizon
    from learnopt.studies.horizon.held import hold_limits_of_steps
    from learnopt.studies.horizon.steps import horizon_steps

    profile = profile_source(profile, case)
    check_writable(report=report)
    check_folder(out)
    imported = read_case(case, accept_differences)
    base = build_problem(imported.network, None, vmin, vmax, no_limits, no_charging, controls=controls)
    if controls != "none" and not base.controls:
        raise DataError("options", [f"--controls {controls}: the case has none of them; give --controls none"])
    if engine is HorizonEngine.TREE and base.controls:
        raise DataError("options", ["--engine tree sets switches only, controls are given: use --engine auto or milp"])
    if checkpoint is not None and engine is not HorizonEngine.LEARNED:
        raise DataError("options", ["--checkpoint goes with --engine learned"])
    profiles = read_profiles(profile, base.network)
    for note in profiles.notes:
        stderr.print(f"{profile}: {note}", highlight=False, markup=False)
    times, scenarios, hours = horizon_steps(profiles, start, steps, step_hours)
    problem = HorizonProblem(
        base.network,
        scenarios,
        hours,
        base.limits,
        base.charging,
        switching_cost,
        max_operations,
        max_operations_per_step,
        max_operations_per_switch,
        base.controls,
        capacitor_hours,
        tap_hours,
        control_cost,
    )
    if remote_only:
        problem = problem.remote_only()
    if not strict_limits:
        problem = hold_limits_of_steps(problem)
    with stderr.status(escape(f"Planning {problem.n_steps} steps of {base.network.name} ...")) as status:
        warm_up("tree", SolveOptions(certify=Certificate.AC))
        suggest = None
        if engine is HorizonEngine.LEARNED:
            from learnopt.learned.horizon import learned_suggestions
            from learnopt.learning.checkpoint import REFERENCE  # loads torch: only when asked for

            suggest = learned_suggestions(checkpoint or REFERENCE)
        plan = plan_horizon(
            problem,
            window=window,
            gap=gap,
            time_limit=time_limit,
            k_best=k_best,
            out=out,
            milp=engine is HorizonEngine.MILP,
            suggest=suggest,
            progress=lambda what, done, total: status.update(f"{what}: {done} of {total}"),
        )
    origin = imported.origin
    if plan.configurations:
        settings = plan.settings[-1] if plan.settings else None
        last = plan.configurations[-1], settings, plan.evaluations[-1]
        origin = imported.planned(problem, *last, check=not no_source_check)
    answer = horizon_to_dict(problem, plan, times, origin)
    if out is not None:
        from learnopt.studies.horizon.store import write_plan

        write_plan(out, answer)
    if report is not None:
        write_horizon_report(report, problem, plan, times, origin)
        stderr.print(f"Report written to {report}", highlight=False, markup=False)
    if json_output:
        typer.echo(json.dumps(answer, allow_nan=False))
    else:
        stdout.print(horizon_table(problem, plan, times, origin))
    return 0 if plan.configurations else NO_PLAN
