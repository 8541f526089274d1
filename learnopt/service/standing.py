"""How a proposal stands against what is measured now, by what the database holds."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from learnopt.service.database import Cycle, Feeder, LatestValue, Proposal, Step
from learnopt.service.proposals import AUTOMATIC, review_of, steps_of
from learnopt.service.review import OPEN, UNDER_WAY, State
from learnopt.service.settings import Settings, settings_of
from learnopt.service.thinking import OPPOSITE, is_fault
from learnopt.studies.operation.measurements import Quantity

HAND = "hand"
"""Source of a switch's state that a person has told."""
STEP_S = 900.0
"""A step that is not confirmed after this time is an alarm."""


def same(session: Session, proposal: Proposal, cycle: Cycle) -> bool:
    """The cycle asks for the same steps."""
    steps = [(one.branch, one.action) for one in steps_of(session, proposal)]
    return steps == [(one["branch"], one["action"]) for one in cycle.answer["steps"]]


def gives_way(session: Session, proposal: Proposal, cycle: Cycle) -> bool:
    """Load in the dark does not wait for another plan of which nothing was released."""
    return proposal.state not in UNDER_WAY and not same(session, proposal, cycle)


def refused_lately(session: Session, cycle: Cycle, settings: Settings) -> bool:
    """The same steps were rejected within the hold-off, and no limit is broken: nobody is asked again at once."""
    if cycle.answer["violations"]:
        return False
    since = cycle.time - timedelta(seconds=settings.hold_off_s)
    lately = select(Proposal).where(
        Proposal.feeder == cycle.feeder, Proposal.state == State.REJECTED.value, Proposal.changed > since
    )
    return any(same(session, one, cycle) for one in session.scalars(lately))


def beyond_guard(answer: dict[str, Any], settings: Settings) -> list[str]:
    """Why advice is for people and not approved by itself; empty where it may be."""
    guard, advice = settings.guard, answer["advice"]
    if answer["restoration"] is not None:
        return ["load is in the dark: what brings it back is for people"]
    beyond = [one["branch"] for one in answer["steps"] if one["branch"] not in guard.devices]
    said = [f"branch {one} is not among the devices of the guard" for one in dict.fromkeys(beyond)]
    if len(answer["steps"]) > guard.most_operations:
        said.append(f"{len(answer['steps'])} operations, at most {guard.most_operations} by itself")
    saving = advice["saving_kwh"]
    if saving is None or saving - advice["cost_kwh"] < guard.least_saving_kwh:
        said.append(f"it saves less than {guard.least_saving_kwh:g} kWh, or how much is not known")
    if any(one["manual"] for one in advice["steps"]):
        said.append("a crew is needed")
    return said


def active(session: Session, name: str) -> list[Proposal]:
    """Drafts, and what occupies a feeder."""
    states = [state.value for state in (State.DRAFT, *OPEN)]
    return list(session.scalars(select(Proposal).where(Proposal.feeder == name, Proposal.state.in_(states))))


def switches(session: Session, name: str, quantity: Quantity) -> dict[str, LatestValue]:
    """Last values of all switches by their branch."""
    end = f":{quantity.value}"
    found = session.scalars(
        select(LatestValue).where(LatestValue.feeder == name, LatestValue.point.startswith("branch:"))
    )
    return {one.point.removeprefix("branch:").removesuffix(end): one for one in found if one.point.endswith(end)}


def outdated(session: Session, proposal: Proposal, settings: Settings, now: datetime) -> str:
    """Why a proposal of which nothing was released is no longer valid; "" where it is."""
    if proposal.state in UNDER_WAY:
        return ""
    age = (now - proposal.measured).total_seconds()
    if age > settings.valid_s:
        return f"the measurements that ask for it are {age / 60:.0f} min old"
    cycle = session.get_one(Cycle, proposal.cycle)
    opened = set(cycle.answer["open"])
    for branch, one in sorted(switches(session, proposal.feeder, Quantity.CLOSED).items()):
        if (one.value == 0) != (branch in opened):
            return f"branch {branch} is {'closed' if one.value else 'open'} now"
    if cycle.answer["faults"] != faults_now(session, proposal.feeder):
        return "what is said to be out of order has changed"
    tags = switches(session, proposal.feeder, Quantity.TAG)
    for step in steps_of(session, proposal):
        if step.action in OPPOSITE and step.branch in tags and tags[step.branch].value == 1:
            return f"branch {step.branch} bears a tag"
    return ""


