"""What a fault leaves: dead equipment, healthy buses that some switch can reach, and the zones they come in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from learnopt.errors import DataError
from learnopt.network import Bools, Configuration, Floats, Ints, Network, ReconfigurationProblem
from learnopt.network.part import Part
from learnopt.network.topology import DisjointSets, merged_nodes
from learnopt.network.totals import consumption
from learnopt.studies.configuration.isolation import DeadZone, dead_zone
from learnopt.studies.restoration.fault import Fault


@dataclass(frozen=True)
class Strain:
    """How loads and ratings differ from those of the file until the repair is done.

    Parameters
    ----------
    pickup
        Cold-load pickup: factor on loads that the fault took the supply from, in the first situation.
    emergency
        Factor on the ratings of branches and substations.

    Raises
    ------
    DataError
        For factors that are no finite numbers >= 1.
    """

    pickup: float = 1.0
    emergency: float = 1.0

    def __post_init__(self) -> None:
        bad = [
            f"{name} = {value:g} must be a finite number >= 1"
            for name, value in (("pickup", self.pickup), ("emergency", self.emergency))
            if not (np.isfinite(value) and value >= 1)
        ]
        if bad:
            raise DataError("restoration", bad)


NO_STRAIN = Strain()
"""Loads and ratings as the file has them."""


@dataclass(frozen=True, eq=False)
class Outage:
    """A network after a fault is isolated.

    Parameters
    ----------
    problem
        Network, loads, limits and locks until the repair; one decision for all its situations.
    fault
        What is out of order.
    priority
        Worth of a kW at each bus, shape (n_bus,).
    strain
        How loads and ratings of ``problem`` differ from the usual.
    usual
        The problem whose loads are counted and that holds after the repair, where ``problem`` is under strain.
    """

    problem: ReconfigurationProblem
    fault: Fault
    priority: Floats
    strain: Strain = NO_STRAIN
    usual: ReconfigurationProblem | None = None

    def under(self, strain: Strain) -> Outage:
        """The same with pickup of what has lost its supply, and emergency ratings; load is counted as before."""
        problem = self.problem.limits_written()
        net = problem.network
        cold = np.where(self.fed_before & ~self.still_fed, strain.pickup - 1.0, 0.0)
        first = problem.situations.scenarios[0]
        # Impedances pick up at nominal voltage.
        picked_up = replace(
            first,
            p_load=first.p_load + cold * consumption(net, first),
            q_load=first.q_load + cold * np.where(first.p_load > 0, first.q_load, 0.0),
        )

        def rated(one: Network) -> Network:
            s_max = one.substation_s_max * strain.emergency
            return replace(one, i_max=one.i_max * strain.emergency, substation_s_max=s_max)

        situations = replace(
            problem.situations,
            scenarios=(picked_up, *problem.situations.scenarios[1:]),
            networks=tuple(map(rated, problem.situations.networks)),
        )
        changed = problem.replace(network=rated(net), situations=situations)
        return replace(self, problem=changed, strain=strain, usual=self.problem)

    @cached_property
    def zone(self) -> DeadZone:
        """What stays dead, and the devices around it."""
        return dead_zone(self.problem, self.fault.branches, self.fault.buses)

    @cached_property
    def dead(self) -> Bools:
        """Buses that stay dead until the repair, shape (n_bus,)."""
        mask = np.zeros(self.problem.network.n_bus, dtype=bool)
        mask[list(self.zone.buses)] = True
        return mask

    @cached_property
    def lines(self) -> Bools:
        """Branches that stay dead, shape (n_branch,)."""
        mask = np.zeros(self.problem.network.n_branch, dtype=bool)
        mask[list(self.zone.lines)] = True
        return mask

    @cached_property
    def blocked(self) -> Bools:
        """Branches that lead nowhere until the repair, shape (n_branch,)."""
        net = self.problem.network
        return self.lines | self.dead[net.from_bus] | self.dead[net.to_bus]

    @cached_property
    def before(self) -> Configuration:
        """The state before the fault."""
        return Configuration(self.problem.network.normal_configuration.closed & ~self.problem.out_of_service)

    @cached_property
    def isolated(self) -> Configuration:
        """The state once the fault is isolated and nothing else is done."""
        return Configuration(self.before.closed & ~self.blocked)

    def repaired(self, closed: Bools) -> Configuration:
        """A state after the fault as the repair finds it: what isolating did not open is closed, though dead.

        Parameters
        ----------
        closed
            States of the branches, what the fault blocks open, shape (n_branch,).
        """
        net = self.problem.network
        devices = net.switchgear.devices
        opened = np.zeros(net.n_branch, dtype=bool)
        opened[[net.branch_index[str(devices[k].branch)] for k in self.zone.opened]] = True
        return Configuration(closed | (self.before.closed & self.blocked & ~opened))

    @cached_property
    def reachable(self) -> Bools:
        """Healthy buses that some switching connects to a healthy substation, shape (n_bus,)."""
        return self.fed(self.problem.usable & ~self.blocked)

    @cached_property
    def still_fed(self) -> Bools:
        """Buses that keep their supply while nothing is done but isolating, shape (n_bus,)."""
        return self.fed(self.isolated.closed)

    @cached_property
    def fed_before(self) -> Bools:
        """Buses with supply before the fault, shape (n_bus,)."""
        net = self.problem.network
        sets = DisjointSets(net.n_bus + 1)
        for e in np.flatnonzero(self.before.closed).tolist():
            sets.join(int(net.from_bus[e]), int(net.to_bus[e]))
        for k in net.substations.tolist():
            sets.join(k, net.n_bus)
        return np.array([sets.find(k) == sets.find(net.n_bus) for k in range(net.n_bus)])

    def fed(self, closed: Bools) -> Bools:
        """Buses that closed branches join to a healthy substation, past what the fault blocks, shape (n_bus,)."""
        net = self.problem.network
        sets, root = DisjointSets(net.n_bus + 1), net.n_bus
        for e in np.flatnonzero(closed & ~self.blocked).tolist():
            sets.join(int(net.from_bus[e]), int(net.to_bus[e]))
        for k in net.substations.tolist():
            if not self.dead[k]:
                sets.join(k, root)
        return np.array([sets.find(k) == sets.find(root) for k in range(net.n_bus)])

    @cached_property
    def load_kw(self) -> Floats:
        """Consumption at each bus, impedances at nominal voltage, mean of the situations [kW], shape (n_bus,)."""
        net = self.problem.network
        return consumption(net, (self.usual or self.problem).scenario) * net.base.kw

    @cached_property
    def value_kw(self) -> Floats:
        """Consumption times its priority [kW], shape (n_bus,)."""
        return self.load_kw * self.priority

    @cached_property
    def reach(self) -> Part:
        """The problem of all reachable buses: a reconfiguration of what is left."""
        net = self.problem.network
        inside = self.reachable[net.from_bus] & self.reachable[net.to_bus] & ~self.blocked
        return Part.of(self.problem, self.reachable, inside)

    @cached_property
    def zones(self) -> Ints:
        """Zone of each bus of ``reach``, shape (n_bus of it,): what no switch can part; -1 with the substations."""
        problem = self.reach.problem
        net = problem.network
        if not net.n_bus:
            return np.zeros(0, dtype=np.int64)
        node = merged_nodes(net)
        sets = DisjointSets(int(node.max()) + 1)
        for e in np.flatnonzero(problem.must_close).tolist():
            sets.join(int(node[net.from_bus[e]]), int(node[net.to_bus[e]]))
        label = np.array([sets.find(int(k)) for k in node])
        root = sets.find(0)
        order = {k: i for i, k in enumerate(dict.fromkeys(label[label != root].tolist()))}
        return np.array([order.get(int(k), -1) for k in label])
