"""What a configuration and its settings change in the tables of a pandapower net."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from learnopt.io.pandapower.tables import Tables
from learnopt.io.pandapower.taps import tap_cells
from learnopt.io.stations import equipment
from learnopt.network import Bools, Configuration, Network, Settings, Switchgear


@dataclass(frozen=True)
class Cell:
    """A new value of a cell; ``index`` as text."""

    index: str
    column: str
    value: Any


def changed_cells(
    tables: Tables,
    network: Network,
    configuration: Configuration,
    settings: Settings | None = None,
    out_of_service: Bools | None = None,
    states: Sequence[bool] | None = None,
) -> dict[str, list[Cell]]:
    """Cells to change, by table, so that the net is in this state.

    Devices move as :meth:`~learnopt.network.switchgear.Switchgear.states` says. A branch without a switch goes out of
    service, and so does what a scenario takes out of service. Taps go to the nearest position; capacitors and
    generators are no controls that such a net has.

    Parameters
    ----------
    network
        What was read from ``tables``.
    settings
        Values of the controls of ``network``; None = taps stay.
    out_of_service
        bool, shape (n_branch,): outages, open in the configuration too.
    states
        Whether each device is closed, where that is known better than by rule.
    """
    gear = network.switchgear
    cells: dict[str, list[Cell]] = defaultdict(list)
    states = gear.states(configuration, out_of_service) if states is None else states
    for device, was, closed in zip(gear.devices, gear.normal, states, strict=True):
        kind, index = str(device.id).split(maxsplit=1)
        if kind == "switch" and closed != was:
            cells[kind].append(Cell(index, "closed", closed))
    moved = configuration.closed != network.normal_configuration.closed
    out = np.zeros(network.n_branch, dtype=bool) if out_of_service is None else out_of_service
    for e in np.flatnonzero(moved | out).tolist():
        branch = str(network.branch_ids[e])
        if not out[e] and e in gear.of_branch and not _is_equipment(gear, e):
            continue
        for part in equipment(branch):
            kind, index = part.split()[:2]
            if kind != "switch":
                cells[kind].append(Cell(index, "in_service", bool(configuration.closed[e])))
    if settings is not None:
        asked = {
            part: value
            for tap, value in zip(network.controls.taps, settings.taps, strict=True)
            for part in equipment(str(network.branch_ids[tap.branch]))
        }
        for kind, index, position in tap_cells(tables, asked):
            cells[kind].append(Cell(index, "tap_pos", position))
    return {kind: changes for kind, changes in cells.items() if changes}


def _is_equipment(gear: Switchgear, e: int) -> bool:
    """The only device of a branch is the branch itself, and that is no switch of the net."""
    devices = [gear.devices[k] for k in gear.of_branch[e]]
    return all(d.bus is None and not str(d.id).startswith("switch ") for d in devices)
