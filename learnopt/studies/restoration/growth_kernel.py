r"""Compiled search for a partial service: a forest that grows from the sources, zone by zone.

A node of the search is a forest of zones with supply, and switches that stay open. Its two children close a switch at
the edge of the forest, or leave it open for good. With loads of p, q >= 0 alone every zone that joins later raises
currents and lowers voltages, so the currents of the forest, from below, hold in all that grows from it:

.. math::

    P_j \ge p_j + \sum_c (P_c + r_c \ell_c), \quad \ell_j \ge (P_j^2 + Q_j^2) / v_j, \quad
    v_j \le v_i - 2 (r P_j + x Q_j) - (r^2 + x^2) \ell_j

iterated from :math:`\ell = 0`; in a forest that is complete they are its power flow. A zone z that joins somewhere
lowers the voltage of bus k by :math:`2 (R_{tk} p_z + X_{tk} q_z)` at least, where t is one of the buses by which the
part that z lies in can be reached and R, X are what their ways share; a zone goes through a branch or source where all
these t lie behind it. Of these zones some value may stay dark, as much as the budget says: what that relieves is at
most a fractional knapsack.
A limit that is passed even so prunes the node. So does a zone that is too dear to stay dark, where its own load on the
shortest way to it lowers its voltage too far.

Proof and figures in ``docs/methods/restoration.md``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from learnopt.compiling import LONG_PATIENCE, njit
from learnopt.network import Floats, Ints

NODES, LEAVES, DEPTH, SIZE, DOWN, UNSETTLED, OPERATIONS = range(7)
"""Places in ``Forest.counts``; ``DOWN`` is 1 where the search goes down from a node, 0 where it comes back."""
BUDGET, LOSS = range(2)
"""Places in ``Forest.aims``: value that may stay dark, and the loss to beat."""
FINISHED, IMPROVED, RUNNING = range(3)
LEAST_VALUE, FEWEST_OPERATIONS, LEAST_LOSS = range(3)
"""What is minimised: value without supply; operations and then loss; loss."""
SWEEPS, LEAF_SWEEPS = 2, 300
"""Sweeps of a node, and most of a complete forest."""
LEAF_TOLERANCE = 1e-14
SETTLED = 1e-9
"""Relative change of a squared current that is left, up to which a complete forest counts as solved."""

_inner = njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For what compiled code alone calls: a way in from Python, with some seventy arrays, takes most of the compiling."""


class Ground(NamedTuple):
    """What does not change: numbers of the network in per unit, limits squared and with the slack of the judge."""

    p: Floats
    """Loads of each situation, shape (n_situation, n_bus)."""
    q: Floats
    weight: Floats
    """Of each situation in the loss, shape (n_situation,)."""
    lowest: Floats
    """Squared voltage that each bus needs with supply, shape (n_bus,)."""
    zone: Ints
    """Zone of each bus, -1 where it always has supply."""
    zone_start: Ints
    """Compressed rows of the buses of each zone, shape (n_zone + 1,)."""
    zone_bus: Ints
    value: Floats
    """What serving each zone is worth, shape (n_zone,)."""
    zone_p: Floats
    """Load of each zone in each situation, shape (n_situation, n_zone)."""
    zone_q: Floats
    zone_lowest: Floats
    """Least of ``lowest`` in each zone."""
    zone_operations: Ints
    """Operations inside a zone that has supply."""
    line_start: Ints
    """Compressed rows of what is always closed, shape (n_bus + 1,)."""
    line_other: Ints
    line_r: Floats
    line_x: Floats
    line_most: Floats
    """Squared rating of each."""
    start: Ints
    """Compressed rows of the switches between zones, shape (n_bus + 1,)."""
    switch: Ints
    other: Ints
    tail: Ints
    """Ends of each switch, shape (n_switch,)."""
    head: Ints
    r: Floats
    x: Floats
    most: Floats
    closed: Ints
    """1 where it is closed normally."""
    counted: Ints
    """1 where its operation counts."""
    root: Ints
    root_v: Floats
    """Squared voltage of each source."""
    root_most: Floats
    """Squared rating of each source."""
    rated: int
    """1 where some branch or source has a rating."""


