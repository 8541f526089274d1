"""Laterals: parts of a network that hang on one branch, whose lossless flows every radial configuration shares.

Equation numbers are those of ``docs/methods/ac_bound.md``, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.engines.bounds.reverse_flow import product
from learnopt.network import Bools, Floats, Ints, ReconfigurationProblem

LARGEST_DROP = 0.45
"""Tangents touch at potentials of at most this."""


def strip_laterals(problem: ReconfigurationProblem, usable: Bools) -> tuple[list[tuple[int, int, int]], Bools]:
    """Strip buses that hang on one branch: (bus, bus above, branch) in that order, and the branches that are left."""
    net = problem.network
    left = usable.copy()
    degree = np.bincount(np.concatenate([net.from_bus[usable], net.to_bus[usable]]), minlength=net.n_bus)
    at: list[list[int]] = [[] for _ in range(net.n_bus)]
    for e in np.flatnonzero(usable):
        at[net.from_bus[e]].append(int(e))
        at[net.to_bus[e]].append(int(e))
    stripped = []
    queue = [k for k in range(net.n_bus) if degree[k] == 1 and not net.is_substation[k]]
    while queue:
        k = queue.pop()
        branch = next((e for e in at[k] if left[e]), -1)
        if branch < 0:
            continue
        above = int(net.from_bus[branch] + net.to_bus[branch] - k)
        left[branch] = False
        stripped.append((k, above, branch))
        degree[above] -= 1
        if degree[above] == 1 and not net.is_substation[above]:
            queue.append(above)
    return stripped, left


@dataclass(frozen=True)
class LateralSums:
    """The main component seen from the buses that laterals hang on; flows inside laterals are known.

    Parameters
    ----------
    group
        The bus that each bus hangs on (itself off laterals), shape (n_bus,).
    load
        Sum of the injections of each group, shape (n_bus,), zero where a bus is no group.
    first, second
        Sums of injection times potential above the group's bus, and of injection times its square.
    energy
        Sum of r times squared flow inside each group.
    root
        bool: the group of a substation.
    """

    group: Ints
    load: Floats
    first: Floats
    second: Floats
    energy: Floats
    root: Bools

    def cubic_tangent(self, reference: Floats, low: float, high: float) -> tuple[Floats, float]:
        """(x, c) with T >= 2 (g x)' R g + c for every tree, T = sum g b^2 at potentials b = R g (eq. 30).

        x is one number per group, shape (n_bus,). Tangents at the ``reference`` where a group's sum is positive, chords
        over [``low``, ``high``] where it is negative.
        """
        load, first, root = self.load, self.first, self.root
        positive, negative = (load > 0) & ~root, (load < 0) & ~root
        touched = np.clip(reference, 0.0, LARGEST_DROP)
        centre = np.where(positive, touched, (low + high) / 2)
        summed = (positive | negative) & np.isfinite(centre)
        exact = np.where(summed, centre, 0.0) + first / np.where(summed, load, 1.0)
        slope = np.where(summed, np.clip(exact, 0.0, LARGEST_DROP), 0.0)
        base = float(self.second.sum())
        base -= float(np.sum(load[positive] * touched[positive] ** 2))
        base -= product(float(load[negative].sum()), low * high) if negative.any() else 0.0
        base -= 2 * float(np.sum((slope * first)[~root]))
        # What clipping leaves of the linear terms.
        left = ~root & np.where(summed, slope != exact, first != 0)
        rest = 2 * (np.where(summed, load * (np.where(summed, centre, 0.0) - slope), 0.0) + first)[left]
        base += float(np.sum(np.minimum(rest * low, rest * high)))
        return slope, base

    def factors(self, bent: Floats, path: float) -> tuple[Floats, float]:
        """(f, c) with (f g)' R (f g) <= g' R g + 2 (bent g)' R g + c for every tree (eq. 31); f empty if none is."""
        positive, negative = (self.load > 0) & ~self.root, (self.load < 0) & ~self.root
        if bent.max(initial=0.0) > 1:
            return np.zeros(0), 0.0
        factor, lost = 1 + bent - bent**2 / 2, 0.0
        if negative.any():
            own, rising = bent[negative], bent[positive]
            pairs = (1 + own[:, None] + rising[None, :]) / factor[positive][None, :]
            raised = np.max(pairs, axis=1, initial=1.0)
            excess = np.maximum(raised[:, None] * raised[None, :] - 1 - own[:, None] - own[None, :], 0.0)
            lost += product(float(excess.max()) * float(self.load[negative].sum()) ** 2, path)
            lost += float(np.diag(excess) @ self.energy[negative])
            factor[negative] = raised
        return factor[self.group], lost
