"""Switches, taps and loads of a circuit in OpenDSS, set as a network of it says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from learnopt.io.opendss.branches import OPEN_END
from learnopt.io.opendss.engine import each, terminals
from learnopt.io.opendss.transformers import tap_of
from learnopt.io.stations import equipment
from learnopt.network import Network, Scenario, Settings


def set_switches(dss: Any, network: Network, closed: np.ndarray) -> None:
    """Set every switch of the network: closed at both terminals, or open where it acts."""
    normal = network.normal_configuration.closed
    for e in np.flatnonzero(network.switchable | (closed != normal)).tolist():
        for element in equipment(str(network.branch_ids[e])):
            if dss.Circuit.SetActiveElement(element) < 0:
                continue
            if closed[e]:
                commands = closing_commands(dss, element)
            elif closed[e] != normal[e] or dss.CktElement.Enabled():
                # A switch with a loose end acts at that terminal; any other one parts the branch at both.
                commands = [f'Open "{element}" {end}' for end in loose_terminals(dss, element, network, e) or (1, 2)]
            else:
                continue
            for command in commands:
                dss.Text.Command(command)


def closing_commands(dss: Any, element: str) -> list[str]:
    """Commands that close the active element at every terminal that is open; a tie to ``NAME_OPEN`` is joined."""
    phases, commands = range(1, dss.CktElement.NumPhases() + 1), []
    opened = [end for end in (1, 2) if any(dss.CktElement.IsOpen(end, k) for k in phases)]
    bus, _, nodes = dss.CktElement.BusNames()[1].partition(".")
    if not dss.CktElement.Enabled():
        commands.append(f'Enable "{element}"')
        opened = [1, 2]
    if bus.lower().endswith(OPEN_END):
        joined = bus[: -len(OPEN_END)] + ("." + nodes if nodes else "")
        commands.append(f'Edit "{element}" bus2={joined}')
    return commands + [f'Close "{element}" {end}' for end in opened or (1,)]


def loose_terminals(dss: Any, element: str, network: Network, e: int) -> list[int]:
    """Terminals of the active element beyond which its other end stays energised, as buses of the network say."""
    ends = [bus.partition(".")[0].lower() for bus in dss.CktElement.BusNames()[:2]]
    acts = {str(network.bus_ids[k]) for k in (network.from_bus[e], network.to_bus[e])}
    return [end for end in (1, 2) if f"{element} at {ends[end - 1]}" in acts]


def acting_terminals(dss: Any) -> dict[str, int]:
    """Terminal at which each switch acts that does so at its second: the one that is open, else its SwtControl's."""
    acting = {dss.SwtControls.SwitchedObj().lower(): dss.SwtControls.SwitchedTerm() for _ in each(dss.SwtControls)}
    for name in each(dss.Lines):
        opened = [any(dss.CktElement.IsOpen(end, k + 1) for k in range(dss.CktElement.NumPhases())) for end in (1, 2)]
        if any(opened):
            acting[f"line.{name.lower()}"] = 1 + opened.index(True)
    return acting


def windings(dss: Any, network: Network, settings: Settings) -> Iterator[tuple[str, tuple[int, float]]]:
    """Every transformer of a bank with its regulated winding and the tap there."""
    for tap, value in zip(network.controls.taps, settings.taps, strict=True):
        for element in equipment(str(network.branch_ids[tap.branch])):
            yield element, tap_of(dss, element.partition(".")[2], value * float(network.ratio[tap.branch]))


def set_taps(dss: Any, network: Network, settings: Settings) -> None:
    """Move every transformer of a bank to its tap."""
    for element, (winding, position) in list(windings(dss, network, settings)):
        dss.Transformers.Name(element.partition(".")[2])
        dss.Transformers.Wdg(winding)
        dss.Transformers.Tap(position)


def circuit_buses(dss: Any, network: Network) -> list[str]:
    """Bus of the circuit that each bus of the network is: its id, of a source without impedance where it stands."""
    buses = list(map(str, network.bus_ids))
    for name in each(dss.Vsources):
        stands = terminals(dss)[0][0]
        source = network.bus_index.get(f"vsource.{name}")
        if source is not None and stands not in network.bus_index:
            buses[source] = stands
    return buses


def set_loads(dss: Any, network: Network, scenario: Scenario) -> None:
    """Stand generators of constant power beside what the file has, for the difference to the scenario."""
    kw = network.base.kw
    more_p, more_q = kw * (scenario.p - network.p_load), kw * (scenario.q - network.q_load)
    buses = circuit_buses(dss, network)
    for k in np.flatnonzero((np.abs(more_p) > 1e-9) | (np.abs(more_q) > 1e-9)).tolist():
        bus = buses[k]
        if dss.Circuit.SetActiveBus(bus) < 0:
            continue
        nodes = [n for n in dss.Bus.Nodes() if 1 <= n <= 3]
        kv = float(network.kv[k]) / math.sqrt(3)
        for n in nodes:
            dss.Text.Command(
                f'New Generator.learnopt_{k}_{n} phases=1 bus1="{bus}.{n}" kv={kv!r} '
                f"kw={float(-more_p[k]) / len(nodes)!r} kvar={float(-more_q[k]) / len(nodes)!r} model=1 status=fixed "
                "vminpu=0.5 vmaxpu=1.5"
            )
