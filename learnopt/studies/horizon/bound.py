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
doi:10.1007/s10107-004-0552-5 (smoothing).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp

from learnopt.network import Floats, Ints
from learnopt.studies.horizon.pool import Pool

SHARPENINGS = (3e-2, 3e-3, 3e-4)
"""Soft minima one after the other: the error of each may reach this share of the objective."""
ITERATIONS = 150
MU_TRIALS = 12


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


def find_prices(pool: Pool, start: Prices | None = None) -> Prices:
    """Multipliers that make the bound over the pool large; deterministic."""
    problem = pool.problem
    if problem.max_operations is None:
        return _at(pool, 0.0, start)
    best: list[Prices] = [_at(pool, 0.0, start)]

    def value(mu: float) -> float:
        best.append(_at(pool, mu, best[-1]))
        return -best[-1].value_kwh

    free = pool.energy_kwh.min(axis=1).sum()
    static = np.where(np.isfinite(pool.energy_kwh).all(axis=0), pool.energy_kwh.sum(axis=0), np.inf).min()
    # A saving per pair of operations beyond this pays for no plan.
    highest = float(static - free) / 2 if np.isfinite(static) else float(free)
    if highest > 0:
        minimize_scalar(value, bounds=(0.0, highest), method="bounded", options={"maxiter": MU_TRIALS})
    return max(best, key=lambda prices: prices.value_kwh)


def _at(pool: Pool, mu: float, start: Prices | None) -> Prices:
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
    x = np.clip(lam[:-1, varying] / limit, -1.0, 1.0).ravel()
    energy = np.where(np.isfinite(pool.energy_kwh), pool.energy_kwh, np.nan)
    total = float(np.nanmin(energy, axis=1).sum())
    scale = max(total, 1e-12)

    def negative(flat: Floats, softness: float) -> tuple[float, Floats]:
        lam_now = np.concatenate([flat.reshape(n_steps, -1) * limit, np.zeros((1, len(varying)))])
        cost = pool.energy_kwh + (lam_now[:-1] - lam_now[1:]) @ states.T
        soft = logsumexp(-cost / softness, axis=1)
        share = np.exp(-cost / softness - soft[:, None]) @ states
        value = -softness * soft.sum() - lam_now[0] @ constant
        gradient = share.copy()
        gradient[0] -= constant
        gradient[1:] -= share[:-1]
        return -value / scale, -(gradient * limit / scale).ravel()

    for share in SHARPENINGS:
        softness = share * scale / (n_steps * np.log(len(states) + 1.0))
        x = minimize(
            negative, x, args=(softness,), jac=True, method="L-BFGS-B", bounds=[(-1.0, 1.0)] * len(x),
            options={"maxiter": ITERATIONS},
        ).x  # fmt: skip
    lam[:-1, varying] = x.reshape(n_steps, -1) * limit
    return _finished(pool, lam, mu)


def _finished(pool: Pool, lam: Floats, mu: float) -> Prices:
    prices = Prices(lam, mu, 0.0)
    least = (pool.energy_kwh + prices.by_step @ pool.closed.T).min(axis=1)
    return Prices(lam, mu, float(least.sum()) + prices.constant(pool))


def best_at(pool: Pool, prices: Prices) -> Ints:
    """The candidate of least energy plus prices in each step, shape (n_step,)."""
    return np.argmin(pool.energy_kwh + prices.by_step @ pool.closed.T, axis=1)
