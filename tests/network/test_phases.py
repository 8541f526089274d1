"""Phase angles without load: sources, vector groups, loops that would join unequal phases."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_network

from learnopt.errors import DataError
from learnopt.network import ReconfigurationProblem
from learnopt.network.phases import has_angles, phase_angles, phase_differences

TURNED = {"shift_deg": 150.0}


def ring(**ties):
    """Two transformers 150 degrees back, then a tie between their lines; the tie is open."""
    return make_network(
        [
            (0, 1, 1, 1, TURNED),
            (3, 0, 1, 1, {"shift_deg": -150.0}),  # the same vector group, seen from the other end
            (1, 2, 1, 1),
            (2, 3, 1, 1, {"normally_open": True, **ties}),
        ],
        {2: (100, 30), 3: (100, 30)},
    )


def test_angles_follow_the_branches():
    """Behind a transformer the angle is less by its shift, whichever end is its from end."""
    network = ring()
    angle = np.degrees(phase_angles(network, network.normal_configuration.closed))
    assert angle[[network.bus_index[k] for k in "0123"]] == pytest.approx([0, -150, -150, -150])
    dark = phase_angles(network, network.configuration([2, 4]).closed)
    assert np.isnan(dark[network.bus_index["3"]])


@pytest.mark.parametrize(("shift", "apart"), [(0.0, 0.0), (30.0, 30.0), (-330.0, 30.0), (360.0, 0.0), (180.0, 180.0)])
def test_difference_across_an_open_branch(shift, apart):
    """Whole turns do not count, nor does the sign."""
    network = ring(shift_deg=shift)
    closed = network.normal_configuration.closed
    assert np.degrees(phase_differences(network, closed, [3])) == pytest.approx([apart], abs=1e-9)
    closed = network.configuration([2, 3, 4]).closed  # the far end is dark: no loop
    assert phase_differences(network, closed, [3]) == pytest.approx([0.0])


def test_equal_sources_have_no_angles(two_substations):
    """One angle for all sources is a matter of naming."""
    assert not has_angles(two_substations)
    assert has_angles(ring())


def test_fixed_loop_between_unequal_phases_is_refused():
    """A loop that nobody can open, with 30 degrees around it: no power flow of ours holds for it."""
    fixed = {"switchable": False}
    rows = [(0, 1, 1, 1, fixed | TURNED), (0, 1, 1, 1, fixed | {"shift_deg": 120.0}), (1, 2, 1, 1)]
    network = make_network(rows, {2: (100, 30)})
    with pytest.raises(DataError, match=r"branch 2 closes a loop between phases that are 30 degrees apart"):
        ReconfigurationProblem.of(network)
    rows[1] = (0, 1, 1, 1, fixed | TURNED)
    ReconfigurationProblem.of(make_network(rows, {2: (100, 30)}))
