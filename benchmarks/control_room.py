"""The control room under measurement: how long a cycle takes, and what is left after kills at random moments.

``python benchmarks/control_room.py latency --case case136 --cycles 200`` runs cycles on a simulated feeder, each from
measurements in the database to a proposal in it, with the solver in its own process.

``python benchmarks/control_room.py kills --kills 50`` runs ``learnopt serve --demo`` on one database, drives it as an
operator would (approve, begin, confirm, abort), and kills it (SIGKILL) again and again. Afterwards: the chain of the
audit trail is whole; every approval that was acknowledged is there; no step was released or confirmed twice; what the
trail says of every proposal, gone through the state machine again, leads to the state that the database has. Exit
code 1 where anything of this does not hold. ``kills-inside`` does the same to the room alone, forked and without web
server and worker processes: many more kills in the same time. ``kills-region`` does it to several processes behind one
database of PostgreSQL, each with the plant and the operator of a feeder of its own, and cuts connections as well.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select, text
from sqlalchemy.exc import SQLAlchemyError

from learnopt.errors import LearnoptError
from learnopt.generator.example import example_feeder
from learnopt.service import people, thinking
from learnopt.service.audit import entries, verify
from learnopt.service.client import AnswerError, Client
from learnopt.service.clock import Clock
from learnopt.service.database import Approval, Cycle, Database, Proposal
from learnopt.service.people import Role
from learnopt.service.proposals import open_proposal
from learnopt.service.review import Review, State
from learnopt.service.room import Room
from learnopt.service.running import DEMO_FEEDER, demo_clock
from learnopt.service.settings import Settings
from learnopt.service.simulation import Plant
from learnopt.studies.operation.meters import Telemetry

ROOT = Path(__file__).parents[1]


def latency(case: str, cycles: int, measured: float) -> int:
    """Percentiles of the time of a cycle, the first one, which loads compiled code, apart."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/room.db")
        database.migrate()
        room = Room(database, Clock(datetime(2026, 1, 15, tzinfo=UTC), speed=300.0))
        room.add_feeder("one", case, Settings(mode="study", deadline_s=120.0), "benchmark")
        room.stop()
        room = Room(database, room.clock)
        room.solver.start()
        plant = Plant(room, "one", Telemetry(measured=measured), np.random.default_rng(1))
        seconds, busy, verdicts, certificates = [], [], Counter[str](), Counter[str]()
        for _ in range(cycles + 1):
            plant.beat()
            before = _processor_s(room)
            found = room.cycle("one")
            assert found is not None, "a cycle without an answer"
            seconds.append(found.seconds)
            busy.append(_processor_s(room) - before)
            verdicts[found.verdict] += 1
            certificates[found.answer["advice"]["certificate"]] += 1
        room.stop()
        database.close()
    for name, each in (("wall time", seconds), ("processor of room and solver", busy)):
        points = ", ".join(f"{q} % {np.percentile(each[1:], q):.2f} s" for q in (50, 95, 99, 100))
        print(f"{case}: {cycles} cycles, {name}: {points}; the first one {each[0]:.1f} s")
    print(f"load of the machine at the end: {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores")
    print(f"advice: {dict(verdicts)}; certificates: {dict(certificates)}")
    return 0


def _processor_s(room: Room) -> float:
    """Processor time of this process and of the solver's so far; of this alone where the system does not tell."""
    process = room.solver._process
    stat = Path(f"/proc/{0 if process is None else process.pid}/stat")
    if not stat.exists():
        return time.process_time()
    user, system = stat.read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return time.process_time() + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Inline:
    """Answers in the process itself: what is killed is then the room and its database, a hundred times a minute."""

    lost = 0

    def ask(self, function: Callable[..., Any], *arguments: Any, deadline_s: float, **named: Any) -> Any:
        """The answer, at once."""
        return function(*arguments, **named)


