"""A first plan at once: close ties by depth and capacity, give zones up until the judge accepts.

It starts from what keeps its supply. Where that is outside the limits the zones farthest from the sources are given up.
Then every part without supply is tied to what has some, whole; what does not fit whole is tied zone by zone. Each trial
is one power flow, so the work is counted, not timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from learnopt.network import Bools, Floats, Ints, ReconfigurationProblem

MOST_TRIALS = 400
"""Power flows of one plan."""
TIES = 6
"""Ties by which a part without supply is tried whole."""
DROPPED = 0.05
"""Share of the zones that are given up between two power flows."""

Accepts = Callable[[Bools, Bools], bool]
"""Whether the judge accepts states of the branches with supply for some zones."""


@dataclass(eq=False)
class FirstPlan:
    """A forest of zones that grows from the sources.

    Parameters
    ----------
    problem
        What is within reach.
    zone
        Zone of each bus, shape (n_bus,); -1 with the substations.
    value_kw
        What serving each zone is worth [kW], shape (n_zone,).
    standing
        States after isolating, shape (n_branch,).
    accepts
        The judge.
    goes_on
        Whether there is time left for better plans than the first.
    """

    problem: ReconfigurationProblem
    zone: Ints
    value_kw: Floats
    standing: Bools
    accepts: Accepts
    goes_on: Callable[[], bool] = lambda: True
    trials: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        net, n_zone = self.problem.network, len(self.value_kw)
        tail, head = self.zone[net.from_bus] % (n_zone + 1), self.zone[net.to_bus] % (n_zone + 1)
        self._ends = np.stack([tail, head])
        self._switches = self.problem.usable & (tail != head) & ~self.problem.must_close
        self._around: list[list[int]] = [[] for _ in range(n_zone + 1)]
        for e in np.flatnonzero(self._switches).tolist():
            self._around[tail[e]].append(e)
            self._around[head[e]].append(e)
        self._feed = np.full(n_zone + 1, -1)
        self._depth = np.full(n_zone + 1, np.inf)
        self._depth[n_zone] = 0.0

    def grow(self) -> None:
        """Offer better and better plans to the judge."""
        root = len(self.value_kw)
        for z, e in self._joined(root, self.standing):
            self._tie(z, e)
        while not self._accepted() and self.trials < MOST_TRIALS:
            fed = np.flatnonzero(np.isfinite(self._depth[:-1]))
            if not len(fed):
                return
            order = fed[np.argsort(-self._depth[fed], kind="stable")]
            self._drop(order[: max(1, int(DROPPED * len(fed)))].tolist())
        self._whole_parts()
        self._zones()

    def _left(self) -> bool:
        return self.trials < MOST_TRIALS and self.goes_on()

    def _accepted(self) -> bool:
        self.trials += 1
        closed = self.problem.must_close.copy()
        closed[self._feed[self._feed >= 0]] = True
        return self.accepts(closed, np.isfinite(self._depth[:-1]))

    def _other(self, e: int, z: int) -> int:
        a, b = self._ends[:, e].tolist()
        return int(b if a == z else a)

    def _joined(self, start: int, closed: Bools) -> list[tuple[int, int]]:
        """Zones without supply that closed switches join to one, each with its switch, nearest first."""
        seen, found, queue = {start}, [], [start]
        while queue:
            z = queue.pop(0)
            for e in self._around[z]:
                other = self._other(e, z)
                if closed[e] and other not in seen and not np.isfinite(self._depth[other]):
                    seen.add(other)
                    found.append((other, e))
                    queue.append(other)
        return found

    def _tie(self, z: int, e: int) -> None:
        self._feed[z] = e
        self._depth[z] = self._depth[self._other(e, z)] + float(self.problem.network.r[e]) + 1e-9

    def _drop(self, zones: list[int]) -> None:
        """Deepest first, so nothing hangs on what is dropped."""
        self._feed[zones] = -1
        self._depth[zones] = np.inf

    def _candidates(self, zones: set[int]) -> list[tuple[int, int]]:
        """Switches from what has supply to some zones, and the zone: shallow first, then of large capacity."""
        i_max = self.problem.network.i_max
        found = [
            (self._depth[self._other(e, z)], -i_max[e], -self.value_kw[z], e, z)
            for z in zones
            for e in self._around[z]
            if np.isfinite(self._depth[self._other(e, z)])
        ]
        return [(e, z) for *_, e, z in sorted(found)]

    def _dark(self) -> set[int]:
        return set(np.flatnonzero(~np.isfinite(self._depth[:-1])).tolist())

    def _whole_parts(self) -> None:
        """Tie each part without supply by its best tie, the part of most load first."""
        dark, parts = self._dark(), []
        while dark:
            z = dark.pop()
            part = {z} | {other for other, _ in self._joined(z, self.standing)}
            dark -= part
            parts.append((float(self.value_kw[list(part)].sum()), part))
        waiting = [part for _, part in sorted(parts, key=lambda one: (-one[0], min(one[1])))]
        while waiting:
            done = [part for part in waiting if self._tied_whole(part)]
            waiting = [part for part in waiting if part not in done]
            if not done:
                return

    def _tied_whole(self, part: set[int]) -> bool:
        for e, z in self._candidates(part)[:TIES]:
            if not self._left():
                return False
            self._tie(z, e)
            added = [z]
            for other, by in self._joined(z, self.standing):
                if other in part:
                    self._tie(other, by)
                    added.append(other)
            if self._accepted():
                return True
            self._drop(added)
        return False

    def _zones(self) -> None:
        """Tie zone after zone, each switch once: what is refused is refused with more load, too."""
        tried: set[int] = set()
        while self._left():
            waiting = [(e, z) for e, z in self._candidates(self._dark()) if e not in tried]
            if not waiting:
                return
            e, z = waiting[0]
            tried.add(e)
            self._tie(z, e)
            if not self._accepted():
                self._drop([z])


def capacity_bound(problem: ReconfigurationProblem, zone: Ints, value_kw: Floats) -> float:
    """Load that ratings of the sources leave without supply in any case [kW, times priority].

    What the sources give is what the loads draw and the losses, so loads of constant power with supply are at most the
    ratings together. The zones of least worth are given up first, the last one by a share. 0 where something feeds in.
    """
    capacity, base = float(problem.s_max.sum()), problem.network.base.kw
    if not np.isfinite(capacity) or (problem.p < 0).any() or (problem.network.g_shunt < 0).any():
        return 0.0
    drawn = np.zeros(len(value_kw))
    inside = zone >= 0
    np.add.at(drawn, zone[inside], problem.p[inside] * base)
    excess, given_up = float(problem.p.sum()) * base - capacity * base, 0.0
    loaded = np.flatnonzero(drawn > 0)
    for z in loaded[np.argsort(value_kw[loaded] / drawn[loaded], kind="stable")].tolist():
        if excess <= 0:
            break
        given_up += value_kw[z] * min(1.0, excess / drawn[z])
        excess -= drawn[z]
    return given_up * (1 - 1e-9)
