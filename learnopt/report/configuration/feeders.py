"""Loss, load and current of every feeder, that is of everything behind one outlet of a substation's busbar.

An outlet is the first line behind the transformers and couplers of a station; where a source has none, a branch at the
busbar as in :mod:`learnopt.physics.balance`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.network import Configuration, Evaluation, ReconfigurationProblem
from learnopt.network.topology import without_chords
from learnopt.physics.balance import feeder_heads
from learnopt.physics.judge import branch_loss_kw
from learnopt.physics.rooted_tree import rooted

UPSTREAM = -1
"""Stands for what lies between a source and its busbar: transformers and supply lines."""


@dataclass(frozen=True)
class Feeder:
    """What one outlet feeds.

    Parameters
    ----------
    head
        Branch at the busbar; :data:`UPSTREAM` for what lies before all outlets.
    n_bus
        Buses behind it.
    load_kw, loss_kw
        Net load of these buses and loss of the branches from the head on [kW].
    current_a
        Current of the head [A].
    """

    head: int
    n_bus: int
    load_kw: float
    loss_kw: float
    current_a: float


def feeders(
    problem: ReconfigurationProblem, configuration: Configuration, evaluation: Evaluation | None
) -> dict[int, Feeder]:
    """Feeders of a radial configuration by their head; empty without a power flow. The losses sum to the whole."""
    net = problem.network
    tree = rooted(net, configuration.closed)
    if tree is None or evaluation is None or not evaluation.converged:
        return {}
    order, parent, feed = (array.tolist() for array in tree)
    heads = set(feeder_heads(net).tolist())
    station = ((net.r == 0) & (net.x == 0)) | (net.ratio != 1) | (net.kv[net.from_bus] != net.kv[net.to_bus])
    loss = branch_loss_kw(problem, evaluation)
    at = [UPSTREAM] * net.n_bus
    inside = [False] * net.n_bus  # reached from a source through couplers and transformers only
    for k in order:
        if (p := parent[k]) < 0:
            continue
        e = feed[k]
        inside[k] = at[p] == UPSTREAM and bool(station[e])
        outlet = at[p] == UPSTREAM and not station[e] and (inside[p] or e in heads)
        at[k] = e if outlet else at[p]
    of_bus = np.array(at)
    chords = np.flatnonzero(configuration.closed & ~without_chords(net, configuration.closed))
    found = {}
    for head in sorted(set(at), key=lambda e: (e == UPSTREAM, e)):
        buses = np.flatnonzero(of_bus == head)
        branches = [feed[k] for k in buses.tolist() if feed[k] >= 0]
        branches += chords[of_bus[net.from_bus[chords]] == head].tolist()
        if branches or problem.p[buses].any():
            found[head] = Feeder(
                head,
                len(buses),
                float(problem.p[buses].sum()) * net.base.kw,
                float(loss[branches].sum()),
                float(evaluation.current_a[head]) if head >= 0 else float("nan"),
            )
    return found
