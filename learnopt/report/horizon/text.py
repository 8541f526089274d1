"""The plan of a horizon as JSON, for the terminal and as a page with the states of the switches over time."""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from learnopt.io.files import write_atomically
from learnopt.network import Certificate, Floats, Ints
from learnopt.network.held import held_to_dicts
from learnopt.physics.batch import feasible_losses
from learnopt.report.configuration.page import figures, table
from learnopt.report.configuration.text import UNKNOWN_ORIGIN, settings_to_dict
from learnopt.report.drawing.one_line import CLOSE, INK, LINE, OPEN, PALE
from learnopt.report.kit.files import SAFE, plot_div, plotly_script
from learnopt.report.kit.numbers import escaped, number, percent
from learnopt.report.kit.origin import EQUIVALENT, origin_to_dict, warnings_html, with_origin
from learnopt.studies.horizon import HorizonPlan, HorizonProblem
from learnopt.studies.inspection.reconcile import Origin

Times = NDArray[np.datetime64]


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def horizon_to_dict(
    problem: HorizonProblem, plan: HorizonPlan, times: Times, origin: Origin = UNKNOWN_ORIGIN
) -> dict[str, Any]:
    """The object that ``horizon --json`` prints; strict JSON, null for what is not known."""
    net = problem.network
    bound = None if plan.certificate is Certificate.NONE else _known(plan.dual_bound_kwh)
    answer: dict[str, Any] = {
        "case": net.name,
        "status": plan.status.value,
        "message": plan.message,
        "held_limits": held_to_dicts(net, problem.limits),
        **origin_to_dict(origin),
        "certificate": plan.certificate.value,
        "steps": problem.n_steps,
        "hours": float(problem.hours.sum()),
        "energy_kwh": _known(plan.energy_kwh),
        "switching_cost_kwh": problem.switching_cost,
        "objective_kwh": _known(plan.objective_kwh),
        "dual_bound_kwh": bound,
        "gap": None if bound is None else _known(plan.gap),
        "bounds_kwh": {"ac": _known(plan.ac_bound_kwh), "model": _known(plan.model_bound_kwh)},
        "operations": sum(plan.operations) if plan.configurations else None,
        "control_cost_kwh": problem.control_cost,
        "control_changes": sum(plan.changes) if plan.settings else None,
        "normal_energy_kwh": _known(plan.normal_kwh),
        "normal_violations": plan.normal_violations,
        "static": None
        if plan.static is None
        else {
            "open_branches": net.open_ids(plan.static),
            "energy_kwh": _known(plan.static_kwh),
            "objective_kwh": _known(plan.static_objective_kwh),
            "dual_bound_kwh": _known(plan.static_bound_kwh),
            "operations": problem.operations(problem.initial, plan.static),
        },
        "days": _days(problem, plan, times),
        "plan": [],
        "candidates": plan.candidates,
        "rounds": plan.rounds,
        "nodes": plan.nodes,
        "solve_time_s": plan.solve_time_s,
        "stage_times_s": dict(plan.stage_times_s),
    }
    before = problem.initial
    for t, configuration in enumerate(plan.configurations):
        evaluation = plan.evaluations[t]
        changed = (configuration.closed != before.closed) & problem.counted
        answer["plan"].append(
            {
                "time": str(times[t]),
                "hours": float(problem.hours[t]),
                "open_branches": net.open_ids(configuration),
                "closed": [net.branch_ids[e] for e in np.flatnonzero(changed & configuration.closed)],
                "opened": [net.branch_ids[e] for e in np.flatnonzero(changed & ~configuration.closed)],
                "operations": plan.operations[t],
                "loss_kw": evaluation.loss_kw,
                "dual_bound_kw": _known(float(plan.step_bound_kw[t])),
                "min_voltage_pu": evaluation.min_voltage_pu,
                "max_loading": evaluation.max_loading if np.isfinite(net.i_max).any() else None,
            }
        )
        if plan.settings:
            answer["plan"][-1] |= {"control_changes": plan.changes[t]} | settings_to_dict(
                problem.together, plan.settings[t]
            )
        before = configuration
    return answer


