"""Conductors and coils of an OpenDSS circuit, phase by phase: what a search over its switches needs to know of it.

Lines (and series reactors) are read from their primitive admittances, grounded conductors eliminated. A transformer is
its coils, referred to the first: the coils of one leg carry currents whose ampere-turns add up to zero, a wye coil lies
between a phase and the neutral, a delta coil between two phases; its resistance is that of its windings. Loads,
capacitors, charging and magnetising currents are held, so they do not appear.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import block_diag, coo_matrix
from scipy.sparse.csgraph import connected_components

from learnopt.io.opendss.engine import admittance, each, terminals
from learnopt.network.aliases import Ints
from learnopt.network.unbalanced import ConductorCircuit

LEAST_OHM = 1e-7
"""Resistance of a conductor at least: a loop of switches alone would otherwise share its current in any way."""

_ROOT = ""
"""Stands for the buses of all sources."""

Node = tuple[str, int]
"""Bus and node of it, 1 to 3 for phases a b c."""


@dataclass(frozen=True, eq=False)
class Series:
    """A line or a transformer.

    Parameters
    ----------
    name
        ``line.sw1``.
    buses
        Of its terminals.
    nodes
        Of the rows of ``incidence``.
    incidence
        Current into the element at each node, per unit of each of its currents, shape (len(nodes), n_current).
    resistance
        Shape (n_current, n_current).
    """

    name: str
    buses: tuple[str, ...]
    nodes: tuple[Node, ...]
    incidence: np.ndarray
    resistance: np.ndarray


@dataclass(frozen=True, eq=False)
class Conductors:
    """The circuit of the loops, and how the currents of a state are read from OpenDSS.

    Parameters
    ----------
    circuit
        What a search is made of.
    series
        Its elements, in the order of their currents.
    """

    circuit: ConductorCircuit
    series: tuple[Series, ...]
    admittances: Mapping[str, np.ndarray] = field(default_factory=dict)

    def currents(self, dss: Any) -> np.ndarray:
        """Currents of the circuit in the state that the engine has solved [A], shape (n_current,)."""
        each_of = [_currents(dss, one, self.admittances.get(one.name)) for one in self.series]
        return np.concatenate([np.zeros(0, dtype=complex), *each_of])  # of a circuit without loops nothing is left


def conductors(dss: Any, switches: Sequence[Sequence[str]]) -> Conductors:
    """Conductors in loops of a circuit whose lines are all closed, not solved.

    Parameters
    ----------
    switches
        Names of the lines that each switch opens together.
    """
    sources = {terminals(dss)[0][0] for _ in each(dss.Vsources)}
    ends = {name: _ends(dss) for name in _named(dss) if len({bus for bus, _ in terminals(dss)}) > 1}
    of_line = {line: k for k, lines in enumerate(switches) for line in lines}
    found: dict[str, Series] = {}
    admittances: dict[str, np.ndarray] = {}
    while True:  # what is open in some phase, without being a switch, is seen by its admittances: few are computed
        across = [one for one in ends.values() if one.name in of_line and sources.issuperset(one.buses)]  # by itself
        names = [one.name for one in (*_in_loops(ends.values(), sources), *across)]
        for name in [name for name in names if name not in found]:
            dss.Circuit.SetActiveElement(name)
            one = None
            if name.startswith("transformer."):
                dss.Transformers.Name(name.partition(".")[2])
                one = _transformer(dss, name)
            elif (line := _line(dss, name)) is not None:
                one, admittances[name] = line
            if one is None:
                del ends[name]
            else:
                found[name] = one
        if all(name in ends for name in names):
            break
    inside = [found[name] for name in names]
    return Conductors(_circuit(inside, sources, of_line, len(switches)), tuple(inside), admittances)


def _named(dss: Any) -> Iterator[str]:
    """Every line, series reactor and transformer, active in turn."""
    for collection, kind in ((dss.Lines, "line"), (dss.Reactors, "reactor"), (dss.Transformers, "transformer")):
        for name in each(collection):
            yield f"{kind}.{name}"


def _ends(dss: Any) -> Series:
    """The buses and nodes of the active element, without its currents."""
    ends = terminals(dss)
    nodes = tuple((bus, int(node)) for bus, own in ends for node in own if node > 0)
    name = str(dss.CktElement.Name()).lower()
    return Series(name, tuple(bus for bus, _ in ends), nodes, np.zeros((len(nodes), 0)), np.zeros((0, 0)))


def _line(dss: Any, name: str) -> tuple[Series, np.ndarray] | None:
    """The active line or series reactor, with the series admittance of its conductors [S]; None for a shunt."""
    ends = terminals(dss)
    if len(ends) != 2 or ends[0][0] == ends[1][0]:
        return None
    (start, tail), (end, head) = ends
    live = [k for k in range(len(tail)) if tail[k] > 0 and head[k] > 0]
    if not live:
        return None
    size = len(tail)
    series = -admittance(dss)[:size, size:][np.ix_(live, live)]
    if not np.diag(series).all():  # open in some phase, and no switch of the problem
        return None
    z = np.linalg.inv(series)
    nodes = [(start, int(tail[k])) for k in live] + [(end, int(head[k])) for k in live]
    eye = np.eye(len(live))
    resistance = (z.real + z.real.T) / 2 + LEAST_OHM * eye
    return Series(name, (start, end), tuple(nodes), np.vstack([eye, -eye]), resistance), series


def _transformer(dss: Any, name: str) -> Series:
    """The active transformer: per leg, the currents of its coils but the first [A of the first]."""
    ends = terminals(dss)
    legs, windings = dss.CktElement.NumPhases(), dss.Transformers.NumWindings()
    volts, ohms, delta = [], [], []
    for w in range(windings):
        dss.Transformers.Wdg(w + 1)
        kva, kv = dss.Transformers.kVA(), dss.Transformers.kV()
        delta.append(bool(dss.Transformers.IsDelta()))
        coil = kv if delta[-1] or legs == 1 else kv / math.sqrt(3)
        volts.append(1e3 * coil * dss.Transformers.Tap())
        ohms.append(dss.Transformers.R() / 100 * legs / (1e3 * kva))
    nodes: dict[Node, int] = {}
    entries: list[tuple[int, int, float]] = []
    turned = _turned(dss)
    for w, (bus, conductor) in enumerate(ends):
        for leg in range(legs):
            plus = int(conductor[leg])
            if delta[w]:
                step = 1 if not turned else -1
                minus = int(conductor[(leg + step) % legs]) if legs > 1 else int(conductor[1])
            else:
                minus = int(conductor[legs]) if len(conductor) > legs else 0
            for node, sign in ((plus, 1.0), (minus, -1.0)):
                if node == 0:
                    continue
                row = nodes.setdefault((bus, node), len(nodes))
                if w == 0:  # the coils of a leg add up to nothing
                    entries += [(row, leg * (windings - 1) + k, -sign) for k in range(windings - 1)]
                else:
                    entries.append((row, leg * (windings - 1) + w - 1, sign * volts[0] / volts[w]))
    incidence = np.zeros((len(nodes), legs * (windings - 1)))
    for row, column, value in entries:
        incidence[row, column] += value
    leg_resistance = (np.diag(ohms[1:]) + ohms[0]) * volts[0] ** 2
    resistance = np.kron(np.eye(legs), leg_resistance)
    return Series(name, tuple(bus for bus, _ in ends), tuple(nodes), incidence, resistance)


def _turned(dss: Any) -> bool:
    """Delta coils lie between a phase and the one before it: OpenDSS's lead of the low-voltage side by 30 degrees."""
    dss.Text.Command(f"? {dss.CktElement.Name()}.LeadLag")
    return dss.Text.Result().lower().startswith(("lead", "euro"))


