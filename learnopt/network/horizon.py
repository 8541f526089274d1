"""A sequence of load situations over time, and what ties their configurations: the problem of a horizon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from learnopt.errors import DataError
from learnopt.network.aliases import Bools, Floats, Ints
from learnopt.network.configuration import Configuration
from learnopt.network.controls import Controls, Settings
from learnopt.network.model import Limits, Network
from learnopt.network.problem import ReconfigurationProblem
from learnopt.network.situations import Scenario, Situations
from learnopt.wording import counted

SAME = 1e-9
"""Settings of a device closer than this are one [pu]."""


@dataclass(frozen=True, eq=False)
class HorizonProblem:
    r"""Choose a configuration for every step so that energy lost plus switching cost is least.

    .. math:: \min \sum_t h_t \, \mathrm{loss}_t(x_t) + C \sum_t d(x_{t-1}, x_t)

    with :math:`d` the number of switches that change their state, :math:`x_{-1}` the normal configuration of the
    network, and every configuration radial and within the limits of its step. Controls are set anew in every step:
    what is bound over time are capacitor banks and tap changers with positions (the *devices*); continuous taps and
    generators, on or off, follow the loads freely.

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
    max_operations_per_switch
        Cap on the operations of any one switch over the horizon, or of each branch, shape (n_branch,); None = no cap.
    controls
        Taps, capacitors and generators to set in every step; none by default.
    capacitor_hours, tap_hours
        Least time between two changes of one capacitor bank, of one tap changer with positions [h].
    control_cost
        Cost of one change of a bank or of a tap changer with positions, whatever its size [kWh], >= 0.
    devices
        Settings of the devices before the first step, shape (n_device,): :attr:`device_values`; None = not known, so
        that those of the first step are no change.
    rested
        Hours since the last change of each device before the first step, shape (n_device,); None = long ago.
    """

    network: Network
    scenarios: tuple[Scenario, ...]
    hours: Floats
    limits: Limits = field(default_factory=Limits)
    charging: bool = True
    switching_cost: float = 0.0
    max_operations: int | None = None
    max_operations_per_step: int | None = None
    max_operations_per_switch: int | Ints | None = None
    controls: Controls = field(default_factory=Controls)
    capacitor_hours: float = 0.0
    tap_hours: float = 0.0
    control_cost: float = 0.0
    devices: Floats | None = None
    rested: Floats | None = None

    def __post_init__(self) -> None:
        hours = np.array(self.hours, dtype=float)
        problems = []
        if not self.scenarios:
            problems.append("no step: give at least one")
        if hours.shape != (len(self.scenarios),):
            problems.append(
                f"{counted(hours.size, 'duration')} for {counted(len(self.scenarios), 'step')}: give one for each"
            )
        elif not (np.isfinite(hours).all() and (hours > 0).all()):
            problems.append(f"hours = {hours.tolist()} must be finite and > 0 [h]")
        if not (math.isfinite(self.switching_cost) and self.switching_cost >= 0):
            problems.append(f"switching_cost = {self.switching_cost} must be a finite number >= 0 [kWh per operation]")
        for key in ("max_operations", "max_operations_per_step", "max_operations_per_switch"):
            value = getattr(self, key)
            if value is not None and np.any(np.asarray(value) < 0):
                problems.append(f"{key} = {value} must be >= 0")
        for key, unit in (("capacitor_hours", "h"), ("tap_hours", "h"), ("control_cost", "kWh per change")):
            value = getattr(self, key)
            if not (math.isfinite(value) and value >= 0):
                problems.append(f"{key} = {value} must be a finite number >= 0 [{unit}]")
        stepped = any(tap.positions is not None for tap in self.controls.taps)
        if self.capacitor_hours > 0 and not self.controls.capacitors:
            problems.append("capacitor_hours is given, but no capacitor is set: add capacitors to the controls")
        if self.tap_hours > 0 and not stepped:
            problems.append(
                "tap_hours is given, but no tap with positions is set: add taps with step_pu to the controls"
            )
        if self.control_cost > 0 and not (self.controls.capacitors or stepped):
            problems.append("control_cost is given, but nothing it could count is set: no capacitor, no stepped tap")
        if problems:
            raise DataError("horizon", problems)
        object.__setattr__(self, "hours", hours)
        hours.flags.writeable = False

    def __repr__(self) -> str:
        hours = float(self.hours.sum())
        return f"HorizonProblem({self.network.name!r}: {counted(self.n_steps, 'step')}, {hours:g} h)"

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return len(self.scenarios)

    @cached_property
    def together(self) -> ReconfigurationProblem:
        """One configuration for all steps: their mean loss, weighted by duration; the caps from the normal state."""
        caps = [cap for cap in (self.max_operations, self.max_operations_per_step) if cap is not None]
        return ReconfigurationProblem.of(
            self.network,
            Situations(self.scenarios, self.hours),
            limits=self.limits,
            charging=self.charging,
            switching_cost=self.switching_cost / float(self.hours.sum()),
            max_operations=min(caps) if caps else None,
            controls=self.controls,
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

    @property
    def switch_caps(self) -> Ints | None:
        """Cap on the operations of each branch, shape (n_branch,); None = no caps."""
        caps = self.max_operations_per_switch
        return None if caps is None else np.broadcast_to(np.asarray(caps, dtype=np.int64), self.counted.shape)

    @cached_property
    def begins(self) -> Floats:
        """Begin of each step [h] after that of the first, shape (n_step,)."""
        return np.cumsum(self.hours) - self.hours

    @cached_property
    def stepped_taps(self) -> list[int]:
        """Places in ``controls.taps`` of those with positions."""
        return [k for k, tap in enumerate(self.controls.taps) if tap.positions is not None]

    @cached_property
    def rest_hours(self) -> Floats:
        """Least time between two changes of each device [h], shape (n_device,): capacitors, then stepped taps."""
        kinds = [self.capacitor_hours] * len(self.controls.capacitors) + [self.tap_hours] * len(self.stepped_taps)
        return np.array(kinds, dtype=float)

    def device_values(self, settings: Settings | None) -> Floats:
        """What settings give the devices, shape (n_device,): capacitors, then taps with positions [pu]."""
        if settings is None:
            return np.zeros(0)
        return np.array([*settings.capacitors, *(settings.taps[k] for k in self.stepped_taps)], dtype=float)

    def device_changes(self, settings: Sequence[Settings]) -> list[int]:
        """Changes of devices before each step of a sequence of settings; the first is none where nothing is known."""
        values = [self.device_values(each) for each in settings]
        before = [values[0] if self.devices is None else self.devices, *values]
        return [int(np.count_nonzero(np.abs(a - b) > SAME)) for a, b in zip(before, values, strict=False)]

    def rests(self, settings: Sequence[Settings]) -> bool:
        """No device of a sequence of settings changes sooner after its last change than it must rest."""
        free_from = self.rest_hours - (math.inf if self.rested is None else self.rested)
        before = self.device_values(settings[0]) if self.devices is None else self.devices
        for begin, each in zip(self.begins.tolist(), settings, strict=True):
            values = self.device_values(each)
            changed = np.abs(values - before) > SAME
            if (changed & (begin < free_from - SAME)).any():
                return False
            free_from, before = np.where(changed, begin + self.rest_hours, free_from), values
        return True

    @property
    def ruled(self) -> bool:
        """Something binds single switches or devices over time, so that operations cannot just be counted."""
        return self.max_operations_per_switch is not None or bool((self.rest_hours > 0).any()) or self.control_cost > 0

    def remote_only(self) -> HorizonProblem:
        """The horizon in which nobody travels: hand-operated switches are locked in their normal state."""
        return replace(self, scenarios=tuple(step.remote_only().scenario for step in self.steps))

    def alone(self, t: int) -> HorizonProblem:
        """The problem of step ``t`` by itself: no cost and no rule over time but what its state may be at all."""
        return replace(
            self,
            scenarios=self.scenarios[t : t + 1],
            hours=self.hours[t : t + 1],
            switching_cost=0.0,
            max_operations=self.steps[t].max_operations,
            max_operations_per_step=None,
            max_operations_per_switch=None,
            capacitor_hours=0.0,
            tap_hours=0.0,
            control_cost=0.0,
            devices=None,
            rested=None,
        )

    def ahead(
        self,
        t: int,
        window: int,
        state: Configuration,
        used: Ints,
        devices: Floats | None = None,
        rested: Floats | None = None,
    ) -> HorizonProblem:
        """The problem of ``window`` steps from step ``t`` on, seen from a state.

        Parameters
        ----------
        used
            Operations of each branch so far, shape (n_branch,).
        devices, rested
            As the fields of these names, before step ``t``.
        """
        net = self.network
        opened = np.where(net.switchable & self.counted, ~state.closed, net.normally_open)
        return replace(
            self,
            network=net.in_state(Configuration(~opened)),
            scenarios=self.scenarios[t : t + window],
            hours=self.hours[t : t + window],
            max_operations=None if self.max_operations is None else self.max_operations - int(used.sum()),
            max_operations_per_switch=None if self.switch_caps is None else self.switch_caps - used,
            devices=devices,
            rested=rested,
        )

    def operations(self, before: Configuration, after: Configuration) -> int:
        """Switching operations from one configuration to another."""
        return int(np.count_nonzero((before.closed != after.closed) & self.counted))
