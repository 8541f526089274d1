"""What is made of the rounds: the result of a problem, and what is known of the periods of a horizon."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from learnopt.engines.base import SolveOptions, Stopwatch, conclude
from learnopt.engines.milp.coupled import Coupled, Plan, with_recourse
from learnopt.engines.milp.incumbent import Incumbent
from learnopt.engines.milp.model import JointModel
from learnopt.engines.milp.rounds import Build, Effort, Rounds
from learnopt.engines.milp.starts import offer_starts
from learnopt.network import Certificate, Configuration, Floats, ReconfigurationProblem, Result, Status
from learnopt.network.loop_reduction import refuse_fixed_loops

DEFAULT_GAP = 1e-4
SMALLEST_GAP = 1e-6
"""What the tolerances of the linear solver allow to prove; a smaller gap asked for counts as this one."""


def searching(
    problem: ReconfigurationProblem, engine: str, gap: float, options: SolveOptions, watch: Stopwatch
) -> Incumbent:
    """What is known of a problem before the first round: nothing."""
    return Incumbent(Coupled.of(problem), engine, gap, options, watch)


def solve_by_rounds(
    problem: ReconfigurationProblem,
    search: Incumbent,
    build: Build,
    effort: Effort,
    start: Configuration | None,
    version: str,
    look_around: Callable[[Incumbent], None] | None = None,
) -> Result:
    """Result of an engine that works by outer approximation; Ctrl-C returns what is known.

    Parameters
    ----------
    search
        As of :func:`searching`; where it has a plan no other one is looked for before the first round.
    build
        Makes the relaxation.
    version
        Solver and version for the result.
    look_around
        As of :class:`~learnopt.engines.milp.rounds.Rounds`.
    """
    try:
        if search.plan is None:
            with search.watch.stage("incumbent"):
                offer_starts(search, start, effort.random_starts)
        status, message = Rounds(search, effort, build, look_around=look_around).run()
    except KeyboardInterrupt:
        status, message = Status.INTERRUPTED, "Interrupted; this is the best configuration so far."
    return concluded(problem, search, status, message, version)


def concluded(problem: ReconfigurationProblem, search: Incumbent, status: Status, message: str, version: str) -> Result:
    """The result of a problem from what is known at the end."""
    plan, n = search.plan, len(problem.situations)
    if plan is not None and plan.settings and len(plan.settings) < n:  # situations without weight were left out
        plan = with_recourse(problem, plan.configurations[0], plan.settings[0])
    if problem.controls and n > 1:
        message += " Positions, steps and on or off are one decision for all scenarios; injections and continuous taps "
        message += "follow each."
    return conclude(
        problem,
        search.engine,
        search.watch,
        configuration=None if plan is None else plan.configurations[0],
        status=status,
        gap=search.asked,
        certificate=Certificate.AC,
        dual_bound_kw=search.bound if status is not Status.INFEASIBLE else None,
        message=message,
        nodes=search.nodes,
        engine_version=version,
        settings=None if plan is None else plan.settings,
        curve=search.curve.points,
    )


@dataclass
class PeriodsResult:
    """What is known of periods: the best plan with its objective, and a proven bound [kWh].

    ``proven``: the bound is one, every constant of the model was proven. ``found``: the plans within all limits.
    """

    status: Status = Status.NO_SOLUTION
    message: str = ""
    plan: Plan | None = None
    objective_kwh: float = math.inf
    bound_kwh: float = -math.inf
    proven: bool = True
    nodes: int = 0
    found: list[Plan] = field(default_factory=list)


def solve_periods(
    coupled: Coupled,
    options: SolveOptions,
    start: Plan | None = None,
    step_bounds_kw: Floats | None = None,
    effort: Effort | None = None,
) -> PeriodsResult:
    """Solve periods as one model.

    Parameters
    ----------
    start
        A plan to be beaten, of any quality; one that breaks a rule is ignored.
    step_bounds_kw
        Proven bounds of the loss of each period alone [kW], shape (n_period,); 0 where NaN or absent.
    """
    refuse_fixed_loops(coupled.steps[0], "one model of several periods", {"controls": None})
    gap = DEFAULT_GAP if options.gap is None else max(options.gap, SMALLEST_GAP)
    search = Incumbent(coupled, "milp", gap, options, Stopwatch())
    rounds = Rounds(search, effort or Effort(), JointModel, step_bounds_kw)
    if reasons := coupled.steps[0].contradictions:
        return PeriodsResult(Status.INFEASIBLE, "No radial configuration exists: " + "; ".join(reasons))
    try:
        search.offer(start)
        status, message = rounds.run()
    except KeyboardInterrupt:
        status, message = Status.INTERRUPTED, "Interrupted; this is the best plan so far."
    bound = min(search.bound, search.objective)
    return PeriodsResult(
        status, message, search.plan, search.objective, bound, rounds.proven, search.nodes, search.found
    )
