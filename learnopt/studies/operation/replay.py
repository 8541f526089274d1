"""Replay: a recorded day through the same code as the control room's, as fast as it goes.

The profile is the truth. Of it only some measurements are seen, with noise and now and then grossly wrong; pictures,
forecasts and advice are made from those alone, every proposal is carried out, and the truth says what it lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np

from learnopt.engines.clock import Stopwatch
from learnopt.errors import DataError
from learnopt.network import Configuration, Evaluation, Limits, Network, ReconfigurationProblem, Scenario
from learnopt.physics import evaluate
from learnopt.studies.operation.advice import Advice, History, Policy, Verdict, advise
from learnopt.studies.operation.forecast import Forecast, SeasonalNaive
from learnopt.studies.operation.measurements import Latest
from learnopt.studies.operation.meters import Meters, Telemetry
from learnopt.studies.operation.picture import Picture, picture_of


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
        self.meters = Meters(self.network, self.telemetry, self.rng)

    def cycle(self, time: datetime, truth: Scenario) -> Cycle:
        """Measure, look, advise, switch; then the truth tells."""
        self.latest.take(self.meters.read(time, truth, self.present), time)
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
