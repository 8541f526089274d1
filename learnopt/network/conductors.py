"""Conductor selection: catalogue, costs, the problem and the plan that answers it.

Annual cost of a plan = annuity of the conductors of **all** branches, open ones included, + cost of the energy lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from learnopt.network.aliases import Bools, Floats, Ints
from learnopt.network.configuration import Configuration
from learnopt.network.model import Network
from learnopt.network.problem import ReconfigurationProblem
from learnopt.wording import counted


class Mode(StrEnum):
    """A scenario of the study: what is chosen, and in which order (ocs: conductors, odnr: switches)."""

    BASE = "base"
    OCS = "ocs"
    ODNR = "odnr"
    ODNR_OCS = "odnr_ocs"
    OCS_ODNR = "ocs_odnr"
    JOINT = "joint"


@dataclass(frozen=True)
class Conductor:
    """One type of a catalogue.

    Parameters
    ----------
    r_ohm_per_km, x_ohm_per_km
        Series impedance per phase [ohm/km], both > 0.
    ampacity_a
        Current limit [A].
    cost_per_km
        Investment for all phases [currency/km].
    """

    name: str
    r_ohm_per_km: float
    x_ohm_per_km: float
    ampacity_a: float
    cost_per_km: float


@dataclass(frozen=True)
class EnergyCosts:
    """What turns losses at the given load and an investment into cost per year.

    Parameters
    ----------
    currency
        A label.
    price_per_kwh
        Price of a lost kWh [currency].
    loss_factor
        Mean loss over the loss at the given load, 0 to 1.
    hours_per_year
        Hours in service.
    interest_rate, lifetime_years
        Of the capital recovery factor.
    """

    currency: str
    price_per_kwh: float
    loss_factor: float
    hours_per_year: float
    interest_rate: float
    lifetime_years: float

    @property
    def per_kw(self) -> float:
        """Annual cost of one kW lost at the given load [currency/kW]."""
        return self.price_per_kwh * self.loss_factor * self.hours_per_year

    @property
    def annuity(self) -> float:
        """Capital recovery factor: annual cost of one unit of investment."""
        i, n = self.interest_rate, self.lifetime_years
        return 1 / n if i == 0 else i / (1 - (1 + i) ** -n)


@dataclass(frozen=True, eq=False)
class ConductorPlan:
    """A configuration and the conductor of every branch.

    Parameters
    ----------
    configuration
        State of every branch.
    conductor
        Index into the catalogue, shape (n_branch,); -1 where a branch has no length and so no conductor.
    """

    configuration: Configuration
    conductor: Ints

    def __post_init__(self) -> None:
        conductor = np.array(self.conductor, dtype=np.int64)
        conductor.flags.writeable = False
        object.__setattr__(self, "conductor", conductor)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ConductorPlan)
            and self.configuration == other.configuration
            and np.array_equal(self.conductor, other.conductor)
        )

    def __hash__(self) -> int:
        return hash((self.configuration, self.conductor.tobytes()))


@dataclass(frozen=True, eq=False)
class ConductorProblem:
    """Choose conductors, states, or both, at least annual cost.

    Parameters
    ----------
    feeder
        Network, loads, limits and locks; impedances and ampacities of its branches with a length are replaced.
    catalogue
        Conductors, by falling resistance: a higher index is a *thicker* conductor.
    length_km
        Length of each branch, shape (n_branch,); 0 = no conductor, the branch keeps the feeder's impedance.
    installed
        Conductor of each branch before planning, shape (n_branch,); -1 where the length is 0.
    allowed
        bool, shape (n_branch, n_conductor): what may be chosen.
    costs
        Prices.
    no_thicker_downstream
        No closed branch is thicker than the one that feeds it.
    budget
        Cap on the annual investment cost of all branches, None = no cap.
    """

    feeder: ReconfigurationProblem
    catalogue: tuple[Conductor, ...]
    length_km: Floats
    installed: Ints
    allowed: Bools
    costs: EnergyCosts
    no_thicker_downstream: bool = False
    budget: float | None = None

    def __repr__(self) -> str:
        size = f"{counted(len(self.catalogue), 'conductor')}, {counted(int(self.routed.sum()), 'line')}"
        return f"ConductorProblem({self.network.name!r}: {size})"

    def replace(self, **changes: object) -> ConductorProblem:
        """A variant of this problem."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def network(self) -> Network:
        """The feeder's network."""
        return self.feeder.network

    @cached_property
    def routed(self) -> Bools:
        """bool, shape (n_branch,): branches with a length, and so with a conductor."""
        return self.length_km > 0

    @cached_property
    def r(self) -> Floats:
        """Series resistance of each branch with each conductor [pu], shape (n_branch, n_conductor)."""
        return self._per_unit([c.r_ohm_per_km for c in self.catalogue], self.network.r)

    @cached_property
    def x(self) -> Floats:
        """Series reactance of each branch with each conductor [pu], shape (n_branch, n_conductor)."""
        return self._per_unit([c.x_ohm_per_km for c in self.catalogue], self.network.x)

    def _per_unit(self, per_km: list[float], without: Floats) -> Floats:
        z_base = self.network.branch_kv**2 / self.network.base.s_base
        value = (self.length_km / z_base)[:, None] * np.array(per_km)
        return np.where(self.routed[:, None], value, without[:, None])

    @cached_property
    def i_max(self) -> Floats:
        """Current limit in force of each branch with each conductor [pu], shape (n_branch, n_conductor)."""
        rating = np.array([c.ampacity_a for c in self.catalogue]) / self.network.i_base[:, None]
        limit = np.where(self.routed[:, None], rating, self.network.i_max[:, None])
        return limit if self.feeder.limits.ampacity else np.full_like(limit, np.inf)

    @cached_property
    def investment(self) -> Floats:
        """Annual investment cost of each branch with each conductor [currency], shape (n_branch, n_conductor)."""
        per_km = np.array([c.cost_per_km for c in self.catalogue])
        return self.costs.annuity * self.length_km[:, None] * per_km

    @cached_property
    def options(self) -> Bools:
        """``allowed``, with one stand-in column for branches without a conductor, shape (n_branch, n_conductor)."""
        first = np.arange(len(self.catalogue)) == 0
        return np.where(self.routed[:, None], self.allowed, first)

    @cached_property
    def least_investment(self) -> Floats:
        """Annual cost of the cheapest allowed conductor of each branch [currency], shape (n_branch,)."""
        return np.where(self.options, self.investment, np.inf).min(axis=1)

    @cached_property
    def premium(self) -> Floats:
        """Annual investment above that of the cheapest allowed conductor [currency], shape (n_branch, n_conductor)."""
        return self.investment - self.least_investment[:, None]

    @property
    def installed_plan(self) -> ConductorPlan:
        """The normal configuration with the conductors that are there."""
        return ConductorPlan(self.network.normal_configuration, self.installed)

    def investment_cost(self, conductor: Ints) -> float:
        """Annual investment cost of all branches [currency]."""
        return float(self.investment[np.arange(len(conductor)), conductor].sum())

    def equipped(self, conductor: Ints) -> ReconfigurationProblem:
        """The feeder with these conductors, ready for any engine and for the judge."""
        rows, pick, routed = np.arange(len(conductor)), np.maximum(conductor, 0), self.routed
        rating = np.array([c.ampacity_a for c in self.catalogue])[pick] / self.network.i_base
        network = replace(
            self.network,
            r=self.r[rows, pick],
            x=self.x[rows, pick],
            i_max=np.where(routed, rating, self.network.i_max),
        )
        return self.feeder.replace(network=network)

    def faults(self, plan: ConductorPlan) -> list[str]:
        """Why a plan breaks a rule of the problem that is not an AC limit, by id; empty when it breaks none."""
        net, pick = self.network, plan.conductor
        faults = list(self.feeder.faults(plan.configuration))
        wrong = self.routed & ~self.allowed[np.arange(len(pick)), np.maximum(pick, 0)]
        faults += [
            f"branch {net.branch_ids[e]!r}: conductor {self.catalogue[pick[e]].name} is not allowed"
            for e in np.flatnonzero(wrong)
        ]
        cost = self.investment_cost(pick)
        if self.budget is not None and cost > self.budget * (1 + 1e-9):
            faults.append(f"investment of {cost:.2f} {self.costs.currency} a year exceeds {self.budget:.2f}")
        return faults
