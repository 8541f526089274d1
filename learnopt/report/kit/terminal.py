"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text


def text_table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[int] = ()) -> Table:
    """A table of text, in which no cell is markup; columns listed in ``numeric`` are aligned right."""
    table = Table(title=Text(title) if title else None, title_justify="left")
    for column in head:
        table.add_column(Text(column))
    for k in numeric:
        table.columns[k].justify = "right"
    for row in rows:
        table.add_row(*map(Text, row))
    return table
