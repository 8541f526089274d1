"""Run what a page shows, from top to bottom, and compare or renew the outputs that stand below it.

``python docs/shown.py PAGE...`` renews the outputs of README.md and of the pages under ``docs/`` (all without
arguments); the tests run the same and compare. What is run:

- a block ``console``: lines that begin with ``$ learnopt``, each with its output below; ``# exit code 1`` at the end of
  a command says how it ends. A line ``...`` in an output stands for lines that are left out;
- a block without a language: its lines that begin with ``learnopt`` or ``.venv/bin/learnopt``, outputs not compared;
- a block ``python``, and where a block ``text`` follows at once, its output; one that begins with ``# NAME.py`` is a
  file of that name for the commands below it.

All blocks of a page share one folder and one namespace. Computing times are not compared.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.M | re.S)
_TIME = re.compile(r"\b\d[\d.]* s\b")
_FILE = re.compile(r"# (\w+\.py)\n")
_EXIT = re.compile(r"# exit code (\d)")
_COMMAND = re.compile(r"^(?:\.venv/bin/)?learnopt .*$", re.M)
_SHORTER = {"synthetic": ["--steps", "48"], "year.csv": ["--steps", "48", "--proof-time", "5"]}
"""Words that make a command long, and what shortens it where its output is not shown."""


def pages() -> list[Path]:
    """README.md and every page of the documentation that shows a command or an output."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if any(_runs(block) for block in BLOCK.finditer(page.read_text(encoding="utf-8")))]


def _runs(block: re.Match[str]) -> bool:
    kind, body = block["kind"], block["body"]
    return kind in ("python", "console") or (kind == "" and _COMMAND.search(body) is not None)


def commands(text: str) -> list[str]:
    """Every command line of a page, in order, as a reader would type it."""
    found: list[str] = []
    for block in BLOCK.finditer(text):
        if block["kind"] == "console":
            found += re.findall(r"^\$ (.*)$", block["body"], re.M)
        elif block["kind"] == "":
            found += _COMMAND.findall(block["body"])
    return found


def files(text: str) -> dict[str, str]:
    """Files that a page has its reader write, by name."""
    found = (block["body"] for block in BLOCK.finditer(text) if block["kind"] == "python")
    return {named[1]: body for body in found if (named := _FILE.match(body))}


def arguments(line: str) -> tuple[list[str], int]:
    """Arguments of a command line, and the exit code that it names."""
    return shlex.split(line, comments=True)[1:], int(found[1]) if (found := _EXIT.search(line)) else 0


def without_times(text: str) -> str:
    """The text with every computing time replaced by the same sign, and without blanks at ends of lines."""
    return "\n".join(line.rstrip() for line in _TIME.sub("* s", text).splitlines())


def same(shown: str, printed: str) -> bool:
    """Whether an output is what was printed, computing times and left-out lines aside."""
    kept = re.split(r"^\.\.\.$", without_times(shown).strip("\n"), flags=re.M)
    return re.fullmatch("(?s:.*)".join(map(re.escape, kept)), without_times(printed).strip("\n")) is not None


@dataclass
class Session:
    """One page being run: where, with which names, and what did not end as it should.

    Parameters
    ----------
    folder
        Current folder of every block.
    """

    folder: Path
    names: dict[str, object] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def command(self, line: str, shown: bool) -> str:
        """Standard output of a command line."""
        from learnopt.cli.app import run

        given, expected = arguments(line)
        if not shown:
            given += [part for word, parts in _SHORTER.items() if word in line for part in parts]
        printed = io.StringIO()
        with self._here(), contextlib.redirect_stdout(printed):
            try:
                run(given)
            except SystemExit as ended:
                if ended.code != expected:
                    self.problems.append(f"{line}: exit code {ended.code}, {expected} expected")
        return printed.getvalue()

    def python(self, code: str) -> str:
        """Standard output of a block of Python; a file is written."""
        if named := _FILE.match(code):
            (self.folder / named[1]).write_text(code, encoding="utf-8")
            return ""
        printed = io.StringIO()
        with self._here(), contextlib.redirect_stdout(printed):
            exec(compile(code, "page", "exec"), self.names)
        return printed.getvalue()

    @contextlib.contextmanager
    def _here(self) -> Iterator[None]:
        before, width = Path.cwd(), os.environ.get("COLUMNS")
        os.chdir(self.folder)
        os.environ["COLUMNS"] = "80"
        try:
            yield
        finally:
            os.chdir(before)
            os.environ.pop("COLUMNS")
            if width is not None:
                os.environ["COLUMNS"] = width


def run_page(text: str, folder: Path) -> tuple[str, list[str]]:
    """Run a page; returns it with the outputs that were printed, and a sentence for each command that failed."""
    session = Session(folder)
    parts: list[str] = []
    end = 0
    awaited: str | None = None  # what the last Python block printed
    for block in BLOCK.finditer(text):
        between, body = text[end : block.start()], block["body"]
        parts.append(between)
        if block["kind"] == "text" and awaited is not None and not between.strip():
            body = body if same(body, awaited) else _closed(awaited)
        awaited = session.python(body) if block["kind"] == "python" else None
        if block["kind"] == "console":
            body = _console(body, session)
        elif block["kind"] == "":
            for line in _COMMAND.findall(body):
                session.command(line, shown=False)
        parts.append(f"```{block['kind']}\n{body}```")
        end = block.end()
    return "".join([*parts, text[end:]]), session.problems


def _console(body: str, session: Session) -> str:
    """A console block with the outputs that its commands print."""
    parts = []
    for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", body, re.M):
        printed = session.command(command, shown=True)
        parts.append(f"$ {command}\n{output if same(output, printed) else _closed(printed)}")
    return "".join(parts)


def _closed(text: str) -> str:
    """Text as it is shown: no blanks at ends of lines, one line end at its end."""
    lines = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    return f"{lines}\n" if lines else ""


def main() -> None:
    """Renew outputs in place."""
    parser = argparse.ArgumentParser(description="Renew the outputs that README.md and the pages of docs/ show.")
    parser.add_argument("pages", nargs="*", type=Path)
    for page in parser.parse_args().pages or pages():
        text = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            renewed, problems = run_page(text, Path(folder))
        page.write_text(renewed, encoding="utf-8")
        print(f"{page}: {'renewed' if renewed != text else 'as it was'}", *problems, sep="\n  ")


if __name__ == "__main__":
    main()
