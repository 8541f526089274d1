"""Phases of a pandapower net, as the keys of a case file that speak of them; its own ``runpp_3ph`` is what they mean.

Read are unequal loads and generators by phase, the zero sequence of lines and transformers, and of external grids their
impedances in the zero and negative sequence. Where a value is missing the net is read as a balanced one, and the note
names it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from learnopt.io.pandapower.tables import Element, Tables
from learnopt.io.stations import equipment

_GROUPS = {"ynyn": "YNyn", "dyn": "Dyn"}
"""Vector groups of transformers that pandapower's power flow of all phases has, without its zigzag."""
_VOLTAGE_FACTOR = 1.1
"""Of the short-circuit power of an external grid, in pandapower."""
_ROUNDING_KW = 1e-9
_ROUNDING_PERCENT = 1e-6


class MissingPhasesError(Exception):
    """Why a net cannot be read in all its phases, in words."""


def with_phases(record: Mapping[str, Any], tables: Tables, bus_of: Mapping[Any, Any]) -> dict[str, Any]:
    """The case file of a net with what the net says of its phases.

    Parameters
    ----------
    record
        The case file of the balanced network.
    bus_of
        Id of the bus that stands for each bus of the net.

    Raises
    ------
    MissingPhasesError
        Naming the value that is missing, or the element that is not modelled in phases.
    """
    case = copy.deepcopy(dict(record))
    if len(tables["trafo3w"]):
        raise MissingPhasesError(f"{tables['trafo3w'].names()[0]} has three windings")
    line, trafo = _Zero(tables["line"]), _Zero(tables["trafo"])
    for branch in case["branches"]:
        parts = [part.split()[:2] for part in equipment(str(branch["id"]))]
        kind = parts[0][0]
        if kind == "line" and (branch["r_ohm"] or branch["x_ohm"]):
            _line(branch, line, [index for _, index in parts])
        elif kind == "trafo":
            _trafo(branch, trafo, [index for _, index in parts])
    case["substation_data"] = {key: dict(value) for key, value in case["substation_data"].items()}
    for bus, keys in _sources(tables):
        if bus in bus_of and str(bus_of[bus]) in case["substation_data"]:
            case["substation_data"][str(bus_of[bus])] |= keys
    return case | _loads(case, tables, bus_of)


