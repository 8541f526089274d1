"""One-line diagrams to files."""

from __future__ import annotations

from pathlib import Path

from learnopt.errors import UnsupportedError
from learnopt.io.files import write_atomically
from learnopt.network import Configuration, Evaluation, ReconfigurationProblem
from learnopt.report.drawing.diagram import draw
from learnopt.report.drawing.diagram_html import one_line_html
from learnopt.report.drawing.one_line import one_line
from learnopt.report.kit.files import FORMATS, figure_bytes
from learnopt.report.kit.page import page


def write_diagram(
    path: Path,
    problem: ReconfigurationProblem,
    configuration: Configuration,
    evaluation: Evaluation | None,
    reference: Configuration | None = None,
    title: str | None = None,
) -> None:
    """Write a one-line diagram; the ending of the path chooses PNG, SVG, PDF or an HTML page.

    Raises
    ------
    UnsupportedError
        For another ending.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UnsupportedError(f"{path.name}: pictures are written as {', '.join('.' + k for k in FORMATS)}")
    scene = one_line(problem, configuration, evaluation, reference, title=title)
    if kind != "html":
        write_atomically(path, lambda partial: partial.write_bytes(figure_bytes(draw(scene), kind)))
        return
    text = page(scene.title, [f"<section>{one_line_html([scene])}</section>"])
    write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))
