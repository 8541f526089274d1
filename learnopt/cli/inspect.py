"""``learnopt inspect``: what was read and what looks wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learnopt.cli.options import AcceptOption, CaseArgument, HourOption, JsonOption, ReportOption, said, show
from learnopt.io.files import check_writable


def inspect(
    case: CaseArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the present state: .png, .svg, .pdf or .html.")
    ] = None,
    hour: HourOption = None,
    accept_differences: AcceptOption = False,
    json_output: JsonOption = False,
    report: ReportOption = None,
) -> int:
    """What was read, and what looks wrong, by severity.

    Exit code 0: nothing but warnings and notes; 1: an error that has to be repaired first; 2: the file cannot be read.
    """
    from learnopt.api.inspection import inspect as look_at

    check_writable(report=report)
    answer = look_at(case, hour=hour, accept_differences=accept_differences)
    if out is not None:
        drawn = answer.result.drawable
        if drawn:
            answer.draw(out)
        said(
            f"Drawing written to {out}"
            if drawn
            else "No drawing: the present state is not radial or has no power flow."
        )
    return show(answer, json_output, report)
