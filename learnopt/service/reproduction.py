"""Decisions made again: from the line of the audit trail to the question that is kept, and to the same answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from learnopt.service.audit import entries
from learnopt.service.database import Cycle, Proposal
from learnopt.service.memory import reproduced
from learnopt.service.proposals import steps_of


@dataclass
class Reproduced:
    """What came of making decisions again.

    Parameters
    ----------
    same, other
        Decisions with the same answer, and a sentence for each that differs.
    unasked
        Decisions whose question was forgotten, or that the clock had ended.
    """

    same: int = 0
    unasked: int = 0
    other: list[str] = field(default_factory=list)


def reproduce(session: Session, feeder: str | None = None, cycles: bool = False) -> Reproduced:
    """Every proposal of the trail again, and with ``cycles`` every cycle whose question is kept.

    Parameters
    ----------
    feeder
        Of one feeder only.
    """
    found, asked = Reproduced(), set[int]()
    for line in entries(session):
        detail = json.loads(line.detail)
        if line.what != "draft" or feeder not in (None, detail["feeder"]):
            continue
        where = f"line {line.number}, proposal {detail['proposal']}"
        proposal = session.get(Proposal, detail["proposal"])
        if proposal is None:
            found.other.append(f"{where}: there is no such proposal")
            continue
        steps = [f"{one.action} {one.branch}" for one in steps_of(session, proposal)]
        cycle = session.get_one(Cycle, proposal.cycle)
        if (cycle.input_hash, steps) != (detail["input"], detail["steps"]):
            found.other.append(f"{where}: its input or its steps are not those of the line")
        else:
            asked.add(cycle.id)
            _ask(found, cycle, where)
    if cycles:
        wanted = select(Cycle).where(Cycle.input.is_not(None)).order_by(Cycle.id)
        for cycle in session.scalars(wanted if feeder is None else wanted.where(Cycle.feeder == feeder)).yield_per(100):
            if cycle.id not in asked:
                _ask(found, cycle, f"cycle {cycle.id}")
    return found


def _ask(found: Reproduced, cycle: Cycle, where: str) -> None:
    again = reproduced(cycle)
    if again is None:
        found.unasked += 1
    elif again:
        found.same += 1
    else:
        found.other.append(
            f"{where}: the same question has another answer now (asked by version {cycle.answer['version']})"
        )