class Forest(NamedTuple):
    """Where a search is; every array is changed in place."""

    counts: Ints
    aims: Floats
    order: Ints
    """Buses with supply, sources first; the first ``counts[SIZE]`` count."""
    parent: Ints
    r: Floats
    """Of the branch that feeds each bus."""
    x: Floats
    most: Floats
    inside: Ints
    """1 for buses with supply."""
    served: Ints
    """1 for zones with supply."""
    feed: Ints
    """Switch that feeds each zone, -1 without."""
    open: Ints
    """1 for switches that stay open."""
    shared_r: Floats
    """What the ways of two buses with supply share, shape (n_bus, n_bus)."""
    shared_x: Floats
    ell: Floats
    """Squared currents from below at each depth, shape (n_switch + 2, n_situation, n_bus)."""
    v: Floats
    """Squared voltages from above, shape (n_situation, n_bus)."""
    P: Floats
    """Flow that arrives at each bus from below; of a source what leaves it."""
    Q: Floats
    at_switch: Ints
    """Switch of each depth."""
    at_phase: Ints
    """0 while it is closed, 1 while it stays open."""
    at_size: Ints
    """Size of the forest before it."""
    part: Ints
    """Part of each zone that may still join; -1 for the others, shape (n_zone,)."""
    queue: Ints
    door_bus: Ints
    """Buses of the forest with a switch to what may join, shape (2 n_switch,)."""
    door_switch: Ints
    door_zone: Ints
    near_r: Floats
    """Least shared resistance of a part with a bus, shape (n_zone,)."""
    near_x: Floats
    part_p: Floats
    """Load of each part, shape (n_situation, n_zone)."""
    part_q: Floats
    doors: Ints
    """Doors of each part."""
    through: Ints
    """Doors of each part that lie behind a bus, shape (n_zone, n_bus)."""
    relief: Floats
    highest: Floats
    """Squared voltage of each bus with supply that no growth exceeds, shape (n_situation, n_bus)."""
    way_r: Floats
    """Least resistance from the forest to each zone."""
    way_x: Floats
    done: Ints
    best: Ints
    """Feeding switch of each zone in the best forest; -2 without supply."""


@_inner
def _append(ground: Any, at: Any, bus: int, parent: int, r: float, x: float, most: float) -> None:
    """One more bus with supply."""
    size = at.counts[SIZE]
    at.order[size], at.parent[bus], at.inside[bus] = bus, parent, 1
    at.r[bus], at.x[bus], at.most[bus] = r, x, most
    for position in range(size):
        other = at.order[position]
        shared_r = at.shared_r[parent, other] if parent >= 0 else 0.0
        shared_x = at.shared_x[parent, other] if parent >= 0 else 0.0
        at.shared_r[bus, other] = shared_r
        at.shared_r[other, bus] = shared_r
        at.shared_x[bus, other] = shared_x
        at.shared_x[other, bus] = shared_x
    at.shared_r[bus, bus] = at.shared_r[parent, parent] + r if parent >= 0 else 0.0
    at.shared_x[bus, bus] = at.shared_x[parent, parent] + x if parent >= 0 else 0.0
    at.counts[SIZE] = size + 1


@_inner
def _follow_lines(ground: Any, at: Any, first: int) -> None:
    """Add what is always closed behind the buses from a position of the order on."""
    position = first
    while position < at.counts[SIZE]:
        bus = at.order[position]
        position += 1
        for k in range(ground.line_start[bus], ground.line_start[bus + 1]):
            other = ground.line_other[k]
            if at.inside[other] == 0:
                _append(ground, at, other, bus, ground.line_r[k], ground.line_x[k], ground.line_most[k])


@njit()
def plant(ground: Any, at: Any) -> None:
    """The forest of what always has supply."""
    at.counts[SIZE] = 0
    for k in range(len(ground.root)):
        _append(ground, at, ground.root[k], -1, 0.0, 0.0, np.inf)
    _follow_lines(ground, at, 0)


