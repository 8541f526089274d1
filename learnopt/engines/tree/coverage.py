"""Which bound of the tree search covers a problem, and what stands in the way."""

from __future__ import annotations

import numpy as np

from learnopt.network import ReconfigurationProblem
from learnopt.network.loop_reduction import told_fixed_loops, without_fixed_loops
from learnopt.network.rescaling import without_ratios


def ac_obstacles(problem: ReconfigurationProblem) -> list[str]:
    """Why the AC bounds of the tree search do not cover a problem; empty when one does."""
    found = ["controls besides the switches"] if problem.controls else []
    reduced = without_fixed_loops(problem)
    if reduced is None:
        found.append(told_fixed_loops(problem))
    if without_ratios(reduced or problem) is None:
        stepped = np.count_nonzero(problem.usable & (problem.network.ratio != 1))
        found.append(f"{stepped} branches have a transformer off its nominal ratio, and not all loops agree on them")
    return found


def mixed_signs(problem: ReconfigurationProblem) -> list[str]:
    """Why flows are not monotone, so that metrics A and B do not apply; empty when they do."""
    net = problem.network
    fed = ~net.is_substation
    found = []
    members = problem.members
    for name, values in (("active", [m.p for m in members]), ("reactive", [m.q for m in members])):
        negative = np.flatnonzero(fed & (np.min(values, axis=0) < 0))
        if len(negative):
            example = net.bus_ids[negative[0]]
            found.append(f"{len(negative)} buses have negative {name} load (for instance bus {example!r})")
    for what, where in (
        ("branches have line charging", problem.usable & (problem.b > 0)),
        ("buses have a capacitor", fed & (net.b_shunt > 0)),
    ):
        if count := np.count_nonzero(where):
            found.append(f"{count} {what}")
    return found


def tight_obstacles(problem: ReconfigurationProblem) -> list[str]:
    """Why the tight AC bounds of the tree search, metrics A and B, do not cover a problem; empty when they do."""
    return ac_obstacles(problem) + mixed_signs(problem)
