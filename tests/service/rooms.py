"""Databases to test the service on: SQLite in a folder, and PostgreSQL where a server can be started."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine, text

POSTGRES = shutil.which("pg_ctl")
ROOT = os.geteuid() == 0
WHY_NONE = (
    "psycopg is not installed (extra postgresql)"
    if find_spec("psycopg") is None
    else "no PostgreSQL server installed"
    if POSTGRES is None
    else "a PostgreSQL server does not run as root, and there is no runuser to start it as nobody"
    if ROOT and shutil.which("runuser") is None
    else ""
)


_SERVER: list[str] = []
_NUMBERS = count(1)


@contextmanager
def postgresql() -> Iterator[str]:
    """URL of a new database, on a server that this process starts once."""
    if not _SERVER:
        server = ExitStack()
        _SERVER.append(server.enter_context(_started()))
        atexit.register(server.close)
    admin, name = create_engine(_SERVER[0], isolation_level="AUTOCOMMIT"), f"room{next(_NUMBERS)}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    yield _SERVER[0].replace("/postgres?", f"/{name}?")


@contextmanager
def _started() -> Iterator[str]:
    """A server of its own, on a socket in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="learnopt-pg-") as name:
        folder = Path(name)
        if ROOT:
            shutil.chown(folder, "nobody")

        def as_server(*command: str) -> None:
            user = ("runuser", "-u", "nobody", "--") if ROOT else ()
            subprocess.run([*user, *command], check=True, stdout=subprocess.DEVNULL, cwd=folder)

        data = str(folder / "data")
        as_server("initdb", "-D", data, "-U", "learnopt", "--auth=trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        as_server("pg_ctl", "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
        try:
            yield f"postgresql+psycopg://learnopt@/postgres?host={folder}"
        finally:
            as_server("pg_ctl", "-D", data, "-m", "immediate", "stop")
