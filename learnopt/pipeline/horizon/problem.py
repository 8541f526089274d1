"""A sequence of configurations over time: what is asked for, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from learnopt.errors import DataError
from learnopt.network import (
    Bools,
    Certificate,
    Configuration,
    Evaluation,
    Floats,
    Limits,
    Network,
    ReconfigurationProblem,
    Scenario,
    ScenarioSet,
    Status,
)


@dataclass(frozen=True, eq=False)
class HorizonProblem:
    r"""Choose a configuration for every step so that energy lost plus switching cost is least.

    .. math:: \min \sum_t h_t \, \mathrm{loss}_t(x_t) + C \sum_t d(x_{t-1}, x_t)

    with :math:`d` the number of switches that change their state, :math:`x_{-1}` the normal configuration of the
    network, and every configuration radial and within the limits of its step.

    Parameters
    ----------
    network
        The feeder; its normal configuration is the state before the first step.
    scenarios
        Loads of each step, length n_step; outages and locks are shared.
    hours
        Duration of each step [h], shape (n_step,).
    limits, charging
        As in :class:`ReconfigurationProblem`.
    switching_cost
        Cost of one switching operation [kWh], >= 0. At steps of one hour this is the cost in kW of ``solve``.
    max_operations
        Cap on the operations of the whole horizon, the way from the normal configuration included; None = no cap.
    max_operations_per_step
        Cap on the operations between two steps, and before the first; None = no cap.
    """

    network: Network
    scenarios: tuple[Scenario, ...]
    hours: Floats
    limits: Limits = field(default_factory=Limits)
    charging: bool = True
    switching_cost: float = 0.0
    max_operations: int | None = None
    max_operations_per_step: int | None = None

    def __post_init__(self) -> None:
        hours = np.array(self.hours, dtype=float)
        problems = []
        if not self.scenarios:
            problems.append("no step: give at least one")
        if hours.shape != (len(self.scenarios),):
            problems.append(f"{hours.size} durations for {len(self.scenarios)} steps: give one for each")
        elif not (np.isfinite(hours).all() and (hours > 0).all()):
            problems.append(f"hours = {hours.tolist()} must be finite and > 0 [h]")
        if not (math.isfinite(self.switching_cost) and self.switching_cost >= 0):
            problems.append(f"switching_cost = {self.switching_cost} must be a finite number >= 0 [kWh per operation]")
        for key in ("max_operations", "max_operations_per_step"):
            value = getattr(self, key)
            if value is not None and value < 0:
                problems.append(f"{key} = {value} must be >= 0")
        if problems:
            raise DataError("horizon", problems)
        object.__setattr__(self, "hours", hours)
        hours.flags.writeable = False

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return len(self.scenarios)

    @cached_property
    def together(self) -> ReconfigurationProblem:
        """One configuration for all steps: their mean loss, weighted by duration; the caps from the normal state."""
        scenarios = ScenarioSet(self.scenarios, self.hours)
        caps = [cap for cap in (self.max_operations, self.max_operations_per_step) if cap is not None]
        return ReconfigurationProblem.of(
            self.network,
            scenarios,
            limits=self.limits,
            charging=self.charging,
            switching_cost=self.switching_cost / float(self.hours.sum()),
            max_operations=min(caps) if caps else None,
        )

    @cached_property
    def steps(self) -> tuple[ReconfigurationProblem, ...]:
        """The problem of each step alone, without switching cost.

        What no plan can exceed is kept: a state reached within the caps is within the caps of the normal state.
        """
        alone = self.together.replace(switching_cost=0.0, max_operations=None).members
        caps = [math.inf if self.max_operations is None else self.max_operations] * self.n_steps
        if self.max_operations_per_step is not None:
            caps = [min(cap, (t + 1) * self.max_operations_per_step) for t, cap in enumerate(caps)]
        return tuple(
            member if math.isinf(cap) else replace(member, max_operations=int(cap))
            for member, cap in zip(alone, caps, strict=True)
        )

    @cached_property
    def counted(self) -> Bools:
        """bool, shape (n_branch,): branches whose change of state is an operation."""
        return ~self.scenarios[0].out_of_service

    @cached_property
    def initial(self) -> Configuration:
        """State before the first step: the normal configuration, branches out of service open."""
        return Configuration(self.network.normal_configuration.closed & self.counted)

    def ahead(self, t: int, window: int, state: Configuration, used: int) -> HorizonProblem:
        """The problem of ``window`` steps from step ``t`` on, seen from a state reached with ``used`` operations."""
        net = self.network
        opened = np.where(net.switchable & self.counted, ~state.closed, net.normally_open)
        left = None if self.max_operations is None else self.max_operations - used
        return replace(
            self,
            network=replace(net, normally_open=opened),
            scenarios=self.scenarios[t : t + window],
            hours=self.hours[t : t + window],
            max_operations=left,
        )

    def operations(self, before: Configuration, after: Configuration) -> int:
        """Switching operations from one configuration to another."""
        return int(np.count_nonzero((before.closed != after.closed) & self.counted))


@dataclass(frozen=True, eq=False)
class HorizonPlan:
    """Outcome of :func:`learnopt.pipeline.horizon.plan_horizon`, complete even in failure.

    Parameters
    ----------
    status, certificate, message
        As in a :class:`~learnopt.network.Result`: ``optimal`` within the gap asked for, as the certificate means it.
    configurations, evaluations
        Configuration of each step and its power flow by the independent judge; empty without a plan.
    operations
        Operations before each step, length n_step.
    energy_kwh
        Energy lost [kWh]; None without a plan.
    objective_kwh, dual_bound_kwh
        Energy lost plus switching cost of the plan, and the proven lower bound for every plan [kWh].
    step_bound_kw
        Proven lower bound of the loss of each step [kW], shape (n_step,), NaN where there is none.
    normal_kwh
        Energy that the normal configuration loses without any switching [kWh]; None where it has no power flow or
        violates a limit in some step (``normal_violations`` says how many steps).
    static
        Best single configuration found for all steps, None if there is none.
    static_kwh
        Energy it loses [kWh].
    static_objective_kwh
        The same plus the cost of switching to it once.
    static_bound_kwh
        Proven lower bound of ``static_objective_kwh`` of every single configuration; None without a proof.
    candidates
        Configurations in the pool.
    rounds
        Rounds of the bound.
    nodes
        Branch-and-bound nodes in all searches of this run.
    """

    status: Status
    message: str
    certificate: Certificate = Certificate.NONE
    configurations: tuple[Configuration, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    operations: tuple[int, ...] = ()
    energy_kwh: float | None = None
    objective_kwh: float | None = None
    dual_bound_kwh: float | None = None
    step_bound_kw: Floats = field(default_factory=lambda: np.zeros(0))
    normal_kwh: float | None = None
    normal_violations: int = 0
    static: Configuration | None = None
    static_kwh: float | None = None
    static_objective_kwh: float | None = None
    static_bound_kwh: float | None = None
    candidates: int = 0
    rounds: int = 0
    nodes: int = 0
    solve_time_s: float = 0.0
    stage_times_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def gap(self) -> float | None:
        """|objective - bound| / |objective|."""
        if self.objective_kwh is None or self.dual_bound_kwh is None:
            return None
        return abs(self.objective_kwh - self.dual_bound_kwh) / max(abs(self.objective_kwh), 1e-12)
