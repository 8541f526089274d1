"""Options that several commands share, and how they print an answer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from learnopt.api.answer import Answer
from learnopt.api.unused import Unused
from learnopt.cli.completion import cases_and_files, checkpoints
from learnopt.compiling import announcements
from learnopt.errors import alternatives

NOT_FOUND = 1
"""Exit code where there is no answer of the kind asked for."""

stderr = Console(stderr=True)
stdout = Console()

CaseArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="CASE_OR_FILE",
        autocompletion=cases_and_files,
        help="Named case ([b]learnopt cases[/b]), file (.json, .m, .dss, .zip), CSV or CGMES "
        "folder, simbench:CODE or pandapower:NAME.",
    ),
]
HourOption: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="H", help="Of an OpenDSS file: loads at this hour of its load shapes, not the snapshot."),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")]
SchedulerOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Dask scheduler (tcp://HOST:PORT) whose workers do the work instead."),
]
StoreOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="DIR_OR_URI",
        help="MLflow store: a folder, or a URI such as http://host:5000. If absent, MLFLOW_TRACKING_URI or mlruns.",
    ),
]
TrackOption: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--track/--no-track",
        help="Record it as a run of MLflow, below that of the checkpoint; if absent, where that run is in the store.",
    ),
]
CheckpointOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="CHECKPOINT",
        autocompletion=checkpoints,
        help="Folder, reference (the usual one), or in MLflow models:/NAME@ALIAS or runs:/ID/model.",
    ),
]
ReportOption: TypeAlias = Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a self-contained page.")]
ScenarioOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Scenario(s): JSON, or load profiles (.csv, .parquet)."),
]
HeldScenarioOption: TypeAlias = Annotated[
    Path | None, typer.Option("--scenario", metavar="FILE", help="JSON: outages and locks that hold in every step.")
]
PROFILE_HELP = (
    "Loads over time (.csv, .parquet, .dss, simbench:CODE), or 'synthetic' for a made-up year; a SimBench case has its "
    "own."
)
VminOption: TypeAlias = Annotated[float | None, typer.Option(help="Lower voltage limit \\[pu], instead of the file's.")]
VmaxOption: TypeAlias = Annotated[float | None, typer.Option(help="Upper voltage limit \\[pu], instead of the file's.")]
MaxUnbalanceOption: TypeAlias = Annotated[
    float | None, typer.Option(help="Limit of voltage unbalance of an unbalanced file: 0.02 is 2 %.")
]
NoLimitsOption: TypeAlias = Annotated[
    bool, typer.Option("--no-limits", help="Enforce none of the file's limits (voltage, ampacity, substation rating).")
]
StrictLimitsOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--strict-limits",
        help="Enforce also limits of the file that the present state breaks and no switch can change.",
    ),
]
ControlsOption: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="KINDS",
        help="Controls to set with the switches: none, all, or some of taps, capacitors, generators by commas.",
    ),
]
RemoteOnlyOption: TypeAlias = Annotated[
    bool, typer.Option("--remote-only", help="Nobody travels now: switches operated by hand stay as they are.")
]
NoChargingOption: TypeAlias = Annotated[
    bool, typer.Option("--no-charging", help="Ignore the line charging of the file.")
]


AcceptOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--accept-differences",
        help="Go on where the file differs in its own tool (OpenDSS, pandapower); every answer then says so.",
    ),
]
NoSourceCheckOption: TypeAlias = Annotated[
    bool, typer.Option("--no-source-check", help="Do not compute the answer in the tool of the file.")
]

BalancedOption: TypeAlias = Annotated[
    bool, typer.Option("--balanced", help="Of an unbalanced file: solve its balanced equivalent, not all its phases.")
]


_FLAGS = {"price_per_mwh": "price", "co2_kg_per_mwh": "co2"}
"""Options that the command line calls otherwise."""


def as_flag(option: str, value: object) -> str:
    """An option as the command line writes it: ``--engine tree or milp``, ``--no-charging``; a wording of errors."""
    if (option, value) == ("limits", "none"):
        return "--no-limits"
    name = _FLAGS.get(option, option).replace("_", "-")
    if value is None or value is True:
        return f"--{name}"
    return f"--no-{name}" if value is False else f"--{name} {alternatives(value, str)}"


def enforced(no_limits: bool) -> Literal["file", "none"]:
    """What ``--no-limits`` means: ``--vmin`` and ``--vmax`` are enforced even with it."""
    return "none" if no_limits else "file"


def tell(source: object, notes: Iterable[str]) -> None:
    """Print what was assumed while a file was read."""
    for note in notes:
        stderr.print(f"{source}: {note}", highlight=False, markup=False)


def _compiling() -> None:
    said("Compiling the searches, once on this machine: up to a minute ('learnopt warmup' does it ahead)")


announcements.append(_compiling)


def said(sentence: str) -> None:
    """Print what was done besides the answer."""
    stderr.print(sentence, highlight=False, markup=False)


def tell_unused(found: Iterable[Unused]) -> None:
    """One line on stderr for each option that has no effect."""
    for one in found:
        said(one.told(as_flag))


def show(answer: Answer, json_output: bool, report: Path | None = None) -> int:
    """Write the page where one is asked for, and print the answer; the exit code."""
    if report is not None:
        answer.report(report)
        said(f"Report written to {report}")
    if json_output:
        typer.echo(json.dumps(answer.to_dict(), allow_nan=False))
    else:
        stdout.print(answer.rendered())
    return 0 if answer.found else NOT_FOUND


def progress_bar() -> Progress:
    """A bar on stderr for long work."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=stderr
    )
