"""Areas: what hangs together without the substations. One does not feel how another is switched.

Every area hangs on substations alone, whose voltages are fixed. So its power flow, and with it its losses, voltages and
currents, are the same whatever the state of the rest of the network: the AC problem separates exactly, and areas cost
the sum of their searches, not the product. What couples areas all the same is a cap on operations, a rating of a
substation that feeds several, and the worst case of several scenarios (a largest sum is no sum of largest parts).
"""

from __future__ import annotations

import numpy as np

from learnopt.network import Bools, Configuration, Ints, Network, ReconfigurationProblem
from learnopt.network.part import Part
from learnopt.network.topology import DisjointSets
from learnopt.physics.limits import limit_arrays


def areas(problem: ReconfigurationProblem) -> list[Part]:
    """The areas of a problem, fewest switches first; the problem as its only area where it does not separate.

    Areas without a decision are one area together.
    """
    net = problem.network
    whole = [Part(problem, np.arange(net.n_bus), np.arange(net.n_branch))]
    limits = limit_arrays(problem)
    rated = bool(np.isfinite(limits.s_max).any() or limits.s_min.any())
    sets, root = DisjointSets(net.n_bus), net.is_substation
    joined_roots = (problem.must_close & root[net.from_bus] & root[net.to_bus]).any()
    if rated or problem.max_operations is not None or problem.worst_case or joined_roots:
        return whole
    between = problem.usable & ~root[net.from_bus] & ~root[net.to_bus]
    for e in np.flatnonzero(between):
        sets.join(int(net.from_bus[e]), int(net.to_bus[e]))
    label = np.array([sets.find(k) for k in range(net.n_bus)])
    deciding = np.unique(label[_fed_end(net)[problem.core.branches]])
    if len(deciding) < 2:
        return whole
    found = [_area(problem, (label == k) & ~root) for k in deciding]
    rest = ~np.isin(label, deciding) & ~root
    if rest.any():
        found.append(_area(problem, rest))
    return sorted(found, key=lambda area: area.n_switches)


def joined(n_branch: int, parts: list[tuple[Part, Configuration]]) -> Configuration:
    """The configuration of the whole; branches between areas, which cannot be closed, are open."""
    closed = np.zeros(n_branch, dtype=bool)
    for area, configuration in parts:
        closed[area.branches] = configuration.closed
    return Configuration(closed)


def _fed_end(net: Network) -> Ints:
    """An end of each branch that is no substation, where there is one, shape (n_branch,)."""
    return np.where(net.is_substation[net.from_bus], net.to_bus, net.from_bus)


def _area(problem: ReconfigurationProblem, inside: Bools) -> Part:
    """The problem of some buses that are no substations, with all substations."""
    net = problem.network
    kept = inside | net.is_substation
    between = kept[net.from_bus] & kept[net.to_bus] & (inside[net.from_bus] | inside[net.to_bus])
    return Part.of(problem, kept, between)
