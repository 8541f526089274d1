"""A plan as JSON, as a table for the terminal and as a bill of materials. Needs no matplotlib."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType

from learnopt.io.files import safe_cell
from learnopt.network import Evaluation
from learnopt.network.expansion import ExpansionProblem
from learnopt.report.kit.numbers import finite, number, percent
from learnopt.report.kit.terminal import Listing, Paragraph, paragraphs
from learnopt.studies.substations.plan import ExpansionResult, line_price, stage_loss
from learnopt.wording import counted

_MODEL = ("variables", "integers", "constraints", "tangents", "rounds", "nodes")
"""What is told of the model that was solved."""


def plan_to_dict(problem: ExpansionProblem, result: ExpansionResult) -> dict[str, Any]:
    """The object that ``plan substations --json`` prints; null and empty lists where there is no plan."""
    costs, proven = result.costs, result.dual_bound
    return {
        "case": problem.name,
        "status": result.status.value,
        "message": result.message,
        "conflicts": list(result.conflicts),
        "currency": problem.currency,
        "total_cost": None if costs is None else costs.total,
        "dual_bound": proven,
        "gap": result.gap,
        "costs": None if costs is None else asdict(costs),
        "substations": list(substation_rows(problem, result)),
        "routes": list(route_rows(problem, result)),
        "flows": list(flow_rows(problem, result)),
        "stages": list(stage_rows(problem, result)),
        "model": {name: getattr(result, name) for name in _MODEL},
        "engine_version": result.engine_version,
        "solve_time_s": result.solve_time_s,
    }


def substation_rows(problem: ExpansionProblem, result: ExpansionResult) -> Iterator[dict[str, Any]]:
    """Substations of the plan, with the power they deliver in every stage (none before they are built)."""
    if result.plan is None:
        return
    delivered = [result.plan.delivered_mva(problem, t) for t in range(len(problem.stages))]
    for s in result.plan.substations:
        size = problem.sizes[s.size]
        yield {
            "site": problem.sites[s.site].id,
            "size": size.name,
            "capacity_mva": size.capacity_mva,
            "transformers": size.transformers,
            "stage": problem.stages[s.stage].name,
            "cost": size.fixed_cost,
            "delivered_mva": [float(power[s.site]) for power in delivered],
        }


def route_rows(problem: ExpansionProblem, result: ExpansionResult) -> Iterator[dict[str, Any]]:
    """Lines of the plan, with their largest power over the stages."""
    if result.plan is None:
        return
    for line in result.plan.lines:
        route, kind = problem.routes[line.route], problem.line_types[line.line_type]
        power = max((flow.mva for flow in result.plan.flows if flow.route == line.route), default=0.0)
        yield {
            "route": route.id,
            "from": problem.node_ids[route.ends[0]],
            "to": problem.node_ids[route.ends[1]],
            "line_type": kind.name,
            "length_km": route.length_km,
            "capacity_mva": kind.capacity_mva,
            "stage": problem.stages[line.stage].name,
            "cost": line_price(problem, line),
            "max_mva": power,
            "loading": power / kind.capacity_mva,
            "reserve": power == 0.0,
        }


def flow_rows(problem: ExpansionProblem, result: ExpansionResult) -> Iterator[dict[str, Any]]:
    """Power over every line in use in every stage, in its direction."""
    for flow in () if result.plan is None else result.plan.flows:
        yield {
            "stage": problem.stages[flow.stage].name,
            "route": problem.routes[flow.route].id,
            "from": problem.node_ids[flow.tail],
            "to": problem.node_ids[flow.head],
            "mva": flow.mva,
        }


def stage_rows(problem: ExpansionProblem, result: ExpansionResult) -> Iterator[dict[str, Any]]:
    """Demand, loss, transfers and AC check of every stage."""
    if result.plan is None:
        return
    ids = problem.node_ids
    for t, stage in enumerate(problem.stages):
        loss = stage_loss(problem, result.plan, t)
        sources = result.plan.sources(problem, t)
        yield {
            "stage": stage.name,
            "demand_mva": problem.total_mva(t),
            "fixed_factor": stage.fixed_factor,
            "variable_factor": stage.variable_factor,
            "loss": {
                "limit_mw": finite(loss.limit_mw),
                "tangent_mw": loss.tangent_mw,
                "quadratic_mw": loss.quadratic_mw,
            },
            "transfers": [
                {"demand": ids[j], "site": ids[i], "mva": mva}
                for j, parts in sources.items()
                for i, mva in parts.items()
            ],
            "ac": _ac(result.evaluations[t]),
        }


def _ac(evaluation: Evaluation | None) -> dict[str, Any] | None:
    """The AC check of one stage; null where the plan is not radial."""
    if evaluation is None:
        return None
    known = evaluation.converged
    return {
        "converged": known,
        "loss_mw": evaluation.loss_kw / 1e3 if known else None,
        "min_voltage_pu": evaluation.min_voltage_pu if known else None,
        "max_loading": evaluation.max_loading if known else None,
        "violations": list(evaluation.violations),
    }


def ac_sentence(evaluation: Evaluation | None) -> str:
    """What the AC check of a stage says."""
    if evaluation is None:
        return "AC check: not made, the plan is not radial"
    if not evaluation.converged:
        return f"AC check: {evaluation.violations[0]}"
    found = f"{counted(len(evaluation.violations), 'limit')} violated" if evaluation.violations else "within all limits"
    return (
        f"AC check: loss {number(evaluation.loss_kw)} kW, lowest voltage {evaluation.min_voltage_pu:.4f} pu, highest "
        f"loading {100 * evaluation.max_loading:.0f} %, {found}"
    )


def plan_table(problem: ExpansionProblem, result: ExpansionResult) -> RenderableType:
    """The plan for the terminal."""
    headline = f"{problem.title or problem.name}: {result.status.value}. {result.message}"
    parts: list[RenderableType] = [Paragraph(headline), *paragraphs(f"  - {one}" for one in result.conflicts)]
    if result.costs is None:
        return Group(*parts)
    costs = result.costs
    bill = (
        ("substations, fixed", costs.substation_fixed),
        ("substations, variable", costs.substation_variable),
        ("lines, fixed", costs.feeder_fixed),
        ("lines, variable", costs.feeder_variable),
        ("total", costs.total),
        ("proven: no plan costs less than", result.dual_bound),
    )
    money = [(name, number(value, 6)) for name, value in bill]
    substations = [
        (str(row["site"]), row["size"], row["stage"], ", ".join(number(mva) for mva in row["delivered_mva"]))
        for row in substation_rows(problem, result)
    ]
    lines = [
        (
            str(row["route"]),
            row["line_type"],
            number(row["length_km"]),
            row["stage"],
            "reserve" if row["reserve"] else number(row["max_mva"]),
            f"{100 * row['loading']:.0f} %",
        )
        for row in route_rows(problem, result)
    ]
    parts += [
        Listing(("cost", problem.currency), money, (1,), "Costs, present worth"),
        Listing(("site", "size", "stage", "delivers MVA"), substations, title="Substations"),
        Listing(("route", "line", "km", "stage", "largest MVA", "loading"), lines, (2, 4, 5), "Lines"),
    ]
    for t, stage in enumerate(problem.stages):
        parts.append(Paragraph(f"{stage.name}: {ac_sentence(result.evaluations[t])}"))
    if result.gap is not None:
        parts.append(Paragraph(f"gap {percent(result.gap)}, {result.solve_time_s:.2f} s, {result.engine_version}"))
    return Group(*parts)


def bill_of_materials(problem: ExpansionProblem, result: ExpansionResult) -> str:
    """What is bought, as CSV: one row per substation and per line, prices not discounted."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["item", "type", "place", "stage", "quantity", "unit", f"cost_{problem.currency}"])
    for row in substation_rows(problem, result):
        cells = ["substation", row["size"], row["site"], row["stage"], 1, "piece", f"{row['cost']:.12g}"]
        rows.writerow(map(safe_cell, cells))
    for row in route_rows(problem, result):
        length = f"{row['length_km']:.6g}"
        cells = ["line", row["line_type"], row["route"], row["stage"], length, "km", f"{row['cost']:.12g}"]
        rows.writerow(map(safe_cell, cells))
    return text.getvalue()
