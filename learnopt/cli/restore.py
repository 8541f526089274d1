"""``learnopt restore``: supply after a fault."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from learnopt.cli.options import (
    PROFILE_HELP,
    AcceptOption,
    CaseArgument,
    HourOption,
    JsonOption,
    NoChargingOption,
    NoLimitsOption,
    RemoteOnlyOption,
    ReportOption,
    ScenarioOption,
    VmaxOption,
    VminOption,
    enforced,
    show,
    stderr,
    tell,
    tell_unused,
)
from learnopt.errors import DataError
from learnopt.io.files import check_writable
from learnopt.network import Id
from learnopt.studies.configuration.switching_order import Paralleling
from learnopt.studies.restoration.search import Second

DEADLINE_S = 15.0
"""Seconds that control rooms allow for a proposal."""

FaultOption = Annotated[
    list[str],
    typer.Option(
        metavar="WHAT",
        help="Out of order: branch:ID, bus:ID, substation:ID, or an id or name that only one thing has. Several parted "
        "by commas, or the option again.",
    ),
]
PriorityOption = Annotated[
    list[str] | None,
    typer.Option(metavar="BUS=WORTH", help="Worth of a kW at a bus, 1 if absent; give the option again for more."),
]
PlanBalancedOption = Annotated[
    bool, typer.Option("--balanced", help="Of an unbalanced file: restore its balanced equivalent.")
]


def restore(
    case: CaseArgument,
    fault: FaultOption,
    scenario: ScenarioOption = None,
    priority: PriorityOption = None,
    then: Annotated[
        Second, typer.Option(help="What counts after the load: operations (then least loss), or loss.")
    ] = Second.OPERATIONS,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    no_limits: NoLimitsOption = False,
    no_charging: NoChargingOption = False,
    remote_only: RemoteOnlyOption = False,
    paralleling: Annotated[
        Paralleling, typer.Option(help="Steps: may a loop be closed for a moment, or is opened first?")
    ] = Paralleling.ALLOWED,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds; the best plan by then is returned, with what is proven of it.")
    ] = DEADLINE_S,
    hours: Annotated[
        int | None,
        typer.Option(help="Hours until the repair: the plan holds in each, with loads of --profile from --start."),
    ] = None,
    profile: Annotated[str | None, typer.Option(metavar="FILE", help=PROFILE_HELP)] = None,
    start: Annotated[str | None, typer.Option(help="First instant of the repair (ISO date or time).")] = None,
    pickup: Annotated[
        float, typer.Option(help="Cold-load pickup: factor on loads that lost their supply, in the first hour.")
    ] = 1.0,
    emergency: Annotated[float, typer.Option(help="Factor on ratings until the repair, as in 1.2.")] = 1.0,
    crews: Annotated[
        int | None,
        typer.Option(help="Crews that switch on the spot: who does which step, and when (needs OR-Tools)."),
    ] = None,
    minutes: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="CSV with id, minutes on the spot and travel, the way there, for --crews."),
    ] = None,
    hour: HourOption = None,
    accept_differences: AcceptOption = False,
    balanced: PlanBalancedOption = False,
    json_output: JsonOption = False,
    report: ReportOption = None,
) -> int:
    """Supply after a fault: isolate it, supply the most load within the limits, and say what is proven.

    Exit code 0: a plan was returned; 1: none exists or none was found in the limits; 2: bad input.
    """
    from learnopt.api.restoration import restore as plan_restoration

    check_writable(report=report)
    worth = worth_of(priority or [])
    with stderr.status(escape(f"Restoring {case} ...")):
        plan = plan_restoration(
            case, fault, scenario=scenario, priority=worth, then=then, limits=enforced(no_limits), vmin=vmin, vmax=vmax,
            charging=not no_charging, remote_only=remote_only, paralleling=paralleling, time_limit=time_limit,
            hours=hours, profile=profile, start=start, pickup=pickup, emergency=emergency, crews=crews,
            minutes=minutes, hour=hour, accept_differences=accept_differences, balanced=balanced,
        )  # fmt: skip
    tell_unused(plan.unused)
    tell(scenario, plan.notes)
    return show(plan, json_output, report)


def worth_of(given: list[str]) -> dict[Id, float]:
    """``BUS=WORTH`` pairs as a mapping.

    Raises
    ------
    DataError
        For what is no such pair.
    """
    worth: dict[Id, float] = {}
    bad = []
    for text in given:
        bus, _, value = text.rpartition("=")
        try:
            worth[bus] = float(value)
        except ValueError:
            bus = ""
        if not bus:
            bad.append(f"--priority {text!r} must be BUS=WORTH, as in 12=10")
    if bad:
        raise DataError("options", bad)
    return worth
