"""The plan of a horizon as a page, with the states of the switches over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learnopt.io.files import write_text
from learnopt.report.configuration.text import UNKNOWN_ORIGIN
from learnopt.report.horizon.figure import switch_charts
from learnopt.report.horizon.text import (
    COMPARISON_HEAD,
    Times,
    comparison,
    controls_over_time,
    horizon_to_dict,
    move_rows,
    proof,
)
from learnopt.report.kit.chart import chart_html
from learnopt.report.kit.numbers import escaped, moment, number
from learnopt.report.kit.origin import warnings_html
from learnopt.report.kit.page import page, table
from learnopt.studies.configuration.isolation import isolation_in_words
from learnopt.studies.horizon import HorizonPlan, HorizonProblem
from learnopt.studies.inspection.reconcile import Origin
from learnopt.wording import counted


def write_horizon_report(
    path: Path, problem: HorizonProblem, plan: HorizonPlan, times: Times, origin: Origin = UNKNOWN_ORIGIN
) -> None:
    """Write the plan as one self-contained HTML file; without a plan the page says why there is none."""
    write_text(path, horizon_page(problem, plan, times, origin))


def horizon_page(problem: HorizonProblem, plan: HorizonPlan, times: Times, origin: Origin = UNKNOWN_ORIGIN) -> str:
    """The page; without a plan it says why there is none."""
    net = problem.network
    span = f"{moment(times[0])} on, {counted(problem.n_steps, 'step')} of {problem.hours[0]:g} h"
    said = " ".join([plan.message, *isolation_in_words(problem.together)])
    sections = [
        f"<header><h1>Switching plan for {escaped(net.title or net.name)}</h1><p>{escaped(net.name)} "
        f"· {net.size_text}, "
        f"{counted(net.n_loops, 'loop')} · {escaped(span)}</p></header>",
        warnings_html(origin),
        f'<section class="{"verdict" if plan.configurations else "verdict none"}"><h2>'
        f"{escaped(proof(plan, origin))}</h2>"
        f"<p>{escaped(said)}</p><p class=note>status: {plan.status.value} · certificate: "
        f"{plan.certificate.value}</p></section>",
        "<section><h2>Energy lost</h2>" + table(COMPARISON_HEAD, comparison(problem, plan), (1, 2, 3)) + "</section>",
    ]
    if plan.configurations:
        answer = horizon_to_dict(problem, plan, times)
        sections += [
            _switches(problem, plan, times),
            _days(answer["days"]),
            _operations(answer["plan"]),
            _controls(problem, plan, times),
        ]
    return page(f"Switching plan for {net.title or net.name}", [*sections, _run(problem, plan)])


def _switches(problem: HorizonProblem, plan: HorizonPlan, times: Times) -> str:
    drawn = "".join(map(chart_html, switch_charts(problem, plan, times)))
    return (
        "<section><h2>Switches over time</h2><p class=note>Only switches that the plan operates; "
        f"blue is closed, orange is open.</p>{drawn}</section>"
    )


def _days(days: list[dict[str, Any]]) -> str:
    rows = [(moment(d["date"]), f"{number(d['energy_kwh'], 5)} kWh", str(d["operations"])) for d in days]
    return "<section><h2>Days</h2>" + table(("day", "energy lost", "operations"), rows, (1, 2)) + "</section>"


def _operations(steps: list[dict[str, Any]]) -> str:
    return "<section><h2>Operations</h2>" + table(("time", "close", "open"), move_rows(steps)) + "</section>"


def _controls(problem: HorizonProblem, plan: HorizonPlan, times: Times) -> str:
    """Settings of the controls; empty without controls."""
    if not plan.settings:
        return ""
    head, rows = controls_over_time(problem, plan, times)
    return (
        "<section><h2>Controls</h2><p class=note>Steps at which a setting changes.</p>"
        + table(tuple(head), rows, tuple(range(1, len(head))))
        + "</section>"
    )


def _run(problem: HorizonProblem, plan: HorizonPlan) -> str:
    """Rules, effort and times."""
    of_each = problem.max_operations_per_switch
    facts = [
        ("Cost of an operation", f"{number(problem.switching_cost)} kWh" if problem.switching_cost else "none"),
        ("Cap on operations", "none" if problem.max_operations is None else str(problem.max_operations)),
        ("Cap on operations of one switch", "none" if of_each is None else str(of_each)),
        ("Rest of capacitors, of stepped taps", f"{problem.capacitor_hours:g} h, {problem.tap_hours:g} h"),
        ("Candidates, rounds, nodes", f"{plan.candidates}, {plan.rounds}, {plan.nodes}"),
        *((f"Time: {stage}", f"{seconds:.3f} s") for stage, seconds in plan.stage_times_s.items()),
        ("Time: total", f"{plan.solve_time_s:.3f} s"),
    ]
    return f"<section><h2>Run</h2>{table((), facts, kind='facts')}</section>"
