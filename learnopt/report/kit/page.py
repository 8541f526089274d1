"""The frame of every HTML report: one file that needs no network, tables, pictures for screen and paper."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from importlib.resources import files

from matplotlib.figure import Figure

from learnopt.report.kit.files import SAFE, figure_bytes, plotly_script
from learnopt.report.kit.numbers import escaped


def page(title: str, sections: Iterable[str]) -> str:
    """A self-contained page; empty sections are left out."""
    style = files("learnopt.report.kit").joinpath("report.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{SAFE}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{style}</style>\n"
        f"{plotly_script()}\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, sections))
        + "\n</main>\n</body>\n</html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = (), kind: str = "") -> str:
    """A table of escaped cells; columns listed in ``numeric`` are aligned right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=number' if k in numeric else ''}>{escaped(cell)}</{tag}>" for k, cell in enumerate(row)
        )

    top = f"<thead><tr>{cells('th', head)}</tr></thead>" if head else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<table class="{kind}">{top}<tbody>{body}</tbody></table>'


def drawing(name: str, figure: Figure) -> str:
    """A drawing for the screen and for paper alike."""
    data = base64.b64encode(figure_bytes(figure, "svg")).decode()
    return f'<img class="drawing" alt="{escaped(name)}" src="data:image/svg+xml;base64,{data}">'


def tiles(shown: Iterable[tuple[str, str, str]]) -> str:
    """Figures to see first: name, value and a note."""
    each = (
        f'<div class="tile"><span class="name">{escaped(name)}</span><span class="value">{escaped(value)}</span>'
        f'<span class="note">{escaped(note)}</span></div>'
        for name, value, note in shown
    )
    return f'<section class="tiles">{"".join(each)}</section>'


def figures(plot: str, drawings: Iterable[tuple[str, Figure]], vector: bool) -> str:
    """An interactive plot and the drawings that take its place on paper."""
    kind, media = ("svg", "image/svg+xml") if vector else ("png", "image/png")
    images = ""
    for name, f in drawings:
        tall = " class=tall" if f.get_figheight() > f.get_figwidth() else ""
        data = base64.b64encode(figure_bytes(f, kind)).decode()
        images += f'<img{tall} alt="{escaped(name)}" src="data:{media};base64,{data}">'
    static = "<noscript><style>.paper{display:block}.screen{display:none}</style></noscript>"
    return f'<div class="screen">{plot}</div><div class="paper">{images}</div>{static}'
