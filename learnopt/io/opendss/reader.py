"""OpenDSS master files (``.dss``), read through OpenDSS itself and reduced to the positive sequence.

==================  ====================================================================================
branches            ``line.650632``, ``transformer.sub``: OpenDSS's full names; ``vsource.source`` is its impedance
laterals            lines of one or two phases carry their power as a branch of three phases of the same loss
transformers        ratio at the tap in use after OpenDSS's solution; single-phase units side by side are a bank
switches            lines with ``Switch=yes``, a SwtControl or an open terminal; disabled switches are open
substations         a bus behind the impedance of each Vsource, at its voltage
loads               sum of the phases; constant impedance is a shunt, constant current half of each
==================  ====================================================================================
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError
from learnopt.io.case_json import network_from_dict
from learnopt.io.opendss.banks import banks, refuse_bridges
from learnopt.io.opendss.branches import OPEN_END, SourceVoltage, lines, sources, switch_states, ties_by_phase
from learnopt.io.opendss.classes import refuse_unmodelled
from learnopt.io.opendss.engine import each, engine, rated_voltages, terminals
from learnopt.io.opendss.loads import Injection, injections
from learnopt.io.opendss.tool import OpenDSSTool
from learnopt.io.opendss.transformers import corrected_bases, split_phase_buses, transformers
from learnopt.io.source import Loaded
from learnopt.io.stations import Link, LooseEnd, contract_stations, energised_from_one_end, fed_buses, turned
from learnopt.network import Floats, Network
from learnopt.network.phase_data import ABC
from learnopt.wording import counted

_DEAD_VOLTS = 1.0
"""Voltage below which an element is fed by nothing [V]."""
_LISTED = 5
"""Notes of one kind that are written out."""


@dataclass(frozen=True, eq=False)
class LoadShape:
    """Factors over time.

    Parameters
    ----------
    hours
        Between two values.
    p, q
        Factors of active and reactive power, or kW and kvar where ``actual``.
    """

    hours: float
    p: Floats
    q: Floats
    actual: bool


@dataclass(frozen=True, eq=False)
class OpenDSSCase:
    """A network with what its profiles need.

    Parameters
    ----------
    notes
        What was assumed or left out, and OpenDSS's own solution, one sentence each.
    injections
        Elements at the buses of the network.
    shapes
        Load shapes that they name.
    tool
        The file in OpenDSS.
    explained
        The reductions that may make OpenDSS's loss another one (:class:`~learnopt.io.source.Loaded`).
    """

    network: Network
    notes: tuple[str, ...]
    injections: tuple[Injection, ...]
    shapes: Mapping[str, LoadShape]
    tool: OpenDSSTool
    explained: tuple[str, ...] = ()

    @property
    def loaded(self) -> Loaded:
        """As every reader returns it."""
        return Loaded(self.network, self.notes, self.tool, self.explained)


def read_opendss(path: Path, hour: float | None = None, root: Path | None = None) -> OpenDSSCase:
    """Read a master file; OpenDSS solves it, and its solution is in the notes.

    Parameters
    ----------
    hour, root
        As for :func:`~learnopt.io.opendss.engine.engine`.

    Raises
    ------
    UnsupportedError
        If opendssdirect is not installed, and for elements that are not modelled, by name.
    DataError
        With OpenDSS's own text for a file that it does not read, and if no source feeds the circuit.
    """
    notes: list[str] = []
    with engine(path, hour, root) as dss:
        if not np.isfinite(dss.Circuit.AllBusVMag()).all():
            raise DataError(str(path), ["OpenDSS's power flow of it ends without numbers (NaN): it cannot be read"])
        refuse_unmodelled(dss, str(path), notes)
        if hour is None:
            _ask_for_an_instant(dss, path, notes)
        return _case(dss, path, notes, OpenDSSTool(path, hour, root))


def _ask_for_an_instant(dss: Any, path: Path, notes: list[str]) -> None:
    """Say that loads follow shapes, of which the snapshot knows nothing; refuse a snapshot without power flow."""
    shaped = sum(bool(dss.Loads.Yearly() or dss.Loads.Daily()) for _ in each(dss.Loads))
    if not shaped:
        return
    if not dss.Solution.Converged():
        raise DataError(
            str(path),
            [
                f"OpenDSS finds no power flow of the nominal loads, {shaped} of which follow load shapes: give an "
                "instant of them, the option hour"
            ],
        )
    notes.append(f"{shaped} loads follow load shapes; read are the nominal ones, the option hour gives an instant")


def _case(dss: Any, path: Path, notes: list[str], tool: OpenDSSTool) -> OpenDSSCase:
    """Network of the circuit in the engine: what needs its solution first, then the lines with all switches closed."""
    kv, places = {}, {}
    explained: list[str] = []
    for name in dss.Circuit.AllBusNames():
        dss.Circuit.SetActiveBus(name)
        if dss.Bus.kVBase() > 0:
            kv[name.lower()] = dss.Bus.kVBase() * math.sqrt(3)
        if dss.Bus.Coorddefined():
            places[name.lower()] = (dss.Bus.X(), dss.Bus.Y())
    _missing_bases(dss, kv, notes)
    corrected_bases(dss, kv, notes)
    found = injections(dss, kv, notes, explained, str(path))
    shapes = _shapes(dss, {one.shape for one in found})
    voltage: dict[str, SourceVoltage] = {}
    inner, loss_inside = sources(dss, kv, voltage)
    notes += _solution(dss, loss_inside, explained)
    dead, all_fed = _dead_phases(dss, found), _all_fed(dss)
    links, units = transformers(dss, kv, notes, str(path))
    states = switch_states(dss, notes)
    whole = {frozenset((link.from_bus, link.to_bus)): link for link in links if not link.is_open}
    wires, jumpers = lines(dss, kv, states, split_phase_buses(dss), {*whole, *units}, notes, str(path))
    for ends in whole.keys() & jumpers.keys():
        refuse_bridges(jumpers[ends], [whole[ends]], str(path))
        notes.append(f"closed lines across {whole[ends].id} belong to it and are left out")
    links = [*inner, *links, *banks(units, jumpers, notes, explained, str(path))]
    wires, ties = ties_by_phase(wires, links, all_fed, notes)
    links += wires
    if dss.RegControls.Count():
        notes.append(
            f"{counted(dss.RegControls.Count(), 'regulator control is', 'regulator controls are')} "
            f"not simulated: taps stay as OpenDSS sets them, or are "
            "chosen within their range with the option controls (taps), the phases of a bank together, impedances "
            "unchanged"
        )
    if not voltage:
        raise DataError(str(path), ["no source in it is enabled: at least one Vsource must feed the circuit"])
    bus_of, links, merged = contract_stations(list(kv), links, list(voltage), str(path))
    notes += merged[:_LISTED]
    if len(merged) > _LISTED:
        notes.append(f"and {len(merged) - _LISTED} more of that kind")
    fed = fed_buses(list(kv), links, list(voltage))
    links += _between(ties, bus_of, fed)
    lost = [bus for bus in kv if bus_of[bus] not in fed and not bus.endswith(OPEN_END)]
    if lost:
        names = ", ".join(lost[:10]) + (" ..." if len(lost) > 10 else "")
        notes.append(
            f"{counted(len(lost), 'bus has', 'buses have')} "
            f"no path to a source even with every switch closed, left out: {names}"
        )
    links, loose = energised_from_one_end((link for link in links if link.from_bus in fed), kv)
    fed.update(end.bus for end in loose)
    kept = tuple(one for one in found if bus_of.get(one.bus) in fed)
    if waiting := [one.id for one in kept if one.id in dead]:
        explained.append(
            f"imbalance: {', '.join(waiting[:_LISTED])}{' ...' if len(waiting) > _LISTED else ''} of one or two phases "
            "without voltage in the present state: where a switch feeds them, phases differ"
        )
    if not any(link.switchable for link in links):
        notes.append("the circuit has no switch: no branch can be operated")
    by_phase = frozenset(link.id for link in links if link.is_open and link.phases != ABC)
    partial = {link.id: link.phases for link in links if link.phases != ABC}
    links = [replace(link, switchable=link.switchable and link.id not in by_phase) for link in links]
    record = _record(dss.Circuit.Name(), path, kv, places, links, loose, voltage, kept, fed)
    notes += explained
    network = replace(network_from_dict(record, str(path)), partial=partial, phase_switches=by_phase)
    return OpenDSSCase(network, tuple(notes), kept, shapes, tool, tuple(explained))


def _between(ties: list[Link], bus_of: Mapping[Any, Any], fed: set[Any]) -> list[Link]:
    """Ties of one or two phases between buses that are fed without them."""
    moved = [
        replace(
            link,
            from_bus=bus_of[link.from_bus],
            to_bus=bus_of[link.to_bus],
            switch_end=None if link.switch_end is None else bus_of[link.switch_end],
        )
        for link in ties
    ]
    return [link for link in moved if link.from_bus != link.to_bus and {link.from_bus, link.to_bus} <= fed]


def _all_fed(dss: Any) -> bool:
    """Every node has a voltage in the present state but for the loose ends of ties, whose name says what they are."""
    nodes = zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusVMag(), strict=True)
    dead = [name.lower().rpartition(".") for name, volts in nodes if volts < _DEAD_VOLTS]
    waiting = [bus for bus, _, node in dead if node in ("1", "2", "3") and not bus.endswith(OPEN_END)]
    return bool(dss.Solution.Converged()) and not waiting


def _missing_bases(dss: Any, kv: dict[str, float], notes: list[str]) -> None:
    """Bases of buses that have a voltage but no base in the file: the rated voltage nearest to it."""
    volts: dict[str, list[float]] = {}
    for name, value in zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusVMag(), strict=True):
        bus, _, node = name.lower().rpartition(".")
        if bus not in kv and node in ("1", "2", "3"):
            volts.setdefault(bus, []).append(float(value) * math.sqrt(3) / 1e3)
    rated = rated_voltages(dss)
    found = {}
    for bus, values in volts.items():
        level = float(np.mean(values))
        far = np.abs(np.log(np.array(rated) / level)) if level > 0 else np.full(len(rated), np.inf)
        if far.min(initial=np.inf) < math.log(2):
            found[bus] = rated[int(far.argmin())]
    if found:
        names = ", ".join(f"{bus} ({base:g} kV)" for bus, base in list(found.items())[:_LISTED])
        notes.append(
            f"{counted(len(found), 'bus has', 'buses have')} "
            f"no voltage base in the file, the nearest rated voltage counts: {names}"
            + (" ..." if len(found) > _LISTED else "")
        )
    kv.update(found)


def _shapes(dss: Any, wanted: set[str]) -> dict[str, LoadShape]:
    """Load shapes of these names."""
    found = {}
    for name in each(dss.LoadShape):
        if name in wanted and dss.LoadShape.Npts():
            p = np.array(dss.LoadShape.PMult(), dtype=float)
            q = np.array(dss.LoadShape.QMult(), dtype=float)
            hours = dss.LoadShape.SInterval() / 3600
            found[name] = LoadShape(hours, p, q if len(q) == len(p) else p, bool(dss.LoadShape.UseActual()))
    return found


def _solution(dss: Any, loss_inside: float, explained: list[str]) -> list[str]:
    """What OpenDSS finds for the present state: loss, lowest voltage, imbalance."""
    if not dss.Solution.Converged():
        return ["OpenDSS's own power flow of the present state does not converge: its loss is not compared"]
    loss = dss.Circuit.Losses()[0] / 1e3 + loss_inside
    phases = np.zeros(3)
    for _ in each(dss.Vsources):
        nodes = terminals(dss)[0][1]
        power = dss.CktElement.Powers()[0::2]
        for k, node in enumerate(nodes):
            if 1 <= node <= 3:
                phases[node - 1] -= power[k]
    worst, where = 0.0, ""
    for name in dss.Circuit.AllBusNames():
        dss.Circuit.SetActiveBus(name)
        if len({n for n in dss.Bus.Nodes() if 1 <= n <= 3}) == 3 and dss.Bus.SeqVoltages()[1] > 0:
            _, positive, negative = dss.Bus.SeqVoltages()[:3]
            if negative / positive > worst:
                worst, where = negative / positive, name.lower()
    total = phases.sum()
    share = f" ({100 * loss / total:.3g} % of the feed-in)" if total else ""
    notes = [f"OpenDSS's own solution of the present state loses {loss:.6g} kW{share}, in its sources too"]
    mean = abs(total) / 3
    spread = 100 * np.abs(phases - total / 3).max() / mean if mean else 0.0
    if spread > 0.1 or worst > 1e-4:
        explained.append(
            f"imbalance: phases carry {', '.join(f'{p:.5g}' for p in phases)} kW at the source ({spread:.3g} % from "
            f"the mean), negative-sequence voltage up to {100 * worst:.2g} %"
            + (f" at bus {where}" if where else "")
            + "; the loss of the balanced network differs from OpenDSS's for this reason"
        )
    return notes


def _dead_phases(dss: Any, found: list[Injection]) -> set[str]:
    """What has fewer than three phases and no voltage in the solution, so that it shows no imbalance there."""
    dead = set()
    for one in found:
        dss.Circuit.SetActiveElement(one.id)
        flat = np.array(dss.CktElement.Voltages())
        volts = np.abs(flat[0::2] + 1j * flat[1::2]).max(initial=0.0)
        if dss.CktElement.NumPhases() < 3 and volts < _DEAD_VOLTS:
            dead.add(one.id)
    return dead


def _record(
    name: str,
    path: Path,
    kv: dict[str, float],
    places: dict[str, tuple[float, float]],
    links: list[Link],
    loose: tuple[LooseEnd, ...],
    voltage: dict[str, SourceVoltage],
    found: tuple[Injection, ...],
    fed: set[Any],
) -> dict[str, Any]:
    """The case file of the circuit."""
    for link in links:  # the bus behind a source stands where the source is
        if link.from_bus in voltage and link.to_bus in places:
            places[str(link.from_bus)] = places[str(link.to_bus)]
    for end in loose:
        end.place(places)
    buses: dict[str, dict[str, Any]] = {}
    for bus in kv:
        if bus in fed:
            buses[bus] = {"id": bus, "kv": kv[bus]} | dict.fromkeys(
                ("p_kw", "q_kvar", "p_gen_kw", "q_gen_kvar", "shunt_p_kw", "shunt_q_kvar"), 0.0
            )
            if bus in places:
                buses[bus]["x"], buses[bus]["y"] = places[bus]
    for end in loose:
        if end.bus in buses:
            buses[end.bus]["name"] = end.name({})
    for one in found:
        entry = buses[one.bus]
        entry["p_kw"] += one.kw
        entry["q_kvar"] += one.kvar
        if one.feeds:
            entry["p_gen_kw"] -= one.kw
            entry["q_gen_kvar"] -= one.kvar
        entry["shunt_p_kw"] += one.shunt_kw
        entry["shunt_q_kvar"] += one.shunt_kvar
    records = [link.record(kv[str(link.from_bus)], link.y) for link in links]
    return {
        "name": name,
        "source": str(path),
        "base_kv": Counter(round(kv[bus], 6) for bus in buses).most_common(1)[0][0],
        "substations": list(voltage),
        "substation_data": {root: {"v_pu": one.pu, "va_deg": turned(one.degrees)} for root, one in voltage.items()},
        "buses": list(buses.values()),
        "branches": records,
        "taps": [tap for link in links for tap in link.tap_record],
    }
