"""Where the lines of a synthetic feeder run: meshed trunks, chains of buses along them, laterals hanging off.

.. code-block:: text

    S───o───o───J───o───o───J        S substation, J junction (corner of a planar mesh),
        │       │           │        o bus in a chain, x bus of a lateral
        x       o     x─x   o
        │       │       │   │
        x       J───o───o───J

Junctions and substations are corners of a planar graph (part of a Delaunay triangulation) with the wanted number of
loops; buses are put along its edges; laterals are small random trees. That gives the long chains of degree-2 buses
and the bridges of real feeders, which a mesh drawn over all buses would not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.network import Floats, Ints
from learnopt.network.topology import DisjointSets


@dataclass(frozen=True)
class FeederGraph:
    """Branches of a feeder before it has conductors.

    Parameters
    ----------
    n_bus
        Number of buses; the first ``n_substation`` are substations.
    tail, head
        End buses, shape (n_branch,).
    length
        Length in units of the mean length, shape (n_branch,).
    section
        Branches built as one line, hence of one conductor: an edge of the mesh or a lateral, shape (n_branch,).
    """

    n_bus: int
    n_substation: int
    tail: Ints
    head: Ints
    length: Floats
    section: Ints

    @property
    def n_section(self) -> int:
        """Number of sections."""
        return int(self.section.max()) + 1


def random_layout(
    n_bus: int, n_substation: int, n_loops: int, lateral_share: float, flat: bool, rng: np.random.Generator
) -> FeederGraph:
    """Draw the lines of a feeder.

    Parameters
    ----------
    lateral_share
        Share of the buses that are not corners of the mesh which hang off it in laterals.
    flat
        Planning-study mesh: junctions spread evenly, edges with equal numbers of nearly equal spans.
    """
    # Between one junction per loop (degree 4) and 2.5 (degree below 3); two make a cubic graph.
    n_junction = int(2 * n_loops if flat else rng.integers(n_loops, int(2.5 * n_loops) + 1))
    n_corner = min(n_substation + max(n_junction, n_substation, 2), n_bus)
    mesh = _random_mesh(n_corner, n_substation, n_loops, flat, rng)
    while mesh is None:  # too few corners; with the buses that FeederConfig asks for there is room
        n_corner = min(n_corner + 1, n_bus)
        mesh = _random_mesh(n_corner, n_substation, n_loops, flat, rng)
    points, tail, head = mesh
    n_corner = len(points)
    n_lateral = round(lateral_share * (n_bus - n_corner))
    edge_length = np.hypot(*(points[tail] - points[head]).T)
    if not flat:
        edge_length *= rng.uniform(1.0, 1.4, len(tail))  # lines follow roads
    n_chain = n_bus - n_corner - n_lateral
    count = _chain_counts(n_chain, edge_length, flat, rng)
    tail, head, length, section = _subdivide(tail, head, edge_length, count, n_corner, flat, rng)
    if n_lateral:
        host_bus = np.arange(n_substation, n_bus - n_lateral)
        more = _laterals(n_lateral, host_bus, n_bus - n_lateral, float(np.median(length)), rng)
        tail, head, length = (np.concatenate([a, b]) for a, b in zip((tail, head, length), more[:3], strict=True))
        section = np.concatenate([section, more[3] + section.max() + 1])
    return FeederGraph(n_bus, n_substation, tail, head, length / length.mean(), section)


def _corners(n: int, n_substation: int, even: bool, rng: np.random.Generator) -> Floats:
    """Corners of the mesh in the unit square, substations first and away from each other, shape (n, 2)."""
    points = rng.uniform(size=(n, 2))
    if not even:
        # Some of the corners gather in one to four towns.
        towns = rng.uniform(size=(rng.integers(1, 5), 2))
        in_town = rng.random(n) < rng.uniform()
        centre = towns[rng.integers(len(towns), size=n)]
        points = np.where(in_town[:, None], centre + rng.normal(scale=0.12, size=(n, 2)), points)
    chosen = [int(rng.integers(n))]
    distance = np.full(n, np.inf)
    while len(chosen) < n_substation:  # as k-means++ spreads its seeds
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(rng.choice(n, p=distance / distance.sum())))
    rest = np.setdiff1d(np.arange(n), chosen)
    return points[np.concatenate([chosen, rest]).astype(np.int64)]


def _random_mesh(
    n_corner: int, n_substation: int, n_loops: int, flat: bool, rng: np.random.Generator
) -> tuple[Floats, Ints, Ints] | None:
    """Corners and edges of a connected planar graph with ``n_loops`` loops; None where the corners are too few."""
    points = _corners(n_corner, n_substation, flat, rng)
    if n_corner > 3:
        from scipy.spatial import Delaunay  # takes long to load: only where a feeder is drawn

        simplices = Delaunay(points).simplices
        pairs = np.sort(np.concatenate([simplices[:, [0, 1]], simplices[:, [1, 2]], simplices[:, [0, 2]]]), axis=1)
        pairs = np.unique(pairs, axis=0).astype(np.int64)
    else:
        pairs = np.array([(a, b) for a in range(n_corner) for b in range(a + 1, n_corner)], dtype=np.int64)
    pairs = pairs[(pairs >= n_substation).any(axis=1)]  # no line joins two substations directly
    length = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
    # Short edges are built first, lines out of substations more readily than others.
    leaves_substation = pairs[:, 0] < n_substation  # pairs are sorted
    preference = length * np.where(leaves_substation, 0.5, 1.0)
    spread = 0.2 if flat else 0.6
    key = preference * rng.lognormal(sigma=spread, size=len(pairs))
    claimed: set[int] = set()
    for root in range(n_substation):  # every substation feeds a junction of its own
        own = [e for e in np.flatnonzero(pairs[:, 0] == root) if int(pairs[e, 1]) not in claimed]
        if own:
            first = min(own, key=lambda e: key[e])
            claimed.add(int(pairs[first, 1]))
            key[first] = 0.0
    merged = np.maximum(pairs - n_substation + 1, 0)
    sets = DisjointSets(n_corner - n_substation + 1)
    kept = np.zeros(len(pairs), dtype=bool)
    for e in np.argsort(key, kind="stable"):
        kept[e] = sets.join(int(merged[e, 0]), int(merged[e, 1]))
    others = np.flatnonzero(~kept)
    if len(others) < n_loops or len(claimed) < n_substation:
        return None
    # Ties join the ends of lines before anything else: each dead end at an end of an edge counts as 70 percent off.
    degree = np.bincount(pairs[kept].ravel(), minlength=n_corner)
    dead_end = (degree == 1) & (np.arange(n_corner) >= n_substation)
    cost = preference[others] * 0.3 ** dead_end[pairs[others]].sum(axis=1)
    cost *= rng.lognormal(sigma=spread, size=len(others))
    kept[others[np.argsort(cost, kind="stable")[:n_loops]]] = True
    return points, pairs[kept, 0], pairs[kept, 1]


def _chain_counts(n_chain: int, edge_length: Floats, flat: bool, rng: np.random.Generator) -> Ints:
    """Buses put along each edge, shape (n_edge,): equal numbers, or in proportion to length."""
    n_edge = len(edge_length)
    if not flat:
        return rng.multinomial(n_chain, edge_length / edge_length.sum()).astype(np.int64)
    count = np.full(n_edge, n_chain // n_edge, dtype=np.int64)
    count[rng.permutation(n_edge)[: n_chain % n_edge]] += 1
    return count


def _subdivide(
    tail: Ints, head: Ints, edge_length: Floats, count: Ints, first_bus: int, flat: bool, rng: np.random.Generator
) -> tuple[Ints, Ints, Floats, Ints]:
    """Put ``count`` new buses along each edge; returns ends, lengths and edge of every span."""
    spans = count + 1
    section = np.repeat(np.arange(len(tail)), spans)
    last = np.cumsum(spans) - 1
    first = last - count
    ends = np.arange(first_bus, first_bus + int(count.sum()), dtype=np.int64)
    is_first, is_last = (np.zeros(len(section), dtype=bool) for _ in range(2))
    is_first[first] = is_last[last] = True
    start, stop = np.empty(len(section), np.int64), np.empty(len(section), np.int64)
    start[is_first], stop[is_last] = tail, head
    start[~is_first] = stop[~is_last] = ends
    # Gamma variates divided by their sum per edge are Dirichlet: spans of an edge differ, their sum is its length.
    part = rng.gamma(50.0 if flat else 4.0, size=len(section))
    length = part / np.bincount(section, part)[section]
    # In a flat mesh all edges count the same number of spans and lengths vary little with geometry.
    return start, stop, length * (spans[section] if flat else edge_length[section]), section


def _laterals(
    n: int, hosts: Ints, first_bus: int, span: float, rng: np.random.Generator
) -> tuple[Ints, Ints, Floats, Ints]:
    """Trees hanging off random hosts, 5 buses on average; returns ends, lengths and lateral of every branch."""
    tail = np.empty(n, np.int64)
    section = np.empty(n, np.int64)
    done, lateral = 0, 0
    while done < n:
        size = min(int(rng.geometric(0.2)), n - done)
        buses = [int(hosts[rng.integers(len(hosts))])]
        along = rng.random(size) < 0.7  # continue the line, else branch off
        for j in range(size):
            tail[done + j] = buses[-1] if along[j] else buses[int(rng.integers(len(buses)))]
            buses.append(first_bus + done + j)
        section[done : done + size] = lateral
        done += size
        lateral += 1
    head = np.arange(first_bus, first_bus + n, dtype=np.int64)
    return tail, head, span * rng.lognormal(sigma=0.5, size=n), section
