"""``learnopt service adapter``: measurements from elsewhere, each source by a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from learnopt.cli.options import said
from learnopt.errors import DataError

if TYPE_CHECKING:
    from learnopt.service.adapters import Adapter

adapter_app = typer.Typer(
    help="Measurements from a folder, MQTT or OPC UA, sent to the service by a process of its own.",
    no_args_is_help=True,
    add_completion=False,
)

TOKEN, PASSWORD = "LEARNOPT_TOKEN", "LEARNOPT_SOURCE_PASSWORD"
UrlOption: TypeAlias = Annotated[
    str, typer.Option(metavar="URL", help=f"The service; the token of a source is in {TOKEN}.")
]
FeederOption: TypeAlias = Annotated[str, typer.Option(help="Feeder of what does not name one itself.")]
UserOption: TypeAlias = Annotated[str, typer.Option(help=f"Who logs in at the source; the password is in {PASSWORD}.")]
LevelOption: TypeAlias = Annotated[str, typer.Option(help="debug, info, warning or error; JSON lines on stderr.")]
HERE = "http://127.0.0.1:8000"


@adapter_app.command()
def folder(
    path: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where CSV and Parquet files are dropped.")],
    feeder: FeederOption = "",
    once: Annotated[bool, typer.Option("--once", help="Take what is there, and end.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
    url: UrlOption = HERE,
    log_level: LevelOption = "info",
) -> int:
    """Send files that are dropped into a folder, with columns point, value, time, and quality and feeder if wanted.

    A file that stands still is read, sent, and put into done, or into wrong beside a text that says why.
    """
    from learnopt.service.adapters.folder import DropFolder

    return _run(DropFolder(path, feeder, every, once), url, log_level)


@adapter_app.command()
def mqtt(
    host: Annotated[str, typer.Argument(help="The broker.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Its port; 8883 is usual with TLS.")] = 1883,
    prefix: Annotated[str, typer.Option(help="Topics are PREFIX/FEEDER and PREFIX/FEEDER/POINT.")] = "learnopt",
    user: UserOption = "",
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS.")] = False,
    authority: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate of who vouches for the broker (PEM).")
    ] = None,
    url: UrlOption = HERE,
    log_level: LevelOption = "info",
) -> int:
    """Send messages of an MQTT broker: JSON, one measurement or many (extra mqtt)."""
    from learnopt.service.adapters.mqtt import Mqtt

    if authority is not None and not authority.exists():
        raise DataError("adapter", [f"{authority}: there is no such file"])
    source = Mqtt(host, port, prefix, user, os.environ.get(PASSWORD, ""), tls or authority is not None, authority)
    return _run(source, url, log_level)


@adapter_app.command()
def opcua(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="opc.tcp://HOST:PORT")],
    nodes: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="Columns node and point, and scale and feeder if wanted.")
    ],
    feeder: FeederOption = "",
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two readings.")] = 2.0,
    user: UserOption = "",
    security: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Policy, mode, certificate and key by commas, as asyncua takes them."),
    ] = "",
    url: UrlOption = HERE,
    log_level: LevelOption = "info",
) -> int:
    """Send the values of nodes of an OPC UA server, which are read and never written (extra opcua)."""
    from learnopt.service.adapters.opcua import OpcUa, tags_of

    source = OpcUa(server, tags_of(nodes, feeder), every, user, os.environ.get(PASSWORD, ""), security)
    return _run(source, url, log_level)


def _run(source: Adapter, url: str, log_level: str) -> int:
    """Deliver until the source has no more, or somebody ends it."""
    import asyncio

    from learnopt.service.adapters import deliver
    from learnopt.service.client import Client
    from learnopt.service.lines import log_json

    token = os.environ.get(TOKEN, "")
    if not token:
        raise DataError(
            "adapter", [f"{TOKEN} is not set: make a token with 'learnopt service token NAME --role source'"]
        )
    if log_level not in ("debug", "info", "warning", "error"):
        raise DataError("adapter", [f"log level {log_level!r} must be debug, info, warning or error"])
    log_json(log_level)
    counted = asyncio.run(deliver(source, Client(url, token)))
    said(f"{counted.taken} measurements taken, {counted.old} older than what stands, {counted.refused} refused")
    return 0
