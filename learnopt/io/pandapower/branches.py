"""Lines, transformers and switches of a pandapower net as branches.

The formulas are those of pandapower's documentation (https://pandapower.readthedocs.io, "Datastructure and Elements"):
lines as pi, transformers as T turned into pi, impedances in per unit of 1 MVA on the bus voltages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.io.pandapower.switches import Switches, manual_switches
from learnopt.io.pandapower.tables import UNLIMITED_KA, Element, Tables
from learnopt.io.pandapower.taps import tap_moves, tapped
from learnopt.io.pandapower.trafo3w import star_legs, star_point
from learnopt.io.stations import Link, LooseEnd
from learnopt.network.switchgear import end_id
from learnopt.wording import counted

_SWITCH_RX = 2.0
"""r/x of a switch with impedance, pandapower's default ``switch_rx_ratio``."""


def branches(
    tables: Tables, kv: dict[Any, float], nominal: Mapping[Any, float], notes: list[str]
) -> tuple[list[Link], list[LooseEnd]]:
    """Branches of a net between the buses of ``kv``, which are those in service.

    Parameters
    ----------
    kv
        Nominal voltage of every bus in service [kV]; the loose ends are added.
    nominal
        The same of every bus.
    notes
        What is left out or assumed is added here.

    Returns
    -------
    links
        The branches.
    ends
        Of lines to a bus out of service, which stay energised from the other end.
    """
    switched = Switches(tables)
    ends = _dead_ends(tables, kv, nominal, switched, notes)
    lines = _lines(tables, kv, switched, ends)
    bus = tables["bus"]
    legs = star_legs(tables)
    stars = Element("bus", [*bus.index, *(star_point(i) for i in tables["trafo3w"].index)], {}, bus.bad)
    trafos = _trafos(tables["trafo"], "t", bus, kv, switched, tables.subject, notes)
    trafos += _trafos(legs, "t3", stars, kv, switched, tables.subject, notes)
    couplers = _couplers(tables, kv)
    tables.raise_violations()
    for kind in ("line", "trafo", "trafo3w"):
        off = np.count_nonzero(~tables[kind].flags("in_service", True))
        if off:
            notes.append(f"{counted(int(off), f'{kind} is', f'{kind}s are')} not in service and left out")
    return lines + trafos + couplers, list(ends.values())


def _dead_ends(
    tables: Tables, kv: dict[Any, float], nominal: Mapping[Any, float], switches: Switches, notes: list[str]
) -> dict[Any, LooseEnd]:
    """Ends of lines at a bus out of service, by line: such a line stays energised from its other end, as in pandapower.

    One that is opened at its end in service is dead, as are transformers to a bus out of service.
    """
    line, bus = tables["line"], tables["bus"]
    ends: dict[Any, LooseEnd] = {}
    pairs = zip(line.references("from_bus", bus), line.references("to_bus", bus), strict=True)
    on, line_names = line.flags("in_service", True), line.texts("name")
    for k, (start, end) in enumerate(pairs):
        if not on[k] or (start in kv) == (end in kv):
            continue
        live, dead = (start, end) if start in kv else (end, start)
        index = line.index[k]
        if dead is None or any(s.end == live and not s.closed for s in switches.of("l", index, (start, end))):
            continue
        ends[index] = LooseEnd(end_id(f"line {index}", dead), dead, live, f"line {index}", line_names[k])
        notes.append(f"line {index} leads to bus {dead}, which is out of service: it stays energised from bus {live}")
    kv.update({end.bus: nominal[end.at] for end in ends.values()})
    return ends


def _lines(tables: Tables, kv: dict[Any, float], switches: Switches, dead_ends: Mapping[Any, LooseEnd]) -> list[Link]:
    line = tables["line"]
    start, end = line.references("from_bus", tables["bus"]), line.references("to_bus", tables["bus"])
    length, parallel = line.numbers("length_km", low=0.0), line.numbers("parallel", 1.0, low=1.0)
    r, x = line.numbers("r_ohm_per_km", low=0.0), line.numbers("x_ohm_per_km", low=0.0)
    c, g = line.numbers("c_nf_per_km", 0.0, low=0.0), line.numbers("g_us_per_km", 0.0, low=0.0)
    rated, df = line.numbers("max_i_ka", math.inf, low=0.0, empty=True), line.numbers("df", 1.0, low=0.0, empty=True)
    names, in_service = line.texts("name"), line.flags("in_service", True)
    result = []
    for k, branch in enumerate(line.names()):
        loose = dead_ends.get(line.index[k])
        here, there = ((loose.bus if loose and bus == loose.at else bus) for bus in (start[k], end[k]))
        if not in_service[k] or here not in kv or there not in kv:
            continue
        z_base = kv[here] ** 2
        admittance = complex(g[k] * 1e-6, 2 * math.pi * tables.f_hz * c[k] * 1e-9)
        result.append(
            Link(
                branch,
                "line",
                names[k],
                here,
                there,
                z=complex(r[k], x[k]) * length[k] / parallel[k] / z_base,
                y=admittance * length[k] * parallel[k] * z_base,
                ampacity=_ampere(rated[k] * df[k] * parallel[k]),
                **({} if loose else switches.state("l", line, k, (start[k], end[k]))),
            )
        )
    return result


