"""The problem every engine takes: a network in one or more load situations, with limits and switching rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnopt.errors import DataError
from learnopt.network.aliases import Bools, Floats, Ints
from learnopt.network.configuration import Configuration
from learnopt.network.controls import Controls, Settings
from learnopt.network.limits import LimitKind
from learnopt.network.model import Limits, Network
from learnopt.network.names import branch_label, branch_quoted, bus_quoted, own_buses
from learnopt.network.notebook import fact_table, listed
from learnopt.network.phases import has_angles, unequal_loops
from learnopt.network.situations import Scenario, Situations
from learnopt.network.topology import Blocks, DisjointSets, merged_nodes, network_blocks, radiality_faults
from learnopt.wording import counted

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
    network
        The feeder.
    situations
        Its loads: one or more situations for one configuration, and how their losses add. Limits hold in each.
    limits
        Operating limits to respect.
    charging
        Use the line charging of the file.
    switching_cost
        Cost of one switching operation [kW], >= 0.
    max_operations
        Cap on switching operations, None = no cap.
    controls
        Taps, capacitors and generators to be set together with the switches; none by default.
    out_of_service
        bool, shape (n_branch,): equipment that cannot carry current; such a branch counts as open. None = as the
        situations say. What is given here holds in all of them.
    locked
        int8, shape (n_branch,): -1 free, 0 locked open, 1 locked closed; None likewise.
    """

    network: Network
    situations: Situations
    limits: Limits = field(default_factory=Limits)
    charging: bool = True
    switching_cost: float = 0.0
    max_operations: int | None = None
    controls: Controls = field(default_factory=Controls)
    out_of_service: Bools = None  # type: ignore[assignment]  # filled in
    locked: NDArray[np.int8] = None  # type: ignore[assignment]  # filled in

    def __post_init__(self) -> None:
        for key in ("out_of_service", "locked"):
            if getattr(self, key) is None:
                object.__setattr__(self, key, getattr(self.situations, key))
            getattr(self, key).flags.writeable = False
        object.__setattr__(self, "situations", self.situations.in_state(self.out_of_service, self.locked))
        problems = []
        if not self.switching_cost >= 0 or not np.isfinite(self.switching_cost):
            problems.append(f"switching_cost = {self.switching_cost} must be a finite number >= 0 [kW per operation]")
        if self.max_operations is not None and self.max_operations < 0:
            problems.append(f"max_operations = {self.max_operations} must be >= 0")
        self._leave_dead_ends()
        net = self.network
        for k in np.flatnonzero(self.vm_min > self.vm_max)[:10]:
            low, high = self.vm_min[k], self.vm_max[k]
            problems.append(
                f"bus {bus_quoted(net, k)}: the lower voltage limit {low:g} pu exceeds the upper, {high:g} pu"
            )
        if has_angles(net):
            problems += unequal_loops(net, self.held, self.chords, _ROUNDING_ANGLE)
        if problems:
            raise DataError("problem", problems)

    def _leave_dead_ends(self) -> None:
        """What lies behind the switch of a branch out of service is dead too: it draws nothing in any network."""
        net, out = self.network, self.out_of_service
        behind = net.switchgear.behind if out.any() else {}
        dead = [behind[e] for e in np.flatnonzero(out).tolist() if e in behind]
        if not any(each.b[dead].any() or each.g[dead].any() for each in (net, *self.situations.networks)):
            return

        def changed(each: Network) -> Network:
            b, g = each.b.copy(), each.g.copy()
            b[dead] = g[dead] = 0.0
            return replace(each, b=b, g=g)

        object.__setattr__(self, "network", changed(net))
        networks = tuple(map(changed, self.situations.networks))
        object.__setattr__(self, "situations", replace(self.situations, networks=networks))

    @classmethod
    def of(
        cls,
        network: Network,
        scenario: Scenario | Situations | None = None,
        *,
        limits: Limits | None = None,
        charging: bool = True,
        switching_cost: float = 0.0,
        max_operations: int | None = None,
        controls: Controls | None = None,
        objective: str | None = None,
    ) -> ReconfigurationProblem:
        """The problem as the file states it: nominal loads and all limits of the network, unless said otherwise.

        Parameters
        ----------
        scenario
            One load situation or several; None = the loads of the network.
        limits
            None = all limits of the network.
        controls
            None = none.
        objective
            How the losses of several situations add; None = as they say.
        charging, switching_cost, max_operations
            As the fields of these names.
        """
        situations = Situations.of(Scenario.nominal(network) if scenario is None else scenario)
        if objective is not None:
            situations = replace(situations, objective=objective)
        return cls(
            network,
            situations,
            limits=Limits.of(network) if limits is None else limits,
            charging=charging,
            switching_cost=switching_cost,
            max_operations=max_operations,
            controls=Controls() if controls is None else controls,
        )

    def __repr__(self) -> str:
        free = f"{int(self.free.sum())} free switches"
        return f"ReconfigurationProblem({self.network.name!r}, scenario {self.scenario.name!r}: {free})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        net, limits = self.network, self.limits
        locked = [branch_label(net, e) for e in np.flatnonzero(self.locked >= 0)]
        out = [branch_label(net, e) for e in np.flatnonzero(self.out_of_service)]
        n = len(self.situations)
        several = f" ({n}, objective: {self.objective})" if n > 1 else ""
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

    def under(self, loads: Scenario | Situations) -> ReconfigurationProblem:
        """The same network, limits and rules in other load situations, with the outages and locks that they state."""
        return replace(self, situations=Situations.of(loads), out_of_service=None, locked=None)  # type: ignore[arg-type]

    def judged_by(self, objective: str) -> ReconfigurationProblem:
        """The same problem with another sum of losses: ``expected`` or ``worst``."""
        return replace(self, situations=replace(self.situations, objective=objective))

    def applied(self, settings: Settings | Sequence[Settings] | None) -> ReconfigurationProblem:
        """The problem with its controls at these values, and none left to set; itself where it has none.

        Parameters
        ----------
        settings
            Those of each situation, or the same for all. None, or none at all = neutral: taps nearest to 1, capacitors
            and generators off.
        """
        if not self.controls:
            return self
        if isinstance(settings, Settings):
            settings = [settings]
        settings = settings or [self.controls.neutral]
        same = len(settings) == 1
        each = list(settings) * len(self.situations) if same else settings
        pairs = [self._set(one, values) for one, values in zip(self.situations, each, strict=True)]
        networks = () if same else tuple(network for network, _ in pairs)
        scenarios = tuple(scenario for _, scenario in pairs)
        situations = replace(self.situations, scenarios=scenarios, networks=networks)
        return replace(self, network=pairs[0][0], situations=situations, controls=Controls())

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
        net = self.network
        held = net.manual & net.operable_in_phases & (self.locked < 0) & ~self.out_of_service
        return replace(self, locked=np.where(held, np.where(net.normally_open, 0, 1), self.locked).astype(np.int8))

    @cached_property
    def members(self) -> tuple[ReconfigurationProblem, ...]:
        """The problem of each situation alone; this problem itself where there is one."""
        if len(self.situations) == 1:
            return (self,)
        return tuple(
            replace(self, network=network, situations=Situations.of(scenario))
            for network, scenario in zip(self.networks, self.situations, strict=True)
        )

    @property
    def networks(self) -> tuple[Network, ...]:
        """The network of each of the ``members``: controls set differently make them differ in taps or capacitors."""
        return self.situations.networks or (self.network,) * len(self.situations)

    @cached_property
    def mean(self) -> ReconfigurationProblem:
        """The problem of the mean loads alone; this problem itself where it has one situation."""
        return self if len(self.situations) == 1 else replace(self, situations=Situations.of(self.situations.mean))

    @property
    def scenario(self) -> Scenario:
        """The loads, of several situations the mean."""
        return self.situations.mean

    def in_phases(self) -> ReconfigurationProblem:
        """The problem that an answer in all phases solves: every switch of one or two phases may be operated."""
        network = self.network.in_phases()
        if network is self.network:
            return self
        networks = tuple(each.in_phases() for each in self.situations.networks)
        return replace(self, network=network, situations=replace(self.situations, networks=networks))

    @property
    def weights(self) -> Floats:
        """Weight of each of the ``members``, sum 1, shape (n_situation,)."""
        return self.situations.weights

    @property
    def objective(self) -> str:
        """How the losses of the ``members`` add: ``expected`` or ``worst``."""
        return self.situations.objective

    @property
    def worst_case(self) -> bool:
        """The loss is the largest of several situations."""
        return self.situations.worst_case

    def total(self, losses: Any) -> float:
        """The loss of the problem from the loss of each of its ``members``."""
        return self.situations.total(losses)

    @cached_property
    def p(self) -> Floats:
        """Net active load [pu], of several situations the mean, shape (n_bus,)."""
        return self.situations.mean.p

    @cached_property
    def q(self) -> Floats:
        """Net reactive load [pu], of several situations the mean, shape (n_bus,)."""
        return self.situations.mean.q

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

    @cached_property
    def unbalance_max(self) -> Floats:
        """Largest voltage unbalance at every bus, shape (n_bus,); ``inf`` = any."""
        most = self.limits.unbalance_max
        return self._with_held(np.full(self.network.n_bus, np.inf if most is None else most), LimitKind.UNBALANCE)

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
        return self.limits_written() if self.limits.held else self

    def limits_written(self) -> ReconfigurationProblem:
        """The same where nothing is held either: limits can then be changed bus by bus."""
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
            situations=replace(
                self.situations, networks=tuple(replace(network, **in_force) for network in self.situations.networks)
            ),
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
        limit[net.auxiliary] = none
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
        net, unlocked = self.network, self.locked < 0
        return self.out_of_service | (self.locked == 0) | (unlocked & ~net.switchable & net.normally_open)

    @cached_property
    def must_close(self) -> Bools:
        """bool, shape (n_branch,): locked closed or not switchable and normally closed; bridges are not listed here."""
        net, unlocked = self.network, self.locked < 0
        wanted = (self.locked == 1) | (unlocked & ~net.switchable & ~net.normally_open)
        return wanted & ~self.out_of_service

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
        clash = self.out_of_service & (self.locked == 1)
        faults += [f"branch {branch_quoted(net, e)} is locked closed but out of service" for e in np.flatnonzero(clash)]
        node = merged_nodes(net)
        unfed = own_buses(net, np.flatnonzero(~self.blocks.fed[node]).tolist())
        if unfed:
            names = ", ".join(bus_quoted(net, k) for k in unfed[:10]) + (" ..." if len(unfed) > 10 else "")
            faults.append(
                f"{counted(len(unfed), 'bus')} cannot be fed with the open and out-of-service branches: bus {names}"
            )
        if net.by_phase:  # a loop of buses need not be one in any phase
            return faults
        sets = DisjointSets(int(node.max()) + 1)
        for e in (*np.flatnonzero(self.held), *np.flatnonzero(self.must_close & ~net.fixed)):
            if not sets.join(int(node[net.from_bus[e]]), int(node[net.to_bus[e]])) and not net.fixed[e]:
                faults.append(f"branch {branch_quoted(net, e)} closes a loop of branches that must all stay closed")
        return faults

    def admits(self, configuration: Configuration) -> bool:
        """The configuration respects locks, outages, the cap on operations and radiality (not the AC limits)."""
        return not self.faults(configuration)

    def faults(self, configuration: Configuration, settings: Settings | Sequence[Settings] | None = None) -> list[str]:
        """Why a configuration, and settings of the controls, are not admissible, by id; empty when they are.

        AC limits are not looked at, nor is a network that is radial by phase, which its search knows.
        """
        net = self.network
        closed = configuration.closed
        faults = [f"branch {branch_quoted(net, e)} must be open" for e in np.flatnonzero(closed & self.must_open)]
        faults += [f"branch {branch_quoted(net, e)} must be closed" for e in np.flatnonzero(~closed & self.must_close)]
        faults += [] if net.by_phase else radiality_faults(net, closed)
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
        return int(np.count_nonzero(changed & ~self.out_of_service))
