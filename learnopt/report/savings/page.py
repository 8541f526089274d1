"""The page of ``savings --report``: loss duration curves and months, for the screen and for paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from learnopt.io.files import write_text
from learnopt.network import Floats
from learnopt.report.configuration.text import UNKNOWN_ORIGIN
from learnopt.report.drawing.axes import paper, quiet
from learnopt.report.drawing.colours import CLOSE, INK, LINE, OPEN
from learnopt.report.kit.chart import Chart, Series, chart_html
from learnopt.report.kit.numbers import escaped, moment, number
from learnopt.report.kit.origin import warnings_html
from learnopt.report.kit.page import page, table
from learnopt.report.savings.text import (
    Factors,
    by_month,
    comparison,
    move_rows,
    savings_to_dict,
    sentences,
    strategy_name,
)
from learnopt.studies.inspection.reconcile import Origin
from learnopt.studies.savings import Savings, Strategy
from learnopt.wording import counted

_COLOURS = {"present": OPEN, "static": CLOSE, "seasonal": "#56B4E9", "hourly": INK}
_POINTS = 400
"""Points of a duration curve; a year has more hours than a line has pixels."""


def duration_curve(savings: Savings, strategy: Strategy) -> tuple[Floats, Floats]:
    """Hours and the loss exceeded during so many of them [kW], shapes (n,) and (n,)."""
    order = np.argsort(-np.nan_to_num(strategy.loss_kw, nan=-np.inf), kind="stable")
    loss, hours = strategy.loss_kw[order], savings.problem.hours[order]
    ends = np.cumsum(hours)
    shown = np.unique(np.linspace(0, len(loss) - 1, min(_POINTS, len(loss))).astype(np.int64))
    return np.concatenate([[0.0], ends[shown]]), np.concatenate([loss[:1], loss[shown]])


def savings_figure(savings: Savings) -> Figure:
    """Loss duration curves above, energy lost by month below, for paper and ``--out``."""
    figure = paper(10.0, 7.0)
    top, bottom = figure.subplots(2, 1)
    for strategy in savings.strategies:
        hours, loss = duration_curve(savings, strategy)
        name = strategy_name(savings.problem, strategy)
        style = {"present": "--", "hourly": ":"}.get(strategy.name, "-")
        top.plot(hours, loss, style, label=name, color=_COLOURS[strategy.name], linewidth=1.6)
    top.set_xlabel("hours in which the loss is at least this", color=LINE)
    top.set_ylabel("loss [kW]", color=LINE)
    top.set_xlim(0, float(savings.problem.hours.sum()))
    top.set_ylim(bottom=0)
    months, energies = by_month(savings)
    width = 0.8 / len(energies)
    for k, (strategy, energy) in enumerate(energies):
        place = np.arange(len(months)) + (k - 0.5 * (len(energies) - 1)) * width
        name = strategy_name(savings.problem, strategy)
        bottom.bar(place, energy, width * 0.92, label=name, color=_COLOURS[strategy.name])
    bottom.set_xticks(np.arange(len(months)), months, fontsize=8)
    bottom.set_ylabel("energy lost [MWh]", color=LINE)
    for axes in (top, bottom):
        quiet(axes, "both" if axes is top else "y")
    top.legend(frameon=False, labelcolor=INK, fontsize=9)
    return figure


def savings_charts(savings: Savings) -> list[Chart]:
    """The same for a page."""
    months, energies = by_month(savings)
    curves, bars = [], []
    for strategy, energy in energies:
        name, colour = strategy_name(savings.problem, strategy), _COLOURS[strategy.name]
        hours, loss = duration_curve(savings, strategy)
        dash = {"present": "6 3", "hourly": "2 3"}.get(strategy.name, "")
        curves.append(Series(name, hours, loss, colour, dash=dash, width=2))
        texts = [f"{name}, {m}: {number(mwh)} MWh" for m, mwh in zip(months, energy, strict=True)]
        bars.append(Series(name, np.arange(len(months), dtype=float), energy, colour, "bar", texts=texts))
    ticks = (list(range(len(months))), months)
    return [
        Chart("hours in which the loss is at least this", "loss [kW]", curves, zero=True),
        Chart("", "energy lost [MWh]", bars, ticks=ticks, height=260, zero=True),
    ]


def savings_page(savings: Savings, factors: Factors, origin: Origin = UNKNOWN_ORIGIN) -> str:
    """The self-contained page."""
    problem, net = savings.problem, savings.problem.network
    answer = savings_to_dict(savings, factors)
    head, rows = comparison(savings, factors)
    said = sentences(savings, factors, origin)
    span = f"{answer['hours']:g} hours from {moment(problem.times[0])} in {counted(problem.n_steps, 'step')}"
    sections = [
        f"<header><h1>What switching saves on {escaped(net.title or net.name)}</h1><p>{escaped(net.name)} · "
        f"{net.size_text}, {counted(net.n_loops, 'loop')} · {escaped(span)}</p></header>",
        warnings_html(origin),
        f'<section class="verdict"><h2>{escaped(said[0])}</h2>'
        + "".join(f"<p>{escaped(sentence)}</p>" for sentence in said[1:])
        + "</section>",
        "<section><h2>Ways to operate the feeder</h2>"
        + table(head, rows, tuple(range(1, len(head))))
        + "<p class=note>Measured in every step by an independent AC power flow. Proven least: what every choice of "
        "this kind loses at least, limits left aside.</p></section>",
        "<section><h2>Loss over the hours, and by month</h2>"
        + "".join(map(chart_html, savings_charts(savings)))
        + "</section>",
    ]
    for strategy, entry in zip(savings.strategies[1:3], answer["strategies"][1:3], strict=True):
        if not entry["changes"] or (strategy.name == "seasonal" and len(entry["changes"]) == 1):
            continue
        name = strategy_name(problem, strategy).capitalize()
        sections.append(
            f"<section><h2>{escaped(name)}: what to switch</h2>"
            + table(("from", "close", "open"), move_rows(entry["changes"]))
            + "</section>"
        )
    extremes = [
        (
            strategy_name(problem, s),
            f"{number(s.min_voltage_pu)} to {number(s.max_voltage_pu)} pu",
            "–" if entry["max_loading"] is None else f"{entry['max_loading']:.0%}",
            str(len(s.configurations)),
        )
        for s, entry in zip(savings.strategies, answer["strategies"], strict=True)
    ]
    facts = [
        ("Representatives, candidates", f"{savings.representatives}, {savings.candidates}"),
        ("Steps proven one by one", str(savings.proven_steps)),
        ("Price of an operation", f"{number(problem.switching_cost)} kWh" if problem.switching_cost else "none"),
        *((f"Time: {stage}", f"{seconds:.1f} s") for stage, seconds in savings.stage_times_s.items()),
    ]
    sections += [
        "<section><h2>Voltages and loadings of all steps</h2>"
        + table(("", "voltages", "highest loading", "configurations"), extremes, (1, 2, 3))
        + "</section>",
        f"<section><h2>Run</h2>{table((), facts, kind='facts')}</section>",
    ]
    return page(f"What switching saves on {net.title or net.name}", sections)


def write_savings_report(path: Path, savings: Savings, factors: Factors, origin: Origin = UNKNOWN_ORIGIN) -> None:
    """Write the study as one self-contained HTML file."""
    write_text(path, savings_page(savings, factors, origin))
