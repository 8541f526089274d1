"""Where things stand in a one-line diagram: buses, bars, and routes of branches; arcs of ties keep clear of both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from learnopt.network import Floats, Ints, Network

_ARC_POINTS = 17
_BENDS = (1.0, -1.0, 0.5, -0.5, 1.7, -1.7, 2.5, -2.5)
"""Bends of a tie that are tried, relative to the usual one."""
_LARGE = 160
"""Buses of a network from which on long ties are shortened."""
_LONG = 6.0
"""Length of a tie that is shortened in a large network: two stubs, the middle left out [columns]."""
_STUB = 0.75
"""Length of a stub [columns]."""
_CLEAR = 0.4
"""Distance that ties keep from buses and switches where they can [columns]."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Positions of a network's buses and routes of its branches.

    Parameters
    ----------
    x, y
        Position of each bus [columns], shape (n_bus,).
    bars
        Polyline of the bar of each substation and busbar, by bus, shape (n_point, 2); its first part is vertical where
        feeders leave it.
    parent, feed
        Bus and branch towards the substation in the drawn tree, -1 at substations, shape (n_bus,).
    on_map
        Positions are those of the coordinates: routes are straight, and one column is as long in both directions.
    """

    network: Network
    x: Floats
    y: Floats
    bars: Mapping[int, Floats]
    parent: Ints
    feed: Ints
    on_map: bool = False

    @cached_property
    def child(self) -> Ints:
        """Bus that each branch of the drawn tree feeds, shape (n_branch,); -1 for ties."""
        child = np.full(self.network.n_branch, -1, dtype=np.int64)
        fed = np.flatnonzero(self.feed >= 0)
        child[self.feed[fed]] = fed
        return child

    @cached_property
    def routes(self) -> list[Floats]:
        """Polyline of each branch, shape (n_point, 2) each: right angles for the tree, arcs for ties.

        A row of NaN parts the stubs of a tie that is shortened.
        """
        if self.on_map:
            return self._straight_routes()
        return [
            self._shortened.get(e, self._tie_routes[e][0]) if k < 0 else self._tree_route(int(k))
            for e, k in enumerate(self.child.tolist())
        ]

    @cached_property
    def _shortened(self) -> dict[int, Floats]:
        """Routes of long ties of large networks: a stub at either end, towards each other."""
        if self.network.n_bus <= _LARGE:
            return {}
        found = {}
        for e, (arc, _) in self._tie_routes.items():
            along = np.append(0.0, np.cumsum(np.hypot(*np.diff(arc, axis=0).T)))
            if along[-1] > _LONG:
                cuts = [[np.interp(s, along, arc[:, i]) for i in (0, 1)] for s in (_STUB, along[-1] - _STUB)]
                found[e] = np.array([arc[0], cuts[0], [np.nan, np.nan], cuts[1], arc[-1]])
        return found

    @property
    def shortened(self) -> bool:
        """Some ties are drawn as two stubs."""
        return not self.on_map and bool(self._shortened)

    def switch_places(self, e: int) -> Floats:
        """Where the switch of a branch is drawn, shape (1, 2), or (2, 2) for the stubs of one that is shortened."""
        if self.on_map or e not in self._shortened:
            return self.middles[[e]]
        return self._shortened[e][[1, 3]]

    @cached_property
    def middles(self) -> Floats:
        """Where the switch of each branch is drawn, shape (n_branch, 2): on a part that no other branch shares."""
        if self.on_map:
            return np.array([route[len(route) // 2 - 1 : len(route) // 2 + 1].mean(axis=0) for route in self.routes])
        return np.array(
            [
                self._shortened[e][1]
                if e in self._shortened
                else self._tie_routes[e][1]
                if self.child[e] < 0
                else r[-2:].mean(axis=0)
                for e, r in enumerate(self.routes)
            ]
        ).reshape(-1, 2)

    def _straight_routes(self) -> list[Floats]:
        """Straight lines; of branches between the same buses all but the first are arcs."""
        places = np.column_stack([self.x, self.y])
        drawn: dict[tuple[int, int], int] = defaultdict(int)
        routes = []
        for a, b in zip(self.network.from_bus.tolist(), self.network.to_bus.tolist(), strict=True):
            ends = min(a, b), max(a, b)
            bend = 0.0 if drawn[ends] == 0 else _BENDS[(drawn[ends] - 1) % len(_BENDS)]
            routes.append(places[[a, b]] if bend == 0 else _arc(places[ends[0]], places[ends[1]], bend))
            drawn[ends] += 1
        return routes

    def _tree_route(self, k: int) -> Floats:
        p, x, y = int(self.parent[k]), self.x, self.y
        if p in self.bars:
            bar = self.bars[p]
            if k in self.bars:  # a busbar hangs from its substation
                return np.array([[x[k], bar[-1, 1]], [x[k], self.bars[k][:, 1].max()]])
            return np.array([[bar[0, 0], y[k]], [x[k], y[k]]])  # leaves the bar at its own height
        if x[p] == x[k] or y[p] == y[k]:
            return np.array([[x[p], y[p]], [x[k], y[k]]])
        return np.array([[x[p], y[p]], [x[p], y[k]], [x[k], y[k]]])

    @cached_property
    def _tie_routes(self) -> dict[int, tuple[Floats, Floats]]:
        """Arc of each tie and where its switch is drawn, both kept clear of buses and of switches drawn before."""
        net = self.network
        tree = [self._tree_route(int(k)) for k in self.child[self.child >= 0]]
        taken = [np.column_stack([self.x, self.y]), *(route[-2:].mean(axis=0)[None] for route in tree)]
        for bar in self.bars.values():
            steps = np.linspace(0.0, 1.0, 2 + int(2 * np.ptp(bar, axis=0).max()))[:, None]
            taken += [a + steps * (b - a) for a, b in pairwise(bar)]
        obstacles = cKDTree(np.concatenate(taken))
        switches: list[Floats] = []
        routes = {}
        for e in np.flatnonzero(self.child < 0).tolist():
            a, b = sorted((int(net.from_bus[e]), int(net.to_bus[e])))
            start, end = self._tie_end(a, b), self._tie_end(b, a)
            best: tuple[float, Floats, Floats] | None = None
            for bend in _BENDS:
                arc = _arc(start, end, bend)
                clear = obstacles.query(arc[1:-1])[0]
                cost = float(np.sum(np.clip(_CLEAR - clear, 0, None))) + 0.15 * abs(bend)
                if switches:  # a parallel tie takes another arc
                    clear = np.minimum(clear, cdist(arc[1:-1], np.array(switches)).min(axis=1))
                place = np.clip(clear, None, 2 * _CLEAR) - 0.02 * np.abs(
                    np.arange(1, _ARC_POINTS - 1) - _ARC_POINTS // 2
                )
                cost -= float(place.max())
                if best is None or cost < best[0] - 1e-9:
                    best = cost, arc, arc[1 + int(np.argmax(place))]
            assert best is not None
            routes[e] = best[1:]
            switches.append(best[2])
        return routes

    def _tie_end(self, k: int, other: int) -> Floats:
        """Where a tie meets a bus: the nearest point of a bar."""
        if k not in self.bars:
            return np.array([self.x[k], self.y[k]])
        (x_min, y_min), (x_max, y_max) = self.bars[k][:2].min(axis=0), self.bars[k][:2].max(axis=0)
        return np.array([np.clip(self.x[other], x_min, x_max), np.clip(self.y[other], y_min, y_max)])


def _arc(start: Floats, end: Floats, bend: float) -> Floats:
    """A parabola between two points, shape (_ARC_POINTS, 2); a positive bend is on the upper side."""
    along = end - start
    distance = float(np.hypot(*along))
    normal = np.array([-along[1], along[0]]) / max(distance, 1e-9)
    if normal[1] < -1e-9 or (abs(normal[1]) <= 1e-9 and normal[0] < 0):
        normal = -normal
    # Enough to clear the buses between two ends in one row, little for a long tie across the picture.
    control = 0.5 * (start + end) + 2 * bend * min(0.25 + 0.1 * distance, 1.6) * normal
    t = np.linspace(0.0, 1.0, _ARC_POINTS)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
