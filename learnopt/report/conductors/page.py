"""The report of ``plan conductors --report``: scenarios, map of the plan, voltage profiles, conductors, bill."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from learnopt.io.files import write_text
from learnopt.network import Network
from learnopt.network.conductors import ConductorProblem, Mode
from learnopt.network.names import branch_label, bus_label
from learnopt.report.conductors.figure import plan_keys, plan_sheet, profiles_chart
from learnopt.report.conductors.text import NUMERIC, STUDY_HEAD, bill_rows, study_rows
from learnopt.report.drawing.layout import one_line_layout
from learnopt.report.kit.chart import chart_html
from learnopt.report.kit.numbers import escaped, number
from learnopt.report.kit.page import page, table
from learnopt.report.kit.sheet import pictures
from learnopt.studies.conductors.engine import ConductorResult
from learnopt.wording import counted


def write_plan_report(path: Path, problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> None:
    """Write the report as one self-contained HTML file; scenarios without a plan say why they have none."""
    write_text(path, plan_report_html(problem, results))


def plan_report_html(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> str:
    """The page as text."""
    net = problem.network
    sections = [
        _header(net),
        _scenarios(problem, results),
        _maps(problem, results),
        _profiles(problem, results),
        _conductors(problem, results),
        _bills(problem, results),
        _assumptions(problem),
    ]
    return page(f"Conductors of {net.title or net.name}", filter(None, sections))


def _header(net: Network) -> str:
    about = f"{net.size_text}, {counted(net.n_loops, 'loop')}, {net.base.v_base:g} kV"
    title = escaped(net.title or net.name)
    return f"<header><h1>Conductors of {title}</h1><p>{escaped(net.name)} · {about}</p></header>"


def _scenarios(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> str:
    words = "".join(
        f"<p class=note>{escaped(mode.value.replace('_', '-'))}: {escaped(result.message)}</p>"
        for mode, result in results.items()
    )
    head = [f"{STUDY_HEAD[1]} [{problem.costs.currency}]" if k == 1 else name for k, name in enumerate(STUDY_HEAD)]
    rows = table(head, study_rows(problem, results), NUMERIC)
    return f"<section><h2>Scenarios</h2>{rows}{words}</section>"


def _maps(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> str:
    layout = one_line_layout(problem.network)
    parts = []
    for mode, result in results.items():
        if result.plan is not None and (mode is list(results)[-1] or mode is Mode.BASE):
            name = mode.value.replace("_", "-")
            sheet = plan_sheet(problem, result.plan, layout, name)
            parts.append(pictures([sheet], plan_keys(problem, result.plan)))
    hint = "Positions are schematic. Colour and width: conductor, darker and wider is thicker; dashed: open."
    return f"<section><h2>Map</h2><p class=note>{hint}</p>{''.join(parts)}</section>" if parts else ""


def _profiles(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> str:
    if not any(result.evaluation is not None for result in results.values()):
        return ""
    return f"<section><h2>Voltage profile</h2>{chart_html(profiles_chart(problem, results))}</section>"


def _conductors(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> str:
    net = problem.network
    plans = {mode: result.plan for mode, result in results.items() if result.plan is not None}
    head = ["branch", "from", "to", "km", *(mode.value.replace("_", "-") for mode in plans)]
    rows = []
    for e in np.flatnonzero(problem.routed):
        ends = (bus_label(net, net.from_bus[e]), bus_label(net, net.to_bus[e]))
        cells = [
            problem.catalogue[plan.conductor[e]].name + ("" if plan.configuration.closed[e] else " (open)")
            for plan in plans.values()
        ]
        rows.append((branch_label(net, e), *ends, f"{problem.length_km[e]:.3f}", *cells))
    return f"<section><h2>Conductors</h2>{table(head, rows, (3,))}</section>"


def _bills(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> str:
    parts = []
    for mode, result in results.items():
        if result.plan is None:
            continue
        bill = bill_rows(problem, result.plan)
        rows = [tuple(v if isinstance(v, str) else number(v, 5) for v in row.values()) for row in bill]
        head = [key.replace("_", " ") for key in bill[0]]
        parts.append(f"<h3>{mode.value.replace('_', '-')}</h3>" + table(head, rows, range(1, len(head))))
    return f"<section><h2>Bill of materials</h2>{''.join(parts)}</section>" if parts else ""


def _assumptions(problem: ConductorProblem) -> str:
    costs, limits = problem.costs, problem.feeder.limits
    rows = [
        ("Currency", costs.currency),
        ("Energy price", f"{number(costs.price_per_kwh)} per kWh"),
        ("Loss factor", number(costs.loss_factor)),
        ("Cost of one kW lost", f"{number(costs.per_kw)} a year"),
        ("Annuity", f"{100 * costs.annuity:.3f} % of the investment a year"),
        ("Voltage limits", problem.feeder.voltage_limits_text),
        ("Ampacities", "enforced" if limits.ampacity else "not enforced"),
        ("Never thicker downstream", "enforced" if problem.no_thicker_downstream else "not asked for"),
        ("Budget", "none" if problem.budget is None else f"{number(problem.budget)} a year"),
        ("Investment", "conductors of all branches, open ones included"),
        ("Lengths", "resistance of the case over that of the conductor substituted for it"),
    ]
    types = [
        (c.name, f"{c.r_ohm_per_km:g}", f"{c.x_ohm_per_km:g}", f"{c.ampacity_a:g}", number(c.cost_per_km, 5))
        for c in problem.catalogue
    ]
    catalogue = table(("conductor", "ohm/km", "reactance ohm/km", "A", "cost per km"), types, (1, 2, 3, 4))
    return f"<section><h2>Data and assumptions</h2>{table((), rows, kind='facts')}{catalogue}</section>"
