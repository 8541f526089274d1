"""The control room under measurement: how long a cycle takes, and what is left after kills at random moments.

``python benchmarks/control_room.py latency --case case136 --cycles 200`` runs cycles on a simulated feeder, each from
measurements in the database to a proposal in it, with the solver in its own process.

``python benchmarks/control_room.py kills --kills 50`` runs ``learnopt serve --demo`` on one database, drives it as an
operator would (approve, begin, confirm, abort), and kills it (SIGKILL) again and again. Afterwards: the chain of the
audit trail is whole; every approval that was acknowledged is there; no step was released or confirmed twice; what the
trail says of every proposal, gone through the state machine again, leads to the state that the database has. Exit
code 1 where anything of this does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import select

from learnopt.service import people
from learnopt.service.audit import entries, verify
from learnopt.service.client import AnswerError, Client
from learnopt.service.clock import Clock
from learnopt.service.database import Approval, Database, Proposal
from learnopt.service.people import Role
from learnopt.service.review import Review, State
from learnopt.service.room import Room
from learnopt.service.running import DEMO_FEEDER
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
        seconds, verdicts, certificates = [], Counter[str](), Counter[str]()
        for _ in range(cycles + 1):
            plant.beat()
            found = room.cycle("one")
            assert found is not None, "a cycle without an answer"
            seconds.append(found.seconds)
            verdicts[found.verdict] += 1
            certificates[found.answer["advice"]["certificate"]] += 1
        room.stop()
        database.close()
    first, rest = seconds[0], np.array(seconds[1:])
    points = ", ".join(f"{q} % {np.percentile(rest, q):.2f} s" for q in (50, 95, 99, 100))
    print(f"{case}: {cycles} cycles: {points}; the first one {first:.1f} s")
    print(f"advice: {dict(verdicts)}; certificates: {dict(certificates)}")
    return 0


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
        elif what in ("propose", "reject", "expire", "release", "abort"):
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
    given = parser.parse_args()
    if given.what == "latency":
        return latency(given.case, given.cycles, given.measured)
    return kills(given.kills, given.seed, given.longest)


if __name__ == "__main__":
    raise SystemExit(main())
