"""``learnopt replay``: a recorded day through the cycle of a control room."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from learnopt.cli.options import (
    AcceptOption,
    CaseArgument,
    HeldScenarioOption,
    JsonOption,
    NoLimitsOption,
    RemoteOnlyOption,
    ReportOption,
    VmaxOption,
    VminOption,
    enforced,
    show,
    stderr,
    tell,
)
from learnopt.io.files import check_writable


def replay(
    case: CaseArgument,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Loads over time (.csv, .parquet, .dss, simbench:CODE), or 'synthetic' for a made-up year; "
            "a SimBench case has its own.",
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(help="First instant (ISO date or time).")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of cycles; all of the profile if absent.")] = None,
    step_hours: Annotated[float | None, typer.Option(help="Hours between cycles; loads are averaged over it.")] = None,
    hours: Annotated[int, typer.Option(help="Hours that a change must hold.")] = 4,
    operation_cost: Annotated[float, typer.Option(help="Energy that one operation is worth \\[kWh].")] = 5.0,
    least_saving: Annotated[float, typer.Option(help="Least saving of a proposal, after that cost \\[kWh].")] = 5.0,
    hold_off: Annotated[float, typer.Option(help="Minutes after a change without another.")] = 60.0,
    most_per_device: Annotated[int, typer.Option(help="Most operations of one device within 24 hours.")] = 2,
    measured: Annotated[
        float, typer.Option(help="Share of the loads that are measured; feeder heads always are.")
    ] = 1.0,
    noise: Annotated[float, typer.Option(help="Standard deviation of measurements, relative.")] = 0.01,
    lost: Annotated[float, typer.Option(help="Share of the values that do not arrive.")] = 0.0,
    gross: Annotated[float, typer.Option(help="Share of the values that are ten times too large.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of measured places and noise.")] = 0,
    scenario: HeldScenarioOption = None,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    no_limits: NoLimitsOption = False,
    remote_only: RemoteOnlyOption = False,
    accept_differences: AcceptOption = False,
    json_output: JsonOption = False,
    report: ReportOption = None,
) -> int:
    """A recorded day through the cycle of a control room: what would have been proposed, switched and saved.

    The profile is the truth; what is seen of it is set by --measured, --noise, --lost and --gross.
    """
    from learnopt.api.replay_study import replay as run
    from learnopt.studies.operation.advice import Policy
    from learnopt.studies.operation.meters import Telemetry

    check_writable(report=report)
    policy = Policy(
        hours=hours, operation_cost_kwh=operation_cost, least_saving_kwh=least_saving, hold_off_s=60 * hold_off,
        most_per_device=most_per_device,
    )  # fmt: skip
    with stderr.status(escape(f"Replaying {case} ...")) as status:
        study = run(
            case, profile, start=start, steps=steps, step_hours=step_hours, policy=policy,
            telemetry=Telemetry(measured, noise, lost, gross), seed=seed, scenario=scenario,
            limits=enforced(no_limits), vmin=vmin, vmax=vmax, remote_only=remote_only,
            progress=lambda done, total: status.update(f"cycle {done} of {total}"),
            accept_differences=accept_differences,
        )  # fmt: skip
    tell(profile or case, study.notes)
    return show(study, json_output, report)
