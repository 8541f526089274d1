"""How restorable a network is, as JSON and as a table for the terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType

from learnopt.network.names import label
from learnopt.report.configuration.text import UNKNOWN_ORIGIN
from learnopt.report.kit.numbers import finite, number
from learnopt.report.kit.origin import origin_to_dict, with_origin
from learnopt.report.kit.terminal import Listing, paragraphs
from learnopt.studies.inspection.reconcile import Origin
from learnopt.studies.restoration.table import Restorability, Row

HEAD = ("fault", "lost [kW]", "without supply [kW]", "back [%]", "operations", "loss [kW]", "why not all", "proof")
NUMERIC = (1, 2, 3, 4, 5)
_PROVEN = ("optimal", "infeasible")


def restorability_to_dict(table: Restorability, origin: Origin = UNKNOWN_ORIGIN) -> dict[str, Any]:
    """The object that ``restorability --json`` prints; null for what is not known."""
    return {
        "case": table.problem.network.name,
        **origin_to_dict(origin),
        "faults": len(table.rows),
        "fully_restorable": table.fully_restorable,
        "proven": sum(row.status in _PROVEN for row in table.rows),
        "mean_unserved_kw": finite(table.mean_unserved_kw),
        "indices": _indices_to_dict(table),
        "rows": [
            {key: finite(value) if isinstance(value, float) else value for key, value in asdict(row).items()}
            for row in table.rows
        ],
    }


def _indices_to_dict(table: Restorability) -> dict[str, Any] | None:
    found = table.indices
    if found is None:
        return None
    return {
        "by": "customers" if found.by_customers else "load",
        "saifi": finite(found.saifi),
        "saidi_hours": finite(found.saidi_h),
        "caidi_hours": finite(found.caidi_h),
        "eens_kwh": finite(found.eens_kwh),
    }


def restorability_rows(rows: list[Row]) -> list[list[str]]:
    """Rows for people."""
    return [
        [
            f"{row.kind} {label(row.id, row.name)}",
            number(row.lost_kw),
            number(row.unserved_kw),
            "–" if row.share is None else f"{100 * row.share:.0f}",
            "–" if row.operations is None else str(row.operations),
            number(row.loss_kw),
            row.binding or "–",
            row.certificate if row.status in _PROVEN else f"{row.certificate}, not all",
        ]
        for row in rows
    ]


def restorability_sentences(table: Restorability) -> list[str]:
    """What the table comes to."""
    n, mean = len(table.rows), table.mean_unserved_kw
    said = [f"After {table.fully_restorable} of {n} single faults everything that is not faulted has supply again."]
    if mean is not None:
        said.append(f"{number(mean)} kW are without supply after a fault, all faults being equally likely.")
    if (found := table.indices) is not None:
        names = ("SAIFI", "SAIDI") if found.by_customers else ("ASIFI, by load", "ASIDI")
        said.append(
            f"A year with these failures: {found.saifi:.3f} interruptions ({names[0]}), {found.saidi_h:.3f} hours "
            f"({names[1]}), {number(found.eens_kwh)} kWh not supplied."
        )
    return said


def restorability_table(table: Restorability, origin: Origin = UNKNOWN_ORIGIN) -> RenderableType:
    """What the terminal shows: the worst faults first."""
    listing = Listing(
        HEAD, restorability_rows(table.worst_first), NUMERIC, f"{table.problem.network.name}: single faults"
    )
    return with_origin(origin, Group(listing, *paragraphs(restorability_sentences(table))))
