"""A made-up feeder: its loads follow a synthetic year, its switches do what is released. For demos and tests."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from sqlalchemy.exc import SQLAlchemyError

from learnopt.generator.year import HOURS, synthetic_year
from learnopt.network import Configuration, Network, Scenario
from learnopt.service import standing, thinking
from learnopt.service.database import Feeder
from learnopt.service.proposals import released_step
from learnopt.service.room import Room
from learnopt.studies.operation.measurements import Quantity
from learnopt.studies.operation.meters import Meters, Telemetry

log = logging.getLogger("learnopt.service")
SOURCE = "simulation"


class Plant:
    """One feeder, its customers, meters and switches.

    Parameters
    ----------
    rng
        Of the year, the measured places and the noise.
    """

    def __init__(self, room: Room, feeder: str, telemetry: Telemetry, rng: np.random.Generator) -> None:
        self.room, self.feeder = room, feeder
        with room.database.read() as session:
            self.network: Network = thinking.network_of(session.get_one(Feeder, feeder).case)
        self.as_left()
        self.year = synthetic_year(self.network, rng)
        self.meters = Meters(self.network, telemetry, rng)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulation", daemon=True)

    def as_left(self) -> None:
        """Its switches as they were last seen."""
        self.closed = self.network.normal_configuration.closed.copy()
        with self.room.database.read() as session:
            for branch, one in standing.switches(session, self.feeder, Quantity.CLOSED).items():
                self.closed[self.network.branch_index[branch]] = one.value == 1

    def start(self) -> None:
        """Live, a beat a second."""
        self._thread.start()

    def stop(self) -> None:
        """Stand still."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def beat(self) -> None:
        """Carry out what is released, and report what the meters show."""
        self._operate()
        now = self.room.clock.now()
        read = list(self.meters.read(now, self.truth(now), Configuration(self.closed.copy())))
        self.room.take_measured(self.feeder, read, SOURCE)

    def truth(self, time: datetime) -> Scenario:
        """Loads at a time: those of its hours in the year, and between them what lies between."""
        hours = (time - datetime(time.year, 1, 1, tzinfo=UTC)).total_seconds() / 3600
        k, share = int(hours) % HOURS, hours % 1
        after = (k + 1) % HOURS
        p = (1 - share) * self.year.p[k] + share * self.year.p[after]
        q = (1 - share) * self.year.q[k] + share * self.year.q[after]
        like = Scenario.nominal(self.network)
        return replace(like, p_load=p + like.p_gen, q_load=q + like.q_gen)

    def _operate(self) -> None:
        with self.room.database.read() as session:
            step = released_step(session, self.feeder)
        if step is not None and step.action in thinking.OPPOSITE:
            self.closed[self.network.branch_index[step.branch]] = step.action == "close"

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.beat()
            except SQLAlchemyError as error:  # the database is away: it may come back
                log.error("database", extra={"error": str(error)})
            self._stop.wait(1.0)
