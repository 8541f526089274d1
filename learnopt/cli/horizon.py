"""``learnopt horizon``: a day or a week, switching operations counted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from learnopt.api.unused import of_balanced, of_horizon, of_horizon_in_phases
from learnopt.cli.options import (
    PROFILE_HELP,
    AcceptOption,
    BalancedOption,
    CaseArgument,
    CheckpointOption,
    ControlsOption,
    HeldScenarioOption,
    JsonOption,
    MaxUnbalanceOption,
    NoChargingOption,
    NoLimitsOption,
    NoSourceCheckOption,
    RemoteOnlyOption,
    ReportOption,
    SchedulerOption,
    StrictLimitsOption,
    VmaxOption,
    VminOption,
    enforced,
    show,
    stderr,
    tell,
    tell_unused,
)
from learnopt.io.files import check_writable
from learnopt.learned.choice import HorizonEngine


def horizon(
    case: CaseArgument,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=PROFILE_HELP,
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(help="First instant (ISO date or time).")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Number of steps; all of the profile, a day of a made-up year if absent.")
    ] = None,
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
        HorizonEngine,
        typer.Option(
            metavar="NAME",
            help="auto, tree (candidates by search), milp (all steps as one besides) or learned (starts).",
        ),
    ] = HorizonEngine.AUTO,
    checkpoint: CheckpointOption = None,
    gap: Annotated[
        float | None,
        typer.Option(help="Relative gap to stop at; 0.001 if absent, and without a limit 0.005 after a minute."),
    ] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds; the best plan found by then is returned.")] = None,
    node_limit: Annotated[
        int | None, typer.Option(help="Nodes of all searches; the plan is then the same on every machine.")
    ] = None,
    k_best: Annotated[int, typer.Option(help="Configurations proven per step, as candidates.")] = 4,
    scenario: HeldScenarioOption = None,
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
    max_unbalance: MaxUnbalanceOption = None,
    balanced: BalancedOption = False,
    workers: Annotated[
        int, typer.Option(min=0, metavar="N", help="Processes that prove the steps; 0 = one per core.")
    ] = 1,
    scheduler: SchedulerOption = None,
    json_output: JsonOption = False,
    report: ReportOption = None,
) -> int:
    """Plan the configurations of a day or a week: energy lost plus switching is least, with a proven bound.

    Exit code 0: a plan was returned; 1: none exists or none was found in the limits; 2: bad input.
    """
    from learnopt.api.horizon_study import horizon as plan

    check_writable(report=report)
    tell_unused(
        of_horizon(
            engine=engine.value, checkpoint=checkpoint, controls=controls, capacitor_hours=capacitor_hours,
            tap_hours=tap_hours, control_cost=control_cost, strict_limits=strict_limits, limits=enforced(no_limits),
            vmin=vmin, vmax=vmax, workers=workers, scheduler=scheduler,
        )
    )  # fmt: skip
    with stderr.status(escape(f"Planning {case} ...")) as status:
        study = plan(
            case, profile, start=start, steps=steps, step_hours=step_hours, window=window,
            switching_cost=switching_cost, max_operations=max_operations,
            max_operations_per_step=max_operations_per_step, max_operations_per_switch=max_operations_per_switch,
            controls=controls, capacitor_hours=capacitor_hours, tap_hours=tap_hours, control_cost=control_cost,
            engine=engine, checkpoint=checkpoint, gap=gap, time_limit=time_limit, node_limit=node_limit, k_best=k_best,
            scenario=scenario, limits=enforced(no_limits), vmin=vmin, vmax=vmax, strict_limits=strict_limits,
            charging=not no_charging, remote_only=remote_only, out=out,
            progress=lambda what, done, total: status.update(f"{what}: {done} of {total}"),
            accept_differences=accept_differences, source_check=not no_source_check, max_unbalance=max_unbalance,
            balanced=balanced, workers=workers, scheduler=scheduler,
        )  # fmt: skip
    in_phases = of_horizon_in_phases(workers, scheduler) if study.result.phases else ()
    tell_unused([*of_balanced(balanced, study.origin.equivalent), *in_phases])
    tell(profile or case, study.notes)
    return show(study, json_output, report)
