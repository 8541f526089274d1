"""A page per command, made from the command line itself: what it does, arguments, options, where it is shown.

Nothing is written by hand twice: an option without a help text, or a command that no how-to page shows, is found by the
tests of this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from learnopt.cli import app

HOWTO = Path(__file__).parent / "howto"


@dataclass(frozen=True)
class Command:
    """A command of the program.

    Parameters
    ----------
    words
        What is typed, for instance ``plan conductors``.
    command
        The command object of Typer (click's, or Typer's own copy of it).
    """

    words: str
    command: Any

    @property
    def page(self) -> str:
        """Its page, below ``docs/``."""
        return f"commands/{self.words.replace(' ', '-')}.md"

    @property
    def summary(self) -> str:
        """First sentence of its help."""
        return _plain(self.command.help or "").split("\n\n")[0].split(". ")[0].replace("\n", " ").rstrip(".") + "."


def commands() -> list[Command]:
    """Every command of the program, subcommands as commands of their own, in the order of ``learnopt --help``."""

    def walk(words: str, command: Any) -> list[Command]:
        inner = getattr(command, "commands", None)
        if inner is None:
            return [Command(words, command)]
        return [found for name, each in inner.items() for found in walk(f"{words} {name}".strip(), each)]

    return [found for name, each in app.commands().items() for found in walk(name, each)]


def overview() -> str:
    """The page that lists the commands."""
    rows = [f"| [`learnopt {c.words}`]({c.page}) | {_cell(c.summary)} |" for c in commands()]
    return "\n".join(
        [
            "# Commands",
            "",
            "| command | what it does |",
            "|---|---|",
            *rows,
            "",
            "Exit codes: 0, there is an answer; 1, there is none (or none was found in the limits); 2, bad input, "
            "every problem of a file listed at once. `--json` prints one JSON object and nothing else. "
            "`learnopt COMMAND --help` says what these pages say.",
            "",
        ]
    )


def page(command: Command) -> str:
    """The page of a command."""
    shown = [p for p in (command.command.params) if not getattr(p, "hidden", False) and p.name != "help"]
    arguments = [p for p in shown if p.param_type_name == "argument"]
    options = [p for p in shown if p.param_type_name == "option"]
    usage = " ".join([f"learnopt {command.words}", "[OPTIONS]", *(_metavar(p) for p in arguments)])
    lines = [f"# learnopt {command.words}", "", _plain(command.command.help or ""), "", "```text", usage, "```", ""]
    if arguments:
        lines += ["| argument | what it is |", "|---|---|"]
        lines += [f"| {label(p)} | {_help(p)} |" for p in arguments]
        lines.append("")
    lines += ["| option | what it does | default |", "|---|---|---|"]
    lines += [f"| {label(p)} | {_help(p)} | {_default(p)} |" for p in options]
    pages = shown_on(command)
    if pages:
        links = ", ".join(f"[{_title(found)}](../howto/{found.name})" for found in pages)
        lines += ["", f"Shown in: {links}."]
    return "\n".join(lines) + "\n"


def shown_on(command: Command) -> list[Path]:
    """How-to pages that run a command."""
    line = re.compile(rf"^(?:\$ )?learnopt {command.words}(?![\w-])", re.M)
    return [found for found in sorted(HOWTO.glob("*.md")) if line.search(found.read_text(encoding="utf-8"))]


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def label(parameter: Any) -> str:
    """First cell of a row: the argument, ``--option VALUE``, or both names of a flag."""
    if parameter.param_type_name == "argument":
        return f"`{_metavar(parameter)}`"
    on = ", ".join(parameter.opts)
    words = [on, *parameter.secondary_opts] if parameter.is_flag else [f"{on} {_metavar(parameter)}"]
    cell = f"`{' / '.join(words)}`"
    return cell.replace("|", "\\|")  # of a table


def _metavar(parameter: Any) -> str:
    """What stands for the value: the name it was given, or its type."""
    kind = parameter.type_descriptor.annotation
    word = "NAME" if _choices(parameter) else {int: "N", float: "X", Path: "PATH"}.get(kind, "TEXT")
    return str(parameter.metavar or word)


def _choices(parameter: Any) -> list[str]:
    kind = parameter.type_descriptor.annotation
    return [each.value for each in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []


def _help(parameter: Any) -> str:
    """Help text of an argument or option, with the values that it may have."""
    one_of = ", ".join(f"`{choice}`" for choice in _choices(parameter))
    return _cell(_plain(parameter.help or "") + (f" One of {one_of}." if one_of else ""))


def _default(option: Any) -> str:
    if getattr(option, "required", False):
        return "required"
    value = option.default
    if value is None or value is False or callable(value) or isinstance(value, (list, tuple)):
        return ""
    return "on" if value is True else f"`{getattr(value, 'value', value)}`"


def _plain(text: str) -> str:
    """Help text without the marks of a terminal: ``[b]...[/b]`` becomes code, escaped brackets are brackets."""
    text = re.sub(r"\[b\](.*?)\[/b\]", r"`\1`", text)
    return text.replace("\\[", "[").strip()


def _cell(text: str) -> str:
    """Text in one cell of a table: on one line, no bars, nothing taken for a tag or a link."""
    text = " ".join(text.split()).replace("|", "\\|").replace("[", "\\[")
    return text.replace("<", "&lt;")
