"""Savings over a year as JSON and for the terminal: energy, money, CO2, proof and operations of each strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Group, RenderableType

from learnopt.errors import DataError
from learnopt.network import Certificate
from learnopt.network.held import held_to_dicts
from learnopt.network.names import labels, open_names
from learnopt.report.configuration.text import UNKNOWN_ORIGIN
from learnopt.report.kit.numbers import finite, moment, number, percent
from learnopt.report.kit.origin import EQUIVALENT, origin_to_dict, with_origin
from learnopt.report.kit.terminal import Listing, Paragraph, paragraphs
from learnopt.studies.configuration.isolation import isolation_in_words
from learnopt.studies.inspection.reconcile import Origin
from learnopt.studies.savings import Savings, SavingsProblem, Strategy
from learnopt.wording import counted

WORDS = {
    "present": "present",
    "static": "one configuration",
    "seasonal": "one per {period}",
    "hourly": "one per step",
}


@dataclass(frozen=True)
class Factors:
    """What a MWh of losses stands for; both depend on place and year, so neither has a default.

    Parameters
    ----------
    price_per_mwh
        Cost of a MWh lost, None = not asked for.
    currency
        Its unit.
    co2_kg_per_mwh
        Emission of a MWh generated [kg], None = not asked for.
    """

    price_per_mwh: float | None = None
    currency: str = "EUR"
    co2_kg_per_mwh: float | None = None

    def __post_init__(self) -> None:
        given = (("price", self.price_per_mwh, f"{self.currency} per MWh"), ("co2", self.co2_kg_per_mwh, "kg per MWh"))
        bad = [
            f"{name} = {value} must be a finite number >= 0 [{unit}]"
            for name, value, unit in given
            if value is not None and not (math.isfinite(value) and value >= 0)
        ]
        if bad:
            raise DataError("factors", bad)

    def cost(self, energy_mwh: float | None) -> float | None:
        """Cost of energy lost [currency]."""
        return None if self.price_per_mwh is None or energy_mwh is None else self.price_per_mwh * energy_mwh

    def co2_t(self, energy_mwh: float | None) -> float | None:
        """Emission behind energy lost [t]."""
        return None if self.co2_kg_per_mwh is None or energy_mwh is None else self.co2_kg_per_mwh * energy_mwh / 1e3


def strategy_name(problem: SavingsProblem, strategy: Strategy) -> str:
    """What a strategy is called in tables and pictures."""
    if strategy.name == "hourly" and np.all(problem.hours == 1):
        return "one per hour"
    return WORDS[strategy.name].format(period=problem.period.value)


def savings_to_dict(savings: Savings, factors: Factors, origin: Origin = UNKNOWN_ORIGIN) -> dict[str, Any]:
    """The object that ``savings --json`` prints; strict JSON, null for what is not known."""
    problem, net = savings.problem, savings.problem.network
    hours = problem.hours

    def of(strategy: Strategy) -> dict[str, Any]:
        saved = savings.saved_mwh(strategy)
        before = savings.strategies[0].energy_mwh
        solved = bool(np.isfinite(strategy.loss_kw).any())
        return {
            "name": strategy.name,
            "energy_mwh": strategy.energy_mwh,
            "saved_mwh": saved,
            "saved_share": None if saved is None or not before else saved / before,
            "bound_mwh": strategy.bound_mwh,
            "gap": strategy.gap,
            "cost": factors.cost(strategy.energy_mwh),
            "cost_saved": factors.cost(saved),
            "co2_t": factors.co2_t(strategy.energy_mwh),
            "co2_saved_t": factors.co2_t(saved),
            "operations": strategy.operations,
            "hours_outside_limits": float(hours[~strategy.within_limits].sum()),
            "min_voltage_pu": strategy.min_voltage_pu if solved else None,
            "max_voltage_pu": strategy.max_voltage_pu if solved else None,
            "max_loading": strategy.max_loading if solved and np.isfinite(net.i_max).any() else None,
            "configurations": [
                {
                    "open_branches": net.open_ids(c),
                    "open_branch_names": open_names(net, c),
                    "hours": float(hours[strategy.used == k].sum()),
                }
                for k, c in enumerate(strategy.configurations)
            ],
            "changes": _changes(problem, strategy) if strategy.name in ("static", "seasonal") else None,
        }

    return {
        "case": net.name,
        "steps": problem.n_steps,
        "hours": float(hours.sum()),
        "begin": str(problem.times[0]),
        "end": str(problem.times[-1]),
        "period": problem.period.value,
        "switching_cost_kwh": problem.switching_cost,
        "price_per_mwh": factors.price_per_mwh,
        "currency": factors.currency if factors.price_per_mwh is not None else None,
        "co2_kg_per_mwh": factors.co2_kg_per_mwh,
        "certificate": savings.certificate.value,
        "message": savings.message,
        "held_limits": held_to_dicts(net, problem.limits),
        "isolation": isolation_in_words(problem.of_steps(np.zeros(1, dtype=np.int64))),
        **{key: value for key, value in origin_to_dict(origin).items() if key != "source_tool"},
        "strategies": [of(strategy) for strategy in savings.strategies],
        "months": [
            {"month": month} | {s.name: finite(energy[k]) for s, energy in by_month(savings)[1]}
            for k, month in enumerate(by_month(savings)[0])
        ],
        "representatives": savings.representatives,
        "candidates": savings.candidates,
        "proven_steps": savings.proven_steps,
        "solve_time_s": savings.solve_time_s,
        "stage_times_s": dict(savings.stage_times_s),
    }


def by_month(savings: Savings) -> tuple[list[str], list[tuple[Strategy, np.ndarray]]]:
    """Calendar months, and the energy that each strategy loses in each of them [MWh]."""
    months, label = np.unique(savings.problem.times.astype("datetime64[M]"), return_inverse=True)
    energies = [(s, np.bincount(label, savings.problem.hours * s.loss_kw) / 1e3) for s in savings.strategies]
    return [str(month) for month in months], energies


def _changes(problem: SavingsProblem, strategy: Strategy) -> list[dict[str, Any]]:
    """When which switches are operated."""
    net, before, found = problem.network, problem.present, []
    for t in np.flatnonzero(np.append(True, np.diff(strategy.used) != 0)):
        after = strategy.configurations[strategy.used[t]]
        moved = (after.closed != before.closed) & problem.counted
        if moved.any():
            found.append(
                {
                    "time": str(problem.times[t]),
                    "close": [net.branch_ids[e] for e in np.flatnonzero(moved & after.closed)],
                    "open": [net.branch_ids[e] for e in np.flatnonzero(moved & ~after.closed)],
                    "close_names": [net.branch_names[e] for e in np.flatnonzero(moved & after.closed)],
                    "open_names": [net.branch_names[e] for e in np.flatnonzero(moved & ~after.closed)],
                }
            )
        before = after
    return found


def move_rows(changes: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """When which switches are closed and opened, for people."""
    return [
        (moment(change["time"]), *(labels(change[key], change[f"{key}_names"]) or "–" for key in ("close", "open")))
        for change in changes
    ]


def comparison(savings: Savings, factors: Factors) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table with a column per strategy; what nobody asked for is left out."""
    problem, before = savings.problem, savings.strategies[0].energy_mwh
    head = ["", *(strategy_name(problem, strategy) for strategy in savings.strategies)]
    saved = [None if s.name == "present" else savings.saved_mwh(s) for s in savings.strategies]
    shares = [percent(mwh / before) if mwh is not None and before else "–" for mwh in saved]
    rows = [
        ["lost [MWh]", *(number(s.energy_mwh, 5) for s in savings.strategies)],
        ["saved [MWh]", *(number(mwh) for mwh in saved)],
        ["saved", *shares],
        ["proven least [MWh]", *(number(s.bound_mwh, 5) for s in savings.strategies)],
    ]
    if factors.price_per_mwh is not None:
        rows.append([f"saved [{factors.currency}]", *(number(factors.cost(mwh)) for mwh in saved)])
    if factors.co2_kg_per_mwh is not None:
        rows.append(["saved [t CO2]", *(number(factors.co2_t(mwh), 3) for mwh in saved)])
    rows.append(["operations", *(str(s.operations) for s in savings.strategies)])
    outside = (float(problem.hours[~s.within_limits].sum()) for s in savings.strategies)
    rows.append(["hours outside limits", *(f"{hours:g}" for hours in outside)])
    return head, rows


