"""One-line layout for feeders without coordinates: deterministic, free of crossings between tree branches.

Every substation is a vertical bar on the left, feeders leave it to the right. A column is the number of branches from
the substation, a row belongs to a path: the longest path of a subtree runs straight on, laterals leave it upwards or
downwards and run parallel to it. Laterals of far buses are placed first and subtrees are packed by their outlines, so
the drop to a lateral never meets another row. The tree is that of the normal configuration: pictures before and after
share positions, and the eye sees only what changes.

.. code-block:: text

                 ┌──o──o            lateral, above
    ┃──o──o──o───o──o──o──o         trunk
    ┃     │  └──o──o
    ┃     o                         lateral of one bus: straight down
    ┃──o──o──o                      next feeder
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from learnopt.network import Floats, Ints, Network
from learnopt.network.topology import maximum_spanning_tree
from learnopt.physics.rooted_tree import rooted
from learnopt.report.drawing.positions import Layout

ROW_HEIGHT = 0.75
"""Distance of rows in columns, before a flat picture is stretched."""
_ASPECT = 1.6
"""Width over height of the page that the picture should fill."""
_BUSBAR_FEEDERS = 5
"""A bus behind a substation that feeds this many others is drawn as a bar of its own."""
_BAR_END = 0.35
"""Rows that a bar reaches beyond its outer feeders."""
_GAP = 1.5
"""Columns or rows between two bars' feeders."""
_MOST_COLUMNS = 16
"""Most columns in which substations are placed."""
_PASSES = 4
"""Times the sides of laterals are chosen again to shorten ties."""
_MOST_STRETCH = 2.0
"""Most that the rows of a flat picture are pulled apart."""


@dataclass
class _Shape:
    """A laid-out subtree: buses relative to its head and its outline, by column from the head."""

    buses: list[tuple[int, int, int]]
    """(bus, column, row), rows counted downwards."""
    up: list[int]
    """Rows used above the head's row, one value per column."""
    down: list[int]
    """Rows used below the head's row, one value per column."""


def one_line_layout(network: Network) -> Layout:
    """Lay out a network; the same network gives the same picture."""
    every = np.ones(network.n_branch, dtype=bool)
    # The normal configuration where that is radial; missing branches are added and loops are left out.
    spanning = maximum_spanning_tree(network, every, network.normal_configuration.closed.astype(float))
    tree = rooted(network, spanning)
    if tree is None:
        raise ValueError(f"network {network.name!r}: some buses have no path to a substation")
    order, parent, feed = tree
    n = network.n_bus
    roots = [int(k) for k in network.substations]
    children: list[list[int]] = [[] for _ in range(n)]
    height = [1] * n  # buses on the longest path downwards
    for k in order[::-1].tolist():
        p = int(parent[k])
        if p >= 0:
            children[p].append(k)
            height[p] = max(height[p], height[k] + 1)
    for below in children:
        below.sort(key=lambda k: (-height[k], k))

    ties = np.flatnonzero(~spanning)
    ends = np.column_stack([network.from_bus[ties], network.to_bus[ties]])
    rooted_at = _heads(order.tolist(), parent.tolist(), set(roots))
    hubs = {k for root in roots for k in children[root] if len(children[k]) >= _BUSBAR_FEEDERS}
    feeder = _heads(order.tolist(), parent.tolist(), {k for bar in [*roots, *hubs] for k in children[bar]} | hubs)
    feeders = {bar: _chain([k for k in children[bar] if k not in hubs], ends, feeder) for bar in [*roots, *hubs]}
    groups = _chain(roots, ends, rooted_at)

    best: Layout | None = None
    best_length = np.inf
    pull = np.zeros(n)
    for _ in range(_PASSES if len(ties) else 1):
        x, y, bars = _place(network, feeders, groups, children, pull)
        layout = Layout(network, x, y, bars, parent, feed)
        length = float(np.sum(np.abs(x[ends[:, 0]] - x[ends[:, 1]]) + np.abs(y[ends[:, 0]] - y[ends[:, 1]])))
        if length < best_length - 1e-9:
            best, best_length = layout, length
        pull = _pull(ends, order.tolist(), parent.tolist(), y)
    assert best is not None
    return best


def _heads(order: list[int], parent: list[int], heads: set[int]) -> list[int]:
    """Nearest bus of ``heads`` from every bus towards its substation, itself included."""
    head = list(range(len(order)))
    for k in order:
        if k not in heads and parent[k] >= 0:
            head[k] = head[parent[k]]
    return head


