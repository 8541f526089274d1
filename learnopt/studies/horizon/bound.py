r"""Proven lower bound of a horizon: Lagrangian decomposition into one priced tree search per step.

The number of operations between two configurations is a sum of absolute values, so for every :math:`\mu \ge 0` and all
:math:`|\lambda_{te}| \le C + \mu`

.. math::

    C \, d(x_{t-1}, x_t) + \mu \Bigl( d(x_{t-1}, x_t) - \frac{K}{T} \Bigr)
    \ge \sum_e \lambda_{te} (x_{te} - x_{t-1,e}) - \frac{\mu K}{T} ,

with :math:`K` the cap on the operations of the horizon. Summed over the steps (:math:`\lambda_T = 0`), every plan costs
at least

.. math::

    \sum_t \min_{x} \Bigl[ h_t \, \mathrm{loss}_t(x) + \sum_e (\lambda_{te} - \lambda_{t+1,e}) \, x_e \Bigr]
    - \sum_e \lambda_{0e} \, x_{-1,e} - \mu K ,

where each minimum over all admissible configurations is bounded by the search of :mod:`learnopt.engines.tree.priced`.
The multipliers decide how good the bound is, never whether it holds. They maximise the same expression over the pool,
with a soft minimum that has a gradient; configurations that beat the pool at these prices enter it (column generation),
and the next round knows them.

References
----------
Guignard & Kim (1987), doi:10.1007/BF02592954 (Lagrangian decomposition); Nesterov (2005),
doi:10.1007/s10107-004-0552-5 (smoothing); Beck & Teboulle (2009), doi:10.1137/080716542 (FISTA).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import minimize_scalar

from learnopt.network import Floats, Ints
from learnopt.studies.horizon.pool import Pool
from learnopt.studies.horizon.work import Work

SHARPENINGS = (3e-2, 3e-3, 3e-4)
"""Soft minima one after the other: the error of each may reach this share of the objective."""
ITERATIONS = 200
MU_TRIALS = 12
GROWTH, DECAY = 2.0, 0.9
"""Factors of the curvature assumed: where a step goes too far, and after each."""
ROUNDING = 1e-14
"""Share of the objective that a step may miss its descent by."""


@dataclass(frozen=True, eq=False)
class Prices:
    """Multipliers of one round of the bound.

    Parameters
    ----------
    multipliers
        Lambda [kWh], shape (n_step + 1, n_branch), zero in the last row and where states are not counted.
    mu
        Price of an operation under the cap on operations [kWh].
    value_kwh
        The bound if the pool were all there is [kWh].
    """

    multipliers: Floats
    mu: float
    value_kwh: float

    @property
    def by_step(self) -> Floats:
        """Price of each closed branch in each step [kWh], shape (n_step, n_branch)."""
        return self.multipliers[:-1] - self.multipliers[1:]

    def constant(self, pool: Pool) -> float:
        """What the prices owe to the initial state and to the cap [kWh]."""
        cap = pool.problem.max_operations or 0
        return float(-self.multipliers[0] @ pool.problem.initial.closed - self.mu * cap)


def find_prices(pool: Pool, start: Prices | None, work: Work) -> Prices:
    """Multipliers that make the bound over the pool large; deterministic, unless it gets late.

    Parameters
    ----------
    start
        Those of the round before.
    work
        Time of the call: when it is over the best multipliers so far will do.
    """
    problem = pool.problem
    if problem.max_operations is None:
        return _at(pool, 0.0, start, work)
    best: list[Prices] = [_at(pool, 0.0, start, work)]

    def value(mu: float) -> float:
        if not work.late:
            best.append(_at(pool, mu, best[-1], work))
        return -best[-1].value_kwh

    free = pool.energy_kwh.min(axis=1).sum()
    static = np.where(np.isfinite(pool.energy_kwh).all(axis=0), pool.energy_kwh.sum(axis=0), np.inf).min()
    # A saving per pair of operations beyond this pays for no plan.
    highest = float(static - free) / 2 if np.isfinite(static) else float(free)
    if highest > 0:
        minimize_scalar(value, bounds=(0.0, highest), method="bounded", options={"maxiter": MU_TRIALS})
    return max(best, key=lambda prices: prices.value_kwh)


def _at(pool: Pool, mu: float, start: Prices | None, work: Work) -> Prices:
    """Multipliers for a given price of the cap."""
    problem = pool.problem
    n_steps, limit = problem.n_steps, problem.switching_cost + mu
    lam = np.zeros((n_steps + 1, problem.network.n_branch))
    initial = problem.initial.closed
    # Switches that no candidate tells of: leaving the initial state costs one operation, spread over the steps.
    fading = limit * (1 - np.arange(n_steps + 1) / n_steps)
    lam[:, problem.counted] = fading[:, None] * np.where(initial[problem.counted], -1.0, 1.0)
    varying = np.flatnonzero(problem.counted & (pool.closed != initial).any(axis=0))
    if limit == 0 or not len(varying):
        return _finished(pool, lam * (limit > 0), mu)
    states = pool.closed[:, varying].astype(float)
    constant = initial[varying].astype(float)
    if start is not None and start.mu + problem.switching_cost > 0:
        lam[:, varying] = start.multipliers[:, varying] * (limit / (start.mu + problem.switching_cost))
    x = np.clip(lam[:-1, varying] / limit, -1.0, 1.0)
    total = float(pool.energy_kwh.min(axis=1).sum())
    scale = max(total, 1e-12)

    def negative(x: Floats, softness: float) -> tuple[float, Floats]:
        """The soft minimum and its gradient, of prices as shares of their limit, shape (n_step, n_varying)."""
        lam_now = np.concatenate([x * limit, np.zeros((1, len(varying)))])
        scaled = (pool.energy_kwh + (lam_now[:-1] - lam_now[1:]) @ states.T) / -softness
        highest = scaled.max(axis=1, keepdims=True)
        weight = np.exp(scaled - highest)
        sums = weight.sum(axis=1, keepdims=True)
        share = (weight / sums) @ states
        value = -softness * float((np.log(sums) + highest).sum()) - float(lam_now[0] @ constant)
        gradient = share.copy()
        gradient[0] -= constant
        gradient[1:] -= share[:-1]
        return -value / scale, -gradient * (limit / scale)

    for share in SHARPENINGS:
        softness = share * scale / (n_steps * np.log(len(states) + 1.0))
        x = _least_in_box(partial(negative, softness=softness), x, work)
    lam[:-1, varying] = x * limit
    return _finished(pool, lam, mu)


def _least_in_box(function: Callable[[Floats], tuple[float, Floats]], x: Floats, work: Work) -> Floats:
    """A good point of a smooth convex function where all is between -1 and 1, from another one: FISTA, restarted.

    Not by a quasi-Newton method of a library: with many bounds at work L-BFGS-B solves thousands of triangles of a few
    rows, which threaded BLAS makes ten times as dear on two cores.

    Parameters
    ----------
    function
        Value and gradient.
    work
        Time of the call.
    """
    value, gradient = function(x)
    best, least = x, value
    ahead, momentum, curvature = x, 1.0, max(float(np.abs(gradient).max()), 1e-12)
    for _ in range(ITERATIONS):
        if work.late:
            break
        value, gradient = function(ahead)
        while True:
            after = np.clip(ahead - gradient / curvature, -1.0, 1.0)
            step = after - ahead
            reached = function(after)[0]
            bound = value + float((gradient * step).sum()) + curvature / 2 * float((step * step).sum())
            if reached <= bound + ROUNDING * abs(value) or math.isinf(curvature):
                break
            curvature *= GROWTH
        if float((gradient * (after - x)).sum()) > 0:  # it goes back: the momentum is lost
            momentum = 1.0
        longer = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead, x, momentum = after + (momentum - 1) / longer * (after - x), after, longer
        curvature *= DECAY
        if reached < least:
            best, least = x, reached
    return best


def _finished(pool: Pool, lam: Floats, mu: float) -> Prices:
    prices = Prices(lam, mu, 0.0)
    least = (pool.energy_kwh + prices.by_step @ pool.closed.T).min(axis=1)
    return Prices(lam, mu, float(least.sum()) + prices.constant(pool))


def best_at(pool: Pool, prices: Prices) -> Ints:
    """The candidate of least energy plus prices in each step, shape (n_step,)."""
    return np.argmin(pool.energy_kwh + prices.by_step @ pool.closed.T, axis=1)