def sentences(savings: Savings, factors: Factors, origin: Origin = UNKNOWN_ORIGIN) -> list[str]:
    """What the study says, in words."""
    problem = savings.problem
    present, static, _, hourly = savings.strategies
    saved, best = savings.saved_mwh(static), savings.saved_mwh(hourly)
    words = [f"All of this is about {EQUIVALENT}: the file is unbalanced."] if origin.equivalent else []
    if present.energy_mwh is None or saved is None or best is None:
        words.append("The present configuration has no power flow in some steps: there is nothing to compare with.")
    else:
        words.append(
            f"One configuration for all {float(problem.hours.sum()):g} hours saves {number(saved)} MWh of "
            f"{number(present.energy_mwh)} MWh lost ({percent(saved / max(present.energy_mwh, 1e-12))}) with "
            f"{counted(static.operations, 'operation')}; switching whenever it helps saves {number(best)} MWh with "
            f"{hourly.operations}."
        )
    for strategy in (static, hourly):
        if strategy.bound_mwh is not None and strategy.gap is not None:
            words.append(
                f"{strategy_name(problem, strategy).capitalize()}: none loses less than {number(strategy.bound_mwh, 5)}"
                f" MWh (AC losses, limits left aside); this is at most {percent(strategy.gap)} above."
            )
    if savings.certificate is Certificate.NONE and not savings.message:
        words.append("Nothing is proven about other choices.")
    if savings.message:
        words.append(savings.message)
    words += isolation_in_words(problem.of_steps(np.zeros(1, dtype=np.int64)))
    stated = []
    if factors.price_per_mwh is not None:
        stated.append(f"{factors.price_per_mwh:g} {factors.currency} per MWh")
    if factors.co2_kg_per_mwh is not None:
        stated.append(f"{factors.co2_kg_per_mwh:g} kg CO2 per MWh")
    if stated:
        words.append(f"Factors as given: {', '.join(stated)}.")
    return words


def savings_table(savings: Savings, factors: Factors, origin: Origin = UNKNOWN_ORIGIN) -> RenderableType:
    """A summary for the terminal."""
    head, rows = comparison(savings, factors)
    net, problem = savings.problem.network, savings.problem
    title = f"{net.name}: {float(problem.hours.sum()):g} hours from {moment(problem.times[0])}"
    table = Listing(head, rows, range(1, len(head)), title)
    parts: list[RenderableType] = [table, *paragraphs(sentences(savings, factors, origin))]
    for strategy in savings.strategies[1:3]:
        changes = _changes(problem, strategy)
        if changes and (strategy.name == "static" or len(changes) > 1):
            parts.append(Listing(("from", "close", "open"), move_rows(changes), title=strategy_name(problem, strategy)))
    effort = (
        f"{counted(savings.representatives, 'representative')}, {counted(savings.candidates, 'candidate')}, "
        f"{counted(savings.proven_steps, 'step')} "
        f"proven one by one, {savings.solve_time_s:.1f} s"
    )
    parts.append(Paragraph(effort, "dim"))
    return with_origin(origin, Group(*parts))
