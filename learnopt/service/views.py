"""From the database to what people and programs are shown."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from learnopt.service import proposals, standing
from learnopt.service.database import Alarm, Cycle, Feeder, Proposal, Step
from learnopt.service.review import State
from learnopt.service.schema import AlarmView, CycleView, FeederView, ProposalView, StepView
from learnopt.service.settings import settings_of


def feeder_view(session: Session, feeder: Feeder) -> FeederView:
    """A feeder, its last cycle, its open proposal (or draft), and the alarms that stand."""
    last = last_cycle(session, feeder.name)
    open_now = proposals.open_proposal(session, feeder.name) or proposals.open_proposal(
        session, feeder.name, State.DRAFT
    )
    saved = session.scalar(select(func.sum(Cycle.saved_kwh)).where(Cycle.feeder == feeder.name))
    return FeederView(
        name=feeder.name,
        settings=settings_of(feeder.settings),
        cycle=None if last is None else cycle_view(last),
        proposal=None if open_now is None else proposal_view(session, open_now),
        alarms=alarm_views(standing_alarms(session, feeder.name)),
        faults=standing.faults_now(session, feeder.name),
        saved_kwh=float(saved or 0.0),
    )


def last_cycle(session: Session, feeder: str) -> Cycle | None:
    """The newest one."""
    wanted = select(Cycle).where(Cycle.feeder == feeder).order_by(Cycle.time.desc(), Cycle.id.desc()).limit(1)
    return session.scalars(wanted).first()


def standing_alarms(session: Session, feeder: str | None = None) -> list[Alarm]:
    """Alarms that are not over, the newest first."""
    wanted = select(Alarm).where(Alarm.cleared.is_(None)).order_by(Alarm.id.desc())
    return list(session.scalars(wanted if feeder is None else wanted.where(Alarm.feeder == feeder)))


def cycle_view(cycle: Cycle) -> CycleView:
    """A cycle without its input."""
    answer = cycle.answer
    picture = answer["picture"]
    return CycleView(
        id=cycle.id,
        feeder=cycle.feeder,
        time=cycle.time,
        verdict=cycle.verdict,
        reason=answer["advice"]["reason"],
        input_hash=cycle.input_hash,
        loss_kw=answer["loss_kw"],
        load_kw=answer["load_kw"],
        lowest_pu=answer.get("lowest_pu"),
        lowest_bus=answer.get("lowest_bus"),
        max_loading=answer.get("max_loading"),
        violations=answer["violations"],
        unfit=answer["unfit"],
        measured=picture["measured"],
        allotted=picture["allotted"],
        oldest_s=picture["oldest_s"],
        open=answer["open"],
        seconds=cycle.seconds,
    )


def _step_views(steps: Iterable[Step]) -> list[StepView]:
    return [
        StepView(
            number=one.number,
            branch=one.branch,
            action=one.action,
            told=one.told,
            released=one.released,
            confirmed=one.confirmed,
            confirmed_by=one.confirmed_by,
        )
        for one in steps
    ]


def proposal_view(session: Session, proposal: Proposal) -> ProposalView:
    """A proposal with everything that its approval rests on."""
    cycle = session.get_one(Cycle, proposal.cycle)
    settings = settings_of(session.get_one(Feeder, proposal.feeder).settings)
    answer, advice = cycle.answer, cycle.answer["advice"]
    review = proposals.review_of(session, proposal)
    saving = advice["saving_kwh"]
    return ProposalView(
        id=proposal.id,
        feeder=proposal.feeder,
        state=proposal.state,
        created=proposal.created,
        measured=proposal.measured,
        changed=proposal.changed,
        input_hash=proposal.input_hash,
        why=advice["reason"],
        saving_kwh=saving,
        saving_least_kwh=advice["saving_least_kwh"],
        saving_most_kwh=advice["saving_most_kwh"],
        cost_kwh=advice["cost_kwh"],
        at_most_kwh=advice["at_most_kwh"],
        certificate=advice["certificate"],
        hours=answer["hours"],
        saving_money=None if saving is None else saving * settings.price_per_mwh / 1000,
        needed=proposal.needed,
        approvals=list(review.approvals),
        step=review.step,
        held=proposal.held,
        reason=proposal.reason,
        steps=_step_views(proposals.steps_of(session, proposal)),
        back=_step_views(proposals.steps_of(session, proposal, back=True)),
        picture=answer["picture"],
        now={key: answer.get(key) for key in ("loss_kw", "load_kw", "lowest_pu", "lowest_bus", "violations", "open")},
        proposed=answer["proposed"],
        restoration=answer["restoration"],
    )


def alarm_views(alarms: Iterable[Alarm]) -> list[AlarmView]:
    """Alarms as they are shown."""
    return [
        AlarmView(
            id=one.id,
            feeder=one.feeder,
            kind=one.kind,
            told=one.told,
            raised=one.raised,
            cleared=one.cleared,
            seen_by=one.seen_by,
        )
        for one in alarms
    ]
