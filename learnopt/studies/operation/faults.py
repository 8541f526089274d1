"""Where a network is out of order, as points of the quantity ``fault`` tell."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from learnopt.network import Bools, Ints, Network
from learnopt.network.names import branch_label, bus_label
from learnopt.network.topology import DisjointSets, merged_nodes, unfed_buses
from learnopt.studies.operation.measurements import Point, Quantity
from learnopt.studies.restoration.fault import Fault


def fault_of(points: Iterable[Point]) -> Fault:
    """The fault that points with the value 1 tell of; other quantities are passed over."""
    told = sorted(point for point in points if point.quantity is Quantity.FAULT)
    branches, buses = (tuple(p.place for p in told if p.kind == kind) for kind in ("branch", "bus"))
    return Fault(branches, buses)


def live(network: Network, closed: Bools, fault: Fault) -> list[str]:
    """What is said to be out of order and is under voltage in a state; empty where nothing is.

    Parameters
    ----------
    closed
        bool, shape (n_branch,).
    """
    if not fault.branches and not fault.buses:
        return []
    dark = unfed_buses(network, closed)
    said = [f"bus {bus_label(network, k)}" for k in fault.buses if not dark[k]]
    fed = {e: closed[e] and not (dark[network.from_bus[e]] and dark[network.to_bus[e]]) for e in fault.branches}
    return said + [f"branch {branch_label(network, e)}" for e in fault.branches if fed[e]]


def barred(network: Network, closed: Bools, fault: Fault) -> Ints:
    """Open branches that stay open until the repair: those out of order, and all at a bus out of order."""
    at_bus = np.isin(network.from_bus, fault.buses) | np.isin(network.to_bus, fault.buses)
    at_bus[list(fault.branches)] = True
    return np.flatnonzero(at_bus & ~closed)


def dark_parts(network: Network, closed: Bools) -> Ints:
    """Number of the part without supply that each bus is in, -1 where it has supply, shape (n_bus,)."""
    node = merged_nodes(network)
    sets = DisjointSets(int(node.max()) + 1)
    for e in np.flatnonzero(closed).tolist():
        sets.join(int(node[network.from_bus[e]]), int(node[network.to_bus[e]]))
    root = sets.find(0)
    found = [sets.find(k) for k in node.tolist()]
    return np.array([-1 if part == root else part for part in found])


def parts_of_fault(network: Network, closed: Bools, fault: Fault) -> set[int]:
    """Parts without supply that hold something out of order: a bus, or a branch that is closed."""
    parts = dark_parts(network, closed)
    ends = [k for e in fault.branches if closed[e] for k in (network.from_bus[e], network.to_bus[e])]
    return {int(parts[k]) for k in (*fault.buses, *ends)} - {-1}