def kills_inside(number: int, seed: int, longest_s: float) -> int:
    """Kill a room, its simulated feeder and an operator, all in one forked process, at random moments."""
    rng, seen = np.random.default_rng(seed), Seen()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/room.db"
        database = Database(url)
        database.migrate()
        room = _inline(database)
        often = Settings(hold_off_s=0.0, most_per_device=1000, least_saving_kwh=0.0, valid_s=7200.0)
        content = json.dumps(example_feeder(np.random.default_rng(1)))
        room.add_feeder(DEMO_FEEDER, DEMO_FEEDER, often, "benchmark", content)
        plant = Plant(room, DEMO_FEEDER, Telemetry(), np.random.default_rng(7))
        thinking.warm([])  # imported and compiled before the first fork
        _live_inside(plant, room, rng, 3, lambda what, proposal: None)
        database.close()
        for k in range(number):
            begun, told = rng.spawn(1)[0], os.pipe()
            child = os.fork()
            if child == 0:
                os.close(told[0])
                _live_inside(plant, _inline(Database(url)), begun, 10**9, partial(_tell, told[1]))
            os.close(told[1])
            time.sleep(rng.uniform(0.0, longest_s))
            os.kill(child, 9)
            os.waitpid(child, 0)
            _heard(told[0], seen)
            with database.read() as session:
                broken = verify(session).broken_at
            if broken is not None:
                print(f"kill {k + 1}: broken at {broken}")
                break
        faults = _faults(database, seen)
        with database.read() as session:
            lines_kept, proposals = verify(session).lines, session.scalars(select(Proposal.id)).all()
        database.close()
    print(f"{len(proposals)} proposals, {lines_kept} lines; acknowledged: {dict(seen.done)}")
    print("\n".join(faults) or f"{number} kills: chain whole, no approval lost, nothing done twice")
    return 1 if faults else 0


REGION = ("north", "middle", "south")


def kills_region(number: int, seed: int, longest_s: float) -> int:
    """Kill one of several processes behind one database, or all connections to it, at random moments."""
    sys.path.insert(0, str(ROOT / "tests" / "service"))
    from rooms import postgresql

    rng, seen, done = np.random.default_rng(seed), Seen(), Counter[str]()
    with postgresql() as url:
        database = Database(url)
        database.migrate()
        room = _inline(database)
        often = Settings(hold_off_s=0.0, most_per_device=1000, least_saving_kwh=0.0, valid_s=7200.0, cycle_s=900.0)
        content = json.dumps(example_feeder(np.random.default_rng(1)))
        for name in REGION:
            room.add_feeder(name, name, often, "benchmark", content)
        plants = [Plant(room, name, Telemetry(), np.random.default_rng(7)) for name in REGION]
        _live_inside(plants[0], room, rng, 2, lambda what, proposal: None)  # imported and compiled before any fork
        lives = {}
        for k in range(number):
            for plant in plants:
                if plant.feeder not in lives:
                    database.engine.dispose()
                    lives[plant.feeder] = _begun(plant, url, rng.spawn(1)[0])
            time.sleep(rng.uniform(0.0, longest_s))
            if rng.random() < 0.2:
                with database.engine.connect() as connection:
                    connection.execute(text(_CUT))
                done["connections cut"] += 1
            else:
                _ended(lives.pop(REGION[int(rng.integers(len(REGION)))]), seen)
                done["processes killed"] += 1
            with database.read() as session:
                broken = verify(session).broken_at
            if broken is not None:
                print(f"{k + 1}: broken at {broken}")
                break
        for life in lives.values():
            _ended(life, seen)
        faults = _faults(database, seen)
        with database.read() as session:
            lines_kept, proposals = verify(session).lines, session.scalars(select(Proposal.state)).all()
            counted = session.execute(select(Cycle.feeder, func.count()).group_by(Cycle.feeder))
            cycles = dict(counted.all())
        database.close()
    print(f"{len(proposals)} proposals {dict(Counter(proposals))}, {lines_kept} lines, cycles {cycles}")
    print(f"{dict(done)}; acknowledged: {dict(seen.done)}")
    print("\n".join(faults) or f"{number} kills: chain whole, no approval lost, nothing done twice")
    return 1 if faults else 0


_CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def _begun(plant: Plant, url: str, rng: np.random.Generator) -> tuple[int, int]:
    """A process with the plant and the operator of one feeder, which looks after all; its number, and what it tells."""
    told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told[0])
        logging.disable()  # connections that are cut are errors by the dozen
        while True:  # whatever the database does, it goes on
            with contextlib.suppress(SQLAlchemyError):
                _live_inside(plant, _inline(Database(url)), rng, 10**9, partial(_tell, told[1]))
            time.sleep(0.1)
    os.close(told[1])
    return child, told[0]


