"""Loads of a circuit in all its phases, set as a scenario says: each in its own phases, connection and model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from learnopt.io.opendss.engine import each, terminals
from learnopt.io.opendss.loads import PRODUCERS, impedance_share, rated_power
from learnopt.io.opendss.setting import circuit_buses
from learnopt.network import Floats, Network, Scenario

_SAME = 1e-6
"""Relative difference up to which the loads found at a bus are those of the network, and factors are one."""
_LEAST_KW = 1e-6


@dataclass(frozen=True)
class _Load:
    """A load of the file: its bus, its base power, and the constant share of its power now [kW, kvar]."""

    name: str
    bus: int
    kw: float
    kvar: float
    held_kw: float
    held_kvar: float


class CircuitLoads:
    """What hangs on the buses of an open circuit, as the file has it, to be set to one scenario after the other.

    The loads of a bus are multiplied together: by what the scenario draws there over what the network does, active and
    reactive power each, whatever their model. Loads that are all impedance are in no bus load: they follow where all
    others have one factor, else they stay. What is left (generation, loads at buses that had none) stands as constant
    power in the phases of the generators of the bus, or of the bus.

    Parameters
    ----------
    dss
        The circuit, solved.
    """

    def __init__(self, dss: Any, network: Network) -> None:
        self._dss, self._network = dss, network
        self._buses = circuit_buses(dss, network)
        self._at = {bus: k for k, bus in enumerate(self._buses)}
        self._loads = self._read()
        self._phases = self._of_producers()
        self._beside: set[str] = set()

    def _read(self) -> list[_Load]:
        dss, found = self._dss, []
        for name in each(dss.Loads):
            if not dss.CktElement.Enabled():
                continue
            k = self._at.get(terminals(dss)[0][0], -1)
            (p, q), (of_p, of_q) = rated_power(dss), impedance_share(dss)
            found.append(_Load(name, k, dss.Loads.kW(), dss.Loads.kvar(), p * (1 - of_p), q * (1 - of_q)))
        return found

    def _of_producers(self) -> dict[int, list[int]]:
        """Phases of the generators of each bus that has some."""
        dss, phases = self._dss, dict[int, set[int]]()
        for full in dss.Circuit.AllElementNames():
            if full.lower().partition(".")[0] in PRODUCERS and dss.Circuit.SetActiveElement(full) >= 0:
                bus, nodes = terminals(dss)[0]
                k = self._at.get(bus, -1)
                phases.setdefault(k, set()).update(int(n) for n in nodes if 1 <= n <= 3)
        return {k: sorted(nodes) for k, nodes in phases.items() if nodes}

    def set(self, scenario: Scenario | None) -> None:
        """Set a scenario, whatever was set before; None = the loads of the file."""
        net = self._network
        wanted = Scenario.nominal(net) if scenario is None else scenario
        of_p, left_p = self._factors(wanted.p_load, net.p_load + net.p_fed, "held_kw")
        of_q, left_q = self._factors(wanted.q_load, net.q_load + net.q_fed, "held_kvar")
        dss = self._dss
        for one in self._loads:
            dss.Loads.Name(one.name)
            dss.Loads.kW(one.kw * of_p[one.bus])
            dss.Loads.kvar(one.kvar * of_q[one.bus])
        left_p -= net.base.kw * (wanted.p_gen - net.p_fed)
        left_q -= net.base.kw * (wanted.q_gen - net.q_fed)
        self._place(left_p, left_q)

    def _factors(self, wanted: Floats, present: Floats, share: str) -> tuple[Floats, Floats]:
        """Factor of the loads of each bus, a last one for loads elsewhere; and what no factor gives [kW or kvar]."""
        net, kw = self._network, self._network.base.kw
        at = np.zeros(net.n_bus + 1)
        impedance = np.zeros(net.n_bus + 1, dtype=bool)
        for one in self._loads:
            at[one.bus] += getattr(one, share)
            impedance[one.bus] = True
        have, want = kw * present, kw * wanted
        fits = (np.abs(at[:-1]) > _LEAST_KW) & (np.abs(at[:-1] - have) <= _SAME * np.abs(have) + _LEAST_KW)
        factor = np.ones(net.n_bus + 1)
        factor[:-1][fits] = want[fits] / have[fits]
        known = factor[:-1][fits]
        if len(known) and np.ptp(known) <= _SAME * max(abs(known).max(), 1.0):
            factor[(np.abs(at) <= _LEAST_KW) & impedance] = known[0]
        return factor, np.where(fits, 0.0, want - have)

    def _place(self, kw: Floats, kvar: Floats) -> None:
        """Generators of constant power that draw this at each bus; those of a scenario before are set anew."""
        dss, net = self._dss, self._network
        placed = set()
        for k in np.flatnonzero((np.abs(kw) > _LEAST_KW) | (np.abs(kvar) > _LEAST_KW)).tolist():
            bus = self._buses[k]
            if dss.Circuit.SetActiveBus(bus) < 0:
                continue
            nodes = self._phases.get(k) or [n for n in dss.Bus.Nodes() if 1 <= n <= 3]
            kv = float(net.kv[k]) / np.sqrt(3)
            for n in nodes:
                name = f"learnopt_{k}_{n}"
                power = f"kw={float(-kw[k]) / len(nodes)!r} kvar={float(-kvar[k]) / len(nodes)!r}"
                new = name not in self._beside
                dss.Text.Command(
                    f'New Generator.{name} phases=1 bus1="{bus}.{n}" kv={float(kv)!r} {power} model=1 status=fixed '
                    "vminpu=0.5 vmaxpu=1.5"
                    if new
                    else f"Edit Generator.{name} {power}"
                )
                placed.add(name)
        for name in self._beside - placed:
            dss.Text.Command(f"Edit Generator.{name} kw=0 kvar=0")
        self._beside |= placed
