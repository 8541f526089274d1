"""Alarms: what people have to look at, raised once, and cleared when it is over."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from learnopt.service.audit import record
from learnopt.service.database import Alarm, Cycle
from learnopt.service.proposals import released_step


def alarm(session: Session, feeder: str, kind: str, told: str, now: datetime) -> None:
    """Raise an alarm, or renew the text of one that stands."""
    standing = session.scalars(
        select(Alarm).where(Alarm.feeder == feeder, Alarm.kind == kind, Alarm.cleared.is_(None))
    ).first()
    if standing is not None:
        standing.told = told
        return
    session.add(Alarm(feeder=feeder, kind=kind, told=told, raised=now))
    record(session, "learnopt", "alarm", feeder=feeder, kind=kind, told=told)


def clear(session: Session, feeder: str, kind: str, now: datetime) -> None:
    """What an alarm was about is over."""
    session.execute(
        update(Alarm).where(Alarm.feeder == feeder, Alarm.kind == kind, Alarm.cleared.is_(None)).values(cleared=now)
    )


def of_cycle(session: Session, cycle: Cycle, under_way: bool) -> None:
    """What a cycle says of the feeder; while a plan is carried out a closed loop is none of the surprises."""
    now, answer = cycle.time, cycle.answer
    clear(session, cycle.feeder, "solver", now)
    dark = answer["restoration"]
    told = {
        "supply": [] if dark is None else [answer["advice"]["reason"]],
        "picture": [] if under_way or dark is not None else answer["unfit"],
        "limits": answer["violations"] if dark is not None or not answer["unfit"] else [],
    }
    for kind, sentences in told.items():
        if sentences:
            alarm(session, cycle.feeder, kind, "; ".join(sentences[:3]), now)
        else:
            clear(session, cycle.feeder, kind, now)


def switch_moved(session: Session, feeder: str, branch: str, closed: bool, source: str, now: datetime) -> bool:
    """A switch is seen in another state: planned, or an event that people have to know of; whether it was planned."""
    action = "close" if closed else "open"
    asked = released_step(session, feeder)
    planned = None if asked is None or (asked.branch, asked.action) != (branch, action) else asked.proposal
    record(session, source, "switch moved", feeder=feeder, branch=branch, action=action, proposal=planned)
    if planned is None:
        told = f"branch {branch} was seen to {action}, and no step asked for it"
        session.add(Alarm(feeder=feeder, kind="switch", told=told, raised=now))  # each such event is one of its own
    return planned is not None
