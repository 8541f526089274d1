"""Isolating what is out of service: which devices part it from everything that is or may become live.

From the faulted branch one walks along every connection that no device interrupts. A device on the way that may be
operated is opened, one that is open stays so. Where the branch itself has no device at an end, what lies there is
switched off with it until a crew has taken the branch off its bus; where no device lies between that bus and a
substation either, the branch has to be dead by a breaker that the data do not name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from learnopt.network import Network, ReconfigurationProblem
from learnopt.network.names import branch_label, bus_label
from learnopt.network.totals import consumption


@dataclass(frozen=True)
class Isolation:
    """How branches out of service are parted from the rest.

    Parameters
    ----------
    faulted
        Branches out of service, as the scenario names them.
    dead
        The same with what lies behind their switches.
    opened
        Devices to open, in order: remote before manual.
    kept_open
        Devices around them that are open, and stay so.
    apart
        (branch, bus) of the ends that a crew has to take off their bus.
    at_source
        Those of them that no device parts from a substation.
    idle
        Those of them behind which nothing is supplied up to the devices that are opened, as a joint in a cable.
    """

    faulted: tuple[int, ...]
    dead: frozenset[int]
    opened: tuple[int, ...]
    kept_open: tuple[int, ...]
    apart: tuple[tuple[int, int], ...]
    at_source: frozenset[tuple[int, int]]
    idle: frozenset[tuple[int, int]]


def isolation(problem: ReconfigurationProblem, states: tuple[bool, ...] | None = None) -> Isolation:
    """Devices to open around what is out of service.

    Parameters
    ----------
    states
        Whether each device of the switchgear is closed; None = the normal state.
    """
    walk = _Walk(problem, problem.network.switchgear.normal if states is None else states)
    net, gear = problem.network, problem.network.switchgear
    faulted = tuple(np.flatnonzero(problem.out_of_service).tolist())
    dead = frozenset(faulted) | {gear.behind[e] for e in faulted if e in gear.behind}
    # Between the switch of a branch and what lies behind it there is no bus of the user's.
    inside = {bus for e in faulted if e in gear.behind for bus in ({*_ends(net, e)} & {*_ends(net, gear.behind[e])})}
    opened: set[int] = set()
    kept: set[int] = set()
    apart, at_source, idle = [], set(), set()
    supplied = (consumption(net, problem.scenario) > 0) | (problem.p != 0) | (problem.q != 0)
    if net.customers is not None:
        supplied |= net.customers > 0
    for e in sorted(dead):
        for bus in _ends(net, e):
            if bus in inside or not walk.crosses(e, bus, opened, kept):
                continue
            around: tuple[set[int], set[int]] = (set(), set())
            apart.append((e, bus))
            reached, _, source = walk.spread({bus}, dead, *around)
            if source:
                at_source.add((e, bus))
            else:
                if not supplied[list(reached)].any():
                    idle.add((e, bus))
                opened |= around[0]
                kept |= around[1]
    order = sorted(opened, key=lambda k: (gear.devices[k].manual, k))
    return Isolation(
        faulted, dead, tuple(order), tuple(sorted(kept - opened)), tuple(apart), frozenset(at_source), frozenset(idle)
    )


@dataclass(frozen=True)
class DeadZone:
    """What a fault and the devices around it leave dead, with nobody there to take anything apart.

    Parameters
    ----------
    buses
        Without supply until the repair.
    lines
        Branches that are faulted, or joined to one of those with no device between.
    opened
        Devices to open around them, in order: remote before manual.
    kept_open
        Devices around them that are open, and stay so.
    """

    buses: frozenset[int]
    lines: frozenset[int]
    opened: tuple[int, ...]
    kept_open: tuple[int, ...]


def dead_zone(problem: ReconfigurationProblem, branches: Iterable[int], buses: Iterable[int]) -> DeadZone:
    """What has to be dead around faulted branches and buses, and the devices that part it from the rest.

    In the normal state of the devices. Branches that are out of service before are parted from everything already.
    """
    net, gear = problem.network, problem.network.switchgear
    walk = _Walk(problem, gear.normal)
    faulted = set(branches)
    lines = faulted | {gear.behind[e] for e in faulted if e in gear.behind}
    opened: set[int] = set()
    kept: set[int] = set()
    seeds = set(buses)
    for e in sorted(lines):
        seeds |= {bus for bus in _ends(net, e) if walk.crosses(e, bus, opened, kept)}
    gone = frozenset(np.flatnonzero(problem.out_of_service).tolist()) | lines
    reached, crossed, _ = walk.spread(seeds, gone, opened, kept)
    lines |= crossed
    # A device between two parts of the zone parts nothing.
    inside = {k for k in opened if set(_ends(net, _branch_of(net, k))) <= reached and _branch_of(net, k) not in faulted}
    order = sorted(opened - inside, key=lambda k: (gear.devices[k].manual, k))
    return DeadZone(frozenset(reached), frozenset(lines), tuple(order), tuple(sorted(kept - opened)))


def _branch_of(net: Network, device: int) -> int:
    return net.branch_index[str(net.switchgear.devices[device].branch)]


def _ends(net: Network, e: int) -> tuple[int, int]:
    return int(net.from_bus[e]), int(net.to_bus[e])


class _Walk:
    """Along the connections of a network that no device interrupts."""

    def __init__(self, problem: ReconfigurationProblem, states: tuple[bool, ...]) -> None:
        self.net: Network = problem.network
        self.gear, self.states = self.net.switchgear, states
        self.operable = operable(problem)
        self.incident: list[list[int]] = [[] for _ in range(self.net.n_bus)]
        for e in range(self.net.n_branch):
            self.incident[self.net.from_bus[e]].append(e)
            self.incident[self.net.to_bus[e]].append(e)

    def crosses(self, e: int, bus: int, opened: set[int], kept: set[int]) -> bool:
        """Nothing parts a branch from the bus at its end; else what does is added to one of the sets."""
        devices = self.gear.at_end(e, bus)
        open_ones = [k for k in devices if not self.states[k]]
        if open_ones:
            kept.update(open_ones)
            return False
        usable = [k for k in devices if self.operable[k]]
        if usable:
            opened.add(min(usable, key=self.gear.rank))
            return False
        return not (self.net.normally_open[e] and e not in self.gear.of_branch)

    def spread(
        self, seeds: set[int], dead: frozenset[int], opened: set[int], kept: set[int]
    ) -> tuple[set[int], set[int], bool]:
        """Buses and branches that walks from some buses get to, and whether a substation is among them.

        The devices that end the walks are added to the sets.
        """
        seen, crossed, queue = set(seeds), set[int](), list(seeds)
        found = False
        while queue:
            here = queue.pop()
            found |= bool(self.net.is_substation[here])
            for e in self.incident[here]:
                if e in dead or not self.crosses(e, here, opened, kept):
                    continue
                crossed.add(e)
                far = int(self.net.from_bus[e] + self.net.to_bus[e]) - here
                if far not in seen and self.crosses(e, far, opened, kept):
                    seen.add(far)
                    queue.append(far)
        return seen, crossed, found


def operable(problem: ReconfigurationProblem) -> list[bool]:
    """Whether each device may be opened: not tagged, and its branch not locked closed."""
    net = problem.network
    tagged = {str(device) for device in problem.situations.tagged}
    return [
        str(d.id) not in tagged and problem.locked[net.branch_index[str(d.branch)]] != 1 for d in net.switchgear.devices
    ]


def isolation_in_words(problem: ReconfigurationProblem) -> list[str]:
    """What has to be opened, taken apart and earthed before anything is closed; empty without outages."""
    if not problem.out_of_service.any():
        return []
    net, gear = problem.network, problem.network.switchgear
    found = isolation(problem)

    def device(k: int) -> str:
        bus = gear.place[k]
        return gear.devices[k].label + ("" if bus is None else f" at {bus_label(net, bus)}")

    opened = [device(k) for k in found.opened]
    words = [f"open {', '.join(opened)}"] if opened else []
    words += [f"take {branch_label(net, e)} off {bus_label(net, bus)}" for e, bus in found.apart]
    words.append(f"earth {', '.join(branch_label(net, e) for e in found.faulted)}")
    return [f"Out of service, to be isolated before anything is closed: {'; '.join(words)}."]
