"""One decision for several scenarios by the MILP: scenarios are tied periods (:mod:`learnopt.formulations.periods`).

Here and now, the same in all scenarios: switches, capacitor steps, tap positions, generators on or off. Recourse, set
in each scenario for itself: injections of generators and continuous taps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from learnopt.engines.base import SolveOptions, Stopwatch, conclude
from learnopt.engines.dispatch import settle_from_each_step
from learnopt.engines.exchange import find_incumbent
from learnopt.engines.milp import highs
from learnopt.engines.milp.coupled import TIED, Coupled, Plan, follow
from learnopt.engines.milp.engine import DEFAULT_GAP
from learnopt.engines.milp.outer_approximation import Effort
from learnopt.engines.milp.periods import solve_periods
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.network import Certificate, Configuration, HorizonProblem, ReconfigurationProblem, Result, Settings

LEAST_WEIGHT = 1e-12
"""Weight of a scenario that has none: its limits count, its loss does not."""
START_SHARE, START_NODES = 0.2, 20_000
"""Share of the time limit for a start, and nodes of the tree search for it."""


def as_horizon(problem: ReconfigurationProblem, counting: bool = False) -> HorizonProblem:
    """The scenarios as periods, their weights as durations.

    Parameters
    ----------
    counting
        Leave out scenarios without weight where their loss is all that bounds their currents: a relaxation, since
        nothing is lost but that they must have a power flow, which the judge sees to.
    """
    weights = problem.weights
    kept = np.flatnonzero((weights > 0) | problem.worst_case | (problem.vm_min > 0).any() | (not counting))
    return HorizonProblem(
        problem.network,
        tuple(problem.members[k].scenario for k in kept),
        np.maximum(weights[kept], LEAST_WEIGHT),
        problem.limits,
        problem.charging,
        problem.switching_cost,
        problem.max_operations,
        controls=problem.controls,
    )


def solve_scenarios(
    problem: ReconfigurationProblem,
    options: SolveOptions,
    start: Configuration | None = None,
    effort: Effort | None = None,
    watch: Stopwatch | None = None,
) -> Result:
    """Least weighted mean, or largest, loss of several scenarios, with an AC certificate."""
    effort, watch = effort or Effort(), watch or Stopwatch()
    coupled = Coupled(as_horizon(problem, counting=True), tied=True, worst=problem.worst_case)
    with watch.stage("incumbent"):
        starts = list(_starts(problem, options, start, effort))
        n = coupled.horizon.n_steps
        if n < len(problem.members):
            shorter = (Plan(plan.configurations[:n], plan.settings[:1] * n) for plan in starts)
            starts = [follow(coupled.horizon, plan, TIED) if plan.settings else plan for plan in shorter]
        best = min(starts, key=coupled.objective, default=None)
    left = None if options.time_limit is None else max(options.time_limit - watch.elapsed, 1e-3)
    options = SolveOptions(gap=options.gap, time_limit=left, seed=options.seed)
    with watch.stage("milp"):
        found = solve_periods(coupled, options, best, effort=effort)
    plan = found.plan
    if plan is not None and problem.controls and n < len(problem.members):
        plan = with_recourse(problem, plan.configurations[0], plan.settings[0])
    recourse = ""
    if problem.controls:
        recourse = " Positions, steps and on or off are one decision for all scenarios; injections and continuous taps "
        recourse += "follow each."
    return conclude(
        problem,
        "milp",
        watch,
        configuration=None if plan is None else plan.configurations[0],
        status=found.status,
        gap=DEFAULT_GAP if options.gap is None else options.gap,
        certificate=Certificate.AC,
        dual_bound_kw=found.bound_kwh if found.proven and plan is not None else None,
        message=found.message + recourse,
        nodes=found.nodes,
        engine_version=f"HiGHS {highs.VERSION}",
        settings=None if plan is None else plan.settings,
    )


def first_plan(
    problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
) -> Plan | None:
    """The best plan that a solve would start from, without any proof; None where none respects the limits."""
    coupled = Coupled(as_horizon(problem), tied=True, worst=problem.worst_case)
    best = min(_starts(problem, options, start, Effort()), key=coupled.objective, default=None)
    return None if best is None or math.isinf(coupled.objective(best)) else best


def with_recourse(problem: ReconfigurationProblem, configuration: Configuration, settings: Settings | None) -> Plan:
    """A configuration with the discrete part of settings in every scenario, and the rest settled for each."""
    n = len(problem.members)
    plan = Plan((configuration,) * n, () if settings is None else (settings,) * n)
    return follow(as_horizon(problem), plan, TIED)


def _starts(
    problem: ReconfigurationProblem,
    options: SolveOptions,
    start: Configuration | None,
    effort: Effort,
) -> Iterator[Plan]:
    """Plans of good configurations: of the mean loads, and of the tree search with the controls held."""
    rng = np.random.default_rng(options.seed)
    limit = math.inf if options.time_limit is None else options.time_limit
    found = find_incumbent(problem.mean, start, rng, effort.random_starts, limit, share=START_SHARE)
    settings: Settings | None = None
    if problem.controls and found is not None:
        settled = settle_from_each_step(problem.mean, found)
        if settled is not None:
            found, settings, _ = settled
    settings = settings if settings is not None or not problem.controls else problem.controls.neutral
    search = SolveOptions(
        certify=Certificate.MODEL,
        time_limit=None if options.time_limit is None else START_SHARE * options.time_limit,
        node_limit=START_NODES,
        seed=options.seed,
    )
    together = TreeSearchEngine().solve(problem.applied(settings), search, found).configuration
    for configuration in dict.fromkeys(c for c in (found, together, start) if c is not None):
        yield with_recourse(problem, configuration, settings)
