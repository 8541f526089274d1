"""Circuits that run in parallel on purpose: side by side between two buses, all closed in the present state.

A radial state closes one of them at most. Where the present state is radial but for such circuits, they are taken for
what they are, one connection built twice: all of them stay closed, as a fixed loop does
(:attr:`learnopt.network.ReconfigurationProblem.chords`). A lock that opens one of them takes it apart again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from learnopt.network.aliases import Bools
from learnopt.network.model import Network

Circuit = list[int]
"""Branches in a row."""


def side_by_side(network: Network, closed: Bools) -> list[list[Circuit]]:
    """Groups of closed circuits that join the same two buses; nothing branches off, is drawn or fed in between.

    Parameters
    ----------
    closed
        bool, shape (n_branch,).
    """
    net = network
    at: list[list[int]] = [[] for _ in range(net.n_bus)]
    for e, (i, j) in enumerate(zip(net.from_bus.tolist(), net.to_bus.tolist(), strict=True)):
        at[i].append(e)
        at[j].append(e)
    used = (net.p_load != 0) | (net.q_load != 0) | (net.g_shunt != 0) | (net.b_shunt != 0) | net.is_substation
    used[[bank.bus for bank in net.controls.capacitors] + [g.bus for g in net.controls.generators]] = True
    passed = [len(at[k]) == 2 and not used[k] and bool(closed[at[k]].all()) for k in range(net.n_bus)]
    seen = np.zeros(net.n_branch, dtype=bool)
    groups: dict[tuple[int, int], list[Circuit]] = {}
    for e in np.flatnonzero(closed).tolist():
        for end in (int(net.from_bus[e]), int(net.to_bus[e])):
            if seen[e] or passed[end]:
                continue
            circuit, bus = [e], int(net.from_bus[e] + net.to_bus[e]) - end
            seen[e] = True
            while passed[bus] and bus != end:
                onward = at[bus][0] if at[bus][1] == circuit[-1] else at[bus][1]
                circuit.append(onward)
                seen[onward] = True
                bus = int(net.from_bus[onward] + net.to_bus[onward]) - bus
            if bus != end:
                groups.setdefault((min(end, bus), max(end, bus)), []).append(circuit)
    return [group for group in groups.values() if len(group) > 1]


def keep_parallel(network: Network) -> tuple[Network, tuple[str, ...]]:
    """The network with circuits in parallel kept closed, and one sentence for each group of them.

    As it is where it has none with a switch, or where the present state has other loops that a switch closes: then
    nothing tells that some of them are closed on purpose.
    """
    groups = [
        group
        for group in side_by_side(network, ~network.normally_open)
        if network.switchable[np.concatenate(group)].any()
    ]
    if not groups:
        return network, ()
    switchable, by_phase = network.switchable.copy(), set(network.phase_switches)
    for group in groups:
        members = np.concatenate(group)
        if _different_phases(network, group):  # no loop in any phase: each is a switch where phases are looked at
            by_phase |= {str(network.branch_ids[e]) for e in members[network.switchable[members]]}
        switchable[members] = False
    kept = replace(network, switchable=switchable, phase_switches=frozenset(by_phase))
    if network.chords_of(~network.normally_open).sum() != kept.n_fixed_loops:
        return network, ()
    return kept, tuple(_told(network, group) for group in groups)


def _different_phases(network: Network, group: list[Circuit]) -> bool:
    """No two circuits of a group carry the same phase."""
    carried = [set.intersection(*(set(network.branch_phases[e]) for e in circuit)) for circuit in group]
    return sum(map(len, carried)) == len(set().union(*carried))


def _told(network: Network, group: list[Circuit]) -> str:
    circuits = " and ".join("-".join(str(network.branch_ids[e]) for e in circuit) for circuit in group)
    if _different_phases(network, group):
        return (
            f"circuits {circuits} carry different phases side by side: in the balanced network they stay closed, as "
            "one connection; answers in all phases operate each"
        )
    return (
        f"circuits {circuits} are all closed side by side in the present state and stay closed, as one connection in "
        "parallel operation: to have one of them opened, lock it open in a scenario"
    )
