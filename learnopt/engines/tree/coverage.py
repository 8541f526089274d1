"""Which bound of the tree search covers a problem, and what stands in the way."""

from __future__ import annotations

import numpy as np

from learnopt.network import ReconfigurationProblem
from learnopt.network.loop_reduction import told_fixed_loops, without_fixed_loops
from learnopt.network.names import bus_label
from learnopt.network.rescaling import without_ratios


def ac_obstacles(problem: ReconfigurationProblem) -> list[str]:
    """Why the AC bounds of the tree search do not cover a problem; empty when one does."""
    found = ["controls besides the switches"] if problem.controls else []
    reduced = without_fixed_loops(problem)
    if reduced is None:
        found.append(told_fixed_loops(problem))
    if without_ratios(reduced or problem) is None:
        stepped = int(np.count_nonzero(problem.usable & (problem.network.ratio != 1)))
        found.append(
            f"transformers off their nominal ratio in {_counted(stepped, 'branch')}, as not all loops agree on them"
        )
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
            example = bus_label(net, int(negative[0]))
            found.append(f"negative {name} load at {_counted(len(negative), 'bus')} (for instance bus {example})")
    for what, one, where in (
        ("line charging of", "branch", problem.usable & (problem.b > 0)),
        ("capacitors at", "bus", fed & (net.b_shunt > 0)),
    ):
        if count := int(np.count_nonzero(where)):
            found.append(f"{what} {_counted(count, one)}")
    return found


def _counted(count: int, one: str) -> str:
    return f"{count} {one}{'' if count == 1 else 'es'}"


def tight_obstacles(problem: ReconfigurationProblem) -> list[str]:
    """Why the tight AC bounds of the tree search, metrics A and B, do not cover a problem; empty when they do."""
    return ac_obstacles(problem) + mixed_signs(problem)
