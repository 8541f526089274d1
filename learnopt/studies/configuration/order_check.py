"""A switching order walked step by step before anybody reads it: nothing is closed onto what must stay dead.

The walk knows devices, branches and buses, not how the order was made. Buses and the insides of branches are joined
where no open device and no crew has parted them; what is joined to a substation is live.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learnopt.network import Configuration, Id, ReconfigurationProblem
from learnopt.network.names import branch_quoted
from learnopt.network.topology import DisjointSets

Step = tuple[str, int, Id | None, int | None]
"""Action, branch, device and bus of an operation."""


def unsafe_steps(problem: ReconfigurationProblem, steps: Sequence[Step], start: Configuration) -> list[str]:
    """A sentence for every step that may not be carried out, with its number.

    A step is refused that operates a tagged device or one of a branch locked in its state, that closes a device of a
    branch out of service or energises one, and the first closing before everything out of service is parted.
    """
    net, gear = problem.network, problem.network.switchgear
    walk = _Walk(problem, start)
    number = {str(device.id): k for k, device in enumerate(gear.devices)}
    tagged = {str(device) for device in problem.situations.tagged}
    bad = []
    for step, (action, e, device, bus) in enumerate(steps, 1):
        where = f"step {step}, {action} {_named(problem, e, device)}"
        if device is not None and str(device) in tagged:
            bad.append(f"{where}: it is tagged, do not operate")
        if action == "close":
            if e in walk.dead:
                bad.append(f"{where}: it is out of service")
            if problem.locked[e] == 0:
                bad.append(f"{where}: the branch is locked open")
        elif action == "open" and problem.locked[e] == 1:
            bad.append(f"{where}: the branch is locked closed")
        if device is not None:
            walk.states[number[str(device)]] = action == "close"
        elif action in ("open", "close"):
            walk.bare[e] = action == "close"
        if action == "disconnect" and bus is not None:
            walk.apart.add((e, bus))
        if action in ("earth", "close"):
            bad += [f"{where}: branch {branch_quoted(net, k)}, which is out of service, is live" for k in walk.live()]
    return bad


def unsafe_moves(problem: ReconfigurationProblem, before: Configuration, after: Configuration) -> list[str]:
    """A sentence for every branch that may not be moved, where only two states are known and no order."""
    closes, opens = ~before.closed & after.closed, before.closed & ~after.closed
    out = problem.out_of_service
    return [
        f"{action} {_named(problem, int(e), None)}: {why}"
        for action, mask, why in (
            ("close", closes & out, "it is out of service"),
            ("close", closes & ~out & (problem.locked == 0), "it is locked open"),
            ("open", opens & ~out & (problem.locked == 1), "it is locked closed"),
        )
        for e in np.flatnonzero(mask)
    ]


def _named(problem: ReconfigurationProblem, e: int, device: Id | None) -> str:
    """A branch, or its device, for people."""
    net = problem.network
    if device is None or str(device) == str(net.branch_ids[e]):
        return f"branch {branch_quoted(net, e)}"
    return f"device {device!r} of branch {branch_quoted(net, e)}"


class _Walk:
    """State of devices and of ends taken apart, and what is live in it."""

    def __init__(self, problem: ReconfigurationProblem, start: Configuration) -> None:
        net, gear = problem.network, problem.network.switchgear
        out = problem.out_of_service
        self.net, self.gear = net, gear
        self.dead = set(np.flatnonzero(out).tolist())
        self.dead |= {gear.behind[e] for e in self.dead if e in gear.behind}
        standing = start.closed | (out & ~net.normally_open)
        self.states = list(gear.states(Configuration(standing)))
        self.bare = standing.copy()
        """State of branches without a device."""
        self.apart: set[tuple[int, int]] = set()

    def live(self) -> list[int]:
        """Branches out of service that are joined to a substation."""
        if not self.dead:
            return []
        net, n = self.net, self.net.n_bus
        sets = DisjointSets(n + net.n_branch)
        for e in range(net.n_branch):
            devices = self.gear.of_branch.get(e, ())
            if not devices and not self.bare[e]:
                continue
            for bus in (int(net.from_bus[e]), int(net.to_bus[e])):
                parted = any(not self.states[k] for k in devices if self.gear.place[k] in (None, bus))
                if not parted and (e, bus) not in self.apart:
                    sets.join(bus, n + e)
        sources = {sets.find(int(k)) for k in net.substations}
        return sorted(e for e in self.dead if sets.find(n + e) in sources)
