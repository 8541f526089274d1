"""A problem solved area by area, and the results added up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from learnopt.engines.base import SolveOptions, Stopwatch, conclude
from learnopt.engines.exchange import radial_start
from learnopt.engines.tree.areas import joined
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Result, Status
from learnopt.network.part import Part

LEAST_TIME = 1e-3
"""Seconds that an area gets at least, however late it is."""


def solve_areas(
    name: str,
    solve: Callable[[ReconfigurationProblem, SolveOptions, Configuration | None, Stopwatch], Result],
    problem: ReconfigurationProblem,
    parts: list[Part],
    options: SolveOptions,
    start: Configuration | None,
    watch: Stopwatch,
) -> Result:
    """The result of the whole from those of its areas: objectives and bounds add up, and so do their gaps.

    Areas share the time and the nodes that are left by their number of switches, the largest last.

    Parameters
    ----------
    name
        Of the engine.
    solve
        One search for an area, which has a radial configuration where the whole has one.
    """
    results: list[Result] = []
    for i, area in enumerate(parts):
        own = options
        share = (1 + area.n_switches) / sum(1 + later.n_switches for later in parts[i:])
        if options.time_limit is not None:
            own = replace(own, time_limit=max((options.time_limit - watch.elapsed) * share, LEAST_TIME))
        if options.node_limit is not None:
            left = options.node_limit - sum(result.nodes for result in results)
            own = replace(own, node_limit=max(int(left * share), 1))
        results.append(solve(area.problem, own, start and area.part_of(start), Stopwatch()))
        for stage, seconds in results[-1].stage_times_s.items():
            watch.stages[stage] = watch.stages.get(stage, 0.0) + seconds
        if results[-1].status in (Status.INFEASIBLE, Status.INTERRUPTED):
            break
    statuses = {result.status for result in results}
    worst = (Status.INFEASIBLE, Status.INTERRUPTED, Status.NO_SOLUTION, Status.FEASIBLE, Status.OPTIMAL)
    status = next(s for s in worst if s in statuses)
    found = [(area, r.configuration) for area, r in zip(parts, results, strict=False) if r.configuration is not None]
    if status is Status.INTERRUPTED:  # what was not reached stays as it is
        late = parts[len(results) :]
        found += [(area, area.part_of(start) if start else radial_start(area.problem)) for area in late]
    configuration = joined(problem.network.n_branch, found) if len(found) == len(parts) else None
    bound = sum((math.nan if r.dual_bound_kw is None else r.dual_bound_kw for r in results), _apart(problem, parts))
    proven = len(results) == len(parts) and not math.isnan(bound)
    certificates = {result.certificate for result in results}
    certificate = Certificate.AC if certificates == {Certificate.AC} else Certificate.MODEL
    messages = list(dict.fromkeys(result.message for result in results if result.status is status))
    return conclude(
        problem,
        name,
        watch,
        configuration=configuration,
        status=status,
        gap=options.gap or 0.0,
        certificate=certificate if proven else Certificate.NONE,
        dual_bound_kw=bound if proven else None,
        message=f"{len(parts)} areas that meet at substations only, solved one by one. " + " ".join(messages),
        nodes=sum(result.nodes for result in results),
    )


def _apart(problem: ReconfigurationProblem, parts: list[Part]) -> float:
    """Switching cost of the branches in no area, all of which are open [kW]."""
    closed = problem.network.normal_configuration.closed.copy()
    for area in parts:
        closed[area.branches] = False
    return problem.switching_cost * float((closed & ~problem.out_of_service).sum())
