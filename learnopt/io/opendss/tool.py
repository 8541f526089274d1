"""OpenDSS as the tool that a master file comes from: its own power flow of the user's circuit, in any state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError, UnsupportedError
from learnopt.io.opendss.branches import UNSTATED_AMPERES, source_loss
from learnopt.io.opendss.classes import is_off
from learnopt.io.opendss.engine import HELD, each, engine
from learnopt.io.opendss.loads import PRODUCERS, is_shunt
from learnopt.io.opendss.phases import opened
from learnopt.io.opendss.setting import (
    acting_terminals,
    closing_commands,
    loose_terminals,
    set_loads,
    set_switches,
    set_taps,
    windings,
)
from learnopt.io.source import SourceState
from learnopt.io.stations import equipment
from learnopt.network import Configuration, Network, Scenario, Settings
from learnopt.network.unbalanced import PhaseCircuit

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
    own_sources = True
    """The network has the impedances of the sources as branches, whose loss counts."""

    def __init__(self, path: Path, hour: float | None = None, root: Path | None = None) -> None:
        self._path, self._hour, self._root = path, hour, root

    def opened(self) -> AbstractContextManager[Any]:
        """A context of its own with the file read and solved."""
        return engine(self._path, self._hour, self._root)

    def circuit(self, network: Network, scenario: Scenario | None = None) -> AbstractContextManager[PhaseCircuit]:
        """The file in all its phases, controls having acted and held."""
        return opened(self.opened, network, scenario)

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
            with self.opened() as dss:
                dss.Solution.ControlMode(HELD)
                closed = configuration.closed if scenario is None else configuration.closed & ~scenario.out_of_service
                set_switches(dss, network, closed)
                if settings is not None:
                    set_taps(dss, network, settings)
                if scenario is not None:
                    set_loads(dss, network, scenario)
                dss.Solution.Solve()
                if not dss.Solution.Converged():
                    return SourceState.failed(self.name, "its power flow does not converge")
                return _measured(dss, network, self.own_sources)
        except (DataError, UnsupportedError) as error:
            return SourceState.failed(self.name, " ".join(str(error).split()))


def switching_commands(
    path: Path, network: Network, steps: Iterable[tuple[int, bool]], hour: float | None = None
) -> list[list[str]]:
    """Commands for each step on a master file: a switch opens where it acts, and closes wherever it is open.

    Parameters
    ----------
    steps
        (branch, True to close and False to open), in their order.

    Raises
    ------
    DataError, UnsupportedError
        As :func:`~learnopt.io.opendss.engine.engine`.
    """
    found = []
    with engine(path, hour) as dss:
        acting = acting_terminals(dss)
        for e, close in steps:
            commands: list[str] = []
            for element in equipment(str(network.branch_ids[e])):
                if dss.Circuit.SetActiveElement(element) < 0:
                    continue
                own = closing_commands(dss, element) if close else []
                if not close:
                    ends = loose_terminals(dss, element, network, e) or [acting.get(element.lower(), 1)]
                    own = [f'Open "{element}" {end}' for end in ends]
                for command in own:
                    dss.Text.Command(command)
                commands += own
            found.append(commands)
    return found


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
        return dict(windings(dss, network, settings))


def _measured(dss: Any, network: Network, own_sources: bool) -> SourceState:
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
        inside = source_loss(dss) if own_sources else 0.0
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
