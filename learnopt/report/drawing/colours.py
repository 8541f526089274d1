"""Colours that readers tell apart, colour-blind ones too, and which feeder has which."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from learnopt.network import Configuration, Ints, Network
from learnopt.physics.balance import UPSTREAM, fed_by

# Okabe & Ito (2008); they differ in darkness on paper.
CLOSE, OPEN, VIOLATED = "#0072B2", "#D55E00", "#A300F5"
INK, LINE, TIE, PALE = "#1B2631", "#44525F", "#8A97A3", "#E3E8EC"
BUS_NAME = "#7B8794"
PHASES = ("#0072B2", "#D55E00", "#332288")
"""Of phases a b c."""
FEEDERS = ("#009E73", "#E69F00", "#332288", "#56B4E9", "#CC79A7", "#7A5230")
"""Apart from each other and from the colours of switching, under red, green and blue blindness."""


def feeder_colours(network: Network, busbars: Collection[int], *configurations: Configuration) -> dict[int, str]:
    """Colour of each feeder by the branch at its outlet; feeders that a branch joins differ where they can.

    Empty where all is one feeder, or where no state is radial. The same feeder has one colour in all states.
    """
    neighbours: dict[int, set[int]] = {}
    for configuration in configurations:
        fed = fed_by(network, configuration.closed, busbars)
        if fed is None:
            continue
        for head in np.unique(fed[fed != UPSTREAM]).tolist():
            neighbours.setdefault(head, set())
        for a, b in zip(fed[network.from_bus].tolist(), fed[network.to_bus].tolist(), strict=True):
            if a != b and UPSTREAM not in (a, b):
                neighbours[a].add(b)
                neighbours[b].add(a)
    if len(neighbours) < 2:
        return {}
    chosen: dict[int, str] = {}
    for head in sorted(neighbours, key=lambda h: (-len(neighbours[h]), h)):
        near = [chosen.get(other) for other in neighbours[head]]
        used = list(chosen.values())
        chosen[head] = min(FEEDERS, key=lambda tone: (near.count(tone), used.count(tone)))
    return dict(sorted(chosen.items()))


def branch_colours(network: Network, fed: Ints | None, feeders: Mapping[int, str]) -> list[str]:
    """Colour of every branch: that of the feeder that supplies it, else that of lines in general.

    Parameters
    ----------
    fed
        Feeder of every bus as :func:`learnopt.physics.balance.fed_by` tells, None where nothing is known.
    """
    if fed is None or not feeders:
        return [LINE] * network.n_branch
    ends = zip(fed[network.from_bus].tolist(), fed[network.to_bus].tolist(), strict=True)
    return [feeders.get(a if a != UPSTREAM else b, LINE) for a, b in ends]
