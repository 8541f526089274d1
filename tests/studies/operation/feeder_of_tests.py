"""What is measured on a feeder whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from learnopt.network import Configuration, Limits, Network, ReconfigurationProblem, Scenario
from learnopt.physics import power_flow
from learnopt.studies.operation.measurements import Measurement, Point, Quantity

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


def truth_of(network: Network, rng: np.random.Generator) -> Scenario:
    """Loads that differ from those of the case."""
    nominal = Scenario.nominal(network)
    factor = rng.uniform(0.6, 1.2, network.n_bus)
    return replace(nominal, p_load=nominal.p_load * factor, q_load=nominal.q_load * factor)


def loads_measured(network: Network, truth: Scenario, time: datetime = NOON) -> list[Measurement]:
    """Every load, exactly."""
    kw, places = network.base.kw, np.flatnonzero((truth.p != 0) & ~network.is_substation).tolist()
    return [
        Measurement(Point("bus", k, quantity), float(power[k]) * kw, time)
        for k in places
        for quantity, power in ((Quantity.P, truth.p), (Quantity.Q, truth.q))
    ]


def flow_measured(
    network: Network, truth: Scenario, state: Configuration, e: int, time: datetime = NOON
) -> Iterator[Measurement]:
    """The flow into a branch that is fed at its from end, exactly."""
    problem = ReconfigurationProblem.of(network.in_state(state), truth, limits=Limits())
    flow = power_flow(problem, state)
    i, j = int(network.from_bus[e]), int(network.to_bus[e])
    assert flow.feed[j] == e
    power = complex(flow.v[i] * np.conj(flow.current[j])) * network.base.kw
    yield Measurement(Point("branch", e, Quantity.P), power.real, time)
    yield Measurement(Point("branch", e, Quantity.Q), power.imag, time)
