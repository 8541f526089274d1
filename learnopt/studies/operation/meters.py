"""Meters of a feeder that is made up or recorded: what of the truth is seen, with noise, losses and gross errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from learnopt.errors import DataError
from learnopt.network import Bools, Configuration, Limits, Network, ReconfigurationProblem, Scenario
from learnopt.network.topology import unfed_buses
from learnopt.physics import power_flow
from learnopt.studies.operation.measurements import Measurement, Point, Quantity


@dataclass(frozen=True)
class Telemetry:
    """What of the truth is seen.

    Parameters
    ----------
    measured
        Share of the loads that are measured; feeders are always measured at their heads.
    noise
        Standard deviation of the measurements, relative.
    lost
        Share of the values that do not arrive.
    gross
        Share of the values that are ten times too large, and not flagged.
    """

    measured: float = 1.0
    noise: float = 0.01
    lost: float = 0.0
    gross: float = 0.0

    def __post_init__(self) -> None:
        bad = [
            f"{name} = {value} must lie between 0 and 1"
            for name in ("measured", "noise", "lost", "gross")
            if not 0 <= (value := getattr(self, name)) <= 1
        ]
        if bad:
            raise DataError("telemetry", bad)


@dataclass(eq=False)
class Meters:
    """Those of one feeder: at some of its loads, at the heads of its feeders, and at all switches.

    Parameters
    ----------
    rng
        Of measured places and noise.
    """

    network: Network
    telemetry: Telemetry
    rng: np.random.Generator

    def __post_init__(self) -> None:
        loaded = np.flatnonzero((self.network.p_load + self.network.p_fed != 0) & ~self.network.is_substation)
        n = round(self.telemetry.measured * len(loaded))
        self.seen = np.sort(self.rng.permutation(loaded)[:n])

    def read(self, time: datetime, truth: Scenario, present: Configuration) -> Iterator[Measurement]:
        """Values that arrive: loads, heads of feeders, states of all switches."""
        net, kw = self.network, self.network.base.kw
        dark = unfed_buses(net, present.closed)
        for k in self.seen.tolist():
            for quantity, power in ((Quantity.P, truth.p[k]), (Quantity.Q, truth.q[k])):
                power = 0.0 if dark[k] else power
                yield from self._value(Point("bus", k, quantity), float(power) * kw, time)
        problem = ReconfigurationProblem.of(net.in_state(present), truth, limits=Limits())
        flow = power_flow(problem, present)
        if flow.converged:
            for e, power in _heads(net, present.closed, flow):
                yield from self._value(Point("branch", e, Quantity.P), power.real * kw, time)
                yield from self._value(Point("branch", e, Quantity.Q), power.imag * kw, time)
        for e in np.flatnonzero(net.switchable).tolist():
            yield Measurement(Point("branch", e, Quantity.CLOSED), float(present.closed[e]), time)

    def _value(self, point: Point, true: float, time: datetime) -> Iterator[Measurement]:
        noise, lost, gross = self.rng.normal(), self.rng.random(), self.rng.random()
        if lost >= self.telemetry.lost:
            value = true * (1 + self.telemetry.noise * noise)
            yield Measurement(point, 10 * value if gross < self.telemetry.gross else value, time)


def _heads(network: Network, closed: Bools, flow: Any) -> Iterator[tuple[int, complex]]:
    """Branches at a substation, and the power [pu] into each at its from end."""
    for e in np.flatnonzero(closed & (network.is_substation[network.from_bus] | network.is_substation[network.to_bus])):
        i, j = int(network.from_bus[e]), int(network.to_bus[e])
        child = j if network.is_substation[i] else i
        if flow.feed[child] != e or network.ratio[e] != 1 or network.b[e] or network.g[e]:
            continue
        current = complex(flow.current[child])
        power = complex(flow.v[i]) * current.conjugate()
        yield int(e), power if child == j else -power
