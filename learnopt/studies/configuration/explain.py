"""Why no configuration respects the limits: what must give, and by how much.

Two sources, told apart in every sentence. *Proven*: dual bounds of the elastic relaxation
(:mod:`learnopt.formulations.elastic`). *Found*: the least-violating configuration of branch exchange, as evaluated by
the independent judge.
"""

from __future__ import annotations

import math

import numpy as np

from learnopt.engines.base import Stopwatch, unsettled
from learnopt.engines.exchange import LocalSearch, find_incumbent, radial_start
from learnopt.engines.milp.highs import CompiledModel, Outcome, SolverRun
from learnopt.engines.milp.relaxation import units_of_powers
from learnopt.engines.milp.tangents import Tangents
from learnopt.formulations.cuts import add_tangents, arc_values, define_cuts, proposed_configuration, set_integrality
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.elastic import (
    ASSUMED_HIGHEST,
    ASSUMED_LOWEST,
    WIDEST_CURRENT,
    WIDEST_VOLTAGE,
    build_elastic,
    highest_voltage,
    widened,
)
from learnopt.network import Configuration, Evaluation, ReconfigurationProblem
from learnopt.network.names import branch_quoted, bus_quoted, open_labels
from learnopt.physics import evaluate, power_flow
from learnopt.physics.judge import LIMIT_TOLERANCE

RANDOM_STARTS = 30
START_WORK = 4e6
"""Buses of all sweeps of branch exchange, a second or two."""
ROUNDS = 12
NODES = 100
"""Nodes of a solve with integers where no time limit is set."""
MOST_ARCS = 3000
"""Arcs beyond which nothing is proven where no time limit is set: a linear model of that size takes seconds."""
LEAST_PROGRESS = 1e-3
LISTED = 5
"""Most violations, and most buses with a bound of their own, that are named."""
ROUNDING = 1e-6
CONE_TOLERANCE = 1e-9
"""Squared current by which a solution may lie outside the cone [pu]; less where the loads are below 1 pu."""
_TOLERABLE = f"{WIDEST_VOLTAGE:.0%} (voltage) or {WIDEST_CURRENT:.0%} (current)"


def explain_infeasibility(problem: ReconfigurationProblem, time_limit: float | None = None) -> list[str]:
    """Sentences that say which limits conflict; for problems of one scenario, empty otherwise.

    Parameters
    ----------
    time_limit
        Seconds for the bounds; what is proven by then is stated. None = nodes and rounds are counted, some seconds in
        all, so that the answer is the same on every machine.
    """
    if len(problem.situations) > 1:
        return []
    if problem.contradictions:
        return list(problem.contradictions)
    least = problem.operations(radial_start(problem))
    if problem.max_operations is not None and least > problem.max_operations:
        return [
            f"Proven: a radial configuration needs at least {least} switching operations, "
            f"the cap allows {problem.max_operations}."
        ]
    watch = Stopwatch()
    best = _LeastViolation(problem)
    limit = math.inf if time_limit is None else time_limit
    rng = np.random.default_rng(0)
    best.offer(find_incumbent(problem, None, rng, RANDOM_STARTS, limit, watch, 0.25, START_WORK))
    if best.total == 0.0:
        return [_within_limits(problem, best)]
    if best.doubtful:
        return ["Power flows of this problem could not be settled: whether the limits conflict is not known."]
    proven = _proven(problem, best, limit, watch)
    if best.total == 0.0:
        return [_within_limits(problem, best)]
    return proven + _found(problem, best)


def total_violation(problem: ReconfigurationProblem, evaluation: Evaluation) -> float:
    """Sum of the relative violations of all limits; infinite without a power flow."""
    if not evaluation.converged:
        return math.inf
    net = problem.network
    low, rated = problem.vm_min > 0, problem.s_min > 0
    drawn = evaluation.substation_kva / net.base.kw
    missed = [
        1 - evaluation.vm[low] / problem.vm_min[low],
        evaluation.vm / problem.vm_max - 1,
        evaluation.current_a / (problem.i_max * net.i_base) - 1,
        drawn / problem.s_max - 1,
        1 - drawn[rated] / problem.s_min[rated],
    ]
    return float(sum(m[m > LIMIT_TOLERANCE].sum() for m in missed))


