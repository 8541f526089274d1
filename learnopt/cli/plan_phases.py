"""``learnopt plan phases``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from learnopt.cli.options import (
    AcceptOption,
    CaseArgument,
    JsonOption,
    NoLimitsOption,
    ReportOption,
    ScenarioOption,
    VmaxOption,
    VminOption,
    enforced,
    show,
    stderr,
    tell,
)
from learnopt.io.files import check_writable


def phases(
    case: CaseArgument,
    max_swaps: Annotated[int, typer.Option(help="Laterals that may be connected to another phase, at most.")] = 3,
    scenario: ScenarioOption = None,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    max_unbalance: Annotated[
        float | None, typer.Option(help="Largest negative- over positive-sequence voltage at a bus (0.02 is 2 %).")
    ] = None,
    no_limits: NoLimitsOption = False,
    hour: Annotated[float | None, typer.Option(help="Of an OpenDSS file: loads at this hour of its shapes.")] = None,
    accept_differences: AcceptOption = False,
    json_output: JsonOption = False,
    report: ReportOption = None,
) -> int:
    """Choose which single-phase laterals to connect to another phase, so that the loss is least.

    Judged in all phases by OpenDSS; of an unbalanced file or a case file with phases.
    """
    from learnopt.api.swapping import plan_phases

    check_writable(report=report)
    with stderr.status(escape(f"Moving laterals of {case} ...")):
        plan = plan_phases(
            case, max_swaps, scenario=scenario, limits=enforced(no_limits), vmin=vmin, vmax=vmax,
            max_unbalance=max_unbalance, hour=hour, accept_differences=accept_differences,
        )  # fmt: skip
    tell(case, plan.notes)
    return show(plan, json_output, report)
