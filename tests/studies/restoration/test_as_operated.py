"""What a plan leaves with its own devices, against pandapower after the same steps."""

import io
import json

import numpy as np
import pandapower
import pytest
from pandapower_nets import grid, line, load, net, reference, switch
from rich.console import Console

import learnopt


@pytest.fixture
def ring(tmp_path):
    """A ring of long cables with a switch at both ends of each, open between its last station and the source."""
    ends = [(0, 1), (1, 2), (2, 3), (3, 0)]
    lines = [line(*pair, length_km=6.0) for pair in ends]
    switches = [switch(bus, k, "l", closed=(k, bus) != (3, 3)) for k, pair in enumerate(ends) for bus in pair]
    raw = net(
        dict.fromkeys(range(4), 20.0), ext_grid=[grid(0)], line=lines, switch=switches,
        load=[load(k, 0.8 + 0.3 * k, 0.2) for k in (1, 2, 3)],
    )  # fmt: skip
    path = tmp_path / "ring.json"
    path.write_text(json.dumps(raw), encoding="utf-8")
    return path


def after_steps(path, operations):
    """The net with every device where the steps leave it."""
    net = pandapower.from_json(str(path))
    for step in operations:
        if step["device"] is not None:
            net.switch.loc[int(step["device"].removeprefix("switch ")), "closed"] = step["action"] == "close"
    return net


def test_a_cable_to_a_dead_bus_stays_live_from_its_other_end(ring):
    """Each cable to the faulted bus is opened there, and draws its charging from where it hangs."""
    plan = learnopt.restore(ring, "bus:2")
    answer = plan.to_dict()
    operated = answer["as_operated"]
    loss, lowest = reference(after_steps(ring, answer["operations"]))
    assert operated["open_at_one_end"] == ["line 1", "line 2"]
    assert operated["loss_kw"] == pytest.approx(loss, rel=1e-6)
    assert operated["min_voltage_pu"] == pytest.approx(lowest, abs=1e-6)
    assert abs(operated["loss_kw"] - answer["loss_kw"]) > 1e-3 * loss
    assert "energised from the other, the feeder loses" in plan_text(plan)


def plan_text(plan):
    """What the terminal shows."""
    out = io.StringIO()
    Console(width=400, file=out).print(plan.rendered())
    return out.getvalue()


def test_a_bus_is_earthed_by_its_own_name_and_no_cable_that_may_be_live(ring):
    """The cables of a dead bus are live from their other ends: a crew must not earth one of those."""
    plan = learnopt.restore(ring, "bus:2")
    step = next(o for o in plan.to_dict()["operations"] if o["action"] == "earth")
    assert (step["branch"], step["branch_name"], step["bus"], step["name"]) == (None, None, 2, "bus 2")
    assert "earth (crew) bus bus 2 (2)" in plan_text(plan)


def test_nothing_is_said_of_open_ends_where_a_branch_is_dead_at_both(ring):
    """The faulted cable is parted at both ends."""
    plan = learnopt.restore(ring, "branch:line 1")
    answer = plan.to_dict()
    assert answer["as_operated"] is None
    assert answer["loss_kw"] == pytest.approx(reference(after_steps(ring, answer["operations"]))[0], rel=1e-6)
    assert np.isfinite(answer["min_voltage_pu"])
