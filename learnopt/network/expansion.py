"""The substation planning problem: where substations stand, how large they are, which routes are built with which line.

Planning works in MVA, km and money as the planner's file gives them: there is no network yet whose per-unit base could
be used. All powers of one problem share one power factor, so apparent powers add.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from learnopt.network.aliases import Floats, Id, Ints
from learnopt.wording import counted


@dataclass(frozen=True)
class SubstationSize:
    """A substation that can be bought.

    Parameters
    ----------
    capacity_mva
        What all its transformers carry together [MVA].
    fixed_cost
        Cost of building it [currency], present value when built; a_i of eq. (1).
    variable_cost
        Cost of delivered power [currency/MVA], at the peak of a stage; b_ij of eq. (1).
    loss_cost
        Cost of copper losses [currency/MVA^2]: grows with the square of the delivered power (23).
    transformers
        Equal transformers it consists of; N-1 takes one away.
    """

    name: str
    capacity_mva: float
    fixed_cost: float
    variable_cost: float = 0.0
    loss_cost: float = 0.0
    transformers: int = 1

    def firm_mva(self, emergency_loading: float) -> float:
        """What it carries without one of its transformers, the others overloaded as allowed [MVA]."""
        return self.capacity_mva * (self.transformers - 1) / self.transformers * emergency_loading

    def yearly_cost(self, mva: float) -> float:
        """Variable and loss cost at a delivered power [currency, per unit of the stage's variable factor]."""
        return self.variable_cost * mva + self.loss_cost * mva**2


@dataclass(frozen=True)
class LineType:
    """A line that can be built along a route.

    Parameters
    ----------
    capacity_mva
        Thermal limit [MVA].
    fixed_cost
        Cost of building it [currency/km]; c_ij of eq. (1).
    variable_cost
        Cost of transmitted power [currency/(MVA km)]; d_ij of eq. (1).
    loss_cost
        Cost of losses [currency/(MVA^2 km)]: the quadratic curve behind the tangent (19).
    r, x
        Series resistance and reactance [ohm/km].
    """

    name: str
    capacity_mva: float
    fixed_cost: float
    variable_cost: float = 0.0
    loss_cost: float = 0.0
    r: float = 0.0
    x: float = 0.0

    def yearly_cost(self, mva: float) -> float:
        """Variable and loss cost per km at a transmitted power."""
        return self.variable_cost * mva + self.loss_cost * mva**2


@dataclass(frozen=True)
class Site:
    """A place where a substation may stand.

    Parameters
    ----------
    sizes
        Indices into the problem's ``sizes``: what may be built here, at most one of them.
    exits
        Most lines that leave the substation; N_F of eq. (4).
    """

    id: Id
    sizes: tuple[int, ...]
    exits: int


@dataclass(frozen=True)
class Route:
    """A way along which one line may be built.

    Parameters
    ----------
    ends
        Node indices: sites first, then demands.
    types
        Indices into the problem's ``line_types``: what may be built here, at most one of them.
    """

    id: Id
    ends: tuple[int, int]
    length_km: float
    types: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Stage:
    """A period with its own peak demand; what is built stays.

    Parameters
    ----------
    demand
        Peak demand of each demand node [MVA], shape (n_demand,).
    fixed_factor
        Present worth of one unit of money spent at the start of the stage.
    variable_factor
        Present worth of one unit of variable cost per year over the stage; 1 where the file gives present values.
    """

    name: str
    demand: Floats
    fixed_factor: float = 1.0
    variable_factor: float = 1.0


@dataclass(frozen=True)
class LossTangent:
    """The linear loss of a line in use, eq. (7) and (12): ``fixed_mw + per_mva * S`` [MW]."""

    fixed_mw: float
    per_mva: float


@dataclass(frozen=True)
class Links:
    """Every way to use a route: a direction and a line type.

    Parameters
    ----------
    tail, head
        Nodes, shape (n_link,).
    route, line_type
        Indices, shape (n_link,).
    """

    tail: Ints
    head: Ints
    route: Ints
    line_type: Ints

    def __len__(self) -> int:
        return len(self.tail)


@dataclass(frozen=True, eq=False)
class ExpansionProblem:
    """Choose sites, sizes, routes and lines of least cost that supply every demand of every stage.

    Parameters
    ----------
    currency
        Label of every cost; nothing is converted.
    kv
        Nominal line-to-line voltage of the lines [kV].
    power_factor
        Cosine phi of every demand, in (0, 1].
    demand_ids
        Ids of the demand nodes; a node without demand is a place where routes meet and need not be reached.
    coordinates
        Position of every node on the map [km], shape (n_node, 2).
    stages
        In the order of time; one stage is the problem of the seed.
    max_substations
        N_max of eq. (5).
    loss_limit_percent
        Z_max of eq. (7): losses of the lines over the active power demanded, None = no limit.
    loss_tangent
        Linear loss of every line in use; None = ``r S^2 / V^2`` of the line.
    radial
        At most one line in use feeds a node, and none a built substation.
    n_minus_1
        Every demand can still be supplied, after switching, when any substation loses one transformer.
    emergency_loading
        Loading of the remaining transformers allowed then.
    vm_min, vm_max
        Voltage limits for the AC check [pu].
    """

    name: str
    currency: str
    kv: float
    power_factor: float
    sizes: tuple[SubstationSize, ...]
    sites: tuple[Site, ...]
    demand_ids: tuple[Id, ...]
    coordinates: Floats
    line_types: tuple[LineType, ...]
    routes: tuple[Route, ...]
    stages: tuple[Stage, ...]
    max_substations: int
    loss_limit_percent: float | None = None
    loss_tangent: LossTangent | None = None
    radial: bool = False
    n_minus_1: bool = False
    emergency_loading: float = 1.0
    vm_min: float | None = None
    vm_max: float | None = None
    title: str = ""
    source: str = ""

    def __repr__(self) -> str:
        size = ", ".join(
            counted(len(some), kind)
            for some, kind in ((self.sites, "site"), (self.demand_ids, "demand"), (self.routes, "route"))
        )
        return f"ExpansionProblem({self.name!r}: {size}, {counted(len(self.stages), 'stage')})"

    @property
    def n_site(self) -> int:
        """Number of candidate sites: the first nodes."""
        return len(self.sites)

    @property
    def n_node(self) -> int:
        """Number of sites and demands."""
        return self.n_site + len(self.demand_ids)

    @cached_property
    def node_ids(self) -> tuple[Id, ...]:
        """Ids of the sites, then of the demands."""
        return (*(site.id for site in self.sites), *self.demand_ids)

    @cached_property
    def links(self) -> Links:
        """All links, route by route. Power enters a site from another site only, and in a radial plan not at all."""
        rows = []
        for e, route in enumerate(self.routes):
            for tail, head in (route.ends, route.ends[::-1]):
                if head < self.n_site and (tail >= self.n_site or self.radial):
                    continue
                rows += [(tail, head, e, k) for k in route.types]
        table = np.array(rows, dtype=np.int64).reshape(-1, 4)
        return Links(*table.T.copy())

    def demand(self, stage: int, node: int) -> float:
        """Demand of a node in a stage [MVA]; sites have none."""
        return 0.0 if node < self.n_site else float(self.stages[stage].demand[node - self.n_site])

    def total_mva(self, stage: int) -> float:
        """Demand of all nodes in a stage [MVA]."""
        return float(self.stages[stage].demand.sum())

    def loss_limit_mw(self, stage: int) -> float:
        """Largest loss of all lines together in a stage [MW]."""
        if self.loss_limit_percent is None:
            return math.inf
        return self.loss_limit_percent / 100 * self.power_factor * self.total_mva(stage)

    def line_loss_mw(self, route: int, line_type: int, mva: float) -> float:
        """Loss of a line at nominal voltage, eq. (10) with I = S / (sqrt(3) V): ``r L S^2 / V^2`` [MW]."""
        return self.line_types[line_type].r * self.routes[route].length_km * (mva / self.kv) ** 2

    def replace(self, **changes: Any) -> ExpansionProblem:
        """A variant of this problem."""
        return replace(self, **changes)

    def with_lengths(self, lengths_km: Floats) -> ExpansionProblem:
        """The same problem with other lengths of its routes [km], shape (n_route,)."""
        routes = tuple(replace(r, length_km=float(x)) for r, x in zip(self.routes, lengths_km, strict=True))
        return self.replace(routes=routes)
