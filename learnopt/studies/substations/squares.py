"""Tangents of squared powers in a compiled expansion model: what turns a linear model into a quadratic one."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnopt.engines.milp.highs import CompiledModel
from learnopt.formulations.expansion import squared, tangent_row
from learnopt.network.expansion import ExpansionProblem

PIECES = 8
"""Tangents of each square in the piecewise-linear treatment, and before the first round of the quadratic one."""


class Squares:
    """Tangents of squared powers in a compiled model, each added once."""

    def __init__(self, problem: ExpansionProblem, m: Any, model: CompiledModel) -> None:
        links = problem.links
        of_line, of_site = squared(problem)
        square, power, use, capacity = [], [], [], []
        for t in m.stages:
            for k in m.links:
                kind = int(links.line_type[k])
                if of_line[kind]:
                    square.append(m.h[k, t])
                    power.append(m.P[k, t])
                    use.append(m.beta[k, t])
                    capacity.append(min(problem.line_types[kind].capacity_mva, problem.total_mva(t)))
            for i, s in m.offers:
                if of_site[s]:
                    square.append(m.H[i, s, t])
                    power.append(m.G[i, s, t])
                    use.append(m.delta[i, s, t])
                    capacity.append(min(problem.sizes[s].capacity_mva, problem.total_mva(t)))
        self._model = model
        columns = np.stack([model.columns(square), model.columns(power), model.columns(use)], axis=1)
        known = columns[:, 0] >= 0  # in an elastic model nothing may depend on a square
        self._columns = columns[known]
        self._capacity = np.array(capacity)[known]
        self._seen: set[tuple[int, float]] = set()
        self.any = bool(known.any())

    @property
    def count(self) -> int:
        """Tangents added so far."""
        return len(self._seen)

    def _add(self, which: np.ndarray, at: np.ndarray) -> int:
        fresh = [i for i, k in enumerate(which) if (int(k), float(f"{at[i]:.6g}")) not in self._seen and at[i] > 0]
        self._seen.update((int(which[i]), float(f"{at[i]:.6g}")) for i in fresh)
        if fresh:
            rows = np.array([tangent_row(float(at[i])) for i in fresh])
            self._model.add_rows(self._columns[which[fresh]], rows, np.zeros(len(fresh)))
        return len(fresh)

    def spread(self, count: int) -> None:
        """Tangents at ``count`` powers spread evenly over each capacity."""
        if self.any:
            for share in (np.arange(count) + 0.5) / count:
                self._add(np.arange(len(self._capacity)), share * self._capacity)

    def at_values(self, values: np.ndarray) -> int:
        r"""Tangents where a solution counts a square too low, :math:`h < P^2 / \beta`; returns their number.

        The tangent at :math:`S_0 = P / \beta` is the one that misses most there.
        """
        square, power, use = (values[self._columns[:, k]] for k in range(3))
        at = power / np.maximum(use, 1e-6)
        low = np.flatnonzero((use > 1e-6) & (power * at - square > 1e-7 + 1e-5 * power * at))
        return self._add(low, at[low])
