"""Tap changers and phase shifters of transformers of a pandapower net."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.io.pandapower.tables import Element, Tables
from learnopt.io.pandapower.trafo3w import star_legs, star_point
from learnopt.network import Floats

_MOST_POSITIONS = 1000
"""A changer with more is none that could be chosen from."""


def tapped(trafo: Element, subject: str, notes: list[str]) -> tuple[Floats, Floats, Floats]:
    """Rated voltages of both sides at the tap in use [kV], and how far the high side leads the low one [degree].

    Ratio and symmetrical changers add a phasor of ``tap_step_percent`` at ``tap_step_degree``; an ideal phase shifter
    only turns the voltage.

    Raises
    ------
    UnsupportedError
        For tap-dependent tables.
    """
    rated = {"hv": trafo.numbers("vn_hv_kv", low=1e-3), "lv": trafo.numbers("vn_lv_kv", low=1e-3)}
    shift = trafo.numbers("shift_degree", 0.0)
    if trafo.flags("tap_dependency_table", False, empty=True).any() or "tap_dependent_impedance" in trafo:
        raise UnsupportedError(
            f"{subject}: trafos with tap-dependent impedance are not modelled: set one impedance each"
        )
    for tap in ("tap", "tap2"):
        if f"{tap}_pos" not in trafo:
            continue
        position, neutral = (trafo.numbers(f"{tap}_{c}", math.nan, empty=True) for c in ("pos", "neutral"))
        steps = np.nan_to_num(position - neutral)
        percent = np.nan_to_num(trafo.numbers(f"{tap}_step_percent", 0.0, empty=True)) / 100
        degree = np.nan_to_num(trafo.numbers(f"{tap}_step_degree", 0.0, empty=True))
        # Before pandapower 3 a changer was one unless it was marked as a phase shifter; since then its type says it.
        if f"{tap}_changer_type" in trafo:
            kinds = trafo.texts(f"{tap}_changer_type")
            acting, ideal = np.isin(kinds, ("Ratio", "Symmetrical")), np.isin(kinds, ("Ideal",))
            idle = ~acting & ~ideal & (steps != 0) & (percent != 0)
            for k in np.flatnonzero(idle).tolist():
                notes.append(
                    f"{trafo.names()[k]}: its tap position has no effect, as in pandapower: no {tap}_changer_type"
                )
        else:
            ideal = trafo.flags(f"{tap}_phase_shifter", False, empty=True)
            acting = ~ideal
        phasor = 1 + np.where(acting, steps * percent, 0.0) * np.exp(1j * np.deg2rad(degree))
        turned = np.where(degree != 0, steps * degree, 2 * np.rad2deg(np.arcsin(np.clip(steps * percent / 2, -1, 1))))
        for side, direction in (("hv", 1), ("lv", -1)):
            here = np.array([value == side for value in trafo.texts(f"{tap}_side")], dtype=bool)
            rated[side] = np.where(here, rated[side] * np.abs(phasor), rated[side])
            shift = shift + direction * np.where(here, np.rad2deg(np.angle(phasor)) + np.where(ideal, turned, 0.0), 0.0)
    return rated["hv"], rated["lv"], shift


def tap_moves(trafo: Element) -> list[dict[int, float]]:
    """By transformer, the voltage behind it at every position over that at the present one; empty without a changer.

    Changers in phase only: ``tap_min``, ``tap_max`` and ``tap_step_percent`` given, and a ``tap_pos`` within.
    """
    moves: list[dict[int, float]] = [{} for _ in range(len(trafo))]
    if "tap_pos" not in trafo:
        return moves
    columns = ("tap_pos", "tap_neutral", "tap_min", "tap_max", "tap_step_percent", "tap_step_degree")
    numbers = np.array(
        [trafo.numbers(c, 0.0 if c == "tap_step_degree" else math.nan, empty=True) for c in columns], dtype=float
    )
    if "tap_changer_type" in trafo:
        acting = np.isin(trafo.texts("tap_changer_type"), ("Ratio", "Symmetrical"))
    else:
        acting = ~trafo.flags("tap_phase_shifter", False, empty=True)
    sides = trafo.texts("tap_side")
    for k, (pos, neutral, low, high, percent, degree) in enumerate(numbers.T.tolist()):
        known = all(math.isfinite(v) for v in (pos, neutral, low, high, percent))
        if not known or not acting[k] or degree or not percent or sides[k] not in ("hv", "lv"):
            continue
        if not low <= pos <= high or high - low > _MOST_POSITIONS or not (low.is_integer() and pos.is_integer()):
            continue
        voltage = 1 + (np.arange(low, high + 1) - neutral) * percent / 100
        moved = voltage / (1 + (pos - neutral) * percent / 100)
        if (voltage > 0).all():
            moved = 1 / moved if sides[k] == "hv" else moved
            moves[k] = {int(low) + n: float(v) for n, v in enumerate(moved)}
    return moves


def tap_cells(tables: Tables, values: Mapping[str, float]) -> list[tuple[str, str, int]]:
    """Positions that give the taps asked for, 1 / ratio by the id of the branch: (table, index, tap_pos)."""
    bus = tables["bus"]
    cells = []
    for kind, trafo in (("trafo", tables["trafo"]), ("trafo3w", star_legs(tables))):
        stars = Element("bus", [*bus.index, *(star_point(i) for i in tables["trafo3w"].index)], {}, bus.bad)
        nominal = dict(zip(bus.index, bus.numbers("vn_kv", math.nan).tolist(), strict=True))
        nominal |= {star_point(i): nominal.get(b, math.nan) for i, b in _high_buses(tables)}
        hv, lv = trafo.references("hv_bus", stars), trafo.references("lv_bus", stars)
        vn_hv, vn_lv, _ = tapped(trafo, tables.subject, [])
        for k, moves in enumerate(tap_moves(trafo)):
            value = values.get(f"{kind} {trafo.index[k]}")
            if value is None or not moves:
                continue
            ratio = vn_hv[k] / vn_lv[k] * nominal[lv[k]] / nominal[hv[k]]
            distance = {abs(moved / ratio - value): position for position, moved in moves.items()}
            cells.append((kind, str(trafo.index[k]).split()[0], distance[min(distance)]))
    return cells


def _high_buses(tables: Tables) -> list[tuple[Any, Any]]:
    triple = tables["trafo3w"]
    return list(zip(triple.index, triple.references("hv_bus", tables["bus"]), strict=True))
