"""Rooted trees of radial states."""

from __future__ import annotations

import numpy as np

from learnopt.network import Bools, Ints, Network
from learnopt.network.topology import without_chords
from learnopt.physics.sweep import grid_of, order_tree


def rooted(network: Network, closed: Bools) -> tuple[Ints, Ints, Ints] | None:
    """Order (substations first), parent bus and feeding branch (-1 at substations) of a state, shape (n_bus,) each.

    One branch of each fixed loop is left out. None where the closed branches are not radial but for fixed loops.
    """
    order, parent, feed = (np.empty(network.n_bus, dtype=np.int64) for _ in range(3))
    if not order_tree(grid_of(network), without_chords(network, closed), order, parent, feed):
        return None
    return order, parent, feed
