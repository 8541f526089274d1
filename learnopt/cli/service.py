"""``learnopt service``: what an administrator does from the command line, beside the pages."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from learnopt.cli.adapter import adapter_app
from learnopt.cli.options import NOT_FOUND, CaseArgument, JsonOption, said
from learnopt.errors import DataError
from learnopt.io.files import check_writable

if TYPE_CHECKING:
    from learnopt.service.database import Database

service_app = typer.Typer(
    help="The control room's feeders, people, audit trail and copies.", no_args_is_help=True, add_completion=False
)

service_app.add_typer(adapter_app, name="adapter")

VARIABLE = "LEARNOPT_DATABASE"
BY = "console"
"""Who did it, in the audit trail."""
DatabaseOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help=f"sqlite:///FILE or postgresql+psycopg://...; if absent, {VARIABLE} or sqlite:///room.db.",
    ),
]
NameArgument: TypeAlias = Annotated[str, typer.Argument(help="A name of letters, digits, '-', '_' and '.'.")]
CopyArgument: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", help="The copy (.gz).")]


def database_url(given: str | None) -> str:
    """The URL of the database: the one given, the variable's, or a file here."""
    return given or os.environ.get(VARIABLE) or "sqlite:///room.db"


def _database(given: str | None) -> Database:
    from learnopt.service.database import Database

    found = Database(database_url(given))
    found.migrate()
    return found


@service_app.command("add-feeder")
def add_feeder(
    name: NameArgument,
    case: CaseArgument,
    mode: Annotated[str, typer.Option(help="study, advisory or automatic.")] = "advisory",
    four_eyes: Annotated[bool, typer.Option("--four-eyes", help="Two people approve.")] = False,
    cycle: Annotated[float, typer.Option(help="Minutes between two cycles.")] = 5.0,
    database: DatabaseOption = None,
) -> int:
    """Watch a feeder: a named case or a file, which is read, checked and kept in the database."""
    from learnopt.service.room import Room
    from learnopt.service.settings import settings_of

    settings = settings_of({"mode": mode, "four_eyes": four_eyes, "cycle_s": 60 * cycle})
    room = Room(_database(database))
    try:
        room.add_feeder(name, case, settings, BY)
    finally:
        room.stop()
        room.database.close()
    said(f"{name} is watched: {mode}, every {cycle:g} min once measurements arrive")
    return 0


@service_app.command()
def user(
    name: NameArgument,
    role: Annotated[str, typer.Option(help="viewer, operator or admin.")],
    generate: Annotated[bool, typer.Option("--generate", help="Make up a password and print it.")] = False,
    database: DatabaseOption = None,
) -> int:
    """Let somebody log in, or give them a new password or role; the password is asked for."""
    from learnopt.service.people import add_user

    chosen = _role(role)
    if generate:
        password = secrets.token_urlsafe(15)
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    with _database(database).write() as session:
        add_user(session, name, password, chosen, BY)
    said(f"{name} can log in as {role}")
    if generate:
        typer.echo(password)
    return 0


@service_app.command()
def token(
    name: NameArgument,
    role: Annotated[str, typer.Option(help="source (measurements only), viewer, operator or admin.")],
    database: DatabaseOption = None,
) -> int:
    """Make a key for a program and print it, once."""
    from learnopt.service.people import add_token

    chosen = _role(role)
    with _database(database).write() as session:
        key = add_token(session, name, chosen, BY)
    said(f"the key of {name} ({role}); it is not kept, and not told again")
    typer.echo(key)
    return 0


def _role(text: str):  # type: ignore[no-untyped-def]
    from learnopt.service.people import Role

    if text not in {one.value for one in Role}:
        raise DataError("service", [f"role {text!r} must be one of {', '.join(one.value for one in Role)}"])
    return Role(text)


@service_app.command()
def remove(name: NameArgument, database: DatabaseOption = None) -> int:
    """Let a person or a program in no more; the audit trail keeps the name."""
    from learnopt.service.database import User
    from learnopt.service.people import remove_token, remove_user

    with _database(database).write() as session:
        if session.get(User, name) is not None:
            remove_user(session, name, BY)
        else:
            remove_token(session, name, BY)
    said(f"{name} is let in no more")
    return 0


@service_app.command()
def audit(
    export: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Write the whole trail, a JSON object a line.")
    ] = None,
    json_output: JsonOption = False,
    database: DatabaseOption = None,
) -> int:
    """Walk the audit trail: whether its chain of hashes is whole. Exit code 1 where it is broken."""
    from learnopt.io.files import write_text
    from learnopt.service.audit import canonical, entries, line_of, verify

    check_writable(export=export)
    with _database(database).read() as session:
        found = verify(session)
        if export is not None:
            write_text(export, "".join(canonical(line_of(one)) + "\n" for one in entries(session)))
            said(f"Trail written to {export}")
    if json_output:
        typer.echo(json.dumps({"lines": found.lines, "last": found.last, "broken_at": found.broken_at}))
    elif found.broken_at is None:
        typer.echo(f"The chain is whole: {found.lines} lines, the last hash is\n{found.last}")
    else:
        typer.echo(f"The chain is broken at line {found.broken_at}.")
    return 0 if found.broken_at is None else NOT_FOUND


@service_app.command()
def reproduce(
    feeder: Annotated[str | None, typer.Option(help="Of one feeder; all of them if absent.")] = None,
    cycles: Annotated[bool, typer.Option("--cycles", help="Every cycle that is kept, not proposals alone.")] = False,
    json_output: JsonOption = False,
    database: DatabaseOption = None,
) -> int:
    """Make the decisions of the audit trail again from what they rested on. Exit code 1 where one differs."""
    from learnopt.service.reproduction import reproduce as again

    with _database(database).read() as session:
        found = again(session, feeder, cycles)
    if json_output:
        typer.echo(json.dumps({"same": found.same, "not_asked": found.unasked, "other": found.other}))
    else:
        typer.echo(f"{found.same} of {found.same + len(found.other)} decisions have the same answer again.")
        if found.unasked:
            typer.echo(f"{found.unasked} more were not asked: forgotten, or ended by the clock.")
        for sentence in found.other[:20]:
            typer.echo(sentence)
    return 0 if not found.other else NOT_FOUND


@service_app.command()
def work(
    database: DatabaseOption = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error; JSON lines on stderr.")] = "warning",
) -> int:
    """Look after the feeders of a PostgreSQL database beside other processes, without pages, until it is stopped.

    Any number of these and of 'learnopt serve' share the feeders of a region: each is looked after by one at a time.
    """
    from learnopt.service import running
    from learnopt.service.lines import log_json

    if log_level not in ("debug", "info", "warning", "error"):
        raise DataError("service", [f"log level {log_level!r} must be debug, info, warning or error"])
    found = _database(database)
    if found.sqlite:
        raise DataError("service", ["SQLite is for one process: several share a database of PostgreSQL"])
    log_json(log_level)
    said("Looking after the feeders of the database")
    running.work(found)
    return 0


@service_app.command()
def backup(path: CopyArgument, database: DatabaseOption = None) -> int:
    """Write everything into one file while the service goes on."""
    from learnopt.service.backup import back_up

    check_writable(copy=path)
    said(f"{back_up(_database(database), path)} rows written to {path}")
    return 0


@service_app.command()
def restore(path: CopyArgument, database: DatabaseOption = None) -> int:
    """Fill an empty database from a copy, of SQLite or PostgreSQL, all of it or nothing; its trail is walked."""
    from learnopt.service.backup import restore as fill

    said(f"{fill(_database(database), path)} rows read from {path}, the audit trail is whole")
    return 0
