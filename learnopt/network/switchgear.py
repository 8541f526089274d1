"""Switching devices: which of them a branch has, which one opens it, and what state a configuration leaves each in.

A configuration speaks of branches; people operate devices. A cable may have a load switch at either end. It is opened
at one of them, chosen by rule: the end that is open in the normal state, a remote one before one operated by hand, the
one nearest to the feed in the normal state, the first of the file. Equipment with iron losses is opened at both ends,
since it would keep them: a transformer is switched off on either side. A branch is closed by closing all that are open.

A branch whose file names no device, and a coupler, is itself the device, which parts it from both its ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from learnopt.network.aliases import Bools, Id, Ints
from learnopt.network.configuration import Configuration

BEHIND = " behind its switch"
"""Ending of the id of what stays energised of a branch whose switch carries the id."""
_AT = " at "


def end_id(branch: Id, bus: Id) -> str:
    """Id of the auxiliary bus that stands for the end of a branch beside a bus: ``line 5 at 7``."""
    return f"{branch}{_AT}{bus}"


def end_name(branch: Id, branch_name: str, bus: Id, bus_name: str) -> str:
    """What people call it: ``Kabel Nord, end at Kirchplatz``, by ids where there are no names."""
    return f"{branch_name or branch}, end at {bus_name or bus}"


def auxiliary_buses(bus_ids: Sequence[Id], branch_ids: Sequence[Id], ends: Ints) -> Bools:
    """Buses that no file has: the end of a branch behind its switch, and the star point of a transformer.

    They are known by their ids, which begin with that of a branch that leads to them, or are that of its windings.

    Parameters
    ----------
    ends
        Bus indices, shape (n_branch, 2).

    Returns
    -------
    bool, shape (n_bus,)
    """
    mask = np.zeros(len(bus_ids), dtype=bool)
    maybe = [k for k, bus in enumerate(bus_ids) if isinstance(bus, str) and (_AT in bus or bus.startswith(_STARS))]
    for e in np.flatnonzero(np.isin(ends, maybe).any(axis=1)).tolist() if maybe else ():
        equipment = str(branch_ids[e]).removesuffix(BEHIND)
        for k in ends[e].tolist():
            bus = str(bus_ids[k])
            star = bus.startswith(_STARS) and equipment.startswith(f"{bus} ")
            mask[k] |= star or bus.startswith(equipment + _AT)
    return mask


_STARS = ("trafo3w ", "transformer.")
"""How ids of star points begin: those of a pandapower net, and of OpenDSS."""


@dataclass(frozen=True)
class Device:
    """A switching device.

    Parameters
    ----------
    id, name
        Of the user's file; the name is "" where there is none.
    branch
        Id of the branch it stands in.
    bus
        Id of the bus at whose end it stands; None = the branch itself is the device.
    manual
        Somebody has to travel to operate it.
    closed
        Its normal state.
    """

    id: Id
    name: str
    branch: Id
    bus: Id | None = None
    manual: bool = False
    closed: bool = True

    @property
    def label(self) -> str:
        """Its name where it has one, else its id."""
        return self.name or str(self.id)


@dataclass(frozen=True, eq=False)
class Switchgear:
    """The devices of a network by branch and end; indices of ``devices`` stand for them.

    Parameters
    ----------
    devices
        At least one for each switchable branch.
    branch_index, bus_index
        Position of a branch or bus by ``str(id)``.
    normally_open
        bool, shape (n_branch,): state before reconfiguration.
    ends
        Bus indices, shape (n_branch, 2).
    iron
        bool, shape (n_branch,): equipment with iron losses.
    substations
        Bus indices.
    """

    devices: tuple[Device, ...]
    branch_index: Mapping[str, int]
    bus_index: Mapping[str, int]
    normally_open: Bools
    ends: Ints
    iron: Bools
    substations: Ints

    @cached_property
    def of_branch(self) -> Mapping[int, tuple[int, ...]]:
        """Devices of every branch that has some."""
        found: dict[int, list[int]] = {}
        for k, device in enumerate(self.devices):
            found.setdefault(self.branch_index[str(device.branch)], []).append(k)
        return {e: tuple(devices) for e, devices in found.items()}

    @cached_property
    def place(self) -> tuple[int | None, ...]:
        """Index of the bus at whose end each device stands, None where it parts both."""
        return tuple(None if d.bus is None else self.bus_index.get(str(d.bus)) for d in self.devices)

    def at_end(self, e: int, bus: int) -> tuple[int, ...]:
        """Devices that part a branch from a bus at its end."""
        return tuple(k for k in self.of_branch.get(e, ()) if self.place[k] in (None, bus))

    @cached_property
    def hops(self) -> tuple[float, ...]:
        """Branches between each bus and the nearest substation in the normal state; ``inf`` without supply."""
        near: list[list[int]] = [[] for _ in self.bus_index]
        for a, b in self.ends[~self.normally_open].tolist():
            near[a].append(b)
            near[b].append(a)
        hops = [np.inf] * len(near)
        queue = deque(int(k) for k in self.substations)
        for k in queue:
            hops[k] = 0.0
        while queue:
            k = queue.popleft()
            for other in near[k]:
                if hops[other] == np.inf:
                    hops[other] = hops[k] + 1
                    queue.append(other)
        return tuple(hops)

    def rank(self, k: int) -> tuple[bool, bool, float, int]:
        """Order of the devices of a branch: the least is the first that opens it."""
        device, bus = self.devices[k], self.place[k]
        return device.closed, device.manual, 0.0 if bus is None else self.hops[bus], k

    def openers(self, e: int) -> tuple[int, ...]:
        """The devices that open a branch, in their order: one, or one at each end of what has iron losses."""
        ranked = sorted(self.of_branch.get(e, ()), key=self.rank)
        if not self.iron[e]:
            return tuple(ranked[:1])
        first_at: dict[int | None, int] = {}
        for k in ranked:
            first_at.setdefault(self.place[k], k)
        return tuple(first_at.values())

    @cached_property
    def behind(self) -> Mapping[int, int]:
        """The fixed part of a branch behind its switch, by the branch that is its switch."""
        index = self.branch_index
        pairs = ((index.get(name.removesuffix(BEHIND)), e) for name, e in index.items() if name.endswith(BEHIND))
        return {switch: e for switch, e in pairs if switch is not None}

    @cached_property
    def normal(self) -> tuple[bool, ...]:
        """Whether each device is closed in the normal state."""
        return tuple(d.closed for d in self.devices)

    def states(self, configuration: Configuration, out_of_service: Bools | None = None) -> tuple[bool, ...]:
        """Whether each device is closed in a configuration; those around a branch out of service are open.

        Devices of a branch that keeps its normal state keep theirs.
        """
        normally_open, states = self.normally_open, list(self.normal)
        for e, devices in self.of_branch.items():
            if configuration.closed[e] and normally_open[e]:
                for k in devices:
                    states[k] = True
            elif not configuration.closed[e] and not normally_open[e]:
                for k in self.openers(e):
                    states[k] = False
        if out_of_service is not None:
            for e in np.flatnonzero(out_of_service).tolist():
                for part in (e, self.behind.get(e, e)):
                    for k in self.of_branch.get(part, ()):
                        states[k] = False
        return tuple(states)
