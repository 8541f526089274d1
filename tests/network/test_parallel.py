"""Circuits in parallel on purpose: which are, and what becomes of them."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_network

from learnopt.network import ReconfigurationProblem
from learnopt.network.parallel import keep_parallel, side_by_side

TIE = {"normally_open": True}
LOADS = {1: (300, 100), 2: (200, 60)}
RING = [(1, 2, 1, 1), (2, 0, 1, 1, TIE)]
TWINS = {
    "two lines": ([(0, 1, 1, 1), (0, 1, 2, 1), *RING], [[1], [2]]),
    "three lines": ([(0, 1, 1, 1), (1, 0, 2, 1), (0, 1, 2, 2), *RING], [[1], [2], [3]]),
    "bays": ([(0, "a", 0, 0), ("a", 1, 1, 1), (0, 1, 1, 1), *RING], [[1, 2], [3]]),
    "one without a switch": ([(0, 1, 1, 1, {"switchable": False}), (0, 1, 2, 1), *RING], [[1], [2]]),
}
OTHERS = {
    "one is open": [(0, 1, 1, 1), (0, 1, 2, 1, TIE), *RING],
    "load in between": [(0, 2, 1, 1), (2, 1, 1, 1), (0, 1, 2, 1)],
    "another loop is closed": [(0, 1, 1, 1), (0, 1, 2, 1), (1, 2, 1, 1), (2, 0, 1, 1)],
    "a branch in between": [(0, "a", 1, 1), ("a", 1, 1, 1), (0, 1, 2, 1), ("a", 2, 1, 1)],
    "radial": [(0, 1, 1, 1), (1, 2, 1, 1)],
    "no switch": [(0, 1, 1, 1, {"switchable": False}), (0, 1, 2, 1, {"switchable": False}), (1, 2, 1, 1)],
}


@pytest.mark.parametrize("name", TWINS)
def test_kept_closed(name):
    """Their branches are no decision any more, the others still are; one sentence names them."""
    branches, circuits = TWINS[name]
    network = make_network(branches, LOADS)
    kept, (note,) = keep_parallel(network)
    together = sorted(e for circuit in circuits for e in circuit)
    assert np.flatnonzero(~kept.switchable).tolist() == [e - 1 for e in together]
    assert note.startswith(f"circuits {' and '.join('-'.join(map(str, c)) for c in circuits)} are all closed")
    problem = ReconfigurationProblem.of(kept)
    assert problem.chords.sum() == len(circuits) - 1
    assert problem.admits(network.normal_configuration)
    assert keep_parallel(kept) == (kept, ())
    # Locked open, a circuit is taken out of the connection.
    locked = problem.locked.copy()
    locked[together[-1] - 1] = 0
    apart = problem.replace(locked=locked)
    assert apart.chords.sum() == len(circuits) - 2
    assert apart.contradictions == []


@pytest.mark.parametrize("name", OTHERS)
def test_left_as_they_are(name):
    """Nothing tells that these are one connection."""
    network = make_network(OTHERS[name], LOADS)
    assert keep_parallel(network) == (network, ())


def test_side_by_side_is_not_a_ring():
    """A ring that starts and ends at one bus joins no two buses."""
    ring = make_network([(0, 1, 1, 1), (1, "a", 1, 1), ("a", "b", 1, 1), ("b", 1, 1, 1)], {1: (100, 30)})
    assert side_by_side(ring, np.ones(4, dtype=bool)) == []
