"""Arcs: each usable branch seen from the end that feeds it, as far as the graph leaves a choice."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from learnopt.network import Bools, Floats, Ints, ReconfigurationProblem
from learnopt.network.topology import merged_nodes


@dataclass(frozen=True)
class Arcs:
    """Directed copies of the usable branches.

    A branch of a block never feeds the block's entry, so that branches at an entry have one arc, and a bridge has one
    arc that is always in use.

    Parameters
    ----------
    branch, tail, head
        Branch, feeding bus and fed bus of each arc, shape (n_arc,).
    fixed
        bool, shape (n_arc,): the arc is in every radial configuration.
    block
        Block of each arc, shape (n_arc,).
    sending_scale, receiving_scale
        Squared voltage behind the ideal transformer over that of the tail, and of the head over that behind the
        impedance, shape (n_arc,): 1 / ratio^2 where the arc leaves the from end, ratio^2 where it arrives there; or 1.
    reverse
        The arc of the same branch the other way, shape (n_arc,); -1 where the graph leaves one direction only.
    """

    branch: Ints
    tail: Ints
    head: Ints
    fixed: Bools
    block: Ints
    sending_scale: Floats
    receiving_scale: Floats
    reverse: Ints

    @classmethod
    def of(cls, problem: ReconfigurationProblem) -> Arcs:
        """Arcs of a problem without contradictions."""
        net, blocks = problem.network, problem.blocks
        node = merged_nodes(net)
        usable = np.flatnonzero(blocks.block >= 0)
        branch = np.concatenate([usable, usable])
        tail = np.concatenate([net.from_bus[usable], net.to_bus[usable]])
        head = np.concatenate([net.to_bus[usable], net.from_bus[usable]])
        possible = node[head] != blocks.entry[blocks.block[branch]]
        order = np.lexsort((head[possible], branch[possible]))
        branch, tail, head = (a[possible][order] for a in (branch, tail, head))
        single = np.bincount(branch, minlength=net.n_branch)[branch] == 1
        fixed = single & (problem.must_close | blocks.bridges)[branch]
        forward, squared = tail == net.from_bus[branch], net.ratio[branch] ** 2
        sending, receiving = np.where(forward, 1 / squared, 1.0), np.where(forward, 1.0, squared)
        # The two arcs of a branch are neighbours in this order.
        first = np.flatnonzero(branch[:-1] == branch[1:])
        reverse = np.full(len(branch), -1, dtype=np.int64)
        reverse[first], reverse[first + 1] = first + 1, first
        return cls(branch, tail, head, fixed, blocks.block[branch], sending, receiving, reverse)

    def copies(self, origin: Ints, fixed: Bools) -> Arcs:
        """Arcs with those at ``origin`` (repeated where it repeats) and their own ``fixed``; no one is the reverse."""
        taken = {f.name: getattr(self, f.name)[origin] for f in fields(self)}
        return Arcs(**(taken | {"fixed": fixed, "reverse": np.full(len(origin), -1)}))

    def __len__(self) -> int:
        return len(self.branch)
