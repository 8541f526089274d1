"""``learnopt savings``: what switching saves over a year."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from learnopt.api.unused import of_savings
from learnopt.cli.options import (
    PROFILE_HELP,
    AcceptOption,
    BalancedOption,
    CaseArgument,
    HeldScenarioOption,
    JsonOption,
    NoChargingOption,
    NoLimitsOption,
    RemoteOnlyOption,
    ReportOption,
    SchedulerOption,
    StrictLimitsOption,
    VmaxOption,
    VminOption,
    enforced,
    said,
    show,
    stderr,
    tell,
    tell_unused,
)
from learnopt.errors import DataError
from learnopt.io.files import check_writable
from learnopt.studies.savings.problem import Period


def savings(
    case: CaseArgument,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=PROFILE_HELP,
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(help="First instant (ISO date or time).")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of steps; all of the profile if absent.")] = None,
    step_hours: Annotated[float | None, typer.Option(help="Hours per step; loads are averaged over it.")] = None,
    period: Annotated[Period, typer.Option(help="How long a seasonal configuration stays.")] = Period.MONTH,
    switching_cost: Annotated[
        float, typer.Option(help="Cost of one operation in energy \\[kWh]: what a change must save to be made.")
    ] = 0.0,
    price: Annotated[float | None, typer.Option(help="Cost of a MWh lost; without it no costs are shown.")] = None,
    currency: Annotated[str | None, typer.Option(help="Unit of --price; EUR if absent.")] = None,
    co2: Annotated[
        float | None, typer.Option(help="Emission of a MWh \\[kg CO2]; without it no emissions are shown.")
    ] = None,
    representatives: Annotated[
        int | None, typer.Option(help="Load situations that stand for the steps while choosing; by size if absent.")
    ] = None,
    gap: Annotated[float, typer.Option(help="Relative gap of the hourly bound at which proofs stop.")] = 1e-2,
    proof_time: Annotated[
        float | None, typer.Option(help="Seconds for proofs of single steps; 0 = none. Nodes are counted if absent.")
    ] = None,
    node_limit: Annotated[
        int | None, typer.Option(help="Nodes of all searches and proofs together; by size if absent.")
    ] = None,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    no_limits: NoLimitsOption = False,
    strict_limits: StrictLimitsOption = False,
    no_charging: NoChargingOption = False,
    remote_only: RemoteOnlyOption = False,
    scenario: HeldScenarioOption = None,
    accept_differences: AcceptOption = False,
    balanced: BalancedOption = False,
    json_output: JsonOption = False,
    report: ReportOption = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep what is proven there; an interrupted run goes on.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Picture of the losses: .png, .svg or .pdf.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Threads that search; 0 = one per core.")] = 0,
    scheduler: SchedulerOption = None,
) -> int:
    """Energy that switching saves over a profile: present, best single, seasonal and hourly configurations.

    Every step is measured by an AC power flow; what is proven of each way to operate is said beside it.
    """
    from learnopt.api.savings_study import savings as study_savings

    check_writable(report=report, picture=out)
    unused = of_savings(
        currency=currency, price_per_mwh=price, strict_limits=strict_limits, limits=enforced(no_limits), vmin=vmin,
        vmax=vmax, workers=workers, scheduler=scheduler,
    )  # fmt: skip
    tell_unused(unused)
    if out is not None and out.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise DataError(str(out), ["the picture is written as .png, .svg or .pdf"])
    with stderr.status(escape(f"Studying {case} ...")) as status:
        study = study_savings(
            case, profile, start=start, steps=steps, step_hours=step_hours, period=period,
            switching_cost=switching_cost, price_per_mwh=price, currency=currency, co2_kg_per_mwh=co2,
            representatives=representatives, gap=gap, proof_time=proof_time, node_limit=node_limit, scenario=scenario,
            limits=enforced(no_limits), vmin=vmin, vmax=vmax, strict_limits=strict_limits, charging=not no_charging,
            remote_only=remote_only, resume=resume,
            progress=lambda what, done, total: status.update(f"{what}: {done} of {total}"),
            accept_differences=accept_differences, balanced=balanced, workers=workers, scheduler=scheduler,
        )  # fmt: skip
    tell_unused([one for one in study.unused if one not in unused])
    tell(profile or case, study.notes)
    if out is not None:
        study.plot().save(out)
        said(f"Picture written to {out}")
    return show(study, json_output, report)
