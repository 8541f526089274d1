"""Savings over a long profile: what is asked for, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from learnopt.errors import DataError
from learnopt.network import (
    Bools,
    Certificate,
    Configuration,
    Floats,
    Ints,
    Limits,
    Network,
    ReconfigurationProblem,
    Scenario,
    Situations,
)
from learnopt.wording import counted

Times = NDArray[np.datetime64]


class Period(StrEnum):
    """How long a seasonal configuration stays."""

    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"


@dataclass(frozen=True, eq=False)
class SavingsProblem:
    """How much energy is lost over a profile with the present configuration, and with better ones.

    Parameters
    ----------
    network
        The feeder; its normal configuration is the present one.
    times
        Begin of each step, datetime64[s], shape (n_step,).
    p, q
        Net loads of each step [pu], shape (n_step, n_bus).
    hours
        Duration of each step [h], shape (n_step,).
    limits, charging
        As in :class:`ReconfigurationProblem`.
    scenario
        Its outages and locks hold in every step; None = none.
    period
        How long a seasonal configuration stays.
    switching_cost
        Cost of one switching operation in energy [kWh], >= 0: what a change must save to be made.
    """

    network: Network
    times: Times
    p: Floats
    q: Floats
    hours: Floats
    limits: Limits = field(default_factory=Limits)
    charging: bool = True
    scenario: Scenario | None = None
    period: Period = Period.MONTH
    switching_cost: float = 0.0

    def __post_init__(self) -> None:
        problems = []
        if not len(self.times):
            problems.append("no step: give a profile with at least one instant")
        if not (math.isfinite(self.switching_cost) and self.switching_cost >= 0):
            problems.append(f"switching_cost = {self.switching_cost} must be a finite number >= 0 [kWh per operation]")
        if problems:
            raise DataError("savings", problems)

    def __repr__(self) -> str:
        return f"SavingsProblem({self.network.name!r}: {counted(self.n_steps, 'step')} from {self.times[0]})"

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return len(self.times)

    @cached_property
    def present(self) -> Configuration:
        """The normal configuration, branches out of service open."""
        return Configuration(self.network.normal_configuration.closed & self.counted)

    @cached_property
    def counted(self) -> Bools:
        """bool, shape (n_branch,): branches whose change of state is an operation."""
        return ~self.frame.out_of_service

    @cached_property
    def frame(self) -> Scenario:
        """Outages and locks of every step."""
        return Scenario.nominal(self.network) if self.scenario is None else self.scenario

    def together(self, p: Floats, q: Floats, weights: Floats, limits: Limits | None = None) -> ReconfigurationProblem:
        """One configuration for some loads [pu], shape (n, n_bus), with the limits and locks of the study.

        Parameters
        ----------
        limits
            Others than those of the study.
        """
        none = np.zeros(self.network.n_bus)
        scenarios = tuple(
            replace(self.frame, p_load=p[k], q_load=q[k], p_gen=none, q_gen=none, name=str(k)) for k in range(len(p))
        )
        return ReconfigurationProblem.of(
            self.network,
            scenarios[0] if len(scenarios) == 1 else Situations(scenarios, weights),
            limits=self.limits if limits is None else limits,
            charging=self.charging,
        )

    def of_steps(self, steps: Ints, limits: Limits | None = None) -> ReconfigurationProblem:
        """One configuration for some steps; ``limits`` as of :meth:`together`."""
        return self.together(self.p[steps], self.q[steps], self.hours[steps], limits)

    @cached_property
    def seasons(self) -> Ints:
        """First step of each calendar period, shape (n_season,)."""
        if self.period is Period.WEEK:
            day = self.times.astype("datetime64[D]").astype(np.int64)
            label = (day + 3) // 7  # 1 January 1970 was a Thursday: weeks begin on Monday
        else:
            label = self.times.astype("datetime64[M]").astype(np.int64)
            label = label // 3 if self.period is Period.QUARTER else label
        return np.flatnonzero(np.append(True, np.diff(label) != 0))

    def operations(self, before: Configuration, after: Configuration) -> int:
        """Switching operations from one configuration to another."""
        return int(np.count_nonzero((before.closed != after.closed) & self.counted))


@dataclass(frozen=True, eq=False)
class Strategy:
    """One way to operate the feeder over the profile, measured in every step by the independent judge.

    Parameters
    ----------
    name
        ``present``, ``static``, ``seasonal`` or ``hourly``.
    configurations
        Those it uses, in the order of their first use.
    used
        Which of them in each step, shape (n_step,).
    loss_kw
        AC loss of each step [kW], NaN where the power flow has no solution, shape (n_step,).
    within_limits
        bool, shape (n_step,): every limit is respected.
    operations
        Switching operations, the way from the present configuration included.
    energy_mwh
        Energy lost [MWh]; None where some step has no power flow.
    bound_mwh
        What every choice of this kind loses at least, limits left aside [MWh]; None where nothing is proven.
    min_voltage_pu, max_voltage_pu, max_loading
        Extremes over all steps and buses or branches.
    """

    name: str
    configurations: tuple[Configuration, ...]
    used: Ints
    loss_kw: Floats
    within_limits: Bools
    operations: int
    energy_mwh: float | None
    bound_mwh: float | None
    min_voltage_pu: float
    max_voltage_pu: float
    max_loading: float

    @property
    def gap(self) -> float | None:
        """(energy - bound) / energy; None where nothing is proven."""
        if self.energy_mwh is None or self.bound_mwh is None:
            return None
        return abs(self.energy_mwh - self.bound_mwh) / max(abs(self.energy_mwh), 1e-12)


@dataclass(frozen=True, eq=False)
class Savings:
    """Outcome of :func:`learnopt.studies.savings.savings_study`.

    Parameters
    ----------
    problem
        What was asked.
    strategies
        Present first, then static, seasonal, hourly.
    certificate
        ``ac`` where the bounds hold for AC losses, ``none`` where there are none.
    message
        What is not proven, and why.
    representatives
        Load situations that stood for the steps while configurations were chosen.
    candidates
        Configurations whose loss was computed in every step.
    proven_steps
        Steps whose least loss was proven one by one.
    """

    problem: SavingsProblem
    strategies: tuple[Strategy, ...]
    certificate: Certificate
    message: str
    representatives: int
    candidates: int
    proven_steps: int
    stage_times_s: Mapping[str, float] = field(default_factory=dict)
    solve_time_s: float = 0.0

    def __repr__(self) -> str:
        kinds = ", ".join(strategy.name for strategy in self.strategies)
        return f"Savings({self.problem.network.name!r}, certificate {self.certificate.value}: {kinds})"

    def __getitem__(self, name: str) -> Strategy:
        """The strategy of a name."""
        return next(strategy for strategy in self.strategies if strategy.name == name)

    def saved_mwh(self, strategy: Strategy) -> float | None:
        """Energy that a strategy saves against the present configuration [MWh]."""
        before = self.strategies[0].energy_mwh
        return None if before is None or strategy.energy_mwh is None else before - strategy.energy_mwh
