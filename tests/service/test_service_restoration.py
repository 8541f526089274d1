"""A breaker trips: the fault is supposed or told, load in the dark gets a plan, through the same review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from control_room import Made, make
from fastapi.testclient import TestClient
from sqlalchemy import select

from learnopt.network.topology import unfed_buses
from learnopt.service import memory, people, proposals, standing
from learnopt.service.app import application
from learnopt.service.audit import entries, verify
from learnopt.service.database import Alarm, Cycle
from learnopt.service.review import RefusedError


def trip(made: Made, branch: str) -> None:
    made.plant.closed[made.plant.network.branch_index[branch]] = False
    made.measured(0.1)


def measurement(made: Made, point: str, value: Any, **other: Any) -> dict[str, Any]:
    return {"point": point, "value": value, "time": made.clock.now().isoformat(), **other}


def alarms(made: Made) -> dict[str, str]:
    with made.room.database.read() as session:
        return {one.kind: one.told for one in session.scalars(select(Alarm).where(Alarm.cleared.is_(None)))}


def faults(made: Made) -> list[list[str]]:
    with made.room.database.read() as session:
        return standing.faults_now(session, "case33")


def plan(made: Made, number: int) -> list[str]:
    with made.room.database.read() as session:
        found = proposals.steps_of(session, proposals.proposal_of(session, number))
    return [f"{one.action} {one.branch}" for one in found]


def last(made: Made) -> Cycle:
    with made.room.database.read() as session:
        return session.scalars(select(Cycle).order_by(Cycle.id.desc())).first()  # type: ignore[return-value]


def carry_out(made: Made, number: int) -> None:
    """Telemetry sees what is switched; a crew reports that it has earthed."""
    made.room.approve(number, "anna")
    assert made.room.begin(number, "anna") == []
    for _ in range(12):
        with made.room.database.read() as session:
            step = proposals.released_step(session, "case33")
        if step is not None and step.action == "earth":
            made.room.confirm(number, step.number, "anna")
        made.measured(0.1)
        if made.state(number) == "done":
            return
    raise AssertionError(made.proposal().held)


def shown(made: Made, path: str) -> str:
    """A page as an operator sees it."""
    with made.room.database.write() as session:
        key = people.add_token(session, path.replace("/", "-").strip("-"), people.Role.OPERATOR, "console")
    client = TestClient(application(made.room), headers={"Authorization": f"Bearer {key}"})
    found = client.get(path)
    assert found.status_code == 200
    return found.text


def dark(made: Made) -> list[str]:
    net = made.plant.network
    return [str(net.bus_ids[k]) for k in unfed_buses(net, made.plant.closed).nonzero()[0]]


def test_from_the_trip_to_supply_again(tmp_path: Path) -> None:
    """Nobody has located the fault: it is supposed and said so; nothing is closed onto it until it is repaired."""
    devices = [str(k) for k in range(1, 38)]
    made = make(tmp_path, mode="automatic", guard={"devices": devices}, hold_off_s=0.0, least_saving_kwh=1e6)
    made.measured(5)
    assert last(made).verdict == "stay"
    before = last(made).answer["load_kw"]
    trip(made, "8")
    cycle = last(made)
    assert cycle.verdict == "restore"
    assert faults(made) == [["branch:8:fault", "doubtful"]]
    assert {"trip", "supply", "switch"} <= set(alarms(made))
    told = cycle.answer["restoration"]
    # The meters in the dark read nothing; what is in the dark is what was expected of them.
    assert told["dark_kw"] + cycle.answer["load_kw"] == pytest.approx(before, rel=0.02)
    assert told["restored_kw"] == pytest.approx(told["dark_kw"])
    assert told["settled"]
    assert "SUPPOSED at branch 8" in cycle.answer["advice"]["reason"]
    assert memory.reproduced(cycle)
    number = made.proposal().id
    assert made.state(number) == "proposed"  # automatic is for losses, the dark is for people
    assert any("close" in one for one in plan(made, number))
    assert "open 8" not in plan(made, number)
    page = shown(made, "/feeders/case33")
    assert "Load is in the dark" in page
    assert "branch:8 is in order again" in page
    page = shown(made, f"/proposals/{number}")
    assert "no plan within the limits supplies more" in page
    assert "Saves" not in page
    carry_out(made, number)
    assert dark(made) == []
    assert not made.plant.closed[made.plant.network.branch_index["8"]]
    made.measured(5)
    assert last(made).answer["restoration"] is None
    assert "supply" not in alarms(made)
    # All have supply, the feeder is radial: but branch 8 stays open until somebody says that it is repaired.
    made.room.change_settings("case33", {"least_saving_kwh": 0.0, "operation_cost_kwh": 0.0}, "admin")
    made.measured(5)
    assert "8" in last(made).answer["open"]
    steps = [(one["action"], one["branch"]) for one in last(made).answer["steps"]]
    assert ("close", "8") not in steps
    with made.room.database.read() as session:
        assert verify(session).broken_at is None
        assert "fault supposed" in [one.what for one in entries(session)]


def test_a_fault_that_is_told_replaces_the_supposition(tmp_path: Path) -> None:
    """The plan goes around the place that was located; the first plan ends, also if it was approved."""
    made = make(tmp_path, least_saving_kwh=1e6)
    made.measured(5)
    trip(made, "6")
    first = made.proposal().id
    made.room.approve(first, "anna")
    made.clock.on(seconds=5)
    made.room.tell_fault("case33", "branch:9", True, "ben")
    with pytest.raises(RefusedError, match="out of order has changed"):
        made.room.begin(first, "anna")
    made.measured(0.1)
    assert made.state(first) == "expired"
    assert faults(made) == [["branch:9:fault", "good"]]
    assert "trip" not in alarms(made)
    second = made.proposal().id
    steps = plan(made, second)
    assert "open 9" in steps
    assert "close 9" not in steps
    assert steps.index("open 9") < min(k for k, one in enumerate(steps) if one.startswith("close"))
    assert "told at branch 9" in last(made).answer["advice"]["reason"]
    carry_out(made, second)
    assert dark(made) == []
    made.room.tell_fault("case33", "branch:9", False, "ben")
    assert faults(made) == []
    with made.room.database.read() as session:
        told = [json.loads(one.detail) for one in entries(session) if one.what == "faults told"]
    assert [one["points"] for one in told] == [["branch:6:fault (doubtful)", "branch:9:fault (good)"], []]


def test_a_switch_that_closes_again_and_a_second_trip(tmp_path: Path) -> None:
    """Reclosing ends the supposition; a second trip elsewhere is a supposition of its own, whatever stands already."""
    made = make(tmp_path, least_saving_kwh=1e6)
    made.measured(5)
    trip(made, "17")
    assert faults(made) == [["branch:17:fault", "doubtful"]]
    made.plant.closed[made.plant.network.branch_index["17"]] = True
    made.measured(0.1)
    assert faults(made) == []
    assert last(made).answer["restoration"] is None
    assert made.state(1) == "expired"
    trip(made, "17")
    made.clock.on(seconds=5)
    made.room.tell_fault("case33", "branch:17", True, "ben")
    trip(made, "24")
    assert faults(made) == [["branch:17:fault", "good"], ["branch:24:fault", "doubtful"]]
    assert last(made).verdict == "restore"
    steps = plan(made, made.proposal().id)
    assert not {"close 17", "close 24"} & set(steps)


def test_a_trip_in_the_middle_of_a_plan(tmp_path: Path) -> None:
    """The plan is held back and can be left as it stands; then comes the plan for the dark."""
    made = make(tmp_path)
    made.measured(5)
    number = made.proposal().id
    made.room.approve(number, "anna")
    made.room.begin(number, "anna")
    with pytest.raises(RefusedError, match="not held back"):
        made.room.leave(number, "anna", "in a hurry")
    made.measured(0.1)
    trip(made, "2")  # in the beat in which the second step is carried out
    made.measured(0.1)
    assert made.proposal().held
    made.room.leave(number, "anna", "the feeder has tripped")
    assert made.state(number) == "aborted"
    made.measured(0.1)
    assert last(made).verdict == "restore", last(made).answer["advice"]["reason"]
    carry_out(made, made.proposal().id)
    assert dark(made) == []


def test_no_plan_where_it_would_be_a_guess(tmp_path: Path) -> None:
    """The fault is under voltage; nothing is known of the rest; no switch leads anywhere: said, and not proposed."""
    made = make(tmp_path, least_saving_kwh=1e6)
    made.measured(5)
    made.room.take("case33", [measurement(made, "bus:5:fault", 1)], "scada")
    made.measured(0.1)
    assert "bus 5 is said to be out of order and is live" in alarms(made)["picture"]
    trip(made, "17")
    assert "No plan: the fault is said to be at bus 5, which is under voltage" in last(made).answer["advice"]["reason"]
    made.room.tell_fault("case33", "bus:5", False, "ben")
    made.room.take("case33", [measurement(made, f"branch:{k}:tag", 1) for k in range(33, 38)], "scada")
    made.measured(0.1)
    assert "No switching brings any of it back" in last(made).answer["advice"]["reason"]
    with made.room.database.read() as session:
        assert proposals.open_proposal(session, "case33") is None


def test_the_way_back_of_a_restoration(tmp_path: Path) -> None:
    """Earthed is unearthed, closed is opened, in the other order: what was in the dark is there again."""
    made = make(tmp_path, least_saving_kwh=1e6)
    made.measured(5)
    trip(made, "6")
    made.clock.on(seconds=5)
    made.room.tell_fault("case33", "branch:9", True, "ben")
    made.measured(0.1)
    number = made.proposal().id
    before = made.plant.closed.copy()
    made.room.approve(number, "anna")
    assert made.room.begin(number, "anna") == []
    made.measured(0.1)  # open 9 is seen, earthing released
    made.room.confirm(number, 2, "crew")
    made.measured(0.1)
    made.room.abort(number, "anna", "the crew calls")
    with made.room.database.read() as session:
        back = proposals.steps_of(session, proposals.proposal_of(session, number), True)
    assert "unearth 9" in [f"{one.action} {one.branch}" for one in back]
    for one in back:
        made.measured(0.1)
        if one.action == "unearth":
            made.room.confirm(number, one.number, "crew")
    made.measured(0.1)
    assert made.state(number) == "aborted"
    assert (made.plant.closed == before).all()
