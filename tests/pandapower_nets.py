"""Small pandapower nets as the JSON that ``pandapower.to_json`` writes, and pandapower's own power flow of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

Rows = list[dict[str, Any]]

LINE = {"length_km": 1.0, "r_ohm_per_km": 0.3, "x_ohm_per_km": 0.12, "c_nf_per_km": 270.0, "g_us_per_km": 0.0}
LINE |= {"max_i_ka": 0.3, "df": 1.0, "parallel": 1, "in_service": True, "std_type": None, "name": None, "type": "cs"}
TRAFO = {"sn_mva": 25.0, "vn_hv_kv": 110.0, "vn_lv_kv": 20.0, "vk_percent": 11.2, "vkr_percent": 0.3, "pfe_kw": 29.0}
TRAFO |= {"i0_percent": 0.07, "shift_degree": 150.0, "tap_side": "hv", "tap_neutral": 0, "tap_min": -9, "tap_max": 9}
TRAFO |= {"tap_step_percent": 1.5, "tap_step_degree": 0.0, "tap_pos": -2, "tap_changer_type": "Ratio", "parallel": 1}
TRAFO |= {"df": 1.0, "in_service": True, "name": None, "std_type": None, "tap_dependency_table": False}
TRAFO |= {"id_characteristic_table": None}
TRAFO3W = {"sn_hv_mva": 63.0, "sn_mv_mva": 25.0, "sn_lv_mva": 38.0, "vn_hv_kv": 110.0, "vn_mv_kv": 20.0}
TRAFO3W |= {"vn_lv_kv": 10.0, "vk_hv_percent": 10.4, "vk_mv_percent": 10.4, "vk_lv_percent": 10.4, "pfe_kw": 35.0}
TRAFO3W |= {"vkr_hv_percent": 0.28, "vkr_mv_percent": 0.32, "vkr_lv_percent": 0.35, "i0_percent": 0.89, "name": None}
TRAFO3W |= {"shift_mv_degree": 0.0, "shift_lv_degree": 0.0, "tap_side": "hv", "tap_neutral": 0, "tap_min": -10}
TRAFO3W |= {"tap_max": 10, "tap_step_percent": 1.2, "tap_step_degree": 0.0, "tap_pos": -3, "tap_at_star_point": False}
TRAFO3W |= {"tap_changer_type": "Ratio", "tap_dependency_table": False, "id_characteristic_table": None}
TRAFO3W |= {"in_service": True, "std_type": None}
SHARES = [f"const_{kind}_{power}_percent" for kind in "zi" for power in "pq"]
LOAD = {"q_mvar": 0.0, "scaling": 1.0, "in_service": True} | dict.fromkeys(SHARES, 0.0)


def line(from_bus: int, to_bus: int, **changes: Any) -> dict[str, Any]:
    """A 1-km cable."""
    return LINE | {"from_bus": from_bus, "to_bus": to_bus} | changes


def trafo(hv_bus: int, lv_bus: int, **changes: Any) -> dict[str, Any]:
    """A 25-MVA transformer at tap -2."""
    return TRAFO | {"hv_bus": hv_bus, "lv_bus": lv_bus} | changes


def trafo3w(hv_bus: int, mv_bus: int, lv_bus: int, **changes: Any) -> dict[str, Any]:
    """A 63-MVA transformer of three windings at tap -3."""
    return TRAFO3W | {"hv_bus": hv_bus, "mv_bus": mv_bus, "lv_bus": lv_bus} | changes


def load(bus: int, p_mw: float, q_mvar: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A constant-power load, where no shares are given."""
    return LOAD | {"bus": bus, "p_mw": p_mw, "q_mvar": q_mvar} | changes


def switch(bus: int, element: int, et: str, closed: bool = True, z_ohm: float = 0.0) -> dict[str, Any]:
    """A switch between two buses (``b``) or at the end of a line (``l``) or transformer (``t``)."""
    return {"bus": bus, "element": element, "et": et, "closed": closed, "type": None, "name": None, "z_ohm": z_ohm}


def grid(bus: int, vm_pu: float = 1.02) -> dict[str, Any]:
    """An external grid."""
    return {"bus": bus, "vm_pu": vm_pu, "va_degree": 0.0, "slack_weight": 1.0, "in_service": True}


