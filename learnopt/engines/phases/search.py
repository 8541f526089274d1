r"""Depth-first search for the switches to open, in the loop space of conductors.

The space is that of :mod:`learnopt.physics.held_currents`.

The state of a node is the currents f of all switches in the circuit that is still meshed, and K = F M^-1 F^T. Opening
one conductor r costs and changes, exactly,

.. math:: \delta = |f_r|^2 / K_{rr}, \qquad f \mathrel{-}= K_{:r} f_r / K_{rr}, \qquad
          K \mathrel{-}= K_{:r} K_{r:} / K_{rr}

and a switch opens its conductors one after the other, in any order. K_rr = 0 is a conductor in no loop: what it carries
would be starved, so the switch must stay closed unless it carries nothing. The loss of a node bounds that of every
radial state below it, since constraints are only added.

Branching: the loop space of a node has a basis with one pivot conductor per loop, so every basis vector is a current
around a loop; of the switches it flows through at least one must open. The basis with cheap pivots has short loops; of
its loops the one with the fewest openings that may still be better is taken, and child i opens the i-th of them and
keeps the cheaper ones closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from learnopt.compiling import njit
from learnopt.network.aliases import Bools, Floats, Ints
from learnopt.network.unbalanced import Complex
from learnopt.physics.held_currents import LoopModel, loops_and_unfed

NOTHING = 1e-9
"""Entry of the loop space that is rounding; entries are of the order of 1."""
STARVED = 1e-6
"""Share of the largest current below which a conductor in no loop carries nothing."""
NO_CAP = 2**31
"""More operations than any circuit has switches."""
_UNDECIDED, _OPEN, _CLOSED = -1, 0, 1


@dataclass(frozen=True, eq=False)
class Choice:
    """What may be done with each switch.

    Parameters
    ----------
    may_open, must_open
        bool, shape (n_switch,).
    price_open, price_closed
        Price of each switch by its state at the end, >= 0, in the unit of the loss.
    operated_open, operated_closed
        bool, shape (n_switch,): that state of it is an operation.
    cap
        Most operations of a state.
    """

    may_open: Bools
    must_open: Bools
    price_open: Floats
    price_closed: Floats
    operated_open: Bools
    operated_closed: Bools
    cap: int = NO_CAP

    @classmethod
    def free(cls, n_switch: int) -> Choice:
        """Every switch may be opened, and no operation is counted."""
        no, nothing = np.zeros(n_switch, dtype=bool), np.zeros(n_switch)
        return cls(~no, no, nothing, nothing, no, no)


@dataclass(frozen=True, eq=False)
class Leaves:
    """The best radial states of a search.

    Parameters
    ----------
    opened
        bool, shape (n_found, n_switch), best first.
    cost
        Loss above that of the meshed circuit plus the price of operations, shape (n_found,).
    rest
        Lower bound of the cost of every state that is not among them; ``inf`` where there is none.
    nodes
        Nodes visited.
    complete
        The search ended by itself.
    """

    opened: Bools
    cost: Floats
    rest: float
    nodes: int
    complete: bool


class _Data(NamedTuple):
    """What the compiled search is given, and does not change."""

    rows: Ints
    of_row: Ints
    """Switch of each row."""
    chain: Ints
    scale: Floats
    constant: Complex
    """Of each row in each situation, shape (n_row, n_situation)."""
    joins: Ints
    n_part: int
    price_open: Floats
    price_closed: Floats
    least: Floats
    """The smaller of the two prices where there is a choice, shape (n_switch,)."""
    operated_open: Ints
    operated_closed: Ints
    cap: int
    widest: int
    """Most conductors of one switch."""
    starved: float
    """Square of the current that counts as nothing."""
    cutoff: float
    keep: int
    node_limit: int


class _Frames(NamedTuple):
    """One frame per opened switch on the way down."""

    inverse: Floats
    current: Complex
    directions: Floats
    loops: Ints
    cost: Floats
    state: Ints
    """Of each switch: -1 undecided, 0 open, 1 closed."""
    child: Ints
    """Switches to open next, cheapest first."""
    child_cost: Floats
    children: Ints
    done: Ints


class _Kept(NamedTuple):
    """The best states so far, in any order."""

    cost: Floats
    opened: Bools
    taken: Ints
    """How many places are taken, shape (1,)."""
    bar: Floats
    """The dearest of them where all places are taken, shape (1,)."""


def search(
    model: LoopModel,
    current: Complex,
    constant: Complex,
    choice: Choice,
    keep: int,
    node_limit: int,
    cutoff: float = np.inf,
) -> Leaves:
    """The ``keep`` cheapest radial states.

    Parameters
    ----------
    current, constant
        Of the chains in the meshed circuit and of the rows (:meth:`~LoopModel.meshed`), one column per load situation,
        each times the root of its weight, shapes (n_chain, n_situation) and (n_row, n_situation).
    cutoff
        States that cost as much or more are not looked for.
    """
    n, depth, n_switch = len(model.inverse), model.n_loop + 2, len(model.rows) - 1
    of_row = model.scale[:, None] * current[model.chain] + constant
    least = np.where(choice.may_open, np.minimum(choice.price_open, choice.price_closed), choice.price_closed)
    data = _Data(
        model.rows.astype(np.int64),
        np.repeat(np.arange(n_switch), np.diff(model.rows)),
        model.chain,
        model.scale,
        np.ascontiguousarray(constant),
        model.joins.astype(np.int64),
        model.n_part,
        choice.price_open.astype(float),
        choice.price_closed.astype(float),
        np.where(choice.must_open, choice.price_open, least).astype(float),
        choice.operated_open.astype(np.int64),
        choice.operated_closed.astype(np.int64),
        choice.cap,
        int(np.diff(model.rows).max(initial=1)),
        float(STARVED**2 * (np.abs(of_row) ** 2).sum(axis=1).max(initial=0.0)),
        cutoff,
        keep,
        node_limit,
    )
    frames = _Frames(
        np.zeros((depth, n, n)),
        np.zeros((depth, n, current.shape[1]), dtype=complex),
        np.zeros((depth, n, model.n_loop)),
        np.zeros(depth, dtype=np.int64),
        np.zeros(depth),
        np.full((depth, n_switch), _UNDECIDED),
        np.zeros((depth, n_switch), dtype=np.int64),
        np.zeros((depth, n_switch)),
        np.zeros(depth, dtype=np.int64),
        np.zeros(depth, dtype=np.int64),
    )
    frames.inverse[0], frames.current[0], frames.directions[0] = model.inverse, current, model.directions
    frames.loops[0], frames.cost[0] = model.n_loop, data.least.sum()
    frames.state[0, ~choice.may_open] = _CLOSED
    for e in np.flatnonzero(choice.must_open).tolist():
        frames.state[0, e] = _OPEN
        more, frames.loops[0] = _open(
            data, frames.inverse[0], frames.current[0], frames.directions[0], frames.loops[0], e
        )
        frames.cost[0] += more
    if not np.isfinite(frames.cost[0]) or not _within_cap(data, frames.state[0], frames.loops[0]):
        return Leaves(np.zeros((0, n_switch), dtype=bool), np.zeros(0), np.inf, 0, True)
    kept = _Kept(
        np.full(keep, np.inf), np.zeros((keep, n_switch), dtype=bool), np.zeros(1, dtype=np.int64), np.zeros(1)
    )
    rest, nodes, complete = _search(data, frames, kept)
    best, opened = kept.cost, kept.opened
    order = np.argsort(best, kind="stable")
    order = order[np.isfinite(best[order])]
    return Leaves(opened[order], best[order], float(rest), int(nodes), bool(complete))


def is_radial(model: LoopModel, opened: Bools) -> bool:
    """With these switches open, no loop is left in any phase and every part is fed.

    Parameters
    ----------
    opened
        bool, shape (n_switch,).
    """
    return loops_and_unfed(model, opened) == (0, 0)


@njit()
def _open(data, inverse, current, directions, n_loop, e):  # type: ignore[no-untyped-def]
    """Open the conductors of switch e in place: cost (inf where something is starved) and loops left."""
    n = inverse.shape[0]
    cost = 0.0
    for r in range(data.rows[e], data.rows[e + 1]):
        at, scale = data.chain[r], data.scale[r]
        carried = 0.0
        for s in range(current.shape[1]):
            flow = scale * current[at, s] + data.constant[r, s]
            carried += flow.real**2 + flow.imag**2
        pivot, largest = -1, NOTHING
        for c in range(n_loop):
            if abs(directions[at, c]) > largest:
                pivot, largest = c, abs(directions[at, c])
        if pivot < 0:
            if carried > data.starved:
                return np.inf, n_loop
            continue
        g = inverse[at, at]
        cost += carried / (scale * scale * g)
        for s in range(current.shape[1]):
            ratio = (scale * current[at, s] + data.constant[r, s]) / (scale * g)
            for k in range(n):
                current[k, s] -= inverse[k, at] * ratio
        column = inverse[:, at].copy()
        for k in range(n):
            if column[k] != 0.0:
                factor = column[k] / g
                for m in range(n):
                    inverse[k, m] -= factor * column[m]
        inverse[at, :] = 0.0
        inverse[:, at] = 0.0
        for c in range(n_loop):
            if c != pivot and directions[at, c] != 0.0:
                factor = directions[at, c] / directions[at, pivot]
                for k in range(n):
                    directions[k, c] -= factor * directions[k, pivot]
        n_loop -= 1
        for k in range(n):
            directions[k, pivot] = directions[k, n_loop]
            directions[k, n_loop] = 0.0
        directions[at, :] = 0.0
    return cost, n_loop


@njit()
def _price(data, inverse, current, directions, n_loop, e):  # type: ignore[no-untyped-def]
    """Cost of opening switch e; -1 where it is in no loop at all, inf where something would be starved."""
    first, size = data.rows[e], data.rows[e + 1] - data.rows[e]
    block = np.empty((size, size))
    flow = np.empty((size, current.shape[1]), dtype=np.complex128)
    largest = 0.0
    for a in range(size):
        at, scale = data.chain[first + a], data.scale[first + a]
        for b in range(size):
            block[a, b] = scale * data.scale[first + b] * inverse[at, data.chain[first + b]]
        for s in range(current.shape[1]):
            flow[a, s] = scale * current[at, s] + data.constant[first + a, s]
        largest = max(largest, block[a, a])
    cost, in_loop = 0.0, False
    for r in range(size):
        carried = 0.0
        for s in range(flow.shape[1]):
            carried += flow[r, s].real ** 2 + flow[r, s].imag ** 2
        free = False
        for c in range(n_loop):
            if abs(directions[data.chain[first + r], c]) > NOTHING:
                free = True
                break
        g = block[r, r]
        if not free or g <= 1e-10 * largest:
            if carried > data.starved:
                return np.inf if in_loop or largest > 0 else -1.0
            continue
        in_loop = True
        cost += carried / g
        for s in range(flow.shape[1]):
            ratio = flow[r, s] / g
            for k in range(size):
                flow[k, s] -= block[k, r] * ratio
        column = block[:, r].copy()
        for k in range(size):
            for m in range(size):
                block[k, m] -= column[k] * column[m] / g
    return cost if in_loop else -1.0


@njit()
def _fed(joins, n_part, of_row, state):  # type: ignore[no-untyped-def]
    """Every part is reached from the sources.

    A part that is cut off may have a loop left in which a regulator stands: on paper its ratio lets the loop swallow
    the current that is starved, so that no row of the balance is violated.
    """
    part = np.arange(n_part)
    left = n_part - 1
    for r in range(len(of_row)):
        if state[of_row[r]] == 0:
            continue
        a, b = joins[r, 0], joins[r, 1]
        while part[a] != a:
            part[a] = part[part[a]]
            a = part[a]
        while part[b] != b:
            part[b] = part[part[b]]
            b = part[b]
        if a != b:
            part[max(a, b)] = min(a, b)
            left -= 1
    return left == 0


@njit()
def _loops(directions, n_loop, rank):  # type: ignore[no-untyped-def]
    """Reduce the loop space in place so that every column has a pivot row of its own, rows tried in this order."""
    n = directions.shape[0]
    used = 0
    for at in range(n):
        r = rank[at]
        if used == n_loop:
            break
        pivot, largest = -1, 1e-6
        for c in range(used, n_loop):
            if abs(directions[r, c]) > largest:
                pivot, largest = c, abs(directions[r, c])
        if pivot < 0:
            continue
        head = directions[r, pivot]
        for k in range(n):
            value = directions[k, pivot] / head
            directions[k, pivot] = directions[k, used]
            directions[k, used] = value
        for c in range(n_loop):
            if c != used and directions[r, c] != 0.0:
                factor = directions[r, c]
                for k in range(n):
                    directions[k, c] -= factor * directions[k, used]
        used += 1


@njit()
def _bar(data, kept):  # type: ignore[no-untyped-def]
    """A state that costs this much or more is not looked for."""
    return data.cutoff if kept.taken[0] < len(kept.cost) else min(data.cutoff, kept.bar[0])


@njit()
def _search(data, frames, kept):  # type: ignore[no-untyped-def]
    """Visit nodes; ``kept`` is filled. Returns bound of the rest, nodes, and whether it is complete."""
    n_chain, n_switch = frames.directions.shape[1], len(data.rows) - 1
    reduced = np.zeros((n_chain, frames.directions.shape[2]))
    price, through = np.zeros(n_switch), np.zeros(n_switch, dtype=np.bool_)
    rest, nodes, depth, fresh = np.inf, 0, 0, True
    while depth >= 0:
        if fresh:
            nodes += 1
            fresh = False
            frames.children[depth] = frames.done[depth] = 0
            if frames.loops[depth] == 0:
                rest = min(rest, _leaf(data, frames, depth, kept))
                depth -= 1
                continue
            rest = min(rest, _prices(data, frames, depth, price, _bar(data, kept)))
            _branch(data, frames, depth, price, reduced, through)
        if nodes >= data.node_limit:
            for level in range(depth + 1):
                if frames.done[level] < frames.children[level]:
                    rest = min(rest, frames.cost[level] + frames.child_cost[level, frames.done[level]])
            return rest, nodes, False
        at = frames.done[depth]
        if at >= frames.children[depth]:
            depth -= 1
            continue
        cost = frames.cost[depth] + frames.child_cost[depth, at]
        if not cost < _bar(data, kept):  # nor will the children after it be, which cost more
            rest = min(rest, cost)
            depth -= 1
            continue
        frames.done[depth] = at + 1
        if _descend(data, frames, depth, at):
            depth += 1
            frames.cost[depth] = cost
            fresh = True
    return rest, nodes, True


@njit()
def _leaf(data, frames, depth, kept):  # type: ignore[no-untyped-def]
    """Keep a radial state if it is among the best; returns the cost of what is not kept."""
    cost, operations = frames.cost[depth], 0
    for e in range(len(data.least)):
        if frames.state[depth, e] != 0:
            cost += data.price_closed[e] - data.least[e]
            operations += data.operated_closed[e]
        else:
            operations += data.operated_open[e]
    if operations > data.cap:
        return np.inf
    if not _fed(data.joins, data.n_part, data.of_row, frames.state[depth]):
        return np.inf
    if not cost < _bar(data, kept):
        return cost
    place, pushed_out = kept.taken[0], np.inf
    if place < len(kept.cost):
        kept.taken[0] += 1
    else:
        place = kept.cost.argmax()
        pushed_out = kept.cost[place]
    kept.cost[place] = cost
    for e in range(len(data.least)):
        kept.opened[place, e] = frames.state[depth, e] == 0
    if kept.taken[0] == len(kept.cost):
        kept.bar[0] = kept.cost.max()
    return pushed_out


@njit()
def _prices(data, frames, depth, price, bar):  # type: ignore[no-untyped-def]
    """Price of opening each undecided switch; those too dear are closed. Returns the least cost so excluded."""
    rest = np.inf
    for e in range(len(data.least)):
        price[e] = np.inf
        if frames.state[depth, e] != -1:
            continue
        value = _price(
            data, frames.inverse[depth], frames.current[depth], frames.directions[depth], frames.loops[depth], e
        )
        if value >= 0.0:
            price[e] = value + data.price_open[e] - data.least[e]
        if not frames.cost[depth] + price[e] < bar:
            rest = min(rest, frames.cost[depth] + price[e])
            frames.state[depth, e] = 1
            price[e] = np.inf
    return rest


@njit()
def _branch(data, frames, depth, price, reduced, through):  # type: ignore[no-untyped-def]
    """Choose the loop with the fewest openings; the switches it flows through become the children."""
    n, n_chain, m = len(data.of_row), frames.directions.shape[1], frames.loops[depth]
    key = np.full(n_chain, np.inf)
    for r in range(n):
        key[data.chain[r]] = min(key[data.chain[r]], price[data.of_row[r]])
    for k in range(n_chain):
        for c in range(m):
            reduced[k, c] = frames.directions[depth, k, c]
    _loops(reduced, m, np.argsort(key, kind="mergesort"))
    fewest, chosen, strongest = len(price) + 1, -1, -1.0
    for c in range(m):
        through[:] = False
        count, least = 0, np.inf
        for r in range(n):
            e = data.of_row[r]
            if abs(reduced[data.chain[r], c]) > 1e-7 and frames.state[depth, e] == -1 and not through[e]:
                through[e] = True
                count += 1
                least = min(least, price[e])
        if count < fewest or (count == fewest and least > strongest):
            fewest, chosen, strongest = count, c, least
    count = 0
    through[:] = False
    for r in range(n):
        e = data.of_row[r]
        if abs(reduced[data.chain[r], chosen]) > 1e-7 and frames.state[depth, e] == -1 and not through[e]:
            through[e] = True
            at = count  # insertion keeps them sorted by price
            while at > 0 and frames.child_cost[depth, at - 1] > price[e]:
                frames.child[depth, at] = frames.child[depth, at - 1]
                frames.child_cost[depth, at] = frames.child_cost[depth, at - 1]
                at -= 1
            frames.child[depth, at], frames.child_cost[depth, at] = e, price[e]
            count += 1
    frames.children[depth] = count


@njit()
def _descend(data, frames, depth, at):  # type: ignore[no-untyped-def]
    """Make the frame of a child: its switch open, the cheaper ones of its loop closed. False where a part starves."""
    below, e = depth + 1, frames.child[depth, at]
    frames.inverse[below] = frames.inverse[depth]
    frames.current[below] = frames.current[depth]
    frames.directions[below] = frames.directions[depth]
    frames.state[below] = frames.state[depth]
    for before in range(at):
        frames.state[below, frames.child[depth, before]] = 1
    frames.state[below, e] = 0
    more, frames.loops[below] = _open(
        data, frames.inverse[below], frames.current[below], frames.directions[below], frames.loops[depth], e
    )
    return more < np.inf and _within_cap(data, frames.state[below], frames.loops[below])


@njit()
def _within_cap(data, state, n_loop):  # type: ignore[no-untyped-def]
    """Some state below may have no more operations than allowed: what is decided, and what loops and ties still need.

    Every switch opens as many loops as it has conductors at most. Of those undecided each that is open at first is
    operated if it stays closed, each other one if it opens.
    """
    decided, ties, uncounted = 0, 0, 0
    for e in range(len(state)):
        if state[e] == 0:
            decided += data.operated_open[e]
        elif state[e] == 1:
            decided += data.operated_closed[e]
        else:
            ties += data.operated_closed[e]
            uncounted += 1 - data.operated_closed[e] - data.operated_open[e]
    fewest = (n_loop + data.widest - 1) // data.widest
    return decided + max(fewest - uncounted - ties, ties - n_loop, 0) <= data.cap
