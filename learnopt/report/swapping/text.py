"""Swapped phases as JSON, as a table for the terminal and as a page."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType

from learnopt.report.kit.numbers import finite, number
from learnopt.report.kit.page import page, table
from learnopt.report.kit.terminal import Listing, paragraphs
from learnopt.studies.swapping.study import Balance, Swapping

HEAD = ("lateral", "at bus", "load [kW]", "phase", "to phase")
FIGURES = ("", "before", "after")


def swapping_to_dict(found: Swapping) -> dict[str, Any]:
    """The object that ``plan phases --json`` prints."""
    return {
        "case": found.problem.network.name,
        "max_swaps": found.max_swaps,
        "laterals": len(found.laterals),
        "certificate": found.certificate.value,
        "swaps": [
            {
                "element": one.lateral.element,
                "bus": one.lateral.bus,
                "load_kw": finite(one.lateral.load_kw),
                "phase": one.lateral.phase,
                "to_phase": one.to_phase,
            }
            for one in found.swaps
        ],
        "before": _balance_to_dict(found.before),
        "after": _balance_to_dict(found.after),
        "message": found.message,
        "power_flows": found.solved,
        "solve_time_s": finite(found.solve_time_s),
    }


def _balance_to_dict(one: Balance) -> dict[str, Any]:
    return {
        "loss_kw": finite(one.loss_kw),
        "min_voltage_pu": finite(one.evaluation.min_voltage_pu),
        "max_unbalance": finite(one.unbalance),
        "head_kw": [finite(kw) for kw in one.head_kw],
        "max_return_a": finite(one.return_a),
        "violations": list(one.evaluation.violations),
    }


def figures(found: Swapping) -> list[tuple[str, str, str]]:
    """Rows of before and after."""
    states = (found.before, found.after)
    rows = [
        ("loss", *(f"{number(one.loss_kw)} kW" for one in states)),
        ("lowest voltage of a phase", *(f"{one.evaluation.min_voltage_pu:.4f} pu" for one in states)),
        ("voltage unbalance", *(f"{100 * one.unbalance:.2f} %" for one in states)),
        ("power of phases a b c", *(" / ".join(f"{kw:.5g}" for kw in one.head_kw) + " kW" for one in states)),
        ("most current by neutral or earth", *(f"{one.return_a:.4g} A" for one in states)),
        ("limits violated", *(str(len(one.evaluation.violations)) for one in states)),
    ]
    return [(name, before, after) for name, before, after in rows]


def moved(found: Swapping) -> list[tuple[str, ...]]:
    """A row for each lateral that is moved."""
    return [
        (one.lateral.element, one.lateral.bus, number(one.lateral.load_kw), one.lateral.phase, one.to_phase)
        for one in found.swaps
    ]


def swapping_table(found: Swapping) -> RenderableType:
    """What ``plan phases`` prints."""
    title = f"{found.problem.network.name}: {len(found.swaps)} of {len(found.laterals)} laterals moved"
    parts: list[RenderableType] = [Listing(FIGURES, figures(found), title=title)]
    if found.swaps:
        parts.append(Listing(HEAD, moved(found), (2,), title="laterals to be connected to another phase"))
    return Group(*parts, *paragraphs([found.message]))


def swapping_page(found: Swapping) -> str:
    """A self-contained page."""
    return page(f"{found.problem.network.name}: phases of laterals", swapping_sections(found))


def swapping_sections(found: Swapping) -> list[str]:
    """Its tables."""
    return [table(FIGURES, figures(found), (1, 2)), table(HEAD, moved(found), (2,)), f"<p>{found.message}</p>"]
