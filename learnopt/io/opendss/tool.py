"""OpenDSS as the tool that a master file comes from: its own power flow of the user's circuit, in any state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError, UnsupportedError
from learnopt.io.opendss.branches import OPEN_END, UNSTATED_AMPERES, source_loss
from learnopt.io.opendss.classes import is_off
from learnopt.io.opendss.engine import HELD, each, engine
from learnopt.io.opendss.loads import PRODUCERS, is_shunt
from learnopt.io.opendss.transformers import tap_of
from learnopt.io.source import SourceState
from learnopt.io.stations import equipment
from learnopt.network import Configuration, Network, Scenario, Settings

_DEAD = 1e-3
"""Voltage below which a node is fed by nothing [pu]."""


class OpenDSSTool:
    """A master file in OpenDSS.

    The file is read and solved as for the network, controls acting. Then taps, capacitors and switches are held where
    that solution has them, but for what is set, and it is solved again.

    Parameters
    ----------
    path, hour, root
        As for :func:`~learnopt.io.opendss.engine.engine`.
    """

    name = "OpenDSS"

    def __init__(self, path: Path, hour: float | None = None, root: Path | None = None) -> None:
        self._path, self._hour, self._root = path, hour, root

    def state(
        self,
        network: Network,
        configuration: Configuration,
        settings: Settings | None = None,
        scenario: Scenario | None = None,
    ) -> SourceState:
        """OpenDSS's power flow of the circuit in this state.

        What a scenario adds to the loads of the network, or takes away, stands as constant power at the same buses,
        shared evenly by their phases.
        """
        try:
            with engine(self._path, self._hour, self._root) as dss:
                dss.Solution.ControlMode(HELD)
                closed = configuration.closed if scenario is None else configuration.closed & ~scenario.out_of_service
                _switch(dss, network, closed)
                if settings is not None:
                    _set_taps(dss, network, settings)
                if scenario is not None:
                    _load(dss, network, scenario)
                dss.Solution.Solve()
                if not dss.Solution.Converged():
                    return SourceState.failed(self.name, "its power flow does not converge")
                return _measured(dss, network)
        except (DataError, UnsupportedError) as error:
            return SourceState.failed(self.name, " ".join(str(error).split()))


def _switch(dss: Any, network: Network, closed: np.ndarray) -> None:
    """Set every switch of the network: closed at both terminals, or open where it acts."""
    normal = network.normal_configuration.closed
    for e in np.flatnonzero(network.switchable | (closed != normal)).tolist():
        for element in equipment(str(network.branch_ids[e])):
            if dss.Circuit.SetActiveElement(element) < 0:
                continue
            ends = [bus.partition(".")[0].lower() for bus in dss.CktElement.BusNames()[:2]]
            if closed[e]:
                if not dss.CktElement.Enabled():
                    dss.CktElement.Enabled(True)
                _join_open_end(dss, element, ends)
                for end in (1, 2):
                    dss.Text.Command(f'Close "{element}" {end}')
            elif closed[e] != normal[e] or dss.CktElement.Enabled():
                acts = {str(network.bus_ids[k]) for k in (network.from_bus[e], network.to_bus[e])}
                # A switch with a loose end acts at that terminal; any other one parts the branch at both.
                loose = [end for end in (1, 2) if f"{element} at {ends[end - 1]}" in acts]
                for end in loose or (1, 2):
                    dss.Text.Command(f'Open "{element}" {end}')


def _join_open_end(dss: Any, element: str, ends: list[str]) -> None:
    """A tie that ends on a bus ``NAME_OPEN`` ends on bus ``NAME`` once it is closed."""
    if ends[1].endswith(OPEN_END):
        _, _, nodes = dss.CktElement.BusNames()[1].partition(".")
        bus = ends[1].removesuffix(OPEN_END) + ("." + nodes if nodes else "")
        dss.Text.Command(f'Edit "{element}" bus2={bus}')


def tap_windings(
    path: Path, network: Network, settings: Settings, hour: float | None = None
) -> dict[str, tuple[int, float]]:
    """Winding and tap of every transformer of a master file whose tap is set, by its element.

    Raises
    ------
    DataError, UnsupportedError
        As :func:`~learnopt.io.opendss.engine.engine`.
    """
    with engine(path, hour) as dss:
        return dict(_windings(dss, network, settings))


def _windings(dss: Any, network: Network, settings: Settings) -> Iterator[tuple[str, tuple[int, float]]]:
    """Every transformer of a bank with its regulated winding and the tap there."""
    for tap, value in zip(network.controls.taps, settings.taps, strict=True):
        for element in equipment(str(network.branch_ids[tap.branch])):
            yield element, tap_of(dss, element.partition(".")[2], value * float(network.ratio[tap.branch]))


def _set_taps(dss: Any, network: Network, settings: Settings) -> None:
    """Move every transformer of a bank to its tap."""
    for element, (winding, position) in list(_windings(dss, network, settings)):
        dss.Transformers.Name(element.partition(".")[2])
        dss.Transformers.Wdg(winding)
        dss.Transformers.Tap(position)


def _load(dss: Any, network: Network, scenario: Scenario) -> None:
    """Stand generators of constant power beside what the file has, for the difference to the scenario."""
    kw = network.base.kw
    more_p, more_q = kw * (scenario.p - network.p_load), kw * (scenario.q - network.q_load)
    for k in np.flatnonzero((np.abs(more_p) > 1e-9) | (np.abs(more_q) > 1e-9)).tolist():
        bus = str(network.bus_ids[k])
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


def _measured(dss: Any, network: Network) -> SourceState:
    load = generation = 0.0
    for _ in each(dss.Loads):
        load += float(dss.CktElement.TotalPowers()[0])
    shunts = 0.0
    for full in dss.Circuit.AllElementNames():
        kind = full.lower().partition(".")[0]
        if kind not in (*PRODUCERS, "capacitor", "reactor"):
            continue
        dss.Circuit.SetActiveElement(full)
        if not dss.CktElement.Enabled() or is_off(dss):
            continue
        if kind in PRODUCERS:
            power = float(dss.CktElement.TotalPowers()[0])
            generation -= min(power, 0.0)
            load += max(power, 0.0)
        elif is_shunt(dss):
            shunts += float(dss.CktElement.Losses()[0]) / 1e3
    loss = dss.Circuit.Losses()[0] / 1e3 - shunts
    heads = {}
    for name in each(dss.Vsources):
        inside = source_loss(dss)
        loss += inside
        heads[f"vsource.{name}"] = inside - float(dss.CktElement.TotalPowers()[0])
    known = {str(network.bus_ids[k]) for k in network.substations}
    return SourceState(
        OpenDSSTool.name,
        True,
        load + shunts,
        generation,
        loss,
        _voltages(dss, network),
        _loading(dss),
        {head: power for head, power in heads.items() if head in known},
    )


def _voltages(dss: Any, network: Network) -> dict[str, float]:
    """Lowest voltage of the phases of each bus [pu of the nominal voltage that the network has]."""
    unit: Mapping[str, float] = {
        str(bus): 1e3 * kv / math.sqrt(3) for bus, kv in zip(network.bus_ids, network.kv.tolist(), strict=True)
    }
    lowest: dict[str, float] = {}
    for name, volts in zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusVMag(), strict=True):
        bus, _, node = name.lower().rpartition(".")
        if bus in unit and node in ("1", "2", "3") and (pu := float(volts) / unit[bus]) > _DEAD:
            lowest[bus] = min(lowest.get(bus, math.inf), pu)
    return lowest


def _loading(dss: Any) -> float | None:
    """Highest phase current over the rating of its line or transformer."""
    shares = []
    for _ in each(dss.Lines):
        rated = dss.CktElement.NormalAmps()
        if 0 < rated != UNSTATED_AMPERES:
            shares.append(_highest_current(dss) / rated)
    for _ in each(dss.Transformers):
        dss.Transformers.Wdg(1)
        kv, kva = dss.Transformers.kV(), dss.Transformers.kVA()
        rated = kva / (kv * math.sqrt(3) if dss.CktElement.NumPhases() == 3 else kv)
        if math.isfinite(rated) and rated > 0:
            shares.append(_highest_current(dss, first=True) / rated)
    return max(shares) if shares else None


def _highest_current(dss: Any, first: bool = False) -> float:
    """Of the phases of the active element [A], at its first terminal or at any."""
    amperes = np.array(dss.CktElement.CurrentsMagAng()[0::2]).reshape(dss.CktElement.NumTerminals(), -1)
    rows = amperes[:1] if first else amperes
    return float(rows[:, : dss.CktElement.NumPhases()].max(initial=0.0))