@_inner
def _sweep(ground: Any, at: Any, depth: int, situation: int, most: int, tolerance: float) -> float:
    """Currents from below and voltages from above; the relative change that is left, or -1 where a limit is passed."""
    n_root, size = len(ground.root), at.counts[SIZE]
    order, parent, r, x = at.order, at.parent, at.r, at.x
    ell, v, P, Q = at.ell[depth, situation], at.v[situation], at.P[situation], at.Q[situation]
    p, q = ground.p[situation], ground.q[situation]
    for k in range(n_root):
        v[ground.root[k]] = ground.root_v[k]
    change = np.inf
    for _ in range(most):
        for position in range(size):
            bus = order[position]
            P[bus], Q[bus] = p[bus], q[bus]
        for position in range(size - 1, n_root - 1, -1):
            bus = order[position]
            P[parent[bus]] += P[bus] + r[bus] * ell[bus]
            Q[parent[bus]] += Q[bus] + x[bus] * ell[bus]
        for k in range(n_root):
            bus = ground.root[k]
            if P[bus] * P[bus] + Q[bus] * Q[bus] > ground.root_most[k]:
                return -1.0
        change = 0.0
        for position in range(n_root, size):
            bus = order[position]
            drop = 2.0 * (r[bus] * P[bus] + x[bus] * Q[bus]) + (r[bus] * r[bus] + x[bus] * x[bus]) * ell[bus]
            v[bus] = v[parent[bus]] - drop
            if v[bus] <= 0.0 or v[bus] < ground.lowest[bus]:
                return -1.0
            current = (P[bus] * P[bus] + Q[bus] * Q[bus]) / v[bus]
            if current > at.most[bus]:
                return -1.0
            if current > ell[bus]:
                change = max(change, (current - ell[bus]) / current)
                ell[bus] = current
        if change < tolerance:
            break
    return change


@_inner
def _within(ground: Any, at: Any, depth: int) -> bool:
    """No limit is passed by the forest alone, in any situation."""
    least = 0.0
    for situation in range(len(ground.p)):
        least = min(least, _sweep(ground, at, depth, situation, SWEEPS, 0.0))
    return least >= 0.0


@_inner
def _loss(ground: Any, at: Any, depth: int) -> float:
    """Loss of the forest from below."""
    total = 0.0
    for situation in range(len(ground.p)):
        for position in range(len(ground.root), at.counts[SIZE]):
            bus = at.order[position]
            total += ground.weight[situation] * at.r[bus] * at.ell[depth, situation, bus]
    return total


@_inner
def _look_around(ground: Any, at: Any) -> tuple[int, int]:
    """Parts of what may still join, and the doors to them; how many of both."""
    at.part[:] = -1
    parts, doors = 0, 0
    for position in range(at.counts[SIZE]):
        bus = at.order[position]
        for k in range(ground.start[bus], ground.start[bus + 1]):
            zone = ground.zone[ground.other[k]]
            if at.open[ground.switch[k]] == 1 or zone < 0 or at.served[zone] == 1:
                continue
            at.door_bus[doors], at.door_switch[doors], at.door_zone[doors] = bus, ground.switch[k], zone
            doors += 1
            if at.part[zone] >= 0:
                continue
            at.part[zone] = parts
            at.doors[parts] = 0
            at.queue[0] = zone
            first, last = 0, 1
            while first < last:
                here = at.queue[first]
                first += 1
                for i in range(ground.zone_start[here], ground.zone_start[here + 1]):
                    inner = ground.zone_bus[i]
                    for j in range(ground.start[inner], ground.start[inner + 1]):
                        there = ground.zone[ground.other[j]]
                        if at.open[ground.switch[j]] == 1 or there < 0:
                            continue
                        if at.served[there] == 0 and at.part[there] < 0:
                            at.part[there] = parts
                            at.queue[last] = there
                            last += 1
            parts += 1
    for door in range(doors):
        at.doors[at.part[at.door_zone[door]]] += 1
    for situation in range(len(ground.p)):
        for part in range(parts):
            at.part_p[situation, part] = 0.0
            at.part_q[situation, part] = 0.0
        for zone in range(len(ground.value)):
            part = at.part[zone]
            if part >= 0:
                at.part_p[situation, part] += ground.zone_p[situation, zone]
                at.part_q[situation, part] += ground.zone_q[situation, zone]
    return parts, doors