def faults_now(session: Session, name: str) -> list[list[str]]:
    """What is said to be out of order, as :func:`.thinking.faults_told` has it."""
    found = select(LatestValue).where(LatestValue.feeder == name, LatestValue.value == 1)
    return sorted([one.point, one.quality] for one in session.scalars(found) if is_fault(one.point))


def _step_of(session: Session, proposal: Proposal) -> Step | None:
    """The released step."""
    if not proposal.released:
        return None
    back = proposal.state == State.RETURNING
    return session.get_one(Step, (proposal.id, back, proposal.confirmed + 1))


def carried_out(session: Session, proposal: Proposal) -> Step | None:
    """The released step, where telemetry has seen it since."""
    step = _step_of(session, proposal)
    if step is None or step.action not in OPPOSITE or step.released is None:
        return None
    row = session.get(LatestValue, (proposal.feeder, f"branch:{step.branch}:closed"))
    seen = row is not None and row.time > step.released and (row.value == 1) == (step.action == "close")
    return step if seen else None


def contradicted(session: Session, feeder: str, step: Step, now: datetime) -> str:
    """What fresh telemetry has against a person's word that a step was carried out; "" where nothing."""
    row = session.get(LatestValue, (feeder, f"branch:{step.branch}:closed"))
    if row is None or row.source == HAND or step.action not in OPPOSITE:
        return ""
    fresh_s = settings_of(session.get_one(Feeder, feeder).settings).fresh_s
    if (now - row.time).total_seconds() > fresh_s or (row.value == 1) == (step.action == "close"):
        return ""
    shown = "closed" if row.value else "open"
    return (
        f"branch {step.branch} is {shown} by telemetry of {row.time:%H:%M:%S} UTC: the step is confirmed when "
        f"telemetry shows it, or by hand once that is older than {fresh_s / 60:g} min"
    )


def waits_long(session: Session, proposal: Proposal, now: datetime) -> bool:
    """The released step is not confirmed after a quarter of an hour."""
    step = _step_of(session, proposal)
    return step is not None and step.released is not None and (now - step.released).total_seconds() > STEP_S


def question(session: Session, proposal: Proposal) -> dict[str, Any]:
    """What is asked before the next step."""
    cycle = session.get_one(Cycle, proposal.cycle)
    back = proposal.state == State.RETURNING
    there = [_plain(one) for one in steps_of(session, proposal)]
    way = [_plain(one) for one in steps_of(session, proposal, back=True)] if back else there
    gone, unknown = [], None
    if back:
        gone = there[: proposal.length]
        turned = steps_of(session, proposal)[proposal.length - 1]
        unknown = turned.branch if turned.confirmed is None and proposal.confirmed == 0 else None
    return {
        "open_before": cycle.answer["open"],
        "done": gone + way[: proposal.confirmed],
        "left": way[proposal.confirmed :],
        "unknown": unknown,
        "back": back,
        "cure": bool(cycle.answer["advice"]["present_violations"]),
        "restoring": cycle.answer["restoration"] is not None,
    }


def _plain(step: Step) -> dict[str, Any]:
    return {"branch": step.branch, "action": step.action, "told": step.told}


def goes_on(session: Session, proposal: Proposal) -> bool:
    """The next step is released without anybody asking."""
    if proposal.released or proposal.held:
        return False
    if proposal.state in UNDER_WAY:
        return True
    return proposal.state == State.APPROVED and review_of(session, proposal).approvals == (AUTOMATIC,)


def look_again(session: Session, proposal: Proposal, settings: Settings, now: datetime) -> bool:
    """Time alone, or telemetry, changes this proposal."""
    if proposal.state in UNDER_WAY:
        return carried_out(session, proposal) is not None
    return bool(outdated(session, proposal, settings, now))
