"""The page of ``replay --report``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from learnopt.io.files import write_text
from learnopt.report.drawing.axes import paper, quiet
from learnopt.report.drawing.colours import CLOSE, INK, LINE, OPEN
from learnopt.report.kit.chart import Chart, Series, chart_html
from learnopt.report.kit.numbers import escaped
from learnopt.report.kit.page import page, table
from learnopt.report.operation.text import PROPOSAL_HEAD, at, proposal_rows, sentences
from learnopt.studies.operation.replay import Replay

NAMES = ("nothing switched", "with the proposals")


def _curves(replay: Replay) -> tuple[np.ndarray, list[np.ndarray]]:
    """Hours from the first cycle, and both losses [kW]; NaN where there is no power flow."""
    hours = replay.hours * np.arange(len(replay.cycles))
    both = [[one.unchanged_kw for one in replay.cycles], [one.loss_kw for one in replay.cycles]]
    return hours, [np.array([np.nan if loss is None else loss for loss in losses]) for losses in both]


def replay_figure(replay: Replay) -> Figure:
    """True losses over time."""
    hours, losses = _curves(replay)
    figure = paper(10.0, 4.0)
    axes = figure.subplots()
    for name, loss, colour, style in zip(NAMES, losses, (OPEN, CLOSE), ("--", "-"), strict=True):
        axes.step(hours, loss, style, where="post", label=name, color=colour, linewidth=1.6)
    axes.set_xlabel("hours", color=LINE)
    axes.set_ylabel("loss [kW]", color=LINE)
    axes.set_ylim(bottom=0)
    quiet(axes, "both")
    axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    return figure


def replay_page(replay: Replay) -> str:
    """The self-contained page."""
    net = replay.network
    hours, losses = _curves(replay)
    curves = [
        Series(name, hours, loss, colour, "step", dash=dash, width=2)
        for name, loss, colour, dash in zip(NAMES, losses, (OPEN, CLOSE), ("6 3", ""), strict=True)
    ]
    said = sentences(replay)
    rows = [
        (at(one.time), one.advice.verdict.value, one.advice.reason, f"{100 * one.picture.measured:.0f} %")
        for one in replay.cycles
    ]
    title = f"A day on {net.title or net.name}, replayed"
    sections = [
        f"<header><h1>{escaped(title)}</h1><p>{escaped(net.name)} · {len(replay.cycles)} cycles from "
        f"{at(replay.cycles[0].time)}</p></header>",
        f'<section class="verdict"><h2>{escaped(said[0])}</h2>'
        + "".join(f"<p>{escaped(one)}</p>" for one in said[1:])
        + "</section>",
        "<section><h2>True loss</h2>" + chart_html(Chart("hours", "loss [kW]", curves, zero=True)) + "</section>",
    ]
    if replay.proposals:
        sections.append(f"<section><h2>Proposals</h2>{table(PROPOSAL_HEAD, proposal_rows(replay), (2, 3))}</section>")
    sections.append(f"<section><h2>Every cycle</h2>{table(('at', 'advice', 'why', 'measured'), rows, (3,))}</section>")
    return page(title, sections)


def write_replay_report(path: Path, replay: Replay) -> None:
    """Write the replay as one self-contained HTML file."""
    write_text(path, replay_page(replay))
