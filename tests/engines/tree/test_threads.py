"""Side by side: subtrees and open nodes in lanes give one answer for any number of threads, and the right one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from instances import PASSIVE, feasible_flows, random_problem

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.arcs import node_pool
from learnopt.engines.tree import depth_first, incumbent
from learnopt.engines.tree import engine as tree_search
from learnopt.engines.tree import proof as tree_proof
from learnopt.engines.tree.budget import in_threads
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.engines.tree.kernel import FINISHED, RUNNING
from learnopt.engines.tree.relaxation import Relaxation
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.errors import DataError
from learnopt.io import load_case
from learnopt.network import Certificate, Limits, ReconfigurationProblem, Result, Scenario, Situations, Status


@pytest.fixture(params=["depth first", "best first"])
def lanes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes from the first nodes on; no incumbent to begin with, so that lanes tell each other what they find."""
    monkeypatch.setattr(depth_first, "SPLIT_AFTER", 2)
    monkeypatch.setattr(tree_search, "find_incumbent", lambda *_: None)
    monkeypatch.setattr(incumbent.LocalSearch, "improve", lambda *_, **__: None)
    if request.param == "best first":
        monkeypatch.setattr(tree_proof, "HAND_OVER", 0)


def solve(problem: ReconfigurationProblem, threads: int, certify: Certificate = Certificate.AC, **more) -> Result:
    options = SolveOptions(certify=certify, threads=threads, **more)
    return TreeSearchEngine().solve(problem, options)


@pytest.mark.parametrize("seed", range(60))
def test_lanes_equal_brute_force_for_any_number_of_threads(seed: int, lanes: None) -> None:
    """Every passive feature: the least objective, a bound below it, the same to the last bit on 3 threads."""
    rng = np.random.default_rng(seed)
    features = [f for f in PASSIVE if rng.random() < 0.3]
    problem = random_problem(seed, features, n_bus=(8, 13), n_loops=(3, 6))
    flows = feasible_flows(problem) if not problem.contradictions else []
    alone, shared = (solve(problem, threads) for threads in (1, 3))
    for field in ("status", "configuration", "dual_bound_kw", "nodes", "message"):
        assert getattr(alone, field) == getattr(shared, field)
    if not flows:
        assert alone.status in (Status.INFEASIBLE, Status.NO_SOLUTION)
        return
    best = min(1e3 * f.loss + problem.switching_cost * problem.operations(c) for c, f in flows)
    assert alone.status is Status.OPTIMAL
    assert alone.objective_kw == pytest.approx(best, rel=1e-6, abs=1e-9)
    assert alone.dual_bound_kw <= best * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize(("certify", "gap"), [(Certificate.AC, 0.0), (Certificate.AC, 0.02), (Certificate.MODEL, 0.0)])
def test_threads_change_nothing_on_a_feeder(certify: Certificate, gap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """70 buses at half again the load, also with a gap, where the order of the search decides which answer it is."""
    monkeypatch.setattr(depth_first, "SPLIT_AFTER", 5)
    network = load_case("case70")
    nominal = Scenario.nominal(network)
    heavy = replace(nominal, p_load=1.5 * nominal.p_load, q_load=1.5 * nominal.q_load)
    problem = ReconfigurationProblem(network, Situations.of(heavy), Limits())
    alone, shared = (solve(problem, threads, certify, gap=gap) for threads in (1, 4))
    assert alone.status is shared.status is Status.OPTIMAL
    assert alone.configuration == shared.configuration
    assert (alone.dual_bound_kw, alone.nodes) == (shared.dual_bound_kw, shared.nodes)


def test_lanes_visit_every_leaf_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subtrees taken off a stack are disjoint: with nothing to prune by, as many leaves as there are configurations."""
    problem = random_problem(11, [], n_bus=(8, 12), n_loops=(4, 5), load=(0.1, 0.2))
    space = SearchSpace.of(problem)
    leaves, real = [], depth_first.search

    def counting(data, trunk, stack, *arguments):
        leaves[-1] -= stack.scalars[2]
        outcome = real(data, trunk, stack, *arguments)
        leaves[-1] += stack.scalars[2]
        return outcome

    counting.patience = depth_first.search.patience
    monkeypatch.setattr(depth_first, "search", counting)
    for split_after in (10**9, 3):
        monkeypatch.setattr(depth_first, "SPLIT_AFTER", split_after)
        nothing = Relaxation(space, np.zeros((problem.network.n_bus, 2)), np.zeros(1))
        search, outcome = depth_first.DepthFirst(nothing, np.inf, 0.0), RUNNING
        leaves.append(0)
        while outcome != FINISHED:
            search.to_beat = np.inf  # a leaf of nothing would be the end of the search
            outcome = search.search(1)
    assert leaves[0] == leaves[1] == len(feasible_flows(problem))


def test_a_full_pool_gives_up_nodes_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for a few nodes only: the search ends, and its bound is below every configuration."""
    monkeypatch.setattr(tree_proof, "HAND_OVER", 0)
    monkeypatch.setattr(tree_proof, "kick", lambda *_: None)
    monkeypatch.setattr(node_pool, "MEMORY", 1.0)
    monkeypatch.setattr(node_pool, "LEAST", 1)
    monkeypatch.setattr(tree_search, "find_incumbent", lambda *_: None)
    monkeypatch.setattr(incumbent.LocalSearch, "improve", lambda *_, **__: None)
    given_up = 0
    for seed in range(20):
        problem = random_problem(seed, [], n_bus=(10, 13), n_loops=(6, 8), load=(0.3, 1.5))
        result = solve(problem, 1)
        best = load_engine("enumerate").solve(problem, SolveOptions()).objective_kw
        assert result.dual_bound_kw <= best * (1 + 1e-9)
        given_up += result.status is Status.FEASIBLE
        assert result.status is Status.FEASIBLE or result.objective_kw == pytest.approx(best, rel=1e-6)
    assert given_up > 0


def test_answers_come_in_the_order_of_the_tasks() -> None:
    """Also from threads; and a number of threads that makes no sense is refused with its reason."""
    assert in_threads(lambda k: k * k, range(50), 4) == [k * k for k in range(50)]
    with pytest.raises(DataError, match="threads = 0 must be >= 1"):
        SolveOptions(threads=0)


@pytest.mark.parametrize(
    ("nodes", "progress", "handed_over"),
    [(60_000, 0.999, False), (30_000, 0.4, True), (30_000, 0.6, False), (8_000, 1e-6, True), (6_000, 1e-9, False)],
)
def test_the_best_first_search_takes_over_where_no_end_is_in_sight(nodes: int, progress: float, handed_over: bool):
    """Late only where much is left, early only where it is hopeless; at the outset where it is told to."""
    search = SimpleNamespace(nodes=nodes, progress=progress)
    assert tree_proof.hopeless(search, nodes, 28_000) is handed_over
    assert tree_proof.hopeless(SimpleNamespace(nodes=0, progress=0.0), 0, 0)