class _Zero:
    """Values of the zero sequence of one kind of element, by index."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self._row = {str(index): k for k, index in enumerate(element.index)}

    def value(self, index: str, column: str, what: str = "") -> float:
        """A finite number.

        Raises
        ------
        MissingPhasesError
            Where there is none.
        """
        if column in self.element:
            cell = self.element.columns[column][self._row[index]]
            if isinstance(cell, (int, float, np.number)) and math.isfinite(cell):
                return float(cell)
        raise MissingPhasesError(f"{self.element.kind} {index} has no {column}{what}")

    def text(self, index: str, column: str) -> str:
        """Text, "" where there is none."""
        return self.element.texts(column)[self._row[index]]


def _line(branch: dict[str, Any], line: _Zero, indices: list[str]) -> None:
    """Zero sequence of a line, or of one of parallel lines that are alike."""
    index = indices[0]
    r1, x1 = line.value(index, "r_ohm_per_km"), line.value(index, "x_ohm_per_km")
    branch["r0_ohm"] = _times(branch["r_ohm"], line.value(index, "r0_ohm_per_km"), r1, f"line {index}: r_ohm_per_km")
    branch["x0_ohm"] = _times(branch["x_ohm"], line.value(index, "x0_ohm_per_km"), x1, f"line {index}: x_ohm_per_km")
    if branch["b_us"]:
        c1 = line.value(index, "c_nf_per_km")
        branch["b0_us"] = branch["b_us"] * line.value(index, "c0_nf_per_km") / c1
    if branch["g_us"]:
        raise MissingPhasesError(f"line {index} has a conductance (g_us_per_km)")


def _times(value: float, zero: float, positive: float, what: str) -> float:
    """A value of the zero sequence, as the positive one was scaled by length and circuits."""
    if positive == 0:
        if zero == 0:
            return 0.0
        raise MissingPhasesError(f"{what} is 0, so that its length is not known")
    return value * zero / positive


def _trafo(branch: dict[str, Any], trafo: _Zero, indices: list[str]) -> None:
    """Connection and zero sequence of a transformer, or of parallel ones of one connection."""
    groups = {trafo.text(index, "vector_group") for index in indices}
    group = next(iter(groups))
    if len(groups) > 1 or group.lower() not in _GROUPS:
        known = " and ".join(_GROUPS.values())
        said = f"the vector group {group}" if group else "no vector_group"
        raise MissingPhasesError(f"trafo {indices[0]} has {said}, in phases there are {known}")
    branch["connection"] = _GROUPS[group.lower()]
    index = indices[0]
    vk, vkr = trafo.value(index, "vk_percent"), trafo.value(index, "vkr_percent")
    # As in pandapower, 0 stands for the value of the positive sequence.
    vk0 = trafo.value(index, "vk0_percent") or vk
    vkr0 = trafo.value(index, "vkr0_percent") or vkr
    x, x0 = (math.sqrt(max(z**2 - r**2, 0.0)) for z, r in ((vk, vkr), (vk0, vkr0)))
    if min(vkr0 - vkr, x0 - x) < -_ROUNDING_PERCENT:
        raise MissingPhasesError(
            f"trafo {index} has less impedance in the zero sequence (vk0_percent = {vk0:g}, vkr0_percent = {vkr0:g}) "
            f"than in the positive one ({vk:g}, {vkr:g}), which is not modelled"
        )
    along = math.hypot(branch["r_ohm"], branch["x_ohm"]) * vk0 / vk if vk else 0.0
    magnetising, rx = along * trafo.value(index, "mag0_percent") / 100, trafo.value(index, "mag0_rx")
    branch["x0_magnetising_ohm"] = magnetising / math.hypot(1.0, rx)
    branch["r0_magnetising_ohm"] = branch["x0_magnetising_ohm"] * rx
    branch["from_share"] = trafo.value(index, "si0_hv_partial")
    if vkr and vkr0 > vkr:
        branch["r0_ohm"] = branch["r_ohm"] * vkr0 / vkr
    if x and x0 > x:
        branch["x0_ohm"] = branch["x_ohm"] * x0 / x


def _sources(tables: Tables) -> Iterator[tuple[Any, dict[str, float]]]:
    """Impedances of external grids in the zero and negative sequence; without short-circuit power there are none."""
    grid = tables["ext_grid"]
    on = grid.flags("in_service", True)
    kv = dict(zip(tables["bus"].index, tables["bus"].numbers("vn_kv"), strict=True))
    power, rx, x0x, r0x0 = (
        grid.numbers(column, default, empty=True)
        for column, default in (("s_sc_max_mva", math.nan), ("rx_max", 0.1), ("x0x_max", 1.0), ("r0x0_max", 0.1))
    )
    for k, bus in enumerate(grid.references("bus", tables["bus"])):
        if not on[k] or bus is None or not power[k] > 0:
            continue
        x = _VOLTAGE_FACTOR * float(kv[bus]) ** 2 / float(power[k]) / math.hypot(1.0, rx[k])
        x0 = x * float(x0x[k])
        yield bus, {"r2_ohm": x * float(rx[k]), "x2_ohm": x, "r0_ohm": x0 * float(r0x0[k]), "x0_ohm": x0}


def _loads(case: dict[str, Any], tables: Tables, bus_of: Mapping[Any, Any]) -> dict[str, list[dict[str, Any]]]:
    """The lists of loads and generation; what is in them is taken from the powers of the buses."""
    buses = {bus["id"]: bus for bus in case["buses"]}
    found: dict[str, list[dict[str, Any]]] = {"loads": [], "generation": []}
    for kind, feeds in (("asymmetric_load", False), ("asymmetric_sgen", True)):
        element = tables[kind]
        on, scale = element.flags("in_service", True), element.numbers("scaling", 1.0)
        p = 1e3 * scale[:, None] * np.array([element.numbers(f"p_{phase}_mw", 0.0) for phase in "abc"]).T
        q = 1e3 * scale[:, None] * np.array([element.numbers(f"q_{phase}_mvar", 0.0) for phase in "abc"]).T
        names, types = element.texts("name"), element.texts("type")
        for k, index in enumerate(element.references("bus", tables["bus"])):
            if not on[k] or index not in bus_of:
                continue
            bus = bus_of[index]
            record: dict[str, Any] = {"bus": bus, "name": names[k]}
            if types[k] == "delta":
                record["connection"] = "delta"
            for phase, kw, kvar in zip("abc", p[k].tolist(), q[k].tolist(), strict=True):
                if kw or kvar:
                    record |= {f"p_{phase}_kw": kw, f"q_{phase}_kvar": kvar}
            found["generation" if feeds else "loads"].append(record)
            sign = -1.0 if feeds else 1.0
            _less(buses[bus], "p_kw", sign * float(p[k].sum()))
            _less(buses[bus], "q_kvar", sign * float(q[k].sum()))
            if feeds:
                _less(buses[bus], "p_gen_kw", float(p[k].sum()))
                _less(buses[bus], "q_gen_kvar", float(q[k].sum()))
    return {key: records for key, records in found.items() if records}


def _less(bus: dict[str, Any], key: str, value: float) -> None:
    """Take a power from that of a bus; rounding is none."""
    left = bus[key] - value
    bus[key] = left if abs(left) > _ROUNDING_KW * max(abs(value), 1.0) else 0.0
