"""Restoration after a fault: what stays dead, what gets supply, by which steps, and what is proven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from learnopt.engines.clock import Stopwatch
from learnopt.errors import DataError, UnsupportedError
from learnopt.network import Bools, Certificate, Configuration, Evaluation, Floats, Id, ReconfigurationProblem, Status
from learnopt.network.open_ends import as_operated, open_ends
from learnopt.network.part import Part
from learnopt.physics.judge import evaluate, evaluate_transition
from learnopt.studies.configuration.switching_order import Action, Operation, Paralleling
from learnopt.studies.restoration.crews import CrewPlan
from learnopt.studies.restoration.fault import Fault
from learnopt.studies.restoration.order import as_recorded, order_back, restoration_order
from learnopt.studies.restoration.outage import NO_STRAIN, Outage, Strain
from learnopt.studies.restoration.search import Found, RestorationSearch, Second

DEAD = "fault"
"""Without supply since it is part of what is isolated."""
CUT_OFF = "no way"
"""Without supply since no switch leads to a source."""
LIMITS = "limits"
"""Without supply since not everything fits within the limits."""


@dataclass(frozen=True, eq=False)
class Restoration:
    """A plan after a fault, and what is proven of it.

    Parameters
    ----------
    outage
        What the fault leaves.
    found
        The plan on what is within reach.
    paralleling
        May a loop be closed for a moment while switching?
    solve_time_s
        Seconds of the search.
    hours
        How long the fault lasts, one situation for each; None where there is one for all of it.
    crews
        Who carries out the steps, and when; None where nobody asked.
    """

    outage: Outage
    found: Found
    paralleling: Paralleling
    solve_time_s: float
    hours: float | None = None
    crews: CrewPlan | None = None

    @property
    def problem(self) -> ReconfigurationProblem:
        """What was asked: network, loads and limits until the repair."""
        return self.outage.problem

    @cached_property
    def served(self) -> Bools:
        """Buses with supply after the plan, shape (n_bus,)."""
        mask = np.zeros(self.problem.network.n_bus, dtype=bool)
        mask[self.outage.reach.buses] = self.found.served
        return mask

    @cached_property
    def configuration(self) -> Configuration | None:
        """States of all branches after the plan."""
        if self.found.closed is None:
            return None
        closed = self.outage.isolated.closed.copy()
        closed[self.outage.reach.branches] = self.found.closed
        return Configuration(closed)

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The judge on what has supply; None without a plan, or where nothing has."""
        if self.configuration is None or not self.served.any():
            return None
        return evaluate(self._supplied.problem, self._supplied.part_of(self.configuration))

    @cached_property
    def _supplied(self) -> Part:
        net, served = self.problem.network, self.served
        inside = served[net.from_bus] & served[net.to_bus] & ~self.outage.blocked
        return Part.of(self.problem, served, inside)

    @cached_property
    def loss_kw(self) -> float | None:
        """Loss with the plan [kW]."""
        return None if self.evaluation is None else self.evaluation.loss_kw

    @cached_property
    def operated(self) -> Evaluation | None:
        """The judge on what the steps leave: cables that they open at one end are live from the other.

        Its buses are those of the network, and one more for each such end. None where there is no such cable.
        """
        if self.configuration is None or not self.open_at_one_end or not self.served.any():
            return None
        return evaluate_transition(*as_operated(as_recorded(self.outage), self.configuration, self._devices))

    @cached_property
    def open_at_one_end(self) -> tuple[int, ...]:
        """Branches that the steps leave open at one end, and that draw something there; empty without a plan."""
        if self.configuration is None:
            return ()
        return tuple(open_ends(as_recorded(self.outage), self.configuration, self._devices))

    @cached_property
    def _devices(self) -> list[bool]:
        """Whether each device of the switchgear is closed after the last step."""
        gear = self.problem.network.switchgear
        before = gear.states(self.outage.before, self.problem.out_of_service)
        states = dict(zip((str(d.id) for d in gear.devices), before, strict=True))
        states |= {str(o.device): o.action is Action.CLOSE for o in self.operations if o.device is not None}
        return list(states.values())

    @property
    def total_kw(self) -> float:
        """All consumption [kW]."""
        return float(self.outage.load_kw.sum())

    @property
    def restored_kw(self) -> float:
        """Consumption with supply after the plan [kW]."""
        return float(self.outage.load_kw[self.served].sum())

    @property
    def lost_kw(self) -> float:
        """Consumption that loses its supply by the fault and its isolation [kW]."""
        return float(self.outage.load_kw[self.outage.fed_before & ~self.outage.still_fed].sum())

    @property
    def unserved_kwh(self) -> float | None:
        """Energy that is not served until the repair [kWh]; None where the hours are not known."""
        return None if self.hours is None else (self.total_kw - self.restored_kw) * self.hours

    @property
    def weighted(self) -> bool:
        """Some buses count more than others."""
        return bool((self.outage.priority != 1).any())

    @property
    def bound_weighted_kw(self) -> float | None:
        """No plan supplies more than this [kW, times priority]; None where nothing is proven."""
        if self.found.unserved.bound is None:
            return None
        within = float(self.outage.value_kw[self.outage.reachable].sum())
        return within - min(self.found.unserved.bound, within)

    @property
    def bound_kw(self) -> float | None:
        """No plan supplies more than this [kW]; with priorities all consumption within reach."""
        if self.weighted:
            return float(self.outage.load_kw[self.outage.reachable].sum())
        return self.bound_weighted_kw

    @cached_property
    def not_served(self) -> list[tuple[int, str]]:
        """Buses without supply after the plan, and why."""
        outage = self.outage
        return [
            (k, DEAD if outage.dead[k] else LIMITS if outage.reachable[k] else CUT_OFF)
            for k in np.flatnonzero(~self.served).tolist()
        ]

    @cached_property
    def operations(self) -> list[Operation]:
        """The steps in order; empty without a plan."""
        if self.configuration is None:
            return []
        return restoration_order(self.outage, self.configuration.closed, self.served, self.paralleling)

    @cached_property
    def way_back(self) -> tuple[list[Operation], str]:
        """Steps to the state before the fault, once it is repaired; or none, and why there are none."""
        if self.configuration is None:
            return [], ""
        try:
            return order_back(self.outage, self.configuration.closed, self.paralleling), ""
        except DataError as error:
            return [], "; ".join(error.violations)

    @property
    def status(self) -> Status:
        """How the search ended."""
        return self.found.status

    @property
    def certificate(self) -> Certificate:
        """What is proven."""
        return self.found.certificate


