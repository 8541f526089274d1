"""What every engine takes and gives, and the one door through which configurations leave an engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import learnopt
from learnopt.engines.clock import Stopwatch
from learnopt.errors import DataError, UnsupportedError
from learnopt.network import Certificate, Configuration, Evaluation, ReconfigurationProblem, Result, Settings, Status
from learnopt.physics import evaluate

__all__ = ["Engine", "Progress", "SolveOptions", "Stopwatch", "conclude", "infeasible"]


@dataclass(frozen=True)
class Progress:
    """What a solve under way knows.

    Parameters
    ----------
    engine
        Name of the engine.
    elapsed_s
        Seconds since its start.
    incumbent_kw
        Objective of the best configuration so far; None before there is one.
    bound_kw
        Proven lower bound of the objective of every configuration; None before there is one.
    gap
        Relative distance of the two, as in the result; None while one is missing.
    nodes
        Branch-and-bound nodes so far.
    """

    engine: str
    elapsed_s: float
    incumbent_kw: float | None = None
    bound_kw: float | None = None
    gap: float | None = None
    nodes: int = 0


@dataclass(frozen=True)
class SolveOptions:
    """How hard to try and what to prove.

    Parameters
    ----------
    certify
        Certificate asked for; None = the engine's own default.
    gap
        Relative gap at which to stop, |objective - bound| / |objective|; None = the engine's own default.
    time_limit
        Seconds without compiling; None = no limit. The best configuration found is returned.
    seed
        For engines that randomise.
    threads
        Threads of the tree search; the answer and its proof are the same for any number. Other engines use one.
    progress
        Called while solving whenever an engine that reports has a better configuration or bound; it must be quick. What
        it raises ends the solve; KeyboardInterrupt ends it as Ctrl-C does, with what is known.
    """

    certify: Certificate | None = None
    gap: float | None = None
    time_limit: float | None = None
    seed: int = 0
    threads: int = 1
    progress: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.gap is not None and not (math.isfinite(self.gap) and self.gap >= 0):
            problems.append(f"gap = {self.gap} must be a finite number >= 0")
        if self.time_limit is not None and not self.time_limit > 0:
            problems.append(f"time_limit = {self.time_limit} must be > 0 [s]")
        if self.threads < 1:
            problems.append(f"threads = {self.threads} must be >= 1")
        if problems:
            raise DataError("options", problems)


class Engine(Protocol):
    """A method that solves reconfiguration problems.

    ``solve`` never raises on a limit or on infeasibility: these are statuses of the result. ``start`` may improve
    speed, never correctness; a start that is not admissible is ignored.
    """

    name: str

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Solve a problem."""
        ...


def conclude(
    problem: ReconfigurationProblem,
    engine: str,
    watch: Stopwatch,
    *,
    configuration: Configuration | None,
    status: Status,
    certificate: Certificate = Certificate.NONE,
    dual_bound_kw: float | None = None,
    message: str = "",
    nodes: int = 0,
    engine_version: str = learnopt.__version__,
    settings: Settings | Sequence[Settings] | None = None,
    judged: Evaluation | None = None,
) -> Result:
    """Result of a solve, with the configuration evaluated by the independent judge.

    ``judged`` is what the judge said of this problem and configuration where the engine has asked it before.

    A configuration that the judge does not accept (not admissible, no power flow, a limit violated) is not returned as
    an answer: the status becomes ``no_solution`` and the message says why. A bound above the judged objective can only
    be rounding, and is lowered to it; one below zero is raised to it, since no loss and no switching cost is negative.
    """
    evaluation, objective = None, None
    if configuration is not None:
        with watch.stage("judge"):
            evaluation = judged or evaluate(problem.applied(settings), configuration)
        reasons = [*problem.faults(configuration, settings), *evaluation.violations]
        if reasons:
            more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
            message = " ".join(
                [message, "The best configuration found is not feasible:", "; ".join(reasons[:3]) + more]
            )
            configuration, evaluation = None, None
            status = Status.NO_SOLUTION
        else:
            objective = evaluation.loss_kw + problem.switching_cost * problem.operations(configuration)
            if dual_bound_kw is not None:
                dual_bound_kw = min(dual_bound_kw, objective)
    each: tuple[Settings, ...] = ()
    if configuration is not None and problem.controls and settings is not None:
        each = (settings,) if isinstance(settings, Settings) else tuple(settings)
    if dual_bound_kw is None or not math.isfinite(dual_bound_kw):
        dual_bound_kw, certificate = None, Certificate.NONE
    else:
        dual_bound_kw = max(dual_bound_kw, 0.0)
    return Result(
        status=status,
        engine=engine,
        engine_version=engine_version,
        certificate=certificate,
        configuration=configuration,
        evaluation=evaluation,
        objective_kw=objective,
        dual_bound_kw=dual_bound_kw,
        message=message.strip(),
        nodes=nodes,
        solve_time_s=watch.elapsed,
        stage_times_s=dict(watch.stages),
        settings=each[0] if each else None,
        scenario_settings=each if problem.scenarios is not None else (),
    )


def infeasible(
    problem: ReconfigurationProblem,
    engine: str,
    watch: Stopwatch,
    several_scenarios: bool = False,
    controls: bool = False,
) -> Result | None:
    """The result for a problem whose locks and outages leave no radial configuration; None when they leave one.

    Raises
    ------
    UnsupportedError
        If the problem has several scenarios or controls and the engine does not say that it serves them.
    """
    if problem.controls and problem.scenarios is not None and not (controls and several_scenarios):
        raise UnsupportedError(
            f"engine {engine!r} does not set controls for several scenarios, the problem has {len(problem.members)}: "
            "use --engine milp"
        )
    if problem.controls and not controls:
        raise UnsupportedError(f"engine {engine!r} sets switches only, the problem has controls: use --engine milp")
    if problem.scenarios is not None and not several_scenarios:
        raise UnsupportedError(
            f"engine {engine!r} takes one scenario, the problem has {len(problem.members)}: use --engine tree or milp"
        )
    if not problem.contradictions:
        return None
    message = "No radial configuration exists: " + "; ".join(problem.contradictions)
    return conclude(problem, engine, watch, configuration=None, status=Status.INFEASIBLE, message=message)
