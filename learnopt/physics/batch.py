"""AC losses of many configurations in many scenarios, with the limits looked at: compiled, for pools of candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import njit
from learnopt.network import Bools, Configuration, Floats, ReconfigurationProblem
from learnopt.physics.limits import limit_arrays, total_violation
from learnopt.physics.sweep import order_flow, problem_grid, sweep_tree, tree_flow


@njit(steps=lambda grid, limits, s, closed, loss: 25 * loss.size * len(grid.start))
def _losses(grid: Any, limits: Any, s: NDArray[np.complex128], closed: Bools, loss: Floats) -> None:
    tree = tree_flow(s.shape[1])
    loss[:] = np.inf
    for c in range(len(closed)):
        if not order_flow(grid, closed[c], tree):
            continue
        for k in range(len(s)):
            value = sweep_tree(grid, s[k], tree)
            if np.isnan(value):
                continue
            if limits.active and total_violation(grid, limits, tree) > 0.0:
                continue
            loss[c, k] = value


def feasible_losses(problem: ReconfigurationProblem, configurations: list[Configuration]) -> Floats:
    """AC loss of each configuration in each scenario [kW], shape (n_configuration, n_scenario).

    Infinite where the configuration is not radial, has no power flow or violates a limit in that scenario.
    """
    s = np.stack([member.p + 1j * member.q for member in problem.members])
    loss = np.empty((len(configurations), len(s)))
    if configurations:
        closed = np.stack([configuration.closed for configuration in configurations])
        _losses(problem_grid(problem), limit_arrays(problem), s, closed, loss)
    return loss * problem.network.base.kw
