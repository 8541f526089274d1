"""The Typer application: commands live in their own modules, errors end here."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from learnopt._version import __version__
from learnopt.cli import data, feeder, learn
from learnopt.cli.convert import convert
from learnopt.cli.example import example
from learnopt.cli.horizon import horizon
from learnopt.cli.inspect import inspect
from learnopt.cli.options import as_flag
from learnopt.cli.plan import plan_app
from learnopt.cli.savings import savings
from learnopt.cli.solve import solve
from learnopt.errors import LearnoptError

BAD_INPUT = 2
# Typer carries its own copy of click in some versions: take the base of what it raises, wherever it lives.
UsageProblem: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

app = typer.Typer(
    name="learnopt",
    help="Learned, exact, certified reconfiguration of electric distribution feeders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = (
        False
    ),
) -> None:
    """Learned, exact, certified reconfiguration of electric distribution feeders."""


app.command()(feeder.cases)
app.command()(example)
app.command()(solve)
app.command()(inspect)
app.command()(convert)
app.command()(feeder.check)
app.command()(feeder.draw)
app.command()(horizon)
app.command()(savings)
app.command()(data.generate)
app.command()(data.label)
app.command()(learn.train)
app.command()(learn.calibrate)
app.command()(learn.evaluate)
app.add_typer(plan_app, name="plan")


def run(arguments: list[str] | None = None) -> None:
    """Run a command line and exit.

    Errors raised on purpose become a readable list on stderr, or ``{"errors": [...]}`` on stdout with ``--json``; never
    a traceback.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(args=given, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except LearnoptError as error:
        messages, text = error.sentences(as_flag), error.told(as_flag)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except UsageProblem as error:
        text = error.format_message()  # type: ignore[attr-defined]
        messages = [text]
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        text = f"{place}{error.strerror or error}"
        messages = [text]
    except (typer.Abort, KeyboardInterrupt):
        messages, text = ["interrupted"], "Interrupted."
    if "--json" in given:
        typer.echo(json.dumps({"errors": messages}))
    if text:
        typer.echo(f"Error: {text}", err=True)
    sys.exit(BAD_INPUT)
