"""Proposals in the database: every change goes through the state machine and leaves a line in the audit trail.

All functions run inside :meth:`.Database.write`, which makes them one after the other: what is decided here is decided
once, however many people and threads ask for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from learnopt.service.audit import record
from learnopt.service.database import Approval, Cycle, Proposal, Step
from learnopt.service.review import OPEN, UNDER_WAY, RefusedError, Review, State
from learnopt.service.settings import Settings
from learnopt.service.thinking import way_back

AUTOMATIC = "automatic"
"""Who approves within the guard rails; no person can have this name."""


class AbsentError(RefusedError):
    """There is none of this name or number."""


def proposal_of(session: Session, number: int) -> Proposal:
    """A proposal by its number.

    Raises
    ------
    AbsentError
        If there is none.
    """
    found = session.get(Proposal, number)
    if found is None:
        raise AbsentError(f"there is no proposal {number}")
    return found


def review_of(session: Session, proposal: Proposal) -> Review:
    """Where it stands."""
    who = select(Approval.person).where(Approval.proposal == proposal.id).order_by(Approval.time, Approval.person)
    return Review(
        State(proposal.state),
        proposal.length,
        proposal.confirmed,
        proposal.released,
        proposal.needed,
        tuple(session.scalars(who)),
    )


def steps_of(session: Session, proposal: Proposal, back: bool = False) -> list[Step]:
    """Steps there, or back, in their order."""
    wanted = select(Step).where(Step.proposal == proposal.id, Step.back == back).order_by(Step.number)
    return list(session.scalars(wanted))


def open_proposal(session: Session, feeder: str, *states: State) -> Proposal | None:
    """The one that occupies a feeder, or the newest in one of some states."""
    wanted = [state.value for state in states or OPEN]
    found = select(Proposal).where(Proposal.feeder == feeder, Proposal.state.in_(wanted)).order_by(Proposal.id.desc())
    return session.scalars(found.limit(1)).first()


def released_step(session: Session, feeder: str) -> Step | None:
    """The one step that may be carried out on a feeder now.

    A step that was released before its proposal was aborted is none: only its opposite may follow.
    """
    proposal = open_proposal(session, feeder, *UNDER_WAY)
    if proposal is None or not proposal.released:
        return None
    return session.get_one(Step, (proposal.id, proposal.state == State.RETURNING, proposal.confirmed + 1))


def create(session: Session, cycle: Cycle, settings: Settings) -> Proposal:
    """A draft of what a cycle advises."""
    steps = cycle.answer["steps"]
    proposal = Proposal(
        feeder=cycle.feeder,
        cycle=cycle.id,
        state=State.DRAFT.value,
        length=len(steps),
        confirmed=0,
        released=False,
        needed=settings.needed,
        created=cycle.time,
        measured=cycle.time,
        changed=cycle.time,
        input_hash=cycle.input_hash,
        held="",
        reason="",
    )
    session.add(proposal)
    session.flush()
    _add_steps(session, proposal, steps, back=False)
    record(
        session,
        "learnopt",
        "draft",
        proposal=proposal.id,
        feeder=cycle.feeder,
        input=cycle.input_hash,
        steps=[f"{one['action']} {one['branch']}" for one in steps],
        certificate=cycle.answer["advice"]["certificate"],
    )
    return proposal


def _add_steps(session: Session, proposal: Proposal, steps: Sequence[dict[str, Any]], back: bool) -> None:
    for number, one in enumerate(steps, 1):
        session.add(Step(proposal=proposal.id, back=back, number=number, **one))
    session.flush()


def leave(session: Session, proposal: Proposal, who: str, reason: str, now: datetime) -> None:
    """End where it stands."""
    review = review_of(session, proposal).leave()
    proposal.reason = reason
    _move(session, proposal, review, now, who, "leave", reason=reason)


def _move(
    session: Session, proposal: Proposal, review: Review, now: datetime, who: str, what: str, **detail: Any
) -> None:
    """Write a new state down."""
    proposal.state, proposal.length = review.state.value, review.length
    proposal.confirmed, proposal.released = review.confirmed, review.released
    proposal.changed, proposal.held = now, ""
    record(session, who, what, proposal=proposal.id, feeder=proposal.feeder, state=review.state.value, **detail)


def propose(session: Session, proposal: Proposal, now: datetime) -> None:
    """Put a draft to people."""
    _move(session, proposal, review_of(session, proposal).propose(), now, "learnopt", "propose")


def approve(session: Session, proposal: Proposal, who: str, now: datetime) -> None:
    """One more agrees."""
    review = review_of(session, proposal).approve(who)
    session.add(Approval(proposal=proposal.id, person=who, time=now))
    _move(session, proposal, review, now, who, "approve", input=proposal.input_hash)


def reject(session: Session, proposal: Proposal, who: str, reason: str, now: datetime) -> None:
    """Somebody says no, and why."""
    review = review_of(session, proposal).reject()
    proposal.reason = reason
    _move(session, proposal, review, now, who, "reject", reason=reason)


def expire(session: Session, proposal: Proposal, reason: str, now: datetime) -> None:
    """It is no longer what the measurements ask for."""
    review = review_of(session, proposal).expire()
    proposal.reason = reason
    _move(session, proposal, review, now, "learnopt", "expire", reason=reason)


def release(session: Session, proposal: Proposal, who: str, now: datetime) -> Step:
    """The next step may be carried out; it was checked just before."""
    review = review_of(session, proposal).release()
    assert review.step is not None
    step = session.get_one(Step, (proposal.id, review.state is State.RETURNING, review.step))
    step.released = now
    _move(session, proposal, review, now, who, "release", step=step.number, back=step.back, told=step.told)
    return step


def confirm(session: Session, proposal: Proposal, number: int, who: str, now: datetime) -> Step:
    """The released step was carried out: so says a person, or telemetry."""
    before = review_of(session, proposal)
    review = before.confirm(number)
    step = session.get_one(Step, (proposal.id, before.state is State.RETURNING, number))
    step.confirmed, step.confirmed_by = now, who
    _move(session, proposal, review, now, who, "confirm", step=number, back=step.back, told=step.told)
    return step


def abort(session: Session, proposal: Proposal, who: str, reason: str, now: datetime) -> None:
    """Stop, and go back."""
    review = review_of(session, proposal).abort()
    gone = steps_of(session, proposal)[: review.length]
    there = [{"branch": one.branch, "action": one.action, "told": one.told} for one in gone]
    _add_steps(session, proposal, way_back(there), back=True)
    proposal.reason = reason
    _move(session, proposal, review, now, who, "abort", reason=reason, back=review.length)
