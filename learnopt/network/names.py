"""Names for people: how a bus, a branch or a device is called, and which one a text means.

A name comes first, its id in brackets behind it; where there is no name the id stands alone. Read, an id counts before
a name, and a name counts where only one object bears it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np

from learnopt.network.aliases import Id

if TYPE_CHECKING:
    from learnopt.network.model import Configuration, Network

_CANDIDATES = 6
"""Objects of one name that a sentence lists."""


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


def named_index(
    kind: str, text: Id, index: Mapping[str, int], ids: Iterable[Id], names: Iterable[str]
) -> tuple[int | None, str]:
    """What an id or a unique name means, or None and a sentence that says why it means nothing.

    Parameters
    ----------
    kind
        For the sentence: ``bus``, ``branch``, ``device``.
    index
        Position by ``str(id)``.
    ids, names
        Of all objects, in the order of their positions.
    """
    wanted = str(text).strip()
    if wanted in index:
        return index[wanted], ""
    found = [(k, identity) for k, (identity, name) in enumerate(zip(ids, names, strict=True)) if name == wanted]
    if len(found) == 1:
        return found[0][0], ""
    if not found:
        return None, f"{kind} {text!r} is not in network"
    more = f" and {len(found) - _CANDIDATES} more" if len(found) > _CANDIDATES else ""
    candidates = ", ".join(repr(identity) for _, identity in found[:_CANDIDATES])
    return None, f"{kind} {text!r} is the name of {len(found)}, say which by id ({candidates}{more}), in network"


def find_bus(network: Network, text: Id) -> tuple[int | None, str]:
    """Index of the bus of this id or unique name; else None and why."""
    return _told(network, named_index("bus", text, network.bus_index, network.bus_ids, network.bus_names))


def find_branch(network: Network, text: Id) -> tuple[int | None, str]:
    """Index of the branch of this id or unique name, or of the device of this one; else None and why."""
    found = _told(network, named_index("branch", text, network.branch_index, network.branch_ids, network.branch_names))
    if found[0] is not None or "is the name of" in found[1]:
        return found
    device, why = find_device(network, text)
    if device is None:
        return None, why if "is the name of" in why else found[1]
    return network.branch_index[str(network.switchgear.devices[device].branch)], ""


def find_device(network: Network, text: Id) -> tuple[int | None, str]:
    """Index in the switchgear of the device of this id or unique name; else None and why."""
    devices = network.switchgear.devices
    index = {str(d.id): k for k, d in enumerate(devices)}
    return _told(network, named_index("device", text, index, (d.id for d in devices), (d.name for d in devices)))


def _told(network: Network, found: tuple[int | None, str]) -> tuple[int | None, str]:
    return found[0], f"{found[1]} {network.name!r}" if found[1] else ""
