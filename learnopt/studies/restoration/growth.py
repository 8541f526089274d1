"""Least value without supply, then fewest operations and least loss, by the search of forests (:mod:`growth_kernel`).

It carries networks of loads and impedances alone: nothing that feeds in, no capacitors, no charging, no taps. Where
something else is in them there is no ground for it, and the relaxation has the word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import gcd

import numpy as np

from learnopt.network import Bools, Floats, Ints, ReconfigurationProblem
from learnopt.physics.judge import LIMIT_TOLERANCE
from learnopt.studies.restoration.growth_kernel import (
    BUDGET,
    DEPTH,
    DOWN,
    FEWEST_OPERATIONS,
    FINISHED,
    IMPROVED,
    LEAST_LOSS,
    LEAST_VALUE,
    LOSS,
    NODES,
    OPERATIONS,
    SIZE,
    UNSETTLED,
    Forest,
    Ground,
    grow,
    node_steps,
    plant,
)

MOST_STEPS = 4e9
"""Steps of one search, of about a nanosecond each; what is not proven by then the relaxation is asked about."""
BETWEEN = 2e7
"""Steps between two looks at the clock."""
_UNIT_KW = 1e-3
"""Values that are whole multiples of this have a common divisor, by which one is less than another at least."""


@dataclass(frozen=True)
class Grown:
    """The best forest of a search.

    Parameters
    ----------
    closed
        States of the switches, shape (n_branch,).
    served
        Zones with supply, shape (n_zone,).
    """

    closed: Bools
    served: Bools


@dataclass(eq=False)
class Growth:
    """A search of forests in one problem; its three aims are asked one after the other.

    Parameters
    ----------
    problem
        What is within reach.
    ground
        Its numbers.
    switches
        Branches between zones, shape (n_switch,).
    goes_on
        Whether there is time left.
    """

    problem: ReconfigurationProblem
    ground: Ground
    switches: Ints
    goes_on: Callable[[], bool] = lambda: True
    nodes: int = field(default=0, init=False)

    @classmethod
    def of(
        cls, problem: ReconfigurationProblem, zone: Ints, value_kw: Floats, goes_on: Callable[[], bool]
    ) -> Growth | None:
        """A search, or None where the network has what it does not carry.

        Parameters
        ----------
        zone
            Zone of each bus, shape (n_bus,); -1 with the substations.
        value_kw
            What serving each zone is worth [kW], shape (n_zone,).
        """
        problem = problem.limits_written()
        if not _carried(problem) or not _trees(problem, zone):
            return None
        net = problem.network
        between = (zone[net.from_bus] != zone[net.to_bus]) & ~problem.must_close
        switches = np.flatnonzero(between)
        return cls(problem, _ground(problem, zone, value_kw, switches), switches, goes_on)

    def least_value(self, most_kw: float, step_kw: float) -> tuple[Grown | None, bool]:
        """The forest of least value without supply, at most so much; and whether that is proven.

        Parameters
        ----------
        step_kw
            By how much a forest has to be better than another.
        """
        return self._run(LEAST_VALUE, most_kw, max(step_kw, _least_step(self.ground.value) - step_kw), 0, np.inf)

    def best(self, most_kw: float, operations: int | None, loss_kw: float) -> tuple[Grown | None, bool]:
        """The forest of fewest operations, then least loss, better than some plan; and whether no better one is left.

        Parameters
        ----------
        most_kw
            Value that may stay without supply.
        operations, loss_kw
            Of the plan; without operations the loss alone counts.
        """
        aim = LEAST_LOSS if operations is None else FEWEST_OPERATIONS
        loss = loss_kw / self.problem.network.base.kw * (1 - 1e-7)
        return self._run(aim, most_kw, 0.0, operations or 0, loss)

    def _run(self, aim: int, budget: float, step: float, operations: int, loss: float) -> tuple[Grown | None, bool]:
        ground = self.ground
        forest = _forest(ground, ~self.problem.usable[self.switches])
        forest.aims[BUDGET], forest.aims[LOSS], forest.counts[OPERATIONS] = budget, loss, operations
        plant(ground, forest)
        each, found = node_steps(ground), False
        most, some = int(MOST_STEPS / each), max(1, int(BETWEEN / each))
        while forest.counts[NODES] < most and self.goes_on():
            ended = grow(ground, forest, aim, step, min(some, grow.patience(each)))
            found = found or ended == IMPROVED
            if ended == FINISHED:
                break
        else:
            ended = None
        self.nodes += int(forest.counts[NODES])
        proven = bool(ended == FINISHED and forest.counts[UNSETTLED] == 0)
        return self._grown(forest) if found else None, proven

    def _grown(self, forest: Forest) -> Grown:
        closed = self.problem.must_close.copy()
        closed[self.switches[forest.best[forest.best >= 0]]] = True
        return Grown(closed, forest.best >= 0)


def _carried(problem: ReconfigurationProblem) -> bool:
    """Loads and impedances alone, so that more load never helps any limit."""
    net, several = problem.network, problem.situations
    if several.networks or several.objective != "expected" or problem.chords.any():
        return False
    loads = all((member.p >= 0).all() and (member.q >= 0).all() for member in problem.members)
    lines = (net.r >= 0).all() and (net.x >= 0).all() and (net.ratio == 1).all()
    shunts = problem.b.any() or net.g.any() or net.g_shunt.any() or net.b_shunt.any()
    above = (problem.vm_max < net.substation_vm.max(initial=0.0)).any() or (problem.s_min > 0).any()
    return bool(loads and lines and not shunts and not above)


def _trees(problem: ReconfigurationProblem, zone: Ints) -> bool:
    """What is always closed makes a tree of each zone, and of each source with what always has its supply."""
    net = problem.network
    inner = np.flatnonzero(problem.must_close)
    buses = np.bincount(zone + 1, minlength=int(zone.max(initial=-1)) + 2)
    lines = np.bincount(zone[net.from_bus[inner]] + 1, minlength=len(buses))
    buses[0] -= len(net.substations) - 1
    return bool((lines == buses - 1).all())


def _rows(n_bus: int, tail: Ints, head: Ints) -> tuple[Ints, Ints, Ints]:
    """Compressed rows of the branches at each bus: starts, places of branches, buses at the far ends."""
    end, far = np.concatenate([tail, head]), np.concatenate([head, tail])
    order = np.argsort(end, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(end, minlength=n_bus))]).astype(np.int64)
    place = np.concatenate([np.arange(len(tail)), np.arange(len(tail))])
    return start, place[order].astype(np.int64), far[order].astype(np.int64)


def _ground(problem: ReconfigurationProblem, zone: Ints, value_kw: Floats, switches: Ints) -> Ground:
    net, n_zone = problem.network, len(value_kw)
    zone = zone.astype(np.int64)
    tail, head = net.from_bus.astype(np.int64), net.to_bus.astype(np.int64)
    lines = np.flatnonzero(problem.must_close)
    line_start, line, line_other = _rows(net.n_bus, tail[lines], head[lines])
    start, switch, other = _rows(net.n_bus, tail[switches], head[switches])
    lowest = (problem.vm_min * (1 - LIMIT_TOLERANCE)) ** 2
    most = (problem.i_max * (1 + LIMIT_TOLERANCE)) ** 2
    root_most = (problem.s_max * (1 + LIMIT_TOLERANCE)) ** 2
    inside = np.flatnonzero(zone >= 0)
    members = problem.members
    zone_p, zone_q = np.zeros((len(members), n_zone)), np.zeros((len(members), n_zone))
    for k, member in enumerate(members):
        np.add.at(zone_p[k], zone[inside], member.p[inside])
        np.add.at(zone_q[k], zone[inside], member.q[inside])
    zone_lowest = np.full(n_zone, np.inf)
    np.minimum.at(zone_lowest, zone[inside], lowest[inside])
    # Inside a zone every branch has the state it has in all plans that supply it.
    inner = np.flatnonzero((zone[tail] == zone[head]) & (zone[tail] >= 0) & ~problem.out_of_service)
    changed = problem.must_close[inner] == net.normally_open[inner]
    zone_operations = np.bincount(zone[tail[inner]], weights=changed, minlength=n_zone).astype(np.int64)
    return Ground(
        p=np.stack([member.p for member in members]),
        q=np.stack([member.q for member in members]),
        weight=np.array(problem.situations.weights),
        lowest=lowest,
        zone=zone,
        zone_start=np.concatenate([[0], np.cumsum(np.bincount(zone[inside], minlength=n_zone))]).astype(np.int64),
        zone_bus=inside[np.argsort(zone[inside], kind="stable")].astype(np.int64),
        value=np.array(value_kw, dtype=float),
        zone_p=zone_p,
        zone_q=zone_q,
        zone_lowest=zone_lowest,
        zone_operations=zone_operations,
        line_start=line_start,
        line_other=line_other,
        line_r=net.r[lines][line],
        line_x=net.x[lines][line],
        line_most=most[lines][line],
        start=start,
        switch=switch,
        other=other,
        tail=tail[switches],
        head=head[switches],
        r=net.r[switches],
        x=net.x[switches],
        most=most[switches],
        closed=(~net.normally_open[switches]).astype(np.int64),
        counted=(~problem.out_of_service[switches]).astype(np.int64),
        root=net.substations.astype(np.int64),
        root_v=np.array(net.substation_vm, dtype=float) ** 2,
        root_most=root_most,
        rated=int(np.isfinite(most).any() or np.isfinite(root_most).any()),
    )


def _forest(ground: Ground, stays_open: Bools) -> Forest:
    """Room for a search, before its first node."""
    n_situation, n_bus = ground.p.shape
    n_zone, n_switch = len(ground.value), len(ground.tail)

    def whole(*shape: int) -> Ints:
        return np.zeros(shape, dtype=np.int64)

    counts = whole(7)
    counts[DOWN] = 1
    counts[DEPTH] = counts[SIZE] = 0
    return Forest(
        counts=counts,
        aims=np.zeros(2),
        order=whole(n_bus),
        parent=whole(n_bus),
        r=np.zeros(n_bus),
        x=np.zeros(n_bus),
        most=np.full(n_bus, np.inf),
        inside=whole(n_bus),
        served=whole(n_zone),
        feed=np.full(n_zone, -1, dtype=np.int64),
        open=stays_open.astype(np.int64),
        shared_r=np.zeros((n_bus, n_bus)),
        shared_x=np.zeros((n_bus, n_bus)),
        ell=np.zeros((n_switch + 2, n_situation, n_bus)),
        v=np.zeros((n_situation, n_bus)),
        P=np.zeros((n_situation, n_bus)),
        Q=np.zeros((n_situation, n_bus)),
        at_switch=whole(n_switch + 2),
        at_phase=whole(n_switch + 2),
        at_size=whole(n_switch + 2),
        part=np.full(n_zone, -1, dtype=np.int64),
        queue=whole(n_zone + 1),
        door_bus=whole(2 * n_switch + 1),
        door_switch=whole(2 * n_switch + 1),
        door_zone=whole(2 * n_switch + 1),
        near_r=np.zeros(n_zone + 1),
        near_x=np.zeros(n_zone + 1),
        part_p=np.zeros((n_situation, n_zone + 1)),
        part_q=np.zeros((n_situation, n_zone + 1)),
        doors=whole(n_zone + 1),
        through=whole(n_zone + 1, n_bus),
        relief=np.zeros(n_zone + 1),
        highest=np.zeros((n_situation, n_bus)),
        way_r=np.zeros(n_zone + 1),
        way_x=np.zeros(n_zone + 1),
        done=whole(n_zone + 1),
        best=np.full(n_zone, -2, dtype=np.int64),
    )


def _least_step(value_kw: Floats) -> float:
    """The least that sums of the values differ by: their common divisor, where they are whole multiples of one [kW]."""
    counts = np.round(value_kw / _UNIT_KW)
    if not len(counts) or (np.abs(value_kw - counts * _UNIT_KW) > 1e-9 * np.maximum(value_kw, 1.0)).any():
        return 0.0
    return gcd(*counts.astype(int).tolist()) * _UNIT_KW