def net(buses: dict[int, float], **tables: Rows) -> dict[str, Any]:
    """The parsed JSON file of a net: nominal voltage of each bus [kV], rows of the other tables."""
    bus = [
        {"name": f"bus {i}", "vn_kv": kv, "type": "b", "zone": None, "in_service": True, "geo": None}
        for i, kv in buses.items()
    ]
    content = {kind: table(rows) for kind, rows in tables.items()}
    content["bus"] = table(bus, list(buses))
    content |= {"name": "test", "f_hz": 50.0, "sn_mva": 1.0, "version": "3.1.2", "format_version": "3.0.0"}
    return {"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": content}


def table(rows: Rows, index: list[int] | None = None) -> dict[str, Any]:
    """A table in the layout in which pandas writes it."""
    columns = list(rows[0]) if rows else []
    split = {
        "columns": columns,
        "index": index or list(range(len(rows))),
        "data": [[r[c] for c in columns] for r in rows],
    }
    return {"_module": "pandas.core.frame", "_class": "DataFrame", "_object": json.dumps(split), "orient": "split"}


def reference(net: Any) -> tuple[float, float]:
    """Loss [kW] and lowest voltage [pu] of pandapower's own power flow of a net, or of a parsed file."""
    import pandapower

    if isinstance(net, dict) and "_object" in net:
        net = pandapower.from_json_string(json.dumps(net))
    pandapower.runpp(net, numba=False)
    solved = net._ppc  # its branches hold the switches with an impedance as well
    branch = solved["branch"].real
    fed = solved["bus"][:, 1] != 4
    return 1e3 * float(np.nansum(branch[:, 13] + branch[:, 15])), float(np.min(solved["bus"][fed, 7]))


def random_net(rng: np.random.Generator) -> dict[str, Any]:
    """A ring network of two transformers with switches at none, one or both ends of its branches, in any state."""
    n = int(rng.integers(6, 10))
    buses = {0: 110.0, 1: 110.0} | dict.fromkeys(range(2, n), 20.0)
    trafos = [
        trafo(
            int(rng.integers(0, 2)),
            k,
            tap_pos=int(rng.integers(-3, 4)),
            tap_side=str(rng.choice(["hv", "lv"])),
            tap_step_degree=float(rng.choice([0.0, 90.0])),
            shift_degree=float(rng.choice([0.0, 150.0])),
            i0_percent=float(rng.choice([0.0, 0.3])),
            parallel=int(rng.integers(1, 3)),
        )
        for k in (2, 3)
    ]
    ends = [(int(rng.integers(2, k)), k) for k in range(4, n)] + [(2, 3)]
    ends += [tuple(int(b) for b in rng.choice(np.arange(2, n), 2, replace=False)) for _ in range(2)]
    lines = [
        line(
            *(pair[::-1] if rng.random() < 0.5 else pair),
            length_km=round(float(rng.uniform(1, 12)), 2),
            g_us_per_km=round(float(rng.choice([0.0, 1.5])), 2),
            parallel=int(rng.integers(1, 3)),
        )
        for pair in ends
    ]
    switches = []
    for et, rows, sides in (("l", lines, ("from_bus", "to_bus")), ("t", trafos, ("hv_bus", "lv_bus"))):
        for index, row in enumerate(rows):
            kind = rng.choice(["none", "one", "one", "both", "both"])
            count = {"none": 0, "one": 1, "both": 2}[str(kind)]
            for end in rng.permutation(sides)[:count]:
                switches.append(switch(row[str(end)], index, et, bool(rng.random() < 0.7)))
    buses[n] = 20.0
    lines.append(line(int(rng.integers(2, n)), n, length_km=4.0))
    switches.append(switch(n, len(lines) - 1, "l", bool(rng.random() < 0.5)))
    loads = [load(k, float(rng.uniform(0.1, 1.5)), float(rng.uniform(0, 0.4))) for k in range(2, n)]
    shunts = [{"bus": 3, "p_mw": 0.01, "q_mvar": -0.4, "vn_kv": 20.5, "step": 2, "in_service": True}]
    raw = net(buses, ext_grid=[grid(0), grid(1)], trafo=trafos, line=lines, switch=switches, load=loads, shunt=shunts)
    out = json.loads(raw["_object"]["bus"]["_object"])
    out["data"][-1][out["columns"].index("in_service")] = False
    raw["_object"]["bus"]["_object"] = json.dumps(out)
    return raw
