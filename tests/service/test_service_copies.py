"""A copy holds everything, and is restored whole or not at all; into the other kind of database as well."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from control_room import Made, make
from rooms import WHY_NONE, postgresql
from sqlalchemy import select

from learnopt.errors import DataError
from learnopt.service.audit import record, verify
from learnopt.service.backup import back_up, restore
from learnopt.service.database import Cycle, Database, Table


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    found = make(tmp_path_factory.mktemp("copies"))
    found.measured(5)
    yield found
    found.room.database.close()


def content(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.read() as session:
        return {
            table.name: [tuple(row) for row in session.connection().execute(select(table))]
            for table in Table.metadata.sorted_tables
        }


def test_there_and_back(made: Made, tmp_path: Path) -> None:
    """Every row of every table; never over something else."""
    copy = tmp_path / "copy.gz"
    rows = back_up(made.room.database, copy)
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    assert restore(other, copy) == rows > 100
    assert content(other) == content(made.room.database)
    with pytest.raises(DataError, match="not empty"):
        restore(other, copy)
    other.close()


@pytest.mark.skipif(bool(WHY_NONE), reason=WHY_NONE)
def test_from_sqlite_to_postgresql_and_on(made: Made, tmp_path: Path) -> None:
    """The room goes on there: numbers follow on, the chain too, and the same question has the same answer."""
    copy = tmp_path / "copy.gz"
    back_up(made.room.database, copy)
    with postgresql() as url:
        other = Database(url)
        restore(other, copy)
        assert content(other) == content(made.room.database)
        with other.write() as session:
            record(session, "anna", "test")
            old = session.scalars(select(Cycle)).one()
            session.add(
                Cycle(
                    feeder=old.feeder,
                    time=old.time,
                    input_hash="",
                    input=None,
                    verdict="stay",
                    answer={},
                    loads=None,
                    saved_kwh=0.0,
                    seconds=0.0,
                )
            )
            session.flush()
            assert verify(session).broken_at is None
        other.close()


@pytest.mark.parametrize("damage", ["cut", "row", "chain", "other"])
def test_a_damaged_copy_changes_nothing(made: Made, tmp_path: Path, damage: str) -> None:
    """Cut off, a row missing, a line of the trail changed, or no copy at all."""
    copy = tmp_path / "copy.gz"
    back_up(made.room.database, copy)
    whole = copy.read_bytes()
    if damage == "cut":
        copy.write_bytes(whole[: len(whole) // 2])
    elif damage == "row":
        lines = gzip.decompress(whole).splitlines()
        copy.write_bytes(gzip.compress(b"\n".join([*lines[:5], *lines[6:]])))
    elif damage == "chain":
        copy.write_bytes(gzip.compress(gzip.decompress(whole).replace(b'"add feeder"', b'"nothing"')))
    else:
        copy.write_bytes(b"nothing of the kind")
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(DataError):
        restore(other, copy)
    other.migrate()
    assert not any(content(other).values())
    other.close()
