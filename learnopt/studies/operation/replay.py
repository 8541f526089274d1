"""Replay: a recorded day through the same code as the control room's, as fast as it goes.

The profile is the truth. Of it only some measurements are seen, with noise and now and then grossly wrong; pictures,
forecasts and advice are made from those alone, every proposal is carried out, and the truth says what it lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np

from learnopt.engines.clock import Stopwatch
from learnopt.errors import DataError
from learnopt.network import Bools, Configuration, Evaluation, Limits, Network, ReconfigurationProblem, Scenario
from learnopt.physics import evaluate, power_flow
from learnopt.studies.operation.advice import Advice, History, Policy, Verdict, advise
from learnopt.studies.operation.forecast import Forecast, SeasonalNaive
from learnopt.studies.operation.measurements import Latest, Measurement, Point, Quantity
from learnopt.studies.operation.picture import Picture, picture_of


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


@dataclass(frozen=True, eq=False)
class Cycle:
    """One cycle of a replay.

    Parameters
    ----------
    time
        Of its measurements.
    picture, advice
        What was known, and what was advised.
    loss_kw
        True loss until the next cycle, of the state after it; None where it has no power flow.
    unchanged_kw
        True loss of the state that the replay began with.
    violations
        Limits that the state truly breaks.
    seconds
        From the measurements to the advice.
    """

    time: datetime
    picture: Picture
    advice: Advice
    loss_kw: float | None
    unchanged_kw: float | None
    violations: tuple[str, ...]
    unchanged_violations: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Replay:
    """All cycles, and what they come to.

    Parameters
    ----------
    network
        In the state that the replay began with.
    cycles
        In the order of time.
    hours
        Duration of each.
    final
        State at the end.
    """

    network: Network
    policy: Policy
    telemetry: Telemetry
    cycles: tuple[Cycle, ...]
    hours: float
    final: Configuration

    def energy_kwh(self, unchanged: bool = False) -> float | None:
        """True energy lost by the states advised, or by the first one; None where some has no power flow."""
        losses = [one.unchanged_kw if unchanged else one.loss_kw for one in self.cycles]
        known = [loss for loss in losses if loss is not None]
        return None if len(known) < len(losses) else self.hours * math.fsum(known)

    @property
    def saved_kwh(self) -> float | None:
        """Of energy, before the cost of operations."""
        before, after = self.energy_kwh(unchanged=True), self.energy_kwh()
        return None if before is None or after is None else before - after

    @property
    def proposals(self) -> list[Cycle]:
        """Cycles in which something was proposed."""
        return [one for one in self.cycles if one.advice.verdict is Verdict.PROPOSE]

    @property
    def operations(self) -> int:
        """Of all proposals."""
        return sum(_operations(one.advice) for one in self.proposals)

    def outside_hours(self, unchanged: bool = False) -> float:
        """Hours with a limit broken."""
        return self.hours * sum(bool(c.unchanged_violations if unchanged else c.violations) for c in self.cycles)


def replay(
    network: Network,
    scenarios: list[tuple[datetime, Scenario]],
    policy: Policy | None = None,
    telemetry: Telemetry | None = None,
    rng: np.random.Generator | None = None,
    forecast: Forecast | None = None,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Replay:
    """Run a recorded time through the cycle.

    Parameters
    ----------
    scenarios
        The truth: at least two instants, evenly apart.
    rng
        Of measured places and noise.
    limits
        Those of the network where absent.

    Raises
    ------
    DataError
        If there are fewer than two instants, or they are not evenly apart.
    """
    policy, telemetry = policy or Policy(), telemetry or Telemetry()
    rng = np.random.default_rng(0) if rng is None else rng
    limits = Limits.of(network) if limits is None else limits
    room = _Room(network, policy, telemetry, rng, forecast or SeasonalNaive(), limits)
    hours, total = _even(scenarios), len(scenarios)
    cycles = []
    for k, (time, truth) in enumerate(scenarios):
        cycles.append(room.cycle(time, truth))
        progress(k + 1, total)
    return Replay(network, policy, telemetry, tuple(cycles), hours, room.present)


@dataclass(eq=False)
class _Room:
    """A control room with one feeder: what stands between two cycles."""

    network: Network
    policy: Policy
    telemetry: Telemetry
    rng: np.random.Generator
    forecast: Forecast
    limits: Limits
    latest: Latest = field(default_factory=Latest)
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.began = self.present = self.network.normal_configuration
        loaded = np.flatnonzero((self.network.p_load + self.network.p_fed != 0) & ~self.network.is_substation)
        n = round(self.telemetry.measured * len(loaded))
        self.seen = np.sort(self.rng.permutation(loaded)[:n])

    def cycle(self, time: datetime, truth: Scenario) -> Cycle:
        """Measure, look, advise, switch; then the truth tells."""
        self.latest.take(self._measured(time, truth), time)
        watch = Stopwatch()
        like = replace(Scenario.nominal(self.network), out_of_service=truth.out_of_service, locked=truth.locked)
        expected = self.forecast.expected(time, like)
        picture = picture_of(self.network, expected, self.latest, time, self.policy.trust, self.present)
        if picture.estimated:
            self.forecast.learn(time, picture.scenario)
        ahead = [
            self.forecast.expected(time + timedelta(hours=k), picture.scenario) for k in range(1, self.policy.hours)
        ]
        advice = advise(picture, ahead, self.policy, self.history, self.limits)
        seconds = watch.elapsed
        if advice.target is not None:
            self.history.record(time, self.present, advice.target)
            self.present = advice.target
        after, unchanged = self._true(truth, self.present), self._true(truth, self.began)
        return Cycle(
            time, picture, advice, _loss(after), _loss(unchanged), after.violations, unchanged.violations, seconds
        )

    def _true(self, truth: Scenario, state: Configuration) -> Evaluation:
        return evaluate(ReconfigurationProblem.of(self.network.in_state(state), truth, limits=self.limits), state)

    def _measured(self, time: datetime, truth: Scenario) -> Iterator[Measurement]:
        """Values that arrive: loads, heads of feeders, states of all switches."""
        net, kw = self.network, self.network.base.kw
        for k in self.seen.tolist():
            for quantity, power in ((Quantity.P, truth.p[k]), (Quantity.Q, truth.q[k])):
                yield from self._value(Point("bus", k, quantity), float(power) * kw, time)
        problem = ReconfigurationProblem.of(net.in_state(self.present), truth, limits=Limits())
        flow = power_flow(problem, self.present)
        if flow.converged:
            for e, power in _heads(net, self.present.closed, flow):
                yield from self._value(Point("branch", e, Quantity.P), power.real * kw, time)
                yield from self._value(Point("branch", e, Quantity.Q), power.imag * kw, time)
        for e in np.flatnonzero(net.switchable).tolist():
            yield Measurement(Point("branch", e, Quantity.CLOSED), float(self.present.closed[e]), time)

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


def _loss(evaluation: Evaluation) -> float | None:
    return float(evaluation.loss_kw) if evaluation.converged else None


def _operations(advice: Advice) -> int:
    return 0 if advice.problem is None or advice.target is None else advice.problem.operations(advice.target)


def _even(scenarios: list[tuple[datetime, Scenario]]) -> float:
    """Hours between two instants."""
    times = [time if time.tzinfo else time.replace(tzinfo=UTC) for time, _ in scenarios]
    steps = {(b - a).total_seconds() for a, b in pairwise(times)}
    if len(times) < 2 or len(steps) > 1 or min(steps) <= 0:
        raise DataError(
            "replay", ["it takes at least two instants, evenly apart: choose them with start, steps and step hours"]
        )
    return steps.pop() / 3600
