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
from learnopt.io.profiles.table import ProfileTable, Quantity, bus_of_column, quantity_of, read_profile_table, wide
from learnopt.network import Floats, Network
from learnopt.wording import counted, suggestion

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
    return Profiles(times, *_powers(quantities, values, network, notes, subject), tuple(notes), network.n_branch)


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
            _, why = network.find_bus(bus_of_column(column))
            bad.append(
                f"column {column!r}: {why}"
                if "is the name of" in why
                else f"column {column!r} fits no bus of network {network.name!r}: "
                "name it after a bus id with .p_kw, .q_kvar, .gen_kw or .pu, or 'scale'"
                + suggestion(bus_of_column(column), (*network.bus_names, *network.bus_ids))
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
) -> tuple[Floats, Floats, Floats, Floats]:
    """Net loads p and q of all buses, and the generation in them [pu], shape (n_time, n_bus) each."""
    n_time, kw = len(values), network.base.kw
    drawn, drawn_q = network.p_load + network.p_fed, network.q_load + network.q_fed
    p, q, fed, fed_q = (np.tile(a, (n_time, 1)) for a in (drawn, drawn_q, network.p_fed, network.q_fed))
    bad = []
    given: dict[str, set[int]] = {k: set() for k in ("p", "q", "pu", "scale", "gen", "genq", "gen_scale")}
    for quantity in quantities:
        given[quantity.kind].add(quantity.bus)
    # What a file gives of a bus stands for all that the case has there, unless it gives the generation apart.
    replaced = sorted((given["p"] | given["q"]) - given["gen"] - given["genq"])
    fed[:, replaced] = fed_q[:, replaced] = 0.0
    for quantity, column in zip(quantities, values.T, strict=True):
        k, kind = quantity.bus, quantity.kind
        if kind in ("scale", "gen_scale"):
            for powers in (p, q) if kind == "scale" else (fed, fed_q):
                powers *= column[:, None]
            continue
        if kind == "pu":
            p[:, k], q[:, k] = drawn[k] * column, drawn_q[k] * column
            continue
        if quantity.bare and np.abs(column).max() <= _SUSPICIOUS_PU and abs(network.p_load[k]) * kw > _SUSPICIOUS_KW:
            bad.append(
                f"column {quantity.column!r} holds values up to {np.abs(column).max():.3g} while the case has "
                f"{network.p_load[k] * kw:.4g} kW at this bus: say the unit, .p_kw or .pu (of the case's load)"
            )
        {"p": p, "q": q, "gen": fed, "genq": fed_q}[kind][:, k] = column * quantity.kilo / kw
    loads = given["p"] | given["q"] | given["pu"]
    if given["scale"] and loads:
        bad.append("a 'scale' column multiplies all loads and cannot stand beside columns of single buses")
    if given["gen_scale"] and (given["gen"] | given["genq"]):
        bad.append("a column that scales all generation cannot stand beside columns of that of single buses")
    both = given["pu"] & (given["p"] | given["q"])
    bad += [f"bus {network.bus_ids[k]!r} is given per unit and in kW or kvar: keep one" for k in sorted(both)]
    if bad:
        raise DataError(subject, bad)
    derived = sorted(k for k in given["p"] - given["q"] if drawn[k] != 0)
    for k in derived:
        q[:, k] = p[:, k] * (drawn_q[k] / drawn[k])
    if derived:
        notes.append(f"reactive power of {counted(len(derived), 'bus')} follows at the power factor of the case")
    loadless = [k for k in sorted(given["pu"]) if drawn[k] == 0 and drawn_q[k] == 0]
    if loadless:
        names = ", ".join(repr(network.bus_ids[k]) for k in loadless[:10]) + (" ..." if len(loadless) > 10 else "")
        notes.append(f"per unit of a case load of zero stays zero: bus {names}")
    if not given["scale"]:
        loaded = set(np.flatnonzero((network.p_load != 0) | (network.q_load != 0)).tolist())
        kept = loaded - loads - given["gen"] - given["genq"]
        if kept and loads:
            notes.append(
                f"{counted(len(kept), 'bus with load', 'buses with load')} "
                "not in the file: there stays the load of the case"
            )
    notes += _about_generation(network, given, replaced)
    return p - fed, q - fed_q, fed, fed_q


def _about_generation(network: Network, given: dict[str, set[int]], replaced: list[int]) -> list[str]:
    """What happens to generation that no column gives, and where a net value had to be scaled."""
    notes = []
    feeding = np.flatnonzero((network.p_load + network.p_fed) < 0)
    if given["scale"] and len(feeding):
        notes.append(
            f"{counted(len(feeding), 'bus feeds', 'buses feed')} "
            "in and the case does not say what is load and what is generation: 'scale' "
            f"multiplies their net value (bus {', '.join(str(network.bus_ids[k]) for k in feeding[:5])})"
        )
    apart = np.flatnonzero(network.p_fed != 0)
    if given["scale"] and len(apart) and not given["gen_scale"] | given["gen"]:
        notes.append(f"'scale' multiplies loads; the generation of {counted(len(apart), 'bus')} stays as in the case")
    net = [k for k in replaced if network.p_fed[k]]
    if net:
        notes.append(
            f"columns of {counted(len(net), 'bus')} stand for load and generation there, net: .gen_kw gives it apart"
        )
    return notes