def _controls_over_time(problem: HorizonProblem, plan: HorizonPlan, times: Times) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table: every control in every step at which something of it changes."""
    net, kw = problem.network, problem.network.base.kw
    head = [
        "time",
        *(f"tap {net.branch_ids[tap.branch]} [pu]" for tap in problem.controls.taps),
        *(f"capacitor {net.bus_ids[bank.bus]} [kvar]" for bank in problem.controls.capacitors),
        *(f"generator {g.id} [kW, kvar]" for g in problem.controls.generators),
    ]
    rows: list[list[str]] = []
    for time, settings in zip(times, plan.settings, strict=True):
        values = [
            *(f"{tap:.4f}" for tap in settings.taps),
            *(f"{value * kw:.0f}" for value in settings.capacitors),
            *(
                f"{p * kw:.0f}, {q * kw:.0f}" if on else "off"
                for (p, q), on in zip(settings.generators, settings.on, strict=True)
            ),
        ]
        if not rows or values != rows[-1][1:]:
            rows.append([str(time), *values])
    return head, rows


def _shown(value: Any, unit: str) -> str:
    return "none" if value is None else f"{value}{unit}"


def _days(problem: HorizonProblem, plan: HorizonPlan, times: Times) -> list[dict[str, Any]]:
    """Energy lost and operations of each calendar day."""
    if not plan.configurations:
        return []
    day = times.astype("datetime64[D]")
    energy = problem.hours * np.array([e.loss_kw for e in plan.evaluations])
    operations = np.array(plan.operations)
    return [
        {
            "date": str(date),
            "energy_kwh": float(energy[day == date].sum()),
            "operations": int(operations[day == date].sum()),
        }
        for date in np.unique(day)
    ]


def _comparison(problem: HorizonProblem, plan: HorizonPlan) -> list[tuple[str, str, str, str]]:
    """Rows (what, energy lost, operations, saving of the plan) for tables."""

    def saving(other: float | None) -> str:
        if other is None or plan.energy_kwh is None:
            return "–"
        return f"{number(other - plan.energy_kwh)} kWh ({percent((other - plan.energy_kwh) / max(other, 1e-12))})"

    normal = f"{number(plan.normal_kwh, 5)} kWh"
    if plan.normal_violations:
        normal = f"not admissible in {plan.normal_violations} steps"
    rows = [("normal configuration", normal, "0", saving(plan.normal_kwh))]
    if plan.static is not None:
        operations = problem.operations(problem.initial, plan.static)
        energy = f"{number(plan.static_kwh, 5)} kWh"
        rows.append(("best single configuration", energy, str(operations), saving(plan.static_kwh)))
    if plan.configurations:
        rows.append(("plan", f"{number(plan.energy_kwh, 5)} kWh", str(sum(plan.operations)), ""))
    return rows


def _proof(plan: HorizonPlan, origin: Origin) -> str:
    """What is proven, in a sentence, and about what."""
    about = f" This holds for {EQUIVALENT} only: the file is unbalanced." if origin.equivalent else ""
    return _proof_of(plan) + about


def _proof_of(plan: HorizonPlan) -> str:
    if not plan.configurations:
        return "There is no plan."
    if plan.certificate is Certificate.NONE or plan.dual_bound_kwh is None or plan.gap is None:
        return "Nothing is proven about other plans."
    holds = "AC losses" if plan.certificate is Certificate.AC else "a model of the power flow"
    return (
        f"No plan costs less than {number(plan.dual_bound_kwh, 6)} kWh ({holds}); this one costs "
        f"{number(plan.objective_kwh, 6)} kWh, at most {percent(plan.gap)} above."
    )


def horizon_table(
    problem: HorizonProblem, plan: HorizonPlan, times: Times, origin: Origin = UNKNOWN_ORIGIN
) -> RenderableType:
    """A summary for the terminal: energies, proof, operations over time."""
    energies = Table(title=Text(f"{problem.network.name}: {plan.status.value}"), title_justify="left")
    for column in ("", "energy lost", "operations", "saved by the plan"):
        energies.add_column(column, justify="right" if column else "left")
    for row in _comparison(problem, plan):
        energies.add_row(*map(Text, row))
    parts: list[RenderableType] = [energies, Text(_proof(plan, origin), style="bold")]
    if plan.message:
        parts.append(Text(plan.message))
    moves = [step for step in horizon_to_dict(problem, plan, times)["plan"] if step["operations"]]
    if moves:
        table = Table(title="switching", title_justify="left")
        for column in ("time", "close", "open"):
            table.add_column(column)
        for step in moves:
            table.add_row(step["time"], *(Text(", ".join(map(str, step[key]))) for key in ("closed", "opened")))
        parts.append(table)
    if plan.settings:
        head, rows = _controls_over_time(problem, plan, times)
        table = Table(title="controls, where they change", title_justify="left")
        for column in head:
            table.add_column(Text(column))
        for values in rows:
            table.add_row(*map(Text, values))
        parts.append(table)
    parts.append(Text(f"{plan.candidates} candidates, {plan.rounds} rounds, {plan.solve_time_s:.2f} s", style="dim"))
    return with_origin(origin, Group(*parts))


def _moving(problem: HorizonProblem, plan: HorizonPlan) -> Ints:
    """Branches that the plan operates, in file order."""
    states = np.stack([problem.initial.closed, *(c.closed for c in plan.configurations)])
    return np.flatnonzero((states != states[0]).any(axis=0) & problem.counted)


def _curves(problem: HorizonProblem, plan: HorizonPlan) -> list[tuple[str, Floats, str, str]]:
    """Losses over time: (name, kW, colour, dash)."""
    own = np.array([e.loss_kw for e in plan.evaluations])
    normal = feasible_losses(problem.together, [problem.initial])[0]
    curves = [("normal configuration", np.where(np.isfinite(normal), normal, np.nan), OPEN, "dash")]
    curves.append(("plan", own, CLOSE, "solid"))
    if np.isfinite(plan.step_bound_kw).any():
        curves.append(("least possible in each step alone", plan.step_bound_kw, LINE, "dot"))
    return curves


def switch_figure(problem: HorizonProblem, plan: HorizonPlan, times: Times) -> Figure:
    """States of the switches that are operated, and losses, over time, for paper."""
    moving = _moving(problem, plan)
    figure = Figure(figsize=(10.0, 3.4 + 0.22 * max(len(moving), 1)), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1, height_ratios=[2.4, 0.22 * max(len(moving), 1) + 0.5])
    steps = np.arange(problem.n_steps + 1)
    for name, loss, colour, dash in _curves(problem, plan):
        style = {"solid": "-", "dash": "--", "dot": ":"}[dash]
        top.step(steps, np.append(loss, loss[-1]), where="post", label=name, color=colour, linestyle=style)
    top.set_ylabel("loss [kW]", color=LINE)
    top.legend(frameon=False, labelcolor=INK, fontsize=8)
    top.grid(color=PALE)
    states = np.stack([c.closed[moving] for c in plan.configurations], axis=1)
    if len(moving):
        bottom.pcolormesh(
            steps, np.arange(len(moving) + 1), states[::-1], cmap=ListedColormap([OPEN, CLOSE]), vmin=0, vmax=1
        )
        names = [str(problem.network.branch_ids[e]) for e in moving[::-1]]
        bottom.set_yticks(np.arange(len(moving)) + 0.5, names, fontsize=7)
    else:
        bottom.text(0.5, 0.5, "no switch is operated", ha="center", transform=bottom.transAxes)
    ticks = np.unique(np.linspace(0, problem.n_steps - 1, min(problem.n_steps, 8)).astype(int))
    for axes in (top, bottom):
        axes.set_xlim(0, problem.n_steps)
        axes.set_xticks(ticks, [str(times[t])[:16].replace("T", " ") for t in ticks], fontsize=7)
        axes.tick_params(colors=LINE)
    bottom.set_ylabel("switch (blue closed, orange open)", color=LINE, fontsize=8)
    return figure


def switch_plot(problem: HorizonProblem, plan: HorizonPlan, times: Times) -> go.Figure:
    """The same for the screen."""
    moving = _moving(problem, plan)
    # A step lasts until the next one; the last one has an end of its own.
    end = times[-1] + np.timedelta64(round(3600 * problem.hours[-1]), "s")
    stamps = [str(time) for time in (*times, end)]
    figure = go.Figure(layout={"template": None})
    for name, loss, colour, dash in _curves(problem, plan):
        values = [float(v) if np.isfinite(v) else None for v in loss]
        line = {"color": colour, "dash": dash, "shape": "hv"}
        figure.add_scatter(x=stamps, y=[*values, values[-1]], name=name, mode="lines", line=line, yaxis="y")
    states = np.stack([c.closed[moving] for c in plan.configurations], axis=1)
    words = [
        [f"{time}: {'closed' if is_closed else 'open'}" for time, is_closed in zip(times, row, strict=True)]
        for row in states
    ]
    figure.add_heatmap(
        x=stamps,
        y=[escaped(f"branch {problem.network.branch_ids[e]}") for e in moving],
        z=states.astype(int).tolist(),
        text=words,
        hovertemplate="%{y}, %{text}<extra></extra>",
        colorscale=[[0, OPEN], [1, CLOSE]],
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=1,
        ygap=1,
        yaxis="y2",
    )
    share = min(0.75, 0.25 + 0.02 * len(moving))
    figure.update_layout(
        height=380 + 18 * len(moving),
        margin={"l": 90, "r": 20, "t": 20, "b": 60},
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"color": INK, "size": 12},
        legend={"orientation": "h", "y": 1.08, "x": 0},
        xaxis={"gridcolor": PALE, "anchor": "y2"},
        yaxis={"domain": [share + 0.05, 1], "title": {"text": "loss [kW]"}, "gridcolor": PALE, "rangemode": "tozero"},
        yaxis2={"domain": [0, share], "type": "category", "autorange": "reversed"},
    )
    return figure


def write_horizon_report(
    path: Path, problem: HorizonProblem, plan: HorizonPlan, times: Times, origin: Origin = UNKNOWN_ORIGIN
) -> None:
    """Write the plan as one self-contained HTML file; without a plan the page says why there is none."""
    net = problem.network
    answer = horizon_to_dict(problem, plan, times)
    span = f"{times[0]} on, {problem.n_steps} steps of {problem.hours[0]:g} h"
    sections = [
        f"<header><h1>Switching plan for {escaped(net.title or net.name)}</h1><p>{escaped(net.name)} · {net.n_bus} "
        f"buses, {net.n_branch} branches, {net.n_loops} loops · {escaped(span)}</p></header>",
        warnings_html(origin),
        f'<section class="{"verdict" if plan.configurations else "verdict none"}"><h2>'
        f"{escaped(_proof(plan, origin))}</h2>"
        f"<p>{escaped(plan.message)}</p><p class=note>status: {plan.status.value} · certificate: "
        f"{plan.certificate.value}</p></section>",
        "<section><h2>Energy lost</h2>"
        + table(("", "energy lost", "operations", "saved by the plan"), _comparison(problem, plan), (1, 2, 3))
        + "</section>",
    ]
    if plan.configurations:
        plot = plot_div(switch_plot(problem, plan, times), "switches")
        drawings = [("states of the switches over time", switch_figure(problem, plan, times))]
        sections.append(
            "<section><h2>Switches over time</h2><p class=note>Only switches that the plan operates; "
            "blue is closed, orange is open.</p>" + figures(plot, drawings, vector=True) + "</section>"
        )
        days = [(d["date"], f"{number(d['energy_kwh'], 5)} kWh", str(d["operations"])) for d in answer["days"]]
        sections.append(
            "<section><h2>Days</h2>" + table(("day", "energy lost", "operations"), days, (1, 2)) + "</section>"
        )
        moves = [
            (s["time"], ", ".join(map(str, s["closed"])), ", ".join(map(str, s["opened"])))
            for s in answer["plan"]
            if s["operations"]
        ]
        sections.append("<section><h2>Operations</h2>" + table(("time", "close", "open"), moves) + "</section>")
        if plan.settings:
            head, rows = _controls_over_time(problem, plan, times)
            sections.append(
                "<section><h2>Controls</h2><p class=note>Steps at which a setting changes.</p>"
                + table(tuple(head), rows, tuple(range(1, len(head))))
                + "</section>"
            )
    facts = [
        ("Cost of an operation", f"{number(problem.switching_cost)} kWh" if problem.switching_cost else "none"),
        ("Cap on operations", "none" if problem.max_operations is None else str(problem.max_operations)),
        ("Cap on operations of one switch", _shown(problem.max_operations_per_switch, "")),
        ("Rest of capacitors, of stepped taps", f"{problem.capacitor_hours:g} h, {problem.tap_hours:g} h"),
        ("Candidates, rounds, nodes", f"{plan.candidates}, {plan.rounds}, {plan.nodes}"),
        *((f"Time: {stage}", f"{seconds:.3f} s") for stage, seconds in plan.stage_times_s.items()),
        ("Time: total", f"{plan.solve_time_s:.3f} s"),
    ]
    sections.append(f"<section><h2>Run</h2>{table((), facts, kind='facts')}</section>")
    style = files("learnopt.report.kit").joinpath("report.css").read_text(encoding="utf-8")
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{SAFE}\n'
        f"<title>Switching plan for {escaped(net.title or net.name)}</title>\n<style>\n{style}</style>\n"
        f"{plotly_script()}\n</head>\n<body>\n<main>\n" + "\n".join(sections) + "\n</main>\n</body>\n</html>\n"
    )
    write_atomically(path, lambda partial: partial.write_text(page, encoding="utf-8"))
