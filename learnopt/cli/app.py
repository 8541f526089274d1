"""The Typer application: commands live in their own modules and are loaded when they run, errors end here."""

from __future__ import annotations

import contextlib
import json
import locale
import sys
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from learnopt._version import __version__
from learnopt.errors import LearnoptError, without_learning

BAD_INPUT = 2
# Typer carries its own copy of click in some versions: take the base of what it raises, wherever it lives.
UsageProblem: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


class Listed(NamedTuple):
    """A command as the help of the whole program lists it."""

    place: str
    """Module and name of its function, or of its group."""
    summary: str
    """First paragraph of its help."""


COMMANDS = {
    "cases": Listed(
        "learnopt.cli.feeder:cases",
        "List the named cases.",
    ),
    "example": Listed(
        "learnopt.cli.example:example",
        "Write a made-up feeder with scenarios and load profiles, to try every command on.",
    ),
    "solve": Listed(
        "learnopt.cli.solve:solve",
        "Find the radial configuration of least loss, and say what is proven.",
    ),
    "inspect": Listed(
        "learnopt.cli.inspect:inspect",
        "What was read, and what looks wrong, by severity.",
    ),
    "convert": Listed(
        "learnopt.cli.convert:convert",
        "Write a network as a JSON case file or as a folder of CSV tables.",
    ),
    "check": Listed(
        "learnopt.cli.feeder:check",
        "AC loss, voltages and violations of a given configuration.",
    ),
    "draw": Listed(
        "learnopt.cli.feeder:draw",
        "Draw a configuration; with --open, profile and loadings show the normal one beside it.",
    ),
    "horizon": Listed(
        "learnopt.cli.horizon:horizon",
        "Plan the configurations of a day or a week: energy lost plus switching is least, with a proven bound.",
    ),
    "savings": Listed(
        "learnopt.cli.savings:savings",
        "Energy that switching saves over a profile: present, best single, seasonal and hourly configurations.",
    ),
    "replay": Listed(
        "learnopt.cli.replay:replay",
        "A recorded day through the cycle of a control room: what would have been proposed, switched and saved.",
    ),
    "serve": Listed(
        "learnopt.cli.serve:serve",
        "Serve the control room: measurements in, proposals out, reviewed by people on its pages.",
    ),
    "service": Listed(
        "learnopt.cli.service:service_app",
        "The control room's feeders, people, audit trail and copies.",
    ),
    "restore": Listed(
        "learnopt.cli.restore:restore",
        "Supply after a fault: isolate it, supply the most load within the limits, and say what is proven.",
    ),
    "restorability": Listed(
        "learnopt.cli.restorability:restorability",
        "Restorable load, operations and loss after every single fault, the worst first.",
    ),
    "region": Listed(
        "learnopt.cli.region:region",
        "Solve many feeders in one command: a row each, in a table that goes on where it was interrupted.",
    ),
    "generate": Listed(
        "learnopt.cli.data:generate",
        "Draw synthetic feeders and scenarios, or take the snapshots of a feeder; the same input gives the same bytes.",
    ),
    "label": Listed(
        "learnopt.cli.data:label",
        "Solve every instance exactly; run again after an interruption to complete.",
    ),
    "train": Listed(
        "learnopt.cli.learn:train",
        "Train a model on exact labels, calibrate it, track the run in MLflow, write a checkpoint.",
    ),
    "sweep": Listed(
        "learnopt.cli.sweep:sweep",
        "Train with several seeds and settings, each a run of MLflow below one of the whole; the best is registered.",
    ),
    "calibrate": Listed(
        "learnopt.cli.learn:calibrate",
        "Calibrate a checkpoint on feeders that it was not trained on: thresholds with a stated risk, and new metrics.",
    ),
    "evaluate": Listed(
        "learnopt.cli.learn:evaluate",
        "Measure a model and its rivals on exact labels; of one's own feeder on the last days, against persistence.",
    ),
    "monitor": Listed(
        "learnopt.cli.monitor:monitor",
        "Compare a model with exact answers over time, and say when to calibrate it again or to train it again.",
    ),
    "promote": Listed(
        "learnopt.cli.promote:promote",
        "Let the alias champion name another version of a model, if that is better and keeps the risk it states.",
    ),
    "plan": Listed(
        "learnopt.cli.plan:plan_app",
        "Planning: substations and routes, conductors, phases.",
    ),
    "warmup": Listed(
        "learnopt.cli.warmup:warmup",
        "Compile the searches ahead, once on a machine: a first large feeder does not wait for it then.",
    ),
}


class Commands(TyperGroup):
    """The commands of :data:`COMMANDS`: listed without loading them, since some load numerical libraries."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, listed in COMMANDS.items():
            self.add_command(TyperCommand(name, help=listed.summary, rich_markup_mode=self.rich_markup_mode), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that runs, loaded."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else command(name), rest


app = typer.Typer(
    name="learnopt",
    help="Learned, exact, certified reconfiguration of electric distribution feeders.",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def command(name: str) -> Any:
    """A command, or a group of commands, loaded."""
    module, attribute = COMMANDS[name].place.split(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    alone.command(name=name)(found)
    return typer.main.get_command(alone)


def commands() -> dict[str, Any]:
    """All commands and groups by name, loaded, in the order of ``learnopt --help``."""
    return {name: command(name) for name in COMMANDS}


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


def run(arguments: list[str] | None = None) -> None:
    """Run a command line and exit.

    Errors raised on purpose become a readable list on stderr, or ``{"errors": [...]}`` on stdout with ``--json``; never
    a traceback.
    """
    given = sys.argv[1:] if arguments is None else arguments
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_TIME, "")  # dates as this reader writes them
    try:
        code = app(args=given, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except LearnoptError as error:
        # Also an error before any command: options are loaded where one is to be worded.
        from learnopt.cli.options import as_flag

        messages, text = error.sentences(as_flag), error.told(as_flag)
    except ModuleNotFoundError as error:
        text = without_learning(f"learnopt {' '.join(given[:1])}", error).told()
        messages = [text]
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
