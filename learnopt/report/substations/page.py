"""The report of ``plan substations --report``: what to build, where, for how much, and what is proven."""

from __future__ import annotations

from pathlib import Path

from learnopt.io.files import write_text
from learnopt.network.expansion import ExpansionProblem
from learnopt.report.kit.numbers import escaped, number, percent
from learnopt.report.kit.page import page, table, tiles
from learnopt.report.kit.sheet import pictures
from learnopt.report.substations.figure import map_keys, map_sheet
from learnopt.report.substations.text import ac_sentence, route_rows, substation_rows
from learnopt.studies.substations.plan import ExpansionResult, stage_loss
from learnopt.wording import counted

"""Largest map drawn as SVG on paper."""


def write_plan_report(path: Path, problem: ExpansionProblem, result: ExpansionResult) -> None:
    """Write the report of a plan as one self-contained HTML file; without a plan the page says why there is none."""
    sections = [
        _header(problem),
        _tiles(problem, result),
        _verdict(result),
        _map(problem, result),
        _substations(problem, result),
        _lines(problem, result),
        _stages(problem, result),
        _model(problem, result),
    ]
    write_text(path, page(f"Plan of {problem.title or problem.name}", sections))


def _header(problem: ExpansionProblem) -> str:
    about = (
        f"{counted(len(problem.sites), 'site')}, {counted(len(problem.demand_ids), 'demand')}, "
        f"{counted(len(problem.routes), 'route')}, "
        f"{counted(len(problem.stages), 'stage')}, {problem.kv:g} kV"
    )
    return f"<header><h1>Plan of {escaped(problem.title or problem.name)}</h1><p>{escaped(about)}</p></header>"


def _tiles(problem: ExpansionProblem, result: ExpansionResult) -> str:
    if result.costs is None or result.plan is None:
        return ""
    costs, money = result.costs, problem.currency
    gap = "" if result.gap is None else f"gap {percent(result.gap)}"
    return tiles(
        [
            ("total cost", f"{number(costs.total, 5)} {money}", gap),
            ("substations", str(len(result.plan.substations)), f"{number(costs.substation_fixed, 4)} {money} fixed"),
            ("lines", str(len(result.plan.lines)), f"{number(costs.feeder_fixed, 4)} {money} fixed"),
            ("length", f"{number(sum(row['length_km'] for row in route_rows(problem, result)))} km", ""),
            ("computing time", f"{result.solve_time_s:.2f} s", result.engine_version),
        ]
    )


def _verdict(result: ExpansionResult) -> str:
    kind = "verdict" if result.plan is not None else "verdict none"
    sentences = "".join(f"<p>{escaped(sentence)}</p>" for sentence in (result.message, *result.conflicts))
    return f'<section class="{kind}"><h2>{escaped(result.status.value.replace("_", " "))}</h2>{sentences}</section>'


def _map(problem: ExpansionProblem, result: ExpansionResult) -> str:
    hint = "Width grows with the power, colour is the line type, pale routes are not built, dashed lines are reserves."
    return (
        f'<section><h2>Map</h2><p class="note lead">{hint}</p>'
        + pictures([map_sheet(problem, result.plan)], map_keys(problem, result.plan))
        + "</section>"
    )


def _substations(problem: ExpansionProblem, result: ExpansionResult) -> str:
    rows = [
        (
            str(row["site"]),
            row["size"],
            row["stage"],
            ", ".join(number(mva) for mva in row["delivered_mva"]),
            number(row["cost"], 6),
        )
        for row in substation_rows(problem, result)
    ]
    head = ("site", "size", "stage", "delivers MVA, by stage", f"price {problem.currency}")
    return f"<section><h2>Substations</h2>{table(head, rows, (4,))}</section>" if rows else ""


def _lines(problem: ExpansionProblem, result: ExpansionResult) -> str:
    rows = [
        (
            str(row["route"]),
            f"{row['from']} – {row['to']}",
            row["line_type"],
            number(row["length_km"]),
            row["stage"],
            "reserve" if row["reserve"] else number(row["max_mva"]),
            f"{100 * row['loading']:.0f} %",
            number(row["cost"], 6),
        )
        for row in route_rows(problem, result)
    ]
    head = ("route", "nodes", "line", "km", "stage", "largest MVA", "loading", f"price {problem.currency}")
    return f"<section><h2>Lines</h2>{table(head, rows, (3, 5, 6, 7))}</section>" if rows else ""


def _stages(problem: ExpansionProblem, result: ExpansionResult) -> str:
    if result.plan is None:
        return ""
    parts = []
    ids = problem.node_ids
    for t, stage in enumerate(problem.stages):
        loss, evaluation = stage_loss(problem, result.plan, t), result.evaluations[t]
        sentences = [ac_sentence(evaluation)]
        if evaluation is not None:
            sentences += evaluation.violations[:20]
        limit = "" if problem.loss_limit_percent is None else f", limit {number(loss.limit_mw)} MW"
        tangent = "" if loss.tangent_mw is None else f"; by the tangent of eq. (7) {number(loss.tangent_mw)} MW"
        sentences.append(f"Loss of the plan: {number(loss.quadratic_mw)} MW{tangent}{limit}")
        feeds: dict[int, list[str]] = {}
        for j, shares in result.plan.sources(problem, t).items():
            for i, mva in shares.items():
                feeds.setdefault(i, []).append(f"{ids[j]} ({number(mva)} MVA)")
        sentences += [f"Site {ids[i]} feeds demands {', '.join(fed)}" for i, fed in sorted(feeds.items())]
        listed = "".join(f"<p>{escaped(sentence)}.</p>" for sentence in sentences)
        parts.append(f"<h3>{escaped(stage.name)}: {number(problem.total_mva(t))} MVA</h3>{listed}")
    return f"<section><h2>Stages and AC check</h2>{''.join(parts)}</section>"


def _model(problem: ExpansionProblem, result: ExpansionResult) -> str:
    costs, money = result.costs, problem.currency
    rows = [("Source", problem.source or "not stated")]
    if costs is not None:
        rows += [
            ("Substations, fixed and variable cost", _pair(costs.substation_fixed, costs.substation_variable, money)),
            ("Lines, fixed and variable cost", _pair(costs.feeder_fixed, costs.feeder_variable, money)),
        ]
    if result.dual_bound is not None:
        rows.append(("Proven lower bound of the cost", f"{number(result.dual_bound, 7)} {money}"))
    yes = {True: "yes", False: "no"}
    rows += [
        ("Radial plan asked for", yes[problem.radial]),
        ("N-1 of a transformer asked for", yes[problem.n_minus_1]),
        ("Variables, of these integer, constraints", f"{result.variables}, {result.integers}, {result.constraints}"),
        ("Tangents, rounds, nodes", f"{result.tangents}, {result.rounds}, {result.nodes}"),
    ]
    return f"<section><h2>Problem and proof</h2>{table((), rows, kind='facts')}</section>"


def _pair(fixed: float, variable: float, money: str) -> str:
    return f"{number(fixed, 6)} {money}, {number(variable, 6)} {money}"
