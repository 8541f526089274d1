"""A reduced problem holds exactly the configurations that agree with the decisions; its bound stays its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import all_configurations, feasible_flows, random_problem, solvable_problem
from oracles import LIGHT, enumerated

from learnopt.learned.policy import Decision, consistent
from learnopt.learned.reduction import Reduction, undecided
from learnopt.network import Certificate, Network, ReconfigurationProblem, Status


def reduced_at_random(problem: ReconfigurationProblem, seed: int) -> tuple[np.ndarray, Reduction]:
    """Consistent random decisions and what they leave."""
    rng = np.random.default_rng(seed)
    wild = rng.integers(-1, 2, problem.network.n_branch).astype(np.int8)
    decisions = consistent(problem, wild, rng.random(len(wild)))
    return decisions, Reduction.apply(problem, decisions)


def agrees(closed: np.ndarray, decisions: np.ndarray) -> bool:
    return bool(np.all((decisions == Decision.FREE) | (closed == (decisions == Decision.FIX_CLOSED))))


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000))
def test_reduction_is_the_restriction_to_agreeing_configurations(seed: int) -> None:
    """Same configurations, by brute force; counts add up; fixed and free switches are what those configurations say."""
    problem = solvable_problem(seed, n_bus=(4, 10))
    decisions, reduction = reduced_at_random(problem, seed)
    expected = [c for c in all_configurations(problem) if agrees(c.closed, decisions)]
    assert set(all_configurations(reduction.reduced)) == set(expected)
    total = int(reduction.fixed_closed.sum()) + int(reduction.fixed_open.sum()) + reduction.n_free
    assert total == undecided(problem).sum()
    if problem.max_operations is None:
        closed = np.array([c.closed for c in expected])
        assert closed[:, reduction.fixed_closed].all()
        assert not closed[:, reduction.fixed_open].any()
        assert np.array_equal(closed.any(axis=0) & ~closed.all(axis=0), undecided(reduction.reduced))


@pytest.mark.parametrize("seed", range(12))
def test_optimum_of_the_reduced_problem(seed: int) -> None:
    """It is the best feasible configuration among those that agree with the decisions."""
    problem = solvable_problem(seed, load=LIGHT, n_bus=(6, 10))
    decisions, reduction = reduced_at_random(problem, seed)
    objectives = [
        flow.loss * problem.network.base.kw + problem.switching_cost * problem.operations(c)
        for c, flow in feasible_flows(problem)
        if agrees(c.closed, decisions)
    ]
    result = enumerated(reduction.reduced)
    if objectives:
        assert result.objective_kw == pytest.approx(min(objectives), rel=1e-6)
    else:
        assert result.configuration is None


def test_locks_of_the_scenario_stay(case33: Network) -> None:
    """Decisions are added to them."""
    problem = random_problem(5, ["lock"])
    locked = problem.locked >= 0
    _, reduction = reduced_at_random(problem, 5)
    assert locked.any()
    assert np.array_equal(reduction.reduced.locked[locked], problem.locked[locked])
    problem = ReconfigurationProblem.of(case33)
    nothing = Reduction.apply(problem, np.full(case33.n_branch, Decision.FREE, dtype=np.int8))
    assert not (nothing.fixed_closed | nothing.fixed_open).any()
    assert nothing.n_free == problem.free.sum()


def test_switch_that_would_close_a_fixed_loop_is_not_free(triangle: Network) -> None:
    """Two sides of a triangle fixed closed open the third: nothing is left to decide."""
    decisions = np.array([Decision.FIX_CLOSED, Decision.FIX_CLOSED, Decision.FREE], dtype=np.int8)
    reduction = Reduction.apply(ReconfigurationProblem.of(triangle), decisions)
    assert reduction.n_free == 0
    assert reduction.fixed_closed.tolist() == [True, True, False]
    assert reduction.fixed_open.tolist() == [False, False, True]


def test_invert_drops_what_is_proven(triangle: Network) -> None:
    """The configuration passes, the bound of the reduced problem does not."""
    problem = ReconfigurationProblem.of(triangle)
    reduction = Reduction.apply(problem, np.array([Decision.FIX_OPEN, -1, -1], dtype=np.int8))
    solved = enumerated(reduction.reduced)
    assert solved.status is Status.OPTIMAL
    assert solved.certificate is Certificate.AC
    inverted = reduction.invert(solved)
    assert inverted.configuration == solved.configuration
    assert problem.admits(inverted.configuration)
    assert inverted.objective_kw == solved.objective_kw
    assert inverted.certificate is Certificate.NONE
    assert inverted.dual_bound_kw is None
    assert inverted.gap is None
