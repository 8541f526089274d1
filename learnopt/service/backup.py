"""Everything in the database as one file, and back into an empty one: the same file for SQLite and PostgreSQL."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import LargeBinary, insert, select, text
from sqlalchemy.orm import Session

from learnopt.errors import DataError
from learnopt.io.files import write_atomically
from learnopt.service.audit import verify
from learnopt.service.database import Database, Instant, Table

FORMAT = "learnopt room 1"


def back_up(database: Database, path: Path) -> int:
    """Write a consistent copy, whole or not at all, while the service goes on; the number of rows."""
    count = 0
    with database.read() as session:
        lines = [json.dumps({"format": FORMAT, "tables": _version(session)})]
        for table in Table.metadata.sorted_tables:
            for row in session.connection().execute(select(table)):
                values = {column.name: _plain(value) for column, value in zip(table.columns, row, strict=True)}
                lines.append(json.dumps([table.name, values]))
                count += 1
    lines.append(json.dumps({"rows": count}))
    content = gzip.compress("\n".join(lines).encode(), 6)
    write_atomically(path, lambda place: place.write_bytes(content))
    return count


def restore(database: Database, path: Path) -> int:
    """Fill an empty database from a copy, all of it or nothing; the number of rows.

    Raises
    ------
    DataError
        If the file is no copy, is not whole, or is of another version, the audit trail in it is broken, or the database
        is not empty.
    """
    subject = str(path)
    try:
        head, *rows, tail = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        whole = head["format"] == FORMAT and tail == {"rows": len(rows)}
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(subject, [f"it cannot be read as a copy of a control room: {error}"]) from None
    if not whole:
        raise DataError(subject, ["it is no copy of a control room, or not all of it"])
    database.migrate()
    with database.write() as session:
        if head["tables"] != _version(session):
            raise DataError(subject, [f"its tables are of version {head['tables']}, here they are {_version(session)}"])
        tables = Table.metadata.tables
        if any(session.connection().execute(select(table).limit(1)).first() for table in tables.values()):
            raise DataError(subject, ["the database is not empty: restore into a new one"])
        for name, values in rows:
            table = tables[name]
            given = {key: _value(table.columns[key], value) for key, value in values.items()}
            session.connection().execute(insert(table).values(given))
        if (found := verify(session)).broken_at is not None:
            raise DataError(subject, [f"the audit trail in it is broken at line {found.broken_at}"])
        if not database.sqlite:
            _set_sequences(session)
    return len(rows)


def _version(session: Session) -> str:
    return str(session.scalar(text("SELECT version_num FROM alembic_version")))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else value


def _value(column: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(column.type, LargeBinary):
        return base64.b64decode(value)
    return datetime.fromisoformat(value) if isinstance(column.type, Instant) else value


def _set_sequences(session: Session) -> None:
    """Numbers that PostgreSQL gives go on after the last one."""
    for table in Table.metadata.tables.values():
        if "id" in table.columns:
            name = table.name
            session.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT coalesce(max(id), 1) FROM {name}))"
                )
            )
