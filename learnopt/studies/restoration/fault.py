"""Faults as people name them: ``branch:7``, ``bus:12``, ``substation:S``, or an id or name that only one has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from learnopt.errors import DataError
from learnopt.network import Id, Network
from learnopt.network.names import branch_label, bus_label
from learnopt.wording import suggestion

BRANCH, BUS, SUBSTATION = "branch", "bus", "substation"
KINDS = (BRANCH, BUS, SUBSTATION)


@dataclass(frozen=True)
class Fault:
    """Equipment that is out of order at the same time.

    Parameters
    ----------
    branches, buses
        Indices, in rising order; a substation is its bus.
    """

    branches: tuple[int, ...] = ()
    buses: tuple[int, ...] = ()

    def labels(self, network: Network) -> list[str]:
        """What is out of order, for people."""
        branches = [f"branch {branch_label(network, e)}" for e in self.branches]
        substation = network.is_substation
        return branches + [f"{SUBSTATION if substation[k] else BUS} {bus_label(network, k)}" for k in self.buses]

    def to_list(self, network: Network) -> list[dict[str, Id]]:
        """Plain JSON values, in the order of :meth:`labels`."""
        found: list[dict[str, Id]] = [{"branch": network.branch_ids[e]} for e in self.branches]
        return found + [{"bus": network.bus_ids[k]} for k in self.buses]


def read_fault(network: Network, texts: Iterable[Id]) -> Fault:
    """The fault that some texts name.

    Parameters
    ----------
    texts
        Each ``KIND:ID`` with the id or unique name of a branch, bus or substation; without a kind where it names one
        thing only. One text may list several, parted by commas.

    Raises
    ------
    DataError
        With a sentence for everything that is not in the network, or not unique; where nothing is named.
    """
    branches: set[int] = set()
    buses: set[int] = set()
    bad = []
    for text in _each(network, texts):
        kind, index, why = _meant(network, text)
        if index is None:
            bad.append(why)
        else:
            (branches if kind == BRANCH else buses).add(index)
    if not bad and not branches and not buses:
        bad.append("no fault is named: give branch:ID, bus:ID or substation:ID")
    if bad:
        raise DataError("fault", bad)
    return Fault(tuple(sorted(branches)), tuple(sorted(buses)))


def _each(network: Network, texts: Iterable[Id]) -> list[Id]:
    """Lists taken apart, but for ids and names that have a comma of their own."""
    found: list[Id] = []
    for text in texts:
        whole = not isinstance(text, str) or "," not in text or _meant(network, text)[1] is not None
        found += [text] if whole else [part for part in map(str.strip, str(text).split(",")) if part]
    return found


def _meant(network: Network, text: Id) -> tuple[str, int | None, str]:
    """Kind and index of what a text names; or no index, and why."""
    kind, colon, rest = str(text).partition(":")
    if colon and kind.strip() in KINDS and rest.strip():
        kind = kind.strip()
        index, why = (network.find_branch if kind == BRANCH else network.find_bus)(rest.strip())
        if kind == SUBSTATION and index is not None and not network.is_substation[index]:
            return kind, None, f"bus {rest.strip()!r} is no substation: say bus:{rest.strip()}"
        return kind, index, why
    (branch, no_branch), (bus, no_bus) = network.find_branch(text), network.find_bus(text)
    if branch is not None and bus is not None:
        return BRANCH, None, f"{text!r} names a branch and a bus: say branch:{text} or bus:{text}"
    if branch is None and bus is None:
        several = next((why for why in (no_branch, no_bus) if "is the name of" in why), "")
        none = f"{text!r} is no branch, bus or substation of network {network.name!r}"
        return BRANCH, None, several or none + suggestion(text, network.words)
    return (BRANCH, branch, "") if branch is not None else (BUS, bus, "")