def _currents(dss: Any, one: Series, series: np.ndarray | None) -> np.ndarray:
    """Currents of one element in the present solution [A]."""
    dss.Circuit.SetActiveElement(one.name)
    count = one.incidence.shape[1]
    if not dss.CktElement.Enabled() or any(dss.CktElement.IsOpen(t + 1, 0) for t in range(len(one.buses))):
        return np.zeros(count, dtype=complex)
    if series is not None:
        volts = np.array(dss.CktElement.Voltages())
        volts = (volts[0::2] + 1j * volts[1::2]).reshape(2, -1)
        ends = terminals(dss)
        live = [k for k in range(volts.shape[1]) if ends[0][1][k] > 0 and ends[1][1][k] > 0]
        return series @ (volts[0, live] - volts[1, live])
    flat = np.array(dss.CktElement.Currents())
    into = flat[0::2] + 1j * flat[1::2]
    at: dict[Node, complex] = {}
    for (bus, conductor), amperes in zip(terminals(dss), into.reshape(len(one.buses), -1), strict=True):
        for node, value in zip(conductor, amperes, strict=True):
            if node > 0:
                at[bus, int(node)] = at.get((bus, int(node)), 0j) + value
    given = np.array([at[node] for node in one.nodes])
    return np.linalg.lstsq(one.incidence, given, rcond=None)[0]


