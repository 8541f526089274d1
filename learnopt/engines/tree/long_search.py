"""Where the depth-first search takes too long: kicks for a better incumbent, then best-first search."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from learnopt.engines.arcs.iterated import DRAWS, IteratedExchange
from learnopt.engines.tree.budget import Budget
from learnopt.engines.tree.currents import power_flows, real_columns
from learnopt.engines.tree.frontier import BestFirst
from learnopt.engines.tree.incumbent import SearchState
from learnopt.engines.tree.kernel import FINISHED, IMPROVED, RUNNING
from learnopt.engines.tree.relaxation import calibrated
from learnopt.engines.tree.search_space import SearchSpace

KICKS, CHUNK_BUSES = 4000, 1e5
"""Kicks of iterated exchange before the best-first search, and buses of all kicks between two looks at the clock."""
SHARE, KICKED_BUSES = 0.1, 5e5
"""Share of the time limit for kicks, and buses of all kicks that count as a second: the same on every machine."""
FRESH = 200
"""Nodes within which a better incumbent is worth a new metric at once."""


def kick(state: SearchState, space: SearchSpace, budget: Budget) -> None:
    """Iterated exchange from the incumbent, for at most :data:`SHARE` of the time limit."""
    problem, decisions = state.problem, space.decisions
    if state.incumbent is None:
        return
    price = np.zeros(problem.network.n_branch)
    price[decisions.branch] = decisions.close_cost - decisions.open_cost
    columns = real_columns(calibrated(space, state.incumbent, power_flows(problem, state.incumbent)))
    exchange = IteratedExchange(space.problem, state.incumbent, columns, space.problem.network.r, price)
    rng, n_bus = np.random.default_rng(0), problem.network.n_bus
    left, at_a_time = min(KICKS, SHARE * budget.limit * KICKED_BUSES / n_bus), max(1, int(CHUNK_BUSES / n_bus))
    while left >= 1 and budget.left:
        exchange.kick(rng.random((min(at_a_time, int(left)), DRAWS)))
        left -= at_a_time
    state.offer_improved(exchange.configuration)


def continue_best_first(
    state: SearchState, frontier: BestFirst, budget: Budget, learn: Callable[[BestFirst], None]
) -> int:
    """Best-first search of the AC problem until FINISHED, out of time (RUNNING) or worth a new metric (IMPROVED).

    ``learn`` takes what the search has proven, at every look.
    """
    before, start = state.objective_pu, state.nodes
    outcome = frontier.search(0)
    if (rounded := frontier.rounded()) is not None:
        state.offer_improved(rounded)
    while outcome != FINISHED and state.goes_on and state.nodes < budget.nodes:
        frontier.to_beat = min(frontier.to_beat, state.objective_pu)
        if state.objective_pu < before and frontier.nodes < FRESH:
            return IMPROVED
        outcome = frontier.search(min(frontier.chunk, budget.nodes - state.nodes))
        state.nodes = start + frontier.nodes
        if outcome == IMPROVED:
            state.take_leaf(frontier)
        learn(frontier)
    return FINISHED if outcome == FINISHED else RUNNING
