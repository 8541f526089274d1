"""Where flows can run towards the root in some radial configuration, and how much: paths under a load budget (eq. 29).

Equation numbers are those of ``docs/methods/ac_bound.md``, section 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from learnopt.compiling import njit
from learnopt.network import Bools, Floats, Ints

WALK_STEPS = 500_000
"""Steps of the search for the longest path under a load budget; beyond, a path may be as long as its block allows."""


@njit()
def longest_walk(
    start: Ints,
    via: Ints,
    other: Ints,
    usable: Bools,
    inside: Bools,
    length: Floats,
    lifting: Floats,
    load: Floats,
    most: Floats,
    depth_of: Floats,
    budget: float,
) -> tuple[float, float, float, float]:
    """The longest simple paths of which all buses but the last are ``inside`` and carry at most ``budget`` load.

    ``length``: two lengths of each branch, shape (n_branch, 2). Four maxima: of both; of the rise, the sum of the
    lengths ``lifting`` each times what is left of the budget there (or ``most`` if that is less); of the second lengths
    each times the rise from there on. Infinite when it takes more than ``WALK_STEPS`` to tell. ``depth_of``: lengths of
    what hangs on a bus, added where a path starts, shape (n_bus, 2).
    """
    n = len(load)
    on_path = np.zeros(n, np.bool_)
    stack, entry = np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)
    carried, reach, second = np.empty(n + 1), np.empty(n + 1), np.empty(n + 1)
    rise, joint = np.empty(n + 1), np.empty(n + 1)
    best = best_second = highest = jointly = 0.0
    steps = WALK_STEPS
    for first in range(n):
        if not inside[first] or load[first] > budget:
            continue
        stack[0], entry[0], carried[0] = first, start[first], load[first]
        reach[0], second[0] = depth_of[first, 0], depth_of[first, 1]
        rise[0] = joint[0] = 0.0
        on_path[first] = True
        best, best_second = max(best, reach[0]), max(best_second, second[0])
        depth = 0
        while depth >= 0:
            bus = stack[depth]
            if entry[depth] >= start[bus + 1]:
                on_path[bus] = False
                depth -= 1
                continue
            i = entry[depth]
            entry[depth] += 1
            far = other[i]
            if not usable[via[i]] or on_path[far]:
                continue
            steps -= 1
            if steps < 0:
                return np.inf, np.inf, np.inf, np.inf
            total, also = reach[depth] + length[via[i], 0], second[depth] + length[via[i], 1]
            step = lifting[via[i]] * min(budget - carried[depth], most[bus])
            risen, together = rise[depth] + step, joint[depth] + also * step
            best, best_second = max(best, total), max(best_second, also)
            highest, jointly = max(highest, risen), max(jointly, together)
            if not inside[far] or carried[depth] + load[far] > budget:
                continue
            depth += 1
            stack[depth], entry[depth] = far, start[far]
            carried[depth], reach[depth], second[depth] = carried[depth - 1] + load[far], total, also
            rise[depth], joint[depth] = risen, together
            on_path[far] = True
    return best, best_second, highest, jointly


@njit()
def least_carried(start: Ints, via: Ints, other: Ints, usable: Bools, root: Bools, load: Floats, source: int) -> Floats:
    """Least load on the buses of a path from a source to each bus, ends included; inf where only roots join them."""
    n = len(load)
    least = np.full(n, np.inf)
    least[source] = load[source]
    done = np.zeros(n, np.bool_)
    while True:
        bus = -1
        for k in range(n):
            if not done[k] and least[k] < np.inf and (bus < 0 or least[k] < least[bus]):
                bus = k
        if bus < 0:
            return least
        done[bus] = True
        for i in range(start[bus], start[bus + 1]):
            far = other[i]
            if usable[via[i]] and not root[far]:
                least[far] = min(least[far], least[bus] + load[far])


def product(a: float, b: float) -> float:
    """Product in which zero wins over infinity."""
    return 0.0 if a == 0.0 or b == 0.0 else a * b


@dataclass(frozen=True)
class ReverseFlow:
    """What branches can do whose lossless flow of one component runs towards the root.

    Parameters
    ----------
    rise
        No lossless potential falls below minus this [pu].
    rise_loss
        Bound of the sum of length times squared current, true or lossless, over all branches below such a branch, each
        times the largest rise at its place [pu].
    rise_other
        The same sum for the lossless flow of the other component alone [pu].
    rise_slack
        What shunts below such branches may add to the injections, times the rise there [pu].
    """

    rise: float = 0.0
    rise_loss: float = 0.0
    rise_other: float = 0.0
    rise_slack: float = 0.0


def most_within(around: Bools, load: Floats, budget: float, value: Floats) -> float:
    """Largest sum of a value over buses around a source whose positive loads sum to at most a budget."""
    if not np.isfinite(value[around]).all():
        return math.inf
    loaded = np.flatnonzero(around & (load > 0))
    loaded = loaded[np.argsort(-value[loaded] / load[loaded])]
    taken = np.clip((budget - np.cumsum(load[loaded]) + load[loaded]) / load[loaded], 0.0, 1.0)
    return float(value[around & (load <= 0)].sum() + value[loaded] @ taken)
