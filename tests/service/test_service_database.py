"""The database: its tables are those of the code, writers come one after the other, the audit trail stands."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from rooms import WHY_NONE, postgresql
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from learnopt.errors import DataError
from learnopt.service.audit import FIRST, Watch, entries, line_of, record, verify
from learnopt.service.database import Database, Duty, Entry, Feeder, Table


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.skipif(bool(WHY_NONE), reason=WHY_NONE))]
)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        found = Database(f"sqlite:///{tmp_path / 'room.db'}")
        found.migrate()
        yield found
        found.close()
        return
    with postgresql() as url:
        found = Database(url)
        found.migrate()
        yield found
        found.close()


def test_the_migrations_make_the_tables_of_the_code(database: Database) -> None:
    """Alembic finds no difference, and migrating again changes nothing."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database.migrate()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []


def test_a_time_comes_back_to_the_microsecond(database: Database) -> None:
    """Of whatever zone it was."""
    time = datetime(2026, 3, 29, 2, 30, 0, 123457, timezone(timedelta(hours=2)))
    with database.write() as session:
        session.add(Feeder(name="one", case="{}", settings={"a": 1}, added=time))
    with database.read() as session:
        found = session.get_one(Feeder, "one")
        assert found.added == time
        assert found.added.tzinfo is UTC
        assert found.settings == {"a": 1}


def test_half_a_change_is_none(database: Database) -> None:
    """An error in the middle takes everything back."""
    with contextlib.suppress(InterruptedError), database.write() as session:
        record(session, "anna", "approve", proposal=1)
        raise InterruptedError
    with database.read() as session:
        assert verify(session).lines == 0


def test_many_writers_make_one_chain(database: Database) -> None:
    """Each sees what the one before has written: no number is given twice, no line is lost."""

    def work(name: str) -> None:
        for k in range(10):
            with database.write() as session:
                record(session, name, "test", k=k)

    threads = [threading.Thread(target=work, args=(f"writer {n}",)) for n in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    with database.read() as session:
        found = verify(session)
        assert (found.lines, found.broken_at) == (60, None)
        assert len({(one.who, one.detail) for one in entries(session)}) == 60


def test_the_trail_cannot_be_changed_through_the_database(database: Database) -> None:
    """Its triggers refuse."""
    with database.write() as session:
        record(session, "anna", "approve", proposal=1)
    for change in (update(Entry).values(who="ben"), delete(Entry)):
        with pytest.raises(DBAPIError, match="not changed"), database.write() as session:
            session.execute(change)


def test_who_changes_it_all_the_same_is_found_out(tmp_path: Path) -> None:
    """Without the triggers: a line changed, taken out, put in, or in another place breaks the chain there."""
    database = Database(f"sqlite:///{tmp_path / 'room.db'}")
    database.migrate()
    with database.write() as session:
        for k in range(5):
            record(session, "anna", "approve", proposal=k)
        assert verify(session).last != FIRST
        session.execute(text("DROP TRIGGER audit_no_update"))
        session.execute(text("DROP TRIGGER audit_no_delete"))
    mischief = [
        ("UPDATE audit SET who = 'ben' WHERE number = 3", 3),
        ("UPDATE audit SET detail = replace(detail, '2', '7') WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 2", 3),
        ("UPDATE audit SET number = number + 1 WHERE number = 5", 6),
        ("INSERT INTO audit SELECT 6, time, who, what, detail, hash FROM audit WHERE number = 5", 6),
    ]
    for change, place in mischief:
        with database.write() as session:
            session.execute(text(change))
            assert verify(session).broken_at == place, change
            session.rollback()
    with database.read() as session:
        found = verify(session)
        assert (found.lines, found.broken_at) == (5, None)
        assert line_of(session.scalars(select(Entry)).all()[2])["detail"] == {"proposal": 2}
    database.close()


def test_who_looks_often_walks_the_new_lines(tmp_path: Path) -> None:
    """What was changed before them is found when the whole chain is walked again, what is cut off at once."""
    database, now = Database(f"sqlite:///{tmp_path / 'room.db'}"), [0.0]
    database.migrate()
    watch = Watch(60.0, lambda: now[0])
    with database.write() as session:
        assert watch.verify(session).lines == 0
        for k in range(5):
            record(session, "anna", "approve", proposal=k)
        assert watch.verify(session) == verify(session)
        session.execute(text("DROP TRIGGER audit_no_update"))
        session.execute(text("DROP TRIGGER audit_no_delete"))
        session.execute(text("UPDATE audit SET who = 'ben' WHERE number = 2"))
        record(session, "anna", "approve", proposal=5)
        assert watch.verify(session).lines == 6
        session.execute(text("DELETE FROM audit WHERE number = 6"))
        session.expire_all()
        assert watch.verify(session).broken_at == 6
        now[0] = 61.0
        assert watch.verify(session).broken_at == 2
    database.close()


@pytest.mark.skipif(bool(WHY_NONE), reason=WHY_NONE)
def test_several_processes_share_feeders_and_news() -> None:
    """One at a time looks after a feeder, until its connection ends; what one tells the others hear."""
    with postgresql() as url:
        one, two = Database(url), Database(url)
        one.migrate()
        with one.write() as session:
            for name in ("a", "b"):
                session.add(Feeder(name=name, case="{}", settings={}, added=datetime.now(UTC), due=None))
                session.flush()
                session.add(Duty(feeder=name))
        with one.duty("a") as first, two.duty("a") as second, two.duty("b") as third:
            assert (first, second, third) == (True, False, True)
            with two.write() as session:  # nothing else waits for it
                session.get_one(Feeder, "a").due = datetime.now(UTC)
        with contextlib.suppress(DBAPIError), one.duty("a") as ours, one.engine.connect() as other:
            assert ours
            mine = "pid <> pg_backend_pid() AND state = 'idle in transaction'"
            other.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}"))
            with two.duty("a") as second:
                assert second
        news = two.news()
        assert next(news) == ""
        two.notify("a")
        one.notify("b")
        assert next(one_that_is_told for one_that_is_told in news if one_that_is_told) == "b"
        news.close()
        one.close()
        two.close()


@pytest.mark.parametrize(("url", "said"), [("room.db", "room.db"), ("sqlite:////nowhere/at/all.db", "nowhere")])
def test_a_database_that_is_none(url: str, said: str) -> None:
    """Told by its URL."""
    with pytest.raises(DataError, match=said):
        Database(url).migrate()
