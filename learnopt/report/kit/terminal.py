"""Tables and sentences of a terminal of any width: no word and no number is ever cut.

A table that does not fit is turned (a column per row), and where that does not fit either, written as a block per row.
Numbers hold together: their thousands are apart by a space at which other programs would break the line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

Cell = str | Text
_COMFORT = 22
"""Width below which a column of text is not pressed while a table fits in another way [characters]."""
_PRESSED = 14
"""Width below which a column of text is not pressed at all."""
_LONGEST_WORD = 30
"""A longer word, a path or an address, is folded."""
_KEPT = "\u00a0"
_UNIT = re.compile(r"(?<=\d) (?=(?:pu|%|kW|kvar|kWh|MW|MWh|MVA|kV|A|h|s|km|kg|t)\b|%)")
_RULES = 3
"""Characters that a column takes besides its cells."""
_MOST_TURNED = 7
"""Most rows that are written side by side."""


@dataclass(frozen=True)
class Listing:
    """A table for people.

    Parameters
    ----------
    head
        Names of the columns; the first one names the rows.
    rows
        Cells, one per column; a :class:`~rich.text.Text` gives its style.
    numeric
        Columns aligned right, whose cells stay in one line.
    title
        Written above.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: Collection[int] = ()
    title: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table where it fits, else turned, else a block per row."""
        width = options.max_width
        if self.title:
            yield from Paragraph(self.title, "italic").__rich_console__(console, options)
        found = self._table(self.head, self.rows, self.numeric, width)
        if found is None and len(self.head) == 2:
            found = self._table(self.head, self.rows, (), width, breaking=True)
        if found is None and len(self.head) > 1 and len(self.rows) <= _MOST_TURNED:
            head = [self.head[0], *(_plain(row[0]) for row in self.rows)]
            turned = [[name, *(row[k] for row in self.rows)] for k, name in enumerate(self.head) if k]
            found = self._table(head, turned, range(1, len(head)), width, breaking=True)
        if found is not None:
            yield found
            return
        for row in self.rows:
            yield from self._block(row, width)

    @staticmethod
    def _table(
        head: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        numeric: Collection[int],
        width: int,
        breaking: bool = False,
    ) -> Table | None:
        """The table, None where a column would be pressed too much; ``breaking`` may break cells of numbers, too."""
        columns = [[_plain(row[k]) for row in rows] for k in range(len(head))]
        least, full = [], []
        for k, cells in enumerate(columns):
            whole = max((cell_len(line) for cell in cells for line in cell.split("\n")), default=0)
            word = min(max(map(_longest_word, (head[k], *cells))), _LONGEST_WORD)
            full.append(max(whole, word, min(cell_len(head[k]), 2 * word)))
            kept = whole if k in numeric and not breaking else min(whole, _PRESSED if breaking else _COMFORT)
            least.append(max(word, 0 if breaking else kept))
        spare = width - 1 - sum(least) - _RULES * len(head)
        if spare < 0:
            return None
        lack = [whole - kept for whole, kept in zip(full, least, strict=True)]
        share = min(spare / max(sum(lack), 1), 1.0)
        wide = [kept + int(share * missing) for kept, missing in zip(least, lack, strict=True)]
        body = [[_wrapped(cell, wide[k]) for k, cell in enumerate(row)] for row in rows]
        table = Table(show_lines=any("\n" in row[0].plain for row in body))
        for k, name in enumerate(head):
            side = "right" if k in numeric else "left"
            table.add_column(_wrapped(name, wide[k]), justify=side, no_wrap=True, width=wide[k])  # type: ignore[arg-type]
        for row in body:
            table.add_row(*row)
        return table

    def _block(self, row: Sequence[Cell], width: int) -> Iterator[Text]:
        """A row as lines: the first cell, then name and value of the others."""
        names = max(map(cell_len, self.head[1:]), default=0)
        first = _plain(row[0])
        yield _wrapped(Text(f"{self.head[0]} {first}".strip(), style="bold"), width)
        for name, cell in zip(self.head[1:], row[1:], strict=True):
            if not _plain(cell):
                continue
            if width < names + 4 + _PRESSED:  # no room beside the name
                yield _wrapped(f"  {name}: {_plain(cell)}", width)
                continue
            value = _wrapped(cell, width - names - 4)
            text = Text(f"  {name}{' ' * (names - cell_len(name))}  ", "dim")
            text.append(f"\n{' ' * (names + 4)}".join(value.plain.split("\n")), value.style)
            yield text


@dataclass(frozen=True)
class Paragraph:
    """A sentence for people, wrapped between words."""

    text: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its lines."""
        style = console.get_style(self.style)
        for line in _lines(self.text, options.max_width):
            yield Segment(line, style)
            yield Segment.line()


def paragraphs(texts: Iterable[str], style: str = "") -> list[Paragraph]:
    """Several sentences, each in lines of its own."""
    return [Paragraph(text, style) for text in texts]


def _plain(cell: Cell) -> str:
    return cell.plain if isinstance(cell, Text) else cell


def _words(text: str) -> list[str]:
    """Parts between which a line may end: a number is not parted from its unit."""
    return _UNIT.sub(_KEPT, text).split(" ")


def _longest_word(text: str) -> int:
    return max(map(cell_len, _words(text.replace("\n", " "))), default=0)


def _wrapped(cell: Cell, width: int) -> Text:
    """A cell in lines of a width."""
    return Text("\n".join(_lines(_plain(cell), width)), style=cell.style if isinstance(cell, Text) else "")


def _lines(text: str, width: int) -> list[str]:
    """Lines of a text, broken at plain spaces only; an indented line goes on indented, a longer word is folded."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        words = paragraph.lstrip(" ")
        line = before = " " * min(len(paragraph) - len(words), width // 2)
        for word in _words(words):
            joined = line + word if line == before else f"{line} {word}"
            if cell_len(joined) <= width:
                line = joined
                continue
            if line != before:
                lines.append(line)
            rest = before + word
            while cell_len(rest) > width:
                lines.append(rest[:width])
                rest = before + rest[width:]
            line = rest
        lines.append(line)
    return [line.replace(_KEPT, " ") for line in lines]
