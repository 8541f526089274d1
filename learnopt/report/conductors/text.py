"""Plans of conductors as JSON, as a table and as a bill of materials."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.io.files import safe_cell, write_atomically
from learnopt.network.conductors import ConductorPlan, ConductorProblem, Mode
from learnopt.network.names import open_labels
from learnopt.report.kit.numbers import number, percent
from learnopt.report.kit.terminal import Listing
from learnopt.studies.conductors.engine import ConductorResult


def study_to_dict(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> dict[str, Any]:
    """What ``learnopt plan conductors --json`` prints; costs per year."""
    return {
        "case": problem.network.name,
        "currency": problem.costs.currency,
        "scenarios": {mode.value: _scenario(problem, result) for mode, result in results.items()},
    }


def _scenario(problem: ConductorProblem, result: ConductorResult) -> dict[str, Any]:
    net, plan, evaluation = problem.network, result.plan, result.evaluation
    known = plan is not None and evaluation is not None
    return {
        "status": result.status.value,
        "total_cost": result.total_cost,
        "investment_cost": result.investment_cost,
        "energy_cost": result.energy_cost,
        "loss_kw": evaluation.loss_kw if known and evaluation else None,
        "min_voltage_pu": evaluation.min_voltage_pu if known and evaluation else None,
        "open_branches": net.open_ids(plan.configuration) if plan is not None else None,
        "conductors": conductor_names(problem, plan) if plan is not None else None,
        "dual_bound": result.dual_bound,
        "gap": result.gap,
        "violations": list(evaluation.violations) if known and evaluation else [],
        "solve_time_s": result.solve_time_s,
        "message": result.message,
    }


def conductor_names(problem: ConductorProblem, plan: ConductorPlan) -> dict[str, str]:
    """Branch id -> name of its conductor, for branches that have one."""
    net = problem.network
    return {
        str(net.branch_ids[e]): problem.catalogue[plan.conductor[e]].name for e in np.flatnonzero(plan.conductor >= 0)
    }


def benefit(results: Mapping[Mode, ConductorResult], mode: Mode) -> float | None:
    """Cost saved as a share of the base; None where either is not known."""
    base, cost = results.get(Mode.BASE), results[mode].total_cost
    if base is None or base.total_cost is None or cost is None or base.total_cost <= 0:
        return None
    return 1 - cost / base.total_cost


STUDY_HEAD = (
    "scenario",
    "cost a year",
    "investment",
    "energy",
    "benefit",
    "loss kW",
    "lowest pu",
    "open branches",
    "gap",
    "status",
)
NUMERIC = (1, 2, 3, 4, 5, 6, 8)
"""Columns of numbers in :data:`STUDY_HEAD`."""


def study_rows(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> list[tuple[str, ...]]:
    """One row of text per scenario, columns as in :data:`STUDY_HEAD`."""
    rows: list[tuple[str, ...]] = []
    for mode, result in results.items():
        saved, known = benefit(results, mode), result.evaluation
        opened = open_labels(problem.network, result.plan.configuration) if result.plan is not None else []
        rows.append(
            (
                mode.value.replace("_", "-"),
                number(result.total_cost, 6),
                number(result.investment_cost, 6),
                number(result.energy_cost, 6),
                "–" if saved is None else f"{number(100 * saved)} %",
                "–" if known is None else number(known.loss_kw),
                "–" if known is None else f"{known.min_voltage_pu:.4f}",
                ", ".join(opened) or "–",
                "–" if result.gap is None else percent(result.gap),
                result.status.value,
            )
        )
    return rows


def study_table(problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> Listing:
    """The scenarios side by side, for the terminal."""
    title = f"{problem.network.name}, {problem.costs.currency}"
    return Listing(STUDY_HEAD, study_rows(problem, results), NUMERIC, title)


def bill_rows(problem: ConductorProblem, plan: ConductorPlan) -> list[dict[str, Any]]:
    """Bill of materials: one row per conductor in use, thinnest first."""
    rows = []
    for t, conductor in enumerate(problem.catalogue):
        chosen = plan.conductor == t
        if not chosen.any():
            continue
        length = float(problem.length_km[chosen].sum())
        new = chosen & (problem.installed != t)
        rows.append(
            {
                "conductor": conductor.name,
                "branches": int(chosen.sum()),
                "length_km": round(length, 4),
                "replaced_branches": int(new.sum()),
                "replaced_km": round(float(problem.length_km[new].sum()), 4),
                "open_branches": int((chosen & ~plan.configuration.closed).sum()),
                "cost_per_km": round(conductor.cost_per_km, 2),
                "investment": round(conductor.cost_per_km * length, 2),
                "investment_per_year": round(problem.costs.annuity * conductor.cost_per_km * length, 2),
            }
        )
    return rows


def bill_csv(path: Path, problem: ConductorProblem, results: Mapping[Mode, ConductorResult]) -> None:
    """Write the bill of materials of every scenario that has a plan."""
    rows = [
        {"scenario": mode.value, **row, "currency": problem.costs.currency}
        for mode, result in results.items()
        if result.plan is not None
        for row in bill_rows(problem, result.plan)
    ]

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]) if rows else ["scenario"])
            writer.writeheader()
            writer.writerows({key: safe_cell(value) for key, value in row.items()} for row in rows)

    write_atomically(path, write)
