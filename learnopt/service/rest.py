"""The interface for programs: everything that the pages do, and measurements."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse
from sqlalchemy import select

from learnopt.service import audit, memory, people, proposals, views
from learnopt.service.access import Admin, Operator, RoomHere, Source, Viewer
from learnopt.service.database import Alarm, Cycle, Feeder, Proposal
from learnopt.service.review import RefusedError, State
from learnopt.service.room import Room
from learnopt.service.schema import (
    AlarmView,
    AuditLine,
    ChainView,
    CycleView,
    FaultTold,
    FeederView,
    Measurements,
    NewFeeder,
    NewToken,
    NewUser,
    ProposalView,
    Reason,
    TakenView,
    TokenKey,
)

PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"description": "Log in, or send a token"},
    403: {"description": "The role is not enough"},
    404: {"description": "There is none"},
    409: {"description": "Not possible as things stand"},
    422: {"description": "Wrong input"},
    429: {"description": "Too many requests"},
}
router = APIRouter(prefix="/api", responses=PROBLEMS)
Name = Annotated[str, Path(max_length=80)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Most = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[int, Query(ge=0, le=2**31 - 1)]


@router.get("/feeders", tags=["feeders"])
def feeders(room: RoomHere, who: Viewer) -> list[FeederView]:
    """All feeders as they stand."""
    with room.database.read() as session:
        return [views.feeder_view(session, one) for one in session.scalars(select(Feeder).order_by(Feeder.name))]


@router.get("/feeders/{name}", tags=["feeders"])
def feeder(room: RoomHere, who: Viewer, name: Name) -> FeederView:
    """A feeder: its last cycle, its open proposal, its alarms."""
    with room.database.read() as session:
        return views.feeder_view(session, memory.feeder_of(session, name))


@router.post("/feeders", tags=["feeders"], status_code=201)
def add_feeder(room: RoomHere, who: Admin, new: NewFeeder) -> FeederView:
    """Watch a feeder: a named case, or a JSON case file, which is read in another process."""
    if (new.case is None) == (new.content is None):
        raise RefusedError("give either case, the name of one, or content, a case file")
    if new.case is not None and not new.case.replace("_", "").replace("-", "").isalnum():
        raise RefusedError(f"case {new.case!r} is no name of a case; files are sent as content")
    content = None if new.content is None else json.dumps(new.content)
    room.add_feeder(new.name, new.case or new.name, new.settings, who.name, content)
    return feeder(room, who, new.name)


@router.patch("/feeders/{name}", tags=["feeders"])
def change_settings(room: RoomHere, who: Admin, name: Name, changes: Annotated[dict[str, Any], Body()]) -> FeederView:
    """Set some of its settings: mode, four_eyes, cycle_s, guard, ..."""
    room.change_settings(name, changes, who.name)
    return feeder(room, who, name)


@router.post("/feeders/{name}/measurements", tags=["measurements"], responses={207: {"model": TakenView}})
def take(room: RoomHere, who: Source, name: Name, batch: Measurements, response: Response) -> TakenView:
    """Measurements, one or many; status 207 where some are wrong, and the others are taken."""
    found = room.take(name, batch.measurements, who.name)
    response.status_code = 207 if found.refused else 200
    return TakenView(taken=found.taken, old=found.old, refused=list(found.refused[:100]))


@router.post("/feeders/{name}/fault", tags=["measurements"])
def tell_fault(room: RoomHere, who: Operator, name: Name, told: FaultTold) -> FeederView:
    """Say where something is out of order, or that it no longer is; a plan for load in the dark follows."""
    room.tell_fault(name, told.place, told.there, who.name)
    return feeder(room, who, name)


@router.get("/feeders/{name}/cycles", tags=["feeders"])
def cycles(room: RoomHere, who: Viewer, name: Name, most: Most = 100) -> list[CycleView]:
    """The last cycles, the newest first."""
    with room.database.read() as session:
        memory.feeder_of(session, name)
        wanted = select(Cycle).where(Cycle.feeder == name).order_by(Cycle.time.desc(), Cycle.id.desc()).limit(most)
        return [views.cycle_view(one) for one in session.scalars(wanted)]


@router.get("/proposals", tags=["proposals"])
def list_proposals(
    room: RoomHere,
    who: Viewer,
    feeder: Annotated[str | None, Query(max_length=80)] = None,
    state: State | None = None,
    most: Most = 100,
) -> list[ProposalView]:
    """Proposals, the newest first."""
    wanted = select(Proposal).order_by(Proposal.id.desc()).limit(most)
    wanted = wanted if feeder is None else wanted.where(Proposal.feeder == feeder)
    wanted = wanted if state is None else wanted.where(Proposal.state == state.value)
    with room.database.read() as session:
        return [views.proposal_view(session, one) for one in session.scalars(wanted)]


@router.get("/proposals/{number}", tags=["proposals"])
def proposal(room: RoomHere, who: Viewer, number: Number) -> ProposalView:
    """A proposal, what it rests on, and where it stands."""
    with room.database.read() as session:
        return views.proposal_view(session, proposals.proposal_of(session, number))


@router.post("/proposals/{number}/approve", tags=["proposals"])
def approve(room: RoomHere, who: Operator, number: Number) -> ProposalView:
    """Agree to it."""
    room.approve(number, who.name)
    return proposal(room, who, number)


@router.post("/proposals/{number}/reject", tags=["proposals"])
def reject(room: RoomHere, who: Operator, number: Number, why: Reason) -> ProposalView:
    """Say no, and why."""
    room.reject(number, who.name, why.reason)
    return proposal(room, who, number)


@router.post("/proposals/{number}/begin", tags=["proposals"])
def begin(room: RoomHere, who: Operator, number: Number) -> ProposalView:
    """Release the first step of an approved proposal, after a check against the measurements of now; or try again."""
    refuse(room.begin(number, who.name))
    return proposal(room, who, number)


@router.post("/proposals/{number}/steps/{step}/confirm", tags=["proposals"])
def confirm(room: RoomHere, who: Operator, number: Number, step: Number) -> ProposalView:
    """The released step was carried out; the next one is released after its check."""
    room.confirm(number, step, who.name)
    return proposal(room, who, number)


@router.post("/proposals/{number}/abort", tags=["proposals"])
def abort(room: RoomHere, who: Operator, number: Number, why: Reason) -> ProposalView:
    """Stop, and go back over all that was, or may have been, carried out."""
    room.abort(number, who.name, why.reason)
    return proposal(room, who, number)


def refuse(against: list[str]) -> None:
    """Tell what speaks against a step.

    Raises
    ------
    RefusedError
        If anything does.
    """
    if against:
        raise RefusedError(f"the step is not released: {'; '.join(against)}")


@router.post("/proposals/{number}/leave", tags=["proposals"])
def leave(room: RoomHere, who: Operator, number: Number, why: Reason) -> ProposalView:
    """End it as it stands, where its next step is held back and there is no way back."""
    room.leave(number, who.name, why.reason)
    return proposal(room, who, number)


@router.get("/alarms", tags=["alarms"])
def list_alarms(room: RoomHere, who: Viewer, standing: bool = True, most: Most = 100) -> list[AlarmView]:
    """Alarms that stand, or all, the newest first."""
    wanted = select(Alarm).order_by(Alarm.id.desc()).limit(most)
    with room.database.read() as session:
        return views.alarm_views(session.scalars(wanted.where(Alarm.cleared.is_(None)) if standing else wanted))


@router.post("/alarms/{number}/acknowledge", tags=["alarms"], status_code=204)
def acknowledge(room: RoomHere, who: Operator, number: Number) -> None:
    """It was seen."""
    room.acknowledge(number, who.name)


@router.get("/audit", tags=["audit"])
def trail(
    room: RoomHere, who: Viewer, after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0, most: Most = 100
) -> list[AuditLine]:
    """Lines of the audit trail in their order, beginning after a number."""
    with room.database.read() as session:
        return [AuditLine(**audit.line_of(one)) for one in audit.entries(session, after, most)]


@router.get("/audit/verify", tags=["audit"])
def verify(room: RoomHere, who: Viewer) -> ChainView:
    """Walk the whole chain."""
    with room.database.read() as session:
        found = audit.verify(session)
    return ChainView(lines=found.lines, last=found.last, broken_at=found.broken_at)


@router.get("/audit/export", tags=["audit"], response_class=StreamingResponse)
def export(room: RoomHere, who: Viewer) -> StreamingResponse:
    """The whole trail, a JSON object a line."""
    return StreamingResponse(_lines(room), media_type="application/x-ndjson")


def _lines(room: Room) -> Iterator[str]:
    with room.database.read() as session:
        for one in audit.entries(session):
            yield audit.canonical(audit.line_of(one)) + "\n"


@router.post("/users", tags=["people"], status_code=204)
def add_user(room: RoomHere, who: Admin, new: NewUser) -> None:
    """A person, or a new password and role for one."""
    with room.database.write() as session:
        people.add_user(session, new.name, new.password, new.role, who.name)


@router.delete("/users/{name}", tags=["people"], status_code=204)
def remove_user(room: RoomHere, who: Admin, name: Name) -> None:
    """Somebody may not log in any more."""
    with room.database.write() as session:
        people.remove_user(session, name, who.name)


@router.post("/tokens", tags=["people"], status_code=201)
def add_token(room: RoomHere, who: Admin, new: NewToken) -> TokenKey:
    """A key for a program; it is told here and never again."""
    with room.database.write() as session:
        key = people.add_token(session, new.name, new.role, who.name)
    return TokenKey(name=new.name, role=new.role, key=key)


@router.delete("/tokens/{name}", tags=["people"], status_code=204)
def remove_token(room: RoomHere, who: Admin, name: Name) -> None:
    """A key does not open any more."""
    with room.database.write() as session:
        people.remove_token(session, name, who.name)


def problem(status: int, sentences: list[str], headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as programs get it."""
    return JSONResponse({"errors": sentences}, status, headers)
