"""The service as a process: started, logging, and stopped in order."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import uvicorn
from sqlalchemy import func, select

from learnopt.errors import DataError
from learnopt.generator.example import example_feeder
from learnopt.service.app import application
from learnopt.service.clock import Clock
from learnopt.service.database import Database, Feeder, LatestValue, User
from learnopt.service.people import Role, add_user
from learnopt.service.room import Room
from learnopt.service.settings import Settings
from learnopt.service.simulation import Plant
from learnopt.studies.operation.meters import Telemetry

DEMO_FEEDER = "riverbend"


@dataclass(frozen=True)
class Demo:
    """A made-up feeder whose day takes minutes.

    Parameters
    ----------
    speed
        Seconds that go by there in one of ours.
    people
        Name and password of who may log in; made anew at every start.
    """

    speed: float
    people: dict[str, str]


def demo_clock(database: Database, speed: float) -> Clock:
    """A clock that goes on where the last demo of this database ended."""
    with database.read() as session:
        last = session.scalar(select(func.max(LatestValue.time)))
    now = datetime.now(UTC)
    return Clock(now if last is None else max(now, last), speed)


def set_up_demo(room: Room, speed: float) -> Demo:
    """The feeder and the people of a demo."""
    with room.database.read() as session:
        names = set(session.scalars(select(Feeder.name)))
    if names - {DEMO_FEEDER}:
        raise DataError("demo", [f"the database watches {', '.join(sorted(names))}: a demo needs one of its own"])
    if not names:
        content = json.dumps(example_feeder(np.random.default_rng(1)))
        # Two hours there are some minutes here: time to read a proposal before it expires.
        settings = Settings(cycle_s=300.0, valid_s=7200.0, fresh_s=1800.0)
        room.add_feeder(DEMO_FEEDER, DEMO_FEEDER, settings, "console", content)
    passwords = {name: secrets.token_urlsafe(12) for name in ("operator", "second", "viewer")}
    with room.database.write() as session:
        for name, password in passwords.items():
            add_user(session, name, password, Role.VIEWER if name == "viewer" else Role.OPERATOR, "console")
    return Demo(speed, passwords)


def people_known(database: Database) -> bool:
    """Somebody can log in."""
    with database.read() as session:
        return session.scalars(select(User).where(User.active).limit(1)).first() is not None


class _Announced(uvicorn.Server):
    """Tells its port when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[int], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if not self.should_exit:
            self._listening(self.servers[0].sockets[0].getsockname()[1])


def work(database: Database) -> None:
    """Cycles without a web server, until the process is asked to stop (SIGTERM, Ctrl-C)."""
    room, stopped = Room(database), threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stopped.set())
    try:
        room.start()
        stopped.wait()
    finally:
        room.stop()
        database.close()


def serve(
    database: Database,
    host: str,
    port: int,
    *,
    demo_speed: float | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    behind_tls: bool = False,
    rate: float = 200.0,
    model: str | None = None,
    ready: Callable[[str, Demo | None], None] = lambda url, demo: None,
) -> None:
    """Serve until the process is asked to stop (SIGTERM, Ctrl-C).

    Parameters
    ----------
    port
        0 = any that is free.
    demo_speed
        With a simulated feeder, whose time goes so much faster.
    certificate, key
        Files of TLS.
    behind_tls
        A proxy before this speaks TLS.
    model
        Checkpoint whose fast answers are compared with what is proven; an address of MLflow is asked again and again.
    ready
        Told the address when it listens there.
    """
    room = Room(database, Clock() if demo_speed is None else demo_clock(database, demo_speed))
    demo = plant = None
    try:
        sentence = ""
        if demo_speed is not None:
            demo = set_up_demo(room, demo_speed)
            plant = Plant(room, DEMO_FEEDER, Telemetry(measured=0.6, noise=0.01), np.random.default_rng(7))
            plant.beat()
            plant.start()
            sentence = f"Demo: a made-up feeder, whose day takes {1440 / demo_speed:.3g} minutes."
        if model is not None:
            room.watch_model(model)
        room.start()
        tls = certificate is not None
        app = application(room, tls=tls or behind_tls, demo=sentence, rate=rate)
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            ssl_certfile=certificate,
            ssl_keyfile=key,
            proxy_headers=behind_tls,
            timeout_graceful_shutdown=5,
            limit_concurrency=1000,
        )

        def listening(chosen: int) -> None:
            ready(f"http{'s' if tls else ''}://{host}:{chosen}", demo)

        for one in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it has stopped: it is over then
            signal.signal(one, lambda *_: None)
        _Announced(config, listening).run()
    finally:
        if plant is not None:
            plant.stop()
        room.stop()
        database.close()
