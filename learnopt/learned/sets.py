"""The learned engine on problems with controls or several load situations: classes that no calibration covers.

Nothing is fixed there. What the model has to offer is a start, and the cheap rival is tried beside it: switches and
controls improved in turns, as the MILP starts. Fast mode returns the better of them, or, without controls, what an
exact engine makes of it in some seconds; certified mode proves the full problem from there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from learnopt.engines import Engine, SolveOptions, Stopwatch, conclude, load_engine
from learnopt.engines.base import infeasible
from learnopt.engines.dispatch import settle_from_each_step
from learnopt.engines.exchange import find_incumbent
from learnopt.engines.tree.coverage import tight_obstacles
from learnopt.learned.belief import predict_together
from learnopt.learned.problem_class import ProblemClass
from learnopt.learning.predict import Predictor
from learnopt.network import (
    Certificate,
    Configuration,
    LearnedSummary,
    ReconfigurationProblem,
    Result,
    Settings,
    Status,
)

NAME = "learned"
FAST_MODE = "Fast mode: nothing is proven for the full problem."


def solve_together(
    predictor: Predictor,
    problem: ReconfigurationProblem,
    options: SolveOptions,
    start: Configuration | None,
    fast_nodes: int,
    first_limit: float,
) -> Result:
    """Fast mode (``certify`` absent or none) or certified mode on a problem with controls or several scenarios.

    Parameters
    ----------
    fast_nodes
        Nodes of the tree search in fast mode where the options set no time limit.
    first_limit
        Seconds of the MILP in that case, where nothing admissible is known.
    """
    name = "tree" if not problem.controls and not tight_obstacles(problem) else "milp"
    engine, watch = load_engine(name), Stopwatch()
    if (failure := infeasible(problem, NAME, watch, several_scenarios=True, controls=True)) is not None:
        return failure
    with watch.stage("predict"):
        belief = predict_together(predictor, problem)
    kind = ProblemClass.of(problem, predictor.coverage)
    summary = LearnedSummary(
        checkpoint=predictor.name,
        alpha=None,
        fixed_closed=0,
        fixed_open=0,
        free=int(problem.free.sum()),
        reduced_bound_kw=None,
        novelty=belief.novelty,
        problem_class=kind.name,
    )
    begin = [belief.most_probable] if start is None else [start, belief.most_probable]
    settled = None
    with watch.stage("start"):
        if problem.controls and len(problem.situations) == 1:
            settled = _in_turns(problem, begin, options)
    certified = (options.certify or Certificate.NONE) is not Certificate.NONE
    if settled is not None and not certified:
        answer = conclude(problem, NAME, watch, configuration=settled[0], settings=settled[1], status=Status.FEASIBLE)
        if answer.configuration is not None:
            answer = replace(answer, message=f"{kind.sentence} Switches and controls improved in turns. {FAST_MODE}")
            return replace(answer, learned=summary)
    known = begin[0] if settled is None else settled[0]
    with watch.stage("audit" if certified else "solve"):
        first: Result | None = None
        if not certified and options.time_limit is None:
            if name == "tree":
                options = replace(options, node_limit=min(fast_nodes, options.node_limit or fast_nodes))
            else:
                first = _first_plan(problem, options, known, watch)
                options = replace(options, time_limit=first_limit)
        if first is None or first.configuration is None:
            first = _exact(problem, options, engine, known, watch)
        answer = first
    if not certified and answer.status in (Status.OPTIMAL, Status.FEASIBLE):
        answer = replace(
            answer, status=Status.FEASIBLE, certificate=Certificate.NONE, dual_bound_kw=None, message=FAST_MODE
        )
    times = {"solve_time_s": watch.elapsed, "stage_times_s": dict(watch.stages)}
    message = f"{kind.sentence} {answer.message}".strip()
    return replace(answer, engine=NAME, learned=summary, message=message, **times)  # type: ignore[arg-type]


def _in_turns(
    problem: ReconfigurationProblem, begin: Iterable[Configuration], options: SolveOptions
) -> tuple[Configuration, Settings] | None:
    """Best of switches and controls improved in turns: from where the MILP starts, and from the starts given."""
    plain = problem.applied(None)
    incumbent = find_incumbent(plain, None, np.random.default_rng(options.seed))
    starts = [each for each in (incumbent, *begin) if each is not None and problem.admits(each)]
    found = [settle_from_each_step(problem, each) for each in dict.fromkeys(starts)]
    best = min((each for each in found if each is not None), key=lambda each: each[2], default=None)
    return None if best is None else best[:2]


def _first_plan(
    problem: ReconfigurationProblem, options: SolveOptions, begin: Configuration, watch: Stopwatch
) -> Result | None:
    """Where the MILP of several scenarios would start, improved but not proven; None where nothing is known."""
    if len(problem.situations) == 1:
        return None
    from learnopt.engines.milp.scenarios import first_plan  # needs HiGHS

    plan = first_plan(problem, options, begin)
    if plan is None:
        return None
    settings = plan.settings or None
    found = {"configuration": plan.configurations[0], "settings": settings, "status": Status.FEASIBLE}
    return conclude(problem, NAME, watch, **found)  # type: ignore[arg-type]


def _exact(
    problem: ReconfigurationProblem,
    options: SolveOptions,
    engine: Engine,
    begin: Configuration,
    watch: Stopwatch,
) -> Result:
    """The full problem by an exact engine from a start."""
    left = None if options.time_limit is None else max(options.time_limit - watch.elapsed, 1e-3)
    wanted = options.certify if engine.name == "tree" and options.certify else Certificate.AC
    result = engine.solve(problem, replace(options, certify=wanted, time_limit=left), begin)
    return replace(result, message=f"Audited by {engine.name}: {result.message}")
