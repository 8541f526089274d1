"""``learnopt region``: many feeders in one command."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from learnopt.api.unused import Unused, unused
from learnopt.cli.options import (
    AcceptOption,
    ControlsOption,
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
    progress_bar,
    show,
    tell_unused,
)
from learnopt.cli.solve import DEFAULT_ENGINE, ENGINE_HELP, EngineName
from learnopt.io.files import check_writable
from learnopt.network import Certificate


def region(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="LIST_OR_FILES",
            help="List of feeders (.csv, .toml), a folder of case files, or cases and files themselves.",
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Table of all rows (.csv, .json, .parquet); an interrupted one is gone on with."
        ),
    ] = None,
    engine: Annotated[EngineName, typer.Option(metavar="NAME", help=ENGINE_HELP)] = DEFAULT_ENGINE,
    certify: Annotated[
        Certificate | None, typer.Option(help="Proof wanted: ac, model or none. Each engine has its default.")
    ] = None,
    gap: Annotated[float | None, typer.Option(help="Relative gap to stop at.")] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds for each feeder.")] = None,
    node_limit: Annotated[
        int | None, typer.Option(help="Nodes for each feeder; the answers are then the same on every machine.")
    ] = None,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    no_limits: NoLimitsOption = False,
    strict_limits: StrictLimitsOption = False,
    controls: ControlsOption = "none",
    no_charging: NoChargingOption = False,
    remote_only: RemoteOnlyOption = False,
    accept_differences: AcceptOption = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 = one per core.")] = 0,
    scheduler: SchedulerOption = None,
    chunk: Annotated[int, typer.Option(min=1, help="Feeders of a task.")] = 8,
    json_output: JsonOption = False,
    report: ReportOption = None,
) -> int:
    """Solve many feeders in one command: a row each, in a table that goes on where it was interrupted.

    Exit code 0: every feeder has an answer; 1: some have none, their rows say why; 2: bad input.
    """
    from learnopt.api.region import region as solve_region

    check_writable(report=report)
    tell_unused(unused([(scheduler is not None and workers != 0, Unused("workers", "the scheduler has its own"))]))
    with progress_bar() as bar:
        task = bar.add_task("feeders", total=None)
        found = solve_region(
            source, out=out, engine=engine.value, certify=certify, gap=gap, time_limit=time_limit,
            node_limit=node_limit, limits=enforced(no_limits), vmin=vmin, vmax=vmax, strict_limits=strict_limits,
            controls=controls, charging=not no_charging, remote_only=remote_only,
            accept_differences=accept_differences, workers=workers or os.cpu_count() or 1, scheduler=scheduler,
            chunk=chunk, progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    return show(found, json_output, report)
