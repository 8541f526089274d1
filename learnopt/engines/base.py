"""What every engine takes and gives, and the one door through which configurations leave an engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from learnopt._version import __version__
from learnopt.engines.clock import Stopwatch
from learnopt.errors import DataError, UnsupportedError
from learnopt.network import (
    Certificate,
    Configuration,
    Evaluation,
    GapPoint,
    ReconfigurationProblem,
    Result,
    Settings,
    Status,
)
from learnopt.network.loop_reduction import refuse_fixed_loops
from learnopt.physics import evaluate, other_solution, power_flow

AGREEMENT = 1e-6
"""Largest relative difference between the judge's loss and that of the engines' own power flow, for one configuration.

A gap asked for that is smaller counts as this one: nothing finer is known of an answer."""
PICOWATT = 1e-15
"""What counts as nothing [kW], whatever the load."""
ROUNDING = 1e-8
"""Slack of a reported gap over the gap asked for: engines stop at it, in losses of their own power flow."""
SERVED_LOOPED: Mapping[str, object] = {"engine": ("enumerate", "tree", "exchange"), "controls": None}
"""Options of a problem whose states keep loops closed."""

__all__ = ["Engine", "Patience", "Progress", "SolveOptions", "Stopwatch", "conclude", "infeasible"]


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
    curve
        What was known before, in the order of time.
    """

    engine: str
    elapsed_s: float
    incumbent_kw: float | None = None
    bound_kw: float | None = None
    gap: float | None = None
    nodes: int = 0
    curve: tuple[GapPoint, ...] = ()


