"""The picture: what the measurements of now say of the network, and how far it can be trusted.

Every load is what is measured there, while that is fresh; the last good value, at less weight, while it is not too old;
and otherwise what is expected of it. A state estimate fits all of them together (:mod:`.estimation`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from learnopt.network import Bools, Configuration, Floats, Limits, Network, ReconfigurationProblem, Scenario
from learnopt.network.names import branch_quoted
from learnopt.network.topology import radiality_faults, unfed_buses
from learnopt.studies.operation.estimation import Estimate, Reading, estimate
from learnopt.studies.operation.faults import barred, fault_of, live
from learnopt.studies.operation.measurements import Latest, Measurement, Point, Quality, Quantity
from learnopt.studies.restoration.fault import Fault

DOUBTFUL = 5.0
"""A doubtful value is taken for so many times as uncertain as a good one."""
IMPLAUSIBLE = 8.0
"""A power so many deviations of the expectation off, which nothing else confirms, is left out as wrong: with the trust
of the house five times what is expected."""
FLOOR = 1e-3
"""Least standard deviation of a power, relative to the mean expected load of a bus."""


@dataclass(frozen=True)
class Trust:
    """How measurements are weighed, and below which quality a picture is no ground for a proposal.

    Parameters
    ----------
    fresh_s
        A value as old as this stands as it is.
    kept_s
        A value as old as this counts no more; between the two its uncertainty grows to that of an expectation.
    power_sigma, voltage_sigma
        Standard deviation of a good measurement: relative, and in pu.
    expected_sigma
        That of an expected load, relative.
    least_observed
        Least share of the load that must be known: measured itself, or by the flow into its feeder.
    most_rejected
        Most measurements that may contradict the others.
    """

    fresh_s: float = 900.0
    kept_s: float = 6 * 3600.0
    power_sigma: float = 0.02
    voltage_sigma: float = 0.005
    expected_sigma: float = 0.5
    least_observed: float = 0.5
    most_rejected: int = 3


@dataclass(frozen=True, eq=False)
class Picture:
    """What is known of the network at one time.

    Parameters
    ----------
    time
        When.
    network
        With what is closed now as its normal state, and the voltage of its substations.
    scenario
        The loads of now; tagged switches are locked.
    measured
        Share of the load [kVA] whose own measurement is fresh.
    allotted
        Share of the load that is not measured, but whose feeder's head is.
    oldest_s
        Age of the oldest value in use; None where nothing is measured.
    rejected
        Points whose values contradict the others, left out.
    contradictions
        Sentences on states of switches that cannot be: a closed loop, a load without supply, a flow through what is
        open.
    worst_residual
        Of the measurements used, in standard deviations.
    estimated
        False where the estimator found no state and loads stand as measured or expected.
    known_of_fed
        Share of the load of the buses with supply that is known: measured itself, or by its feeder's head.
    """

    time: datetime
    network: Network
    scenario: Scenario
    measured: float
    allotted: float
    oldest_s: float | None
    rejected: tuple[Point, ...]
    contradictions: tuple[str, ...]
    worst_residual: float
    estimated: bool
    known_of_fed: float = 1.0

    @property
    def present(self) -> Configuration:
        """What is closed now."""
        return self.network.normal_configuration

    def unfit(self, trust: Trust) -> list[str]:
        """Why no proposal may be made on this picture; empty where it may."""
        said = list(self.contradictions)
        known = self.measured + self.allotted
        if known < trust.least_observed:
            said.append(f"{100 * known:.0f} % of the load is known, {100 * trust.least_observed:.0f} % are asked for")
        if len(self.rejected) > trust.most_rejected:
            said.append(
                f"{len(self.rejected)} measurements contradict the others, at most {trust.most_rejected} may: "
                + ", ".join(point.text(self.network) for point in self.rejected[:5])
            )
        if not self.estimated:
            said.append("no state of the network fits the measurements")
        return said


def picture_of(
    network: Network, expected: Scenario, latest: Latest, now: datetime, trust: Trust, present: Configuration
) -> Picture:
    """The picture at one time.

    Parameters
    ----------
    network
        The feeder.
    expected
        What is expected of the loads now.
    latest
        The last good value of every point.
    present
        What is closed as far as was known before; telemetry of switches stands above it.
    """
    reading = _Reader(network, expected, latest, now, trust)
    closed = present.closed.copy()
    for e, one in latest.of("branch", Quantity.CLOSED).items():
        closed[e] = one.value == 1 and not expected.out_of_service[e]
    fault = fault_of(one.point for one in latest.values() if one.value == 1)
    contradictions = tuple(radiality_faults(network, closed)) + reading.through_open(closed)
    contradictions += tuple(f"{one} is said to be out of order and is live" for one in live(network, closed, fault))
    standing = network.in_state(Configuration(closed))
    loads, found = expected, None
    if not contradictions:
        problem = ReconfigurationProblem.of(standing, expected, limits=Limits())
        found = estimate(problem, Configuration(closed), reading.readings)
        if found is not None:
            standing = _at_measured_voltage(standing, found, latest)
            loads = _with_loads(expected, found.p, found.q)
    loads = _with_loads(loads, *reading.as_read()) if found is None else loads
    measured, allotted = reading.known(closed)
    return Picture(
        time=now,
        network=standing,
        scenario=replace(_held(network, loads, closed, latest, fault), name=now.isoformat()),
        measured=measured,
        allotted=allotted,
        oldest_s=reading.oldest_s,
        rejected=(*reading.implausible, *(() if found is None else found.rejected)),
        contradictions=contradictions,
        worst_residual=0.0 if found is None else found.worst_residual,
        estimated=found is not None,
        known_of_fed=sum(reading.known(closed, ~unfed_buses(network, closed))),
    )


class _Reader:
    """Measurements and expectations as readings."""

    def __init__(self, network: Network, expected: Scenario, latest: Latest, now: datetime, trust: Trust) -> None:
        self.network, self.expected, self.latest, self.now, self.trust = network, expected, latest, now, trust
        kw = network.base.kw
        self._usual = {Quantity.P: expected.p * kw, Quantity.Q: expected.q * kw}
        drawing = (expected.p != 0) | (expected.q != 0)
        size = np.abs(expected.p + 1j * expected.q)[drawing]
        self._mean = kw * float(size.mean()) if drawing.any() else 0.0
        self._floor = max(FLOOR * self._mean, 1e-6)
        self._drawing = drawing & ~network.is_substation
        self.oldest_s: float | None = None
        self.implausible: list[Point] = []
        self.readings = [*self._powers(), *self._voltages(), *self._flows()]

    def _age(self, one: Measurement) -> float:
        return max((self.now - one.time).total_seconds(), 0.0)

    def _in_use(self, quantity: Quantity, kind: str) -> dict[int, Measurement]:
        found = self.latest.of(kind, quantity)
        return {k: one for k, one in found.items() if self._age(one) < self.trust.kept_s}

    def _reading(self, one: Measurement, exact: float, loose: float) -> Reading:
        """Uncertain as a measurement while fresh, as an expectation in the end."""
        age = self._age(one)
        self.oldest_s = max(self.oldest_s or 0.0, age)
        grown = min(max((age - self.trust.fresh_s) / max(self.trust.kept_s - self.trust.fresh_s, 1e-9), 0.0), 1.0)
        sigma = exact * (DOUBTFUL if one.quality is Quality.DOUBTFUL else 1.0)
        return Reading(one.point, one.value, sigma + grown * max(loose - sigma, 0.0))

    def _powers(self) -> list[Reading]:
        found = []
        for quantity, usual in self._usual.items():
            measured = self._in_use(quantity, "bus")
            for k in sorted(set(np.flatnonzero(self._drawing).tolist()) | set(measured)):
                loose = self.trust.expected_sigma * abs(float(usual[k])) + self._floor
                found.append(Reading(Point("bus", k, quantity), float(usual[k]), loose, measured=False))
                off = abs(measured[k].value - float(usual[k])) if k in measured else 0.0
                if off > IMPLAUSIBLE * max(loose, self.trust.expected_sigma * self._mean):
                    self.implausible.append(measured[k].point)
                elif k in measured:
                    exact = self.trust.power_sigma * abs(measured[k].value) + self._floor
                    found.append(self._reading(measured[k], exact, loose))
        return found

    def _voltages(self) -> list[Reading]:
        net, sigma = self.network, self.trust.voltage_sigma
        measured = self._in_use(Quantity.V, "bus")
        roots = zip(net.substations.tolist(), net.substation_vm.tolist(), strict=True)
        held = [Reading(Point("bus", k, Quantity.V), vm, 1e-4, measured=False) for k, vm in roots]
        return held + [self._reading(one, sigma, 0.1) for one in measured.values()]

    def _flows(self) -> list[Reading]:
        found = []
        for quantity in (Quantity.P, Quantity.Q):
            for one in self._in_use(quantity, "branch").values():
                exact = self.trust.power_sigma * abs(one.value) + self._floor
                found.append(self._reading(one, exact, self.trust.expected_sigma * abs(one.value) + self._floor))
        return found

    def as_read(self) -> tuple[Floats, Floats]:
        """Loads as measured where they are, as expected elsewhere [pu]."""
        p, q = self.expected.p.copy(), self.expected.q.copy()
        for quantity, powers in ((Quantity.P, p), (Quantity.Q, q)):
            for k, one in self._in_use(quantity, "bus").items():
                powers[k] = one.value / self.network.base.kw
        return p, q

    def through_open(self, closed: Bools) -> tuple[str, ...]:
        """A fresh flow through what is said to be open."""
        said = []
        for e, one in self._in_use(Quantity.P, "branch").items():
            noise = 5 * (self.trust.power_sigma * abs(one.value) + self._floor)
            if not closed[e] and self._age(one) <= self.trust.fresh_s and abs(one.value) > noise:
                said.append(f"branch {branch_quoted(self.network, e)} is said to be open and carries {one.value:g} kW")
        return tuple(said)

    def known(self, closed: Bools, among: Bools | None = None) -> tuple[float, float]:
        """Shares of the load, of some buses or of all, that are measured, and allotted from a measured head."""
        fresh = {k for k, one in self._in_use(Quantity.P, "bus").items() if self._age(one) <= self.trust.fresh_s}
        size = np.abs(self.expected.p + 1j * self.expected.q)
        size[self.network.is_substation | (False if among is None else ~among)] = 0.0
        total = float(size.sum())
        if total <= 0:
            return 1.0, 0.0
        own = np.zeros(len(size), dtype=bool)
        own[list(fresh)] = True
        heads = {e for e, one in self._in_use(Quantity.P, "branch").items() if self._age(one) <= self.trust.fresh_s}
        behind = _behind(self.network, closed, heads)
        return float(size[own].sum()) / total, float(size[behind & ~own].sum()) / total


def _behind(network: Network, closed: Bools, measured: set[int]) -> Bools:
    """Buses on whose way from a substation some flow is measured, shape (n_bus,)."""
    around: list[list[tuple[int, int]]] = [[] for _ in range(network.n_bus)]
    for e in np.flatnonzero(closed).tolist():
        i, j = int(network.from_bus[e]), int(network.to_bus[e])
        around[i].append((j, e))
        around[j].append((i, e))
    behind, seen = np.zeros(network.n_bus, dtype=bool), network.is_substation.copy()
    queue = network.substations.tolist()
    while queue:
        bus = queue.pop()
        for other, e in around[bus]:
            if not seen[other]:
                seen[other] = True
                behind[other] = behind[bus] or e in measured
                queue.append(other)
    return behind


def _at_measured_voltage(network: Network, found: Estimate, latest: Latest) -> Network:
    """The voltage of substations where it is measured."""
    measured = latest.of("bus", Quantity.V)
    vm = [
        float(found.vm[k]) if k in measured else float(vm)
        for k, vm in zip(network.substations.tolist(), network.substation_vm.tolist(), strict=True)
    ]
    return replace(network, substation_vm=np.array(vm))


def _with_loads(expected: Scenario, p: Floats, q: Floats) -> Scenario:
    """The scenario with other net loads; what feeds in keeps its expected share of them."""
    return replace(expected, p_load=p + expected.p_gen, q_load=q + expected.q_gen)


def _held(network: Network, loads: Scenario, closed: Bools, latest: Latest, fault: Fault) -> Scenario:
    """Switches with a tag stay as they are, and nothing is closed onto what is out of order."""
    locked = loads.locked.copy()
    for e, one in latest.of("branch", Quantity.TAG).items():
        if one.value == 1:
            locked[e] = 1 if closed[e] else 0
    locked[barred(network, closed, fault)] = 0
    return replace(loads, locked=locked)
