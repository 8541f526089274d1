"""Load profiles: a table of times and powers as scenarios of a network.

CSV or Parquet; wide (a column per bus, or one scaling column) or long (a row per time and bus). Column names, units and
what is done about missing values and clock changes: ``docs/formats.md``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from learnopt.errors import DataError
from learnopt.io.profiles.clock import read_times, regular_series
from learnopt.io.profiles.series import Profiles
from learnopt.io.profiles.table import ProfileTable, Quantity, quantity_of, read_profile_table, wide
from learnopt.network import Floats, Network

_SUSPICIOUS_PU, _SUSPICIOUS_KW = 2.0, 20.0
"""Powers up to 2 at a bus of more than 20 kW are taken for per unit that somebody forgot to mark."""


def profiles_of_table(path: Path, network: Network) -> Profiles:
    """Load profiles of a network from a CSV or Parquet file.

    Raises
    ------
    DataError
        With every violation at once: unreadable times or numbers, unknown columns or buses, columns without a unit.
    """
    table = read_profile_table(path)
    subject = str(path)
    times, zoned = read_times(table.times, subject)
    quantities = _quantities(table, network, subject)
    rows, values = wide(table, times, subject) if table.long else (times, table.values)
    names = [q.column for q in quantities]
    times, values, notes = regular_series(rows, values, names, not zoned, subject)
    if zoned:
        notes.insert(0, "times with a UTC offset were converted to UTC")
    p, q = _powers(quantities, values, network, notes, subject)
    return Profiles(times, p, q, tuple(notes), network.n_branch)


def _quantities(table: ProfileTable, network: Network, subject: str) -> list[Quantity]:
    """What each column holds.

    Raises
    ------
    DataError
        Naming every column that no bus or quantity fits, and quantities given twice.
    """
    found, bad = [], []
    for column in table.columns:
        quantity = quantity_of(column, network)
        if quantity is None:
            bad.append(
                f"column {column!r} fits no bus of network {network.name!r}: "
                "name it after a bus id with .p_kw, .q_kvar or .pu, or 'scale'"
            )
        else:
            found.append(quantity)
    seen: dict[tuple[int, str], str] = {}
    for quantity in found:
        other = seen.setdefault((quantity.bus, quantity.kind), quantity.column)
        if other != quantity.column:
            bad.append(f"columns {other!r} and {quantity.column!r} give the same quantity of one bus")
    if not table.columns:
        bad.append("there is no column of values beside the time")
    if bad:
        raise DataError(subject, bad)
    return found


def _powers(
    quantities: list[Quantity], values: Floats, network: Network, notes: list[str], subject: str
) -> tuple[Floats, Floats]:
    """Net loads [pu] of all buses, shape (n_time, n_bus) each."""
    n_time, kw = len(values), network.base.kw
    p, q = np.tile(network.p_load, (n_time, 1)), np.tile(network.q_load, (n_time, 1))
    bad = []
    given: dict[str, set[int]] = {"p": set(), "q": set(), "pu": set(), "scale": set()}
    for quantity, column in zip(quantities, values.T, strict=True):
        k = quantity.bus
        given[quantity.kind].add(k)
        if quantity.kind == "scale":
            p *= column[:, None]
            q *= column[:, None]
            continue
        if quantity.kind == "pu":
            p[:, k], q[:, k] = network.p_load[k] * column, network.q_load[k] * column
            continue
        if quantity.bare and np.abs(column).max() <= _SUSPICIOUS_PU and abs(network.p_load[k]) * kw > _SUSPICIOUS_KW:
            bad.append(
                f"column {quantity.column!r} holds values up to {np.abs(column).max():.3g} while the case has "
                f"{network.p_load[k] * kw:.4g} kW at this bus: say the unit, .p_kw or .pu (of the case's load)"
            )
        (p if quantity.kind == "p" else q)[:, k] = column * quantity.kilo / kw
    if given["scale"] and len(quantities) > 1:
        bad.append("a 'scale' column multiplies all loads and cannot stand beside columns of single buses")
    both = given["pu"] & (given["p"] | given["q"])
    bad += [f"bus {network.bus_ids[k]!r} is given per unit and in kW or kvar: keep one" for k in sorted(both)]
    if bad:
        raise DataError(subject, bad)
    derived = sorted(k for k in given["p"] - given["q"] if network.p_load[k] != 0)
    for k in derived:
        q[:, k] = p[:, k] * (network.q_load[k] / network.p_load[k])
    if derived:
        notes.append(f"reactive power of {len(derived)} buses follows at the power factor of the case")
    loadless = [k for k in sorted(given["pu"]) if network.p_load[k] == 0 and network.q_load[k] == 0]
    if loadless:
        names = ", ".join(repr(network.bus_ids[k]) for k in loadless[:10]) + (" ..." if len(loadless) > 10 else "")
        notes.append(f"per unit of a case load of zero stays zero: bus {names}")
    if not given["scale"]:
        loaded = set(np.flatnonzero((network.p_load != 0) | (network.q_load != 0)).tolist())
        kept = loaded - given["p"] - given["q"] - given["pu"]
        if kept:
            notes.append(f"{len(kept)} buses with load are not in the file and keep the load of the case")
    return p, q
