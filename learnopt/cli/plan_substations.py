"""``learnopt plan substations``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from learnopt.cli.options import JsonOption, stderr, stdout
from learnopt.errors import DataError
from learnopt.io.files import unwritable

NO_PLAN = 1


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
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a self-contained page.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the bill of materials.")] = None,
) -> int:
    """Find the substations, sizes and lines of least cost, and say what is proven.

    Exit code 0: a plan was returned; 1: none exists or none was found in the limits; 2: bad input.
    """
    from learnopt.io.planning import load_planning
    from learnopt.report.substations.text import bill_of_materials, plan_table, plan_to_dict
    from learnopt.studies.substations.engine import PlanOptions, Treatment, plan_substations

    problem = load_planning(source)
    problem = problem.replace(radial=problem.radial or radial, n_minus_1=problem.n_minus_1 or n_minus_1)
    known = [t.value for t in Treatment]
    faults = [] if treatment in known else [f"treatment = {treatment!r} must be one of {', '.join(known)}"]
    faults += unwritable(report=report, table=csv)
    if faults:
        raise DataError("options", faults)
    options = PlanOptions(gap=gap, time_limit=time_limit, treatment=Treatment(treatment))
    with stderr.status(escape(f"Planning {problem.name} ...")):
        result = plan_substations(problem, options)
    if report is not None:
        from learnopt.report.substations.page import write_plan_report

        write_plan_report(report, problem, result)
        stderr.print(f"Report written to {report}", highlight=False, markup=False)
    if csv is not None:
        from learnopt.io.files import write_atomically

        write_atomically(csv, lambda partial: partial.write_text(bill_of_materials(problem, result), encoding="utf-8"))
        stderr.print(f"Bill of materials written to {csv}", highlight=False, markup=False)
    if json_output:
        typer.echo(json.dumps(plan_to_dict(problem, result), allow_nan=False))
    else:
        stdout.print(plan_table(problem, result))
    return 0 if result.plan is not None else NO_PLAN
