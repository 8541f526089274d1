"""The problem every engine takes: a network in a scenario, with limits and switching rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from learnopt.errors import DataError
from learnopt.network.aliases import Bools, Floats, Ints
from learnopt.network.controls import Controls, Settings
from learnopt.network.held import LimitKind
from learnopt.network.model import Configuration, Limits, Network, Scenario, ScenarioSet
from learnopt.network.notebook import fact_table, listed
from learnopt.network.phases import has_angles, unequal_loops
from learnopt.network.topology import Blocks, DisjointSets, merged_nodes, network_blocks, radiality_faults

OBJECTIVES = ("expected", "worst")
"""What the loss of several scenarios is: their weighted mean, or the largest."""
_ROUNDING_ANGLE = 1e-7
"""Angle between the ends of a fixed loop that is rounding [rad]: no power flow of a radial state looks at angles."""


@dataclass(frozen=True)
class Core:
    """What is left to decide: a graph whose spanning trees are the radial configurations, one to one.

    Parameters
    ----------
    branches
        The free branches of the network, shape (n_free,).
    tail, head
        Their end nodes after contraction, shape (n_free,).
    n_nodes
        Number of nodes; node 0 holds the substations.
    """

    branches: Ints
    tail: Ints
    head: Ints
    n_nodes: int


@dataclass(frozen=True, eq=False)
class ReconfigurationProblem:
    """Choose the state of every free switch so that the network is radial and the AC loss is least.

    Branches without a switch that form a loop stay closed (:attr:`chords`): radial is radial but for fixed loops.

    The objective is ``loss + switching_cost * operations`` [kW], operations counted from the normal configuration.

    Parameters
    ----------
    network, scenario
        The feeder and its loads, outages and locks.
    scenarios
        Several load situations for one configuration: ``objective`` says what their loss is, limits hold in each.
        ``scenario`` then keeps the outages and locks, and the mean loads (see :meth:`of`). None = ``scenario`` alone.
    controls
        Taps, capacitors and generators to be set together with the switches; none by default.
    limits
        Operating limits to respect.
    charging
        Use the line charging of the file.
    switching_cost
        Cost of one switching operation [kW], >= 0.
    max_operations
        Cap on switching operations, None = no cap.
    objective
        The loss of several scenarios: ``expected`` = their weighted mean, ``worst`` = the largest, whatever its weight.
    variants
        The network of each scenario where controls set differently make them differ in taps or capacitors
        (:meth:`applied`); empty = ``network`` for all.
    """

    network: Network
    scenario: Scenario
    limits: Limits = field(default_factory=Limits)
    charging: bool = True
    switching_cost: float = 0.0
    max_operations: int | None = None
    scenarios: ScenarioSet | None = None
    controls: Controls = field(default_factory=Controls)
    objective: str = "expected"
    variants: tuple[Network, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        if self.objective not in OBJECTIVES:
            problems.append(f"objective = {self.objective!r} must be one of {', '.join(OBJECTIVES)}")
        if not self.switching_cost >= 0 or not np.isfinite(self.switching_cost):
            problems.append(f"switching_cost = {self.switching_cost} must be a finite number >= 0 [kW per operation]")
        if self.max_operations is not None and self.max_operations < 0:
            problems.append(f"max_operations = {self.max_operations} must be >= 0")
        net = self.network
        for k in np.flatnonzero(self.vm_min > self.vm_max)[:10]:
            low, high = self.vm_min[k], self.vm_max[k]
            problems.append(
                f"bus {net.bus_ids[k]!r}: the lower voltage limit {low:g} pu exceeds the upper, {high:g} pu"
            )
        if has_angles(net):
            problems += unequal_loops(net, self.held, self.chords, _ROUNDING_ANGLE)
        if problems:
            raise DataError("problem", problems)

    @classmethod
    def of(
        cls, network: Network, scenario: Scenario | ScenarioSet | None = None, **options: Any
    ) -> ReconfigurationProblem:
        """The problem as the file states it: nominal scenario and all limits of the network, unless said otherwise."""
        options.setdefault("limits", Limits.of(network))
        if isinstance(scenario, ScenarioSet):
            return cls(network, scenario.mean, scenarios=scenario, **options)
        return cls(network, scenario or Scenario.nominal(network), **options)

    def __repr__(self) -> str:
        free = f"{int(self.free.sum())} free switches"
        return f"ReconfigurationProblem({self.network.name!r}, scenario {self.scenario.name!r}: {free})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        net, limits = self.network, self.limits
        locked = [net.branch_ids[e] for e in np.flatnonzero(self.scenario.locked >= 0)]
        out = [net.branch_ids[e] for e in np.flatnonzero(self.scenario.out_of_service)]
        several = "" if self.scenarios is None else f" ({len(self.members)}, objective: {self.objective})"
        return fact_table(
            f"reconfigure {net.name}",
            [
                ("scenario", self.scenario.name + several),
                ("net load", f"{self.p.sum() * net.base.kw:,.6g} kW, {self.q.sum() * net.base.kw:,.6g} kvar"),
                ("switches to decide", int(self.free.sum())),
                ("switches to open among them", len(self.core.branches) - self.core.n_nodes + 1),
                ("locked", listed(locked)),
                ("out of service", listed(out)),
                ("voltage limits", self.voltage_limits_text),
                ("limits enforced", listed(k for k in ("ampacity", "substations") if getattr(limits, k))),
                ("switching cost", f"{self.switching_cost:g} kW per operation"),
                ("most operations", "any number" if self.max_operations is None else self.max_operations),
            ],
        )

    def replace(self, **changes: Any) -> ReconfigurationProblem:
        """A variant of this problem."""
        return replace(self, **changes)

    def applied(self, settings: Settings | Sequence[Settings] | None) -> ReconfigurationProblem:
        """The problem with its controls at these values, and none left to set; itself where it has none.

        Parameters
        ----------
        settings
            Of several scenarios those of each, or the same for all. None = neutral: taps nearest to 1, capacitors and
            generators off.
        """
        if not self.controls:
            return self
        if settings is None or isinstance(settings, Settings):
            settings = [settings or self.controls.neutral]
        if self.scenarios is None or len(settings) == 1:
            network, scenario = self._set(self.scenario, settings[0])
            scenarios = self.scenarios
            if scenarios is not None:
                scenarios = replace(
                    scenarios, scenarios=tuple(self._set(each, settings[0])[1] for each in scenarios.scenarios)
                )
            return replace(self, network=network, scenario=scenario, scenarios=scenarios, controls=Controls())
        each = [self._set(member, values) for member, values in zip(self.scenarios.scenarios, settings, strict=True)]
        scenarios = replace(self.scenarios, scenarios=tuple(scenario for _, scenario in each))
        mean = replace(self.scenario, p_gen=scenarios.mean.p_gen, q_gen=scenarios.mean.q_gen)
        networks = tuple(network for network, _ in each)
        return replace(
            self, network=networks[0], scenario=mean, scenarios=scenarios, controls=Controls(), variants=networks
        )

    def _set(self, scenario: Scenario, settings: Settings) -> tuple[Network, Scenario]:
        """Network and scenario with every control at its value."""
        net = self.network
        ratio, b_shunt = net.ratio.copy(), net.b_shunt.copy()
        p_gen, q_gen = scenario.p_gen.copy(), scenario.q_gen.copy()
        for tap, value in zip(self.controls.taps, settings.taps, strict=True):
            ratio[tap.branch] = 1.0 / value
        for capacitor, value in zip(self.controls.capacitors, settings.capacitors, strict=True):
            b_shunt[capacitor.bus] += value
        for generator, (p, q) in zip(self.controls.generators, settings.generators, strict=True):
            p_gen[generator.bus] += p
            q_gen[generator.bus] += q
        return replace(net, ratio=ratio, b_shunt=b_shunt), replace(scenario, p_gen=p_gen, q_gen=q_gen)

    def remote_only(self) -> ReconfigurationProblem:
        """The problem in which nobody travels: hand-operated switches are locked in their present state."""
        net, scenario = self.network, self.scenario
        held = net.manual & net.switchable & (scenario.locked < 0) & ~scenario.out_of_service
        locked = np.where(held, np.where(net.normally_open, 0, 1), scenario.locked).astype(np.int8)
        return replace(self, scenario=replace(scenario, locked=locked))

    @cached_property
    def members(self) -> tuple[ReconfigurationProblem, ...]:
        """The problem of each scenario alone; this problem itself where it has only one."""
        if self.scenarios is None:
            return (self,)
        out, locked = self.scenario.out_of_service, self.scenario.locked
        loads = (replace(member, out_of_service=out, locked=locked) for member in self.scenarios.scenarios)
        networks = self.variants or (self.network,) * len(self.scenarios.scenarios)
        return tuple(
            replace(self, network=network, scenario=scenario, scenarios=None, variants=())
            for network, scenario in zip(networks, loads, strict=True)
        )

    @cached_property
    def mean(self) -> ReconfigurationProblem:
        """The problem of the mean loads alone; this problem itself where it has one scenario."""
        return self if self.scenarios is None else replace(self, scenarios=None, variants=())

    @property
    def weights(self) -> Floats:
        """Weight of each of the ``members``, sum 1, shape (n_scenario,)."""
        return np.ones(1) if self.scenarios is None else self.scenarios.weights

    @property
    def worst_case(self) -> bool:
        """The loss is the largest of several scenarios."""
        return self.objective == "worst" and self.scenarios is not None

    def total(self, losses: Any) -> float:
        """The loss of the problem from the loss of each of its ``members``."""
        return float(np.max(losses)) if self.worst_case else float(np.dot(self.weights, losses))

    @cached_property
    def p(self) -> Floats:
        """Net active load [pu], of several scenarios the mean, shape (n_bus,)."""
        return self.scenario.p

    @cached_property
    def q(self) -> Floats:
        """Net reactive load [pu], of several scenarios the mean, shape (n_bus,)."""
        return self.scenario.q

    @cached_property
    def b(self) -> Floats:
        """Line charging in use [pu], shape (n_branch,)."""
        return self.network.b if self.charging else np.zeros(self.network.n_branch)

    @cached_property
    def i_max(self) -> Floats:
        """Current limits in force [pu], shape (n_branch,); ``inf`` = none."""
        net = self.network
        limit = net.i_max if self.limits.ampacity else np.full(net.n_branch, np.inf)
        return self._with_held(limit, LimitKind.CURRENT)

    @cached_property
    def s_min(self) -> Floats:
        """Least apparent power to be drawn at each substation [pu], shape (n_substation,); 0 = any."""
        net = self.network
        limit = net.substation_s_min if self.limits.substations else np.zeros(len(net.substations))
        return self._with_held(limit, LimitKind.LEAST_POWER)

    @cached_property
    def s_max(self) -> Floats:
        """Most apparent power to be drawn at each substation [pu], shape (n_substation,); ``inf`` = any."""
        net = self.network
        limit = net.substation_s_max if self.limits.substations else np.full(len(net.substations), np.inf)
        return self._with_held(limit, LimitKind.MOST_POWER)

    def _with_held(self, limit: Floats, kind: LimitKind) -> Floats:
        """Limits of one kind, those that are held at their present value; read-only."""
        in_force = np.array(limit)
        for held in self.limits.held:
            if held.kind is kind:
                in_force[held.index] = held.value
        in_force.flags.writeable = False
        return in_force

    def limits_in_network(self) -> ReconfigurationProblem:
        """The same problem with every limit in force written into the network: to be cut, merged or rescaled there."""
        if not self.limits.held:
            return self
        in_force: dict[str, Any] = {
            "vm_min": self.vm_min,
            "vm_max": self.vm_max,
            "i_max": self.i_max,
            "substation_s_min": self.s_min,
            "substation_s_max": self.s_max,
        }
        return replace(
            self,
            network=replace(self.network, **in_force),
            limits=Limits(ampacity=True, substations=True, voltage=True),
            variants=tuple(replace(network, **in_force) for network in self.variants),
        )

    @cached_property
    def vm_min(self) -> Floats:
        """Lower voltage limits in force [pu], shape (n_bus,); 0 = none, as at every substation."""
        limit = self._voltage_limits(self.limits.vm_min, self.network.vm_min, 0.0)
        return self._with_held(limit, LimitKind.LOWEST_VOLTAGE)

    @cached_property
    def vm_max(self) -> Floats:
        """Upper voltage limits in force [pu], shape (n_bus,); ``inf`` = none, as at every substation."""
        limit = self._voltage_limits(self.limits.vm_max, self.network.vm_max, np.inf)
        return self._with_held(limit, LimitKind.HIGHEST_VOLTAGE)

    def _voltage_limits(self, for_all: float | None, of_network: Floats, none: float) -> Floats:
        net = self.network
        limit = np.full(net.n_bus, none if for_all is None else for_all)
        if for_all is None and self.limits.voltage:
            limit[:] = of_network
        limit[net.substations] = none
        return limit

    @cached_property
    def voltage_ranges(self) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        """Lowest and highest of the lower, and of the upper, voltage limits in force [pu]; None where there is none."""
        low, high = self.vm_min[self.vm_min > 0], self.vm_max[self.vm_max < np.inf]
        return tuple((float(v.min()), float(v.max())) if len(v) else None for v in (low, high))  # type: ignore[return-value]

    @property
    def voltage_limits_text(self) -> str:
        """The voltage limits in force for people: "0.95 to 1.05 pu", or what they range over."""

        def text(limit: tuple[float, float] | None) -> str:
            if limit is None:
                return "–"
            return f"{limit[0]:g}" if limit[0] == limit[1] else f"{limit[0]:g}…{limit[1]:g}"

        return "{} to {} pu".format(*map(text, self.voltage_ranges))

    @cached_property
    def must_open(self) -> Bools:
        """bool, shape (n_branch,): out of service, locked open, or a non-switchable branch that is normally open."""
        net, scenario = self.network, self.scenario
        unlocked = scenario.locked < 0
        return scenario.out_of_service | (scenario.locked == 0) | (unlocked & ~net.switchable & net.normally_open)

    @cached_property
    def must_close(self) -> Bools:
        """bool, shape (n_branch,): locked closed or not switchable and normally closed; bridges are not listed here."""
        net, scenario = self.network, self.scenario
        unlocked = scenario.locked < 0
        wanted = (scenario.locked == 1) | (unlocked & ~net.switchable & ~net.normally_open)
        return wanted & ~scenario.out_of_service

    @cached_property
    def held(self) -> Bools:
        """bool, shape (n_branch,): branches without a switch that are closed, in service and not locked open."""
        return self.must_close & self.network.fixed

    @cached_property
    def chords(self) -> Bools:
        """bool, shape (n_branch,): one branch of every *fixed loop*, a loop of branches without a switch.

        Fixed loops are in every state, which is radial but for them: the closed branches without the chords are a
        spanning forest. Locks and outages may leave none.
        """
        return self.network.chords_of(self.held)

    @cached_property
    def usable(self) -> Bools:
        """bool, shape (n_branch,): branches that may be closed."""
        return ~self.must_open

    @cached_property
    def blocks(self) -> Blocks:
        """Block structure of the usable graph."""
        return network_blocks(self.network, self.usable)

    @cached_property
    def free(self) -> Bools:
        """bool, shape (n_branch,): switches that are truly a decision (usable, not forced, in a loop)."""
        return self.usable & ~self.must_close & ~self.blocks.bridges & (self.blocks.block >= 0)

    @cached_property
    def in_deciding_block(self) -> Bools:
        """bool, shape (n_branch,): branches in a block with a free switch; other blocks are bridges or fixed loops."""
        block = self.blocks.block
        return (block >= 0) & np.isin(block, block[self.free])

    @cached_property
    def core(self) -> Core:
        """The free switches on the graph in which everything that must stay closed is contracted."""
        net = self.network
        node = merged_nodes(net)
        sets = DisjointSets(int(node.max()) + 1)
        for e in np.flatnonzero(self.usable & ~self.free):
            sets.join(int(node[net.from_bus[e]]), int(node[net.to_bus[e]]))
        labels = np.array([sets.find(int(k)) for k in node])
        _, compact = np.unique(np.where(labels == sets.find(0), -1, labels), return_inverse=True)
        branches = np.flatnonzero(self.free)
        return Core(branches, compact[net.from_bus[branches]], compact[net.to_bus[branches]], int(compact.max()) + 1)

    @cached_property
    def contradictions(self) -> list[str]:
        """Why no configuration can exist that is radial but for fixed loops, by id; empty when one does.

        These make the problem infeasible (a status), not the input bad.
        """
        net = self.network
        faults = []
        clash = self.scenario.out_of_service & (self.scenario.locked == 1)
        faults += [f"branch {net.branch_ids[e]!r} is locked closed but out of service" for e in np.flatnonzero(clash)]
        node = merged_nodes(net)
        unfed = np.flatnonzero(~self.blocks.fed[node])
        if len(unfed):
            names = ", ".join(repr(net.bus_ids[k]) for k in unfed[:10]) + (" ..." if len(unfed) > 10 else "")
            faults.append(f"{len(unfed)} buses cannot be fed with the open and out-of-service branches: bus {names}")
        sets = DisjointSets(int(node.max()) + 1)
        for e in (*np.flatnonzero(self.held), *np.flatnonzero(self.must_close & ~net.fixed)):
            if not sets.join(int(node[net.from_bus[e]]), int(node[net.to_bus[e]])) and not net.fixed[e]:
                faults.append(f"branch {net.branch_ids[e]!r} closes a loop of branches that must all stay closed")
        return faults

    def admits(self, configuration: Configuration) -> bool:
        """The configuration respects locks, outages, the cap on operations and radiality (not the AC limits)."""
        return not self.faults(configuration)

    def faults(self, configuration: Configuration, settings: Settings | Sequence[Settings] | None = None) -> list[str]:
        """Why a configuration, and settings of the controls, are not admissible, by id; empty when they are.

        AC limits are not looked at.
        """
        net = self.network
        closed = configuration.closed
        faults = [f"branch {net.branch_ids[e]!r} must be open" for e in np.flatnonzero(closed & self.must_open)]
        faults += [f"branch {net.branch_ids[e]!r} must be closed" for e in np.flatnonzero(~closed & self.must_close)]
        faults += radiality_faults(net, closed)
        operations = self.operations(configuration)
        if self.max_operations is not None and operations > self.max_operations:
            faults.append(f"{operations} switching operations exceed the cap of {self.max_operations}")
        if settings is not None and self.controls:
            each = [settings] if isinstance(settings, Settings) else settings
            faults += [s for one in each for s in self.controls.faults(one, net.bus_ids, net.branch_ids)]
        return faults

    def operations(self, configuration: Configuration) -> int:
        """Switching operations from the normal configuration; a branch out of service is not operated."""
        changed = configuration.closed != self.network.normal_configuration.closed
        return int(np.count_nonzero(changed & ~self.scenario.out_of_service))
