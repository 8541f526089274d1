"""Switching operations and their price in compiled code."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from learnopt.compiling import njit
from learnopt.network import Bools, ReconfigurationProblem


class OperationData(NamedTuple):
    """What operations are counted from, what they cost and how many there may be."""

    normally_closed: Bools
    """Normal configuration, shape (n_branch,)."""
    counted: Bools
    """Branches whose change is an operation, shape (n_branch,)."""
    cost: float
    """Of one operation [pu]."""
    most: int


def operation_data(problem: ReconfigurationProblem) -> OperationData:
    """Operations of a problem for compiled code."""
    cap = problem.max_operations
    return OperationData(
        normally_closed=np.array(problem.network.normal_configuration.closed),
        counted=~problem.out_of_service,
        cost=problem.switching_cost / problem.network.base.kw,
        most=np.iinfo(np.int64).max if cap is None else cap,
    )


@njit()
def count_operations(data: Any, closed: Bools) -> int:
    """Operations from the normal configuration."""
    count = 0
    for e in range(len(closed)):
        if data.counted[e] and closed[e] != data.normally_closed[e]:
            count += 1
    return count


@njit()
def operations_change(data: Any, tie: int, cut: int) -> int:
    """Change of the number of operations when ``tie`` closes and ``cut`` opens."""
    change = 0
    if data.counted[tie]:
        change += -1 if data.normally_closed[tie] else 1
    if data.counted[cut]:
        change += 1 if data.normally_closed[cut] else -1
    return change