def _ended(life: tuple[int, int], seen: Seen) -> None:
    """Killed; what it was told was done is noted."""
    os.kill(life[0], 9)
    os.waitpid(life[0], 0)
    _heard(life[1], seen)


def _heard(pipe: int, seen: Seen) -> None:
    with os.fdopen(pipe, encoding="utf-8") as lines:
        for line in lines:
            what, _, proposal = line.strip().partition(" ")
            seen.done[what] += 1
            seen.approvals += [int(proposal)] if what == "approve" else []


def _inline(database: Database) -> Room:
    room = Room(database, demo_clock(database, 600.0))
    room.solver = room.checker = Inline()  # type: ignore[assignment]
    return room


def _tell(pipe: int, what: str, proposal: int) -> None:
    """After it was committed, as the answer to a request would be."""
    os.write(pipe, f"{what} {proposal}\n".encode())


def _live_inside(
    plant: Plant, room: Room, rng: np.random.Generator, rounds: int, tell: Callable[[str, int], None]
) -> None:
    plant.room = room
    plant.as_left()
    for _ in range(rounds):
        plant.beat()
        room.tick()
        with room.database.read() as session:
            found = open_proposal(session, plant.feeder)
        if found is None:  # somebody switches back by hand, so that there is something to propose again
            plant.closed = plant.network.normal_configuration.closed.copy()
            continue
        step = found.confirmed + 1 if found.released else None
        choices: list[tuple[str, Callable[[], object]]] = {
            State.PROPOSED: [("approve", lambda k=found.id: room.approve(k, "operator-program"))],
            State.APPROVED: [("begin", lambda k=found.id: room.begin(k, "operator-program"))],
            State.EXECUTING: [("abort", lambda k=found.id: room.abort(k, "operator-program", "dice"))],
        }.get(State(found.state), [])
        if step is not None:
            choices.append(("confirm", lambda k=found.id, n=step: room.confirm(k, n, "operator-program")))
        if choices and (found.state in (State.PROPOSED, State.APPROVED) or rng.random() < 0.4):
            what, act = choices[int(rng.integers(len(choices)))]
            try:
                act()
                tell(what, found.id)
            except LearnoptError:  # telemetry was faster
                tell("refused", found.id)


@dataclass
class Seen:
    """What the operator was told was done."""

    approvals: list[int] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0


def kills(number: int, seed: int, longest_s: float) -> int:
    """Kill the service at random moments while an operator works with it."""
    rng, seen = np.random.default_rng(seed), Seen()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/room.db"
        database = Database(url)
        database.migrate()
        with database.write() as session:
            key = people.add_token(session, "operator-program", Role.ADMIN, "benchmark")
        for k in range(number):
            _one_life(url, folder, key, rng, longest_s, seen)
            with database.read() as session:
                found = verify(session)
            print(f"kill {k + 1}: {found.lines} lines, {dict(seen.done)}, unanswered {seen.unanswered}", flush=True)
            if found.broken_at is not None:
                break
        faults = _faults(database, seen)
        database.close()
    print("\n".join(faults) or f"{number} kills: chain whole, no approval lost, nothing done twice")
    return 1 if faults else 0


