"""Answers in all phases of an unbalanced file, instead of ones about its balanced equivalent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from learnopt.engines import Engine, SolveOptions
from learnopt.engines.base import Stopwatch
from learnopt.errors import UnsupportedError
from learnopt.network import Certificate, Configuration, Controls, ReconfigurationProblem, Result
from learnopt.network.held import held_in_words
from learnopt.network.topology import radiality_faults
from learnopt.network.unbalanced import ControlledCircuit, PhaseCircuit
from learnopt.physics.held_currents import loop_model, loops_and_unfed
from learnopt.physics.phase_judge import evaluation_of, flow_of, solved_states, summary_of, without_solution
from learnopt.studies.configuration.check import Check
from learnopt.studies.configuration.pareto import falling_front
from learnopt.studies.configuration.risk import RISK_LEVEL, Risk
from learnopt.studies.configuration.solve import AUTO, ENUMERATE, TREE
from learnopt.studies.configuration.switching_order import normal_state
from learnopt.studies.configuration.wish import refuse_cost_of_front
from learnopt.studies.inspection.reconcile import Imported
from learnopt.wording import counted

if TYPE_CHECKING:
    from learnopt.engines.phases.engine import PhaseTreeEngine

_SOON = 1e-3
"""Time limit of what is begun when the time is over [s]."""


def solve_in_phases(
    imported: Imported,
    problem: ReconfigurationProblem,
    engine: str | Engine = AUTO,
    options: SolveOptions | None = None,
    start: Configuration | None = None,
    k_best: int = 1,
    hold: bool = True,
) -> tuple[ReconfigurationProblem, Result] | None:
    """Solve a problem of an unbalanced file in all its phases, judged by the tool of the file.

    Parameters
    ----------
    engine
        ``auto``, ``tree`` or ``enumerate``; another one solves the balanced equivalent.
    hold
        Limits that the present state breaks, and every state that was found, are held at their present value.

    Returns
    -------
    The problem that was solved, whose ``limits.held`` says what is held, and its result. None where the file is
    balanced, where its tool has no phases, with controls and with other engines. A problem whose objective is the worst
    case is that of :func:`risk_in_phases`.
    """
    options, problem = options or SolveOptions(), problem.in_phases()
    if engine not in (AUTO, TREE, ENUMERATE):
        return None
    if problem.worst_case and (k_best > 1 or engine == ENUMERATE):
        raise UnsupportedError("a worst case in all phases is served by the tree search alone", {"k_best": None})
    if problem.worst_case:
        return risk_in_phases(imported, problem, Risk.WORST, RISK_LEVEL, engine, options, start, hold)
    with imported.circuits(problem) as circuits:
        if not circuits:
            return None
        from learnopt.engines.phases.engine import PhaseTreeEngine  # nothing of it where a file is balanced

        search = PhaseTreeEngine(circuits, k_best, engine == ENUMERATE)
        problem, result = solve_holding(search, problem, options, start, hold)
        result = _with_flow(result, circuits)
    return problem, _told(imported, problem, result)


def risk_in_phases(
    imported: Imported,
    problem: ReconfigurationProblem,
    risk: Risk,
    level: float,
    engine: str | Engine = AUTO,
    options: SolveOptions | None = None,
    start: Configuration | None = None,
    hold: bool = True,
) -> tuple[ReconfigurationProblem, Result] | None:
    """Least expected loss, CVaR or worst case of several scenarios in all phases, and the price of it.

    Limits that are held are those that keep every state from being an answer for the expected loss.

    Parameters
    ----------
    risk, level
        As of :func:`~learnopt.studies.configuration.risk.solve_risk`.
    engine, options, start, hold
        As of :func:`solve_in_phases`.

    Returns
    -------
    As of :func:`solve_in_phases`; None too where there is one scenario only.
    """
    options, problem = options or SolveOptions(), problem.in_phases()
    if engine not in (AUTO, TREE) or len(problem.situations) == 1 or not 0 < level < 1:
        return None
    problem = problem.judged_by("expected")
    loads = problem.situations
    with_mean = replace(loads, scenarios=(*loads, loads.mean), weights=np.append(loads.weights, 0.0))
    with imported.circuits(problem.replace(situations=with_mean)) as circuits:
        if not circuits:
            return None
        from learnopt.engines.phases.engine import PhaseTreeEngine  # nothing of it where a file is balanced
        from learnopt.studies.configuration.risk_in_phases import solve_risk_in_phases

        *each, mean = circuits
        first = replace(options, certify=options.certify or Certificate.MODEL)
        problem, result = solve_holding(PhaseTreeEngine(each), problem, first, start, hold)
        if result.configuration is not None:
            seconds = None if options.time_limit is None else max(options.time_limit - result.solve_time_s, _SOON)
            left = replace(options, time_limit=seconds)
            nodes = result.nodes
            result = solve_risk_in_phases(problem, each, mean, risk, level, left, result.configuration)
            result = replace(result, nodes=nodes + result.nodes)
        result = _with_flow(result, each)
    return problem, _told(imported, problem, result)


def controls_in_phases(
    imported: Imported,
    problem: ReconfigurationProblem,
    kinds: Collection[str],
    engine: str | Engine = AUTO,
    options: SolveOptions | None = None,
    start: Configuration | None = None,
    hold: bool = True,
) -> tuple[ReconfigurationProblem, Result] | None:
    """Least loss over switches, regulators and capacitors in all phases, each unit set by itself.

    Parameters
    ----------
    kinds
        ``taps``, ``capacitors`` or both.
    engine, options, start, hold
        As of :func:`solve_in_phases`.

    Returns
    -------
    As of :func:`solve_in_phases`; ``phases.controls`` of the result has the settings. None too where the file has no
    such device, with several load situations, and with other engines.
    """
    options = options or SolveOptions()
    problem = problem.in_phases().replace(controls=Controls())
    if engine not in (AUTO, TREE) or len(problem.situations) > 1:
        return None
    with imported.circuits(problem) as circuits:
        if not circuits or not isinstance(circuit := circuits[0], ControlledCircuit):
            return None
        from learnopt.engines.phases.engine import PhaseTreeEngine  # nothing of it where a file is balanced
        from learnopt.studies.configuration.controls_in_phases import ControlSearch

        devices = [one for one in circuit.devices() if one.kind in kinds]
        if not devices:
            return None
        result = ControlSearch(problem, circuit, devices, options).solve(start)
        if result.configuration is None and hold:  # what no switch mends with the controls as they are is held
            circuit.operate({one.element: one.present for one in devices})
            by_model = replace(options, certify=Certificate.MODEL)
            problem, plain = solve_holding(PhaseTreeEngine(circuits), problem, by_model, start)
            if problem.limits.held:
                result = ControlSearch(problem, circuit, devices, options).solve(plain.configuration)
    return problem, _told(imported, problem, result)


def front_in_phases(
    imported: Imported,
    problem: ReconfigurationProblem,
    engine: str | Engine = AUTO,
    options: SolveOptions | None = None,
    start: Configuration | None = None,
    k_best: int = 1,
    hold: bool = True,
) -> tuple[ReconfigurationProblem, Result, tuple[Result, ...]] | None:
    """Least loss in all phases for every number of operations, each point proven by the same search with a cap.

    Limits that are held are those of the optimum, for all points.

    Parameters
    ----------
    engine, start, hold
        As of :func:`solve_in_phases`.
    options
        The time limit is that of the whole front.
    k_best
        More than one: the result is the ranking of so many.

    Returns
    -------
    The problem that was solved, the point of least loss or the ranking, and the points by rising operations; None as
    of :func:`solve_in_phases`.

    Raises
    ------
    UnsupportedError
        If the problem has a switching cost.
    """
    options, problem = options or SolveOptions(), problem.in_phases()
    if engine not in (AUTO, TREE) or problem.worst_case:
        return None
    refuse_cost_of_front(problem)
    watch = Stopwatch()
    with imported.circuits(problem) as circuits:
        if not circuits:
            return None
        from learnopt.engines.phases.engine import PhaseTreeEngine  # nothing of it where a file is balanced

        problem, result = solve_holding(PhaseTreeEngine(circuits, k_best), problem, options, start, hold)
        best = result if k_best == 1 else replace(result, alternatives=(), rest_bound_kw=None)
        result = _with_flow(result, circuits)
        points = falling_front(problem, PhaseTreeEngine(circuits), options, best, watch.elapsed)
    found = tuple(_told(imported, problem, one) for one in points if one.configuration is not None)
    return problem, _told(imported, problem, result), found


def _with_flow(result: Result, circuits: Sequence[PhaseCircuit]) -> Result:
    """A result with the currents of the phases of its answer."""
    if result.phases is None or result.configuration is None:
        return result
    return replace(result, phases=replace(result.phases, flow=flow_of(circuits, result.configuration)))


def _told(imported: Imported, problem: ReconfigurationProblem, result: Result) -> Result:
    """A result whose message says what was solved, and what is held."""
    said = "Solved in all phases, since the file is unbalanced."
    from learnopt.io.opendss.branches import LEFT_OUT

    for note in imported.notes:
        if note.startswith(LEFT_OUT):
            said += f" Stays open, since it has not all three phases: {note.partition(': ')[2]}."
    held_too = held_in_words(problem.network, problem.limits)
    return replace(result, message=" ".join(part for part in (said, result.message, held_too) if part))


def solve_holding(
    search: PhaseTreeEngine,
    problem: ReconfigurationProblem,
    options: SolveOptions,
    start: Configuration | None = None,
    hold: bool = True,
) -> tuple[ReconfigurationProblem, Result]:
    """Solve, and again with the limits held that keep every state from being an answer: the problem and its result.

    All of it within the limits of time and nodes.
    """
    watch, nodes = Stopwatch(), 0
    result = search.solve(problem, options, start)
    while hold and search.stubborn:
        nodes += result.nodes
        problem = problem.replace(limits=replace(problem.limits, held=(*problem.limits.held, *search.stubborn)))
        seconds = None if options.time_limit is None else max(options.time_limit - watch.elapsed, _SOON)
        left = None if options.node_limit is None else max(options.node_limit - nodes, 1)
        result = search.solve(problem, replace(options, time_limit=seconds, node_limit=left), start)
    return problem, replace(result, nodes=nodes + result.nodes, solve_time_s=watch.elapsed)


def _radiality(problem: ReconfigurationProblem, circuit: PhaseCircuit, configuration: Configuration) -> tuple[str, ...]:
    """Why a configuration is not radial but for fixed loops; by its buses, unless switches have one or two phases."""
    network = problem.network
    if not network.by_phase:
        return tuple(radiality_faults(network, configuration.closed))
    switches = np.flatnonzero(network.switchable | (configuration.closed != ~network.normally_open))
    loops, unfed = loops_and_unfed(loop_model(circuit.conductors(switches)), ~configuration.closed[switches])
    found = []
    if loops:
        found.append(f"{counted(loops, 'loop is', 'loops are')} closed, counted in each phase")
    if unfed:
        some = counted(unfed, "part of one phase has", "parts of one phase have")
        found.append(f"{some} no path to a substation in that phase")
    return tuple(found)


def check_in_phases(imported: Imported, problem: ReconfigurationProblem, configuration: Configuration) -> Check | None:
    """Judge a configuration of an unbalanced file in all its phases, with all of its loops closed.

    No limit is held: without a search nothing is known of what switches can change, so all that is broken is named.

    Returns
    -------
    None where the file is balanced, and where its tool has no phases.
    """
    problem = problem.in_phases()
    with imported.circuits(problem) as circuits:
        if not circuits:
            return None
        before = solved_states(circuits, normal_state(problem))
        states = solved_states(circuits, configuration)
        flow = flow_of(circuits, configuration) if states else None
        faults = _radiality(problem, circuits[0], configuration)
    evaluation, phases = without_solution(problem), None
    present = evaluation_of(problem, before) if before else None
    if states:
        evaluation = evaluation_of(problem, states)
        phases = replace(summary_of(circuits[0].tool, problem.network, states, present), flow=flow)
    violations = tuple(dict.fromkeys([*problem.faults(configuration), *faults, *evaluation.violations]))
    note = "Computed in all phases, since the file is unbalanced."
    return Check(problem, configuration, evaluation, faults, violations, note, phases)
