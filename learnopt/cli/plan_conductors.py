"""``learnopt plan conductors``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from learnopt.cli.options import (
    CaseArgument,
    JsonOption,
    NoChargingOption,
    ReportOption,
    ScenarioOption,
    VmaxOption,
    VminOption,
    said,
    show,
    stderr,
    tell,
)
from learnopt.io.files import check_writable
from learnopt.network.conductors import Mode

ModeName = StrEnum("ModeName", {m.value: m.value.replace("_", "-") for m in Mode} | {"all": "all"})  # type: ignore[misc]

DEFAULT_MODE = ModeName(Mode.JOINT.value)


def conductors(
    case: CaseArgument,
    mode: Annotated[
        ModeName,
        typer.Option(
            metavar="NAME",
            help="ocs (conductors), odnr (reconfiguration), ocs-odnr or odnr-ocs (one after the other), joint (both at "
            "once), base (as built) or all.",
        ),
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
    report: ReportOption = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the bill of materials.")] = None,
) -> int:
    """Choose conductors, alone, before, after or together with reconfiguration, at least annual cost.

    The case's conductors are replaced by types of a catalogue; lengths keep the resistance of every branch.
    Exit code 0: every scenario has a plan; 1: one has none; 2: bad input.
    """
    # Planning loads the solvers: only when asked for.
    from learnopt.api.planning import plan_conductors

    check_writable(report=report, table=csv)
    with stderr.status("Planning ...") as status:
        study = plan_conductors(
            case, mode.value, scenario=scenario, vmin=vmin, vmax=vmax, charging=not no_charging, costs=costs,
            budget=budget, no_thicker_downstream=no_thicker_downstream, time_limit=time_limit, gap=gap,
            progress=lambda m: status.update(escape(f"Planning {case}: {m.value} ...")),
        )  # fmt: skip
    tell(scenario, study.notes)
    if csv is not None:
        study.bill(csv)
        said(f"Bill of materials written to {csv}")
    return show(study, json_output, report)
