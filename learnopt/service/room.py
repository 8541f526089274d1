"""The control room: measurements in, cycles, proposals, and what people decide about them.

Nothing is remembered outside of the database but who listens: whenever the process ends, the next one goes on from
what is written there. Solving is done by worker processes (:mod:`.worker`); one that dies or is too late leaves the
last good state, an alarm, and the next cycle.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from learnopt.errors import DataError, LearnoptError
from learnopt.service import alarms, events, faults, memory, proposals, standing, thinking
from learnopt.service.audit import Watch, record
from learnopt.service.bulletin import Bulletin
from learnopt.service.clock import Clock
from learnopt.service.database import Alarm, Cycle, Database, Duty, Feeder, LatestValue, Proposal
from learnopt.service.metrics import Metrics
from learnopt.service.proposals import AUTOMATIC, AbsentError
from learnopt.service.review import OPEN, UNDER_WAY, Mode, RefusedError, State
from learnopt.service.settings import Settings, settings_of
from learnopt.service.shadow import ENOUGH, TOO_FAR, Compared, Shadow
from learnopt.service.thinking import OPPOSITE
from learnopt.service.worker import Worker, WorkerError
from learnopt.studies.operation.advice import Verdict
from learnopt.studies.operation.measurements import AHEAD, Measurement, Quality, Quantity, measurement_of

log = logging.getLogger("learnopt.service")

TELEMETRY = "telemetry"
"""Who confirms a step that was seen to be carried out."""
_PICTURES = 64
_FEW = 500
"""Measurements of a batch up to which their points are looked up one by one, and not all of the feeder."""
_BEAT_S = 0.5
"""Time between two looks at what is to be done."""
_BETWEEN_S = 0.2
"""Longest time between the moment that an event is told and the one in which all can see it."""
_LONGEST_S = 20.0
"""Deadline of what is not a cycle: a check before a step, a case file, a picture."""


@dataclass(frozen=True)
class Taken:
    """What became of a batch of measurements.

    Parameters
    ----------
    taken
        How many are the last ones of their points now.
    old
        How many were older than what stands, of the future, or of bad quality.
    refused
        A sentence for each that is wrong.
    """

    taken: int
    old: int
    refused: tuple[str, ...] = ()


class Room:
    """All feeders of one database.

    Parameters
    ----------
    solver, checker
        Processes for cycles, and for everything that people wait for.
    """

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self.database, self.clock = database, clock or Clock()
        self.bulletin, self.metrics = Bulletin(), Metrics()
        with database.read() as session:
            cases = list(session.scalars(select(Feeder.case)))
        self.solver, self.checker = Worker(thinking.warm, cases), Worker(thinking.imported)
        self.chain = Watch()
        self.shadow: Shadow | None = None
        """A learned model that is compared with what is proven (:meth:`watch_model`)."""
        self._model = ""
        self._tried: dict[str, float] = {}
        self._pictures: OrderedDict[tuple[int, bool], str] = OrderedDict()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cycles", daemon=True)
        self._listener = threading.Thread(target=self._listen, name="news", daemon=True)
        self.ticked = time.monotonic()
        """When the loop last looked, for those who ask whether it is alive."""

    def start(self) -> None:
        """Begin the cycles."""
        self.solver.start()
        self.checker.start()
        self._thread.start()
        if self.shadow is not None:
            self.shadow.start()
        if not self.database.sqlite:
            self._listener.start()

    def watch_model(self, address: str) -> None:
        """Compare a learned model with what is proven, cycle by cycle; before the start."""
        self.shadow = Shadow(address, self._compared)

    def _compared(self, name: str, found: Compared, regret: float | None, number: int) -> None:
        """What came of a comparison: a figure, an alarm where it is far off, a line where the model is another."""
        self.metrics.add("learnopt_model_compared_total", feeder=name, model=found.model)
        if regret is not None:
            self.metrics.set("learnopt_model_regret", regret, feeder=name)
        now = self.clock.now()
        with self.database.write() as session:
            if self._model != found.folder:
                record(session, "learnopt", "model", address=self.shadow and self.shadow.address, model=found.model)
                self._model = found.folder
            if regret is not None and number >= ENOUGH and regret > TOO_FAR:
                told = f"the model {found.model} is {100 * regret:.2g} % above the proven least loss, mean of {number}"
                alarms.alarm(session, name, "model", told, now)
            else:
                alarms.clear(session, name, "model", now)

    def stop(self) -> None:
        """End after what is being done."""
        self._stop.set()
        if self.shadow is not None:
            self.shadow.stop()
        self.solver.stop()
        self.checker.stop()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        if self._listener.is_alive():
            self._listener.join(timeout=10)

    @property
    def running(self) -> bool:
        """The cycles go round; what was never started does not count as stopped."""
        return not self.started or self._thread.is_alive()

    @property
    def started(self) -> bool:
        """The cycles have begun."""
        return self._thread.ident is not None

    # Feeders

    def add_feeder(self, name: str, source: str, settings: Settings, who: str, content: str | None = None) -> None:
        """Watch a feeder, read and checked in another process.

        Parameters
        ----------
        source
            A named case or file; a name for ``content``.
        content
            Text of a JSON case file.

        Raises
        ------
        LearnoptError
            If it is wrong, unbalanced, or watched already.
        """
        if not name or len(name) > 80 or not all(c.isalnum() or c in "-_." for c in name):
            raise DataError("feeder", [f"name {name[:80]!r} must be 1 to 80 letters, digits, '-', '_' or '.'"])
        case = self.checker.ask(thinking.case_of, source, content, deadline_s=120.0)
        _check_guard(settings, case)
        with self.database.write() as session:
            if session.get(Feeder, name) is not None:
                raise RefusedError(f"there is a feeder {name} already")
            now = self.clock.now()
            session.add(Feeder(name=name, case=case, settings=settings.model_dump(mode="json"), added=now, due=None))
            session.flush()
            session.add(Duty(feeder=name))
            record(session, who, "add feeder", feeder=name, settings=settings.model_dump(mode="json"))
        self._tell(name)

    def change_settings(self, name: str, changes: dict[str, Any], who: str) -> Settings:
        """Set some of the settings of a feeder."""
        with self.database.write() as session:
            feeder = memory.feeder_of(session, name)
            settings = settings_of({**feeder.settings, **changes})
            _check_guard(settings, feeder.case)
            feeder.settings = settings.model_dump(mode="json")
            record(session, who, "settings", feeder=name, settings=feeder.settings)
        self._tell(name)
        return settings

    # Measurements

    def take(self, name: str, raw: Iterable[Any], source: str) -> Taken:
        """Measurements as of :func:`.measurement_of`; what is wrong is told, the rest is taken."""
        with self.database.read() as session:
            network = thinking.network_of(memory.feeder_of(session, name).case)
        found: list[Measurement] = []
        refused: list[str] = []
        for one in raw:
            try:
                found.append(measurement_of(one, network))
            except DataError as error:
                refused += error.violations
        taken = self.take_measured(name, found, source)
        self.metrics.add("learnopt_measurements_total", len(refused), feeder=name, became="refused")
        return Taken(taken, len(found) - taken, tuple(refused))

    def take_measured(self, name: str, found: Sequence[Measurement], source: str) -> int:
        """How many of them are the last ones of their points now."""
        now, changed = self.clock.now(), False
        with self.database.write() as session:
            feeder = memory.feeder_of(session, name)
            network = thinking.network_of(feeder.case)
            stored = select(LatestValue).where(LatestValue.feeder == name)
            if len(found) < _FEW:
                stored = stored.where(LatestValue.point.in_([one.point.text(network) for one in found]))
            known = {one.point: one for one in session.scalars(stored)}
            taken, moved, told, jump = 0, dict[int, bool](), False, 0.0
            for one in found:
                text = one.point.text(network)
                row = known.get(text)
                if one.quality is Quality.BAD or one.time > now + AHEAD or (row is not None and one.time <= row.time):
                    continue
                if row is None:
                    known[text] = row = LatestValue(feeder=name, point=text)
                    session.add(row)
                elif one.point.quantity is Quantity.CLOSED and row.value != one.value:
                    branch = str(network.branch_ids[one.point.place])
                    if not alarms.switch_moved(session, name, branch, bool(one.value), source, now):
                        moved[one.point.place] = bool(one.value)
                    changed = True
                elif row.value is not None:
                    jump = max(jump, events.jump(network, one, row.value))
                if one.point.quantity is Quantity.FAULT:
                    told |= (row.value, row.quality) != (one.value, one.quality.value)
                row.value, row.time, row.quality, row.source = one.value, one.time, one.quality.value, source
                taken += 1
            if told:
                faults.after_told(session, name, network, source, now)
            if moved:
                faults.after_moves(session, name, network, moved, now)
            changed |= told
            leap = settings_of(feeder.settings).jump
            if changed or (leap is not None and jump >= leap and not events.lately(feeder, now)):
                self._event(feeder, "switch" if changed else "jump")
        if changed:
            self._tell(name)
        self.metrics.add("learnopt_measurements_total", taken, feeder=name, became="taken")
        self.metrics.add("learnopt_measurements_total", len(found) - taken, feeder=name, became="old")
        return taken

    def _event(self, feeder: Feeder, kind: str) -> None:
        """The next cycle does not wait; one that has begun already may not have seen this."""
        feeder.due = self.clock.now() + timedelta(seconds=_BETWEEN_S * self.clock.speed)
        self.metrics.add("learnopt_events_total", feeder=feeder.name, kind=kind)

    def _tell(self, name: str) -> None:
        """Pages that are open, here and at other processes, look again."""
        self.bulletin.tell(name)
        self.database.notify(name)

    # The cycle

    def cycle(self, name: str) -> Cycle | None:
        """Read, estimate, forecast, solve, compare, propose; None where the solver gave no answer."""
        begun = time.perf_counter()
        now = self.clock.now()
        with self.database.read() as session:
            feeder = memory.feeder_of(session, name)
            settings = settings_of(feeder.settings)
            snapshot = memory.snapshot_of(session, feeder, now)
        try:
            seen = self.solver.ask(thinking.look, snapshot, deadline_s=settings.deadline_s)
        except LearnoptError as error:
            self._failed(name, error, now)
            return None
        seconds = time.perf_counter() - begun
        cycle = Cycle(
            feeder=name,
            time=now,
            input_hash=snapshot.hash,
            input=snapshot.packed(),
            verdict=seen.answer["advice"]["verdict"],
            answer=seen.answer,
            loads=seen.loads,
            saved_kwh=0.0,
            seconds=seconds,
        )
        with self.database.write() as session:
            self._write_cycle(session, cycle, settings)
        self._count(cycle)
        self._tell(name)
        if self.shadow is not None:
            self.shadow.offer(name, snapshot)
        return cycle

    def _failed(self, name: str, error: LearnoptError, now: datetime) -> None:
        """The last good state stays; people are told."""
        log.error("cycle failed", extra={"feeder": name, "error": str(error)})
        self.metrics.add("learnopt_cycles_failed_total", feeder=name)
        if isinstance(error, WorkerError):
            self.metrics.add("learnopt_workers_lost_total")
        with self.database.write() as session:
            alarms.alarm(session, name, "solver", str(error), now)
        self._tell(name)

    def _write_cycle(self, session: Session, cycle: Cycle, settings: Settings) -> None:
        before = session.scalars(
            select(Cycle.time).where(Cycle.feeder == cycle.feeder).order_by(Cycle.time.desc()).limit(1)
        ).first()
        better = cycle.answer["better_kw"]
        if before is not None and better is not None:
            passed = min((cycle.time - before).total_seconds(), 2 * settings.cycle_s)
            cycle.saved_kwh = better * max(passed, 0.0) / 3600
        session.add(cycle)
        session.flush()
        memory.forget(session, cycle.feeder, cycle.time)
        occupied = proposals.open_proposal(session, cycle.feeder)
        under_way = occupied is not None and occupied.state in UNDER_WAY
        alarms.of_cycle(session, cycle, under_way)
        if occupied is not None and standing.waits_long(session, occupied, cycle.time):
            told = f"proposal {occupied.id}: step {occupied.confirmed + 1} was released and is not confirmed"
            alarms.alarm(session, cycle.feeder, "step", told, cycle.time)
        if cycle.verdict in (Verdict.PROPOSE, thinking.RESTORE):
            self._propose(session, cycle, settings, occupied)

    def _propose(self, session: Session, cycle: Cycle, settings: Settings, occupied: Proposal | None) -> None:
        """What becomes of advice to switch."""
        now = cycle.time
        restores = cycle.verdict == thinking.RESTORE
        if restores and occupied is not None and standing.gives_way(session, occupied, cycle):
            proposals.expire(session, occupied, "load is in the dark, and another plan brings it back", now)
            occupied = None
        if occupied is not None:  # one at a time; what asks for the same again keeps it alive
            if occupied.state not in UNDER_WAY and standing.same(session, occupied, cycle):
                occupied.measured = now
            return
        draft = proposals.open_proposal(session, cycle.feeder, State.DRAFT)
        if draft is not None and settings.mode is Mode.STUDY and standing.same(session, draft, cycle):
            draft.measured = now
            return
        if draft is not None:
            proposals.expire(session, draft, "a newer one takes its place", now)
        if settings.mode is not Mode.STUDY and standing.refused_lately(session, cycle, settings):
            return
        proposal = proposals.create(session, cycle, settings)
        if settings.mode is Mode.STUDY:
            return
        proposals.propose(session, proposal, now)
        if settings.mode is Mode.AUTOMATIC:
            beyond = standing.beyond_guard(cycle.answer, settings)
            if beyond:
                record(session, "learnopt", "left to people", proposal=proposal.id, why=beyond)
            else:
                proposals.approve(session, proposal, AUTOMATIC, now)

    def _count(self, cycle: Cycle) -> None:
        self.metrics.add("learnopt_cycles_total", feeder=cycle.feeder, verdict=cycle.verdict)
        self.metrics.time("learnopt_cycle_seconds", cycle.seconds)
        if cycle.answer["loss_kw"] is not None:
            self.metrics.set("learnopt_loss_kw", cycle.answer["loss_kw"], feeder=cycle.feeder)
        log.info(
            "cycle",
            extra={
                "feeder": cycle.feeder,
                "verdict": cycle.verdict,
                "seconds": cycle.seconds,
                "input": cycle.input_hash,
            },
        )

    # What people do

    def approve(self, number: int, who: str) -> None:
        """Agree to a proposal."""
        with self.database.write() as session:
            proposal = proposals.proposal_of(session, number)
            self._refuse_outdated(session, proposal)
            proposals.approve(session, proposal, who, self.clock.now())
        self._decided(number, "approve", who)

    def reject(self, number: int, who: str, reason: str) -> None:
        """Say no, and why."""
        reason = _reason(reason)
        with self.database.write() as session:
            proposals.reject(session, proposals.proposal_of(session, number), who, reason, self.clock.now())
        self._decided(number, "reject", who)

    def abort(self, number: int, who: str, reason: str) -> None:
        """Stop, and go back; the first step back is released after its check."""
        reason = _reason(reason)
        with self.database.write() as session:
            proposals.abort(session, proposals.proposal_of(session, number), who, reason, self.clock.now())
        self._decided(number, "abort", who)
        self.advance(number, who)

    def leave(self, number: int, who: str, reason: str) -> None:
        """End what is under way as it stands, where neither its next step nor the way back can be released."""
        reason = _reason(reason)
        with self.database.write() as session:
            proposal = proposals.proposal_of(session, number)
            if not proposal.held:
                raise RefusedError("the next step is not held back: go on, or abort and go back")
            proposals.leave(session, proposal, who, reason, self.clock.now())
            for kind in ("held", "step"):
                alarms.clear(session, proposal.feeder, kind, self.clock.now())
            self._event(memory.feeder_of(session, proposal.feeder), "left")
        self._decided(number, "leave", who)

    def tell_fault(self, name: str, place: str, there: bool, who: str) -> None:
        """A person says where something is out of order, or that it no longer is.

        Parameters
        ----------
        place
            ``branch:ID`` or ``bus:ID``.
        """
        now = self.clock.now()
        with self.database.read() as session:
            network = thinking.network_of(memory.feeder_of(session, name).case)
        point = f"{place}:{Quantity.FAULT.value}"
        found = measurement_of({"point": point, "value": int(there), "time": now.isoformat()}, network)
        if self.take_measured(name, [found], who) == 0:
            raise RefusedError(f"{point} was told a moment ago: try again")

    def confirm(self, number: int, step: int, who: str) -> None:
        """A person says that the released step was carried out; it counts as a measurement of its switch.

        Where fresh telemetry of the switch says otherwise, it is telemetry that confirms the step.
        """
        now = self.clock.now()
        with self.database.write() as session:
            proposal = proposals.proposal_of(session, number)
            done = proposals.confirm(session, proposal, step, who, now)
            if why := standing.contradicted(session, proposal.feeder, done, now):
                raise RefusedError(why)
            alarms.clear(session, proposal.feeder, "step", now)
            if done.action in OPPOSITE:
                point = f"branch:{done.branch}:closed"
                row = session.get(LatestValue, (proposal.feeder, point)) or LatestValue(
                    feeder=proposal.feeder, point=point, time=now
                )
                row.value, row.time = float(done.action == "close"), max(now, row.time)
                row.quality, row.source = Quality.GOOD.value, standing.HAND
                session.add(row)
        self._decided(number, "confirm", who)
        self.advance(number, who)

    def begin(self, number: int, who: str) -> list[str]:
        """Release the first step of an approved proposal, or try again where the next one was held back.

        Returns
        -------
        What speaks against the step; empty where it is released.
        """
        with self.database.read() as session:
            proposal = proposals.proposal_of(session, number)
            if proposal.state not in UNDER_WAY:
                self._refuse_outdated(session, proposal)
            proposals.review_of(session, proposal).release()  # refuses where nothing can be released
        return self.advance(number, who)

    def _refuse_outdated(self, session: Session, proposal: Proposal) -> None:
        """Of a study nothing is carried out, nor what the measurements no longer ask for."""
        settings = settings_of(memory.feeder_of(session, proposal.feeder).settings)
        if settings.mode is Mode.STUDY:
            raise RefusedError(f"feeder {proposal.feeder} is in study mode: set it to advisory first")
        if proposal.state in OPEN and (why := standing.outdated(session, proposal, settings, self.clock.now())):
            raise RefusedError(f"the proposal is out of date: {why}")

    def advance(self, number: int, who: str) -> list[str]:
        """Check the plan against the measurements of now, and release the next step; what speaks against it."""
        now = self.clock.now()
        with self.database.read() as session:
            proposal = proposals.proposal_of(session, number)
            before = proposals.review_of(session, proposal)
            if before.released or before.state not in (State.APPROVED, *UNDER_WAY):
                return []
            feeder = memory.feeder_of(session, proposal.feeder)
            snapshot = memory.snapshot_of(session, feeder, now)
            question = standing.question(session, proposal)
            outdated = standing.outdated(session, proposal, settings_of(feeder.settings), now)
        checked, against = True, [outdated]
        if not outdated:
            try:
                against = self.checker.ask(thinking.objections, snapshot, deadline_s=_LONGEST_S, **question)
            except LearnoptError as error:
                checked, against = False, [f"the plan could not be checked: {error}"]
        with self.database.write() as session:
            proposal = proposals.proposal_of(session, number)
            if proposals.review_of(session, proposal) != before:
                return []  # somebody else was faster
            if not against:
                proposals.release(session, proposal, who, now)
                alarms.clear(session, proposal.feeder, "held", now)
            elif before.state is State.APPROVED and checked:
                proposals.expire(session, proposal, "; ".join(against), now)
            else:
                _hold(session, proposal, against, now)
        self._decided(number, "hold" if against else "release", who)
        return against

    def _decided(self, number: int, what: str, who: str) -> None:
        self.metrics.add("learnopt_decisions_total", what=what)
        log.info("decision", extra={"proposal": number, "what": what, "who": who})
        with self.database.read() as session:
            feeder = proposals.proposal_of(session, number).feeder
        self._tell(feeder)

    def acknowledge(self, number: int, who: str) -> None:
        """Somebody has seen an alarm; one of an event is over with that."""
        with self.database.write() as session:
            found = session.get(Alarm, number)
            if found is None:
                raise AbsentError(f"there is no alarm {number}")
            if found.seen_by is not None:
                raise RefusedError(f"{found.seen_by} has acknowledged this alarm")
            found.seen_by = who
            if found.kind == "switch":
                found.cleared = self.clock.now()
            record(session, who, "acknowledge", alarm=number, feeder=found.feeder, told=found.told)
            feeder = found.feeder
        self._tell(feeder)

    # By itself

    def tick(self) -> None:
        """Look at every feeder once: expire, confirm, go on, and begin a cycle where one is due."""
        with self.database.read() as session:
            feeders = list(session.scalars(select(Feeder.name).order_by(Feeder.name)))
        for name in feeders:
            if self._stop.is_set():
                return
            try:
                with self.database.duty(name) as ours:
                    if ours:
                        self._tick(name)
            except Exception as error:
                # Whatever goes wrong on one feeder, the others and the next look go on.
                log.error("tick failed", extra={"feeder": name, "error": str(error)}, exc_info=True)
            self.ticked = time.monotonic()

    def _tick(self, name: str) -> None:
        now = self.clock.now()
        with self.database.read() as session:
            feeder = memory.feeder_of(session, name)
            settings, due = settings_of(feeder.settings), feeder.due
            active = standing.active(session, name)
            wanted = any(standing.look_again(session, one, settings, now) for one in active)
            last = session.scalars(
                select(Cycle.time).where(Cycle.feeder == name).order_by(Cycle.time.desc()).limit(1)
            ).first()
        if wanted:
            with self.database.write() as session:
                for one in standing.active(session, name):
                    _review_again(session, one, settings, now)
            self._tell(name)
        with self.database.read() as session:
            active = standing.active(session, name)
            ready = [one.id for one in active if standing.goes_on(session, one)]
            held = [one.id for one in active if one.held and one.state in UNDER_WAY]
        for number in ready:
            self.advance(number, "learnopt")
        waited = last is None or (now - last).total_seconds() >= settings.cycle_s
        if waited or (due is not None and last is not None and last < due):
            # After a failure the next try waits as long as a cycle would.
            if time.monotonic() - self._tried.get(name, -1e9) < min(settings.cycle_s, 5.0) / self.clock.speed:
                return
            self._tried[name] = time.monotonic()
            if self.cycle(name) is not None:
                self._tried.pop(name, None)  # an event right after it does not wait
                for number in held:  # the measurements are others now
                    self.advance(number, "learnopt")

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.tick()
            except SQLAlchemyError as error:  # the database is away: it may come back
                log.error("database", extra={"error": str(error)})
            self._stop.wait(_BEAT_S)

    def _listen(self) -> None:
        """News of other processes, for the pages of this one."""
        while not self._stop.is_set():
            try:
                for name in self.database.news():
                    if name:
                        self.bulletin.tell(name)
                    if self._stop.is_set():
                        return
            except SQLAlchemyError as error:
                log.error("database", extra={"error": str(error)})
            except Exception as error:
                # The driver's own errors, which are not SQLAlchemy's: the connection has gone, and is made again.
                log.error("news", extra={"error": str(error)})
            self._stop.wait(_BEAT_S)

    # To look at

    def picture(self, session: Session, cycle: Cycle, proposed: bool) -> str:
        """One-line diagrams of a cycle as HTML."""
        key = cycle.id, proposed
        if key not in self._pictures:
            then = cycle.answer["proposed"]
            self._pictures[key] = self.checker.ask(
                thinking.drawn,
                memory.feeder_of(session, cycle.feeder).case,
                cycle.loads,
                cycle.answer["open"],
                then["open"] if proposed and then else None,
                deadline_s=_LONGEST_S,
            )
            while len(self._pictures) > _PICTURES:
                self._pictures.popitem(last=False)
        return self._pictures[key]


def _check_guard(settings: Settings, case: str) -> None:
    unknown = sorted(set(settings.guard.devices) - set(thinking.network_of(case).branch_index))
    if unknown:
        raise DataError("settings", [f"guard.devices: the feeder has no branch {one!r}" for one in unknown])


def _reason(text: str) -> str:
    text = text.strip()
    if not 1 <= len(text) <= 500 or not text.isprintable():
        raise DataError("reason", ["say why, in 1 to 500 characters on one line"])
    return text


def _review_again(session: Session, proposal: Proposal, settings: Settings, now: datetime) -> None:
    if why := standing.outdated(session, proposal, settings, now):
        proposals.expire(session, proposal, why, now)
    elif step := standing.carried_out(session, proposal):
        proposals.confirm(session, proposal, step.number, TELEMETRY, now)
        alarms.clear(session, proposal.feeder, "step", now)


def _hold(session: Session, proposal: Proposal, against: Sequence[str], now: datetime) -> None:
    """The next step is not released, and people are told why."""
    held = "; ".join(against)
    if proposal.held != held:
        proposal.held = held
        record(session, "learnopt", "hold", proposal=proposal.id, feeder=proposal.feeder, why=list(against))
    told = f"proposal {proposal.id}: the next step is held back: {held}"
    alarms.alarm(session, proposal.feeder, "held", told, now)
