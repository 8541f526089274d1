"""Phase angles without load: which ends of an open branch may be joined.

Sources may stand at different angles, and transformers of different vector groups turn the voltage by multiples of 30
degrees. No radial state sees either; a loop that is closed between unequal phases is a short circuit through what lies
in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from learnopt.network.aliases import Bools, Floats
from learnopt.network.model import Network
from learnopt.network.names import branch_quoted

SAME_PHASE = math.radians(1.0)
"""Angle that two ends may be apart and still be joined [rad]: what it drives is seen in the currents of that state."""


def has_angles(network: Network) -> bool:
    """Some transformer turns the voltage, or sources stand at different angles."""
    return bool(network.shift.any() or (network.substation_va != network.substation_va[:1]).any())


def phase_angles(network: Network, closed: Bools) -> Floats:
    """Voltage angle of every bus without load [rad], shape (n_bus,); NaN at buses without supply.

    Parameters
    ----------
    closed
        bool, shape (n_branch,); where it holds a loop one of its paths counts.
    """
    at: list[list[tuple[int, float]]] = [[] for _ in range(network.n_bus)]
    for e in np.flatnonzero(closed).tolist():
        i, j, turn = int(network.from_bus[e]), int(network.to_bus[e]), float(network.shift[e])
        at[i].append((j, -turn))
        at[j].append((i, turn))
    angle = np.full(network.n_bus, np.nan)
    angle[network.substations] = network.substation_va
    queue = network.substations.tolist()
    for bus in queue:  # grows while it is read
        for far, turn in at[bus]:
            if np.isnan(angle[far]):
                angle[far] = angle[bus] + turn
                queue.append(far)
    return angle


def phase_differences(network: Network, closed: Bools, branches: Iterable[int]) -> Floats:
    """Angle across each of some branches if it were closed in a state [rad], 0 to pi; 0 where an end has no supply.

    Parameters
    ----------
    closed
        bool, shape (n_branch,): the state, without these branches where they are to close a loop.
    branches
        Indices, in the order of the result.
    """
    some = np.fromiter(branches, np.int64)
    if not has_angles(network):
        return np.zeros(len(some))
    angle = phase_angles(network, closed)
    apart = angle[network.from_bus[some]] - network.shift[some] - angle[network.to_bus[some]]
    wrapped = np.abs(np.remainder(apart + np.pi, 2 * np.pi) - np.pi)
    return np.where(np.isnan(wrapped), 0.0, wrapped)


def unequal_loops(network: Network, closed: Bools, chords: Bools, most: float = SAME_PHASE) -> list[str]:
    """Sentences on loops of a state that join unequal phases, by id; empty where there are none.

    Parameters
    ----------
    closed, chords
        bool, shape (n_branch,): the state, and one branch of each of its loops.
    most
        Angle that is allowed [rad].
    """
    some = np.flatnonzero(closed & chords)
    apart = phase_differences(network, closed & ~chords, some.tolist())
    return [
        f"branch {branch_quoted(network, e)} closes a loop between phases that are {math.degrees(angle):.4g} degrees "
        "apart (shifts of transformers, angles of sources)"
        for e, angle in zip(some, apart, strict=True)
        if angle > most
    ]
