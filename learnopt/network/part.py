"""A part of a problem that is a problem of its own: some buses, the branches between them, and their limits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from learnopt.network.aliases import Bools, Ints
from learnopt.network.configuration import Configuration
from learnopt.network.controls import Controls
from learnopt.network.model import Network
from learnopt.network.problem import ReconfigurationProblem
from learnopt.network.situations import Scenario

_PER_BUS = ("p_load", "q_load", "p_fed", "q_fed", "g_shunt", "b_shunt", "kv", "vm_min", "vm_max")
_PER_BRANCH = ("r", "x", "b", "i_max", "switchable", "normally_open", "g", "ratio", "manual", "shift")
_PER_SUBSTATION = ("substation_vm", "substation_va", "substation_s_min", "substation_s_max")


@dataclass(frozen=True, eq=False)
class Part:
    """A problem of some buses, and where its buses and branches are in the whole.

    Parameters
    ----------
    problem
        The part, with every limit in force written into its network.
    buses, branches
        Indices in the whole, shapes (n_bus of the part,) and (n_branch of the part,).
    """

    problem: ReconfigurationProblem
    buses: Ints
    branches: Ints

    @classmethod
    def of(cls, problem: ReconfigurationProblem, buses: Bools, branches: Bools) -> Part:
        """The part of these buses and branches, without controls.

        Parameters
        ----------
        buses
            bool, shape (n_bus,); a substation is one where its bus is inside.
        branches
            bool, shape (n_branch,); both ends inside.
        """
        problem = problem.limits_in_network()
        at_bus, at_branch = np.flatnonzero(buses), np.flatnonzero(branches)
        out, locked = problem.out_of_service[at_branch], problem.locked[at_branch]

        def loads(scenario: Scenario) -> Scenario:
            powers = {name: getattr(scenario, name)[at_bus] for name in ("p_load", "q_load", "p_gen", "q_gen")}
            return replace(scenario, out_of_service=out, locked=locked, **powers)

        several = problem.situations
        networks = tuple(_cut(each, buses, at_bus, at_branch) for each in several.networks)
        situations = replace(several, scenarios=tuple(map(loads, several)), networks=networks)
        network = _cut(problem.network, buses, at_bus, at_branch)
        return cls(
            problem.replace(
                network=network, situations=situations, out_of_service=out, locked=locked, controls=Controls()
            ),
            at_bus,
            at_branch,
        )

    def part_of(self, configuration: Configuration) -> Configuration:
        """The states of the part in a configuration of the whole."""
        return Configuration(configuration.closed[self.branches])

    @property
    def n_switches(self) -> int:
        """Switches that are left to decide."""
        return len(self.problem.core.branches)


def _cut(network: Network, buses: Bools, at_bus: Ints, at_branch: Ints) -> Network:
    index = np.full(network.n_bus, -1)
    index[at_bus] = np.arange(len(at_bus))
    sources = np.flatnonzero(buses[network.substations])
    ids = {str(network.branch_ids[e]) for e in at_branch}
    return replace(
        network,
        bus_ids=tuple(network.bus_ids[k] for k in at_bus),
        branch_ids=tuple(network.branch_ids[e] for e in at_branch),
        bus_names=tuple(network.bus_names[k] for k in at_bus),
        branch_names=tuple(network.branch_names[e] for e in at_branch),
        from_bus=index[network.from_bus[at_branch]],
        to_bus=index[network.to_bus[at_branch]],
        substations=index[network.substations[sources]],
        coordinates=None if network.coordinates is None else network.coordinates[at_bus],
        customers=None if network.customers is None else network.customers[at_bus],
        devices=tuple(d for d in network.devices if str(d.branch) in ids),
        controls=Controls(),
        **{name: getattr(network, name)[at_bus] for name in _PER_BUS},
        **{name: getattr(network, name)[at_branch] for name in _PER_BRANCH},
        **{name: getattr(network, name)[sources] for name in _PER_SUBSTATION},
    )
