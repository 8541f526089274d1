"""The k best configurations, with a bound of all others."""

from __future__ import annotations

import math
from itertools import islice

from learnopt.engines.base import unsettled
from learnopt.engines.tree.budget import Budget
from learnopt.engines.tree.currents import power_flows, total_loss
from learnopt.engines.tree.depth_first import DepthFirst
from learnopt.engines.tree.incumbent import PROOF_GAP, SearchState
from learnopt.engines.tree.kernel import FINISHED, RUNNING
from learnopt.engines.tree.relaxation import ac_relaxation, model_at
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
    neighbours, a bound of the k-th best of all. Metric or model touch the optimum, leaves are AC power flows; under the
    model certificate the bound holds for load currents at the voltages of the optimum.
    """
    problem, optimum = state.problem, state.incumbent
    assert optimum is not None
    flows = power_flows(problem, optimum)
    near = [optimum, *state.local_search.neighbours(optimum, NEIGHBOURS * k)]
    known = sorted((value, i) for i, c in enumerate(near) if not math.isnan(value := _worth(state, c)))
    accepted_near = (value for value, i in known if _accepted(state, near[i]))
    values = list(islice(accepted_near, k))
    prove_ac, refused = state.certificate is Certificate.AC, 0
    while True:
        wanted = k + refused
        values += islice(accepted_near, wanted - len(values))
        upper = values[-1] * (1 + 3 * PROOF_GAP) if len(values) == wanted else math.inf
        relaxation = ac_relaxation(space, flows, upper) if prove_ac else model_at(space, optimum, flows)
        search = DepthFirst(relaxation, upper, PROOF_GAP, wanted)
        outcome = RUNNING
        while outcome != FINISHED and budget.left and state.nodes + search.nodes < budget.nodes:
            outcome = search.search(min(search.chunk, budget.nodes - state.nodes - search.nodes))
        state.nodes += search.nodes
        accepted = [c for c in search.best_leaves if _accepted(state, c, search)]
        # What sweeps accept and the judge refuses took a place from the best k: look again with so many more.
        if outcome != FINISHED or len(accepted) >= k or len(search.best_leaves) < wanted:
            break
        refused = len(search.best_leaves) - len(accepted)
    if outcome != FINISHED:
        state.message += f" The {k} best are not proven: {budget.reached(state.nodes)}"
    elif math.isfinite(search.unsettled):
        state.message += " Some power flows were not settled: configurations may be missing."
    elif len(accepted) < k:
        state.message += f" Fewer than {k} configurations respect everything asked for: these are all."
    ranked = []
    for configuration in accepted:
        loss = evaluate(problem, configuration).loss_kw
        cost = problem.switching_cost * problem.operations(configuration)
        ranked.append(Alternative(configuration, loss, loss + cost))
    ranked.sort(key=lambda alternative: alternative.objective_kw)
    rest = min([search.bound * problem.network.base.kw, *(each.objective_kw for each in ranked[k:])])
    return tuple(ranked[:k]), rest


def _worth(state: SearchState, configuration: Configuration) -> float:
    """The objective by sweeps [pu], NaN where they find no solution."""
    return total_loss(state.problem, configuration) + state.switching_pu(configuration)


def _accepted(state: SearchState, configuration: Configuration, search: DepthFirst | None = None) -> bool:
    """The judge finds a configuration feasible; the bound of the search stays below what the judge does not settle."""
    if not state.problem.admits(configuration):
        return False
    judged = evaluate(state.problem, configuration)
    if search is not None and unsettled(state.problem, configuration, judged):
        search.doubt(_worth(state, configuration))
    return judged.feasible