class _LeastViolation:
    """The configuration of least total violation so far."""

    def __init__(self, problem: ReconfigurationProblem) -> None:
        self._problem = problem
        self._search = LocalSearch(problem)
        self.configuration: Configuration | None = None
        self.evaluation: Evaluation | None = None
        self.total = math.inf
        self.doubtful = False
        """The sweep solves a configuration, the judge neither solves nor refutes it."""

    def offer(self, configuration: Configuration | None) -> None:
        """Look at a configuration and at the local optimum that exchanges reach from it."""
        if configuration is None:
            return
        improved = self._search.improve(configuration)
        for candidate in (configuration, improved[0] if improved is not None else None):
            if candidate is None or not self._problem.admits(candidate):
                continue
            evaluation = evaluate(self._problem, candidate)
            if unsettled(self._problem, candidate, evaluation) and power_flow(self._problem, candidate).converged:
                self.doubtful = True
            if (total := total_violation(self._problem, evaluation)) < self.total:
                self.configuration, self.evaluation, self.total = candidate, evaluation, total


def _proven(problem: ReconfigurationProblem, best: _LeastViolation, time_limit: float, watch: Stopwatch) -> list[str]:
    """What the elastic relaxation proves; its configurations are offered on the way.

    Parameters
    ----------
    time_limit
        Seconds on ``watch``; ``inf`` = nodes are counted.
    """
    if not problem.free.any():
        return []  # one configuration: what is found is all there is
    if problem.chords.any():
        return []  # the relaxation knows radial states only
    wide = widened(problem)
    data = DistFlowData.of(wide)
    if not data.bounds.proven or (math.isinf(time_limit) and len(data.arcs) > MOST_ARCS):
        return []
    nodes = NODES if math.isinf(time_limit) else None
    model = build_elastic(problem, data)
    define_cuts(model)
    tangents = Tangents(data.arcs, lambda arc, alpha, beta: add_tangents(model, data, arc.tolist(), alpha, beta))

    def touch(configuration: Configuration | None) -> None:
        """Tangents at the AC point of a configuration."""
        if configuration is not None and (flow := power_flow(problem, configuration)).converged:
            tangents.at_power_flow(flow, problem.network)

    touch(best.configuration)
    units = units_of_powers(data, model)
    tolerance = CONE_TOLERANCE * min(1.0, float(np.abs(problem.p + 1j * problem.q).sum())) ** 2

    def solved(integral: bool, seconds: float) -> SolverRun:
        """One solve of the model as it is; the solution is loaded into it."""
        set_integrality(model, integral)
        compiled = CompiledModel(model, size=1.0, units=units)
        if integral:
            run = compiled.solve(time_limit=seconds, node_limit=nodes)
        else:
            run = compiled.solve_relaxation(seconds)
        if run.values is not None:
            compiled.load(run.values)
        return run

    def bound(share: float) -> float:
        """Lower bound of the objective of the model: rounds on the relaxation, then with integers."""
        deadline = watch.elapsed + share * max(time_limit - watch.elapsed, 0.0)
        value = -math.inf
        for integral in (False, True):
            for _ in range(ROUNDS):
                if watch.elapsed >= deadline:
                    return value
                run = solved(integral, deadline - watch.elapsed)
                if run.outcome is Outcome.INFEASIBLE:
                    return math.inf
                previous, value = value, max(value, run.bound - ROUNDING * abs(run.bound))
                if run.values is None:
                    break
                if integral:
                    proposal = proposed_configuration(model, data)
                    best.offer(proposal)
                    touch(proposal)
                added = tangents.at_values(*arc_values(model, data), tolerance)
                if not added or value <= previous + LEAST_PROGRESS * abs(value):
                    break
        return value

    scope = "every radial configuration"
    fed = ~problem.network.is_substation
    if not (problem.vm_min[fed] > 0).all():
        scope += f" with voltages above {ASSUMED_LOWEST:g} pu"
    if not np.isfinite(problem.vm_max[fed]).all() and not (data.bounds.passive_p and data.bounds.passive_q):
        scope += f" with voltages below {ASSUMED_HIGHEST:g} pu"
    total = bound(0.5)
    if math.isinf(total) and total > 0:
        return [
            f"Proven: {scope} misses some limit by more than {_TOLERABLE}: the loads exceed what this feeder can carry."
        ]
    # A configuration outside the model misses one limit by more than the model allows.
    total = math.floor(1e4 * max(min(total, *_widest(problem)), 0.0)) / 1e4  # as printed, rounded to the safe side
    sentences = []
    if total > 0:
        sentences.append(f"Proven: in {scope} relative violations of the limits add up to at least {total:.2%}.")
    if best.evaluation is not None and best.evaluation.converged:
        vm = best.evaluation.vm
        share = np.divide(vm, problem.vm_min, out=np.full(len(vm), np.inf), where=problem.vm_min > 0)
        low = [int(k) for k in np.argsort(share) if share[k] * (1 + LIMIT_TOLERANCE) < 1][:LISTED]
        for position, k in enumerate(low):
            highest_voltage(model, k)
            value = bound(1.0 / (len(low) - position))
            reached = math.ceil(1e4 * math.sqrt(max(-value, 0.0))) / 1e4 if math.isfinite(value) else math.inf
            limit = float(problem.vm_min[k])
            if reached < limit:
                sentences.append(
                    f"Proven: bus {bus_quoted(problem.network, k)} reaches at most {reached:.4f} pu, below its limit "
                    f"of {limit:g} pu, in {scope} that misses no limit by more than {_TOLERABLE}."
                )
    return sentences


