"""The dual bounds of arcs and chains, and iterated exchange, against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from instances import all_configurations, solvable_problem

from learnopt.engines.arcs.arborescence import dual_value, flow_limits, propagate, workspace
from learnopt.engines.arcs.arc_graph import ArcGraph
from learnopt.engines.arcs.chains import chain_value, chain_workspace, chains_of, eliminate
from learnopt.engines.arcs.iterated import DRAWS, IteratedExchange
from learnopt.engines.tree import engine as tree_search
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.physics import evaluate
from learnopt.physics.sweep import grid_of, order_tree


def squared_flow(problem: ReconfigurationProblem, configuration: Configuration, columns: np.ndarray, price) -> float:
    """Loss in loops and price of a configuration for fixed injections, summed over columns."""
    net = problem.network
    order, parent, feed = (np.empty(net.n_bus, np.int64) for _ in range(3))
    assert order_tree(grid_of(net), configuration.closed, order, parent, feed)
    below, loss = columns.copy(), 0.0
    looped = ~problem.blocks.bridges
    for k in order[::-1]:
        if feed[k] >= 0:
            loss += (net.r[feed[k]] * np.sum(below[k] ** 2) + price[feed[k]]) * looped[feed[k]]
            below[parent[k]] += below[k]
    return float(loss)


@pytest.mark.parametrize("seed", range(60))
def test_bounds_never_exceed_any_configuration(seed: int) -> None:
    """Arcs and chains, any potentials, mixed signs, prices, couplers, forced branches: a bound of what is alive.

    Elimination keeps every configuration below the threshold.
    """
    rng = np.random.default_rng(seed)
    problem = solvable_problem(
        seed,
        [f for f in ("couplers", "lock") if rng.random() < 0.5],
        n_loops=(2, 6),
        holds=lambda p: bool(p.free.any()),
    )
    configurations = all_configurations(problem)
    net = problem.network
    columns = rng.normal(size=(net.n_bus, 2)) if seed % 3 == 0 else rng.uniform(size=(net.n_bus, 2))
    columns[net.is_substation] = 0.0
    price = np.where(problem.free, rng.normal(scale=0.1, size=net.n_branch), 0.0) * (seed % 2)
    graph = ArcGraph.of(problem, np.array(net.r), price)
    arcs = graph.with_injections(columns)
    chains, work = chains_of(arcs), workspace(arcs)
    scratch = chain_workspace(chains)
    values = [squared_flow(problem, c, columns, price) for c in configurations]
    parents = []
    for c in configurations:  # the arcs of each configuration
        order, parent, feed = (np.empty(net.n_bus, np.int64) for _ in range(3))
        order_tree(grid_of(net), c.closed, order, parent, feed)
        heads = {(int(feed[k]), int(graph.node[k])) for k in range(net.n_bus) if feed[k] >= 0}
        parents.append([(int(b), int(h)) in heads for b, h in zip(arcs.branch, arcs.head, strict=True)])
    n = len(arcs.start) - 1
    parent, top = np.empty(n, np.int64), np.empty(n, np.int64)
    for trial in range(6):
        alive = np.ones(len(arcs.tail), dtype=bool)
        chosen = int(rng.integers(len(configurations)))
        if trial:
            alive = np.array(parents[chosen]) | (rng.random(len(alive)) < 0.7)
        inside = [v for v, own in zip(values, parents, strict=True) if (alive | ~np.array(own)).all()]
        assert propagate(arcs, alive, parent, top)
        flow_limits(arcs, parent, top, work)
        potential = rng.normal(size=(n, 2)) * net.r.mean()
        potential[0] = 0.0
        slack = 1e-9 * (1 + abs(min(inside)))
        by_arcs = dual_value(arcs, potential, alive, work)
        by_chains = chain_value(chains, potential, alive, work.low, work.high, scratch)
        assert by_arcs <= min(inside) + slack
        assert by_chains <= min(inside) + slack
        assert by_chains >= by_arcs - slack
        threshold, before = float(np.median(inside)), alive.copy()
        eliminate(chains, alive, scratch, threshold - by_chains)
        for value, own in zip(values, parents, strict=True):
            if value < threshold - slack and before[np.array(own)].all():
                assert alive[np.array(own)].all()


@pytest.mark.parametrize("seed", range(20))
def test_kicks_keep_the_configuration_radial_and_its_loss_true(seed: int) -> None:
    """The loss that iterated exchange carries along is that of its configuration, which never gets worse."""
    rng = np.random.default_rng(seed)
    problem = solvable_problem(
        seed, ("lock",) if seed % 2 else (), n_bus=(8, 14), n_loops=(2, 6), holds=lambda p: bool(p.free.any())
    )
    configurations = all_configurations(problem)
    net = problem.network
    columns = rng.uniform(size=(net.n_bus, 2)) * ~net.is_substation[:, None]
    price = np.zeros(net.n_branch)
    start = configurations[int(rng.integers(len(configurations)))]
    search = IteratedExchange(problem, start, columns, np.array(net.r), price)
    reached = search.kick(rng.random((50, DRAWS)))
    assert problem.admits(search.configuration)
    assert reached == pytest.approx(squared_flow(problem, search.configuration, columns, price), rel=1e-9)
    assert reached <= squared_flow(problem, start, columns, price) * (1 + 1e-9)
    best = min(squared_flow(problem, c, columns, price) for c in configurations)
    assert reached >= best * (1 - 1e-9)


def test_long_search_compiles_on_a_small_problem(triangle, monkeypatch):
    """What the command line compiles before the clock starts solves the problem it is given."""
    seen, real = [], tree_search.continue_best_first

    def watched(state: Any, *rest: Any) -> None:
        seen.append(state)
        real(state, *rest)

    monkeypatch.setattr(tree_search, "continue_best_first", watched)
    problem = ReconfigurationProblem.of(triangle)
    tree_search.compile_long_search(problem)
    least = min(evaluate(problem, c).loss_kw for c in all_configurations(problem)) / problem.network.base.kw
    assert [state.objective_pu for state in seen] == [pytest.approx(least, rel=1e-6)]
