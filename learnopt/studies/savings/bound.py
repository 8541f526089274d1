r"""What every hour loses at least: proofs of single hours, and what follows from them for others.

For non-negative loads, without charging and shunts, the AC loss of a radial configuration grows with every load, and
at least with the square of a common factor (docs/methods/savings.md):

.. math:: s_t \ge \alpha \, s, \; \alpha \ge 1 \quad\Rightarrow\quad
          \min_x \mathrm{loss}(x, s_t) \ge \alpha^2 \min_x \mathrm{loss}(x, s) .

So one proof bounds all hours whose loads are above some multiple of its own. The loads proven first are the least ones
of clusters of hours; then the hours follow whose loss is farthest above what is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from learnopt.engines import SolveOptions, Stopwatch
from learnopt.engines.tree.coverage import ac_obstacles, mixed_signs
from learnopt.network import Certificate, Configuration, Floats, Limits
from learnopt.studies.savings.problem import SavingsProblem
from learnopt.studies.savings.representatives import clusters
from learnopt.studies.savings.searches import Search, Searches

FLOORS = 48
"""Clusters of hours whose least loads are proven first."""
BATCH = 32
"""Steps that are proven before it is asked again which come next."""
_SAMPLE = 12
"""Largest loads, by which most steps are seen not to follow."""
_ROUNDING = 1e-9


class HourlyBound:
    """Proven lower bound of the loss of each step, whatever its configuration; limits are left aside.

    Parameters
    ----------
    problem
        The study.
    searches
        Those of the study.
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

    def __init__(self, problem: SavingsProblem, searches: Searches, gap: float) -> None:
        self.problem = problem
        self.searches = searches
        self.gap = gap
        self.bound_kw: Floats = np.zeros(problem.n_steps)
        self.found: dict[Configuration, None] = {}
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

    def raise_to(
        self,
        least_kw: Floats,
        start: Sequence[Configuration],
        gap: float,
        seconds: float,
        nodes: int,
        report: Callable[[int], None] = lambda _proven: None,
    ) -> None:
        """Prove hours until the bound of all of them is within a gap of the losses known, or a limit is reached.

        Parameters
        ----------
        least_kw
            Least loss known of each step [kW], shape (n_step,); what is not finite is not waited for.
        start
            A good configuration of each step.
        seconds, nodes
            Most time, and most nodes of all proofs, each of which counts as one at least.
        report
            Called with the number of steps proven.
        """
        problem, hours, watch = self.problem, self.problem.hours, Stopwatch()
        if self.obstacles or seconds <= 0 or nodes <= 0:
            return
        spent = 0

        def prove(loads: list[tuple[Floats, Floats]], starts: list[Configuration]) -> list[float]:
            nonlocal spent
            # What is left is shared before any of them begins: who makes them has no influence on what they find.
            left, each = seconds - watch.elapsed, max((nodes - spent) // len(loads), 1)
            tasks = zip(loads, starts, strict=True)
            found = self.searches.ask([self._search(p, q, start, left, each) for (p, q), start in tasks])
            spent += sum(one.nodes for one in found)
            for (p, q), one in zip(loads, found, strict=True):
                if one.configuration is not None:
                    self.found[one.configuration] = None
                if self.monotone and one.bound_kw > 0:
                    self._follow(p, q, one.bound_kw)
            return [one.bound_kw for one in found]

        if self.monotone:
            groups = clusters(self._loads, hours, min(FLOORS, problem.n_steps, nodes))
            floors = [(problem.p[group].min(axis=0), problem.q[group].min(axis=0)) for group in groups]
            prove(floors, [start[int(group[0])] for group in groups])
        open_steps = np.isfinite(least_kw)
        wanted = np.where(open_steps, least_kw, 0.0)
        while watch.elapsed < seconds and spent < nodes:
            missing = np.where(open_steps, hours * np.maximum(wanted - self.bound_kw, 0.0), 0.0)
            excess = missing.sum() - gap * float(hours @ wanted)
            if excess <= 0 or not missing.any():
                return
            worst = np.argsort(-missing, kind="stable")[:BATCH]
            # No more than can be needed: a proof closes at most what its step misses.
            needed = 1 + int(np.searchsorted(np.cumsum(missing[worst]), excess))
            steps = worst[: min(needed, np.count_nonzero(missing[worst]), nodes - spent)]
            open_steps[steps] = False
            values = prove([(problem.p[t], problem.q[t]) for t in steps], [start[t] for t in steps])
            self.bound_kw[steps] = np.maximum(self.bound_kw[steps], values)
            self.proven += len(steps)
            report(self.proven)

    def _search(self, p: Floats, q: Floats, start: Configuration, seconds: float, nodes: int) -> Search:
        """For the best configuration for some loads, and what it loses at least."""
        asked = self.problem.together(p[None], q[None], np.ones(1), limits=Limits())
        limit = max(seconds, 1e-3) if math.isfinite(seconds) else None
        options = SolveOptions(certify=Certificate.AC, gap=self.gap, time_limit=limit, node_limit=nodes)
        return Search(asked, options, start)

    def _follow(self, p: Floats, q: Floats, value_kw: float) -> None:
        """Bounds of all steps whose loads are above some multiple of loads with this bound."""
        fed = ~self.problem.network.is_substation
        loads = np.concatenate([p[fed], q[fed]])
        drawn = np.flatnonzero(loads > 0)
        if not len(drawn):
            return
        # The least ratio over some loads is not below that over all: what it leaves out cannot gain.
        some = drawn[np.argsort(-loads[drawn], kind="stable")[:_SAMPLE]]
        most = (self._loads[:, some] / loads[some]).min(axis=1)
        steps = np.flatnonzero((most >= 1) & (most**2 * value_kw > self.bound_kw))
        factor = (self._loads[steps[:, None], drawn] / loads[drawn]).min(axis=1)
        follows = np.where(factor >= 1, (factor * (1 - _ROUNDING)) ** 2 * value_kw, 0.0)
        self.bound_kw[steps] = np.maximum(self.bound_kw[steps], follows)
