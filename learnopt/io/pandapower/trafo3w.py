"""Three-winding transformers of a pandapower net as three two-winding ones that meet at a star point."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.io.pandapower.tables import Element, Tables

SIDES = ("hv", "mv", "lv")
_PAIRS = ((0, 1), (1, 2), (0, 2))
"""Sides that each short-circuit voltage of the table is measured between, at the smaller of their powers."""
_TAP = ("tap_pos", "tap_neutral", "tap_step_percent", "tap_step_degree", "tap_changer_type", "tap_phase_shifter")


def star_point(index: Any) -> str:
    """The bus that stands for the star point of a transformer."""
    return f"trafo3w {index}"


def star_legs(tables: Tables) -> Element:
    r"""The legs as rows of two-winding transformers ``0 hv``, ``0 mv``, ``0 lv`` ...

    The first leads from the high voltage to the star point, at the same voltage, the others from there. With
    :math:`z_{ab}` between two sides, a leg has :math:`z_a = (z_{ab} + z_{ac} - z_{bc}) / 2`, resistances and reactances
    apart. No-load losses are at the high side, as in pandapower.

    Raises
    ------
    UnsupportedError
        If a leg has a negative impedance, or a tap changer stands at the star point.
    """
    source = tables["trafo3w"]
    power = np.array([source.numbers(f"sn_{side}_mva", low=1e-9) for side in SIDES])
    vk = np.array([source.numbers(f"vk_{side}_percent", low=0.0) for side in SIDES])
    vkr = np.array([source.numbers(f"vkr_{side}_percent", low=0.0) for side in SIDES])
    smaller = np.array([np.minimum(power[a], power[b]) for a, b in _PAIRS])
    with np.errstate(invalid="ignore"):
        r = _star(vkr / smaller)
        x = _star(np.sqrt(np.maximum(vk**2 - vkr**2, 0.0)) / smaller)
    in_service = source.flags("in_service", True)
    at_star = source.flags("tap_at_star_point", False, empty=True) & in_service
    for k, name in enumerate(source.names()):
        if in_service[k] and ((r[:, k] < 0).any() or (x[:, k] < 0).any()):
            raise UnsupportedError(f"{tables.subject}: {name} has a leg of negative impedance: it is not modelled")
        if at_star[k]:
            raise UnsupportedError(f"{tables.subject}: the tap changer at the star point of {name} is not modelled")
    columns: dict[str, list[Any]] = {}
    index = []
    buses = {side: source.references(f"{side}_bus", tables["bus"]) for side in SIDES}
    sides = source.texts("tap_side")
    for k, i in enumerate(source.index):
        for s, side in enumerate(SIDES):
            index.append(f"{i} {side}")
            terminal, star = buses[side][k], star_point(i)
            row = {
                "name": source.texts("name")[k],
                "hv_bus": terminal if side == "hv" else star,
                "lv_bus": star if side == "hv" else terminal,
                "sn_mva": power[s, k],
                "vn_hv_kv": _cell(source, "vn_hv_kv", k),
                "vn_lv_kv": _cell(source, f"vn_{side}_kv", k),
                "vk_percent": float(np.hypot(r[s, k], x[s, k]) * power[s, k]),
                "vkr_percent": float(r[s, k] * power[s, k]),
                "pfe_kw": _cell(source, "pfe_kw", k, 0.0) if side == "hv" else 0.0,
                "i0_percent": _cell(source, "i0_percent", k, 0.0) if side == "hv" else 0.0,
                "shift_degree": 0.0 if side == "hv" else _cell(source, f"shift_{side}_degree", k, 0.0),
                "in_service": bool(in_service[k]),
                "tap_dependency_table": _cell(source, "tap_dependency_table", k),
                "tap_side": ("hv" if side == "hv" else "lv") if sides[k] == side else None,
            }
            row |= {column: _cell(source, column, k) for column in _TAP if column in source}
            for column, value in row.items():
                columns.setdefault(column, []).append(value)
    return Element("trafo3w", index, columns, source.bad)


def _star(pair: np.ndarray) -> np.ndarray:
    """Legs of the star from the values between pairs of sides, shape (3, n)."""
    high_middle, middle_low, high_low = pair
    return 0.5 * np.array(
        [high_middle + high_low - middle_low, high_middle + middle_low - high_low, middle_low + high_low - high_middle]
    )


def _cell(element: Element, column: str, row: int, default: Any = None) -> Any:
    return element.columns[column][row] if column in element else default
