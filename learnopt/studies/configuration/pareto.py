"""Least loss for each number of switching operations, every point with its own proof."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from learnopt.engines.base import Engine, SolveOptions, Stopwatch
from learnopt.network import Configuration, ReconfigurationProblem, Result, Status
from learnopt.network.topology import merged_nodes

SAME = 1e-9
"""Relative difference below which two losses are one."""


def pareto_front(
    problem: ReconfigurationProblem, engine: Engine, options: SolveOptions, start: Configuration | None = None
) -> tuple[Result, ...]:
    """Results of rising operations and falling loss, from the fewest operations possible to the optimum.

    The optimum without a cap (or within the problem's own) comes first; then caps rise until its loss is reached. All
    radial configurations close equally many branches, so every second cap is out of reach. The bound of a point holds
    for all configurations with at most its operations. The switching cost of the problem is left out: the front shows
    what it would weigh.

    Parameters
    ----------
    options
        The time limit is that of the whole front; points that it cuts short carry the gap they reached.

    Returns
    -------
    Results with a configuration, empty where none was found. A point is left out where a cheaper one loses no more.
    Where fewer operations may be possible and no configuration was found, the message of the next point says so.
    """
    problem = problem.replace(switching_cost=0.0)
    watch = Stopwatch()

    def solve(cap: int | None, known: Configuration | None) -> Result:
        left = None if options.time_limit is None else max(options.time_limit - watch.elapsed, 1e-3)
        return engine.solve(problem.replace(max_operations=cap), replace(options, time_limit=left), known)

    best = solve(problem.max_operations, start)
    if best.configuration is None:
        return ()
    front: list[Result] = []
    known, missing = None, ""
    for cap in range(_fewest(problem), problem.operations(best.configuration), 2):
        point = solve(cap, known)
        if point.configuration is None or point.loss_kw is None or best.loss_kw is None:
            if point.status is not Status.INFEASIBLE:  # there may be a point that was not found
                missing += f" With {cap} operations: {point.message}"
            continue
        known = point.configuration
        if front and not point.loss_kw < (front[-1].loss_kw or 0.0) * (1 - SAME):
            continue
        front.append(replace(point, message=point.message + missing))
        missing = ""
        if point.loss_kw <= best.loss_kw * (1 + SAME):
            return tuple(front)
    return (*front, replace(best, message=best.message + missing))


def falling_front(
    problem: ReconfigurationProblem, engine: Engine, options: SolveOptions, best: Result, elapsed_s: float = 0.0
) -> tuple[Result, ...]:
    """The same from the optimum down, each point with fewer operations than the one before: no parity is assumed.

    For states that close different numbers of branches, as in all phases of an unbalanced file.

    Parameters
    ----------
    problem
        With the limits in force and without switching cost.
    engine, options
        As of :func:`pareto_front`.
    best
        Result without a cap, or within the problem's own.
    elapsed_s
        What of the time limit is gone.
    """
    watch, front, point = Stopwatch(), [best], best
    while point.configuration is not None and (cap := problem.operations(point.configuration) - 1) >= 0:
        gone = elapsed_s + watch.elapsed
        left = None if options.time_limit is None else max(options.time_limit - gone, 1e-3)
        point = engine.solve(problem.replace(max_operations=cap), replace(options, time_limit=left))
        if point.configuration is None or point.loss_kw is None:
            if point.status is not Status.INFEASIBLE:  # there may be a point that was not found
                front[-1] = replace(front[-1], message=f"{front[-1].message} With {cap} operations: {point.message}")
            break
        if point.loss_kw <= (front[-1].loss_kw or 0.0) * (1 + SAME):
            front.pop()  # as little loss, with fewer operations
        front.append(point)
    return tuple(reversed(front))


def _fewest(problem: ReconfigurationProblem) -> int:
    """Lower bound of the operations of any radial configuration, of the same parity."""
    net = problem.network
    closed_now = np.count_nonzero(net.normal_configuration.closed & ~problem.out_of_service)
    return abs(int(merged_nodes(net).max()) - int(closed_now))
