"""Who may do what: people with passwords and sessions, programs with tokens. Only hashes are kept of both."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from learnopt.errors import DataError
from learnopt.service.audit import record
from learnopt.service.database import Database, Login, Token, User
from learnopt.service.proposals import AbsentError
from learnopt.service.review import RefusedError

SESSION = timedelta(hours=12)
"""A shift: then one logs in again."""
SHORTEST = 12
"""Characters of a password."""
RESERVED = ("automatic", "hand", "telemetry", "learnopt", "simulation", "console")
"""Names that the audit trail uses itself."""
_hasher = PasswordHasher()
_NOBODY = _hasher.hash(secrets.token_hex())
"""What the password of somebody who does not exist is compared with: it takes as long."""


class Role(StrEnum):
    """What one may do; each may do what those before it may, but for sources."""

    SOURCE = "source"
    """Send measurements, and nothing else."""
    VIEWER = "viewer"
    """Look."""
    OPERATOR = "operator"
    """Approve, reject, begin, confirm, abort, acknowledge."""
    ADMIN = "admin"
    """Feeders, settings, people and tokens; and send measurements."""


_RANK = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)


@dataclass(frozen=True)
class Identity:
    """Who asks.

    Parameters
    ----------
    csrf
        What a page of theirs has to send along with every change; None for a program, which no page can imitate.
    """

    name: str
    role: Role
    csrf: str | None = None

    def may(self, needed: Role) -> bool:
        """Whether their role is enough."""
        if Role.SOURCE in (needed, self.role):
            return self.role in (needed, Role.ADMIN)
        return _RANK.index(self.role) >= _RANK.index(needed)


def _hash(key: str) -> str:
    """Of a key of 256 random bits, which needs no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def _check_name(name: str) -> None:
    if not name or len(name) > 80 or not all(c.isalnum() or c in "-_.@" for c in name):
        raise DataError("user", [f"name {name[:80]!r} must be 1 to 80 letters, digits, '-', '_', '.' or '@'"])
    if name in RESERVED:
        raise DataError("user", [f"name {name!r} is used by the service itself"])


def add_user(session: Session, name: str, password: str, role: Role, by: str) -> None:
    """A new person, or one with a new password and role, whose sessions end.

    Raises
    ------
    DataError
        If the name or the password is none.
    """
    _check_name(name)
    if not SHORTEST <= len(password) <= 200:
        raise DataError("user", [f"a password has {SHORTEST} to 200 characters"])
    if role is Role.SOURCE:
        raise DataError("user", ["a source of measurements is a program: give it a token"])
    user = session.get(User, name) or User(name=name)
    user.role, user.password, user.active = role.value, _hasher.hash(password), True
    session.add(user)
    session.flush()
    session.execute(delete(Login).where(Login.user == name))
    record(session, by, "user", name=name, role=role.value)


def remove_user(session: Session, name: str, by: str) -> None:
    """Somebody who may not log in any more; the trail keeps the name."""
    user = session.get(User, name)
    if user is None:
        raise AbsentError(f"there is no user {name[:80]!r}")
    user.active = False
    session.execute(delete(Login).where(Login.user == name))
    record(session, by, "remove user", name=name)


def add_token(session: Session, name: str, role: Role, by: str) -> str:
    """A key for a program: told once, and never again."""
    _check_name(name)
    if session.get(Token, name) is not None or session.get(User, name) is not None:
        raise RefusedError(f"there is a user or token {name} already")
    key = f"learnopt_{secrets.token_urlsafe(32)}"
    session.add(Token(name=name, key=_hash(key), role=role.value, active=True))
    record(session, by, "token", name=name, role=role.value)
    return key


def remove_token(session: Session, name: str, by: str) -> None:
    """A key that does not open any more."""
    token = session.get(Token, name)
    if token is None:
        raise AbsentError(f"there is no token {name[:80]!r}")
    token.active = False
    record(session, by, "remove token", name=name)


def log_in(database: Database, name: str, password: str) -> str | None:
    """The key of a new session; None where name or password is wrong."""
    with database.read() as session:
        user = session.get(User, name[:80])
        kept = user.password if user is not None and user.active else _NOBODY
    try:
        right = _hasher.verify(kept, password[:1000]) and kept is not _NOBODY
    except (VerificationError, InvalidHashError):
        right = False
    if not right:
        return None
    key, now = secrets.token_urlsafe(32), datetime.now(UTC)
    with database.write() as session:
        user = session.get_one(User, name)
        if not user.active or user.password != kept:  # changed while it was compared
            return None
        session.execute(delete(Login).where(Login.until < now))
        session.add(Login(key=_hash(key), user=name, csrf=secrets.token_urlsafe(24), until=now + SESSION))
        record(session, name, "log in")
    return key


def log_out(database: Database, key: str) -> None:
    """End a session."""
    with database.write() as session:
        session.execute(delete(Login).where(Login.key == _hash(key)))


def of_session(database: Database, key: str) -> Identity | None:
    """Who a cookie belongs to."""
    asked = (
        select(User.name, User.role, Login.csrf)
        .join(Login, Login.user == User.name)
        .where(Login.key == _hash(key), Login.until > datetime.now(UTC), User.active)
    )
    with database.read() as session:
        found = session.execute(asked).first()
    return None if found is None else Identity(found.name, Role(found.role), found.csrf)


def of_token(database: Database, key: str) -> Identity | None:
    """Which program a token belongs to."""
    with database.read() as session:
        found = session.scalars(select(Token).where(Token.key == _hash(key), Token.active)).first()
    return None if found is None else Identity(found.name, Role(found.role))