def _one_life(url: str, folder: str, key: str, rng: np.random.Generator, longest_s: float, seen: Seen) -> None:
    command = [sys.executable, "-m", "learnopt", "serve", "--demo", "--speed", "600", "--port", "0", "--database", url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = ""
        while not address:
            line = process.stderr.readline()
            assert line, "the service ended by itself"
            address = "".join(re.findall(r"http://\S+", line))
        room, end = Client(address, key, timeout_s=10), time.monotonic() + rng.uniform(0.0, longest_s)
        _let_it_switch_often(room, seen)
        # Killed by a process of its own, so that it also happens in the middle of a request.
        killer = f"import os, time; time.sleep({max(end - time.monotonic(), 0.0)}); os.kill({process.pid}, 9)"
        with subprocess.Popen([sys.executable, "-c", killer]):
            while process.poll() is None:
                _work(room, rng, seen)
        process.stderr.close()


def _let_it_switch_often(room: Client, seen: Seen) -> None:
    try:
        room.change_settings(DEMO_FEEDER, hold_off_s=0.0, most_per_device=1000, least_saving_kwh=0.0)
    except AnswerError:
        seen.unanswered += 1


def _work(room: Client, rng: np.random.Generator, seen: Seen) -> None:
    """What an operator does next, or two of them at once."""
    try:
        found = room.feeder(DEMO_FEEDER).proposal
        if found is None:
            time.sleep(0.1)
        elif found.state == "proposed":
            room.approve(found.id)
            seen.approvals.append(found.id)
            seen.done["approve"] += 1
        elif found.state == "approved":
            room.begin(found.id)
            seen.done["begin"] += 1
        elif found.state == "executing" and rng.random() < 0.25:
            room.abort(found.id, "as the dice fell")
            seen.done["abort"] += 1
        elif found.step is not None and rng.random() < 0.3:
            room.confirm(found.id, found.step)
            seen.done["confirm"] += 1
        else:
            time.sleep(0.05)
    except AnswerError as error:
        seen.unanswered += error.status == 0
        if error.status >= 500:
            seen.done[f"status {error.status}"] += 1
    except (OSError, ValueError):  # killed in the middle of an answer
        seen.unanswered += 1


def _faults(database: Database, seen: Seen) -> list[str]:
    """What does not hold."""
    with database.read() as session:
        chain = verify(session)
        lines = [(one.who, one.what, json.loads(one.detail)) for one in entries(session)]
        states = {one.id: one for one in session.scalars(select(Proposal))}
        approved = {(one.proposal, one.person) for one in session.scalars(select(Approval))}
    faults = [] if chain.broken_at is None else [f"the chain is broken at line {chain.broken_at}"]
    faults += [f"approval of {k} is lost" for k in set(seen.approvals) if (k, "operator-program") not in approved]
    for what in ("release", "confirm"):
        steps = Counter((d["proposal"], d["back"], d["step"]) for _, w, d in lines if w == what)
        faults += [f"{what} of {step}: {n} times" for step, n in steps.items() if n > 1]
    for number, proposal in states.items():
        walked = _walked([(who, what, d) for who, what, d in lines if d.get("proposal") == number], proposal.needed)
        stored = (proposal.state, proposal.confirmed, proposal.released, proposal.length)
        if (walked.state.value, walked.confirmed, walked.released, walked.length) != stored:
            faults.append(f"proposal {number} is {stored}, its trail leads to {walked}")
    return faults


def _walked(lines: list[tuple[str, str, dict[str, object]]], needed: int) -> Review:
    """The state machine again, by the trail; an illegal line raises."""
    review = Review(State.DRAFT, 0, needed=needed)
    for who, what, detail in lines:
        if what == "draft":
            review = Review(State.DRAFT, len(detail["steps"]), needed=needed)  # type: ignore[arg-type]
        elif what == "approve":
            review = review.approve(who)
        elif what == "confirm":
            review = review.confirm(int(str(detail["step"])))
        elif what in ("propose", "reject", "expire", "release", "abort", "leave"):
            review = getattr(review, what)()
    return review


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="what", required=True)
    timed = parts.add_parser("latency")
    timed.add_argument("--case", default="case136")
    timed.add_argument("--cycles", type=int, default=200)
    timed.add_argument("--measured", type=float, default=1.0)
    killed = parts.add_parser("kills")
    killed.add_argument("--kills", type=int, default=50)
    killed.add_argument("--seed", type=int, default=0)
    killed.add_argument("--longest", type=float, default=25.0, help="seconds of a life after its start")
    inside = parts.add_parser("kills-inside")
    inside.add_argument("--kills", type=int, default=200)
    inside.add_argument("--seed", type=int, default=0)
    inside.add_argument("--longest", type=float, default=2.0, help="seconds of a life")
    region = parts.add_parser("kills-region")
    region.add_argument("--kills", type=int, default=100)
    region.add_argument("--seed", type=int, default=0)
    region.add_argument("--longest", type=float, default=3.0, help="seconds between two kills")
    given = parser.parse_args()
    if given.what == "kills-region":
        return kills_region(given.kills, given.seed, given.longest)
    if given.what == "kills-inside":
        return kills_inside(given.kills, given.seed, given.longest)
    if given.what == "latency":
        return latency(given.case, given.cycles, given.measured)
    return kills(given.kills, given.seed, given.longest)


if __name__ == "__main__":
    raise SystemExit(main())
