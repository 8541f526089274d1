"""Losses over all steps: of a pool by compiled sweeps, of the strategies by the independent judge, in batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.engines.base import AGREEMENT
from learnopt.network import Bools, Configuration, Floats, Ints, Limits
from learnopt.physics import evaluate_as_it_is
from learnopt.physics.batch import feasible_losses
from learnopt.studies.savings.problem import SavingsProblem, Strategy

BATCH = 400
"""Steps at a time: memory does not grow with the length of the profile."""


def pool_losses(problem: SavingsProblem, pool: list[Configuration]) -> tuple[Floats, Bools]:
    """AC loss of each candidate in each step [kW] (``inf`` without power flow), and whether every limit is respected.

    Returns
    -------
    Shapes (n_step, n) and (n_step, n).
    """
    loss = np.empty((problem.n_steps, len(pool)))
    within = np.ones(loss.shape, dtype=bool)
    for first in range(0, problem.n_steps, BATCH):
        steps = np.arange(first, min(first + BATCH, problem.n_steps))
        loss[steps] = feasible_losses(problem.of_steps(steps, limits=Limits()), pool).T
        if problem.limits != Limits():
            within[steps] = np.isfinite(feasible_losses(problem.of_steps(steps), pool).T)
    return loss, within & np.isfinite(loss)


@dataclass(frozen=True, eq=False)
class Measured:
    """What the judge says of one configuration in some steps; arrays of shape (n_step,), NaN elsewhere."""

    loss_kw: Floats
    within: Bools
    vm_min: Floats
    vm_max: Floats
    loading: Floats


class Judged:
    """Power flows by the judge, each configuration in each step at most once."""

    def __init__(self, problem: SavingsProblem) -> None:
        self.problem = problem
        self._known: dict[Configuration, Measured] = {}

    def of(self, configuration: Configuration, steps: Ints) -> Measured:
        """Power flows of a configuration, at least in these steps."""
        if configuration not in self._known:
            blank = [np.full(self.problem.n_steps, np.nan) for _ in range(4)]
            self._known[configuration] = Measured(blank[0], np.zeros(self.problem.n_steps, dtype=bool), *blank[1:])
        known = self._known[configuration]
        missing = steps[np.isnan(known.loss_kw[steps])]
        for first in range(0, len(missing), BATCH):
            some = missing[first : first + BATCH]
            found = evaluate_as_it_is(self.problem.of_steps(some), configuration)
            for t, single in zip(some, found.situations, strict=True):
                if single.converged:
                    known.loss_kw[t], known.within[t] = single.loss_kw, not single.violations
                    known.vm_min[t], known.vm_max[t] = single.vm.min(), single.vm.max()
                    known.loading[t] = single.max_loading
        return known

    def strategy(
        self, name: str, configurations: list[Configuration], used: Ints, operations: int, bound_mwh: float | None
    ) -> Strategy:
        """A strategy measured in every step.

        Parameters
        ----------
        configurations, used
            Candidates, and which of them in each step.
        """
        order = list(dict.fromkeys(used.tolist()))
        blank = np.full(self.problem.n_steps, np.nan)
        loss, low, high, loading = blank.copy(), blank.copy(), blank.copy(), blank.copy()
        within = np.zeros(self.problem.n_steps, dtype=bool)
        for k in order:
            steps = np.flatnonzero(used == k)
            found = self.of(configurations[k], steps)
            loss[steps], within[steps], loading[steps] = found.loss_kw[steps], found.within[steps], found.loading[steps]
            low[steps], high[steps] = found.vm_min[steps], found.vm_max[steps]
        solved = bool(np.isfinite(loss).all())
        energy = float(self.problem.hours @ loss) / 1e3 if solved else None
        far = bound_mwh is not None and energy is not None and bound_mwh > energy * (1 + AGREEMENT)
        return Strategy(
            name=name,
            configurations=tuple(configurations[k] for k in order),
            used=np.array([order.index(k) for k in used.tolist()], dtype=np.int64),
            loss_kw=loss,
            within_limits=within,
            operations=operations,
            energy_mwh=energy,
            # Rounding of two power flows must not put the bound above what was measured; more than that is no rounding.
            bound_mwh=None if bound_mwh is None or energy is None or far else min(bound_mwh, energy),
            min_voltage_pu=float(np.nanmin(low, initial=np.inf)),
            max_voltage_pu=float(np.nanmax(high, initial=-np.inf)),
            max_loading=float(np.nanmax(loading, initial=0.0)),
        )
