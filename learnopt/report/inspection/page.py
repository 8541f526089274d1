"""The page of an inspection: what was read, what looks wrong, and the present state as a diagram."""

from __future__ import annotations

from pathlib import Path

from learnopt.io.files import write_text
from learnopt.network import ReconfigurationProblem
from learnopt.report.drawing.diagram_html import one_line_html
from learnopt.report.drawing.one_line import one_line
from learnopt.report.inspection.text import FINDING_HEAD, NOTHING_WRONG, fact_rows, finding_rows
from learnopt.report.kit.numbers import escaped
from learnopt.report.kit.origin import warnings_html
from learnopt.report.kit.page import page, table
from learnopt.studies.inspection.inspection import Inspection
from learnopt.studies.inspection.reconcile import Origin


def write_inspection_report(path: Path, found: Inspection, origin: Origin) -> None:
    """Write an inspection as one self-contained HTML file."""
    net = found.network
    sections = [
        f"<header><h1>Inspection of {escaped(net.title or net.name)}</h1><p>{escaped(net.name)}</p></header>",
        warnings_html(origin),
        f"<section><h2>What was read</h2>{table((), fact_rows(found), kind='facts')}</section>",
        f"<section><h2>What looks wrong</h2>{findings_html(found)}</section>",
        _diagram(found),
    ]
    write_text(path, page(f"Inspection of {net.title or net.name}", sections))


def findings_html(found: Inspection) -> str:
    """The findings as a table, or that there are none."""
    return table(FINDING_HEAD, finding_rows(found)) if found.findings else f"<p>{NOTHING_WRONG}</p>"


def _diagram(found: Inspection) -> str:
    if not found.drawable:
        return ""
    present = found.network.normal_configuration
    scene = one_line(ReconfigurationProblem.of(found.network), present, found.evaluation)
    return f"<section><h2>Present state</h2>{one_line_html([scene])}</section>"
