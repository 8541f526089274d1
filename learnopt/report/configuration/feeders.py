"""Loss, load and current of every feeder: everything behind one outlet (:func:`learnopt.physics.balance.fed_by`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.network import Configuration, Evaluation, ReconfigurationProblem
from learnopt.network.topology import without_chords
from learnopt.physics.balance import UPSTREAM, fed_by
from learnopt.physics.judge import branch_loss_kw
from learnopt.physics.rooted_tree import rooted


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
    tree, of_bus = rooted(net, configuration.closed), fed_by(net, configuration.closed)
    if tree is None or of_bus is None or evaluation is None or not evaluation.converged:
        return {}
    feed = tree[2].tolist()
    loss = branch_loss_kw(problem, evaluation)
    chords = np.flatnonzero(configuration.closed & ~without_chords(net, configuration.closed))
    found = {}
    for head in sorted(set(of_bus.tolist()), key=lambda e: (e == UPSTREAM, e)):
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
