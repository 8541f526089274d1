"""What a cycle is asked, from the database; and what the database forgets."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from learnopt.service import thinking
from learnopt.service.database import Cycle, Feeder, LatestValue, Proposal, Step
from learnopt.service.proposals import AbsentError
from learnopt.service.settings import settings_of
from learnopt.service.thinking import Snapshot

KEPT = timedelta(days=9)
"""Age at which inputs and loads of cycles are forgotten that no proposal came of; the forecast asks for eight days."""
FORGOTTEN = timedelta(days=400)
"""Age at which such cycles are forgotten themselves."""


def feeder_of(session: Session, name: str) -> Feeder:
    """A feeder by its name.

    Raises
    ------
    AbsentError
        If there is none.
    """
    found = session.get(Feeder, name)
    if found is None:
        raise AbsentError(f"there is no feeder {name[:80]!r}")
    return found


def snapshot_of(session: Session, feeder: Feeder, now: datetime) -> Snapshot:
    """All that a cycle looks at."""
    settings = settings_of(feeder.settings)
    latest = session.scalars(select(LatestValue).where(LatestValue.feeder == feeder.name).order_by(LatestValue.point))
    moved = (
        select(Step.proposal, Step.back, Step.branch, func.max(Step.confirmed))
        .join(Proposal, Proposal.id == Step.proposal)
        .where(Proposal.feeder == feeder.name, Step.confirmed > now - timedelta(days=2))
        .group_by(Step.proposal, Step.back, Step.branch)
        .order_by(func.max(Step.confirmed), Step.branch)
    )
    return Snapshot(
        case=feeder.case,
        settings=settings.model_dump(mode="json"),
        time=now.isoformat(),
        measurements=[(m.point, m.value, m.time.isoformat(), m.quality) for m in latest],
        past=_past(session, feeder.name, now, settings.hours),
        changes=[(when.isoformat(), branch) for _, _, branch, when in session.execute(moved) if when is not None],
    )


def _past(session: Session, name: str, now: datetime, hours: int) -> list[tuple[str, list[float], list[float]]]:
    """Loads of the past that the forecast asks for: of every time the nearest one, and the last."""
    known = (Cycle.feeder == name) & Cycle.loads.is_not(None) & (Cycle.time < now)
    last = session.execute(
        select(Cycle.id, Cycle.time).where(known).order_by(Cycle.time.desc(), Cycle.id.desc()).limit(1)
    ).first()
    if last is None:
        return []
    near = timedelta(minutes=30)
    times = thinking.asked_of_the_past(now, last.time, hours)
    windows = or_(*(Cycle.time.between(time - near, time + near) for time in times))
    rows = session.execute(select(Cycle.id, Cycle.time).where(known, windows).order_by(Cycle.time, Cycle.id)).all()
    chosen = {last.id}
    for wanted in times:
        if rows:
            chosen.add(min(rows, key=lambda row: abs((row.time - wanted).total_seconds())).id)
    found = session.execute(
        select(Cycle.time, Cycle.loads).where(Cycle.id.in_(chosen)).order_by(Cycle.time, Cycle.id)
    ).all()
    past = []
    for time, loads in found:
        p, q = np.frombuffer(loads or b"").reshape(2, -1).tolist()
        past.append((time.isoformat(), p, q))
    return past


def forget(session: Session, name: str, now: datetime) -> None:
    """Inputs and loads that nobody asks for any more, then the cycles; those of proposals are kept."""
    kept = select(Proposal.cycle).where(Proposal.feeder == name)
    ours = (Cycle.feeder == name) & Cycle.id.not_in(kept)
    session.execute(
        update(Cycle).where(ours, Cycle.time < now - KEPT, Cycle.input.is_not(None)).values(input=None, loads=None)
    )
    session.execute(delete(Cycle).where(ours, Cycle.time < now - FORGOTTEN))


def reproduced(cycle: Cycle) -> bool | None:
    """The same question again gives the same answer; None where the question was forgotten, or the clock ended it."""
    restoration = cycle.answer["restoration"]
    if cycle.input is None or (restoration is not None and not restoration["settled"]):
        return None
    snapshot = thinking.unpacked(cycle.input)
    return snapshot.hash == cycle.input_hash and thinking.look(snapshot).answer == cycle.answer