@_inner
def _operations(ground: Any, at: Any) -> int:
    """Operations that are decided."""
    total = 0
    for zone in range(len(ground.value)):
        if at.served[zone] == 1:
            total += ground.zone_operations[zone]
    for e in range(len(ground.tail)):
        if ground.counted[e] == 0:
            continue
        a, b = ground.zone[ground.tail[e]], ground.zone[ground.head[e]]
        if (a >= 0 and at.feed[a] == e) or (b >= 0 and at.feed[b] == e):
            total += 1 - ground.closed[e]
            continue
        fed_a, fed_b = a < 0 or at.served[a] == 1, b < 0 or at.served[b] == 1
        if ground.closed[e] == 1 and ((fed_a and fed_b) or (at.open[e] == 1 and (fed_a or fed_b))):
            total += 1
    return total


@_inner
def _relief(ground: Any, at: Any, situation: int, left: float, enough: float) -> float:
    """Most that dark zones of a value of ``left`` take from a limit; at least ``enough`` where it is more than that.

    Of zone z it is ``near_r p + near_x q``. The fractional knapsack, by the greatest ratio.
    """
    n_zone = len(ground.value)
    for zone in range(n_zone):
        part = at.part[zone]
        at.relief[zone] = 0.0
        if part >= 0 and ground.value[zone] <= left:
            taken = at.near_r[part] * ground.zone_p[situation, zone]
            at.relief[zone] = taken + at.near_x[part] * ground.zone_q[situation, zone]
    total = 0.0
    while total <= enough:
        best, ratio = -1, 0.0
        for zone in range(n_zone):
            if at.relief[zone] > ratio * ground.value[zone]:
                best = zone
                if ground.value[zone] <= 0.0:
                    break
                ratio = at.relief[zone] / ground.value[zone]
        if best < 0:
            break
        value = ground.value[best]
        if value > left:
            return total + at.relief[best] * (left / value)
        total += at.relief[best]
        left -= value
        at.relief[best] = 0.0
    return total


@_inner
def _rated(ground: Any, at: Any, parts: int, doors: int, budget: float) -> bool:
    """What has to go through a branch or source stays within its rating, as far as this tells."""
    n_root, size = len(ground.root), at.counts[SIZE]
    for position in range(size):
        for part in range(parts):
            at.through[part, at.order[position]] = 0
    for door in range(doors):
        part, bus = at.part[at.door_zone[door]], at.door_bus[door]
        while bus >= 0:
            at.through[part, bus] += 1
            bus = at.parent[bus]
    for situation in range(len(ground.p)):
        for position in range(size):
            bus = at.order[position]
            most = ground.root_most[position] if position < n_root else at.most[bus] * at.v[situation, bus]
            if not np.isfinite(most):
                continue
            P, Q = at.P[situation, bus], at.Q[situation, bus]
            carried = np.sqrt(P * P + Q * Q)
            along_p, along_q = (P / carried, Q / carried) if carried > 0.0 else (1.0, 0.0)
            over = carried - np.sqrt(most)
            for part in range(parts):
                every = at.through[part, bus] == at.doors[part]
                at.near_r[part] = along_p if every else 0.0
                at.near_x[part] = along_q if every else 0.0
                over += at.near_r[part] * at.part_p[situation, part] + at.near_x[part] * at.part_q[situation, part]
            if over > 0.0 and _relief(ground, at, situation, budget, over) < over:
                return False
    return True


@_inner
def _voltages(ground: Any, at: Any, parts: int, doors: int, budget: float) -> bool:
    """Buses with supply keep their voltage when the others join, as far as this tells; fills ``highest``."""
    n_root, size = len(ground.root), at.counts[SIZE]
    for situation in range(len(ground.p)):
        for position in range(n_root):
            bus = at.order[position]
            at.highest[situation, bus] = at.v[situation, bus]
        for position in range(n_root, size):
            bus = at.order[position]
            for part in range(parts):
                at.near_r[part], at.near_x[part] = np.inf, np.inf
            is_door = False
            for door in range(doors):
                part, other = at.part[at.door_zone[door]], at.door_bus[door]
                is_door = is_door or other == bus
                at.near_r[part] = min(at.near_r[part], 2.0 * at.shared_r[other, bus])
                at.near_x[part] = min(at.near_x[part], 2.0 * at.shared_x[other, bus])
            taken = 0.0
            for part in range(parts):
                taken += at.near_r[part] * at.part_p[situation, part] + at.near_x[part] * at.part_q[situation, part]
            over = ground.lowest[bus] - at.v[situation, bus] + taken
            if over <= 0.0 and not is_door:
                continue
            relief = _relief(ground, at, situation, budget, np.inf if is_door else over)
            if relief < over:
                return False
            at.highest[situation, bus] = at.v[situation, bus] - max(taken - relief, 0.0)
    return True