def _in_loops(found: Iterable[Series], sources: set[str]) -> list[Series]:
    """Elements in loops of buses, all sources being one, and on the way from a source to them.

    What hangs on no loop is left out: its current is held. Elements of different phases side by side between the same
    buses are one edge, and no loop.
    """
    groups: dict[tuple[str, ...], list[Series]] = {}
    for one in found:
        groups.setdefault(tuple(sorted({_ROOT if bus in sources else bus for bus in one.buses})), []).append(one)
    edges: list[tuple[str, str, list[Series]]] = []
    for buses, members in groups.items():
        together = [members] if _apart(members) else [[member] for member in members]
        edges += [(buses[0], other, part) for part in together for other in buses[1:]]
    at: dict[str, set[int]] = {}
    for k, (tail, head, _) in enumerate(edges):
        at.setdefault(tail, set()).add(k)
        at.setdefault(head, set()).add(k)
    loose = [bus for bus, ends in at.items() if len(ends) == 1 and bus != _ROOT]
    gone = set()
    while loose:
        bus = loose.pop()
        if len(at[bus]) != 1:
            continue
        k = at[bus].pop()
        gone.add(k)
        other = edges[k][1] if edges[k][0] == bus else edges[k][0]
        at[other].discard(k)
        if len(at[other]) == 1 and other != _ROOT:
            loose.append(other)
    return list({one.name: one for k, edge in enumerate(edges) if k not in gone for one in edge[2]}.values())


def _apart(members: Sequence[Series]) -> bool:
    """No two of these elements share a node, so that there is no loop between their two buses."""
    nodes = [node for one in members for node in one.nodes]
    return len(set(nodes)) == len(nodes)


def _circuit(
    inside: Sequence[Series], sources: set[str], of_line: Mapping[str, int], n_switch: int
) -> ConductorCircuit:
    """The elements as matrices."""
    rows: dict[Node, int] = {}
    i, j, value, switch = [], [], [], []
    first = 0
    for one in inside:
        for row, column in zip(*np.nonzero(one.incidence), strict=True):
            node = one.nodes[row]
            if node[0] in sources:
                continue
            i.append(rows.setdefault(node, len(rows)))
            j.append(first + int(column))
            value.append(float(one.incidence[row, column]))
        first += one.incidence.shape[1]
        switch += [of_line.get(one.name, -1)] * one.incidence.shape[1]
    joins, n_part = _parts(inside, sources, of_line, rows)
    return ConductorCircuit(
        coo_matrix((value, (i, j)), shape=(len(rows), first)).tocsr(),
        block_diag([one.resistance for one in inside], format="csr") if inside else coo_matrix((0, 0)).tocsr(),
        np.array(switch, dtype=np.int64),
        n_switch,
        joins,
        n_part,
    )


def _parts(
    inside: Sequence[Series], sources: set[str], of_line: Mapping[str, int], rows: Mapping[Node, int]
) -> tuple[Ints, int]:
    """Parts that no switch divides, conductors of one current being joined, and the two that each switch joins.

    What no source reaches even with every switch closed hangs on the first part: no state can feed it.
    """
    source = len(rows)

    def at(node: Node) -> int:
        return source if node[0] in sources else rows[node]

    def components(pairs: Sequence[tuple[int, int]]) -> tuple[int, Ints]:
        tail, head = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        links = coo_matrix((np.ones(len(tail)), (tail, head)), shape=(source + 1, source + 1))
        count, label = connected_components(links, directed=False)
        return int(count), label

    joined: dict[bool, list[tuple[int, int]]] = {False: [], True: []}  # by fixed elements, and by switches
    for one in inside:
        for column in one.incidence.T:
            ends = [at(one.nodes[k]) for k in np.flatnonzero(column)]
            joined[one.name in of_line] += [(ends[0], other) for other in ends[1:]]
    _, island = components(joined[False] + joined[True])
    _, first = np.unique(island, return_index=True)
    unreached = [(source, int(k)) for k in first if island[k] != island[source]]
    n_part, part = components(joined[False] + unreached)
    part = np.where(part == part[source], 0, np.where(part == 0, part[source], part))
    joins = [
        [part[at(one.nodes[k])] for k in np.flatnonzero(column)] if one.name in of_line else [-1, -1]
        for one in inside
        for column in one.incidence.T
    ]
    return np.array(joins, dtype=np.int64).reshape(-1, 2), n_part
