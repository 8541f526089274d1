"""Names for people: how a bus, a branch or a device is called.

A name comes first, its id in brackets behind it; where there is no name the id stands alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import SupportsIndex

import numpy as np

from learnopt.network.aliases import Floats, Id
from learnopt.network.configuration import Configuration
from learnopt.network.model import Network
from learnopt.network.switchgear import BEHIND


def label(identity: Id, name: str) -> str:
    """Name first, id second."""
    return f"{name} ({identity})" if name and name != str(identity) else str(identity)


def labels(identities: Sequence[Id], names: Sequence[str]) -> str:
    """Several for people, in one line."""
    return ", ".join(label(identity, name) for identity, name in zip(identities, names, strict=True))


def bus_label(network: Network, k: SupportsIndex) -> str:
    """A bus for people; one that no file has is called by its name alone."""
    name = network.bus_names[k]
    return name if name and network.auxiliary[k] else label(network.bus_ids[k], name)


def branch_label(network: Network, e: SupportsIndex) -> str:
    """A branch for people; a cable behind its switch is called as the whole."""
    return label(whole_id(network.branch_ids[e]), network.branch_names[e])


def whole_id(branch: Id) -> Id:
    """Id of the equipment of the file that a branch is, or is a part of."""
    return branch.removesuffix(BEHIND) if isinstance(branch, str) else branch


def quoted(identity: Id, name: str) -> str:
    """The same for a sentence: what the file says stands in quotes."""
    return f"{name!r} ({identity})" if name and name != str(identity) else repr(identity)


def bus_quoted(network: Network, k: SupportsIndex) -> str:
    """A bus in a sentence."""
    name = network.bus_names[k]
    return repr(name) if name and network.auxiliary[k] else quoted(network.bus_ids[k], name)


def branch_quoted(network: Network, e: SupportsIndex) -> str:
    """A branch in a sentence."""
    return quoted(whole_id(network.branch_ids[e]), network.branch_names[e])


def own_ends(network: Network, e: int) -> tuple[int, int]:
    """The buses of the file that a branch joins: of a cable and its switch those of the whole."""
    behind = network.switchgear.behind
    parts = [part for pair in behind.items() if e in pair for part in pair if part != e]
    ends = [int(network.from_bus[e]), int(network.to_bus[e])]
    for part in parts:
        other = {int(network.from_bus[part]), int(network.to_bus[part])}
        shared = other & set(ends)
        ends = [next(iter(other - shared), k) if k in shared else k for k in ends]
    return ends[0], ends[1]


def ends_label(network: Network, e: int) -> str:
    """The buses of a branch for people."""
    start, end = own_ends(network, e)
    return f"{bus_label(network, start)} – {bus_label(network, end)}"


def short(identity: Id, name: str, most: int = 18) -> str:
    """The name where there is one, else the id, cut to what a drawing has room for."""
    text = name or str(identity)
    return text if len(text) <= most else text[: most - 1] + "…"


def bus_short(network: Network, k: SupportsIndex) -> str:
    """A bus in a drawing."""
    return short(network.bus_ids[k], network.bus_names[k])


def branch_short(network: Network, e: SupportsIndex) -> str:
    """A branch in a drawing."""
    return short(whole_id(network.branch_ids[e]), network.branch_names[e])


def lowest_bus(network: Network, vm: Floats) -> int:
    """The bus of the lowest voltage to be named: one of the file wherever one has it."""
    own = np.flatnonzero(~network.auxiliary)
    return int(own[np.argmin(vm[own])])


def own_buses(network: Network, buses: Iterable[int]) -> list[int]:
    """Those of some buses that the file has; all of them where it has none."""
    several = list(buses)
    return [k for k in several if not network.auxiliary[k]] or several


def open_names(network: Network, configuration: Configuration) -> list[str]:
    """Names of the open branches beside their ids, "" where there is none."""
    return [network.branch_names[e] for e in np.flatnonzero(~configuration.closed)]


def open_labels(network: Network, configuration: Configuration) -> list[str]:
    """The open branches for people, in file order."""
    return [branch_label(network, int(e)) for e in np.flatnonzero(~configuration.closed)]
