r"""Load situations that stand for many hours: means of clusters, which bound what the hours themselves lose.

For non-negative loads, without charging and shunts, the AC loss of a radial configuration is a convex function of all
loads together (docs/methods/savings.md). By Jensen's inequality, for hours :math:`h_t` of a cluster with mean
:math:`\bar s`, and for **every** configuration :math:`x`,

.. math:: \sum_t h_t \, \mathrm{loss}(x, s_t) \ge \Bigl( \sum_t h_t \Bigr) \, \mathrm{loss}(x, \bar s) ,

so the problem of the cluster means bounds the problem of all hours from below, the tighter the finer the clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from learnopt.network import Floats, Ints
from learnopt.studies.savings.problem import SavingsProblem


@dataclass(frozen=True, eq=False)
class Representatives:
    """Means of clusters of steps.

    Parameters
    ----------
    p, q
        Mean loads, weighted by duration [pu], shape (n, n_bus).
    hours
        Duration that each stands for [h], shape (n,).
    exact
        Every step stands for itself.
    """

    p: Floats
    q: Floats
    hours: Floats
    exact: bool


def representatives(problem: SavingsProblem, steps: Ints, count: int) -> Representatives:
    """At most ``count`` load situations for some steps."""
    p, q, hours = problem.p[steps], problem.q[steps], problem.hours[steps]
    if count >= len(steps):
        return Representatives(p, q, hours, exact=True)
    points = np.concatenate([p, q], axis=1)
    groups = clusters(points, hours, count)
    mean = np.stack([np.average(points[group], axis=0, weights=hours[group]) for group in groups])
    n = p.shape[1]
    return Representatives(mean[:, :n], mean[:, n:], np.array([hours[group].sum() for group in groups]), exact=False)


def clusters(points: Floats, weights: Floats, count: int) -> list[Ints]:
    """Divide points into at most ``count`` groups: the group of most variation is cut across its principal direction.

    References
    ----------
    Boley (1998), doi:10.1023/A:1009740529316 (principal direction divisive partitioning).
    """
    whole = np.arange(len(points))
    heap = [(-_variation(points, weights), 0, whole)]  # the second entry settles ties
    done: list[Ints] = []
    while heap and len(heap) + len(done) < count:
        variation, _, group = heappop(heap)
        away = points[group] - np.average(points[group], axis=0, weights=weights[group])
        above = away @ _principal(away * np.sqrt(weights[group])[:, None]) > 0
        if variation == 0 or above.all() or not above.any():
            done.append(group)
            continue
        for part in (group[above], group[~above]):
            heappush(heap, (-_variation(points[part], weights[part]), int(part[0]), part))
    return done + [group for _, _, group in sorted(heap, key=lambda entry: entry[1])]


def _variation(points: Floats, weights: Floats) -> float:
    """Weighted sum of squared distances from the mean."""
    away = points - np.average(points, axis=0, weights=weights)
    return float(weights @ (away**2).sum(axis=1))


def _principal(away: Floats) -> Floats:
    """Direction of largest variation, by power iteration from the row farthest out."""
    direction = away[np.argmax((away**2).sum(axis=1))]
    for _ in range(12):
        direction = away.T @ (away @ direction)
        length = float(np.linalg.norm(direction))
        if length == 0:
            return direction
        direction = direction / length
    return direction