@_inner
def _ways(ground: Any, at: Any, doors: int, length: Floats, way: Floats) -> None:
    """Shortest way from the forest to each zone."""
    n_zone = len(ground.value)
    for zone in range(n_zone):
        way[zone], at.done[zone] = np.inf, 0
    for door in range(doors):
        zone = at.door_zone[door]
        way[zone] = min(way[zone], length[at.door_switch[door]])
    while True:
        here, least = -1, np.inf
        for zone in range(n_zone):
            if at.done[zone] == 0 and way[zone] < least:
                here, least = zone, way[zone]
        if here < 0:
            return
        at.done[here] = 1
        for i in range(ground.zone_start[here], ground.zone_start[here + 1]):
            bus = ground.zone_bus[i]
            for k in range(ground.start[bus], ground.start[bus + 1]):
                e, there = ground.switch[k], ground.zone[ground.other[k]]
                if at.open[e] == 0 and there >= 0 and at.served[there] == 0:
                    way[there] = min(way[there], least + length[e])


@_inner
def _farthest(ground: Any, at: Any, parts: int, doors: int, budget: float) -> int:
    """The zone too dear to stay dark that lowers its voltage most; -1 without one, -2 where one cannot be supplied."""
    _ways(ground, at, doors, ground.r, at.way_r)
    _ways(ground, at, doors, ground.x, at.way_x)
    farthest, most = -1, -1.0
    for situation in range(len(ground.p)):
        for part in range(parts):
            at.near_r[part] = 0.0
        for door in range(doors):
            part = at.part[at.door_zone[door]]
            at.near_r[part] = max(at.near_r[part], at.highest[situation, at.door_bus[door]])
        for zone in range(len(ground.value)):
            if at.part[zone] < 0 or ground.value[zone] <= budget:
                continue
            p, q = ground.zone_p[situation, zone], ground.zone_q[situation, zone]
            drop = 2.0 * (at.way_r[zone] * p + at.way_x[zone] * q)
            if at.near_r[at.part[zone]] - drop < ground.zone_lowest[zone]:
                return -2
            if drop > most:
                farthest, most = zone, drop
    return farthest


@_inner
def _door(ground: Any, at: Any, doors: int, farthest: int, budget: float) -> int:
    """The door to decide: towards the farthest zone, to a zone of few switches, normally closed, of much value."""
    best, most = -1, -np.inf
    for door in range(doors):
        zone, e = at.door_zone[door], at.door_switch[door]
        score = 0.5 * ground.closed[e] + 1e-3 * ground.value[zone] / (1.0 + budget)
        for i in range(ground.zone_start[zone], ground.zone_start[zone + 1]):
            bus = ground.zone_bus[i]
            for k in range(ground.start[bus], ground.start[bus + 1]):
                score -= 1.0 - at.open[ground.switch[k]]
        if farthest >= 0 and at.part[zone] == at.part[farthest]:
            score += 1e6
        if zone == farthest:
            score += 1e5
        if score > most:
            best, most = door, score
    return best


@_inner
def _keep(at: Any) -> None:
    """The forest is the best one."""
    for zone in range(len(at.served)):
        at.best[zone] = at.feed[zone] if at.served[zone] == 1 else -2


@_inner
def _beaten(ground: Any, at: Any, depth: int, aim: int) -> bool:
    """What is decided is no better than the best already."""
    if aim == LEAST_VALUE:
        return False
    loss = _loss(ground, at, depth)
    if aim == LEAST_LOSS:
        return bool(loss >= at.aims[LOSS])
    n = _operations(ground, at)
    return bool(n > at.counts[OPERATIONS] or (n == at.counts[OPERATIONS] and loss >= at.aims[LOSS]))


