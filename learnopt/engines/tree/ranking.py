"""The k best configurations, with a bound of all others."""

from __future__ import annotations

import math

from learnopt.engines.bounds.iron import held_iron_loss
from learnopt.engines.tree.budget import Budget
from learnopt.engines.tree.currents import power_flows, total_loss, tree_loss
from learnopt.engines.tree.depth_first import DepthFirst
from learnopt.engines.tree.incumbent import PROOF_GAP, SearchState
from learnopt.engines.tree.kernel import FINISHED, RUNNING
from learnopt.engines.tree.relaxation import ac_relaxation, calibrated, model_relaxation
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.network import Alternative, Certificate, Configuration
from learnopt.physics import evaluate

NEIGHBOURS = 10
"""Exchanges tried per configuration wanted, for a first bound of the k-th best."""


def k_best(
    state: SearchState, space: SearchSpace, k: int, budget: Budget
) -> tuple[tuple[Alternative, ...], float | None]:
    """The k best configurations, judged, and a bound of all others [kW]; ``state`` must hold the optimum.

    One search in which the k-th best leaf is to beat. It starts from the k-th best of the optimum and its exchange
    neighbours, a bound of the k-th best of all. Under the AC certificate the metric touches the optimum, leaves are AC
    power flows; under the model certificate currents are those at the voltages of the optimum.
    """
    problem, optimum = state.problem, state.incumbent
    assert optimum is not None
    prove_ac = state.certificate is Certificate.AC
    flows = power_flows(problem, optimum)
    currents = None if prove_ac else calibrated(space, optimum, flows)
    iron = held_iron_loss(problem, flows)

    def worth(configuration: Configuration) -> float:
        if currents is None:
            return total_loss(problem, configuration) + state.switching_pu(configuration)
        held = tree_loss(space.problem, configuration, currents) + float(iron[configuration.closed].sum())
        return held + state.switching_pu(configuration)

    candidates = [optimum, *state.local_search.neighbours(optimum, NEIGHBOURS * k)]
    known = sorted((value, i) for i, c in enumerate(candidates) if not math.isnan(value := worth(c)))
    values: list[float] = []
    for value, i in known:
        if len(values) < k and problem.admits(candidates[i]) and evaluate(problem, candidates[i]).feasible:
            values.append(value)
    upper = values[k - 1] * (1 + 3 * PROOF_GAP) if len(values) == k else math.inf
    relaxation = ac_relaxation(space, flows, upper) if currents is None else model_relaxation(space, currents, flows)
    search = DepthFirst(relaxation, upper, PROOF_GAP, k)
    outcome = RUNNING
    while outcome != FINISHED and budget.left:
        outcome = search.search(search.chunk)
    state.nodes += search.nodes
    ranked = []
    for configuration in search.best_leaves:
        evaluation = evaluate(problem, configuration)
        if evaluation.feasible and problem.admits(configuration):
            cost = problem.switching_cost * problem.operations(configuration)
            ranked.append(Alternative(configuration, evaluation.loss_kw, evaluation.loss_kw + cost))
    if outcome != FINISHED:
        state.message += f" The {k} best are not proven: time limit of {budget.limit:g} s reached."
    elif len(search.best_leaves) < k:
        state.message += f" Fewer than {k} configurations respect everything asked for: these are all."
    ranked.sort(key=lambda alternative: alternative.objective_kw)
    return tuple(ranked), search.bound * problem.network.base.kw
