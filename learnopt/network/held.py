"""Held limits for people: what is in force instead of what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learnopt.network.aliases import Id
from learnopt.network.limits import HeldLimit, LimitKind
from learnopt.network.model import Limits, Network
from learnopt.network.names import branch_quoted, bus_quoted

LIMITED: Mapping[LimitKind, str] = {
    LimitKind.LOWEST_VOLTAGE: "bus",
    LimitKind.HIGHEST_VOLTAGE: "bus",
    LimitKind.CURRENT: "branch",
    LimitKind.LEAST_POWER: "substation",
    LimitKind.MOST_POWER: "substation",
    LimitKind.UNBALANCE: "bus",
}
"""Object of each kind of limit."""

_UNITS: Mapping[LimitKind, str] = {
    LimitKind.LOWEST_VOLTAGE: "pu",
    LimitKind.HIGHEST_VOLTAGE: "pu",
    LimitKind.CURRENT: "A",
    LimitKind.LEAST_POWER: "kVA",
    LimitKind.MOST_POWER: "kVA",
    LimitKind.UNBALANCE: "pu",
}
LISTED = 5
"""Limits that a sentence names."""


def held_to_dicts(network: Network, limits: Limits) -> list[dict[str, Any]]:
    """Key ``held_limits`` of JSON answers: object, id, what is limited, what was asked for and what is in force."""
    return [
        {
            "object": LIMITED[held.kind],
            "id": _id(network, held),
            "limit": held.kind.value,
            "asked": held.limit * _unit(network, held),
            "held_at": held.value * _unit(network, held),
            "unit": _UNITS[held.kind],
            "proven": held.proven,
        }
        for held in limits.held
    ]


def held_in_words(network: Network, limits: Limits) -> str:
    """What is held, in one sentence; empty where nothing is."""
    if not limits.held:
        return ""
    named = []
    for held in limits.held[:LISTED]:
        unit, digits = _unit(network, held), 4 if _UNITS[held.kind] == "pu" else 1
        value, asked = f"{held.value * unit:.{digits}f}", f"{held.limit * unit:g}"
        named.append(f"{LIMITED[held.kind]} {_named(network, held)} {value} {_UNITS[held.kind]} instead of {asked}")
    more = len(limits.held) - LISTED
    if more > 0:
        named.append(f"and {more} more")
    why = "no switch can change that" if all(h.proven for h in limits.held) else "no switching was found to change that"
    return (
        f"Held at their present value, since the present state breaks these limits and {why} "
        f"(strict limits enforce them): {'; '.join(named)}."
    )


def _named(network: Network, held: HeldLimit) -> str:
    if LIMITED[held.kind] == "branch":
        return branch_quoted(network, held.index)
    return bus_quoted(network, network.bus_index[str(_id(network, held))])


def _id(network: Network, held: HeldLimit) -> Id:
    kind = LIMITED[held.kind]
    if kind == "branch":
        return network.branch_ids[held.index]
    return network.bus_ids[network.substations[held.index] if kind == "substation" else held.index]


def _unit(network: Network, held: HeldLimit) -> float:
    """What one per unit of a limit is, in the unit that people read."""
    if held.kind is LimitKind.CURRENT:
        return float(network.i_base[held.index])
    return 1.0 if LIMITED[held.kind] == "bus" else float(network.base.kw)
