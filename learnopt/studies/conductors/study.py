"""The six scenarios of conductor selection and reconfiguration: alone, in sequence, together.

Gallego Pareja, Lopez-Lezama, Gomez Carmona (2023), Energies 16(19), 6998: base, only conductors (``ocs``), only
reconfiguration (``odnr``), both sequences, both at once (``joint``). The base is what is there, limits or not. A
sequence keeps what its first step decided. Every step starts from the best plans known, so that in total cost

    joint <= each sequence <= its own first step,    first step <= base where the base respects the limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.base import Stopwatch
from learnopt.io.cases import load_case
from learnopt.io.conductors import read_conductors
from learnopt.network import Configuration, Ints, ReconfigurationProblem, Status
from learnopt.network.conductors import ConductorPlan, ConductorProblem, Mode
from learnopt.studies.conductors.engine import DEFAULT_GAP, ConductorResult, assess, locked, solve_plan
from learnopt.studies.conductors.substitution import substitute
from learnopt.studies.configuration.explain import explain_infeasibility
from learnopt.wording import counted

FIRST_STEP: Mapping[Mode, Mode] = {Mode.ODNR_OCS: Mode.ODNR, Mode.OCS_ODNR: Mode.OCS}
"""What a sequence begins with."""


def run_study(
    problem: ConductorProblem,
    modes: tuple[Mode, ...] = tuple(Mode),
    *,
    gap: float = DEFAULT_GAP,
    time_limit: float = math.inf,
    progress: Callable[[Mode], None] = lambda mode: None,
) -> dict[Mode, ConductorResult]:
    """Results of the scenarios asked for, first steps included, in the order of :class:`Mode`.

    Parameters
    ----------
    time_limit
        Seconds for each optimisation.
    """
    needed = {*modes, *(FIRST_STEP[mode] for mode in modes if mode in FIRST_STEP)}
    results: dict[Mode, ConductorResult] = {}
    for mode in Mode:
        if mode not in needed:
            continue
        progress(mode)
        if mode is Mode.BASE:
            results[mode] = _as_built(problem)
            continue
        first = results.get(FIRST_STEP[mode]) if mode in FIRST_STEP else None
        if first is not None and first.plan is None:
            message = f"There is nothing to go on with: the first step ({FIRST_STEP[mode]}) found no plan."
            results[mode] = _without_plan(Status.NO_SOLUTION, message)
            continue
        start = problem.installed_plan if first is None or first.plan is None else first.plan
        if mode in (Mode.OCS, Mode.ODNR_OCS):
            step = with_configuration(problem, start.configuration)
            result = solve_plan(step, gap=gap, time_limit=time_limit, starts=(start,))
        elif mode in (Mode.ODNR, Mode.OCS_ODNR):
            step = with_conductors(problem, start.conductor)
            result = _reconfigure(step, start, gap, time_limit)
        else:
            step = problem
            known = sorted((r for r in results.values() if r.plan is not None), key=lambda r: r.total_cost or math.inf)
            starts = tuple(r.plan for r in known if r.plan is not None)[:2]
            result = solve_plan(problem, gap=gap, time_limit=time_limit, starts=starts)
        if result.plan is None and result.status is not Status.INTERRUPTED:
            result = replace(result, message=" ".join([result.message, *why_not(step)]))
        results[mode] = result
    return results


def warm_up() -> None:
    """Compile what planning needs, so that times of results do not contain it."""
    catalogue, prices = read_conductors()
    network = load_case("case33")
    feeder = ReconfigurationProblem.of(network)
    solve_plan(with_configuration(substitute(feeder, catalogue, prices), network.normal_configuration))


def with_configuration(problem: ConductorProblem, configuration: Configuration) -> ConductorProblem:
    """The problem with every switch locked: conductors only."""
    return problem.replace(feeder=locked(problem.feeder, configuration))


def with_conductors(problem: ConductorProblem, conductor: Ints) -> ConductorProblem:
    """The problem with one conductor allowed on each branch: reconfiguration only."""
    return problem.replace(allowed=np.arange(len(problem.catalogue)) == conductor[:, None], budget=None)


def why_not(problem: ConductorProblem) -> list[str]:
    """Sentences that say which limit cannot be met."""
    least, budget, currency = float(problem.least_investment.sum()), problem.budget, problem.costs.currency
    if budget is not None and least > budget:
        return [f"The cheapest conductors cost {least:.2f} {currency} a year, the budget is {budget:.2f}."]
    thickest = problem.options.shape[1] - 1 - problem.options[:, ::-1].argmax(axis=1)
    best = problem.equipped(np.where(problem.routed, thickest, -1))
    sentences = explain_infeasibility(best)
    heading = "With the thickest conductor allowed on every branch:"
    rest = [] if budget is None else [f"The budget of {budget:.2f} {currency} a year does not pay for what is needed."]
    return [heading, *sentences, *rest] if sentences else rest


def _as_built(problem: ConductorProblem) -> ConductorResult:
    """The base: judged, not optimised, whatever limits it breaks."""
    watch = Stopwatch()
    plan = problem.installed_plan
    evaluation, reasons = assess(problem, plan)
    if not evaluation.converged:
        return _without_plan(Status.NO_SOLUTION, "The base: " + "; ".join(reasons))
    investment = problem.investment_cost(plan.conductor)
    energy = problem.costs.per_kw * evaluation.loss_kw
    broken = f" It breaks {counted(len(reasons), 'limit')}: {'; '.join(reasons[:3])}." if reasons else ""
    total = investment + energy
    return ConductorResult(
        Status.FEASIBLE, plan, evaluation, total, investment, energy, total, f"As built.{broken}",
        solve_time_s=watch.elapsed,
    )  # fmt: skip


def _reconfigure(problem: ConductorProblem, start: ConductorPlan, gap: float, time_limit: float) -> ConductorResult:
    """Least loss with given conductors, by the engine for reconfiguration; by that for plans where thickness counts."""
    if problem.no_thicker_downstream:
        return solve_plan(problem, gap=gap, time_limit=time_limit, starts=(start,))
    feeder = problem.equipped(start.conductor)
    options = SolveOptions(gap=gap, time_limit=None if math.isinf(time_limit) else time_limit)
    found = load_engine("milp").solve(feeder, options, start.configuration)
    investment, per_kw = problem.investment_cost(start.conductor), problem.costs.per_kw
    bound = None if found.dual_bound_kw is None else investment + per_kw * found.dual_bound_kw
    if found.configuration is None or found.loss_kw is None:
        return replace(_without_plan(found.status, found.message), dual_bound=bound, solve_time_s=found.solve_time_s)
    energy = per_kw * found.loss_kw
    return ConductorResult(
        status=found.status,
        plan=ConductorPlan(found.configuration, start.conductor),
        evaluation=found.evaluation,
        total_cost=investment + energy,
        investment_cost=investment,
        energy_cost=energy,
        dual_bound=bound,
        message=found.message,
        nodes=found.nodes,
        solve_time_s=found.solve_time_s,
        stage_times_s=dict(found.stage_times_s),
    )


def _without_plan(status: Status, message: str) -> ConductorResult:
    return ConductorResult(status, None, None, None, None, None, None, message)
