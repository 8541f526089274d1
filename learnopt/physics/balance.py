r"""Balance of load among feeders: the currents at their heads and how far apart they are.

A feeder begins at a branch that leaves the busbar of a substation. The busbar is the substation itself, or, where only
one branch leaves it, the first bus beyond from which several do (bus 2 of the 33-bus system). The index is

.. math:: 1 - \min_f I_f / \max_f I_f ,

0 where all feeders carry the same current, 1 where one of them carries none: the largest relative distance of a feeder
to the most loaded one.

References
----------
Das (2006), doi:10.1016/j.ijepes.2005.08.018 (relative distance of feeder currents); Khodr, Martinez-Crespo, Matos,
Pereira (2009), tables III and VI (feeder currents of the 33-bus and the 70-bus system).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from learnopt.network import Bools, Configuration, Evaluation, Floats, Ints, Network
from learnopt.physics.rooted_tree import rooted

UPSTREAM = -1
"""Stands for what lies between a source and its busbar: transformers and supply lines."""


def feeder_heads(network: Network) -> Ints:
    """Branches at the busbars of the substations, in file order, each once; open ones included."""
    at: list[list[int]] = [[] for _ in range(network.n_bus)]
    for e, ends in enumerate(zip(network.from_bus.tolist(), network.to_bus.tolist(), strict=True)):
        for bus in ends:
            at[bus].append(e)
    heads = set()
    for root in network.substations.tolist():
        bus, through = root, -1
        while len(onward := [e for e in at[bus] if e != through]) == 1:
            through = onward[0]
            bus = int(network.from_bus[through] + network.to_bus[through]) - bus
            if network.is_substation[bus]:
                break
        heads.update(onward or [through])
    heads.discard(-1)
    return np.array(sorted(heads), dtype=np.int64)


def fed_by(network: Network, closed: Bools, busbars: Collection[int] = ()) -> Ints | None:
    """Feeder of every bus as the branch at its outlet, shape (n_bus,); None where the state is not radial.

    An outlet is the first line behind the transformers and couplers of a station; where a source has none, a branch at
    the busbar. :data:`UPSTREAM` stands for buses before all outlets.

    Parameters
    ----------
    busbars
        Buses that count as busbars besides: what leaves them begins a feeder, what joins them lies inside a station.
    """
    tree = rooted(network, closed)
    if tree is None:
        return None
    order, parent, feed = (array.tolist() for array in tree)
    heads = set(feeder_heads(network).tolist())
    other_level = network.kv[network.from_bus] != network.kv[network.to_bus]
    station = ((network.r == 0) & (network.x == 0)) | (network.ratio != 1) | other_level
    bars = np.isin(np.arange(network.n_bus), list(busbars))
    station |= bars[network.from_bus] & bars[network.to_bus]
    at = [UPSTREAM] * network.n_bus
    inside = [False] * network.n_bus  # reached from a source through couplers and transformers only
    for k in order:
        if (p := parent[k]) < 0:
            continue
        e = feed[k]
        inside[k] = at[p] == UPSTREAM and bool(station[e])
        outlet = at[p] == UPSTREAM and not station[e] and (inside[p] or e in heads)
        at[k] = e if outlet else at[p]
    return np.array(at, dtype=np.int64)


def feeder_currents(network: Network, configuration: Configuration, current_a: Floats) -> dict[int, float]:
    """Current of each feeder [A] by branch index: heads that are closed, or closed in the normal configuration.

    A tie at the busbar that is normally open is no feeder until it is closed; a feeder that is switched off carries
    nothing.

    Parameters
    ----------
    current_a
        Current of each branch [A], shape (n_branch,).
    """
    used = configuration.closed | ~network.normally_open
    return {int(e): float(current_a[e]) for e in feeder_heads(network) if used[e]}


def balance_index(network: Network, configuration: Configuration, evaluation: Evaluation) -> float | None:
    """Index of a configuration; None without a power flow or without current. Of several scenarios by the peaks."""
    if not evaluation.converged:
        return None
    currents = list(feeder_currents(network, configuration, evaluation.current_a).values())
    largest = max(currents, default=0.0)
    return None if largest <= 0 else 1.0 - min(currents) / largest
