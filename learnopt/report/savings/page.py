"""The page of ``savings --report``: loss duration curves and months, for the screen and for paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure

from learnopt.io.files import write_text
from learnopt.network import Floats
from learnopt.report.configuration.text import UNKNOWN_ORIGIN
from learnopt.report.drawing.axes import paper, quiet
from learnopt.report.drawing.one_line import CLOSE, INK, LINE, OPEN, PALE
from learnopt.report.kit.files import plot_div
from learnopt.report.kit.numbers import escaped, number
from learnopt.report.kit.origin import warnings_html
from learnopt.report.kit.page import figures, page, table
from learnopt.report.savings.text import (
    Factors,
    by_month,
    comparison,
    moved_labels,
    savings_to_dict,
    sentences,
    strategy_name,
)
from learnopt.studies.inspection.reconcile import Origin
from learnopt.studies.savings import Savings, Strategy

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


def savings_plot(savings: Savings) -> go.Figure:
    """The same for the screen."""
    figure = go.Figure(layout={"template": None})
    months, energies = by_month(savings)
    for strategy, energy in energies:
        name, colour = escaped(strategy_name(savings.problem, strategy)), _COLOURS[strategy.name]
        hours, loss = duration_curve(savings, strategy)
        figure.add_scatter(
            x=hours.tolist(),
            y=[float(v) if np.isfinite(v) else None for v in loss],
            name=name,
            legendgroup=strategy.name,
            line={"color": colour, "dash": {"present": "dash", "hourly": "dot"}.get(strategy.name, "solid")},
            hovertemplate="%{y:.1f} kW or more in %{x:.0f} h<extra>" + name + "</extra>",
        )
        figure.add_bar(
            x=months,
            y=[float(v) if np.isfinite(v) else None for v in energy],
            name=name,
            legendgroup=strategy.name,
            showlegend=False,
            marker={"color": colour},
            hovertemplate="%{x}: %{y:.2f} MWh<extra>" + name + "</extra>",
            xaxis="x2",
            yaxis="y2",
        )
    figure.update_layout(
        height=640,
        margin={"l": 70, "r": 20, "t": 30, "b": 50},
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"color": INK, "size": 12},
        legend={"orientation": "h", "y": 1.06, "x": 0},
        bargap=0.25,
        xaxis={"anchor": "y", "gridcolor": PALE, "title": {"text": "hours in which the loss is at least this"}},
        yaxis={"domain": [0.58, 1], "gridcolor": PALE, "title": {"text": "loss [kW]"}, "rangemode": "tozero"},
        xaxis2={"anchor": "y2", "type": "category"},
        yaxis2={"domain": [0, 0.42], "gridcolor": PALE, "title": {"text": "energy lost [MWh]"}},
    )
    return figure


def savings_page(savings: Savings, factors: Factors, origin: Origin = UNKNOWN_ORIGIN) -> str:
    """The self-contained page."""
    problem, net = savings.problem, savings.problem.network
    answer = savings_to_dict(savings, factors)
    head, rows = comparison(savings, factors)
    said = sentences(savings, factors, origin)
    span = f"{answer['hours']:g} hours from {answer['begin']} in {problem.n_steps} steps"
    sections = [
        f"<header><h1>What switching saves on {escaped(net.title or net.name)}</h1><p>{escaped(net.name)} · "
        f"{net.n_bus} buses, {net.n_branch} branches, {net.n_loops} loops · {escaped(span)}</p></header>",
        warnings_html(origin),
        f'<section class="verdict"><h2>{escaped(said[0])}</h2>'
        + "".join(f"<p>{escaped(sentence)}</p>" for sentence in said[1:])
        + "</section>",
        "<section><h2>Ways to operate the feeder</h2>"
        + table(head, rows, tuple(range(1, len(head))))
        + "<p class=note>Measured in every step by an independent AC power flow. Proven least: what every choice of "
        "this kind loses at least, limits left aside.</p></section>",
        "<section><h2>Loss over the hours, and by month</h2>"
        + figures(plot_div(savings_plot(savings), "savings"), [("losses", savings_figure(savings))], vector=True)
        + "</section>",
    ]
    for strategy, entry in zip(savings.strategies[1:3], answer["strategies"][1:3], strict=True):
        if not entry["changes"] or (strategy.name == "seasonal" and len(entry["changes"]) == 1):
            continue
        moves = [(c["time"], moved_labels(c, "close") or "–", moved_labels(c, "open") or "–") for c in entry["changes"]]
        name = strategy_name(problem, strategy).capitalize()
        sections.append(
            f"<section><h2>{escaped(name)}: what to switch</h2>"
            + table(("from", "close", "open"), moves)
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
