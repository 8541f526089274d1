"""What a configuration and its settings change in the tables of a pandapower net."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from learnopt.io.pandapower.switches import moving_switches
from learnopt.io.pandapower.tables import Tables
from learnopt.io.pandapower.taps import tap_cells
from learnopt.io.stations import equipment
from learnopt.network import Configuration, Network, Settings


@dataclass(frozen=True)
class Cell:
    """A new value of a cell; ``index`` as text."""

    index: str
    column: str
    value: Any


def changed_cells(
    tables: Tables, network: Network, configuration: Configuration, settings: Settings | None = None
) -> dict[str, list[Cell]]:
    """Cells to change, by table, so that the net is in this state.

    Switches of the branches that differ from the present state move: those of both ends together, or those of the end
    that alone has some or alone is open in the file, which is what was computed. A branch without a switch goes out of
    service. Taps go to the nearest position; capacitors and generators are no controls that such a net has.

    Parameters
    ----------
    network
        What was read from ``tables``.
    settings
        Values of the controls of ``network``; None = taps stay.
    """
    rows = moving_switches(tables)
    cells: dict[str, list[Cell]] = defaultdict(list)
    moved = np.flatnonzero(configuration.closed != network.normal_configuration.closed)
    for e in moved.tolist():
        branch, closed = str(network.branch_ids[e]), bool(configuration.closed[e])
        for part in equipment(branch):
            moving = rows.get(part, []) if part == branch else []
            cells["switch"] += [Cell(row, "closed", closed) for row in moving]
            if not moving:
                kind, index = part.split()[:2]
                cells[kind].append(Cell(index, "in_service", closed))
    if settings is not None:
        asked = {
            part: value
            for tap, value in zip(network.controls.taps, settings.taps, strict=True)
            for part in equipment(str(network.branch_ids[tap.branch]))
        }
        for kind, index, position in tap_cells(tables, asked):
            cells[kind].append(Cell(index, "tap_pos", position))
    return {kind: changes for kind, changes in cells.items() if changes}
