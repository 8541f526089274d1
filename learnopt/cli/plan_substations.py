"""``learnopt plan substations``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from learnopt.cli.options import JsonOption, ReportOption, said, show, stderr
from learnopt.io.files import check_writable


def substations(
    source: Annotated[str, typer.Argument(metavar="FILE", help="Planning file (JSON), or the sample [b]turkay[/b].")],
    gap: Annotated[float, typer.Option(help="Relative gap to stop at.")] = 1e-4,
    time_limit: Annotated[float | None, typer.Option(help="Seconds; the best found by then is returned.")] = None,
    treatment: Annotated[
        str, typer.Option(help="Of quadratic costs and losses in the model: tangent, piecewise or quadratic (exact).")
    ] = "quadratic",
    radial: Annotated[bool, typer.Option("--radial", help="Ask for a radial plan, whatever the file says.")] = False,
    n_minus_1: Annotated[
        bool, typer.Option("--n-1", help="Ask for supply without any one transformer, whatever the file says.")
    ] = False,
    json_output: JsonOption = False,
    report: ReportOption = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the bill of materials.")] = None,
) -> int:
    """Find the substations, sizes and lines of least cost, and say what is proven.

    Exit code 0: a plan was returned; 1: none exists or none was found in the limits; 2: bad input.
    """
    from learnopt.api.planning import plan_substations

    check_writable(report=report, table=csv)
    with stderr.status(escape(f"Planning {source} ...")):
        study = plan_substations(
            source, gap=gap, time_limit=time_limit, treatment=treatment, radial=radial, n_minus_1=n_minus_1
        )
    if csv is not None:
        study.bill(csv)
        said(f"Bill of materials written to {csv}")
    return show(study, json_output, report)
