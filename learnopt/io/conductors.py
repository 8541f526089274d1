"""Conductor catalogues and cost files (keys and sources: ``datasets/README.md``)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from learnopt.errors import DataError
from learnopt.io.case_json import describe_validation_error, read_json
from learnopt.io.controls_json import Number
from learnopt.io.resources import data_root
from learnopt.io.violations import Rule, Violations
from learnopt.network.conductors import Conductor, EnergyCosts

CATALOGUE, COSTS = "acsr20.json", "costs.json"
_KEPT = ("name", "r_ohm_per_km", "x_ohm_per_km", "ampacity_a")


class _ConductorRecord(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str
    r_ohm_per_km: Number
    x_ohm_per_km: Number
    ampacity_a: Number
    al_kg_per_km: Number | None = None
    steel_kg_per_km: Number | None = None
    cost_per_km: Number | None = None


class _CostRecord(BaseModel):
    """A misspelt price would be a price of zero, so unknown keys are refused; the first ones are for people."""

    model_config = ConfigDict(extra="forbid")

    name: Any = None
    title: Any = None
    source: Any = None
    units: Any = None
    notes: Any = None
    currency: str
    energy_price_per_kwh: Number
    loss_factor: Number
    hours_per_year: Number = 8760.0
    interest_rate: Number
    lifetime_years: Number
    aluminium_price_per_kg: Number = 0.0
    steel_price_per_kg: Number = 0.0
    phases: Number = 3.0
    conductors: list[_ConductorRecord] | None = None


_NOT_NEGATIVE, _POSITIVE = Rule(" >= 0", 0.0), Rule(" > 0", 0.0, above=True)
_PRICES = {
    "energy_price_per_kwh": _NOT_NEGATIVE,
    "loss_factor": Rule(" above 0 and at most 1", 0.0, 1.0, above=True),
    "hours_per_year": Rule(" above 0 and at most 8784", 0.0, 8784.0, above=True),
    "interest_rate": Rule(" from 0 to below 1 (0.08 is 8 %)", 0.0, math.nextafter(1, 0)),
    "lifetime_years": _POSITIVE,
    "aluminium_price_per_kg": _NOT_NEGATIVE,
    "steel_price_per_kg": _NOT_NEGATIVE,
    "phases": _POSITIVE,
}
_CONDUCTOR = dict.fromkeys(("r_ohm_per_km", "x_ohm_per_km", "ampacity_a"), _POSITIVE) | dict.fromkeys(
    ("al_kg_per_km", "steel_kg_per_km", "cost_per_km"), _NOT_NEGATIVE
)


def default_costs() -> Path:
    """The cost file used where none is given: a proxy from conductor masses."""
    return data_root("conductors") / COSTS


def read_conductors(costs: Path | None = None) -> tuple[tuple[Conductor, ...], EnergyCosts]:
    """Catalogue, thinnest conductor first, and prices.

    Parameters
    ----------
    costs
        Cost file; its ``conductors`` replace the catalogue of learnopt where it has them.

    Raises
    ------
    DataError
        With every violation at once.
    """
    path = costs or default_costs()
    prices = _validated(path, _CostRecord)
    table = prices.conductors
    if table is None:
        table = _validated(data_root("conductors") / CATALOGUE, _CatalogueRecord).conductors
    wrong = Violations(str(path))
    wrong.numbers(prices, "", _PRICES)
    wrong.require(bool(table), "conductors is empty: give at least one, or leave the key out")
    for record in table:
        what = f"conductor {record.name!r}"
        wrong.numbers(record, what, _CONDUCTOR)
        if record.cost_per_km is None and (record.al_kg_per_km is None or record.steel_kg_per_km is None):
            wrong.add(f"{what}: give cost_per_km, or al_kg_per_km and steel_kg_per_km")
    wrong.unique("conductor", (record.name for record in table))
    wrong.stop()
    catalogue = [
        Conductor(**{key: getattr(record, key) for key in _KEPT}, cost_per_km=_cost_per_km(record, prices))
        for record in table
    ]
    energy = EnergyCosts(
        prices.currency,
        prices.energy_price_per_kwh,
        prices.loss_factor,
        prices.hours_per_year,
        prices.interest_rate,
        prices.lifetime_years,
    )
    return tuple(sorted(catalogue, key=lambda c: -c.r_ohm_per_km)), energy


class _CatalogueRecord(BaseModel):
    model_config = ConfigDict(extra="ignore")

    conductors: list[_ConductorRecord]


def _validated(path: Path, kind: Any) -> Any:
    raw = read_json(path)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise DataError(str(path), describe_validation_error(error, raw)) from None


def _cost_per_km(record: _ConductorRecord, prices: _CostRecord) -> float:
    if record.cost_per_km is not None:
        return record.cost_per_km
    aluminium, steel = record.al_kg_per_km or 0.0, record.steel_kg_per_km or 0.0
    return prices.phases * (prices.aluminium_price_per_kg * aluminium + prices.steel_price_per_kg * steel)
