"""Nets of pandapower: JSON files of ``pandapower.to_json``, net objects, and the networks that pandapower ships.

==================  ====================================================================================
branches            ``line 12``, ``trafo 3``, ``switch 7`` (bus-bus) after kind and index; ``trafo3w 0 mv`` is a leg
switches            a line or transformer is switchable if it has a switch, however many; open if one of them is open.
                    Each is a device of the network; :mod:`learnopt.network.switchgear` says which one opens a branch
couplers            bus-bus switches are branches of no impedance
stations            closed couplers and transformers in a loop are contracted: ``trafo 0 + trafo 1``
open at one end     what lies behind the open switch stays energised from the other end, as in pandapower's power
                    flow: ``line 12 behind its switch`` is fixed, and the switch is ``line 12``
substations         buses of external grids and slack generators, at their voltage; transformers are branches
loads               constant power; the impedance share is a shunt, the current share half of each
==================  ====================================================================================

Buses keep their index as id. Elements out of service are left out.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError, UnsupportedError
from learnopt.io.case_json import network_from_dict
from learnopt.io.pandapower.branches import branches
from learnopt.io.pandapower.loads import Injections
from learnopt.io.pandapower.phases import MissingPhasesError, with_phases
from learnopt.io.pandapower.tables import MODELLED, Element, Tables, tables_of_json, tables_of_net
from learnopt.io.pandapower.tool import PandapowerTool
from learnopt.io.pandapower.trafo3w import star_point
from learnopt.io.source import Loaded
from learnopt.io.stations import Link, LooseEnd, contract_stations, energised_from_one_end, fed_buses, turned
from learnopt.network import Bools, Network
from learnopt.wording import agreeing, counted, suggestion

_WITHOUT_EFFECT = ("measurement", "pwl_cost", "poly_cost", "group", "protection")
"""Tables of pandapower that name buses or branches and change no power flow."""
_WIDEST = 2.0
"""Voltage limits from here on are stand-ins for "none" [pu]."""
_NAMED = 5
"""Elements of one kind that a sentence names."""


@dataclass(frozen=True, eq=False)
class PandapowerCase:
    """A network with the way back to the net it was read from.

    Parameters
    ----------
    notes
        What was assumed, merged or left out, one sentence each.
    bus_of
        Id of the bus that stands for each bus of the net that was kept.
    tables
        The tables it was read from.
    explained
        Reductions that make pandapower's own power flow another one.
    held
        Elements that are controllable in the net and stay at their power, by name.
    """

    network: Network
    notes: tuple[str, ...]
    bus_of: Mapping[Any, Any]
    tables: Tables
    explained: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def loaded(self) -> Loaded:
        """The network with pandapower as the tool it comes from."""
        return Loaded(self.network, self.notes, PandapowerTool(self.tables, self.bus_of), self.explained, self.held)


def network_from_pandapower(net: Any, subject: str = "pandapower net") -> PandapowerCase:
    """Read a ``pandapowerNet`` object.

    Raises
    ------
    DataError
        With every violation of the tables.
    UnsupportedError
        For elements that are not modelled, by name.
    """
    return _case(tables_of_net(net, subject))


def case_from_pandapower_json(raw: Mapping[str, Any], subject: str) -> PandapowerCase:
    """Read a parsed file of ``pandapower.to_json``; errors as in :func:`network_from_pandapower`."""
    return _case(tables_of_json(raw, subject))


def pandapower_case(name: str) -> PandapowerCase:
    """A network of ``pandapower.networks``, for instance ``mv_oberrhein``; errors as in :func:`pandapower_net`."""
    return network_from_pandapower(pandapower_net(name), f"pandapower:{name}")


def pandapower_net(name: str) -> Any:
    """The net that a function of ``pandapower.networks`` makes.

    Raises
    ------
    UnsupportedError
        If pandapower is not installed, or too old for the pandas that is.
    DataError
        If there is no such function.
    """
    try:
        import pandapower.networks
    except ImportError:
        raise UnsupportedError(
            f"pandapower:{name} needs pandapower, which is not installed: pip install 'learnopt[pandapower]'"
        ) from None
    function = getattr(pandapower.networks, name, None)
    if name.startswith("_") or not callable(function):
        near = suggestion(name, dir(pandapower.networks))
        raise DataError(f"pandapower:{name}", [f"pandapower.networks has no function {name!r}{near}"])
    module = sys.modules[function.__module__]
    try:
        # Some functions end with a power flow that nobody needs here.
        from unittest import mock

        with mock.patch.object(module, "runpp", create=True):
            net = function()
    except Exception as error:  # whatever a function of somebody else's library raises
        import pandas

        raise UnsupportedError(
            f"pandapower:{name} cannot be made by pandapower {pandapower.__version__} with pandas {pandas.__version__} "
            f"({type(error).__name__}: {error}): install versions that fit, or load a file of pandapower.to_json"
        ) from None
    if not hasattr(net, "bus"):
        raise DataError(f"pandapower:{name}", ["the function does not return one net"])
    return net


def _case(tables: Tables) -> PandapowerCase:
    """Network of the tables."""
    notes: list[str] = []
    bus = tables["bus"]
    in_service, nominal = bus.flags("in_service", True), bus.numbers("vn_kv", low=1e-3)
    _refuse(tables, notes)
    kv = {index: float(nominal[k]) for k, index in enumerate(bus.index) if in_service[k]}
    sources = _sources(tables, kv)
    triple = tables["trafo3w"]
    for index, bus_index in zip(triple.index, triple.references("hv_bus", bus), strict=True):
        if bus_index in kv:
            kv[star_point(index)] = kv[bus_index]
    links, ends = branches(tables, kv, dict(zip(bus.index, nominal.tolist(), strict=True)), notes)
    explained: list[str] = []
    injections = Injections(tables, notes, explained)
    tables.raise_violations()
    if not sources:
        raise DataError(tables.subject, ["no external grid in service: at least one bus must be a substation"])
    bus_of, links, merged = contract_stations(list(kv), links, list(sources), tables.subject)
    notes += merged
    voltage: dict[Any, tuple[float, float]] = {}
    for source, held in sources.items():
        other = voltage.setdefault(bus_of[source], held)
        if other != held:
            raise DataError(
                tables.subject,
                [f"sources at bus {bus_of[source]} ask for {_phasor(other)} and {_phasor(held)}"],
            )
    fed = fed_buses(set(bus_of.values()), links, list(voltage))
    lost = [index for index in bus_of if bus_of[index] not in fed]
    if lost:
        names = ", ".join(map(str, lost[:10])) + (" ..." if len(lost) > 10 else "")
        notes.append(
            f"{counted(len(lost), 'bus has', 'buses have')} "
            f"no path to a source even with every switch closed, left out: {names}"
        )
    bus_of = {index: standing for index, standing in bus_of.items() if standing in fed}
    links, loose = energised_from_one_end((link for link in links if link.from_bus in fed), kv)
    ends += loose
    bus_of |= {end.bus: end.bus for end in loose}
    if not any(link.switchable for link in links):
        notes.append("the net has no switch: no branch can be operated")
    record = _record(tables, kv, bus_of, links, ends, voltage, injections)
    network = _network(record, tables, bus_of, notes, bool(injections.unequal))
    explained += injections.unequal
    if injections.held:
        notes.append(f"{held_at_present(injections.held)}: a net's controllable elements are no controls here")
    said = (*notes, *injections.unequal)
    return PandapowerCase(network, said, bus_of, tables, tuple(explained), tuple(injections.held))


def _network(
    record: dict[str, Any], tables: Tables, bus_of: Mapping[Any, Any], notes: list[str], unequal: bool
) -> Network:
    """The network of a record, with its phases where they differ and the net says enough of them."""
    if unequal:
        try:
            network = network_from_dict(with_phases(record, tables, bus_of), tables.subject)
        except MissingPhasesError as missing:
            notes.append(f"read as a balanced network, not in all its phases: {missing}")
        except DataError as error:
            notes.append(f"read as a balanced network, not in all its phases: {error.violations[0]}")
        else:
            notes.append("read in all its phases: unequal loads, zero sequence of lines and transformers")
            if network.phases is not None and not all(one.zero_ohm for one in network.phases.sources):
                notes.append(
                    "external grids without s_sc_max_mva hold all three sequences; pandapower itself asks for it"
                )
            return network
    return network_from_dict(record, tables.subject)


def held_at_present(held: Sequence[str]) -> str:
    """What is controllable in a net and stays as it is, in words."""
    more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
    return f"{', '.join(held[:_NAMED])}{more} {agreeing(len(held), 'stays', 'stay')} at the power of the file"


def _phasor(held: tuple[float, float]) -> str:
    return f"{held[0]:g} pu at {held[1]:g} degrees"


def _refuse(tables: Tables, notes: list[str]) -> None:
    """Elements that have an effect and no model here.

    A table that is not read and has buses as terminals is an element, known to pandapower or not.

    Raises
    ------
    UnsupportedError
        Naming them.
    """
    found, unread = [], []
    for kind, element in tables.elements.items():
        if kind in (*MODELLED, *_WITHOUT_EFFECT, "bus_geodata", "line_geodata", "controller") or not len(element):
            continue
        if kind == "bus_dc" or any(c in ("bus", "bus_dc") or c.endswith(("_bus", "_bus_dc")) for c in element.columns):
            found += _some(element, element.flags("in_service", True))
        else:
            unread.append(kind)
    if unread:
        notes.append(f"tables that are not read, and are no elements at a bus: {', '.join(sorted(unread))}")
    gen = tables["gen"]
    holding = _some(gen, gen.flags("in_service", True) & ~gen.flags("slack", False))
    if holding:
        found.append(f"{', '.join(holding)} (holding a voltage: replace by an sgen of the same reactive power)")
    if found:
        raise UnsupportedError(
            f"{tables.subject}: not modelled: {', '.join(found)}. Take them out of service or replace them"
        )
    acting = _some(tables["controller"], tables["controller"].flags("in_service", True, empty=True))
    if acting:
        notes.append(
            f"controllers are not simulated, taps and set points stay as they are, as in runpp(run_control=False): "
            f"{', '.join(acting)}"
        )


def _some(element: Element, on: Bools) -> list[str]:
    """Names of the first of these rows."""
    names = [name for name, active in zip(element.names(), on, strict=True) if active]
    return names[:_NAMED] + [f"{len(names) - _NAMED} more"] * (len(names) > _NAMED)


def _sources(tables: Tables, kv: Mapping[Any, float]) -> dict[Any, tuple[float, float]]:
    """Voltage [pu] and angle [degree] of every bus that an external grid or slack generator holds."""
    found: dict[Any, tuple[float, float]] = {}
    for kind in ("ext_grid", "gen"):
        element = tables[kind]
        active = element.flags("in_service", True) & element.flags("slack", kind == "ext_grid")
        buses, vm = element.references("bus", tables["bus"]), element.numbers("vm_pu", 1.0, low=1e-3)
        va = element.numbers("va_degree", 0.0)
        for k in np.flatnonzero(active):
            held = (float(vm[k]), turned(float(va[k])))
            if buses[k] in kv and found.setdefault(buses[k], held) != held:
                tables.bad.append(
                    f"{element.names()[k]}: vm_pu = {vm[k]}, va_degree = {va[k]} differs from another source at bus "
                    f"{buses[k]}"
                )
    return found


def _record(
    tables: Tables,
    kv: Mapping[Any, float],
    bus_of: Mapping[Any, Any],
    links: list[Link],
    ends: list[LooseEnd],
    voltage: Mapping[Any, tuple[float, float]],
    injections: Injections,
) -> dict[str, Any]:
    """The case file of the net."""
    bus = tables["bus"]
    names = dict(zip(bus.index, bus.texts("name"), strict=True))
    names |= {end.bus: end.name(names) for end in ends} | _star_names(tables)
    places, limits = _places(tables), _voltage_limits(bus, bus_of)
    for end in ends:
        end.place(places)
    buses: dict[Any, dict[str, Any]] = {}
    for index, standing in bus_of.items():
        entry = buses.setdefault(
            standing,
            {"id": standing, "kv": kv[standing], "name": names.get(standing, ""), **limits.get(standing, {})}
            | dict.fromkeys(("p_kw", "q_kvar", "p_gen_kw", "q_gen_kvar", "shunt_p_kw", "shunt_q_kvar"), 0.0),
        )
        for key, powers in (
            ("p_kw", injections.p),
            ("q_kvar", injections.q),
            ("p_gen_kw", injections.p_gen),
            ("q_gen_kvar", injections.q_gen),
            ("shunt_p_kw", injections.shunt_p),
            ("shunt_q_kvar", injections.shunt_q),
        ):
            entry[key] += 1e3 * powers[index]
        if standing in places:
            entry["x"], entry["y"] = places[standing]
    return {
        "name": tables.name or Path(tables.subject.partition(":")[2] or tables.subject).stem,
        "source": tables.subject,
        "base_kv": Counter(kv[standing] for standing in buses).most_common(1)[0][0],
        "substations": list(voltage),
        "substation_data": {str(root): {"v_pu": vm, "va_deg": va} for root, (vm, va) in voltage.items()},
        "buses": list(buses.values()),
        "branches": [link.record(kv[link.from_bus], link.y) for link in links],
        "taps": [tap for link in links for tap in link.tap_record],
        "devices": [device for link in links for device in link.device_records],
    }


def _star_names(tables: Tables) -> dict[Any, str]:
    """What people call the star points of transformers with three windings."""
    triple = tables["trafo3w"]
    given = zip(triple.index, triple.texts("name"), strict=True)
    return {star_point(index): f"{name or star_point(index)}, star point" for index, name in given}


def _voltage_limits(bus: Element, bus_of: Mapping[Any, Any]) -> dict[Any, dict[str, float]]:
    """Voltage limits by bus, the narrowest of those that one bus stands for; pandapower's wide defaults say nothing."""
    limits: dict[Any, dict[str, float]] = {}
    for column, key, narrower in (("min_vm_pu", "vm_min_pu", max), ("max_vm_pu", "vm_max_pu", min)):
        values = bus.numbers(column, math.nan, empty=True).tolist()
        for index, value in zip(bus.index, values, strict=True):
            if index in bus_of and 0 < value < _WIDEST:
                of_bus = limits.setdefault(bus_of[index], {})
                of_bus[key] = narrower(value, of_bus.get(key, value))
    return limits


def _places(tables: Tables) -> dict[Any, tuple[float, float]]:
    """Coordinates of the buses that have some: a GeoJSON point each, before pandapower 3 a table."""
    places = {}
    for index, text in zip(tables["bus"].index, tables["bus"].texts("geo"), strict=True):
        try:
            point = json.loads(text)["coordinates"]
            places[index] = (float(point[0]), float(point[1]))
        except (ValueError, TypeError, KeyError, IndexError):
            continue
    geodata = tables["bus_geodata"]
    if len(geodata):
        x, y = geodata.numbers("x", math.nan, empty=True), geodata.numbers("y", math.nan, empty=True)
        places |= {i: (float(x[k]), float(y[k])) for k, i in enumerate(geodata.index) if np.isfinite(x[k] + y[k])}
    return places
