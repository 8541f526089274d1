"""The room: from measurements to a proposal, through its review, to the last step; and every way that can end."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from control_room import Here, Made, make
from fastapi.testclient import TestClient
from rooms import WHY_NONE, postgresql
from sqlalchemy import select

from learnopt.errors import DataError, UnsupportedError
from learnopt.service import memory, people, proposals
from learnopt.service.app import application
from learnopt.service.audit import entries, verify
from learnopt.service.database import Alarm, Cycle, LatestValue
from learnopt.service.reproduction import reproduce
from learnopt.service.review import RefusedError
from learnopt.service.room import Room
from learnopt.service.running import set_up_demo
from learnopt.service.shadow import Compared
from learnopt.service.simulation import Plant
from learnopt.service.thinking import network_of
from learnopt.service.worker import WorkerError
from learnopt.studies.operation.meters import Telemetry


def measurement(made: Made, point: str, value: Any, **other: Any) -> dict[str, Any]:
    return {"point": point, "value": value, "time": made.clock.now().isoformat(), **other}


def alarms(made: Made, standing: bool = True) -> dict[str, str]:
    with made.room.database.read() as session:
        found = session.scalars(select(Alarm)).all()
    return {one.kind: one.told for one in found if (one.cleared is None) == standing}


def done_by(made: Made, what: str) -> list[dict[str, Any]]:
    with made.room.database.read() as session:
        assert verify(session).broken_at is None
        return [json.loads(one.detail) for one in entries(session) if one.what == what]


def steps(made: Made, number: int, back: bool = False) -> list[tuple[str, str, bool]]:
    with made.room.database.read() as session:
        found = proposals.steps_of(session, proposals.proposal_of(session, number), back)
    return [(one.action, one.branch, one.confirmed is not None) for one in found]


def test_from_measurements_to_the_last_step(tmp_path: Path) -> None:
    """Proposed, kept alive by later cycles, approved, every step checked, released and seen; then it pays."""
    made = make(tmp_path)
    made.measured(5)
    proposal = made.proposal()
    assert proposal.state == "proposed"
    made.measured(5)
    assert made.proposal().id == proposal.id
    assert made.proposal().measured > proposal.measured
    made.room.approve(proposal.id, "anna")
    assert made.room.begin(proposal.id, "anna") == []
    for _ in range(proposal.length):
        made.measured(0.2)
    assert made.state(proposal.id) == "done"
    assert all(done for _, _, done in steps(made, proposal.id))
    plan = [f"{action} {branch}" for action, branch, _ in steps(made, proposal.id)]
    assert done_by(made, "draft")[0]["steps"] == plan
    assert [one["told"].split(":")[0] for one in done_by(made, "release")] == plan
    assert len(done_by(made, "confirm")) == len(plan)
    assert not alarms(made)
    made.measured(5)
    made.measured(5)
    with made.room.database.read() as session:
        cycles = session.scalars(select(Cycle).order_by(Cycle.id)).all()
        assert cycles[-1].verdict == "stay"  # hold-off
        assert cycles[-1].saved_kwh > 0.8 * cycles[-1].answer["better_kw"] * 5 / 60 > 0
        assert cycles[0].answer["loss_kw"] > 1.2 * cycles[-1].answer["loss_kw"]
        again = reproduce(session, cycles=True)
        assert (again.same, again.unasked, again.other) == (len(cycles), 0, [])
        cycles[0].answer = cycles[0].answer | {"loss_kw": 1.0}  # somebody has changed what was answered
        assert "line 2, proposal 1: the same question has another answer" in reproduce(session, "case33").other[0]
        session.refresh(cycles[0])
        assert made.room.picture(session, cycles[0], True).count("<svg") > made.room.picture(
            session, cycles[0], False
        ).count("<svg")


def test_a_step_is_held_back_by_a_tag_and_the_way_back_undoes_what_may_be_done(tmp_path: Path) -> None:
    """Two steps are done, the third device is tagged: held, aborted, back in the other order."""
    made = make(tmp_path)
    made.measured(5)
    number = made.proposal().id
    made.room.approve(number, "anna")
    made.room.begin(number, "anna")
    made.measured(0.1)
    third = steps(made, number)[2][1]
    made.room.take("case33", [measurement(made, f"branch:{third}:tag", 1)], "scada")
    made.measured(0.1)
    assert made.state(number) == "executing"
    assert "bears a tag" in alarms(made)["held"]
    assert "bears a tag" in made.proposal().held
    assert made.room.begin(number, "anna") != []
    with pytest.raises(RefusedError, match="no step is released"):
        made.room.confirm(number, 3, "anna")
    with pytest.raises(DataError, match="say why"):
        made.room.abort(number, "anna", " ")
    made.room.abort(number, "anna", "tagged for works")
    there = steps(made, number)
    assert [(action, branch) for action, branch, _ in steps(made, number, back=True)] == [
        ("close", there[1][1]),
        ("open", there[0][1]),
    ]
    for _ in range(3):
        made.measured(0.1)
    assert made.state(number) == "aborted"
    assert (made.plant.closed == made.plant.network.normal_configuration.closed).all()


def test_a_step_that_was_released_and_not_confirmed_is_undone_first(tmp_path: Path) -> None:
    """Nobody knows whether it was carried out: the way back begins with its opposite, whatever the switch says."""
    made = make(tmp_path)
    made.measured(5)
    number = made.proposal().id
    made.room.approve(number, "anna")
    made.room.begin(number, "anna")
    made.room.abort(number, "anna", "the phone rang")
    (action, branch, _), *_ = steps(made, number)
    assert steps(made, number, back=True) == [("open" if action == "close" else "close", branch, False)]
    assert made.proposal().released
    made.measured(0.1)
    assert made.state(number) == "aborted"


def test_what_was_released_before_an_abort_is_not_carried_out_after_it(tmp_path: Path) -> None:
    """Its row stands without a confirmation; the plant, and whoever else asks, sees the way back only."""
    made = make(tmp_path)
    made.measured(5)
    number = made.proposal().id
    made.room.approve(number, "anna")
    made.room.begin(number, "anna")
    made.measured(0.1)  # the first step is seen, the second one released
    assert [done for _, _, done in steps(made, number)][:2] == [True, False]
    made.room.abort(number, "anna", "dice")
    for _ in range(4):
        made.measured(0.1)
    assert made.state(number) == "aborted"
    assert (made.plant.closed == made.plant.network.normal_configuration.closed).all()
    assert not alarms(made)


def test_a_word_against_fresh_telemetry_does_not_confirm(tmp_path: Path) -> None:
    """What is measured open is not closed because somebody says so; where telemetry is old, their word counts."""
    made = make(tmp_path)
    made.measured(5)
    number = made.proposal().id
    made.room.approve(number, "anna")
    made.room.begin(number, "anna")
    with pytest.raises(RefusedError, match="by telemetry"):
        made.room.confirm(number, 1, "anna")
    assert [done for _, _, done in steps(made, number)] == [False] * 4
    assert not done_by(made, "confirm")
    made.clock.on(minutes=16)
    made.room.confirm(number, 1, "anna")
    assert [done for _, _, done in steps(made, number)] == [True, False, False, False]
    assert "of the load is known" in made.proposal().held


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("why", ["old", "moved", "tagged"])
def test_a_proposal_expires(tmp_path: Path, why: str, approved: bool) -> None:
    """Measurements too old, a switch that moved, a tag: it cannot be approved or begun, and is closed by itself."""
    made = make(tmp_path, cycle_s=3600)
    made.measured(5)
    number = made.proposal().id
    branch = steps(made, number)[0][1]
    if approved:
        made.room.approve(number, "anna")
    made.clock.on(minutes=16 if why == "old" else 1)
    if why == "moved":
        made.room.take("case33", [measurement(made, "branch:37:closed", 1)], "scada")
    if why == "tagged":
        made.room.take("case33", [measurement(made, f"branch:{branch}:tag", 1)], "scada")
    with pytest.raises(RefusedError, match="out of date"):
        made.room.begin(number, "anna") if approved else made.room.approve(number, "anna")
    assert not done_by(made, "release")
    made.room.tick()
    assert made.state(number) == "expired"
    said = {"old": "min old", "moved": "branch 37 is closed now", "tagged": f"branch {branch} bears a tag"}[why]
    assert said in done_by(made, "expire")[0]["reason"]
    assert ("switch" in alarms(made)) == (why == "moved")


def test_what_does_not_pay_any_more_is_not_begun(tmp_path: Path) -> None:
    """Between approval and the first step the load has gone: the plan is checked against the loads of now."""
    made = make(tmp_path)
    made.measured(5)
    number = made.proposal().id
    made.room.approve(number, "anna")
    made.clock.on(seconds=30)
    with made.room.database.read() as session:
        powers = [one.point for one in session.scalars(select(LatestValue)) if one.point.endswith(("p_kw", "q_kvar"))]
    made.room.take("case33", [measurement(made, point, 1e-3) for point in powers], "scada")
    against = made.room.begin(number, "anna")
    assert against
    assert made.state(number) == "expired"
    assert not done_by(made, "release")


def test_a_jump_does_not_wait_for_the_next_cycle(tmp_path: Path) -> None:
    """A tenth of the load from one message to the next is an event; half of that, or another at once, is none."""
    made = make(tmp_path, cycle_s=3600, forecast="persistence")
    made.measured(5)

    def cycles_after(value: float, seconds: float) -> int:
        made.clock.on(seconds=seconds)
        made.room.take("case33", [measurement(made, "bus:7:p_kw", value)], "scada")
        made.clock.on(seconds=1)
        made.room.tick()
        with made.room.database.read() as session:
            return len(session.scalars(select(Cycle.id)).all())

    assert [cycles_after(*one) for one in ((150, 60), (700, 60), (150, 2), (700, 60), (600, 60))] == [1, 2, 2, 3, 3]
    made.room.change_settings("case33", {"jump": None}, "admin")
    assert cycles_after(100, 60) == 3
    with pytest.raises(DataError, match="one of seasonal, persistence"):
        made.room.change_settings("case33", {"forecast": "os:system"}, "admin")


def test_a_model_is_compared_with_the_proof_and_swapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its regret is a figure and, where it is far off, an alarm; the alias names another one, and it is that."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        shutil.copytree(Path(__file__).parents[2] / "checkpoints/reference", folder)
    made = make(tmp_path, mode="study")
    made.room.watch_model("models:/learnopt@champion")
    shadow = made.room.shadow
    assert shadow is not None
    shadow.worker = Here()  # type: ignore[assignment]
    monkeypatch.setattr("learnopt.learning.checkpoint.checkpoint_folder", lambda _: folders[0])
    made.measured(5)
    feeder, snapshot = shadow._waiting[0]
    shadow.look(feeder, snapshot)
    shadow.look(feeder, snapshot)
    monkeypatch.setattr("learnopt.learning.checkpoint.checkpoint_folder", lambda _: folders[1])
    shadow.look(feeder, snapshot)
    assert [one["address"] for one in done_by(made, "model")] == ["models:/learnopt@champion"] * 2
    text = made.room.metrics.text()
    assert 'learnopt_model_compared_total{feeder="case33"' in text
    regret = float(text.split('learnopt_model_regret{feeder="case33"} ')[1].split()[0])
    assert 0 <= regret < 0.02
    found = Compared(str(folders[1]), "bad", 0.5, True)
    made.room._compared("case33", found, 0.5, 19)
    assert "model" not in alarms(made)
    made.room._compared("case33", found, 0.5, 20)
    assert "50 % above the proven least loss" in alarms(made)["model"]
    monkeypatch.setattr("learnopt.learning.checkpoint.checkpoint_folder", lambda _: tmp_path / "nowhere")
    shadow.look(feeder, snapshot)  # logged, and nothing else


def test_four_eyes_and_rejection(tmp_path: Path) -> None:
    """Two people; a reason; and what was rejected is not asked again at once."""
    made = make(tmp_path, four_eyes=True)
    made.measured(5)
    number = made.proposal().id
    made.room.approve(number, "anna")
    with pytest.raises(RefusedError, match="another person"):
        made.room.approve(number, "anna")
    with pytest.raises(RefusedError, match="would have to be approved"):
        made.room.begin(number, "anna")
    made.room.reject(number, "ben", "works at the ring")
    made.measured(5)
    with made.room.database.read() as session:
        assert proposals.open_proposal(session, "case33") is None
        assert session.scalars(select(Cycle.verdict)).all() == ["propose", "propose"]
    made.measured(61)
    assert made.proposal().id != number


def test_a_study_only_drafts(tmp_path: Path) -> None:
    """A draft is renewed by the same advice, and cannot be approved."""
    made = make(tmp_path, mode="study")
    made.measured(5)
    made.measured(5)
    assert len(done_by(made, "draft")) == 1
    with pytest.raises(RefusedError, match="study mode"):
        made.room.approve(1, "anna")
    made.room.change_settings("case33", {"mode": "advisory"}, "admin")
    made.measured(5)
    assert made.state(1) == "expired"
    assert made.proposal().state == "proposed"


def test_automatic_within_its_guard_rails(tmp_path: Path) -> None:
    """Nothing without a list of devices; with it the whole plan, step by step, by itself."""
    made = make(tmp_path, mode="automatic")
    made.measured(5)
    number = made.proposal().id
    assert made.state(number) == "proposed"
    assert "not among the devices of the guard" in done_by(made, "left to people")[0]["why"][0]
    made.room.reject(number, "anna", "let it do it")
    devices = [branch for _, branch, _ in steps(made, number)]
    made.room.change_settings("case33", {"guard": {"devices": devices}, "hold_off_s": 0}, "admin")
    for _ in range(8):
        made.measured(5)
    assert made.state(number + 1) == "done"
    with pytest.raises(DataError, match="'99'"):
        made.room.change_settings("case33", {"guard": {"devices": ["99"]}}, "admin")
    with pytest.raises(DataError, match="choose one of them"):
        made.room.change_settings("case33", {"four_eyes": True}, "admin")


def test_a_room_goes_on_where_another_has_ended(tmp_path: Path) -> None:
    """In the middle of a plan, from the database alone."""
    made = make(tmp_path)
    made.measured(5)
    number = made.proposal().id
    made.room.approve(number, "anna")
    made.room.begin(number, "anna")
    room = Room(made.room.database, made.clock)
    room.solver = room.checker = Here()  # type: ignore[assignment]
    plant = Plant(room, "case33", Telemetry(noise=0.005), np.random.default_rng(2))
    again = Made(room, made.clock, plant)
    for _ in range(5):
        again.measured(0.2)
    assert again.state(number) == "done"
    released = [one["step"] for one in done_by(again, "release")]
    assert released == list(range(1, len(released) + 1))


def test_a_solver_that_fails_is_an_alarm(tmp_path: Path) -> None:
    """The last good state stays, the next cycle clears the alarm; a check that fails does not lose an approval."""
    made = make(tmp_path)
    made.measured(5)
    number = made.proposal().id
    made.room.approve(number, "anna")

    class Lost(Here):
        def ask(self, *_: Any, **__: Any) -> Any:
            raise WorkerError("the process of the solver has ended")

    made.room.solver = made.room.checker = Lost()  # type: ignore[assignment]
    made.measured(5)
    assert "has ended" in alarms(made)["solver"]
    assert "could not be checked" in made.room.begin(number, "anna")[0]
    assert made.state(number) == "approved"
    made.room.solver = made.room.checker = Here()  # type: ignore[assignment]
    made.measured(5)
    assert not {"solver"} & set(alarms(made))
    assert made.room.begin(number, "anna") == []
    assert made.state(number) == "executing"


def test_nothing_is_proposed_on_a_poor_picture(tmp_path: Path) -> None:
    """Everything flagged bad is nothing: too little is known, and people are told."""
    made = make(tmp_path)
    raw = [measurement(made, f"bus:{k}:p_kw", 100.0, quality="bad") for k in range(2, 34)]
    assert made.room.take("case33", raw, "scada").taken == 0
    made.room.tick()
    with made.room.database.read() as session:
        assert session.scalars(select(Cycle.verdict)).all() == ["unfit"]
        assert session.scalars(select(LatestValue)).all() == []
    assert "% of the load is known" in alarms(made)["picture"]


def test_mutated_messages_leave_no_trace(tmp_path: Path) -> None:
    """Fields missing, of other types, not finite, of the future or long ago: told, and nothing of them is kept."""
    made = make(tmp_path)
    draw = random.Random(5)
    good = measurement(made, "bus:7:p_kw", 200.0)
    wrong: list[Any] = [None, True, "x" * 5000, -1, 1e308, float("nan"), [], {}, "bus:7", "branch:1:tag", "2026", "\0"]
    raw: list[Any] = []
    for _ in range(500):
        one: Any = dict(good)
        for key in draw.sample(["point", "value", "time", "quality", "more"], draw.randint(1, 3)):
            one[key] = draw.choice(wrong)
        raw.append(draw.choice([one, one, one, draw.choice(wrong)]))
    found = made.room.take("case33", raw, "scada")
    assert found.taken + found.old + len(raw) > 0
    assert len(found.refused) > 300
    with made.room.database.read() as session:
        for one in session.scalars(select(LatestValue)):
            assert one.point in ("bus:7:p_kw", "branch:1:tag")
            assert abs(one.value) <= 1e12
            assert one.quality == "good"
            assert one.time <= made.clock.now()
    made.room.tick()


def test_feeders_that_cannot_be_watched(tmp_path: Path) -> None:
    """Unbalanced, wrong, unknown, of a bad name, or watched already."""
    room = make(tmp_path).room
    settings = memory.settings_of({})
    content = (Path(__file__).parents[2] / "datasets/cases/case33.json").read_text(encoding="utf-8")
    case = json.loads(content)
    phased = {**case, "branches": [{**one, "phases": "a"} if one["id"] == 17 else one for one in case["branches"]]}
    for source, text, kind, said in (
        ("b", json.dumps(phased), (UnsupportedError, DataError), "unbalanced|phase"),
        ("b", content.replace('"r_ohm"', '"resistance"'), DataError, "r_ohm"),
        ("b", "no json", DataError, "JSON"),
        ("nowhere", None, DataError, "nowhere"),
    ):
        with pytest.raises(kind, match=said):
            room.add_feeder("other", source, settings, "admin", text)
    for name in ("", "../up", "x" * 81):
        with pytest.raises(DataError, match="letters"):
            room.add_feeder(name, "case33", settings, "admin")
    with pytest.raises(RefusedError, match="already"):
        room.add_feeder("case33", "case33", settings, "admin")
    room.add_feeder("other", "uploaded", settings, "admin", content)
    with room.database.read() as session:
        assert network_of(memory.feeder_of(session, "other").case).n_bus == 33


def test_every_switch_that_moves_by_itself_is_told(tmp_path: Path) -> None:
    """Two of them are two alarms, and each is over when somebody has seen it."""
    made = make(tmp_path)
    made.measured(5)
    made.clock.on(seconds=5)
    made.room.take("case33", [measurement(made, "branch:37:closed", 1), measurement(made, "branch:5:closed", 0)], "x")
    with made.room.database.read() as session:
        found = [one for one in session.scalars(select(Alarm)) if one.kind == "switch"]
    assert ["37" in one.told for one in found] == [True, False]
    for one in found:
        made.room.acknowledge(one.id, "anna")
    assert "switch" not in alarms(made)
    with pytest.raises(RefusedError, match="anna has acknowledged"):
        made.room.acknowledge(found[0].id, "ben")


def test_a_demo_keeps_out_of_other_databases(tmp_path: Path) -> None:
    """It would make people who can log in."""
    with pytest.raises(DataError, match="watches case33"):
        set_up_demo(make(tmp_path).room, 60.0)


@pytest.mark.skipif(bool(WHY_NONE), reason=WHY_NONE)
def test_the_same_on_postgresql(tmp_path: Path) -> None:
    """From measurements to the last step, an abort's way back, a rejection, odd texts: as on SQLite."""
    with postgresql() as url:
        made = make(tmp_path, url, hold_off_s=0)
        made.measured(5)
        first = made.proposal().id
        made.room.approve(first, "anna")
        made.room.begin(first, "anna")
        made.measured(0.1)
        made.room.abort(first, "anna", "a storm \N{CLOUD WITH LIGHTNING}")
        for _ in range(3):
            made.measured(0.1)
        assert made.state(first) == "aborted"
        made.measured(5)
        second = made.proposal().id
        made.room.approve(second, "ben")
        made.room.begin(second, "ben")
        for _ in range(4):
            made.measured(0.1)
        assert made.state(second) == "done"
        released = [(one["proposal"], one["back"], one["step"]) for one in done_by(made, "release")]
        assert len(released) == len(set(released)) == 2 + 2 + 4
        made.measured(5)
        with made.room.database.read() as session:
            cycles = session.scalars(select(Cycle).order_by(Cycle.id)).all()
            assert all(memory.reproduced(one) for one in cycles)
        client = TestClient(application(made.room), raise_server_exceptions=False)
        with made.room.database.write() as session:
            key = people.add_token(session, "program", people.Role.ADMIN, "console")
        client.headers["Authorization"] = f"Bearer {key}"
        assert len(client.get("/api/feeders/case33/cycles").json()) == len(cycles)
        assert client.get("/api/feeders/%00").status_code in (404, 422)
        assert client.delete("/api/users/%00").status_code in (404, 422)
        assert client.post("/login", data={"name": "\0", "password": "x"}).status_code in (401, 422)
        assert client.get("/metrics").status_code == 200
        made.room.database.close()