@dataclass(frozen=True)
class Patience:
    """When a solve is content with less than was asked for: for people who wait and have set no limit.

    Parameters
    ----------
    seconds
        From then on, without compiling,
    gap
        it ends as soon as this relative gap is proven. Its status says ``optimal`` only if that is what was asked for.
    """

    seconds: float = 60.0
    gap: float = 0.005

    def __post_init__(self) -> None:
        if not (self.seconds >= 0 and 0 < self.gap < 1):
            raise DataError("options", [f"patience = {self} must have seconds >= 0 and a gap between 0 and 1"])

    @staticmethod
    def told(gap: float, seconds: float) -> str:
        """What was proven after how many seconds, and how to go on, in a sentence."""
        return (
            f"Content with a gap of {100 * gap:.2g} % after {seconds:.0f} s, as neither a gap nor a limit was set. "
            "To go on, ask for a gap (0 = the optimum), or set a time limit and get the best bound by then."
        )


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
    node_limit
        Nodes of branch and bound (of the enumeration: configurations); None = no limit. Unlike with a time limit the
        answer is the same on every machine. Engines that do not branch have none.
    seed
        For engines that randomise.
    threads
        Threads of the tree search; the answer and its proof are the same for any number. Other engines use one.
    patience
        When to be content with less than ``gap``; None = never. Of tree search and MILP.
    progress
        Called while solving whenever an engine that reports has a better configuration or bound; it must be quick. What
        it raises ends the solve; KeyboardInterrupt ends it as Ctrl-C does, with what is known.
    """

    certify: Certificate | None = None
    gap: float | None = None
    time_limit: float | None = None
    node_limit: int | None = None
    seed: int = 0
    threads: int = 1
    patience: Patience | None = None
    progress: Callable[[Progress], None] | None = None

    @property
    def unlimited(self) -> bool:
        """Neither a gap nor a limit is set: the solve goes on to the engine's own gap, however long that takes."""
        return self.gap is None and self.time_limit is None and self.node_limit is None

    def __post_init__(self) -> None:
        problems = []
        if self.gap is not None and not (math.isfinite(self.gap) and self.gap >= 0):
            problems.append(f"gap = {self.gap} must be a finite number >= 0")
        if self.time_limit is not None and not self.time_limit > 0:
            problems.append(f"time_limit = {self.time_limit} must be > 0 [s]")
        if self.node_limit is not None and self.node_limit < 1:
            problems.append(f"node_limit = {self.node_limit} must be >= 1")
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
    gap: float = 0.0,
    certificate: Certificate = Certificate.NONE,
    dual_bound_kw: float | None = None,
    message: str = "",
    nodes: int = 0,
    engine_version: str = __version__,
    settings: Settings | Sequence[Settings] | None = None,
    judged: Evaluation | None = None,
    objective: Callable[[Evaluation], float] | None = None,
    in_phases: bool = False,
    curve: Sequence[GapPoint] = (),
) -> Result:
    """Result of a solve, with the configuration evaluated by the independent judge.

    A configuration that the judge does not accept (not admissible, no power flow, a limit violated) is not returned as
    an answer: the status becomes ``no_solution`` and the message says why. A bound above the judged objective can only
    be rounding, and is lowered to it; one below zero is raised to it, since no loss and no switching cost is negative.

    ``optimal`` is said here only: where the objective as judged lies within the gap asked for of the bound. Nothing is
    proven where the judge and the engines' own power flow find different losses for the configuration (by more than
    :data:`AGREEMENT`), or where an AC bound lies above the AC objective of an admissible configuration.

    Parameters
    ----------
    gap
        Relative gap asked for; what counts for ``optimal``.
    dual_bound_kw
        Lower bound [kW]; ``inf`` where the configuration is the only one.
    judged
        What the judge said of this problem and configuration where the engine has asked it before.
    objective
        What is minimised [kW], where it is not the loss plus the switching cost.
    in_phases
        ``judged`` is a power flow of all phases, which no power flow of the balanced equivalent can confirm.
    curve
        What was known on the way; its bounds are left out where nothing is proven in the end.
    """
    evaluation, value, said = None, None, [message]
    if configuration is not None:
        with watch.stage("judge"):
            evaluation = judged or evaluate(problem.applied(settings), configuration)
        reasons = [*problem.faults(configuration, settings), *evaluation.violations]
        if reasons:
            more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
            said += ["The best configuration found is not feasible:", "; ".join(reasons[:3]) + more]
            configuration, evaluation = None, None
            status = Status.NO_SOLUTION
        else:
            switching = problem.switching_cost * problem.operations(configuration)
            value = evaluation.loss_kw + switching if objective is None else objective(evaluation)
            doubt = ""
            if not in_phases:
                said.append(other_solution(problem.applied(settings), configuration, evaluation))
                doubt = disagreement(problem.applied(settings), configuration, evaluation)
            if dual_bound_kw is not None:
                far = certificate is Certificate.AC and dual_bound_kw > value + _rounding_kw(problem, value)
                if not doubt and far and math.isfinite(dual_bound_kw):
                    doubt = f"its bound of {dual_bound_kw:.7g} kW lies above the objective of {value:.7g} kW"
                dual_bound_kw = min(dual_bound_kw, value)
            if doubt:
                said.append(f"Nothing is proven: {doubt}.")
                dual_bound_kw = None
    each: tuple[Settings, ...] = ()
    if configuration is not None and problem.controls and settings is not None:
        each = (settings,) * len(problem.members) if isinstance(settings, Settings) else tuple(settings)
    if dual_bound_kw is None or not math.isfinite(dual_bound_kw) or certificate is Certificate.NONE:
        dual_bound_kw, certificate = None, Certificate.NONE
    else:
        dual_bound_kw = max(dual_bound_kw, 0.0)
    if status is Status.OPTIMAL and not reached(problem, value, dual_bound_kw, gap):
        status = Status.FEASIBLE
        if value is not None and dual_bound_kw is not None:
            left = (value - dual_bound_kw) / abs(value)
            said.append(f"The gap is {left:.3g} as judged, above the {max(gap, AGREEMENT):g} asked for.")
    return Result(
        status=status,
        engine=engine,
        engine_version=engine_version,
        certificate=certificate,
        configuration=configuration,
        evaluation=evaluation,
        objective_kw=value,
        dual_bound_kw=dual_bound_kw,
        message=" ".join(filter(None, said)).strip(),
        nodes=nodes,
        solve_time_s=watch.elapsed,
        stage_times_s=dict(watch.stages),
        settings=each,
        gap_curve=tuple(curve) if dual_bound_kw is not None else without_bounds(curve),
    )


