"""Operating limits in compiled code: one number that says how far a power flow is from respecting them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from learnopt.compiling import njit
from learnopt.network import Floats, ReconfigurationProblem
from learnopt.physics.looped_sweep import chord_loading, magnitude


class LimitArrays(NamedTuple):
    """Limits in force, per unit; infinite where there is none."""

    vm_min: Floats
    """Voltages of each bus, shape (n_bus,); nothing is asked of substations."""
    vm_max: Floats
    i_max: Floats
    """Current at either end, shape (n_branch,)."""
    s_min: Floats
    """Apparent power drawn at each substation, shape (n_substation,)."""
    s_max: Floats
    active: bool
    """Some limit is finite."""


def limit_arrays(problem: ReconfigurationProblem) -> LimitArrays:
    """Limits of a problem for compiled code."""
    # Copies: writable like every array of a sweep, so that compiled code has one signature.
    vm_min, vm_max, i_max = np.array(problem.vm_min), np.array(problem.vm_max), np.array(problem.i_max)
    s_min, s_max = np.array(problem.s_min), np.array(problem.s_max)
    finite = (np.isfinite(limit).any() for limit in (vm_max, i_max, s_max))
    active = bool(vm_min.any() or s_min.any() or any(finite))
    return LimitArrays(vm_min, vm_max, i_max, s_min, s_max, active)


@njit()
def total_violation(grid: Any, limits: Any, tree: Any) -> float:
    """Sum of relative excesses over all limits of a converged sweep; 0 when every limit is respected.

    ``tree``: :class:`learnopt.physics.sweep.TreeFlow`. A limit counts as respected within 1e-6 relative, as for the
    judge.
    """
    order, parent, feed, v, current = tree
    slack = 1e-6
    total = 0.0
    n_roots = len(grid.roots)
    for position in range(n_roots, len(order)):
        k = order[position]
        vm = magnitude(v[k])
        if vm < limits.vm_min[k] * (1 - slack):
            total += 1.0 - vm / limits.vm_min[k]
        if vm > limits.vm_max[k] * (1 + slack):
            total += vm / limits.vm_max[k] - 1.0
        branch = feed[k]
        rating = limits.i_max[branch]
        if rating < np.inf:
            half, ratio = 0.5 * grid.y[branch], grid.ratio[branch]
            if grid.tail[branch] == k:
                sending = magnitude(current[k] + half * v[parent[k]])
                receiving = magnitude(current[k] - half * v[k] * (1.0 / ratio)) / ratio
            else:
                sending = magnitude(current[k] + half * v[parent[k]] * (1.0 / ratio)) / ratio
                receiving = magnitude(current[k] - half * v[k])
            loading = max(sending, receiving) / rating
            if loading > 1.0 + slack:
                total += loading - 1.0
    for c in range(len(grid.chords)):
        rating = limits.i_max[grid.chords[c]]
        if rating < np.inf:
            loading = chord_loading(grid, c, rating, v)
            if loading > 1.0 + slack:
                total += loading - 1.0
    for i in range(n_roots):
        # A substation with rating zero..infinity is the common case: nothing to add.
        if limits.s_max[i] < np.inf or limits.s_min[i] > 0.0:
            k = grid.roots[i]
            drawn = magnitude(v[k]) * magnitude(current[k])
            if drawn > limits.s_max[i] * (1 + slack):
                total += drawn / limits.s_max[i] - 1.0
            if drawn < limits.s_min[i] * (1 - slack):
                total += 1.0 - drawn / limits.s_min[i]
    return total