def priorities(problem: ReconfigurationProblem, given: Mapping[Id, float] | None) -> Floats:
    """Worth of a kW at each bus, 1 where nothing is said, shape (n_bus,).

    Raises
    ------
    DataError
        For buses that are not in the network, and priorities that are no finite numbers >= 0.
    """
    worth, bad = np.ones(problem.network.n_bus), []
    for text, value in (given or {}).items():
        bus, why = problem.network.find_bus(text)
        if bus is None:
            bad.append(why)
        elif not (np.isfinite(value) and value >= 0):
            bad.append(f"bus {text!r}: priority {value:g} must be a finite number >= 0")
        else:
            worth[bus] = value
    if bad:
        raise DataError("priority", bad)
    return worth


def refuse_restoration(problem: ReconfigurationProblem) -> None:
    """Raise UnsupportedError for what restoration does not carry, by name."""
    if problem.controls:
        raise UnsupportedError("restoration sets switches only, the problem has controls", {"controls": "none"})
    if problem.switching_cost:
        raise UnsupportedError(
            "restoration counts operations after the load, and has no price for them", {"switching_cost": None}
        )
    if problem.max_operations is not None:
        raise UnsupportedError("restoration takes the fewest operations and no cap", {"max_operations": None})


def restore(
    problem: ReconfigurationProblem,
    fault: Fault,
    priority: Floats | None = None,
    second: Second = Second.OPERATIONS,
    paralleling: Paralleling = Paralleling.ALLOWED,
    time_limit: float | None = None,
    strain: Strain = NO_STRAIN,
    hours: float | None = None,
) -> Restoration:
    """The plan after a fault.

    Parameters
    ----------
    problem
        Of several situations, as of the hours until the repair, the plan holds in each, and load is their mean.
    priority
        Worth of a kW at each bus, shape (n_bus,); 1 where absent.
    second
        What counts after the load.
    time_limit
        Seconds; the best plan by then.
    strain
        Cold-load pickup and emergency ratings.
    hours
        How long the fault lasts, to be told.

    Raises
    ------
    UnsupportedError
        For controls, a switching cost or a cap on operations.
    """
    refuse_restoration(problem)
    watch = Stopwatch()
    worth = np.ones(problem.network.n_bus) if priority is None else priority
    outage = Outage(problem, fault, worth)
    if strain != NO_STRAIN:
        outage = outage.under(strain)
    found = RestorationSearch(outage, second, time_limit, watch).run()
    return Restoration(outage, found, paralleling, watch.elapsed, hours)
