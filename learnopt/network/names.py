"""Names for people: how a bus, a branch or a device is called.

A name comes first, its id in brackets behind it; where there is no name the id stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from learnopt.network.aliases import Id
from learnopt.network.configuration import Configuration
from learnopt.network.model import Network


def label(identity: Id, name: str) -> str:
    """Name first, id second."""
    return f"{name} ({identity})" if name and name != str(identity) else str(identity)


def labels(identities: Sequence[Id], names: Sequence[str]) -> str:
    """Several for people, in one line."""
    return ", ".join(label(identity, name) for identity, name in zip(identities, names, strict=True))


def bus_label(network: Network, k: SupportsIndex) -> str:
    """A bus for people."""
    return label(network.bus_ids[k], network.bus_names[k])


def branch_label(network: Network, e: SupportsIndex) -> str:
    """A branch for people."""
    return label(network.branch_ids[e], network.branch_names[e])


def quoted(identity: Id, name: str) -> str:
    """The same for a sentence: what the file says stands in quotes."""
    return f"{name!r} ({identity})" if name and name != str(identity) else repr(identity)


def bus_quoted(network: Network, k: SupportsIndex) -> str:
    """A bus in a sentence."""
    return quoted(network.bus_ids[k], network.bus_names[k])


def branch_quoted(network: Network, e: SupportsIndex) -> str:
    """A branch in a sentence."""
    return quoted(network.branch_ids[e], network.branch_names[e])


def ends_label(network: Network, e: int) -> str:
    """The buses of a branch for people."""
    return f"{bus_label(network, int(network.from_bus[e]))} – {bus_label(network, int(network.to_bus[e]))}"


def short(identity: Id, name: str, most: int = 18) -> str:
    """The name where there is one, else the id, cut to what a drawing has room for."""
    text = name or str(identity)
    return text if len(text) <= most else text[: most - 1] + "…"


def bus_short(network: Network, k: SupportsIndex) -> str:
    """A bus in a drawing."""
    return short(network.bus_ids[k], network.bus_names[k])


def branch_short(network: Network, e: SupportsIndex) -> str:
    """A branch in a drawing."""
    return short(network.branch_ids[e], network.branch_names[e])


def open_names(network: Network, configuration: Configuration) -> list[str]:
    """Names of the open branches beside their ids, "" where there is none."""
    return [network.branch_names[e] for e in np.flatnonzero(~configuration.closed)]


def open_labels(network: Network, configuration: Configuration) -> list[str]:
    """The open branches for people, in file order."""
    return [branch_label(network, int(e)) for e in np.flatnonzero(~configuration.closed)]
