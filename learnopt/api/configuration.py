"""Questions about one configuration: :func:`solve`, and :func:`pareto` for all trade-offs with operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from learnopt.api.question import (
    NONE_TO_SET,
    Enforced,
    Question,
    Rules,
    Situation,
    Source,
    State,
    chosen,
    optional,
    warm,
)
from learnopt.api.solution import EXPLANATION_S, ParetoFront, Solution
from learnopt.api.unused import of_balanced, of_solve
from learnopt.engines import Patience, Progress, SolveOptions
from learnopt.learned.choice import engine_of
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Result
from learnopt.report.configuration.head import Head
from learnopt.studies.configuration.check import state_of
from learnopt.studies.configuration.in_phases import (
    controls_in_phases,
    front_in_phases,
    risk_in_phases,
    solve_in_phases,
)
from learnopt.studies.configuration.risk import RISK_LEVEL, Risk
from learnopt.studies.configuration.solve import AUTO, TREE
from learnopt.studies.configuration.switching_order import Paralleling
from learnopt.studies.configuration.wish import Wish, fulfil, fulfil_front

PATIENCE = Patience()
"""Of whoever asks ``auto`` or ``tree`` for one configuration of least loss and sets neither a gap nor a limit."""


def solve(
    network: Source,
    *,
    scenario: Situation = None,
    engine: str = AUTO,
    certify: Certificate | str | None = None,
    gap: float | None = None,
    time_limit: float | None = None,
    node_limit: int | None = None,
    threads: int | None = None,
    seed: int = 0,
    start: State = None,
    progress: Callable[[Progress], None] | None = None,
    checkpoint: str | Path | None = None,
    k_best: int = 1,
    risk: Risk | str | None = None,
    risk_level: float | None = None,
    balance_weight: float | None = None,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    strict_limits: bool = False,
    controls: str = "none",
    charging: bool = True,
    switching_cost: float = 0.0,
    max_operations: int | None = None,
    remote_only: bool = False,
    paralleling: Paralleling | str = Paralleling.ALLOWED,
    author: str = "",
    checked_by: str = "",
    data_time: str = "",
    max_unbalance: float | None = None,
    hour: float | None = None,
    accept_differences: bool = False,
    source_check: bool = True,
    balanced: bool = False,
) -> Solution:
    """Find the radial configuration of least loss, and say what is proven.

    Parameters
    ----------
    network
        A network, what :func:`learnopt.load` takes, or a problem.
    scenario, limits, vmin, vmax, controls, charging, switching_cost, max_operations, remote_only
        As of :func:`problem`; none where a problem is given.
    engine
        ``auto`` picks one and says why; ``tree``, ``milp``, ``exchange``, ``enumerate``, ``hybrid``, ``benders``,
        ``learned``.
    certify
        Proof wanted: ``ac``, ``model``, ``none``; each engine has its default.
    gap
        Relative gap at which to stop; each engine has its default. Where neither it nor a limit is given, ``auto`` and
        ``tree`` are content with 0.5 % after a minute, and the message says so; ``gap=0`` asks for the optimum.
    time_limit
        Seconds; the best configuration found by then is returned, with the best bound by then.
    node_limit
        Nodes of branch and bound after which the same happens, with the same answer on every machine.
    threads
        Of the tree search, one where absent; the answer and its proof are the same for any number.
    seed
        For engines that randomise: the same seed, the same answer.
    start
        A configuration to begin from, or the ids of its open branches: it may save time, and never changes what is
        proven.
    progress
        Called while solving with what is known so far (:class:`Progress`); it must be quick.
    checkpoint
        Of the learned engine; the reference one where absent.
    k_best
        More than one: prove that many best configurations (``result.alternatives``).
    risk, risk_level
        Of several scenarios: least ``expected`` loss, ``cvar`` at this level (0.9 where absent: the mean of the worst
        tenth) or ``worst`` case, and its price (``result.risk``).
    balance_weight
        Price of the balance index of the feeders [kW]: least loss + price * index.
    strict_limits
        Enforce also limits that the present state breaks and no switch can change. Otherwise they are held at their
        present value: ``problem.limits.held`` of the solution, and its message.
    max_unbalance
        Largest negative- over positive-sequence voltage at a bus, of an unbalanced file (0.02 is 2 %).
    paralleling
        Switching order: ``allowed`` = a loop may be closed for a moment, ``forbidden`` = it is opened first.
    author, checked_by, data_time
        Head of the switching order: who made it, who checked it, time of loads and switch states.
    hour
        Of an OpenDSS file: loads at this hour of its load shapes, not the snapshot.
    accept_differences
        Go on where a file differs in its own tool and nothing explains it; the solution then says so.
    source_check
        Compute the answer in the tool of the file (``origin.source``), where the network is that of a file with one: as
        :func:`learnopt.load` gave it, not edited since.
    balanced
        Solve the balanced equivalent of an unbalanced file, not the file in all its phases.

    Raises
    ------
    DataError
        If the input is bad. Limits and infeasibility are statuses of the solution.
    UnsupportedError
        If the engine does not serve this problem, or options exclude each other.
    CheckpointError
        If there is no such checkpoint.
    """
    order = chosen(Paralleling, "paralleling", paralleling), Head(author, checked_by, data_time)
    options = SolveOptions(
        optional(Certificate, "certify", certify), gap, time_limit, node_limit, seed, threads or 1, progress=progress
    )
    level = RISK_LEVEL if risk_level is None else risk_level
    wish = Wish(k_best, optional(Risk, "risk", risk), level, balance_weight, strict_limits)
    unused = of_solve(
        engine=engine, certify=certify, gap=gap, node_limit=node_limit, threads=threads, checkpoint=checkpoint,
        risk=risk, risk_level=risk_level, strict_limits=strict_limits, limits=limits, vmin=vmin, vmax=vmax,
    )  # fmt: skip
    if wish == Wish(risk_level=level, strict_limits=strict_limits) and engine in (AUTO, TREE) and options.unlimited:
        options = replace(options, patience=PATIENCE)
    rules = Rules(
        scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, controls=controls, charging=charging,
        switching_cost=switching_cost, max_operations=max_operations, remote_only=remote_only, hour=hour,
        max_unbalance=max_unbalance,
    )  # fmt: skip
    question = rules.question(network, accept_differences)
    begin = _begin(question.problem, start)
    asked, in_phases = question.problem, None
    kinds = _kinds(asked, controls)
    if wish.plain and not balanced and kinds:
        read, hold = question.imported, not strict_limits
        in_phases = None if k_best > 1 else controls_in_phases(read, asked, kinds, engine, options, begin, hold)
    if in_phases is not None:
        missing = tuple(note for note in question.notes if not note.startswith(NONE_TO_SET))
        question = replace(question, notes=missing)
    elif wish.plain and not balanced:
        read, hold = question.imported, not strict_limits
        in_phases = solve_in_phases(read, asked, engine, options, begin, k_best=k_best, hold=hold)
    elif wish.risk is not None and balance_weight is None and k_best == 1 and not balanced:
        read, hold = question.imported, not strict_limits
        in_phases = risk_in_phases(read, asked, wish.risk, level, engine, options, begin, hold=hold)
    if in_phases is not None:
        asked, result = in_phases
    else:
        question.refuse_unseen_phases()
        warm(engine, options.certify, checkpoint)
        asked, result = fulfil(asked, engine_of(engine, checkpoint), options, wish, begin)
    unused += of_balanced(balanced, question.origin.equivalent)
    return replace(_solution(question, asked, result, order, time_limit, source_check), unused=unused)


def pareto(
    network: Source,
    *,
    scenario: Situation = None,
    engine: str = AUTO,
    certify: Certificate | str | None = None,
    gap: float | None = None,
    time_limit: float | None = None,
    node_limit: int | None = None,
    threads: int | None = None,
    start: State = None,
    progress: Callable[[Progress], None] | None = None,
    k_best: int = 1,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    strict_limits: bool = False,
    charging: bool = True,
    max_operations: int | None = None,
    remote_only: bool = False,
    paralleling: Paralleling | str = Paralleling.ALLOWED,
    author: str = "",
    checked_by: str = "",
    data_time: str = "",
    max_unbalance: float | None = None,
    hour: float | None = None,
    accept_differences: bool = False,
    source_check: bool = True,
    balanced: bool = False,
) -> ParetoFront:
    """Least loss for every number of switching operations, each point proven by the tree search.

    Parameters
    ----------
    network
        A network, what :func:`learnopt.load` takes, or a problem.
    engine
        ``auto`` or ``tree``: no other engine serves it.
    time_limit
        Seconds for the whole front.
    k_best
        More than one: rank that many best configurations besides.
    scenario, certify, gap, node_limit, threads, start, progress, limits, vmin, vmax, strict_limits, charging, \
    max_operations, remote_only, paralleling, author, checked_by, data_time, max_unbalance, hour, accept_differences, \
    source_check, balanced
        As of :func:`solve`.

    Raises
    ------
    DataError
        If the input is bad.
    UnsupportedError
        If the problem has controls or a switching cost, or another engine is named.
    """
    order = chosen(Paralleling, "paralleling", paralleling), Head(author, checked_by, data_time)
    options = SolveOptions(
        optional(Certificate, "certify", certify), gap, time_limit, node_limit, threads=threads or 1, progress=progress
    )
    rules = Rules(
        scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, charging=charging, max_operations=max_operations,
        remote_only=remote_only, hour=hour, max_unbalance=max_unbalance,
    )  # fmt: skip
    question = rules.question(network, accept_differences)
    begin = _begin(question.problem, start)
    found = None
    if not balanced:
        read, hold = question.imported, not strict_limits
        found = front_in_phases(read, question.problem, engine, options, begin, k_best=k_best, hold=hold)
    if found is None:
        question.refuse_unseen_phases()
        warm(engine, options.certify)
        wish = Wish(k_best, strict_limits=strict_limits)
        found = fulfil_front(question.problem, engine_of(engine), options, wish, begin)
    asked, result, points = found
    unused = of_solve(
        engine=engine, certify=certify, gap=gap, node_limit=node_limit, threads=threads, checkpoint=None, risk=None,
        risk_level=None, strict_limits=strict_limits, limits=limits, vmin=vmin, vmax=vmax,
    )  # fmt: skip
    return ParetoFront(
        _solution(question, asked, result, order, time_limit, source_check),
        points,
        unused + of_balanced(balanced, question.origin.equivalent),
    )


def _kinds(problem: ReconfigurationProblem, controls: str) -> set[str]:
    """Regulators and capacitors among what is to be set besides switches."""
    asked = set(controls.replace(",", " ").split())
    if "all" in asked:
        asked |= {"taps", "capacitors"}
    return {kind for kind in ("taps", "capacitors") if kind in asked or getattr(problem.controls, kind)}


def _begin(problem: ReconfigurationProblem, start: State) -> Configuration | None:
    return None if start is None else state_of(problem, start)


def _solution(
    question: Question,
    asked: ReconfigurationProblem,
    result: Result,
    order: tuple[Paralleling, Head],
    time_limit: float | None,
    source_check: bool,
) -> Solution:
    """The answer, set in the tool of the file where that is asked for and there is one."""
    origin = question.imported.answered(asked, result, check=source_check)
    patience = None if time_limit is None else min(EXPLANATION_S, time_limit)
    return Solution(replace(question, problem=asked), result, origin, *order, patience)
