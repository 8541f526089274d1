"""Lines of OpenDSS as OpenDSS takes them apart: verbs, parameters, quotes, comments, and its own lists of names.

A statement is written again from its parts, verb and properties by their full names, so that OpenDSS cannot
understand it in another way than it was checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

_QUOTES = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'"}
_DELIMITERS = " \t,="


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name ("" where it stands by its position), its value, and the quote that opens the value."""

    name: str
    value: str
    quote: str = ""

    @property
    def text(self) -> str:
        """As OpenDSS reads it."""
        value = f"{self.quote}{self.value}{_QUOTES[self.quote]}" if self.quote else self.value
        return f"{self.name}={value}" if self.name else value


def parameters(line: str) -> list[Parameter]:
    """The parameters of a line up to its comment (``!`` or ``//``), the verb first."""
    found: list[Parameter] = []
    at, name = 0, ""
    while True:
        token = _token(line, at)
        if token is None:
            return [*found, Parameter(name, "", '"')] if name else found
        value, quote, at = token
        end = at
        while end < len(line) and line[end] in " \t":
            end += 1
        if end < len(line) and line[end] == "=" and not name and not quote:
            name, at = value, end + 1
            continue
        found.append(Parameter(name, value, quote))
        name = ""


def _token(line: str, at: int) -> tuple[str, str, int] | None:
    """Value, opening quote and place after it; None at the end or at a comment."""
    while at < len(line) and line[at] in _DELIMITERS:
        at += 1
    if at >= len(line) or line[at] == "!" or line.startswith("//", at):
        return None
    if (quote := line[at]) in _QUOTES:
        end = line.find(_QUOTES[quote], at + 1)
        end = len(line) if end < 0 else end
        return line[at + 1 : end], quote, end + 1
    end = at
    while end < len(line) and line[end] not in _DELIMITERS and line[end] != "!" and not line.startswith("//", end):
        end += 1
    return line[at:end], "", end


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is no block comment: one from ``/*`` at the start of a line to ``*/``."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        inside = inside or line.startswith("/*")
        if not inside:
            yield number, line
        inside = inside and "*/" not in line


def full_name(name: str, known: Sequence[str]) -> str | None:
    """What OpenDSS takes a name for: the same name in any case, else the first one that begins so; in lower case."""
    short = name.lower()
    if short in known:
        return short
    return next((one for one in known if short and one.startswith(short)), None)


@dataclass(frozen=True)
class Vocabulary:
    """OpenDSS's own lists, in lower case and in its order: verbs, options of ``Set``, properties of each class."""

    verbs: tuple[str, ...]
    options: tuple[str, ...]
    properties: dict[str, tuple[str, ...]]


_NEEDS = {
    "RegControl": "transformer=x winding=2",
    "CapControl": "capacitor=x element=line.x",
    "Relay": "monitoredobj=line.x",
    "Fuse": "monitoredobj=line.x",
    "SwtControl": "switchedobj=line.x",
} | dict.fromkeys(("GenDispatcher", "StorageController", "ESPVLControl"), "element=line.x")
"""Without which an element of a class cannot be made."""
_FIRST = ("Line.x", "Transformer.x", "Capacitor.x bus1=b", "Storage.x")


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The lists, asked of OpenDSS once."""
    import opendssdirect

    dss: Any = opendssdirect.NewContext()
    dss.Basic.AllowForms(False)
    dss.Text.Command("New Circuit.x")
    for element in _FIRST:
        dss.Text.Command(f"New {element}")
    found = {}
    for kind in dss.Basic.Classes():
        dss.Text.Command(f"New {kind}.learnopt {_NEEDS.get(kind, '')}")
        found[kind.lower()] = tuple(name.lower() for name in dss.Element.AllPropertyNames())
    found["circuit"] = found["vsource"]
    run = dss.Executive
    return Vocabulary(
        tuple(run.Command(k + 1).lower() for k in range(run.NumCommands())),
        tuple(run.Option(k + 1).lower() for k in range(run.NumOptions())),
        found,
    )


def words(text: str) -> frozenset[str]:
    """A set of words."""
    return frozenset(text.split())


def shown(path: Path, root: Path) -> str:
    """A file as messages name it: below the folder of the master."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
