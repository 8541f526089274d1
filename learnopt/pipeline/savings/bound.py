r"""What every hour loses at least: proofs of single hours, and what follows from them for others.

For non-negative loads, without charging and shunts, the AC loss of a radial configuration grows with every load, and
at least with the square of a common factor (docs/methods/savings.md):

.. math:: s_t \ge \alpha \, s, \; \alpha \ge 1 \quad\Rightarrow\quad
          \min_x \mathrm{loss}(x, s_t) \ge \alpha^2 \min_x \mathrm{loss}(x, s) .

So one proof bounds all hours whose loads are above some multiple of its own. The loads proven first are the least ones
of clusters of hours; then the hours follow whose loss is farthest above what is known.
"""

from __future__ import annotations

import numpy as np

from learnopt.engines import SolveOptions, Stopwatch
from learnopt.engines.tree.engine import TreeSearchEngine, ac_obstacles, mixed_signs
from learnopt.network import Certificate, Configuration, Floats, Limits, Status
from learnopt.pipeline.savings.problem import SavingsProblem
from learnopt.pipeline.savings.representatives import clusters

FLOORS = 48
"""Clusters of hours whose least loads are proven first."""
_ROUNDING = 1e-9


class HourlyBound:
    """Proven lower bound of the loss of each step, whatever its configuration; limits are left aside.

    Parameters
    ----------
    problem
        The study.
    gap
        Relative gap of a single proof.

    Attributes
    ----------
    bound_kw
        Shape (n_step,); 0 where nothing better is known: no configuration gains energy.
    found
        Configurations that the proofs met.
    proven
        Steps proven one by one.
    obstacles
        Why no proof is possible; empty where one is.
    """

    def __init__(self, problem: SavingsProblem, gap: float) -> None:
        self.problem = problem
        self.gap = gap
        self.bound_kw: Floats = np.zeros(problem.n_steps)
        self.found: list[Configuration] = []
        self.proven = 0
        extremes = problem.together(
            np.stack([problem.p.min(axis=0), problem.p.max(axis=0)]),
            np.stack([problem.q.min(axis=0), problem.q.max(axis=0)]),
            np.ones(2),
            limits=Limits(),
        )
        self.obstacles = ac_obstacles(extremes)
        net = problem.network
        # Iron losses and what shunts draw do not grow with the loads: voltages fall.
        shunts = any(values.any() for values in (net.g, net.b, net.g_shunt, net.b_shunt))
        self.monotone = not self.obstacles and not mixed_signs(extremes) and not shunts
        fed = ~problem.network.is_substation
        self._loads = np.concatenate([problem.p[:, fed], problem.q[:, fed]], axis=1)

    def raise_to(self, least_kw: Floats, start: list[Configuration], gap: float, seconds: float) -> None:
        """Prove hours until the bound of all of them is within a gap of the losses known, or the time is over.

        Parameters
        ----------
        least_kw
            Least loss known of each step [kW], shape (n_step,); what is not finite is not waited for.
        start
            A good configuration of each step.
        """
        problem, hours, watch = self.problem, self.problem.hours, Stopwatch()
        if self.obstacles or seconds <= 0:
            return
        if self.monotone:
            for group in clusters(self._loads, hours, min(FLOORS, problem.n_steps)):
                if watch.elapsed > seconds:
                    return
                floor_p, floor_q = problem.p[group].min(axis=0), problem.q[group].min(axis=0)
                self._prove(floor_p, floor_q, start[int(group[0])], seconds - watch.elapsed)
        open_steps = np.isfinite(least_kw)
        wanted = np.where(open_steps, least_kw, 0.0)
        while watch.elapsed < seconds:
            missing = np.where(open_steps, hours * np.maximum(wanted - self.bound_kw, 0.0), 0.0)
            t = int(np.argmax(missing))
            if missing[t] <= 0 or missing.sum() <= gap * float(hours @ wanted):
                return
            open_steps[t] = False
            value = self._prove(problem.p[t], problem.q[t], start[t], seconds - watch.elapsed)
            self.bound_kw[t] = max(self.bound_kw[t], value)
            self.proven += 1

    def _prove(self, p: Floats, q: Floats, start: Configuration, seconds: float) -> float:
        """Least loss of some loads [kW], 0 where none is proven; what follows for the steps is noted."""
        asked = self.problem.together(p[None], q[None], np.ones(1), limits=Limits())
        options = SolveOptions(certify=Certificate.AC, gap=self.gap, time_limit=max(seconds, 1e-3))
        result = TreeSearchEngine().solve(asked, options, start)
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        if result.configuration is not None:
            self.found.append(result.configuration)
        if result.certificate is not Certificate.AC or result.dual_bound_kw is None:
            return 0.0
        value = max(result.dual_bound_kw, 0.0)
        if self.monotone:
            self._follow(np.concatenate([part[~self.problem.network.is_substation] for part in (p, q)]), value)
        return value

    def _follow(self, loads: Floats, value_kw: float) -> None:
        """Bounds of all steps whose loads are above some multiple of loads with this bound."""
        drawn = loads > 0
        if not drawn.any():
            return
        factor = (self._loads[:, drawn] / loads[drawn]).min(axis=1)
        follows = np.where(factor >= 1, (factor * (1 - _ROUNDING)) ** 2 * value_kw, 0.0)
        np.maximum(self.bound_kw, follows, out=self.bound_kw)
