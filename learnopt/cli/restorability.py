"""``learnopt restorability``: every single fault."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from learnopt.cli.options import (
    AcceptOption,
    CaseArgument,
    HourOption,
    JsonOption,
    NoChargingOption,
    NoLimitsOption,
    RemoteOnlyOption,
    ScenarioOption,
    SchedulerOption,
    VmaxOption,
    VminOption,
    enforced,
    show,
    stderr,
    tell,
    tell_unused,
)
from learnopt.cli.restore import PlanBalancedOption, PriorityOption, worth_of
from learnopt.errors import DataError
from learnopt.io.files import check_writable
from learnopt.studies.restoration.search import Second
from learnopt.studies.restoration.table import Faults


def restorability(
    case: CaseArgument,
    faults: Annotated[
        Faults, typer.Option(help="Single faults: branches, buses, or zones (all that no switch parts).")
    ] = Faults.BRANCHES,
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
    time_limit: Annotated[float | None, typer.Option(help="Seconds for each fault.")] = None,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1,
    scheduler: SchedulerOption = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the rows there; an interrupted table goes on.")
    ] = None,
    failures: Annotated[
        str | None,
        typer.Option(
            metavar="RATE_OR_FILE",
            help="Failures a year of every fault, or a CSV file (id, failures_per_year): for SAIFI, SAIDI, energy.",
        ),
    ] = None,
    repair_hours: Annotated[float, typer.Option(help="From a fault to its repair \\[h], for --failures.")] = 4.0,
    remote_minutes: Annotated[float, typer.Option(help="A step by remote control \\[min], for --failures.")] = 1.0,
    crew_minutes: Annotated[
        float, typer.Option(help="A step by a crew, the way there included \\[min], for --failures.")
    ] = 30.0,
    hour: HourOption = None,
    accept_differences: AcceptOption = False,
    balanced: PlanBalancedOption = False,
    json_output: JsonOption = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a self-contained page.")] = None,
) -> int:
    """Restorable load, operations and loss after every single fault, the worst first."""
    from learnopt.api.restorability import restorability as make_table

    check_writable(report=report)
    if jobs < 1:
        raise DataError("options", [f"--jobs {jobs} must be at least 1"])
    worth = worth_of(priority or [])
    with stderr.status(escape(f"Faults of {case} ...")) as live:
        table = make_table(
            case,
            faults=faults,
            scenario=scenario,
            priority=worth,
            then=then,
            limits=enforced(no_limits),
            vmin=vmin,
            vmax=vmax,
            charging=not no_charging,
            remote_only=remote_only,
            time_limit=time_limit,
            jobs=jobs,
            scheduler=scheduler,
            resume=resume,
            progress=lambda done, total: live.update(escape(f"Faults of {case}: {done} of {total}")),
            failures=failures,
            repair_hours=repair_hours,
            remote_minutes=remote_minutes,
            crew_minutes=crew_minutes,
            hour=hour,
            accept_differences=accept_differences,
            balanced=balanced,
        )
    tell_unused(table.unused)
    tell(scenario, table.notes)
    return show(table, json_output, report)
