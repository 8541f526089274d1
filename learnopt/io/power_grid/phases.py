"""Phases of a dataset of power-grid-model, as the keys of a case file that speak of them.

What they mean is its own asymmetric power flow: the zero sequence of lines and sources, matrices, earthed stars of
transformers and what earths them, loads of single phases to ground.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.io.pandapower.tables import Element, Tables
from learnopt.io.power_grid.branches import SOURCE_Z01, asym_matrices, number
from learnopt.io.power_grid.tables import HERTZ, POWERS
from learnopt.io.stations import Link, equipment
from learnopt.network.aliases import Floats
from learnopt.network.phase_data import of_sequences
from learnopt.network.unbalanced import Complex

_WINDINGS = ("Y", "YN", "D", "Z", "ZN")
_CONNECTIONS = ("YNyn", "Dyn", "Yd", "YNd", "Dy", "Dd")
_GROUNDED = ("YNyn", "Dyn")
"""Connections whose zero sequence passes the to side."""
_SIDES = ("from", "to")
_SAME = 1e-9


def unequal_phases(tables: Tables) -> str:
    """What makes the phases of a dataset differ, in words; "" where nothing does."""
    found = [
        name
        for kind in ("asym_load", "asym_gen")
        for k, name in enumerate(tables[kind].names())
        if in_service(tables[kind], k)
        and any(len(set(_three(tables[kind], f"{one}_specified", k))) > 1 for one in "pq")
    ]
    parts = [f"the phases of {_some(found)} differ"] if found else []
    if lines := tables["asym_line"].names():
        parts.append(f"{_some(lines)} need not be transposed")
    return "; ".join(parts)


def in_service(element: Element, k: int) -> bool:
    """Row k is, as far as its status says."""
    cell = element.columns.get("status", [1] * len(element))[k]
    return cell is None or bool(cell)


def phase_powers(element: Element, column: str) -> Floats:
    """Power of each phase [W], [var], shape (n, 3); of a component of one value a third of it."""
    if not element.kind.startswith("asym"):
        return np.repeat(element.numbers(column)[:, None] / 3, 3, axis=1)
    found = np.zeros((len(element), 3))
    for k in range(len(element)):
        values = _three(element, column, k)
        if all(math.isfinite(one) for one in values):
            found[k] = values
        elif in_service(element, k):
            element.bad.append(f"{element.kind} {element.index[k]}: {column} must be a list of three finite numbers")
    return found


def _three(element: Element, column: str, k: int) -> tuple[float, ...]:
    cell = element.columns.get(column, [None] * len(element))[k]
    if not isinstance(cell, list) or len(cell) != 3:
        return (math.nan,) * 3
    return tuple(number(Element("", (0,), {"": [one]}, []), "", 0) for one in cell)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def with_phases(record: Mapping[str, Any], tables: Tables, links: Sequence[Link], bus_of: Mapping[Any, Any]) -> Any:
    """The case file of a dataset with its phases; loads, generation and shunts are in lists instead of at buses.

    Parameters
    ----------
    record
        The case file of the balanced network, its branches in the order of ``links``.
    bus_of
        Bus that stands for each node that was kept.

    Raises
    ------
    UnsupportedError
        Naming what has no model in phases.
    """
    if len(tables["generic_branch"]):
        raise _unsupported(tables, f"{_some(tables['generic_branch'].names())} (which has no zero sequence)")
    case = dict(record)
    case["branches"] = [_branch(branch, link, tables) for branch, link in zip(record["branches"], links, strict=True)]
    return case | _lists(tables, bus_of)


def _unsupported(tables: Tables, what: str) -> UnsupportedError:
    return UnsupportedError(f"{tables.subject}: its phases differ, and not modelled in phases: {what}")


def _branch(branch: Mapping[str, Any], link: Link, tables: Tables) -> dict[str, Any]:
    """Keys of one branch."""
    found = dict(branch)
    parts = [part.split() for part in equipment(link.id)]
    if link.kind == "trafo":
        return found | _windings([int(index) for _, index in parts], link, found, tables)
    if link.kind == "source":
        z01 = tables["source"].numbers("z01_ratio", SOURCE_Z01, low=0.0, empty=True)
        factor = float(z01[list(tables["source"].index).index(int(parts[0][1]))])
        return found | {"r0_ohm": factor * found["r_ohm"], "x0_ohm": factor * found["x_ohm"]}
    if link.kind == "switch":
        return found
    pairs = [_matrices(tables[kind], list(tables[kind].index).index(int(index))) for kind, index in parts]
    if tables.bad:
        return found
    z = pairs[0][0] if len(pairs) == 1 else np.linalg.inv(sum(np.linalg.inv(one) for one, _ in pairs))
    for key in ("r_ohm", "x_ohm", "b_us", "g_us"):
        found.pop(key, None)
    b = sum(one for _, one in pairs)
    matrices = {"r_matrix_ohm": z.real, "x_matrix_ohm": z.imag, "b_matrix_us": 1e6 * np.asarray(b)}
    return found | {key: ((one + one.T) / 2).tolist() for key, one in matrices.items()}


def _matrices(line: Element, k: int) -> tuple[Complex, Floats]:
    """Series impedance [ohm] and charging [S] of a line, each of shape (3, 3)."""
    if line.kind == "asym_line":
        return asym_matrices(line, k)
    r1, x1, c1, r0, x0, c0 = (number(line, one, k) for one in ("r1", "x1", "c1", "r0", "x0", "c0"))
    for column, value in (("r0", r0), ("x0", x0), ("c0", c0)):
        if not math.isfinite(value):
            line.bad.append(f"line {line.index[k]}: {column} is missing, which unequal phases ask for")
    if any(number(line, one, k) > 0 for one in ("tan1", "tan0")):
        line.bad.append(
            f"line {line.index[k]}: tan1 and tan0 above 0, a conductance, are not modelled in phases: give 0"
        )
    z = of_sequences(r1, r0, 3) + 1j * of_sequences(x1, x0, 3)
    return z, 2 * math.pi * HERTZ * of_sequences(c1, c0, 3)


def _windings(indices: Sequence[int], link: Link, found: Mapping[str, Any], tables: Tables) -> dict[str, Any]:
    """Connection and zero sequence of a transformer, or of some alike in parallel."""
    trafo = tables["transformer"]
    rows = [list(trafo.index).index(index) for index in indices]
    kinds = {
        _WINDINGS[int(number(trafo, "winding_from", k))] + _WINDINGS[int(number(trafo, "winding_to", k))].lower()
        for k in rows
    }
    name, connection = f"transformer {indices[0]}", next(iter(kinds))
    if len(kinds) > 1:
        raise _unsupported(tables, f"{link.id} of the connections {', '.join(sorted(kinds))} in parallel")
    if connection not in _CONNECTIONS:
        raise _unsupported(tables, f"{name} of the connection {connection} (there are {', '.join(_CONNECTIONS)})")
    for k in rows:
        for own, zero in (("i0", "i0_zero_sequence"), ("p0", "p0_zero_sequence")):
            stated = number(trafo, zero, k)
            if math.isfinite(stated) and abs(stated - number(trafo, own, k)) > _SAME:
                raise _unsupported(tables, f"transformer {trafo.index[k]} with {zero} other than {own}")
    earthing = [
        [complex(*(np.nan_to_num(number(trafo, f"{part}_grounding_{side}", k)) for part in "rx")) for side in _SIDES]
        for k in rows
    ]
    if not any(map(any, earthing)):
        return {"connection": connection}
    if len(rows) > 1 or connection not in _GROUNDED or (connection == "Dyn" and earthing[0][0]):
        raise _unsupported(tables, f"{link.id} ({connection}) with what earths its star (r_grounding, x_grounding)")
    kv = dict(zip(tables["node"].index, tables["node"].numbers("u_rated").tolist(), strict=True))
    row = rows[0]
    start, end = (kv[int(number(trafo, f"{side}_node", row))] for side in _SIDES)
    more = 3 * (earthing[0][1] * (start / end) ** 2 + earthing[0][0] / link.ratio**2)
    return {
        "connection": connection,
        "r0_ohm": found["r_ohm"] + more.real,
        "x0_ohm": found["x_ohm"] + more.imag,
    }


def _lists(tables: Tables, bus_of: Mapping[Any, Any]) -> dict[str, Any]:
    """Loads, generation and shunts."""
    found: dict[str, list[dict[str, Any]]] = {"loads": [], "generation": []}
    for kind in POWERS:
        element = tables[kind]
        p, q = (phase_powers(element, f"{one}_specified") / 1e3 for one in "pq")
        types = element.numbers("type", 0.0, empty=True)
        for k, node in enumerate(element.references("node", tables["node"])):
            if not in_service(element, k) or node not in bus_of:
                continue
            record: dict[str, Any] = {"bus": bus_of[node], "name": f"{kind} {element.index[k]}"}
            for phase, kw, kvar in zip("abc", p[k].tolist(), q[k].tolist(), strict=True):
                record |= {f"p_{phase}_kw": kw, f"q_{phase}_kvar": kvar}
            if types[k]:
                record[("", "impedance_percent", "current_percent")[int(types[k])]] = 100.0
            found["generation" if kind.endswith("gen") else "loads"].append(record)
    shunt = tables["shunt"]
    kv = dict(zip(tables["node"].index, (tables["node"].numbers("u_rated") / 1e3).tolist(), strict=True))
    y1, y0 = (shunt.numbers(f"g{s}", 0.0) + 1j * shunt.numbers(f"b{s}", 0.0, empty=True) for s in "10")
    for k, node in enumerate(shunt.references("node", tables["node"])):
        if not in_service(shunt, k) or node not in bus_of:
            continue
        if y0[k].real > y1[k].real:
            raise _unsupported(tables, f"shunt {shunt.index[k]} with g0 above g1")
        # A star to ground has one admittance in all sequences, a delta none in the zero sequence.
        for connection, y in (("wye", complex(y0[k])), ("delta", complex(y1[k] - y0[k]))):
            if abs(y) > _SAME * abs(y1[k]):
                power = 1e3 * y.conjugate() * kv[node] ** 2
                record = {"bus": bus_of[node], "name": f"shunt {shunt.index[k]} {connection}", "connection": connection}
                record |= {"p_kw": power.real, "q_kvar": power.imag, "impedance_percent": 100.0}
                found["loads"].append(record)
    return {key: records for key, records in found.items() if records}
