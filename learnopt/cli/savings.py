"""``learnopt savings``: what switching saves over a year."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from learnopt.cli.options import (
    AcceptOption,
    CaseArgument,
    JsonOption,
    NoChargingOption,
    NoLimitsOption,
    RemoteOnlyOption,
    StrictLimitsOption,
    VmaxOption,
    VminOption,
    build_problem,
    profile_source,
    read_case,
    stderr,
    stdout,
)
from learnopt.errors import DataError
from learnopt.io.files import check_folder, check_writable
from learnopt.studies.savings.problem import Period


def savings(
    case: CaseArgument,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Loads over time (.csv, .parquet, .dss, simbench:CODE), or 'synthetic' for a made-up year; "
            "a SimBench case has its own.",
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(help="First instant (ISO date or time).")] = None,
    steps: Annotated[int | None, typer.Option(help="Number of steps; all of the profile if absent.")] = None,
    step_hours: Annotated[float | None, typer.Option(help="Hours per step; loads are averaged over it.")] = None,
    period: Annotated[Period, typer.Option(help="How long a seasonal configuration stays.")] = Period.MONTH,
    switching_cost: Annotated[
        float, typer.Option(help="Cost of one operation in energy \\[kWh]: what a change must save to be made.")
    ] = 0.0,
    price: Annotated[float | None, typer.Option(help="Cost of a MWh lost; without it no costs are shown.")] = None,
    currency: Annotated[str, typer.Option(help="Unit of --price.")] = "EUR",
    co2: Annotated[
        float | None, typer.Option(help="Emission of a MWh \\[kg CO2]; without it no emissions are shown.")
    ] = None,
    representatives: Annotated[
        int | None, typer.Option(help="Load situations that stand for the steps while choosing; by size if absent.")
    ] = None,
    gap: Annotated[float, typer.Option(help="Relative gap of the hourly bound at which proofs stop.")] = 1e-2,
    proof_time: Annotated[float, typer.Option(help="Seconds for proofs of single steps; 0 = none.")] = 120.0,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    no_limits: NoLimitsOption = False,
    strict_limits: StrictLimitsOption = False,
    no_charging: NoChargingOption = False,
    remote_only: RemoteOnlyOption = False,
    scenario: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON: outages and locks that hold in every step.")
    ] = None,
    accept_differences: AcceptOption = False,
    json_output: JsonOption = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a self-contained page.")] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep what is proven there; an interrupted run goes on.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Picture of the losses: .png, .svg or .pdf.")] = None,
) -> int:
    """Energy that switching saves over a profile: present, best single, seasonal and hourly configurations.

    Every step is measured by an AC power flow; what is proven of each way to operate is said beside it.
    """
    from learnopt.engines import SolveOptions
    from learnopt.network import Certificate
    from learnopt.report.savings.text import Factors, savings_table, savings_to_dict
    from learnopt.studies.configuration.solve import warm_up
    from learnopt.studies.savings import savings_study
    from learnopt.studies.savings.held import hold_limits_of_study
    from learnopt.studies.savings.profile import profile_of, savings_problem

    factors = Factors(price, currency, co2)
    profile = profile_source(profile, case, "or 'synthetic' for a made-up year")
    check_writable(report=report, picture=out)
    check_folder(resume)
    if out is not None and out.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise DataError(str(out), ["the picture is written as .png, .svg or .pdf"])
    imported = read_case(case, accept_differences)
    base = build_problem(imported.network, scenario, vmin, vmax, no_limits, no_charging, remote_only=remote_only)
    if len(base.situations) > 1:
        raise DataError(str(scenario), ["holds several scenarios: loads over time belong into --profile"])
    profiles = profile_of(profile, base)
    for note in profiles.notes:
        stderr.print(f"{profile}: {note}", highlight=False, markup=False)
    problem = savings_problem(base, profiles, start, steps, step_hours, period, switching_cost)
    with stderr.status(escape(f"Studying {problem.n_steps} steps of {base.network.name} ...")) as status:
        warm_up("tree", SolveOptions(certify=Certificate.AC))
        if not strict_limits:
            problem = hold_limits_of_study(problem)
        found = savings_study(
            problem,
            representative_steps=representatives,
            gap=gap,
            proof_time=proof_time,
            directory=resume,
            progress=lambda what, done, total: status.update(f"{what}: {done} of {total}"),
        )
    if report is not None:
        from learnopt.report.savings.page import write_savings_report

        write_savings_report(report, found, factors, imported.origin)
        stderr.print(f"Report written to {report}", highlight=False, markup=False)
    if out is not None:
        from learnopt.report.kit.files import write_figure
        from learnopt.report.savings.page import savings_figure

        write_figure(out, savings_figure(found))
        stderr.print(f"Picture written to {out}", highlight=False, markup=False)
    if json_output:
        typer.echo(json.dumps(savings_to_dict(found, factors, imported.origin), allow_nan=False))
    else:
        stdout.print(savings_table(found, factors, imported.origin))
    return 0
