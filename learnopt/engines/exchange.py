r"""Branch exchange: close a tie, open a branch of the loop it makes, keep what improves the AC objective.

With load currents fixed, closing tie e and opening branch k of its loop moves a circulating current :math:`c = -f_k`
around the loop and changes the loss by

.. math:: 2\,\mathrm{Re}\,(\bar c \sum_{l} r_l f_l) + |c|^2 \sum_{l} r_l,

sums over the loop. All pairs are ranked by this estimate and tried in order by AC power flow. A local optimum, never
a proof: the engine's results carry no bound.

References
----------
Civanlar, Grainger, Yin, Lee (1988), doi:10.1109/61.193906 (exchange);
Merlin & Back (1975), Shirmohammadi & Hong (1989), doi:10.1109/61.25637 (sequential opening).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learnopt.compiling import LONG_PATIENCE, njit
from learnopt.engines.base import SolveOptions, Stopwatch, conclude, infeasible
from learnopt.engines.operations import OperationData, count_operations, operation_data, operations_change
from learnopt.network import Bools, Configuration, Floats, Ints, ReconfigurationProblem, Result, Status
from learnopt.network.topology import maximum_spanning_tree
from learnopt.physics import LoopSpace, power_flow
from learnopt.physics.limits import LimitArrays, limit_arrays, total_violation
from learnopt.physics.looped_sweep import square
from learnopt.physics.sweep import Grid, order_flow, problem_grid, sweep_tree, tree_flow

CHUNK_BUSES = 5e5
"""Buses of all power flows between two looks at the clock: some tenths of a second."""
BUSES_PER_SECOND = 1e6
"""Buses of all power flows that count as a second of a share of the time limit: so much work on every machine."""
PENALTY = 1e3
"""Price [pu] of violating limits at all, and again per unit of relative violation: it outweighs any loss."""


class ExchangeData(NamedTuple):
    """What does not change during exchanges on one problem, per unit."""

    grid: Grid
    limits: LimitArrays
    s: NDArray[np.complex128]
    """Net loads, shape (n_bus,)."""
    free: Bools
    """Undecided switches, shape (n_branch,)."""
    operations: OperationData


def _exchange_data(problem: ReconfigurationProblem) -> ExchangeData:
    return ExchangeData(
        grid=problem_grid(problem),
        limits=limit_arrays(problem),
        s=problem.p + 1j * problem.q,
        free=np.array(problem.free),
        operations=operation_data(problem),
    )


@njit()
def _penalty(violation: float) -> float:
    return PENALTY * (1.0 + violation) if violation > 0.0 else 0.0


@njit(steps=lambda data, *_: 20 * len(data.s))
def _rank_exchanges(data: Any, closed: Bools, tree: Any, ceiling: float) -> tuple[Floats, Ints, Ints]:
    """Exchanges (tie closes, cut opens) with an estimated change of the objective below ``ceiling``, best first."""
    grid, free = data.grid, data.free
    order, parent, feed, _, current = tree
    n, m = len(order), len(closed)
    depth = np.zeros(n, np.int64)
    for position in range(n):
        k = order[position]
        depth[k] = 0 if parent[k] < 0 else depth[parent[k]] + 1
    loop_bus = np.empty(n, np.int64)
    loop_flow = np.empty(n, np.complex128)
    estimate, tie, cut = np.empty(64), np.empty(64, np.int64), np.empty(64, np.int64)
    count = 0
    for e in range(m):
        if closed[e] or not free[e]:
            continue
        a, b = grid.tail[e], grid.head[e]
        size = 0
        total = 0j
        resistance = grid.impedance[e].real
        while a != b:
            if depth[a] == 0 and depth[b] == 0:
                break  # two substations: the loop closes through the merged root
            if depth[a] >= depth[b]:
                loop_bus[size], loop_flow[size] = a, current[a]
                a = parent[a]
            else:
                loop_bus[size], loop_flow[size] = b, -current[b]
                b = parent[b]
            r = grid.impedance[feed[loop_bus[size]]].real
            total += r * loop_flow[size]
            resistance += r
            size += 1
        for i in range(size):
            branch = feed[loop_bus[i]]
            if not free[branch]:
                continue
            c = -loop_flow[i]
            change = 2.0 * (c.real * total.real + c.imag * total.imag) + resistance * square(c)
            change += data.operations.cost * operations_change(data.operations, e, branch)
            if change < ceiling:
                if count == len(estimate):
                    estimate = np.concatenate((estimate, np.empty(count)))
                    tie = np.concatenate((tie, np.empty(count, np.int64)))
                    cut = np.concatenate((cut, np.empty(count, np.int64)))
                estimate[count], tie[count], cut[count] = change, e, branch
                count += 1
    ranking = np.argsort(estimate[:count], kind="mergesort")  # stable: on every machine the same order
    return estimate[ranking], tie[ranking], cut[ranking]


def _flow_steps(data: ExchangeData) -> float:
    """Steps of one power flow."""
    return 25.0 * len(data.s)


@njit(steps=lambda data, closed, trials, first, flows: (flows + 2) * _flow_steps(data), patience=LONG_PATIENCE)
def _improve(data: Any, closed: Bools, max_trials: int, first: int, max_flows: int) -> tuple[float, int, int]:
    """Improve ``closed`` in place; returns its merit, NaN where the start has no power flow, and where to go on.

    Merit is the loss plus switching cost plus penalised limit violations [pu]. After ``max_flows`` power flows of
    trials it returns the place in the ranking of exchanges that is ``first`` in the next call; -1 at a local optimum.
    The last number is that of the power flows made.
    """
    flows = 0
    grid, limits, cost = data.grid, data.limits, data.operations.cost
    tree = tree_flow(len(data.s))
    operations = count_operations(data.operations, closed)
    while True:
        if not order_flow(grid, closed, tree):
            return np.nan, -1, flows
        loss = sweep_tree(grid, data.s, tree)
        if np.isnan(loss):
            return np.nan, -1, flows
        violation = total_violation(grid, limits, tree) if limits.active else 0.0
        merit = loss + cost * operations + _penalty(violation)
        # The estimate errs by the change of voltages; what looks slightly worse is tried too.
        ceiling = 2e-3 * loss if violation == 0.0 else np.inf
        _, tie, cut = _rank_exchanges(data, closed, tree, ceiling)
        improved = False
        for i in range(first, min(len(tie), max_trials)):
            if flows >= max_flows:
                return merit, i, flows
            e, k = tie[i], cut[i]
            trial_operations = operations + operations_change(data.operations, e, k)
            if trial_operations > data.operations.most and trial_operations >= operations:
                continue
            closed[e], closed[k] = True, False
            flows += 1
            order_flow(grid, closed, tree)
            trial = sweep_tree(grid, data.s, tree)
            if not np.isnan(trial):
                if limits.active:
                    trial += _penalty(total_violation(grid, limits, tree))
                if trial + cost * trial_operations < merit * (1 - 1e-10):
                    operations = trial_operations
                    improved = True
                    break
            closed[e], closed[k] = False, True
        if not improved:
            return merit, -1, flows
        first = 0


class LocalSearch:
    """Branch exchange on one problem, ready for many starts."""

    def __init__(self, problem: ReconfigurationProblem) -> None:
        self.problem = problem
        self._data = _exchange_data(problem)
        self.swept = 0
        """Buses of all power flows of trials so far."""

    def improve(
        self, start: Configuration, max_trials: int = 200, seconds: float = math.inf, buses: float = math.inf
    ) -> tuple[Configuration, float] | None:
        """Local optimum reached from a start.

        Parameters
        ----------
        max_trials
            Exchanges tried by power flow at each configuration.
        seconds
            Time to spend; when it is over the best so far is returned, which may be the start.
        buses
            The same as buses of power flows: work that is the same on every machine.

        Returns
        -------
        The configuration and its merit [kW] (objective; above :data:`PENALTY` times the base where limits stay
        violated), or None where the start is not radial or has no power flow.
        """
        closed, watch = np.array(start.closed), Stopwatch()
        merit, place, n_bus = np.nan, 0, self.problem.network.n_bus
        end = self.swept + buses
        while place >= 0:
            flows = int(min(max(1, CHUNK_BUSES / n_bus), max(0, (end - self.swept) / n_bus)))
            flows = 0 if watch.elapsed >= seconds else min(flows, _improve.patience(_flow_steps(self._data)))
            merit, place, made = _improve(self._data, closed, max_trials, place, flows)
            self.swept += made * n_bus
            if flows == 0:
                break
        if np.isnan(merit):
            return None
        return Configuration(closed), float(merit) * self.problem.network.base.kw

    def neighbours(self, configuration: Configuration, count: int) -> list[Configuration]:
        """The ``count`` exchanges of least estimated objective, best first; fewer where there are fewer."""
        _, tie, cut = self._exchanges(configuration)
        result = []
        for e, k in zip(tie[:count], cut[:count], strict=True):
            closed = configuration.closed.copy()
            closed[e], closed[k] = True, False
            result.append(Configuration(closed))
        return result

    def least_rise(self, configuration: Configuration, group: Ints) -> Floats:
        """Estimated rise of the objective [kW] by the cheapest exchange that changes a branch, shape (n_branch,).

        Infinite where no exchange does, and everywhere where the configuration has no power flow.

        Parameters
        ----------
        group
            The branch that stands for each one, shape (n_branch,); an exchange within a group changes nothing.
        """
        result = np.full(len(group), np.inf)
        estimate, tie, cut = self._exchanges(configuration)
        between = group[tie] != group[cut]
        for branch in (tie, cut):
            np.minimum.at(result, group[branch[between]], estimate[between])
        return result * self.problem.network.base.kw

    def _exchanges(self, configuration: Configuration) -> tuple[Floats, Ints, Ints]:
        """All exchanges with the estimated rise of the objective [pu], best first; none without a power flow."""
        flow = power_flow(self.problem, configuration)
        if not flow.converged:
            return np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        return _rank_exchanges(self._data, np.array(configuration.closed), flow.tree, np.inf)


def radial_start(problem: ReconfigurationProblem) -> Configuration:
    """The normal configuration, repaired where outages or locks break it: as many normal states kept as possible."""
    net = problem.network
    weight = np.where(net.normal_configuration.closed, 1.0, 0.0)
    return Configuration(maximum_spanning_tree(net, problem.usable, weight, problem.must_close))


def random_start(problem: ReconfigurationProblem, rng: np.random.Generator) -> Configuration:
    """A random radial configuration: the spanning tree of least random weight (not uniform over trees)."""
    weight = rng.random(problem.network.n_branch)
    return Configuration(maximum_spanning_tree(problem.network, problem.usable, weight, problem.must_close))


def sequential_opening(
    problem: ReconfigurationProblem, injection: NDArray[Any] | None = None, seconds: float = math.inf
) -> Configuration:
    """Close everything, then open the branch of least opening cost until the network is radial (Merlin & Back 1975).

    Flows and costs are updated after each opening by the rank-one formula of loop space.

    Parameters
    ----------
    injection
        Load currents [pu], shape (n_bus,); the net loads at flat voltage where absent.
    seconds
        Time to spend; loops that are left when it is over are opened anywhere.
    """
    watch = Stopwatch()
    space = LoopSpace.of(problem)
    flow = space.meshed_flow(problem.p + 1j * problem.q if injection is None else injection)[space.core]
    C, K = space.cycles, space.K.copy()
    free = problem.free[space.core].copy()
    opened = np.zeros(problem.network.n_branch, dtype=bool)
    g = space.loop_conductance
    for _ in range(space.n_loops):
        free &= g > space.bridge_conductance  # what has become a bridge stays closed
        if not free.any() or watch.elapsed >= seconds:
            break
        e = int(np.argmin(np.where(free, np.abs(flow) ** 2 / np.maximum(g, 1e-300), np.inf)))
        direction = K @ C[e]
        along = C @ direction
        flow = flow - along * (flow[e] / g[e])
        K -= np.outer(direction, direction) / g[e]
        g = g - along**2 / g[e]
        free[e] = False
        opened[space.core[e]] = True
    closed = maximum_spanning_tree(problem.network, problem.usable, np.where(opened, 0.0, 1.0), problem.must_close)
    return Configuration(closed)


class ExchangeEngine:
    """Branch exchange from the normal configuration, from sequential opening and from random trees.

    Parameters
    ----------
    random_starts
        Random trees to start from besides the two others.
    """

    name = "exchange"

    def __init__(self, random_starts: int = 4) -> None:
        self.random_starts = random_starts

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Best local optimum; status ``feasible`` and no certificate, or ``no_solution``."""
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch, fixed_loops=True)) is not None:
            return failure
        rng = np.random.default_rng(options.seed)
        best: Configuration | None = None
        message = "Local optimum of branch exchange; nothing is proven about other configurations."
        interrupted = False
        with watch.stage("exchange"):
            try:
                limit = math.inf if options.time_limit is None else options.time_limit
                for better in _improvements(problem, start, rng, self.random_starts, limit, watch):
                    best = better
            except KeyboardInterrupt:
                interrupted, message = True, "Interrupted; this is the best configuration so far."
        status = Status.NO_SOLUTION if best is None else Status.FEASIBLE
        if interrupted:
            status = Status.INTERRUPTED
        return conclude(problem, self.name, watch, configuration=best, status=status, message=message)


