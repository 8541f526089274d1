"""Loss and balance of the feeders together: least ``loss + weight * index``, proven by enumeration where that ends.

The index (:mod:`learnopt.physics.balance`) is never negative, so no configuration is worth less than its loss. Branch
exchange on the weighted objective finds a good configuration; then the k best in loss are enumerated in order, and all
others have a loss, hence an objective, of at least ``rest_bound_kw``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from learnopt.engines import SolveOptions, Stopwatch, conclude
from learnopt.engines.exchange import LocalSearch
from learnopt.engines.tree.coverage import tight_obstacles
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.engines.tree.incumbent import PROOF_GAP
from learnopt.errors import DataError, UnsupportedError
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Result, Status
from learnopt.physics import evaluate
from learnopt.physics.balance import balance_index

FIRST_K, LAST_K = 16, 1024

Worth = Callable[[Configuration], float]
"""Weighted objective [kW], infinite where a configuration is not feasible."""


def solve_balanced(
    problem: ReconfigurationProblem,
    weight_kw: float,
    options: SolveOptions | None = None,
    start: Configuration | None = None,
) -> Result:
    """Least loss plus switching cost plus ``weight_kw`` times the balance index.

    Parameters
    ----------
    weight_kw
        Price of the index [kW]: what one is willing to lose to go from 1 (a feeder without current) to 0 (all equal).
    start
        Where the search begins.

    Raises
    ------
    DataError
        If the weight is negative or not finite.
    UnsupportedError
        If the problem has several scenarios.
    """
    options = options or SolveOptions()
    if not (math.isfinite(weight_kw) and weight_kw >= 0):
        raise DataError("options", [f"balance weight = {weight_kw} must be a finite number >= 0 [kW]"])
    if len(problem.situations) > 1:
        raise UnsupportedError("balance among feeders takes one scenario", {"balance_weight": None})
    watch = Stopwatch()
    limit = math.inf if options.time_limit is None else options.time_limit
    certify = options.certify or (Certificate.MODEL if tight_obstacles(problem) else Certificate.AC)
    values: dict[Configuration, float] = {}
    nodes, bound, certificate = 0, -math.inf, certify

    def value(configuration: Configuration) -> float:
        if configuration not in values:
            evaluation = evaluate(problem, configuration)
            index = balance_index(problem.network, configuration, evaluation)
            merit = math.inf
            if evaluation.feasible and problem.admits(configuration):
                switching = problem.switching_cost * problem.operations(configuration)
                merit = evaluation.loss_kw + switching + weight_kw * (index or 0.0)
            values[configuration] = merit
        return values[configuration]

    k = 1
    while k <= LAST_K:
        left = None if math.isinf(limit) else max(limit - watch.elapsed, 1e-3)
        with watch.stage("optimum of loss" if k == 1 else "enumeration"):
            wanted = replace(options, certify=certify, time_limit=left)
            result = TreeSearchEngine(k_best=k).solve(problem, wanted, min(values, key=value, default=start))
        if result.configuration is None:
            return result
        nodes += result.nodes
        certificate = result.certificate
        for configuration in (result.configuration, *(a.configuration for a in result.alternatives)):
            value(configuration)
        with watch.stage("exchange"):
            _exchange(problem, min(values, key=value), value, limit, watch)
        best = value(min(values, key=value))
        proven = result.dual_bound_kw if k == 1 else result.rest_bound_kw
        if proven is not None:
            bound = max(bound, min(proven * (1 - PROOF_GAP), best))
        if bound >= best * (1 - max(options.gap or 0.0, 10 * PROOF_GAP)) or watch.elapsed >= limit:
            break
        k = FIRST_K if k == 1 else 4 * k
    answer = min(values, key=value)
    settled = bound >= value(answer) * (1 - max(options.gap or 0.0, 10 * PROOF_GAP))
    return conclude(
        problem,
        "tree",
        watch,
        configuration=answer,
        status=Status.OPTIMAL if settled else Status.FEASIBLE,
        gap=options.gap or 0.0,
        certificate=certificate,
        dual_bound_kw=bound,
        objective=lambda _: value(answer),
        message=f"Loss and {weight_kw:g} kW times the balance index of the feeders."
        + ("" if settled else " Not proven: too many configurations lose less than this objective."),
        nodes=nodes,
    )


def _exchange(
    problem: ReconfigurationProblem, start: Configuration, value: Worth, limit: float, watch: Stopwatch
) -> None:
    """Branch exchange on the weighted objective, best neighbour first; what is tried is kept by ``value``."""
    search, current = LocalSearch(problem), start
    while watch.elapsed < limit:
        better = next((c for c in search.neighbours(current, 400) if value(c) < value(current) * (1 - PROOF_GAP)), None)
        if better is None:
            return
        current = better
