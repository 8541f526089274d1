r"""A dual bound over arborescences of chains: one feeding chain per junction, one open branch in every other chain.

Buses with two branches form *chains* between *junctions*. A chain C between junctions u and v is either cut at one
branch t: u feeds the :math:`A_t` before it, v the :math:`B_t` behind it, at a loss :math:`\ell_t` that is a constant;
or it feeds v *through* with a flow g on top of its own load, at :math:`\sum_{e} r_e (g + d_e)^2` (:math:`d_e`: load
behind e), with g between the least and the largest flow into v; or it feeds u. Every junction but the root has exactly
one chain through into it. Relax Kirchhoff's current law at the junctions with potentials :math:`\pi`,
:math:`\pi_0 = 0`:

.. math::

    c_{C,t} = \ell_t + 2 \pi_u A_t + 2 \pi_v B_t, \quad
    c_{C \to v} = \min_g \sum_e r_e (g + d_e)^2 + 2 \pi_u (S_C + g) - 2 \pi_v g,

.. math::

    \min_T F(T) \ge 2 \sum_j \pi_j i_j + \sum_C \beta_C + \sum_{j \ne 0} \min_{C \to j} (c_{C \to j} - \beta_C)
    \quad \text{for every } \pi \text{ and } \beta_C \le \min_t c_{C,t},

because a tree pays :math:`\beta_C + (c - \beta_C)` for the one state of each chain, where the second term is not
negative for cuts and met once per junction for ways through. :math:`\beta_C = \min_t c_{C,t}` unless both ends of a
chain choose the way through it: then lowering it until one of them prefers another chain raises the bound. Columns of
injections add up in every term. No least arborescence is needed: what the minimum per junction forgets is that chosen
chains may form a cycle, and cycles do not feed.

*Elimination*: with another state of one chain, the bound rises by the difference of its cost to the minimum it stands
in; an arc all of whose states raise the bound to the threshold is dead.

The potentials are those that the ascent of :mod:`learnopt.engines.arcs.arborescence` finds for the buses; with them
this bound takes much of the gap that one leaves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from learnopt.compiling import njit
from learnopt.engines.arcs.arc_graph import LoopArcs
from learnopt.network import Bools, Floats, Ints

TURNS = 3
"""Passes over the chains that feed both their ends."""


class Chains(NamedTuple):
    """Chains between junctions; positions are the branches of all chains, each from end u to end v."""

    u: Ints
    """Junction at either end, shape (n_chains,); junction 0 is the root."""
    v: Ints
    node: Ints
    """Node of each junction, shape (n_junctions,)."""
    first: Ints
    """Positions of chain k are ``first[k]`` to ``first[k + 1]``."""
    forward: Ints
    """The arc of each position from u to v, -1 where there is none."""
    backward: Ints
    must: Bools
    """The branch at a position has to be closed."""
    before: Floats
    """A_t: load between u and each position, shape (n_positions, n_columns)."""
    behind: Floats
    """B_t"""
    loss: Floats
    """Loss and price when a position is open, shape (n_positions,)."""
    resistance: Floats
    """Of a whole chain."""
    linear: Floats
    """sum r d when a chain feeds v, and when it feeds u, shape (2 n_chains, n_columns)."""
    constant: Floats
    """sum r d^2 and the price of the whole chain, shape (2 n_chains,)."""
    into: Ints
    """Ways through into junction j, 2 C for v and 2 C + 1 for u: ``into[start[j]:start[j + 1]]``."""
    start: Ints
    injection: Floats
    """Of the nodes, shape (n_nodes, n_columns)."""


def chains_of(arcs: LoopArcs) -> Chains:
    """The chains of the arcs of a problem, with their injections."""
    n, n_columns = arcs.injection.shape
    n_edges = len(arcs.end_a)
    r, price, must = np.zeros(n_edges), np.zeros(n_edges), np.zeros(n_edges, dtype=bool)
    r[arcs.edge], price[arcs.edge], must[arcs.edge] = arcs.r, arcs.price, arcs.must
    arc_of = {(int(e), int(i)): a for a, (e, i) in enumerate(zip(arcs.edge, arcs.tail, strict=True))}
    near: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    for e, (a, b) in enumerate(zip(arcs.end_a.tolist(), arcs.end_b.tolist(), strict=True)):
        near[a].append((b, e))
        near[b].append((a, e))
    junctions = [k for k in range(n) if k == 0 or len(near[k]) != 2]
    number = {k: j for j, k in enumerate(junctions)}
    used = np.zeros(n_edges, dtype=bool)
    ends: list[tuple[int, int]] = []
    first, forward, backward, edges = [0], [], [], []
    before, behind, loss, resistance, linear, constant = [], [], [], [], [], []
    for u in junctions:
        for neighbour, through in near[u]:
            if used[through]:
                continue
            nodes, along, node, edge = [u], [], neighbour, through
            while True:
                used[edge] = True
                along.append(edge)
                nodes.append(node)
                if node in number:
                    break
                node, edge = next(step for step in near[node] if step[1] != edge)
            ends.append((number[u], number[node]))
            first.append(first[-1] + len(along))
            edges += along
            forward += [arc_of.get((e, i), -1) for e, i in zip(along, nodes[:-1], strict=True)]
            backward += [arc_of.get((e, i), -1) for e, i in zip(along, nodes[1:], strict=True)]
            own = r[along]
            done = np.vstack([np.zeros((1, n_columns)), np.cumsum(arcs.injection[nodes[1:-1]], axis=0)])
            left = done[-1] - done
            before.append(done)
            behind.append(left)
            square_before, square_behind = _squares(own, done), _squares(own[::-1], left[::-1])[::-1]
            loss.append(square_before + square_behind + price[along].sum() - price[along])
            resistance.append(own.sum())
            linear += [own @ left, own @ done]
            constant += [
                own @ (left**2).sum(axis=1) + price[along].sum(),
                own @ (done**2).sum(axis=1) + price[along].sum(),
            ]
    u_end, v_end = (np.array([pair[k] for pair in ends], dtype=np.int64) for k in (0, 1))
    heads = np.stack([v_end, u_end], axis=1).ravel()
    last = np.array(first[1:], dtype=np.int64) - 1
    exists = np.stack([np.array(forward)[last], np.array(backward)[np.array(first[:-1], dtype=np.int64)]], axis=1)
    ways = np.flatnonzero((exists.ravel() >= 0) & np.repeat(u_end != v_end, 2))
    ways = ways[np.argsort(heads[ways], kind="stable")]
    return Chains(
        u=u_end,
        v=v_end,
        node=np.array(junctions, dtype=np.int64),
        first=np.array(first, dtype=np.int64),
        forward=np.array(forward, dtype=np.int64),
        backward=np.array(backward, dtype=np.int64),
        must=must[edges],
        before=np.vstack(before),
        behind=np.vstack(behind),
        loss=np.concatenate(loss),
        resistance=np.array(resistance),
        linear=np.array(linear),
        constant=np.array(constant),
        into=ways.astype(np.int64),
        start=np.searchsorted(heads[ways], np.arange(len(junctions) + 1)).astype(np.int64),
        injection=arcs.injection,
    )


def _squares(r: Floats, done: Floats) -> Floats:
    """Loss of the branches before each position, all loads before it fed from the first end, shape (n_positions,).

    Branch e before position t carries ``done[t] - done[e]``.
    """
    sum_r = np.concatenate([[0.0], np.cumsum(r)[:-1]])[:, None]
    sum_rd = np.vstack([np.zeros((1, done.shape[1])), np.cumsum(r[:, None] * done, axis=0)[:-1]])
    sum_rd2 = np.vstack([np.zeros((1, done.shape[1])), np.cumsum(r[:, None] * done**2, axis=0)[:-1]])
    result: Floats = np.maximum((sum_r * done**2 - 2.0 * done * sum_rd + sum_rd2), 0.0).sum(axis=1)
    return result


class ChainWork(NamedTuple):
    """Scratch space of the dual bound."""

    cut: Floats
    """Cost of each position, inf where it is not possible, shape (n_positions,)."""
    least: Floats
    """beta of each chain."""
    through: Floats
    """Cost of each way through, less beta of its chain, shape (2 n_chains,)."""
    best: Ints
    """The cheapest way into each junction; -1 for the root."""


def chain_workspace(chains: Chains) -> ChainWork:
    """Scratch space for some chains."""
    n_chains = len(chains.u)
    return ChainWork(
        cut=np.zeros(len(chains.loss)),
        least=np.zeros(n_chains),
        through=np.zeros(2 * n_chains),
        best=np.zeros(len(chains.node), dtype=np.int64),
    )


@njit()
def _cheapest(chains: Any, through: Floats, j: int, but: int) -> int:
    """The cheapest way into a junction but one; -1 where there is none."""
    best, lowest = -1, np.inf
    for i in range(chains.start[j], chains.start[j + 1]):
        item = chains.into[i]
        if item != but and through[item] < lowest:
            best, lowest = item, through[item]
    return best


@njit()
def chain_value(chains: Any, potential: Floats, alive: Bools, low: Floats, high: Floats, work: Any) -> float:
    """The bound for potentials of the nodes and living arcs, inf where there is no configuration; fills ``work``.

    ``low``, ``high``: least and largest flow into each node, shape (n_nodes, n_columns).
    """
    cut, least, through = work.cut, work.least, work.through
    n, n_columns = len(chains.node), chains.injection.shape[1]
    total = 0.0
    for k in range(len(chains.u)):
        u, v = chains.node[chains.u[k]], chains.node[chains.v[k]]
        first, last = chains.first[k], chains.first[k + 1]
        backward_from = last  # all positions from here on have a living arc towards u
        while backward_from > first:
            arc = chains.backward[backward_from - 1]
            if arc < 0 or not alive[arc]:
                break
            backward_from -= 1
        lowest = np.inf
        reaches = True
        for t in range(first, last):
            cost = np.inf
            if reaches and t + 1 >= backward_from and not chains.must[t]:
                cost = chains.loss[t]
                for c in range(n_columns):
                    cost += 2.0 * (potential[u, c] * chains.before[t, c] + potential[v, c] * chains.behind[t, c])
                lowest = min(lowest, cost)
            cut[t] = cost
            reaches = reaches and chains.forward[t] >= 0 and alive[chains.forward[t]]
        for way in range(2):
            item = 2 * k + way
            tail, head = (u, v) if way == 0 else (v, u)
            through[item] = np.inf
            if u == v or not (reaches if way == 0 else backward_from == first):
                continue
            own = chains.behind[first] if way == 0 else chains.before[last - 1]
            cost, resistance = chains.constant[item], chains.resistance[k]
            for c in range(n_columns):
                drop = potential[head, c] - potential[tail, c] - chains.linear[item, c]
                if drop <= resistance * low[head, c]:
                    g = low[head, c]
                elif drop >= resistance * high[head, c]:
                    g = high[head, c]
                else:
                    g = drop / resistance
                cost += g * (resistance * g - 2.0 * drop) + 2.0 * potential[tail, c] * own[c]
            through[item] = cost
        if lowest == np.inf:
            lowest = min(through[2 * k], through[2 * k + 1])
            if lowest == np.inf:
                return np.inf
        least[k] = lowest
        through[2 * k] -= lowest
        through[2 * k + 1] -= lowest
    work.best[0] = -1
    for j in range(1, n):
        work.best[j] = _cheapest(chains, through, j, -1)
        if work.best[j] < 0:
            return np.inf
    # A chain cannot feed both its ends: lower its base until one of them prefers another chain.
    for _ in range(TURNS):
        changed = False
        for k in range(len(chains.u)):
            u, v = chains.u[k], chains.v[k]
            if work.best[v] != 2 * k or work.best[u] != 2 * k + 1:
                continue
            other_u = _cheapest(chains, through, u, 2 * k + 1)
            other_v = _cheapest(chains, through, v, 2 * k)
            rise_u = np.inf if other_u < 0 else through[other_u] - through[2 * k + 1]
            rise_v = np.inf if other_v < 0 else through[other_v] - through[2 * k]
            rise = min(rise_u, rise_v)
            if rise == np.inf:
                return np.inf
            least[k] -= rise
            through[2 * k] += rise
            through[2 * k + 1] += rise
            if rise_u < rise_v:
                work.best[u] = other_u
            else:
                work.best[v] = other_v
            changed = True
        if not changed:
            break
    total += least.sum()
    for j in range(1, n):
        total += through[work.best[j]]
        node = chains.node[j]
        for c in range(n_columns):
            total += 2.0 * potential[node, c] * chains.injection[node, c]
    return total


@njit()
def eliminate(chains: Any, alive: Bools, work: Any, room: float) -> int:
    """Kill every arc all of whose states raise the bound by ``room`` or more; returns how many."""
    killed = 0
    for k in range(len(chains.u)):
        first, last = chains.first[k], chains.first[k + 1]
        for way in range(2):
            item = 2 * k + way
            rise = np.inf
            if work.through[item] < np.inf:
                best = work.best[chains.v[k] if way == 0 else chains.u[k]]
                rise = work.through[item] - work.through[best]
            # The arc into the last node is used by the way through alone, one before it also by the cuts behind it.
            for step in range(last - first):
                t = last - 1 - step if way == 0 else first + step
                arc = chains.forward[t] if way == 0 else chains.backward[t]
                if rise >= room and arc >= 0 and alive[arc]:
                    alive[arc] = False
                    killed += 1
                rise = min(rise, work.cut[t] - work.least[k])
    return killed
