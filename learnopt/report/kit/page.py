"""The frame of every HTML report: one file that needs no network, tables, pictures for screen and paper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files

from learnopt.report.kit.numbers import escaped
from learnopt.report.kit.sheet import script

_SAFE = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
)
"""Forbids the page every access to the network."""


def page(title: str, sections: Iterable[str]) -> str:
    """A self-contained page; empty sections are left out."""
    style = files("learnopt.report.kit").joinpath("report.css").read_text(encoding="utf-8")
    body = "\n".join(filter(None, sections))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{_SAFE}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{style}</style>\n"
        f"</head>\n<body>\n<main>\n{body}\n</main>\n{script()}\n</body>\n</html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = (), kind: str = "") -> str:
    """A table of escaped cells; columns listed in ``numeric`` are aligned right.

    On a narrow screen every row of a table with a head becomes a card, its cells below each other with their names.
    """

    def cells(tag: str, row: Sequence[str]) -> str:
        shown = []
        for k, cell in enumerate(row):
            name = f' data-name="{escaped(head[k])}"' if tag == "td" and head else ""
            shown.append(f"<{tag}{' class=number' if k in numeric else ''}{name}>{_kept(escaped(cell))}</{tag}>")
        return "".join(shown)

    top = f"<thead><tr>{cells('th', head)}</tr></thead>" if head else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<table class="{f"{kind} cards".strip() if head else kind}">{top}<tbody>{body}</tbody></table>'


def _kept(text: str) -> str:
    """A number stays with its unit."""
    return _UNIT.sub("\u00a0", text)


_UNIT = re.compile(r"(?<=\d) (?=(?:pu|%|kW|kvar|kWh|MWh?|MVA|kV|A|h|s|km)\b|%)")


def tiles(shown: Iterable[tuple[str, str, str]]) -> str:
    """Figures to see first: name, value and a note."""
    each = (
        f'<div class="tile"><span class="name">{escaped(name)}</span><span class="value">{escaped(value)}</span>'
        f'<span class="note">{escaped(note)}</span></div>'
        for name, value, note in shown
    )
    return f'<section class="tiles">{"".join(each)}</section>'
