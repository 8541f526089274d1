"""Fixed loops: which branch closes them, what counts as radial, and what contradicts itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from loop_oracle import looped_problem, states

from learnopt.engines.exchange import radial_start, random_start
from learnopt.network import ReconfigurationProblem, Scenario, Situations
from learnopt.network.topology import is_radial, radiality_faults, unfed_buses, without_chords

FIXED = {"switchable": False}


@pytest.fixture(scope="module")
def ladder():
    """A fixed triangle 1-2-3 (branches 2, 3, 4) in a ring 0-1, 3-4, 4-0 of switches; switch 6 lies across it."""
    return make_network(
        [(0, 1, 1, 1), (1, 2, 1, 1, FIXED), (2, 3, 2, 3, FIXED), (3, 1, 1, 1, FIXED), (3, 4, 1, 1),
         (1, 3, 1, 1, {"normally_open": True}), (4, 0, 1, 1, {"normally_open": True})],
        dict.fromkeys(range(1, 5), (100, 30)),
    )  # fmt: skip


def test_the_branch_of_most_impedance_is_the_chord(ladder):
    """One per loop; what is left without it is a tree."""
    problem = ReconfigurationProblem.of(ladder)
    assert np.flatnonzero(problem.chords).tolist() == [2]
    assert (ladder.n_loops, ladder.n_fixed_loops) == (2, 1)
    assert problem.contradictions == []
    # The switch across the triangle is in a loop with it, so it is open in every state; the ring has three choices.
    assert np.flatnonzero(problem.free).tolist() == [0, 4, 5, 6]
    assert len(states(problem)) == 3


def test_radial_but_for_fixed_loops(ladder):
    """The fixed loop is no fault; a loop of switches is one, and so is one of a switch and fixed branches."""
    assert is_radial(ladder, ladder.normal_configuration.closed)
    assert radiality_faults(ladder, ladder.configuration([6]).closed) == [
        "1 closed branches too many: loops close at branch 7"
    ]
    (fault,) = radiality_faults(ladder, ladder.configuration([7]).closed)
    assert fault.endswith("branch 6")
    assert np.flatnonzero(unfed_buses(ladder, ladder.configuration([1, 6, 7]).closed)).tolist() == [1, 2, 3, 4]
    assert np.flatnonzero(~without_chords(ladder, ladder.normal_configuration.closed)).tolist() == [2, 5, 6]


def test_outages_and_locks_open_fixed_loops(ladder):
    """Then the rest of the loop is a path without chord; locks that close a loop stay a contradiction."""
    scenario = Scenario.nominal(ladder)
    locked = scenario.locked.copy()
    locked[3] = 0
    out = np.zeros(ladder.n_branch, dtype=bool)
    out[1] = True
    for each in (replace(scenario, locked=locked), replace(scenario, out_of_service=out)):
        problem = ReconfigurationProblem(ladder, Situations.of(each))
        assert not problem.chords.any()
        assert problem.contradictions == []
        assert problem.admits(radial_start(problem))
    locked = scenario.locked.copy()
    locked[5] = 1
    assert ReconfigurationProblem(ladder, Situations.of(scenario), locked=locked).contradictions == [
        "branch 6 closes a loop of branches that must all stay closed"
    ]


@pytest.mark.parametrize("seed", range(20))
def test_starts_are_admissible(seed):
    """Spanning trees of random weights come with all fixed loops closed."""
    drawn = (looped_problem(seed + 1000 * draw, limits=bool(seed % 2)) for draw in range(100))
    problem = next(p for p in drawn if not p.contradictions)
    rng = np.random.default_rng(seed)
    known = {closed.tobytes() for closed in states(problem)}
    for configuration in (radial_start(problem), *(random_start(problem, rng) for _ in range(5))):
        assert configuration.closed.tobytes() in known
        assert problem.admits(configuration)
