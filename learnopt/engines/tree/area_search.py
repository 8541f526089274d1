"""A problem solved area by area, and the results added up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from learnopt.engines.base import Progress, SolveOptions, Stopwatch, conclude
from learnopt.engines.exchange import radial_start
from learnopt.engines.gap_curve import GapCurve
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
    curve = GapCurve(name, watch, options.progress)
    apart = _apart(problem, parts)
    for i, area in enumerate(parts):
        own = replace(options, progress=_heard(curve, results, apart, last=i == len(parts) - 1))
        share = (1 + area.n_switches) / sum(1 + later.n_switches for later in parts[i:])
        if options.time_limit is not None:
            own = replace(own, time_limit=max((options.time_limit - watch.elapsed) * share, LEAST_TIME))
        if (patience := options.patience) is not None:
            left_s = max(patience.seconds - watch.elapsed, 0.0)
            own = replace(own, patience=replace(patience, seconds=left_s * share))
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
    bound = sum((math.nan if r.dual_bound_kw is None else r.dual_bound_kw for r in results), apart)
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
        curve=curve.points,
    )


def _heard(curve: GapCurve, before: list[Result], apart: float, last: bool) -> Callable[[Progress], None]:
    """Takes what an area tells into the curve of the whole [kW]: areas that were not looked at lose at least nothing.

    ``before``: results of the areas before it. Only with the ``last`` area is a configuration of the whole known.
    """

    def heard(known: Progress) -> None:
        values, bounds = [result.objective_kw for result in before], [result.dual_bound_kw for result in before]
        whole = [*values, known.incumbent_kw] if last else [None]
        objective = None if None in whole else apart + sum(value or 0.0 for value in whole)
        bound = None if None in bounds else apart + sum(value or 0.0 for value in (*bounds, known.bound_kw))
        curve.add(objective, bound, known.nodes + sum(result.nodes for result in before))

    return heard


def _apart(problem: ReconfigurationProblem, parts: list[Part]) -> float:
    """Switching cost of the branches in no area, all of which are open [kW]."""
    closed = problem.network.normal_configuration.closed.copy()
    for area in parts:
        closed[area.branches] = False
    return problem.switching_cost * float((closed & ~problem.out_of_service).sum())
