"""Laterals of one phase in an OpenDSS circuit, and their connection to another phase of the line they hang on.

A lateral begins at an element of one phase, a line or a transformer, that is the only way from a bus of several phases
to what lies beyond, open switches included: nothing else can then meet there. Lines of it, and what hangs on their
buses, move to another phase together. Behind a transformer nothing is moved: which phase feeds it is all it knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learnopt.io.opendss.engine import each, terminals
from learnopt.network.phase_data import ABC
from learnopt.network.topology import blocks
from learnopt.network.unbalanced import PhaseLateral

_SHUNTS = ("load", "generator", "pvsystem", "storage", "capacitor", "reactor")
_PHASES = (1, 2, 3)


@dataclass(frozen=True)
class Spot:
    """A terminal of an element that moves: its number, and its bus with all of its nodes."""

    element: str
    terminal: int
    bus: str
    nodes: tuple[int, ...]


@dataclass
class _Graph:
    """Elements at each bus, and the buses of each element with their nodes."""

    ends: dict[str, list[tuple[str, tuple[int, ...]]]] = field(default_factory=dict)
    at: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, ends: list[tuple[str, tuple[int, ...]]]) -> None:
        self.ends[name] = ends
        for bus in dict.fromkeys(bus for bus, _ in ends):
            self.at.setdefault(bus, []).append(name)

    def phases(self, bus: str) -> set[int]:
        """Phases that some element has at a bus."""
        ends = [end for name in self.at.get(bus, []) for end in self.ends[name]]
        return {node for own, nodes in ends if own == bus for node in nodes}.intersection(_PHASES)


def laterals(dss: Any) -> dict[PhaseLateral, list[Spot]]:
    """Every lateral of one phase that can move, with the terminals that move."""
    graph = _graph(dss)
    number = {bus: k for k, bus in enumerate(graph.at)}
    series = [name for name, ends in graph.ends.items() if len({bus for bus, _ in ends}) > 1]
    sources = [number[graph.ends[name][0][0]] + 1 for name in graph.ends if name.startswith("vsource.")]
    owner = [name for name in series for _ in graph.ends[name][1:]]
    first = [number[graph.ends[name][0][0]] + 1 for name in owner]
    other = [number[bus] + 1 for name in series for bus, _ in graph.ends[name][1:]]
    pairs = [*zip(first, other, strict=True), *((0, source) for source in sources)]
    tail, head = np.array(pairs, dtype=np.int64).T
    structure = blocks(len(number) + 1, tail, head, np.ones(len(pairs), dtype=bool))
    bridge = {owner[k] for k in range(len(owner)) if structure.bridges[k]}
    depth = _depths(len(number) + 1, tail, head)
    kw = _loads(dss)
    found: dict[PhaseLateral, list[Spot]] = {}
    for name in series:
        ends = graph.ends[name]
        if name not in bridge or len({bus for bus, _ in ends}) != 2:
            continue
        near, far = sorted(dict.fromkeys(bus for bus, _ in ends), key=lambda bus: depth[number[bus] + 1])
        own = {node for bus, nodes in ends if bus == near for node in nodes}.intersection(_PHASES)
        choice = graph.phases(near)
        if len(own) != 1 or len(choice) < 2 or depth[number[far] + 1] < 0:
            continue
        (phase,) = own
        spots = _moving(graph, name, near, far, phase)
        if spots is not None:
            letters = "".join(ABC[p - 1] for p in sorted(choice))
            power = sum(kw.get(bus, 0.0) for bus in _beyond(graph, name, far))
            found[PhaseLateral(name, near, ABC[phase - 1], letters, len(spots), power)] = spots
    return found


def connect(dss: Any, spots: list[Spot], from_phase: str, to_phase: str) -> None:
    """Move the terminals of a lateral from one phase to another."""
    was, now = ABC.index(from_phase) + 1, ABC.index(to_phase) + 1
    for spot in spots:
        if was not in spot.nodes:
            continue
        nodes = ".".join(str(now if node == was else node) for node in spot.nodes)
        place = f"{spot.bus}.{nodes}"
        if spot.element.startswith("transformer."):
            dss.Text.Command(f'Edit "{spot.element}" wdg={spot.terminal} bus="{place}"')
        else:
            dss.Text.Command(f'Edit "{spot.element}" bus{spot.terminal}="{place}"')


def _graph(dss: Any) -> _Graph:
    graph = _Graph()
    for name in _elements(dss):
        graph.add(name, [(bus, tuple(int(node) for node in nodes)) for bus, nodes in terminals(dss)])
    return graph


def _elements(dss: Any) -> Iterator[str]:
    for full in dss.Circuit.AllElementNames():
        kind = full.lower().partition(".")[0]
        if kind in ("line", "transformer", "vsource", *_SHUNTS):
            dss.Circuit.SetActiveElement(full)
            if dss.CktElement.Enabled():
                yield full.lower()


def _depths(n: int, tail: np.ndarray, head: np.ndarray) -> list[int]:
    """Steps from node 0 to each node, -1 where there is no way."""
    near: list[list[int]] = [[] for _ in range(n)]
    for a, b in zip(tail.tolist(), head.tolist(), strict=True):
        near[a].append(b)
        near[b].append(a)
    depth, waiting = [-1] * n, [0]
    depth[0] = 0
    for node in waiting:
        for other in near[node]:
            if depth[other] < 0:
                depth[other] = depth[node] + 1
                waiting.append(other)
    return depth


def _moving(graph: _Graph, head: str, near: str, far: str, phase: int) -> list[Spot] | None:
    """Terminals on the phase from the head of a lateral on; None where something there is in several phases."""
    spots = [_spot(graph, head, near)]
    if head.startswith("transformer."):
        return spots
    spots.append(_spot(graph, head, far))
    seen, waiting = {head}, [far]
    for bus in waiting:
        for name in graph.at[bus]:
            if name in seen:
                continue
            seen.add(name)
            if graph.phases(bus) != {phase}:
                return None
            spots += [Spot(name, k + 1, *end) for k, end in enumerate(graph.ends[name]) if end[0] == bus]
            if name.startswith("line."):
                (other,) = [own for own, _ in graph.ends[name] if own != bus] or [bus]
                spots.append(_spot(graph, name, other))
                waiting.append(other)
    return spots


def _spot(graph: _Graph, name: str, bus: str) -> Spot:
    ends = graph.ends[name]
    k = next(k for k, (own, _) in enumerate(ends) if own == bus)
    return Spot(name, k + 1, *ends[k])


def _beyond(graph: _Graph, head: str, far: str) -> list[str]:
    """All buses behind the head of a lateral."""
    seen, waiting = {far}, [far]
    for bus in waiting:
        for name in graph.at[bus]:
            if name == head:
                continue
            for other, _ in graph.ends[name]:
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
    return waiting


def _loads(dss: Any) -> Mapping[str, float]:
    """Nominal load at each bus [kW]."""
    found: dict[str, float] = {}
    for _ in each(dss.Loads):
        if dss.CktElement.Enabled():
            bus = terminals(dss)[0][0]
            found[bus] = found.get(bus, 0.0) + float(dss.Loads.kW())
    return found