def find_incumbent(
    problem: ReconfigurationProblem,
    start: Configuration | None,
    rng: np.random.Generator,
    random_starts: int = 0,
    limit: float = math.inf,
    watch: Stopwatch | None = None,
    share: float = 0.2,
    work: float = math.inf,
) -> Configuration | None:
    """Best configuration of branch exchange from a given start, the normal state, sequential opening and random trees.

    With a cap on operations only starts within the cap are used, since exchanges may not get back under it. The
    configuration returned may violate AC limits when none that respects them was found.

    Parameters
    ----------
    limit
        Seconds on ``watch`` at which it ends.
    share
        It takes this share of them, counted as work: where the limit is not reached the answer does not depend on the
        machine.
    work
        Buses of all sweeps together at which it ends, too.
    """
    best: Configuration | None = None
    for better in _improvements(problem, start, rng, random_starts, limit, watch, share, work):
        best = better
    return best


def _improvements(
    problem: ReconfigurationProblem,
    start: Configuration | None,
    rng: np.random.Generator,
    random_starts: int,
    limit: float,
    watch: Stopwatch | None,
    share: float = math.inf,
    most: float = math.inf,
) -> Iterator[Configuration]:
    """Local optima of rising quality, the best last."""
    search = LocalSearch(problem)
    watch = watch or Stopwatch()
    work = most if math.isinf(limit) else min(most, share * limit * BUSES_PER_SECOND)
    best_merit = np.inf
    for i in range(2 + random_starts + (start is not None)):
        if (watch.elapsed > limit or search.swept >= work) and best_merit < np.inf:
            break
        k = i - (start is not None)
        if k < 0 and start is not None:
            candidate = start
        elif k == 0:
            candidate = radial_start(problem)
        elif k == 1:
            candidate = sequential_opening(problem, seconds=limit - watch.elapsed)
        else:
            candidate = random_start(problem, rng)
        if not problem.admits(candidate):
            continue
        found = search.improve(candidate, seconds=limit - watch.elapsed, buses=work - search.swept)
        if found is not None and found[1] < best_merit:
            best_merit = found[1]
            yield found[0]
