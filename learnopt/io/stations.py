"""Switchgear between a node-breaker model and a network: loops inside stations, and branches with a switch at one end.

A radial configuration has no loop at all, but substations are built with some: double busbars with both disconnectors
closed, two transformers on one busbar. As long as such a loop consists of closed couplers of zero impedance and closed
transformers only, it is contracted without changing any power flow: the couplers' buses become one, transformers
side by side become their parallel connection.

A branch opened at one end stays energised from the other: the charging of a cable and the iron losses of a transformer
remain. Such a branch is a fixed one to a loose end, and a switch without impedance from there to the bus.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.io.case_json import device_record
from learnopt.network.phase_data import ABC
from learnopt.network.switchgear import BEHIND, Device, end_id, end_name
from learnopt.network.topology import DisjointSets, blocks

Bus = Hashable


@dataclass(frozen=True)
class Link:
    """A branch on its way from a node-breaker model into a network.

    Parameters
    ----------
    id, kind, name
        ``line 12`` is of kind ``line``.
    from_bus, to_bus
        Buses of the source.
    z, y
        Series impedance and shunt admittance (both ends together), per unit of 1 MVA behind the ratio.
    ratio
        Off-nominal ratio at the from end.
    ampacity
        A at the from end; ``inf`` where unknown.
    switchable, is_open
        It has a switch; a switch of it is open.
    manual
        Some switch of it is operated by hand.
    switch_end
        The bus of the end at which its switch acts; None if both ends open and close together.
    taps, tap_numbers
        Of a transformer with a tap changer: the values of 1 / ratio at its positions, increasing, and what the source
        calls these positions.
    shift_deg
        How far the from end leads the to end without load [degree].
    devices
        Its switching devices that the source names, each with the bus of the source at whose end it stands.
    phases
        Phases that it has.
    """

    id: str
    kind: str
    name: str
    from_bus: Bus
    to_bus: Bus
    z: complex
    y: complex = 0j
    ratio: float = 1.0
    ampacity: float = math.inf
    switchable: bool = False
    is_open: bool = False
    manual: bool = False
    switch_end: Bus | None = None
    taps: tuple[float, ...] = ()
    tap_numbers: tuple[int, ...] = ()
    shift_deg: float = 0.0
    devices: tuple[Device, ...] = ()
    phases: str = ABC

    @property
    def device_records(self) -> list[dict[str, Any]]:
        """Its devices as the case file has them."""
        return [device_record(replace(device, branch=self.id)) for device in self.devices]

    @property
    def tap_record(self) -> list[dict[str, Any]]:
        """Its tap changer as the case file has it; none where it has only one position."""
        if len(self.taps) < 2:
            return []
        counted = self.tap_numbers if len(self.tap_numbers) == len(self.taps) else ()
        return [{"branch": self.id, "positions_pu": list(self.taps), "position_numbers": list(counted)}]

    @property
    def coupler(self) -> bool:
        """A switch without impedance."""
        return self.kind == "switch" and self.z == 0

    def record(self, kv: float, y: complex) -> dict[str, Any]:
        """The branch as a case file has it.

        Parameters
        ----------
        kv
            Nominal voltage at the from end.
        y
            Shunt admittance that belongs to the branch, per unit.
        """
        z_base = kv**2
        return {
            "id": self.id,
            "from": self.from_bus,
            "to": self.to_bus,
            "r_ohm": self.z.real * z_base,
            "x_ohm": self.z.imag * z_base,
            "b_us": 1e6 * y.imag / z_base,
            "g_us": 1e6 * y.real / z_base if y.real else None,
            "ratio": self.ratio if self.kind == "trafo" else None,
            "shift_deg": turned(self.shift_deg) or None,
            "ampacity_a": self.ampacity if math.isfinite(self.ampacity) else None,
            "switchable": self.switchable,
            "normally_open": self.is_open,
            "operation": "manual" if self.manual else None,
            "name": self.name,
        }


def turned(degrees: float) -> float:
    """The same angle within (-180, 180]."""
    return 180.0 - (180.0 - degrees) % 360.0


def fed_buses(buses: Iterable[Bus], links: Iterable[Link], roots: Iterable[Bus]) -> set[Bus]:
    """Buses with a path to a root when every switch is closed."""
    number = {bus: k for k, bus in enumerate(buses)}
    sets = DisjointSets(len(number))
    for link in links:
        sets.join(number[link.from_bus], number[link.to_bus])
    reached = {sets.find(number[root]) for root in roots}
    return {bus for bus in number if sets.find(number[bus]) in reached}


@dataclass(frozen=True)
class LooseEnd:
    """The end of a branch behind its switch.

    Parameters
    ----------
    bus
        The auxiliary bus that stands for it.
    at, far
        The bus on the other side of the switch, and the bus from which the branch stays energised.
    branch, branch_name
        The branch whose end it is.
    """

    bus: str
    at: Bus
    far: Bus
    branch: str = ""
    branch_name: str = ""

    def name(self, bus_names: Mapping[Any, str]) -> str:
        """What people call it, by the names of the buses of the source."""
        return end_name(self.branch, self.branch_name, str(self.at), bus_names.get(self.at, ""))

    def place(self, places: MutableMapping[Any, tuple[float, float]]) -> None:
        """Put the auxiliary bus beside its switch in a map of coordinates that has both ends."""
        if self.at in places and self.far in places:
            (x, y), (far_x, far_y) = places[self.at], places[self.far]
            places[self.bus] = (x + _BESIDE * (far_x - x), y + _BESIDE * (far_y - y))


_BESIDE = 0.05
"""Share of a branch that is drawn between a bus and the loose end beside it."""


def energised_from_one_end(
    links: Iterable[Link], kv: MutableMapping[Any, float]
) -> tuple[list[Link], tuple[LooseEnd, ...]]:
    """Branches whose switch leaves them energised from the other end, as a fixed branch and that switch.

    The fixed branch ``line 5 behind its switch`` leads to an auxiliary bus without load. The switch from there to the
    bus has no impedance, the rating of the branch at that end, and the id ``line 5``: the decision keeps its name. A
    branch without shunt admittance draws nothing when it is open and stays one branch. Call it after
    :func:`contract_stations`, which sees transformers side by side only as long as they are whole.

    Parameters
    ----------
    links
        Branches, ``switch_end`` where the switch acts at one end.
    kv
        Nominal voltage of each bus [kV]; the auxiliary buses are added.

    Returns
    -------
    links
        In their order, each fixed branch before its switch.
    ends
        The auxiliary buses, which have no place in the source: no limit, no load.
    """
    result: list[Link] = []
    ends = []
    for link in links:
        if not link.switchable or link.switch_end is None or link.y == 0:
            result.append(link)
            continue
        at = link.switch_end
        far = link.to_bus if at == link.from_bus else link.from_bus
        loose = end_id(link.id, str(at))
        kv[loose] = kv[at]
        ends.append(LooseEnd(loose, at, far, link.id, link.name))
        carried = link.ampacity if at == link.from_bus else link.ampacity * link.ratio * kv[far] / kv[at]
        here = tuple(device for device in link.devices if device.bus == at)
        there = tuple(device for device in link.devices if device.bus != at)
        fixed = replace(link, id=link.id + BEHIND, switchable=False, is_open=False, manual=False, switch_end=None)
        fixed = replace(fixed, devices=there)
        result.append(replace(fixed, from_bus=loose) if at == link.from_bus else replace(fixed, to_bus=loose))
        result.append(
            Link(
                link.id,
                "switch",
                link.name,
                loose,
                at,
                z=0j,
                ampacity=carried,
                switchable=True,
                is_open=link.is_open,
                manual=link.manual,
                devices=here,
                phases=link.phases,
            )
        )
    return result, tuple(ends)


def equipment(branch_id: str) -> list[str]:
    """Ids of the source that a branch stands for: more than one where some work in parallel."""
    return branch_id.removesuffix(BEHIND).split(" + ")


def contract_stations(
    buses: Sequence[Bus], links: Sequence[Link], sources: Sequence[Bus], subject: str
) -> tuple[dict[Bus, Bus], list[Link], list[str]]:
    """Contract loops of closed couplers and transformers, and merge what then lies in parallel and cannot be switched.

    Parameters
    ----------
    buses, links, sources
        The network; sources become substations. Sources joined by closed couplers are one.

    Returns
    -------
    bus_of
        The bus that stands for each bus afterwards.
    links
        With these buses, without contracted couplers.
    notes
        What was merged.

    Raises
    ------
    UnsupportedError
        If transformers of different ratio work in parallel.
    """
    merged = _coupled(buses, links, sources)
    notes = []
    bus_of = {bus: bus for bus in buses}
    for together in merged:
        head = next((bus for bus in together if bus in set(sources)), together[0])
        bus_of.update(dict.fromkeys(together, head))
        notes.append(f"buses {', '.join(map(str, together))} are joined by closed couplers in a station: bus {head}")
    kept = []
    for link in links:
        moved = replace(
            link,
            from_bus=bus_of[link.from_bus],
            to_bus=bus_of[link.to_bus],
            switch_end=None if link.switch_end is None else bus_of[link.switch_end],
            devices=tuple(replace(d, bus=bus_of.get(d.bus, d.bus)) for d in link.devices),  # type: ignore[arg-type]
        )
        if moved.from_bus != moved.to_bus:
            kept.append(moved)
        elif not link.coupler or link.is_open:
            notes.append(f"{link.id} has both ends on bus {moved.from_bus} and is left out")
    return bus_of, _parallel(kept, notes, subject), notes


def _coupled(buses: Sequence[Bus], links: Sequence[Link], sources: Sequence[Bus]) -> list[list[Bus]]:
    """Sets of buses to be one: couplers in a loop of closed couplers and transformers, and sources that are coupled."""
    number = {bus: k + 1 for k, bus in enumerate(buses)}  # node 0 is an outer point that every station hangs on
    station = [link for link in links if not link.is_open and (link.coupler or link.kind == "trafo")]
    tail = [number[link.from_bus] for link in station]
    head = [number[link.to_bus] for link in station]
    sets = DisjointSets(len(buses) + 1)
    for a, b in zip(tail, head, strict=True):
        sets.join(a, b)
    roots = sorted({sets.find(k) for k in range(1, len(buses) + 1)})
    ends = np.array([tail + [0] * len(roots), head + roots], dtype=np.int64)
    structure = blocks(len(buses) + 1, ends[0], ends[1], np.ones(ends.shape[1], dtype=bool))
    looped = ~structure.bridges[: len(station)]
    couplers = DisjointSets(len(buses) + 1)
    for a, b, link in zip(tail, head, station, strict=True):
        if link.coupler:
            couplers.join(a, b)
    together = DisjointSets(len(buses) + 1)
    fed_twice = [couplers.find(number[source]) for source in sources]
    for a, b, link, in_loop in zip(tail, head, station, looped, strict=True):
        if link.coupler and (in_loop or fed_twice.count(couplers.find(a)) > 1):
            together.join(a, b)
    members: dict[int, list[Bus]] = {}
    for bus in buses:
        members.setdefault(together.find(number[bus]), []).append(bus)
    return [group for group in members.values() if len(group) > 1]


def _parallel(links: Sequence[Link], notes: list[str], subject: str) -> list[Link]:
    """Links side by side as one where they can only be closed together: transformers, and lines without a switch."""
    groups: dict[tuple[str, frozenset[Bus]], list[Link]] = {}
    for link in links:
        fixed = link.kind == "trafo" or (link.kind == "line" and not link.switchable)
        if fixed and not link.is_open:
            groups.setdefault((link.kind, frozenset((link.from_bus, link.to_bus))), []).append(link)
    replaced: dict[str, Link | None] = {}
    for group in groups.values():
        if len(group) == 1:
            continue
        one = _side_by_side(group, subject)
        replaced.update({link.id: None for link in group[1:]} | {group[0].id: one})
        notes.append(f"{one.id} work in parallel and are one branch that stays closed")
    result = [replaced.get(link.id, link) for link in links]
    return [link for link in result if link is not None]


def _side_by_side(group: Sequence[Link], subject: str) -> Link:
    """The parallel connection: admittances add up, the current divides in their proportion."""
    first = group[0]
    shifts = {round(turned(one.shift_deg * (1 if one.from_bus == first.from_bus else -1)), 6) for one in group}
    if len(shifts) > 1:
        raise UnsupportedError(
            f"{subject}: transformers of different phase shift in parallel: "
            + ", ".join(f"{link.id} ({link.shift_deg:g} degrees)" for link in group)
            + ". Open one of them"
        )
    ratios = {round(link.ratio, 9) if link.from_bus == first.from_bus else math.nan for link in group}
    if len(ratios) > 1 and any(link.ratio != 1 for link in group):
        names = ", ".join(f"{link.id} ({link.ratio:.4f})" for link in group)
        raise UnsupportedError(
            f"{subject}: transformers of different ratio in parallel drive a current through each other: {names}. "
            "Put them on the same tap, or open one of them"
        )
    if any(link.z == 0 for link in group):
        raise UnsupportedError(f"{subject}: {group[0].id} has no impedance and works in parallel with {group[1].id}")
    admittances = [1 / link.z for link in group]
    total = sum(admittances)
    return replace(
        first,
        id=" + ".join(link.id for link in group),
        name=" + ".join(link.name for link in group if link.name),
        z=1 / total,
        y=sum(link.y for link in group),
        ampacity=min(link.ampacity * abs(total) / abs(a) for link, a in zip(group, admittances, strict=True)),
        switchable=False,
        switch_end=None,
        devices=(),
        taps=first.taps if all(link.taps == first.taps for link in group) else (),
        tap_numbers=first.tap_numbers if all(link.tap_numbers == first.tap_numbers for link in group) else (),
    )
