"""Load situations or periods that one model decides together, and what a plan of them costs.

Scenarios are tied periods (:mod:`learnopt.formulations.periods`), one situation is one of them. Here and now, the same
in all scenarios: switches, capacitor steps, tap positions, generators on or off. Recourse, set in each scenario for
itself: injections of generators and continuous taps.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from learnopt.engines.dispatch import Dispatch
from learnopt.engines.exchange import PENALTY
from learnopt.network import Configuration, Evaluation, Floats, HorizonProblem, ReconfigurationProblem, Settings
from learnopt.network.topology import maximum_spanning_tree
from learnopt.physics import evaluate

LEAST_WEIGHT = 1e-12
"""Weight of a scenario that has none: its limits count, its loss does not."""
TIED = ("taps", "capacitors", "generators")
"""Kinds of controls whose discrete part is one decision where periods are tied."""
DEVICES = ("taps", "capacitors")
"""Kinds of controls whose discrete part is bound over time where they are not."""


@dataclass(frozen=True)
class Plan:
    """A configuration and, where there are controls, settings for each period."""

    configurations: tuple[Configuration, ...]
    settings: tuple[Settings, ...] = ()

    def applied(self, problem: ReconfigurationProblem, t: int) -> ReconfigurationProblem:
        """The problem of period ``t`` with its controls set."""
        return problem.applied(self.settings[t]) if self.settings else problem


@dataclass(frozen=True)
class Coupled:
    """Periods in one model.

    Parameters
    ----------
    horizon
        Loads, durations (weights where tied), costs and rules.
    tied
        The periods are scenarios of one decision: switches, positions and generators on or off are the same in all.
    worst
        The objective is the largest loss, not the weighted sum.
    prices
        Price of each closed branch in each period [kWh], shape (n_period, n_branch); None = none.
    whole
        The problem of which the periods are all the load situations, where they are.
    """

    horizon: HorizonProblem
    tied: bool = False
    worst: bool = False
    prices: Floats | None = None
    whole: ReconfigurationProblem | None = None

    @classmethod
    def of(cls, problem: ReconfigurationProblem, counting: bool = True) -> Coupled:
        """The load situations of a problem, one or more, as tied periods: their weights are the durations.

        Parameters
        ----------
        counting
            Leave out situations without weight where their loss is all that bounds their currents: a relaxation, since
            nothing is lost but that they must have a power flow, which the judge sees to.
        """
        weights = problem.weights
        kept = np.flatnonzero((weights > 0) | problem.worst_case | (problem.vm_min > 0).any() | (not counting))
        horizon = HorizonProblem(
            problem.network,
            tuple(problem.situations.scenarios[k] for k in kept),
            np.maximum(weights[kept], LEAST_WEIGHT),
            problem.limits,
            problem.charging,
            problem.switching_cost,
            problem.max_operations,
            controls=problem.controls,
        )
        whole = problem if len(kept) == len(weights) else None
        return cls(horizon, tied=True, worst=problem.worst_case, whole=whole)

    @cached_property
    def together(self) -> ReconfigurationProblem:
        """One decision for all, in the objective of a problem: of one situation the problem itself."""
        if self.whole is not None:
            return self.whole
        together = self.horizon.together
        return together.judged_by("worst") if self.worst else together

    @property
    def steps(self) -> tuple[ReconfigurationProblem, ...]:
        """The problem of each period alone; what it says of the cost of operations is not looked at."""
        return self.horizon.steps if self.whole is None else self.whole.members

    def served(self, configuration: Configuration, settings: Settings | None) -> Plan:
        """The plan of one configuration with the discrete part of settings everywhere, the rest settled for each.

        Parameters
        ----------
        settings
            Those of the only situation, or a start for several; neutral where absent.
        """
        n, controls = self.horizon.n_steps, self.horizon.controls
        if not controls:
            return Plan((configuration,) * n)
        plan = Plan((configuration,) * n, (settings or controls.neutral,) * n)
        return plan if n == 1 else follow(self.horizon, plan, TIED)

    def judged(self, plan: Plan) -> list[Evaluation]:
        """What the judge says of each period of a plan."""
        return [evaluate(plan.applied(step, t), plan.configurations[t]) for t, step in enumerate(self.steps)]

    def objective(self, plan: Plan) -> float:
        """Energy lost, operations, changes and prices [kWh] of a plan, judged; ``inf`` where it breaks a rule."""
        if not self.respects_rules(plan):
            return math.inf
        found = self.judged(plan)
        return self.objective_of(plan, found) if all(e.feasible for e in found) else math.inf

    def objective_of(self, plan: Plan, judged: Sequence[Evaluation]) -> float:
        """The same of a plan within all limits and rules, from what the judge said of its periods."""
        horizon = self.horizon
        losses = np.array([e.loss_kw for e in judged])
        total = float(losses.max() if self.worst else horizon.hours @ losses)
        total += horizon.switching_cost * sum(self._operations(plan))
        if plan.settings and not self.tied:
            total += horizon.control_cost * sum(horizon.device_changes(plan.settings))
        if self.prices is not None:
            total += sum(float(p @ c.closed) for p, c in zip(self.prices, plan.configurations, strict=True))
        return total

    def _operations(self, plan: Plan) -> list[int]:
        states = [self.horizon.initial, *plan.configurations]
        return [self.horizon.operations(a, b) for a, b in pairwise(states)]

    def respects_rules(self, plan: Plan) -> bool:
        """Locks, outages, radiality, caps and rests; AC limits are not looked at."""
        horizon, operations = self.horizon, self._operations(plan)
        if not all(step.admits(c) for step, c in zip(self.steps, plan.configurations, strict=True)):
            return False
        if horizon.max_operations is not None and sum(operations) > horizon.max_operations:
            return False
        if horizon.max_operations_per_step is not None and max(operations) > horizon.max_operations_per_step:
            return False
        if horizon.switch_caps is not None:
            states = np.array([horizon.initial.closed, *(c.closed for c in plan.configurations)])
            moved = (states[1:] != states[:-1]).sum(axis=0)
            if (moved[horizon.counted] > horizon.switch_caps[horizon.counted]).any():
                return False
        if self.tied and len(set(plan.configurations)) > 1:
            return False
        if not plan.settings:
            return True
        pairs = zip(plan.configurations, plan.settings, strict=True)
        if any(step.faults(*pair) for step, pair in zip(self.steps, pairs, strict=True)):
            return False
        if self.tied:
            return len({(s.capacitors, s.on, *(s.taps[k] for k in horizon.stepped_taps)) for s in plan.settings}) == 1
        return horizon.rests(plan.settings)

    def least_price(self) -> float:
        """The least that the prices of any radial configurations add up to [kWh]."""
        if self.prices is None:
            return 0.0
        net = self.horizon.network
        return sum(
            float(row @ maximum_spanning_tree(net, step.usable, -row, step.must_close))
            for row, step in zip(self.prices, self.steps, strict=True)
        )


def follow(horizon: HorizonProblem, plan: Plan, held: Collection[str]) -> Plan:
    """A plan with its controls settled in each period by AC power flows, the discrete part of some kinds held.

    Parameters
    ----------
    held
        As of :meth:`learnopt.engines.dispatch.Dispatch.improve`.
    """
    settings = []
    for step, configuration, start in zip(horizon.steps, plan.configurations, plan.settings, strict=False):
        found, merit = Dispatch(step, configuration).improve(start, held)
        settings.append(found if merit < PENALTY else start)
    return Plan(plan.configurations, tuple(settings))


def with_recourse(problem: ReconfigurationProblem, configuration: Configuration, settings: Settings | None) -> Plan:
    """A configuration with the discrete part of settings in every situation of a problem, the rest settled for each."""
    n, horizon = len(problem.situations), Coupled.of(problem, counting=False).horizon
    if not problem.controls:
        return Plan((configuration,) * n)
    return follow(horizon, Plan((configuration,) * n, (settings or problem.controls.neutral,) * n), TIED)