@_inner
def _leaf(ground: Any, at: Any, depth: int, aim: int, dark: float, step: float) -> bool:
    """A complete forest: whether it is the best one."""
    for situation in range(len(ground.p)):
        change = _sweep(ground, at, depth, situation, LEAF_SWEEPS, LEAF_TOLERANCE)
        if change < 0.0:
            return False
        if change > SETTLED:
            at.counts[UNSETTLED] += 1
            return False
    at.counts[LEAVES] += 1
    if aim == LEAST_VALUE:
        at.aims[BUDGET] = dark - step
        _keep(at)
        return True
    if _beaten(ground, at, depth, aim):
        return False
    at.counts[OPERATIONS] = _operations(ground, at)
    at.aims[LOSS] = _loss(ground, at, depth) * (1.0 - 1e-7)
    _keep(at)
    return True


@_inner
def _visit(ground: Any, at: Any, depth: int, aim: int, step: float) -> int:
    """The door by which a node goes on; -1 where nothing is left of it, -2 where it was a better leaf."""
    if not _within(ground, at, depth):
        return -1
    parts, doors = _look_around(ground, at)
    dark = 0.0
    for zone in range(len(ground.value)):
        if at.served[zone] == 0 and at.part[zone] < 0:
            dark += ground.value[zone]
    budget = at.aims[BUDGET] - dark
    if budget < 0.0 or _beaten(ground, at, depth, aim):
        return -1
    if doors == 0:
        return -2 if _leaf(ground, at, depth, aim, dark, step) else -1
    if not _voltages(ground, at, parts, doors, budget):
        return -1
    if ground.rated == 1 and not _rated(ground, at, parts, doors, budget):
        return -1
    farthest = _farthest(ground, at, parts, doors, budget)
    return -1 if farthest == -2 else int(_door(ground, at, doors, farthest, budget))


@_inner
def _close(ground: Any, at: Any, depth: int, door: int) -> None:
    """Close the switch of a door, its zone joins the forest."""
    e, bus, zone = at.door_switch[door], at.door_bus[door], at.door_zone[door]
    far = ground.head[e] if ground.tail[e] == bus else ground.tail[e]
    first = at.counts[SIZE]
    at.at_switch[depth], at.at_phase[depth], at.at_size[depth] = e, 0, first
    _append(ground, at, far, bus, ground.r[e], ground.x[e], ground.most[e])
    _follow_lines(ground, at, first)
    at.served[zone], at.feed[zone] = 1, e
    at.ell[depth + 1] = at.ell[depth]
    for position in range(first, at.counts[SIZE]):
        at.ell[depth + 1, :, at.order[position]] = 0.0


@_inner
def _back(ground: Any, at: Any, depth: int) -> bool:
    """Undo the decision of a depth; True where its switch stays open from now on."""
    e = at.at_switch[depth]
    if at.at_phase[depth] == 1:
        at.open[e] = 0
        return False
    first = at.at_size[depth]
    zone = ground.zone[at.order[first]]
    for position in range(first, at.counts[SIZE]):
        at.inside[at.order[position]] = 0
    at.counts[SIZE] = first
    at.served[zone], at.feed[zone] = 0, -1
    at.open[e], at.at_phase[depth] = 1, 1
    at.ell[depth + 1] = at.ell[depth]
    return True


def _steps(ground: Ground, at: Forest, aim: int, step: float, nodes: int) -> float:
    return nodes * node_steps(ground)


def node_steps(ground: Ground) -> float:
    """Steps of a node."""
    return 100.0 + 10.0 * len(ground.p) * len(ground.zone) * (4.0 + 0.1 * len(ground.value))


@njit(steps=_steps, patience=LONG_PATIENCE)
def grow(ground: Any, at: Any, aim: int, step: float, nodes: int) -> int:
    """Go on until nothing is left, something better was found, or so many nodes were visited.

    Parameters
    ----------
    aim
        What is minimised.
    step
        By how much a value without supply has to be less to be better.
    """
    counts = at.counts
    for _ in range(nodes):
        if counts[DOWN] == 0:
            while True:
                if counts[DEPTH] == 0:
                    return FINISHED
                counts[DEPTH] -= 1
                if _back(ground, at, counts[DEPTH]):
                    break
            counts[DEPTH] += 1
            counts[DOWN] = 1
        counts[NODES] += 1
        door = _visit(ground, at, counts[DEPTH], aim, step)
        if door >= 0:
            _close(ground, at, counts[DEPTH], door)
            counts[DEPTH] += 1
            continue
        counts[DOWN] = 0
        if door == -2:
            return IMPROVED
    return RUNNING
