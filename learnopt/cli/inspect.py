"""``learnopt inspect``: what was read and what looks wrong."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from learnopt.cli.options import AcceptOption, CaseArgument, HourOption, JsonOption, read_case, stderr, stdout
from learnopt.network import ReconfigurationProblem
from learnopt.report.kit.origin import with_origin
from learnopt.studies.inspection.inspection import Inspection, Severity, inspect_network

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


def inspect(
    case: CaseArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the present state: .png, .svg, .pdf or .html.")
    ] = None,
    hour: HourOption = None,
    accept_differences: AcceptOption = False,
    json_output: JsonOption = False,
) -> int:
    """What was read, and what looks wrong, by severity.

    Exit code 0: nothing but warnings and notes; 1: an error that has to be repaired first; 2: the file cannot be read.
    """
    imported = read_case(case, accept_differences, hour)
    found = inspect_network(imported.network, imported.notes)
    if out is not None:
        _draw(found, out)
    errors = found.of(Severity.ERROR)
    if json_output:
        answer: dict[str, Any] = found.facts | {"findings": [asdict(finding) for finding in found.findings]}
        answer["warnings"] = list(imported.origin.warnings)
        answer["balanced_equivalent"] = imported.origin.equivalent
        if errors:
            answer["errors"] = [f"{finding.object}: {finding.value}" for finding in errors]
        typer.echo(json.dumps(answer, allow_nan=False))
    else:
        stdout.print(with_origin(imported.origin, _facts(found)))
        stdout.print(_findings(found))
    return 1 if errors else 0


def _draw(found: Inspection, out: Path) -> None:
    if not found.facts["radial"] or found.evaluation is None or not found.evaluation.converged:
        stderr.print("No drawing: the present state is not radial or has no power flow.", highlight=False)
        return
    from learnopt.report.drawing.files import write_diagram

    problem = ReconfigurationProblem.of(found.network)
    write_diagram(out, problem, found.network.normal_configuration, found.evaluation, None)
    stderr.print(f"Drawing written to {out}", highlight=False, markup=False)


def _facts(found: Inspection) -> Table:
    facts = found.facts
    levels = ", ".join(f"{kv} kV ({count} buses)" for kv, count in facts["kv_levels"].items())
    ranges = [
        "none" if ends is None else f"{ends[0]:g} pu" if ends[0] == ends[1] else f"{ends[0]:g}…{ends[1]:g} pu by bus"
        for ends in facts["voltage_limit_ranges_pu"]
    ]
    limits = "none" if ranges == ["none", "none"] else " to ".join(ranges)
    rows = {
        "read": f"{facts['buses']} buses, {facts['branches']} branches, {facts['transformers']} transformers, "
        f"{facts['couplers']} couplers, {len(facts['substations'])} substations",
        "voltage levels": levels,
        "loops": f"{facts['loops']} with every switch closed, {facts['loops_closed']} in the present state"
        + (f"; {facts['fixed_loops']} more that stay closed" if facts["fixed_loops"] else ""),
        "switches": f"{facts['switchable']} switchable, {facts['decisions']} of them in loops; {facts['open']} open"
        + (f"; {facts['manual']} operated by hand" if facts["manual"] else ""),
        "to decide": _decision(facts["reduction"]),
        "load": f"{facts['load_kw']:,.1f} kW, {facts['load_kvar']:,.1f} kvar",
        "generation": f"{facts['generation_kw']:,.1f} kW",
        "charging": f"lines {facts['charging_kvar']:,.1f} kvar, shunts {facts['capacitors_kvar']:,.1f} kvar",
        "limits": f"voltage {limits}; {facts['rated_branches']} branches with an ampacity",
        "controls": ", ".join(f"{count} {kind}" for kind, count in facts["controls"].items() if count) or "none",
        "present state": _state(facts),
    }
    table = Table("", escape(facts["case"]), title=escape(facts["title"]) or None)
    for name, text in rows.items():
        table.add_row(name, escape(text))
    return table


def _decision(size: dict[str, Any] | None) -> str:
    """What the reductions leave of the problem."""
    if size is None:
        return "nothing: no radial state exists"
    if not size["switches"]:
        return "nothing: no switch in a loop"
    exponent = size["log10_configurations"]
    count = f"{10**exponent:,.0f}" if exponent < 6 else f"10^{exponent:.0f}"
    return (
        f"{size['buses']} buses reduce to {size['nodes']} nodes ({size['laterals']} on laterals), {size['branches']} "
        f"branches to {size['switches']} switches in {size['chains']} chains; {size['loops']} to be open, "
        f"{count} radial configurations, {size['parts']} independent part{'' if size['parts'] == 1 else 's'}"
    )


def _state(facts: dict[str, Any]) -> str:
    if facts["loss_kw"] is None:
        return "no power flow" if facts["radial"] or facts["loops_closed"] else "not radial"
    loading = "" if facts["max_loading"] is None else f", highest loading {facts['max_loading']:.0%}"
    return (
        f"{'radial' if facts['radial'] else 'not radial'}, {facts['loss_kw']:,.2f} kW lost, "
        f"{facts['min_voltage_pu']:.4f} to {facts['max_voltage_pu']:.4f} pu{loading}"
    )


def _findings(found: Inspection) -> Table | str:
    if not found.findings:
        return "Nothing looks wrong."
    table = Table("severity", "object", "found", "advice")
    for finding in found.findings:
        cells = (escape(finding.object), escape(finding.value), escape(finding.advice))
        table.add_row(f"[{_STYLES[finding.severity]}]{finding.severity.value}[/]", *cells)
    return table