def without_bounds(curve: Sequence[GapPoint]) -> tuple[GapPoint, ...]:
    """The same, where bounds have lost their meaning: the points at which the objective fell."""
    kept: list[GapPoint] = []
    for point in curve:
        if not kept or point.objective_kw != kept[-1].objective_kw:
            kept.append(replace(point, bound_kw=None, gap=None))
    return tuple(kept)


def reached(problem: ReconfigurationProblem, value_kw: float | None, bound_kw: float | None, gap: float) -> bool:
    """The gap between an objective, as judged, and a bound is at most the gap asked for."""
    if value_kw is None or bound_kw is None:
        return False
    allowed = (gap + ROUNDING) * abs(value_kw)
    return value_kw - bound_kw <= max(allowed, _rounding_kw(problem, value_kw))


def _rounding_kw(problem: ReconfigurationProblem, value_kw: float) -> float:
    """What two power flows may differ by in an objective [kW]; a loss of nothing is known to digits of the load."""
    load = float(sum(abs(member.p).sum() + abs(member.q).sum() for member in problem.members))
    return AGREEMENT * abs(value_kw) + 1e-12 * load * problem.network.base.kw + PICOWATT


def disagreement(problem: ReconfigurationProblem, configuration: Configuration, judged: Evaluation) -> str:
    """How the judge's loss differs from that of the engines' own power flow; empty where they agree.

    Empty too where the sweep finds no solution: the judge's is then all that is known.
    """
    flows = [power_flow(member, configuration) for member in problem.members]
    if not all(flow.converged for flow in flows):
        return ""
    own = problem.total([flow.loss for flow in flows]) * problem.network.base.kw
    if abs(own - judged.loss_kw) <= _rounding_kw(problem, own):
        return ""
    return f"two power flows of this configuration disagree, {judged.loss_kw:.9g} kW and {own:.9g} kW"


def unsettled(problem: ReconfigurationProblem, configuration: Configuration, judged: Evaluation) -> bool:
    """The judge found no power flow of an admissible configuration, and no proof that there is none.

    Such a configuration is no answer, and must stay below every bound.
    """
    return judged.unsettled and problem.admits(configuration)


def infeasible(
    problem: ReconfigurationProblem,
    engine: str,
    watch: Stopwatch,
    several_scenarios: bool = False,
    controls: bool = False,
    fixed_loops: bool = False,
) -> Result | None:
    """The result for a problem whose locks and outages leave no radial configuration; None when they leave one.

    Raises
    ------
    UnsupportedError
        If the problem has several scenarios, controls or fixed loops and the engine does not say that it serves them.
    """
    n = len(problem.members)
    if problem.controls and n > 1 and not (controls and several_scenarios):
        raise UnsupportedError(
            f"engine {engine!r} does not set controls for several scenarios, the problem has {n}", {"engine": "milp"}
        )
    if problem.controls and not controls:
        raise UnsupportedError(f"engine {engine!r} sets switches only, the problem has controls", {"engine": "milp"})
    if n > 1 and not several_scenarios:
        reason = f"engine {engine!r} takes one scenario, the problem has {n}"
        raise UnsupportedError(reason, {"engine": ("tree", "milp")})
    if not fixed_loops:
        refuse_fixed_loops(problem, f"engine {engine!r}", SERVED_LOOPED)
    if not problem.contradictions:
        return None
    message = "No radial configuration exists: " + "; ".join(problem.contradictions)
    return conclude(problem, engine, watch, configuration=None, status=Status.INFEASIBLE, message=message)
