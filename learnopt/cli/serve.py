"""``learnopt serve``: the control room as a service."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learnopt.cli.options import said
from learnopt.cli.service import DatabaseOption, database_url
from learnopt.errors import DataError

if TYPE_CHECKING:
    from learnopt.service.running import Demo

LOCAL = ("127.0.0.1", "::1", "localhost")


def serve(
    database: DatabaseOption = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="A made-up feeder, and people to log in as; a new database if none is given."),
    ] = False,
    speed: Annotated[float, typer.Option(help="Of a demo: seconds that go by there in one of ours.")] = 60.0,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 is any that is free.")] = 8000,
    certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="TLS certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Key of the certificate (PEM).")] = None,
    behind_tls: Annotated[
        bool, typer.Option("--behind-tls", help="A proxy on this machine speaks TLS and passes requests on.")
    ] = False,
    rate: Annotated[float, typer.Option(min=1, help="Requests a second of one person or program.")] = 200.0,
    model: Annotated[
        str | None,
        typer.Option(help="Learned model to compare with what is proven, by its folder or address."),
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error; JSON lines on stderr.")] = "warning",
) -> int:
    """Serve the control room: measurements in, proposals out, reviewed by people on its pages.

    Nothing is written to a plant: a released step is a sentence to a person, or to an adapter of your own.
    """
    from learnopt.service import lines, running
    from learnopt.service.database import Database

    problems = []
    if (certificate is None) != (key is None):
        problems.append("a certificate and its key belong together: give both")
    if host not in LOCAL and certificate is None and not behind_tls:
        problems.append(f"host {host} can be reached by others, and passwords would travel in the clear: "
                        "give a certificate and its key, or --behind-tls")  # fmt: skip
    if log_level not in ("debug", "info", "warning", "error"):
        problems.append(f"log level {log_level!r} must be debug, info, warning or error")
    if not 1 <= speed <= 3600:
        problems.append(f"speed = {speed:g} must lie between 1 and 3600")
    problems += [f"{one}: there is no such file" for one in (certificate, key) if one is not None and not one.exists()]
    if problems:
        raise DataError("serve", problems)

    def ready(url: str, made: Demo | None) -> None:
        said(f"The control room is at {url}")
        for name, password in ({} if made is None else made.people).items():
            said(f"  log in as {name} with the password {password}")
        if made is None and not running.people_known(room):
            said("Nobody can log in yet: learnopt service user NAME --role admin")

    with tempfile.TemporaryDirectory(prefix="learnopt-demo-") as folder:
        fresh = demo and database is None
        room = Database(f"sqlite:///{folder}/room.db" if fresh else database_url(database))
        room.migrate()
        said("Starting: the solver imports and compiles what it needs")
        lines.log_json(log_level)
        running.serve(
            room, host, port, demo_speed=speed if demo else None, certificate=certificate, key=key,
            behind_tls=behind_tls, rate=rate, model=model, ready=ready,
        )  # fmt: skip
    return 0
