"""The rival is a fair one: it finds known optima and respects what it is asked for."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from instances import feasible_flows, random_problem

from learnopt.engines import SolveOptions
from learnopt.network import Certificate, ReconfigurationProblem, Scenario, Status

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from textbook import TextbookEngine


def test_case16_is_solved(case16):
    """The optimal configuration of the 16-bus system, with a bound that calls itself one of a model."""
    result = TextbookEngine().solve(ReconfigurationProblem.of(case16), SolveOptions())
    assert result.status is Status.OPTIMAL
    assert case16.open_ids(result.configuration) == [7, 8, 16]
    assert result.certificate is Certificate.MODEL


def test_passive_feeders():
    """Without limits an answer is always found; at nominal voltage currents are too small, so the bound is low."""
    solved = 0
    for seed in range(24):
        features = (("couplers", "cost"), ("lock", "cap"), ("outage",))[seed % 3]
        problem = random_problem(seed, features, load=(0.3, 1.0), n_loops=(1, 4))
        flows = feasible_flows(problem)
        if not flows or problem.contradictions:
            continue
        kw = problem.network.base.kw
        best = min(f.loss * kw + problem.switching_cost * problem.operations(c) for c, f in flows)
        result = TextbookEngine().solve(problem, SolveOptions(gap=0.0))
        assert result.status is Status.OPTIMAL
        assert problem.admits(result.configuration)
        assert best - 1e-6 <= result.objective_kw <= 1.3 * best + 1e-6
        assert result.dual_bound_kw <= best + 1e-4
        solved += 1
    assert solved > 12


def test_locks_that_leave_no_tree_are_infeasible(case33):
    """A contradiction is a status, as for every engine."""
    first = replace(Scenario.nominal(case33), out_of_service=np.arange(case33.n_branch) == 0)
    result = TextbookEngine().solve(ReconfigurationProblem.of(case33, first), SolveOptions())
    assert result.status is Status.INFEASIBLE


def test_time_limit_is_a_status(case33):
    """Stopped at once, it says so."""
    result = TextbookEngine().solve(ReconfigurationProblem.of(case33), SolveOptions(time_limit=0.1))
    assert result.status in (Status.NO_SOLUTION, Status.FEASIBLE)
    assert "Time limit" in result.message