def _chain(members: list[int], ends: Ints, label: list[int]) -> list[int]:
    """Order members so that those joined by many ties are neighbours: start at the first, go on where ties lead.

    Parameters
    ----------
    ends
        End buses of the ties, shape (n_tie, 2).
    label
        Member that each bus belongs to.
    """
    wanted = set(members)
    joined: dict[int, dict[int, int]] = {m: defaultdict(int) for m in members}
    for a, b in ends.tolist():
        u, v = label[a], label[b]
        if u != v and u in wanted and v in wanted:
            joined[u][v] += 1
            joined[v][u] += 1
    rank = {m: i for i, m in enumerate(members)}
    left = dict.fromkeys(members)
    chain: list[int] = []
    while left:
        near = [v for m in chain[-1:] for v in joined[m] if v in left]
        pick = min(near, key=lambda v: (-joined[chain[-1]][v], rank[v])) if near else next(iter(left))
        chain.append(pick)
        del left[pick]
    return chain


def _pull(ends: Ints, order: list[int], parent: list[int], y: Floats) -> Floats:
    """Sum over the ties of each subtree of the height at which they lead away, as seen from its own row."""
    pull = np.zeros(len(order))
    for a, b in ends.tolist():
        difference = float(np.clip(y[b] - y[a], -3.0, 3.0))
        pull[a] += difference
        pull[b] -= difference
    for k in reversed(order):
        if parent[k] >= 0:
            pull[parent[k]] += pull[k]
    return pull


def _place(
    network: Network,
    feeders: dict[int, list[int]],
    groups: list[int],
    children: list[list[int]],
    pull: Floats,
) -> tuple[Floats, Floats, dict[int, Floats]]:
    """Positions of buses and bars for one choice of preferred sides, at the scale that fills a page best.

    Parameters
    ----------
    feeders
        Heads of the feeders of every bar, in the order they are stacked.
    groups
        Substations in the order they are placed.
    """
    shapes = {bar: [_subtree(k, children, pull) for k in heads] for bar, heads in feeders.items()}
    best: tuple[float, list[tuple[_Block, float, float]], float] | None = None
    for two_sided in (False, True):
        blocks = [_substation(root, shapes, children, two_sided) for root in groups]
        for n_columns in range(1, min(len(blocks), _MOST_COLUMNS) + 1):
            placed, width, rows = _pack(blocks, n_columns)
            scale = min(_ASPECT / width, 1.0 / (ROW_HEIGHT * rows))
            if best is None or scale > best[0] * 1.05:
                # A flat picture has room for its ties when the rows are pulled apart.
                stretch = width / (2 * _ASPECT * ROW_HEIGHT * rows)
                best = scale, placed, ROW_HEIGHT * float(np.clip(stretch, 1.0, _MOST_STRETCH))
    assert best is not None
    _, placed, row_height = best
    position = np.zeros((network.n_bus, 2))
    bars: dict[int, Floats] = {}
    for block, column, row in placed:
        for bus, c, r in block.buses:
            position[bus] = column + c, -row_height * (row + r)
        for bus, line in block.bars.items():
            bars[bus] = np.array([[column + c, -row_height * (row + r)] for c, r in line])
    return position[:, 0].copy(), position[:, 1].copy(), bars


def _subtree(head: int, children: list[list[int]], pull: Floats) -> _Shape:
    """Lay out the subtree of a bus, laterals before the paths they leave (no recursion: feeders can be deep)."""
    heads = [head]
    shapes: dict[int, _Shape] = {}
    for start in heads:  # grows: every lateral's head comes after the path it leaves
        k = start
        while True:
            heads += children[k][1:]
            if not children[k]:
                break
            k = children[k][0]
    for start in reversed(heads):
        path = [start]
        while children[path[-1]]:
            path.append(children[path[-1]][0])
        shapes[start] = _path(path, [[shapes.pop(k) for k in children[bus][1:]] for bus in path], children, pull)
    return shapes[head]


def _path(path: list[int], laterals: list[list[_Shape]], children: list[list[int]], pull: Floats) -> _Shape:
    """Attach laterals to a path, far buses first."""
    n = len(path)
    up, down = [0] * n, [0] * n
    buses = [(bus, c, 0) for c, bus in enumerate(path)]
    for c in range(n - 1, -1, -1):
        free = {"up": True, "down": True}  # no drop leaves this bus on that side yet
        for head, shape in zip(children[path[c]][1:], laterals[c], strict=True):
            above = _clearance(up, shape.down, c + 1)
            below = _clearance(down, shape.up, c + 1)
            single = len(shape.up) == 1
            if single and any(free.values()):  # straight up or down, in the column of its bus
                above = up[c] + 1 if free["up"] else above + n
                below = down[c] + 1 if free["down"] else below + n
            preferred = "up" if pull[head] > 0 else "down"
            worse = above - below if preferred == "up" else below - above
            side = preferred if worse <= (2 if pull[head] else 0) else ("down" if preferred == "up" else "up")
            offset = below if side == "down" else -above
            column = c if single and free[side] else c + 1
            buses += [(bus, column + dc, offset + dr) for bus, dc, dr in shape.buses]
            outline, reach, sign = (down, shape.down, 1) if side == "down" else (up, shape.up, -1)
            outline[c] = max(outline[c], sign * offset)
            for i, extent in enumerate(reach):
                outline[column + i] = max(outline[column + i], sign * offset + extent)
            free[side] = False
    return _Shape(buses, up, down)


