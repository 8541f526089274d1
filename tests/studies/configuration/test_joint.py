"""A fault on one of two cables that meet in a joint: what a crew takes apart there, and what is live again after."""

import json

import numpy as np
import pytest
from pandapower_nets import grid, line, load, net, switch

import learnopt
from learnopt.network.names import whole_id
from learnopt.network.topology import radiality_faults


@pytest.fixture
def joined(tmp_path):
    """Stations 1 and 2 are joined by two cables with a joint, bus 3; the tie from 2 to the source is open."""
    ends = [(0, 1), (1, 3), (3, 2), (2, 0)]
    lines = [line(*pair) for pair in ends]
    switches = [switch(bus, k, "l", closed=k != 3) for k, pair in enumerate(ends) for bus in pair if bus != 3]
    raw = net(
        dict.fromkeys(range(4), 20.0), ext_grid=[grid(0)], line=lines, switch=switches,
        load=[load(1, 1.0, 0.3), load(2, 0.8, 0.2)],
    )  # fmt: skip
    path = tmp_path / "joint.json"
    path.write_text(json.dumps(raw), encoding="utf-8")
    return path


def test_the_step_that_makes_the_joint_live_again_says_where_the_crew_was(joined):
    """One of the cables is faulted."""
    solution = learnopt.solve(joined, scenario={"out_of_service": ["line 1"]})
    steps = solution.operations
    actions = [(o.action.value, whole_id(o.branch_id)) for o in steps]
    apart, again = actions.index(("disconnect", "line 1")), actions.index(("close", "line 2"))
    opened = actions.index(("open", "line 2"))
    assert opened < apart < again
    assert actions.index(("earth", "line 1")) < apart
    assert "close it once all are away from there" in steps[again].reason
    assert "bus 3 (3)" in steps[again].reason
    assert not any("away" in o.reason for k, o in enumerate(steps) if k != again)
    assert np.isfinite(solution.loss_kw)


def test_buses_without_supply_are_those_of_the_file(joined):
    """The end of a cable behind its switch is no bus that people know, and is not counted as one."""
    read = learnopt.load(joined)
    (said,) = radiality_faults(read, read.normal_configuration.closed & (np.array(read.branch_ids) != "line 1"))
    assert said == "2 buses have no path to a substation: bus 'bus 2' (2), 'bus 3' (3)"
