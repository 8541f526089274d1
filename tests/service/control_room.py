"""A room on a small feeder, with a clock that is set by hand and a solver in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.service import thinking
from learnopt.service.clock import Clock
from learnopt.service.database import Database, Proposal
from learnopt.service.proposals import open_proposal
from learnopt.service.room import Room
from learnopt.service.settings import Settings
from learnopt.service.simulation import Plant
from learnopt.studies.operation.meters import Telemetry

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)


@dataclass(frozen=True)
class HandClock(Clock):
    """Shows what it is set to."""

    def now(self) -> datetime:
        return self.shown[0]

    def on(self, **time: float) -> datetime:
        """Later by so much."""
        self.shown[0] += timedelta(**time)
        return self.shown[0]

    @property
    def shown(self) -> list[datetime]:
        return self.__dict__.setdefault("_shown", [NOON])  # type: ignore[no-any-return]


class Here:
    """Answers in this process."""

    lost = 0

    def ask(self, function: Callable[..., Any], *arguments: Any, deadline_s: float, **named: Any) -> Any:
        """The answer, at once."""
        assert deadline_s > 0
        return function(*arguments, **named)

    def start(self) -> None:
        """Nothing has to be started."""

    stop = start


@dataclass
class Made:
    """A room, its clock, and its simulated feeder."""

    room: Room
    clock: HandClock
    plant: Plant

    def measured(self, minutes: float = 0) -> None:
        """Some minutes later the meters have reported and the room has looked once."""
        self.clock.on(minutes=minutes, seconds=1)
        self.plant.beat()
        self.room.tick()

    def proposal(self) -> Proposal:
        """The one that is open."""
        with self.room.database.read() as session:
            found = open_proposal(session, "case33")
        assert found is not None
        return found

    def state(self, number: int) -> str:
        """Of a proposal."""
        with self.room.database.read() as session:
            return session.get_one(Proposal, number).state


def make(folder: Path, url: str | None = None, **settings: Any) -> Made:
    """A room that watches case33, with telemetry of everything."""
    database = Database(url or f"sqlite:///{folder / 'room.db'}")
    database.migrate()
    clock = HandClock()
    room = Room(database, clock)
    room.solver = room.checker = Here()  # type: ignore[assignment]
    room._tried = Never()
    room.add_feeder("case33", "case33", Settings(**settings), "admin")
    plant = Plant(room, "case33", Telemetry(noise=0.005), np.random.default_rng(1))
    return Made(room, clock, plant)


class Never(dict[str, float]):
    """Remembers nothing: every cycle is tried at once."""

    def __setitem__(self, key: str, value: float) -> None:
        pass


__all__ = ["NOON", "Here", "Made", "make", "thinking"]