def _trafos(
    trafo: Element,
    et: str,
    buses: Element,
    kv: dict[Any, float],
    switches: Switches,
    subject: str,
    notes: list[str],
) -> list[Link]:
    """Two-winding transformers, or the legs of those with three windings, ``et`` says which switches are theirs."""
    hv, lv = trafo.references("hv_bus", buses), trafo.references("lv_bus", buses)
    sn, parallel = trafo.numbers("sn_mva", low=1e-9), trafo.numbers("parallel", 1.0, low=1.0)
    df = trafo.numbers("df", 1.0, low=1e-9, empty=True)
    vk, vkr = trafo.numbers("vk_percent", low=0.0) / 100, trafo.numbers("vkr_percent", low=0.0) / 100
    pfe, i0 = trafo.numbers("pfe_kw", 0.0, low=0.0) / 1e3, trafo.numbers("i0_percent", 0.0, low=0.0) / 100
    vn_hv, vn_lv, shift = tapped(trafo, subject, notes)
    rated_hv, rated_lv = trafo.numbers("vn_hv_kv", low=1e-3), trafo.numbers("vn_lv_kv", low=1e-3)
    moves = tap_moves(trafo)
    names, in_service = trafo.texts("name"), trafo.flags("in_service", True)
    for column in ("leakage_resistance_ratio_hv", "leakage_reactance_ratio_hv"):
        if np.any(trafo.numbers(column, 0.5, empty=True) != 0.5):
            raise UnsupportedError(f"{subject}: trafos with {column} other than 0.5 are not modelled")
    result = []
    for k, branch in enumerate(trafo.names()):
        if vk[k] < vkr[k]:
            trafo.bad.append(f"{branch}: vkr_percent = {100 * vkr[k]:g} exceeds vk_percent = {100 * vk[k]:g}")
        if not in_service[k] or hv[k] not in kv or lv[k] not in kv or trafo.bad:
            continue
        to_bus = (vn_lv[k] / kv[lv[k]]) ** 2
        magnitude, r = vk[k] / sn[k] * to_bus, vkr[k] / sn[k] * to_bus
        z = complex(r, math.sqrt(max(magnitude**2 - r**2, 0.0))) / parallel[k]
        magnetising = math.sqrt(max((i0[k] * sn[k]) ** 2 - pfe[k] ** 2, 0.0))
        z, y = _pi_of_t(z, complex(pfe[k], -magnetising) * parallel[k] / to_bus)
        ratio = float(vn_hv[k] / vn_lv[k] * kv[lv[k]] / kv[hv[k]])
        # Rated current of either winding off its tap, as pandapower's loading has it, referred to the high side.
        voltage = max(rated_hv[k], vn_hv[k] / vn_lv[k] * rated_lv[k])
        positions = sorted((move / ratio, number) for number, move in moves[k].items())
        result.append(
            Link(
                branch,
                "trafo",
                names[k],
                hv[k],
                lv[k],
                z=z,
                y=y,
                ratio=ratio,
                shift_deg=float(shift[k]),
                taps=tuple(value for value, _ in positions),
                tap_numbers=tuple(number for _, number in positions),
                ampacity=1e3 * sn[k] * df[k] * parallel[k] / (math.sqrt(3.0) * voltage),
                **switches.state(et, trafo, k, (hv[k], lv[k])),
            )
        )
    return result


def _pi_of_t(z: complex, y: complex) -> tuple[complex, complex]:
    """Series impedance and total shunt admittance of the pi that equals a T with half of ``z`` beside ``y``."""
    factor = 1 + z * y / 4
    return z * factor, y / factor


def _couplers(tables: Tables, kv: dict[Any, float]) -> list[Link]:
    """Bus-bus switches."""
    switch = tables["switch"]
    rows = [k for k, et in enumerate(switch.texts("et")) if et == "b"]
    some = Element("switch", [switch.index[k] for k in rows], _rows(switch, rows), switch.bad)
    start, end = some.references("bus", tables["bus"]), some.references("element", tables["bus"])
    closed, names, manual = some.flags("closed", True), some.texts("name"), manual_switches(some)
    z, rated = some.numbers("z_ohm", 0.0, low=0.0, empty=True), some.numbers("in_ka", math.inf, low=0.0, empty=True)
    result = []
    for k, branch in enumerate(some.names()):
        if start[k] not in kv or end[k] not in kv or start[k] == end[k]:
            continue
        if kv[start[k]] != kv[end[k]]:
            switch.bad.append(
                f"{branch}: couples bus {start[k]} ({kv[start[k]]:g} kV) and {end[k]} ({kv[end[k]]:g} kV)"
            )
        impedance = complex(_SWITCH_RX, 1.0) / math.hypot(_SWITCH_RX, 1.0) * z[k] / kv[start[k]] ** 2
        result.append(
            Link(
                branch,
                "switch",
                names[k],
                start[k],
                end[k],
                z=impedance if z[k] else 0j,
                ampacity=_ampere(rated[k]),
                switchable=True,
                is_open=not closed[k],
                manual=bool(manual[k]),
            )
        )
    return result


def _rows(element: Element, rows: list[int]) -> dict[str, list[Any]]:
    return {column: [cells[k] for k in rows] for column, cells in element.columns.items()}


def _ampere(kilo: float) -> float:
    return 1e3 * kilo if 0 < kilo < UNLIMITED_KA else math.inf
