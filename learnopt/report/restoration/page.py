"""The page of ``restore --report``: a plan that a dispatcher can read aloud."""

from __future__ import annotations

from pathlib import Path

from learnopt.io.files import write_text
from learnopt.network.names import bus_label
from learnopt.physics import evaluate
from learnopt.report.configuration.order import reasons, step_rows, travels
from learnopt.report.configuration.text import UNKNOWN_ORIGIN
from learnopt.report.drawing.diagram_html import one_line_html
from learnopt.report.drawing.one_line import one_line
from learnopt.report.kit.numbers import escaped, number
from learnopt.report.kit.origin import warnings_html
from learnopt.report.kit.page import page, table
from learnopt.report.restoration.text import headline, sentences
from learnopt.studies.inspection.reconcile import Origin
from learnopt.studies.restoration.study import Restoration

_LISTED = 200
"""Buses without supply that are listed."""


def restoration_page(restoration: Restoration, origin: Origin = UNKNOWN_ORIGIN) -> str:
    """The self-contained page."""
    net, outage = restoration.problem.network, restoration.outage
    fault = ", ".join(outage.fault.labels(net))
    sections = [
        f"<header><h1>Restoration of {escaped(net.title or net.name)}</h1><p>{escaped(net.name)} · fault: "
        f"{escaped(fault)}</p></header>",
        warnings_html(origin),
        f'<section class="verdict"><h2>{escaped(headline(restoration))}</h2>'
        + "".join(f"<p>{escaped(sentence)}</p>" for sentence in sentences(restoration))
        + "</section>",
        _steps(restoration),
        _way_back(restoration),
        _without_supply(restoration),
        _picture(restoration),
    ]
    return page(f"Restoration of {net.title or net.name}", sections)


def _steps(restoration: Restoration) -> str:
    net, steps = restoration.problem.network, restoration.operations
    if not steps:
        return ""
    head, rows = step_rows(net, steps)
    if any(o.violations for o in steps):
        head.append("limits passed")
        rows = [[*row, "; ".join(o.violations[:2])] for row, o in zip(rows, steps, strict=True)]
    notes = "".join(f"<p class=note>{escaped(note)}</p>" for note in (*reasons(steps), *travels(net, steps)))
    return "<section><h2>Steps</h2>" + notes + table(head, rows, (0,), "plan") + "</section>"


def _way_back(restoration: Restoration) -> str:
    steps, _why = restoration.way_back
    if not steps:
        return ""
    head, rows = step_rows(restoration.problem.network, steps)
    return "<section><h2>Back after the repair</h2>" + table(head, rows, (0,), "plan") + "</section>"


def _without_supply(restoration: Restoration) -> str:
    outage, net = restoration.outage, restoration.problem.network
    without = sorted(restoration.not_served, key=lambda one: -outage.load_kw[one[0]])[:_LISTED]
    if not without:
        return ""
    rows = [(bus_label(net, k), number(float(outage.load_kw[k])), why) for k, why in without]
    return "<section><h2>Without supply</h2>" + table(("bus", "load [kW]", "why"), rows, (1,)) + "</section>"


def _picture(restoration: Restoration) -> str:
    if restoration.configuration is None:
        return ""
    problem = restoration.problem.replace(out_of_service=restoration.outage.lines)
    judged = evaluate(problem, restoration.configuration) if restoration.served.all() else None
    scene = one_line(problem, restoration.configuration, judged, restoration.outage.before, title="After the plan")
    return f"<section><h2>One-line diagram</h2>{one_line_html([scene])}</section>"


def write_restoration_report(path: Path, restoration: Restoration, origin: Origin = UNKNOWN_ORIGIN) -> None:
    """Write the restoration as one self-contained HTML file."""
    write_text(path, restoration_page(restoration, origin))
