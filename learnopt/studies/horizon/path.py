r"""Cheapest sequence of candidate configurations: dynamic programming over steps, candidates and operations used.

.. math:: V_t(p, k) = h_t \, \mathrm{loss}_t(p) + \min_{q} \{ V_{t-1}(q, k - d(q, p)) + C\, d(q, p) \}

Exact for the candidates given: every sequence of them is looked at. Without a cap the operations need no count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import njit
from learnopt.network import Floats, Ints


@njit()
def _capped(
    loss: Floats, first: Ints, distance: Ints, cost: float, cap: int, step_cap: int, choice: NDArray[np.int16]
) -> Floats:
    """Values of the last step, and the best predecessors in ``choice``, shape (n_step, n, cap + 1); -1 = none."""
    n_steps, n = loss.shape
    value = np.full((n, cap + 1), np.inf)
    for p in range(n):
        if first[p] <= min(cap, step_cap):
            value[p, first[p]] = loss[0, p] + cost * first[p]
    for t in range(1, n_steps):
        fresh = np.full((n, cap + 1), np.inf)
        for p in range(n):
            if loss[t, p] == np.inf:
                continue
            for q in range(n):
                d = distance[q, p]
                if d > step_cap:
                    continue
                extra = loss[t, p] + cost * d
                for k in range(d, cap + 1):
                    total = value[q, k - d] + extra
                    if total < fresh[p, k]:
                        fresh[p, k] = total
                        choice[t, p, k] = q
        value = fresh
    return value


def cheapest_path(
    loss_kwh: Floats,
    first: Ints,
    distance: Ints,
    cost: float,
    cap: int | None = None,
    step_cap: int | None = None,
) -> Ints | None:
    """Candidate of each step on the cheapest sequence, shape (n_step,); None where none respects everything.

    Parameters
    ----------
    loss_kwh
        Energy lost by each candidate in each step [kWh], ``inf`` where it is not feasible, shape (n_step, n).
    first
        Operations from the state before the first step to each candidate, shape (n,).
    distance
        Operations between candidates, symmetric, shape (n, n).
    cost
        Cost of one operation [kWh].
    cap, step_cap
        Caps on the operations of all steps together, and of each.
    """
    n_steps, n = loss_kwh.shape
    if n == 0:
        return None
    limit = n_steps * max(int(distance.max()), int(first.max()), 1) if step_cap is None else step_cap
    step_cost = np.where(distance <= limit, cost * distance, np.inf)
    value = loss_kwh[0] + np.where(first <= limit, cost * first, np.inf)
    before = np.zeros((n_steps, n), dtype=np.int64)
    for t in range(1, n_steps):
        total = value[:, None] + step_cost
        before[t] = np.argmin(total, axis=0)
        value = total[before[t], np.arange(n)] + loss_kwh[t]
    if not np.isfinite(value.min()):
        return None
    path = np.empty(n_steps, dtype=np.int64)
    path[-1] = int(np.argmin(value))
    for t in range(n_steps - 1, 0, -1):
        path[t - 1] = before[t, path[t]]
    if cap is None or operations_of(path, first, distance).sum() <= cap:
        return path
    return _capped_path(loss_kwh, first, distance, cost, cap, limit)


def _capped_path(loss_kwh: Floats, first: Ints, distance: Ints, cost: float, cap: int, step_cap: int) -> Ints | None:
    n_steps, n = loss_kwh.shape
    choice = np.full((n_steps, n, cap + 1), -1, dtype=np.int16)
    value = _capped(loss_kwh, first, distance, cost, cap, step_cap, choice)
    if not np.isfinite(value.min()):
        return None
    path = np.empty(n_steps, dtype=np.int64)
    p, used = (int(i) for i in np.unravel_index(int(np.argmin(value)), value.shape))
    for t in range(n_steps - 1, 0, -1):
        path[t] = p
        q = int(choice[t, p, used])
        used -= int(distance[q, p])
        p = q
    path[0] = p
    return path


def operations_of(path: Ints, first: Ints, distance: Ints) -> Ints:
    """Operations before each step of a sequence of candidates, shape (n_step,)."""
    return np.concatenate([[first[path[0]]], distance[path[:-1], path[1:]]])
