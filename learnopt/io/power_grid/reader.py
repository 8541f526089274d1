"""JSON datasets of power-grid-model (``json_serialize_to_file``).

==================  ====================================================================================
buses               nodes, with their id
branches            ``line 12``, ``asym_line 3``, ``transformer 4``, ``generic_branch 5``, ``link 7``
switches            links, and whatever is open at an end; without links every line; ``switchable`` says otherwise
open at one end     what lies behind the open end stays energised from the other, as in power-grid-model
substations         ``source 9``, behind its impedance
loads               by their types; where phases differ each as it is, else the sums of each bus
==================  ====================================================================================

A dataset whose phases differ (asym_load, asym_gen, asym_line) is read in all its phases.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learnopt.errors import UnsupportedError
from learnopt.io.case_json import network_from_dict
from learnopt.io.pandapower.tables import Tables
from learnopt.io.power_grid.branches import inside, links_of
from learnopt.io.power_grid.phases import in_service, phase_powers, unequal_phases, with_phases
from learnopt.io.power_grid.tables import POWERS, tables_of_json
from learnopt.io.stations import Link, LooseEnd, contract_stations, energised_from_one_end, fed_buses, turned
from learnopt.network import Network
from learnopt.wording import counted

_KEYS = ("p_kw", "q_kvar", "p_gen_kw", "q_gen_kvar", "shunt_p_kw", "shunt_q_kvar")
_TYPES = range(3)
"""Constant power, impedance and current."""


def network_from_power_grid_json(raw: Mapping[str, Any], subject: str) -> tuple[Network, tuple[str, ...]]:
    """Read a parsed dataset; with notes.

    Raises
    ------
    DataError
        With every violation of its components.
    UnsupportedError
        For components that are not modelled, by name.
    """
    notes: list[str] = []
    tables = tables_of_json(raw, subject, notes)
    node = tables["node"]
    rated = node.numbers("u_rated", low=1.0)
    kv: dict[Any, float] = {index: float(value) / 1e3 for index, value in zip(node.index, rated, strict=True)}
    links = links_of(tables, kv, notes)
    sources = _sources(tables, kv, links)
    powers = _powers(tables, kv)
    why = unequal_phases(tables)
    tables.raise_violations()
    bus_of, links, merged = contract_stations(list(kv), links, list(sources), subject)
    notes += merged
    fed = fed_buses(set(bus_of.values()), links, list(sources))
    lost = [index for index in bus_of if bus_of[index] not in fed]
    if lost:
        notes.append(
            f"{counted(len(lost), 'node has', 'nodes have')} no path to a source even with every switch closed, left "
            f"out: {', '.join(map(str, lost[:10]))}{' ...' if len(lost) > 10 else ''}"
        )
    bus_of = {index: standing for index, standing in bus_of.items() if standing in fed}
    links, ends = energised_from_one_end((link for link in links if link.from_bus in fed), kv)
    bus_of |= {end.bus: end.bus for end in ends}
    record = _record(tables, kv, bus_of, links, ends, sources)
    if any(link.y.imag > 0 for link in links):
        notes.append("capacitances count at 50 Hz: a dataset states no frequency")
    if why:
        case = with_phases(record, tables, links, bus_of)
        tables.raise_violations()
        network = network_from_dict(case, subject)
        return network, (*notes, f"read in all its phases: {why}")
    for bus in record["buses"]:
        bus |= dict.fromkeys(_KEYS, 0.0)
    at = {bus["id"]: bus for bus in record["buses"]}
    for index, values in powers.items():
        if index in bus_of:
            for key, value in values.items():
                at[bus_of[index]][key] += value
    if any(2 in set(tables[kind].numbers("type", 0.0, empty=True)) for kind in POWERS):
        notes.append("loads of constant current are half power, half impedance")
    return network_from_dict(record, subject), tuple(notes)


def _sources(tables: Tables, kv: dict[Any, float], links: list[Link]) -> dict[Any, tuple[float, float]]:
    """Voltage [pu] and angle [degree] of each source by its bus; they join ``kv``, their impedances ``links``."""
    source = tables["source"]
    vm = source.numbers("u_ref", low=1e-3)
    angle = source.numbers("u_ref_angle", 0.0, empty=True)
    source.flags("status", True)
    source.numbers("z01_ratio", 1.0, low=0.0, empty=True)
    found: dict[Any, tuple[float, float]] = {}
    at: dict[Any, str] = {}
    for k, node in enumerate(source.references("node", tables["node"])):
        if not in_service(source, k) or node is None:
            continue
        name = f"source {source.index[k]}"
        if node in at:
            source.bad.append(f"{name} and {at[node]} feed node {node}: keep one, with the short-circuit power of both")
        at[node] = name
        kv[name] = kv[node]
        found[name] = (float(vm[k]), turned(math.degrees(angle[k])))
        links.append(Link(name, "source", source.texts("name")[k], name, node, z=inside(source, k)))
    if not found:
        source.bad.append("no source is in service: at least one must feed the network")
    return found


def _powers(tables: Tables, kv: Mapping[Any, float]) -> dict[Any, dict[str, float]]:
    """What is drawn, fed and held by shunts at each node, as keys of a case file; all cells checked."""
    found: defaultdict[Any, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for kind in POWERS:
        element = tables[kind]
        element.flags("status", True)
        types = element.numbers("type", 0.0, low=0.0, empty=True)
        p, q = (phase_powers(element, f"{one}_specified").sum(axis=1) / 1e3 for one in "pq")
        for k, node in enumerate(element.references("node", tables["node"])):
            if not in_service(element, k):
                continue
            name = f"{kind} {element.index[k]}"
            if types[k] not in _TYPES:
                element.bad.append(f"{name}: type = {types[k]:g} must be 0 (power), 1 (impedance) or 2 (current)")
                continue
            if kind.endswith("gen"):
                if types[k]:
                    constant = "impedance" if types[k] == 1 else "current"
                    raise UnsupportedError(
                        f"{tables.subject}: not modelled: {name} of constant {constant}: generation has constant power "
                        "(type 0)"
                    )
                for key, value in (("p_kw", -p[k]), ("q_kvar", -q[k]), ("p_gen_kw", p[k]), ("q_gen_kvar", q[k])):
                    found[node][key] += float(value)
                continue
            share = (0.0, 1.0, 0.5)[int(types[k])]
            for key, value in (("p_kw", p[k]), ("q_kvar", q[k])):
                found[node][key] += float(value) * (1 - share)
                found[node]["shunt_" + key] += float(value) * share
    shunt = tables["shunt"]
    shunt.flags("status", True)
    g, b = shunt.numbers("g1"), shunt.numbers("b1")
    for column in ("g0", "b0"):
        shunt.numbers(column, 0.0, empty=True)
    for k, node in enumerate(shunt.references("node", tables["node"])):
        if in_service(shunt, k) and node in kv:
            found[node]["shunt_p_kw"] += 1e3 * float(g[k]) * kv[node] ** 2
            found[node]["shunt_q_kvar"] -= 1e3 * float(b[k]) * kv[node] ** 2
    return {node: dict(values) for node, values in found.items()}


def _record(
    tables: Tables,
    kv: Mapping[Any, float],
    bus_of: Mapping[Any, Any],
    links: list[Link],
    ends: tuple[LooseEnd, ...],
    sources: Mapping[Any, tuple[float, float]],
) -> dict[str, Any]:
    """The case file of the dataset, without what is drawn."""
    node = tables["node"]
    names: dict[Any, str] = dict(zip(node.index, node.texts("name"), strict=True))
    names |= {end.bus: end.name(names) for end in ends}
    standing = dict.fromkeys(bus_of.values())
    return {
        "name": Path(tables.subject).stem,
        "source": tables.subject,
        "base_kv": Counter(kv[bus] for bus in standing).most_common(1)[0][0],
        "substations": list(sources),
        "substation_data": {bus: {"v_pu": vm, "va_deg": va} for bus, (vm, va) in sources.items()},
        "buses": [{"id": bus, "kv": kv[bus], "name": names.get(bus, "")} for bus in standing],
        "branches": [link.record(kv[link.from_bus], link.y) for link in links],
        "taps": [tap for link in links for tap in link.tap_record],
        "devices": [device for link in links for device in link.device_records],
    }
