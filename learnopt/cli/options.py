"""Options that several commands share, and the problem they describe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from learnopt.errors import DataError
from learnopt.io import load, load_with_source, read_scenarios
from learnopt.network import Limits, Network, ReconfigurationProblem
from learnopt.studies.inspection.reconcile import Imported, reconcile

stderr = Console(stderr=True)
stdout = Console()

CaseArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="CASE_OR_FILE",
        help="Named case ([b]learnopt cases[/b]), file (.json, .m, .dss, .zip), CSV or CGMES "
        "folder, simbench:CODE or pandapower:NAME.",
    ),
]
HourOption: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="H", help="Of an OpenDSS file: loads at this hour of its load shapes, not the snapshot."),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")]
ScenarioOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Scenario(s): JSON, or load profiles (.csv, .parquet)."),
]
VminOption: TypeAlias = Annotated[float | None, typer.Option(help="Lower voltage limit \\[pu], instead of the file's.")]
VmaxOption: TypeAlias = Annotated[float | None, typer.Option(help="Upper voltage limit \\[pu], instead of the file's.")]
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
    typer.Option(metavar="KINDS", help="Controls to set with the switches: none, all, or taps,capacitors,generators."),
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


def read_case(case: str, accept_differences: bool = False, hour: float | None = None) -> Imported:
    """A case, compared with the tool of its file; ``hour`` as for :func:`learnopt.io.load`.

    Raises
    ------
    DataError
        If they differ and nothing explains it.
    """
    return reconcile(load_with_source(case, hour), accept_differences)


def build_problem(
    case: str | Network,
    scenario: Path | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    no_limits: bool = False,
    no_charging: bool = False,
    switching_cost: float = 0.0,
    max_operations: int | None = None,
    controls: str = "none",
    remote_only: bool = False,
) -> ReconfigurationProblem:
    """The problem that a command line describes.

    ``--vmin`` and ``--vmax`` are enforced even with ``--no-limits``, which drops what the file says.
    """
    network = load(case) if isinstance(case, str) else case
    limits = Limits() if no_limits else Limits.of(network)
    limits = replace(limits, vm_min=vmin, vm_max=vmax)
    loads, notes = (None, ()) if scenario is None else read_scenarios(scenario, network)
    for note in notes:
        stderr.print(f"{scenario}: {note}", highlight=False, markup=False)
    problem = ReconfigurationProblem.of(
        network,
        loads,
        limits=limits,
        charging=not no_charging,
        switching_cost=switching_cost,
        max_operations=max_operations,
        controls=network.controls.only(controls),
    )
    return problem.remote_only() if remote_only else problem


def profile_source(profile: str | None, case: str, otherwise: str = "only simbench: cases bring their own") -> str:
    """Where loads over time come from: ``--profile``, or a SimBench case itself."""
    if profile is None and not case.startswith("simbench:"):
        raise DataError("options", [f"--profile is missing: give a file, {otherwise}"])
    return case if profile is None else profile


def progress_bar() -> Progress:
    """A bar on stderr for long work."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=stderr
    )
