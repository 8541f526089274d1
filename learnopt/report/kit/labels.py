"""Where labels of a picture stand: beside their place, clear of each other, of marks and of the rim."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from learnopt.network import Floats

_SIDES = ((0, -1), (0, 1), (1, -0.7), (-1, -0.7), (1, 0.7), (-1, 0.7), (1, 0), (-1, 0), (0, -2), (0, 2))
"""Where a label is tried, in turn: x and y from its place, in reaches and halves of its size."""
_CELL = 40.0


@dataclass(frozen=True)
class Box:
    """A label by its middle and its size."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other: Box) -> bool:
        """Whether two boxes overlap."""
        near = abs(self.x - other.x) < 0.5 * (self.width + other.width)
        return near and abs(self.y - other.y) < 0.5 * (self.height + other.height)


def place(
    wanted: Sequence[Box], dots: Floats, reach: float, inside: tuple[float, float, float, float]
) -> list[Box | None]:
    """Boxes of labels in the order of their importance; None where there is no room.

    Parameters
    ----------
    wanted
        Size of each label, at the place that it belongs to.
    dots
        Middles of marks that labels should not cover, shape (n, 2).
    reach
        Distance of a label from its place.
    inside
        Left, lower, right and upper end of the picture; no label reaches beyond.
    """
    taken: dict[tuple[int, int], list[Box]] = defaultdict(list)
    marks: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for x, y in np.reshape(dots, (-1, 2)).tolist():
        marks[int(x // _CELL), int(y // _CELL)].append((x, y))
    left, low, right, high = inside
    found: list[Box | None] = []
    for box in wanted:
        best: tuple[float, Box] | None = None
        for rank, (dx, dy) in enumerate(_SIDES):
            x = box.x + dx * (reach + 0.5 * box.width)
            y = box.y + dy * (reach + 0.5 * box.height)
            x = float(np.clip(x, left + 0.5 * box.width, right - 0.5 * box.width))
            y = float(np.clip(y, low + 0.5 * box.height, high - 0.5 * box.height))
            there = replace(box, x=x, y=y)
            cells = _cells(there)
            if any(there.meets(other) for cell in cells for other in taken[cell]):
                continue
            hidden = sum(
                abs(a - x) < 0.5 * box.width + 0.3 * reach and abs(b - y) < 0.5 * box.height + 0.3 * reach
                for cell in cells
                for a, b in marks[cell]
            )
            if best is None or hidden + 0.1 * rank < best[0]:
                best = hidden + 0.1 * rank, there
        found.append(best[1] if best is not None and best[0] < _MOST_HIDDEN else None)
        if found[-1] is not None:
            for cell in _cells(found[-1]):
                taken[cell].append(found[-1])
    return found


_MOST_HIDDEN = 3.0
"""Marks that a label may cover."""


def _cells(box: Box) -> list[tuple[int, int]]:
    """Cells of a grid that a box touches."""
    columns = range(int((box.x - 0.5 * box.width) // _CELL), int((box.x + 0.5 * box.width) // _CELL) + 1)
    rows = range(int((box.y - 0.5 * box.height) // _CELL), int((box.y + 0.5 * box.height) // _CELL) + 1)
    return [(c, r) for c in columns for r in rows]