def _widest(problem: ReconfigurationProblem) -> list[float]:
    """Least violation of a configuration that lies outside the elastic model."""
    voltage = bool((problem.vm_min > 0).any() or np.isfinite(problem.vm_max).any())
    rated = bool(np.isfinite(problem.i_max).any())
    return [WIDEST_VOLTAGE] * voltage + [WIDEST_CURRENT] * rated + [math.inf]


def _found(problem: ReconfigurationProblem, best: _LeastViolation) -> list[str]:
    if best.configuration is None or best.evaluation is None:
        return [
            "No radial configuration with an AC power flow was found: the loads may exceed what the feeder can carry."
        ]
    net, evaluation = problem.network, best.evaluation
    opened = ", ".join(open_labels(net, best.configuration))
    which = "Least violation found (not proven least)" if problem.free.any() else "The only radial configuration"
    count = len(evaluation.violations)
    sentences = [
        f"{which}: open {opened or 'nothing'}; it misses {count} limit{'s' * (count != 1)}, by {best.total:.2%} in sum."
    ]
    worst = sorted(_violations(problem, evaluation), key=lambda pair: -pair[0])
    sentences += [sentence for _, sentence in worst[:LISTED]]
    if len(worst) > LISTED:
        sentences.append(f"And {len(worst) - LISTED} smaller ones.")
    return sentences


def _violations(problem: ReconfigurationProblem, evaluation: Evaluation) -> list[tuple[float, str]]:
    """Relative violation and sentence of each limit that a configuration violates."""
    net = problem.network
    found: list[tuple[float, str]] = []
    for k in np.flatnonzero(~net.is_substation):
        vm, bus, low, high = (
            float(evaluation.vm[k]),
            bus_quoted(net, k),
            float(problem.vm_min[k]),
            float(problem.vm_max[k]),
        )
        if vm * (1 + LIMIT_TOLERANCE) < low:
            missed = 1 - vm / low
            found.append((missed, f"Bus {bus} reaches {vm:.4f} pu there, {missed:.2%} below {low:g} pu."))
        if vm > high * (1 + LIMIT_TOLERANCE):
            missed = vm / high - 1
            found.append((missed, f"Bus {bus} rises to {vm:.4f} pu there, {missed:.2%} above {high:g} pu."))
    ratings = problem.i_max * net.i_base
    for e in np.flatnonzero(evaluation.current_a > ratings * (1 + LIMIT_TOLERANCE)):
        rating, current = float(ratings[e]), float(evaluation.current_a[e])
        missed = current / rating - 1
        text = f"Branch {branch_quoted(net, e)} carries {current:.1f} A there, {missed:.2%} above {rating:.1f} A."
        found.append((missed, text))
    for s, k in enumerate(net.substations):
        drawn, name = float(evaluation.substation_kva[s]), bus_quoted(net, k)
        low, high = float(problem.s_min[s]) * net.base.kw, float(problem.s_max[s]) * net.base.kw
        if drawn > high * (1 + LIMIT_TOLERANCE):
            text = f"Substation {name} delivers {drawn:.1f} kVA there, {drawn / high - 1:.2%} above {high:.1f} kVA."
            found.append((drawn / high - 1, text))
        if drawn * (1 + LIMIT_TOLERANCE) < low:
            text = f"Substation {name} delivers {drawn:.1f} kVA there, {1 - drawn / low:.2%} below {low:.1f} kVA."
            found.append((1 - drawn / low, text))
    return found


def _within_limits(problem: ReconfigurationProblem, best: _LeastViolation) -> str:
    assert best.configuration is not None
    opened = ", ".join(open_labels(problem.network, best.configuration))
    return f"The limits do not conflict: open {opened} respects them; give the engine more time or this start."