def _clearance(outline: list[int], reach: list[int], column: int) -> int:
    """Smallest offset at which a shape clears an outline."""
    return max(outline[column + i] + 1 + extent for i, extent in enumerate(reach) if column + i < len(outline))


def _stack(shapes: list[_Shape]) -> list[tuple[_Shape, int]]:
    """Rows of feeders that leave one side of a bar, nested by their outlines."""
    placed: list[tuple[_Shape, int]] = []
    outline: dict[int, int] = {}
    for shape in shapes:
        offset = max((outline.get(c, -1) + 1 + extent for c, extent in enumerate(shape.up)), default=0)
        for c, extent in enumerate(shape.down):
            outline[c] = max(outline.get(c, offset), offset + extent)
        placed.append((shape, offset))
    return placed


@dataclass
class _Block:
    """Buses and bars of one bar, or of one substation with its busbars, in columns and rows of its own."""

    buses: list[tuple[int, float, float]]
    bars: dict[int, list[tuple[float, float]]]

    def extent(self) -> tuple[float, float, float, float]:
        """First and last column, first and last row."""
        points = [(c, r) for _, c, r in self.buses] + [point for line in self.bars.values() for point in line]
        columns, rows = zip(*points, strict=True)
        return min(columns), max(columns), min(rows), max(rows)

    def moved(self, column: float, row: float) -> _Block:
        """The block at another place."""
        return _Block(
            [(bus, c + column, r + row) for bus, c, r in self.buses],
            {bus: [(c + column, r + row) for c, r in line] for bus, line in self.bars.items()},
        )


def _bar(bus: int, shapes: list[_Shape], two_sided: bool) -> _Block:
    """A vertical bar with its feeders to the right, or the first half to the right and the rest to the left."""
    right, left = _stack(shapes), []
    if two_sided and len(shapes) > 1:
        total = sum(len(shape.buses) for shape in shapes)
        shares = np.cumsum([len(shape.buses) for shape in shapes]) / total
        half = int(np.argmin(np.abs(shares[:-1] - 0.5))) + 1
        right, left = _stack(shapes[:half]), _stack(shapes[: half - 1 : -1])  # neighbours in the chain stay close
    buses: list[tuple[int, float, float]] = []
    for stack, sign in ((right, 1), (left, -1)):
        buses += [(k, sign * (1 + c), offset + r) for shape, offset in stack for k, c, r in shape.buses]
    rows = [offset for _, offset in right + left] or [0]
    low, high = min(rows) - _BAR_END, max(rows) + _BAR_END
    buses.append((bus, 0, 0.5 * (low + high)))
    return _Block(buses, {bus: [(0, low), (0, high)]})


def _substation(root: int, shapes: dict[int, list[_Shape]], children: list[list[int]], two_sided: bool) -> _Block:
    """A substation with its feeders; busbars behind it stand side by side under its own bar."""
    hubs = [k for k in children[root] if k in shapes]
    if not hubs:
        return _bar(root, shapes[root], two_sided)
    parts = [_bar(root, shapes[root], False)] if shapes[root] else []
    parts += [_bar(hub, shapes[hub], two_sided) for hub in hubs]
    joined = _Block([], {})
    edge = 0.0
    for part in parts:
        first, last, top, _ = part.extent()
        part = part.moved(edge - first, -top)
        edge += last - first + _GAP
        joined.buses += part.buses
        joined.bars |= part.bars
    columns = [line[0][0] for line in joined.bars.values()]
    first, last = (columns[0], columns[-1]) if len(columns) > 1 else (columns[0] - 0.5, columns[0] + 0.5)
    own = joined.bars.get(root)
    top = -1.5
    joined.bars[root] = [(own[1]), (own[0][0], top), (last, top)] if own else [(first, top), (last, top)]
    joined.buses = [entry for entry in joined.buses if entry[0] != root]
    joined.buses.append((root, 0.5 * (first + last), top))
    return joined


def _pack(blocks: list[_Block], n_columns: int) -> tuple[list[tuple[_Block, float, float]], float, float]:
    """Place blocks below each other in some columns of about equal height.

    Returns
    -------
    (block, column, row) each, then the width and the rows of the whole.
    """
    extents = [block.extent() for block in blocks]
    target = sum(bottom - top + _GAP for _, _, top, bottom in extents) / n_columns
    placed, column, used, filled, tallest = [], 0.0, 0.0, 0.0, 0.0
    for block, (first, last, top, bottom) in zip(blocks, extents, strict=True):
        tall = bottom - top + _GAP
        if filled > 0 and filled + 0.5 * tall > target:
            column, used, filled = column + used + _GAP, 0.0, 0.0
        placed.append((block, column - first, filled - top))
        filled += tall
        used = max(used, last - first)
        tallest = max(tallest, filled)
    return placed, column + used + 1.0, tallest
