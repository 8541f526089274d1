"""Network and Limits: frozen records everything else is written in.

Electrical quantities are in per unit on :class:`~learnopt.network.units.Base`; ids appear at the edge only, inside
everything is an index. Balanced network, single-phase equivalent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from learnopt.errors import DataError
from learnopt.network.aliases import Bools, Floats, Id, Ints
from learnopt.network.configuration import Configuration, freeze
from learnopt.network.controls import Controls
from learnopt.network.limits import HeldLimit
from learnopt.network.lookup import named_index
from learnopt.network.notebook import fact_table, listed
from learnopt.network.phase_data import ABC, PhaseData
from learnopt.network.switchgear import Device, Switchgear, auxiliary_buses
from learnopt.network.union_find import loop_closers
from learnopt.network.units import Base
from learnopt.wording import counted

_ABSENT, _NO_FLAGS = np.zeros(0), np.zeros(0, dtype=bool)
"""Stands for "not given" until the record fills in its default."""


@dataclass(frozen=True, eq=False)
class Network:
    """Everything about a feeder that does not change between scenarios.

    Buses and branches are identified by position; parallel branches are legal. ``from_bus`` and ``to_bus`` fix the
    sign of flows, not their direction.

    Parameters
    ----------
    bus_ids, branch_ids
        Ids of the user's file, length n_bus and n_branch.
    p_load, q_load
        Nominal net load [pu], shape (n_bus,); negative p is generation, negative q a capacitor.
    from_bus, to_bus
        Bus indices, shape (n_branch,).
    r, x
        Series resistance and reactance [pu], shape (n_branch,), both >= 0.
    b
        Line charging, total of both ends [pu], shape (n_branch,); negative: the magnetising reactance of a transformer.
    i_max
        Ampacity [pu], shape (n_branch,); ``inf`` where none is known.
    switchable
        bool, shape (n_branch,): the state may be chosen.
    normally_open
        bool, shape (n_branch,): state before reconfiguration.
    manual
        bool, shape (n_branch,): somebody has to travel to operate the switch. False, remotely operated, where absent.
    substations
        Bus indices, shape (n_substation,): buses of fixed voltage, the roots of the trees.
    substation_vm
        Voltage magnitude at each substation [pu].
    substation_s_min, substation_s_max
        Limits of apparent power drawn at each substation [pu] (0 and ``inf`` where absent).
    vm_min, vm_max
        Voltage limits of each bus [pu], shape (n_bus,), 0 and ``inf`` where there is none; one number stands for all
        buses. Those of substations have no effect.
    g
        Shunt conductance of a branch, total of both ends [pu], shape (n_branch,), >= 0: iron losses of a transformer.
        It is there while the branch is closed, and its power counts as loss. 0 where absent.
    ratio
        Off-nominal ratio of an ideal transformer at the from end, shape (n_branch,), > 0: V_from / ratio feeds the
        series impedance and the shunts. 1 where absent.
    shift
        Phase shift of a branch [rad], shape (n_branch,): by how much its from end leads its to end without load, as the
        vector group of a transformer says. No radial state sees it; a loop closed between unequal phases does. 0 where
        absent.
    substation_va
        Voltage angle at each substation [rad], 0 where absent.
    g_shunt, b_shunt
        Shunt admittance of a bus [pu], shape (n_bus,): it draws p = g v^2 and q = -b v^2, which is load and no loss;
        g >= 0. 0 where absent.
    kv
        Nominal line-to-line voltage of each bus [kV], shape (n_bus,), that of the base where absent. Ohms and amperes
        of a branch are those of its from end.
    bus_names, branch_names
        Names for people, "" where there is none.
    coordinates
        Place of each bus on a map or a drawing, shape (n_bus, 2), None where absent.
    customers
        Customers fed at each bus, shape (n_bus,), None where unknown.
    controls
        Taps, capacitors and generators that the feeder has; a problem says which of them are to be set.
    p_fed, q_fed
        Generation that the nominal net load already is less of [pu], shape (n_bus,); 0 where absent or unknown.
    devices
        Switching devices that the file names, in its order; empty where it knows branches only.
    phases
        Of a file that states its phases: what the other fields are the balanced equivalent of. None of any other.
    partial
        Phases of each branch that has fewer than three, by its id, where only the tool of the file has ``phases``.
    phase_switches
        Ids of branches that are switches in answers in all phases only (:meth:`in_phases`), and without one here:
        what a balanced network cannot operate, as an open tie of one phase.
    by_phase
        Radial means radial in every phase, of which buses and branches say nothing: switches have one or two phases.
    """

    name: str
    base: Base
    bus_ids: tuple[Id, ...]
    p_load: Floats
    q_load: Floats
    branch_ids: tuple[Id, ...]
    from_bus: Ints
    to_bus: Ints
    r: Floats
    x: Floats
    b: Floats
    i_max: Floats
    switchable: Bools
    normally_open: Bools
    substations: Ints
    substation_vm: Floats
    substation_s_min: Floats
    substation_s_max: Floats
    vm_min: Floats = field(default_factory=lambda: _ABSENT)
    vm_max: Floats = field(default_factory=lambda: _ABSENT)
    title: str = ""
    source: str = ""
    g: Floats = field(default_factory=lambda: _ABSENT)
    ratio: Floats = field(default_factory=lambda: _ABSENT)
    g_shunt: Floats = field(default_factory=lambda: _ABSENT)
    b_shunt: Floats = field(default_factory=lambda: _ABSENT)
    kv: Floats = field(default_factory=lambda: _ABSENT)
    bus_names: tuple[str, ...] = ()
    branch_names: tuple[str, ...] = ()
    coordinates: Floats | None = None
    customers: Ints | None = None
    controls: Controls = field(default_factory=Controls)
    manual: Bools = field(default_factory=lambda: _NO_FLAGS)
    shift: Floats = field(default_factory=lambda: _ABSENT)
    substation_va: Floats = field(default_factory=lambda: _ABSENT)
    devices: tuple[Device, ...] = ()
    p_fed: Floats = field(default_factory=lambda: _ABSENT)
    q_fed: Floats = field(default_factory=lambda: _ABSENT)
    phases: PhaseData | None = None
    partial: Mapping[str, str] = field(default_factory=dict)
    phase_switches: frozenset[str] = frozenset()
    by_phase: bool = False

    def __post_init__(self) -> None:
        n, m = self.n_bus, self.n_branch
        defaults = (
            ("g", m, 0.0),
            ("ratio", m, 1.0),
            ("g_shunt", n, 0.0),
            ("b_shunt", n, 0.0),
            ("kv", n, self.base.v_base),
            ("p_fed", n, 0.0),
            ("q_fed", n, 0.0),
            ("manual", m, False),
            ("shift", m, 0.0),
            ("substation_va", len(self.substations), 0.0),
        )
        for name, size, value in defaults:
            if len(getattr(self, name)) == 0:
                object.__setattr__(self, name, np.full(size, value))
        for name, absent in (("vm_min", 0.0), ("vm_max", np.inf)):
            given = np.atleast_1d(np.asarray(getattr(self, name), dtype=float))
            size_one = given if len(given) else np.array([absent])
            object.__setattr__(self, name, np.array(np.broadcast_to(size_one, n)))
        object.__setattr__(self, "bus_names", self.bus_names or ("",) * n)
        object.__setattr__(self, "branch_names", self.branch_names or ("",) * m)
        freeze(self)

    def __repr__(self) -> str:
        return (
            f"Network({self.name!r}: {self.size_text}, {counted(len(self.substations), 'substation')}, "
            f"{counted(self.n_loops, 'loop')}, {self.base.v_base:g} kV)"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        kw = self.base.kw
        return fact_table(
            self.title or self.name,
            [
                ("name", self.name),
                ("buses", self.n_own_bus),
                ("branches", f"{self.n_own_branch}, {int(self.switchable.sum())} of them switchable"),
                ("loops", self.n_loops),
                ("normally open", listed(self.open_ids(self.normal_configuration))),
                ("substations", listed(self.bus_ids[k] for k in self.substations)),
                ("nominal voltage", " / ".join(f"{v:g}" for v in np.unique(self.kv)[::-1]) + " kV"),
                ("net load", f"{self.p_load.sum() * kw:,.6g} kW, {self.q_load.sum() * kw:,.6g} kvar"),
                ("controls", self.controls.text),
            ],
        )

    @property
    def n_bus(self) -> int:
        """Number of buses, substations included."""
        return len(self.bus_ids)

    @property
    def n_branch(self) -> int:
        """Number of branches, open ones included."""
        return len(self.branch_ids)

    @property
    def size_text(self) -> str:
        """Buses and branches of the file in words."""
        return f"{counted(self.n_own_bus, 'bus')}, {counted(self.n_own_branch, 'branch')}"

    @property
    def n_loops(self) -> int:
        """Number of branches that a radial state opens: |E| - |N| + |R|, all substations merged, less fixed loops."""
        return self.n_branch - self.n_bus + len(self.substations) - self.n_fixed_loops

    @property
    def n_fixed_loops(self) -> int:
        """Independent loops of branches that nobody can open: every state has them."""
        return int(self.chords_of(self.fixed).sum())

    @cached_property
    def fixed(self) -> Bools:
        """bool, shape (n_branch,): branches without a switch that are closed."""
        return ~self.switchable & ~self.normally_open

    @cached_property
    def branch_phases(self) -> tuple[str, ...]:
        """Phases of each branch, ``abc`` where nothing else is known, length n_branch."""
        if self.phases is not None:
            return tuple(one.phases for one in self.phases.branches)
        return tuple(self.partial.get(str(branch), ABC) for branch in self.branch_ids)

    @cached_property
    def operable_in_phases(self) -> Bools:
        """bool, shape (n_branch,): switches of answers in all phases."""
        more = np.array([str(branch) in self.phase_switches for branch in self.branch_ids], dtype=bool)
        return self.switchable | more

    def in_phases(self) -> Network:
        """The network that answers in all phases are about: every switch of one or two phases may be operated."""
        partial = np.array([phases != ABC for phases in self.branch_phases], dtype=bool)
        if self.by_phase or not (partial & self.operable_in_phases).any():
            return self
        return replace(self, switchable=self.operable_in_phases, by_phase=True)

    def chords_of(self, fixed: Bools) -> Bools:
        """One branch of every independent loop of some branches, substations merged; a forest is left without them.

        Of every loop it is the branch of most impedance, so that it has one wherever its loop has.

        Parameters
        ----------
        fixed
            bool, shape (n_branch,).

        Returns
        -------
        bool, shape (n_branch,)
        """
        branches = np.flatnonzero(fixed)
        node = np.where(self.is_substation, 0, 1 + np.arange(self.n_bus))
        order = branches[np.argsort(np.hypot(self.r, self.x)[branches], kind="stable")]
        return loop_closers(1 + self.n_bus, node[self.from_bus], node[self.to_bus], order)

    @cached_property
    def branch_kv(self) -> Floats:
        """Nominal voltage that the ohms and amperes of each branch belong to [kV], shape (n_branch,)."""
        return self.kv[self.from_bus]

    @cached_property
    def switchgear(self) -> Switchgear:
        """The devices by branch and end; a switchable branch without any in the file is one itself."""
        devices = [d for d in self.devices if str(d.branch) in self.branch_index]
        with_device = {str(d.branch) for d in devices}
        for e in np.flatnonzero(self.switchable):
            if str(self.branch_ids[e]) not in with_device:
                closed, manual = not self.normally_open[e], bool(self.manual[e])
                devices.append(
                    Device(self.branch_ids[e], self.branch_names[e], self.branch_ids[e], None, manual, closed)
                )
        ends = np.column_stack([self.from_bus, self.to_bus])
        index = self.branch_index, self.bus_index
        return Switchgear(tuple(devices), *index, self.normally_open, ends, self.g != 0, self.substations)

    @cached_property
    def i_base(self) -> Floats:
        """Amperes of one per unit on each branch, shape (n_branch,)."""
        return self.base.i_base * self.base.v_base / self.branch_kv

    @cached_property
    def auxiliary(self) -> Bools:
        """bool, shape (n_bus,): buses that no file has, as the end of a cable behind its switch. They bear no limit."""
        mask = auxiliary_buses(self.bus_ids, self.branch_ids, np.column_stack([self.from_bus, self.to_bus]))
        mask.flags.writeable = False
        return mask

    @cached_property
    def own_branch(self) -> Bools:
        """bool, shape (n_branch,): one for each branch of the file; of a cable and its switch the cable."""
        mask = np.ones(self.n_branch, dtype=bool)
        mask[list(self.switchgear.behind)] = False
        mask.flags.writeable = False
        return mask

    @property
    def n_own_bus(self) -> int:
        """Number of buses that the file has."""
        return int(np.count_nonzero(~self.auxiliary))

    @property
    def n_own_branch(self) -> int:
        """Number of branches that the file has."""
        return int(np.count_nonzero(self.own_branch))

    @cached_property
    def bus_index(self) -> Mapping[str, int]:
        """Index of a bus by ``str(id)`` (ids are unique as strings, so that they can be JSON keys)."""
        return {str(bus): k for k, bus in enumerate(self.bus_ids)}

    @cached_property
    def branch_index(self) -> Mapping[str, int]:
        """Index of a branch by ``str(id)``."""
        return {str(branch): k for k, branch in enumerate(self.branch_ids)}

    @cached_property
    def is_substation(self) -> Bools:
        """bool, shape (n_bus,)."""
        mask = np.zeros(self.n_bus, dtype=bool)
        mask[self.substations] = True
        mask.flags.writeable = False
        return mask

    @cached_property
    def normal_configuration(self) -> Configuration:
        """States before reconfiguration."""
        return Configuration(~self.normally_open)

    def in_state(self, configuration: Configuration, states: Sequence[bool] | None = None) -> Network:
        """The network whose normal state is this configuration, its devices included.

        Parameters
        ----------
        states
            Whether each device of the switchgear is closed; None = as its rules have it.
        """
        gear = self.switchgear
        states = gear.states(configuration) if states is None else states
        closed = {d.id: state for d, state in zip(gear.devices, states, strict=True)}
        devices = tuple(replace(d, closed=closed.get(d.id, d.closed)) for d in self.devices)
        return replace(self, normally_open=~configuration.closed, devices=devices)

    @property
    def words(self) -> list[object]:
        """Names and ids of all buses, branches and devices of the file: what a text may mean."""
        buses = [w for k in np.flatnonzero(~self.auxiliary).tolist() for w in (self.bus_names[k], self.bus_ids[k])]
        return [*buses, *self.branch_names, *self.branch_ids, *(w for d in self.devices for w in (d.name, d.id))]

    def find_bus(self, text: Id) -> tuple[int | None, str]:
        """Index of the bus of this id or unique name; else None, why, and what is near."""
        names = ["" if hidden else name for hidden, name in zip(self.auxiliary, self.bus_names, strict=True)]
        return named_index(("bus", self.name), text, self.bus_index, self.bus_ids, names)

    def find_branch(self, text: Id) -> tuple[int | None, str]:
        """Index of the branch of this id or unique name, or of the device of this one; else None and why.

        A line in two parts, its switch and what is fixed behind it, bears its name once: the part that switches.
        """
        fixed = set(self.switchgear.behind.values())
        names = ["" if e in fixed else name for e, name in enumerate(self.branch_names)]
        devices = [word for d in self.switchgear.devices for word in (d.name, d.id)]
        found = named_index(("branch", self.name), text, self.branch_index, self.branch_ids, names, devices)
        if found[0] is not None or "is the name of" in found[1]:
            return found
        device, why = self.find_device(text)
        if device is None:
            return None, why if "is the name of" in why else found[1]
        return self.branch_index[str(self.switchgear.devices[device].branch)], ""

    def find_device(self, text: Id) -> tuple[int | None, str]:
        """Index in the switchgear of the device of this id or unique name; else None and why."""
        ids, names = [d.id for d in self.switchgear.devices], [d.name for d in self.switchgear.devices]
        return named_index(("device", self.name), text, {str(i): k for k, i in enumerate(ids)}, ids, names)

    def branches(self, ids: Iterable[Id], subject: str = "branch list") -> Ints:
        """Indices of branches by id or unique name (of a device: of its branch), in the order given.

        Raises
        ------
        DataError
            Listing every id that the network does not have, and every name that is not unique with its candidates.
        """
        found = [self.find_branch(i) for i in ids]
        unknown = [why for index, why in found if index is None]
        if unknown:
            raise DataError(subject, unknown)
        return np.array([index for index, _ in found], dtype=np.int64)

    def configuration(self, open_branches: Iterable[Id]) -> Configuration:
        """The configuration in which exactly these branches, by id or unique name, are open."""
        closed = np.ones(self.n_branch, dtype=bool)
        closed[self.branches(open_branches, "open branches")] = False
        return Configuration(closed)

    def open_ids(self, configuration: Configuration) -> list[Id]:
        """Ids of the open branches, in file order."""
        return [self.branch_ids[e] for e in np.flatnonzero(~configuration.closed)]


@dataclass(frozen=True)
class Limits:
    """Operating limits that a configuration must respect.

    Parameters
    ----------
    vm_min, vm_max
        Voltage limits at every bus but the substations, whatever the network says [pu]; None = see ``voltage``.
    ampacity
        Enforce the current limits of the network, at both ends of every branch.
    substations
        Enforce the substation ratings of the network.
    voltage
        Enforce the voltage limits of the network, bus by bus, where ``vm_min`` or ``vm_max`` does not replace them.
    unbalance_max
        Largest negative- over positive-sequence voltage at a bus with three phases; None = any. It holds in answers in
        all phases only.
    held
        Limits that the present state breaks and no switch can change: their present value is in force instead.
    """

    vm_min: float | None = None
    vm_max: float | None = None
    ampacity: bool = False
    substations: bool = False
    voltage: bool = False
    unbalance_max: float | None = None
    held: tuple[HeldLimit, ...] = ()

    def __post_init__(self) -> None:
        low, high = self.vm_min, self.vm_max
        problems = [
            f"{k} = {v} must be a finite number > 0 [pu]"
            for k, v in (("vm_min", low), ("vm_max", high))
            if v is not None and not 0 < v < np.inf
        ]
        most = self.unbalance_max
        if most is not None and not 0 < most < 1:
            problems.append(f"unbalance_max = {most} must be above 0 and below 1 (0.02 is 2 %)")
        if low is not None and high is not None and low > high:
            problems.append(f"vm_min = {low} exceeds vm_max = {high}")
        if problems:
            raise DataError("voltage limits", problems)

    @classmethod
    def of(cls, network: Network) -> Limits:
        """All limits that the network's file states."""
        return cls(ampacity=True, substations=True, voltage=True)
