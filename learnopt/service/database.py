"""What the service knows, in a database: SQLite by default, PostgreSQL by its URL; the same code for both.

Whoever changes anything does so inside :meth:`Database.write`: one writer at a time, over all processes, and all of a
change or none of it. So two people who press a button at once are one after the other.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    Dialect,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    create_engine,
    event,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from learnopt.errors import DataError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRITERS = 0x6C6F7074
"""Number of the lock that writers on PostgreSQL take."""
_NEWS = "learnopt"
"""Channel on which processes tell each other."""
_LISTEN_S = 0.5
_WAIT_S = 30.0
"""Longest wait of a writer for the one before it."""


class Instant(TypeDecorator[datetime]):
    """A time as microseconds since 1970 in UTC: exact, and ordered alike in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """To the database."""
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else EPOCH + timedelta(microseconds=int(value))


class Table(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {datetime: Instant, dict[str, Any]: JSON, list[Any]: JSON, bytes: LargeBinary}  # noqa: RUF012


class Feeder(Table):
    """A feeder that is watched."""

    __tablename__ = "feeders"
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    case: Mapped[str] = mapped_column(Text)
    """Its case file (JSON)."""
    settings: Mapped[dict[str, Any]]
    """As of :class:`.settings.Settings`."""
    added: Mapped[datetime]
    due: Mapped[datetime | None]
    """A cycle that began before this has not seen the last event."""


class Duty(Table):
    """A row per feeder that nobody changes: who has locked it looks after the feeder (:meth:`Database.duty`)."""

    __tablename__ = "duties"
    feeder: Mapped[str] = mapped_column(ForeignKey("feeders.name"), primary_key=True)


class LatestValue(Table):
    """The last usable value of a point."""

    __tablename__ = "latest"
    feeder: Mapped[str] = mapped_column(ForeignKey("feeders.name"), primary_key=True)
    point: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[float]
    time: Mapped[datetime]
    quality: Mapped[str] = mapped_column(String(10))
    source: Mapped[str] = mapped_column(String(80))


class Cycle(Table):
    """One look at a feeder."""

    __tablename__ = "cycles"
    __table_args__ = (Index("cycles_by_time", "feeder", "time"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    feeder: Mapped[str] = mapped_column(ForeignKey("feeders.name"))
    time: Mapped[datetime]
    input_hash: Mapped[str] = mapped_column(String(64))
    input: Mapped[bytes | None]
    """What was asked, compressed: the same question gives the same answer. Forgotten after a while."""
    verdict: Mapped[str] = mapped_column(String(10))
    answer: Mapped[dict[str, Any]]
    """As of :func:`.thinking.look`, without loads."""
    loads: Mapped[bytes | None]
    """Estimated p and q [pu] of all buses, as float64; None where nothing was estimated."""
    saved_kwh: Mapped[float]
    """Against the normal state of the case, since the cycle before."""
    seconds: Mapped[float]


class Proposal(Table):
    """A change of the switches under review (:mod:`.review`)."""

    __tablename__ = "proposals"
    __table_args__ = (Index("proposals_by_state", "feeder", "state"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    feeder: Mapped[str] = mapped_column(ForeignKey("feeders.name"))
    cycle: Mapped[int] = mapped_column(ForeignKey("cycles.id"))
    state: Mapped[str] = mapped_column(String(10))
    length: Mapped[int]
    confirmed: Mapped[int]
    released: Mapped[bool]
    needed: Mapped[int]
    created: Mapped[datetime]
    measured: Mapped[datetime]
    """Time of the last picture that asks for it."""
    changed: Mapped[datetime]
    """Of its state."""
    input_hash: Mapped[str] = mapped_column(String(64))
    held: Mapped[str] = mapped_column(Text)
    """Why the next step is not released; "" where nothing is in its way."""
    reason: Mapped[str] = mapped_column(Text)
    """Why it was rejected, aborted, or has expired."""


class Approval(Table):
    """Who agreed."""

    __tablename__ = "approvals"
    proposal: Mapped[int] = mapped_column(ForeignKey("proposals.id"), primary_key=True)
    person: Mapped[str] = mapped_column(String(80), primary_key=True)
    time: Mapped[datetime]


class Step(Table):
    """One operation of a proposal, on its way there or back."""

    __tablename__ = "steps"
    proposal: Mapped[int] = mapped_column(ForeignKey("proposals.id"), primary_key=True)
    back: Mapped[bool] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    branch: Mapped[str] = mapped_column(String(80))
    action: Mapped[str] = mapped_column(String(12))
    told: Mapped[str] = mapped_column(Text)
    """What is done, in words."""
    released: Mapped[datetime | None]
    confirmed: Mapped[datetime | None]
    confirmed_by: Mapped[str | None] = mapped_column(String(80))


class Alarm(Table):
    """Something to look at, until it is over."""

    __tablename__ = "alarms"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    feeder: Mapped[str] = mapped_column(ForeignKey("feeders.name"))
    kind: Mapped[str] = mapped_column(String(20))
    told: Mapped[str] = mapped_column(Text)
    raised: Mapped[datetime]
    cleared: Mapped[datetime | None]
    seen_by: Mapped[str | None] = mapped_column(String(80))


class User(Table):
    """A person."""

    __tablename__ = "users"
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    role: Mapped[str] = mapped_column(String(10))
    password: Mapped[str] = mapped_column(String(200))
    """Argon2 hash."""
    active: Mapped[bool]


class Login(Table):
    """A session of a browser."""

    __tablename__ = "logins"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Hash of what the cookie holds."""
    user: Mapped[str] = mapped_column(ForeignKey("users.name"))
    csrf: Mapped[str] = mapped_column(String(64))
    until: Mapped[datetime]


class Token(Table):
    """A key of a program."""

    __tablename__ = "tokens"
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    """Hash of it."""
    role: Mapped[str] = mapped_column(String(10))
    active: Mapped[bool]


class Entry(Table):
    """One line of the audit trail (:mod:`.audit`)."""

    __tablename__ = "audit"
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    time: Mapped[str] = mapped_column(String(40))
    who: Mapped[str] = mapped_column(String(80))
    what: Mapped[str] = mapped_column(String(40))
    detail: Mapped[str] = mapped_column(Text)
    """Canonical JSON."""
    hash: Mapped[str] = mapped_column(String(64))


class Database:
    """A database, at the newest version of its tables.

    Parameters
    ----------
    url
        For instance ``sqlite:///room.db`` or ``postgresql+psycopg://user@host/learnopt``.

    Raises
    ------
    DataError
        If the URL is none, or the database cannot be reached.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise DataError("database", [f"{url!r} is no URL: write sqlite:///room.db, for instance"]) from None
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise DataError("database", [f"{parsed!r} must begin with sqlite:/// or postgresql+psycopg://"])
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.sqlite = parsed.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"connect_args": {"timeout": _WAIT_S}} if self.sqlite else {"pool_pre_ping": True}
        self.engine: Engine = create_engine(parsed, **options)
        if self.sqlite:
            event.listen(self.engine, "connect", _as_sqlite)
        self._name = secrets.token_hex(8)
        self._session = sessionmaker(self.engine, expire_on_commit=False)

    def migrate(self) -> None:
        """Bring the tables to this version.

        Raises
        ------
        DataError
            If the database cannot be reached.
        """
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(files("learnopt.service").joinpath("migrations")))
        try:
            with self.engine.connect() as connection:
                self._alone(connection)
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
        except OperationalError as error:
            raise DataError("database", [f"{self.engine.url!r} cannot be opened: {error.orig}"]) from None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent look at everything."""
        with self._session() as session:
            if self.sqlite:
                session.execute(text("BEGIN"))
            else:
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A change: alone, and all of it or nothing."""
        with self._session.begin() as session:
            self._alone(session.connection())
            yield session

    @contextmanager
    def duty(self, feeder: str) -> Iterator[bool]:
        """Whether this process may look after a feeder now; as long as it does no other one may.

        The lock ends with the connection, so that of a process that is killed is free at once. SQLite is for one
        process.
        """
        if self.sqlite:
            yield True
            return
        with self.engine.connect() as connection:
            free = select(Duty.feeder).where(Duty.feeder == feeder).with_for_update(skip_locked=True)
            yield connection.execute(free).first() is not None
            connection.rollback()

    def notify(self, feeder: str) -> None:
        """Tell other processes of this database that something has changed on a feeder."""
        if not self.sqlite:
            with self.engine.begin() as connection:
                connection.execute(
                    text("SELECT pg_notify(:to, :news)"), {"to": _NEWS, "news": f"{self._name} {feeder}"}
                )

    def news(self) -> Iterator[str]:
        """Feeders on which other processes have changed something; "" now and then where nothing has."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"LISTEN {_NEWS}"))
            raw: Any = connection.connection.driver_connection
            while True:
                for one in raw.notifies(timeout=_LISTEN_S):
                    who, _, feeder = one.payload.partition(" ")
                    if who != self._name:
                        yield feeder
                yield ""

    def _alone(self, connection: Connection) -> None:
        """Wait for every other writer; until this transaction ends they wait for it."""
        connection.execute(text("BEGIN IMMEDIATE" if self.sqlite else f"SELECT pg_advisory_xact_lock({_WRITERS})"))

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def _as_sqlite(connection: Any, _: Any) -> None:
    """Transactions begin where the code says so; readers do not wait for writers; what is committed is on the disk."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
