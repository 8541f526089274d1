"""Circuits side by side as one: the same power flows, the same optimum, and proofs for trees that hold for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from loop_oracle import looped_problem, meshed_flow, states, twin_problem

from learnopt.engines import SolveOptions, load_engine
from learnopt.errors import UnsupportedError
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Situations, Status
from learnopt.network.loop_reduction import without_fixed_loops
from learnopt.physics import evaluate, power_flow

FIXED = {"switchable": False}


@pytest.mark.parametrize("seed", range(20))
def test_same_power_flow(seed):
    """Without the other circuits a state has the same voltages, loss and, of a rated circuit, the same loading."""
    problem = twin_problem(seed, limits=True, mixed=seed % 2 == 1)
    reduced = without_fixed_loops(problem)
    assert problem.chords.any()
    assert not reduced.chords.any()
    for closed in states(problem)[:4]:
        whole, one = Configuration(closed), Configuration(closed & reduced.usable)
        assert reduced.admits(one)
        a, b = power_flow(problem, whole), power_flow(reduced, one)
        assert b.loss == pytest.approx(a.loss, rel=1e-9)
        assert np.abs(a.v - b.v).max() < 1e-10
        if seed % 2 == 0:
            judged, merged = evaluate(problem, whole), evaluate(reduced, one)
            assert merged.max_loading == pytest.approx(judged.max_loading, rel=1e-5)


@pytest.mark.parametrize("seed", range(30))
def test_ac_proof_of_the_tree_search(seed):
    """The AC certificate holds against brute force, with mixed signs and with ratings."""
    problem = twin_problem(seed, mixed=seed % 3 == 1, limits=seed % 3 == 2)
    net = problem.network
    least = np.inf
    for closed in states(problem):
        v, loss = meshed_flow(problem, closed)
        drop = np.abs(v[net.from_bus] - v[net.to_bus])
        real = closed & (net.r > 0)
        series = np.divide(drop, np.abs(net.r + 1j * net.x), out=np.zeros(net.n_branch), where=real)
        if seed % 3 != 2 or not (series > net.i_max * (1 + 1e-6))[real].any():
            least = min(least, loss)
    result = load_engine("tree").solve(problem, SolveOptions(certify=Certificate.AC))
    if not np.isfinite(least):
        assert result.status is Status.INFEASIBLE
        return
    assert result.certificate is Certificate.AC
    assert result.dual_bound_kw <= least * (1 + 1e-7)
    if result.status is Status.OPTIMAL:
        assert result.loss_kw == pytest.approx(least, rel=1e-5)
        assert result.configuration.closed[problem.chords].all()


@pytest.mark.parametrize("seed", range(8))
def test_engines_of_radial_states_take_one_for_all(seed):
    """The MILP proves what brute force finds, of one scenario or two; its answer has every circuit closed."""
    problem = twin_problem(seed, mixed=seed % 2 == 1)
    several = problem
    if seed % 4 == 0:
        more = replace(problem.scenario, p_load=1.3 * problem.scenario.p_load)
        several = ReconfigurationProblem.of(problem.network, Situations((problem.scenario, more), np.ones(2)))
    result = load_engine("milp").solve(several, SolveOptions())
    total = [several.total([meshed_flow(m, closed)[1] for m in several.members]) for closed in states(problem)]
    assert result.certificate is Certificate.AC
    assert result.dual_bound_kw <= min(total) * (1 + 1e-7)
    assert result.loss_kw <= min(total) * (1 + 2e-4)
    assert several.admits(result.configuration)


def test_ratings_are_those_of_the_circuits():
    """A charged cable beside a line: its rating is not seen in the one that stands for both, which is said."""
    branches = [(0, 1, 1, 1, FIXED), (0, 1, 1, 1, FIXED | {"b_us": 100, "ampacity_a": 3.0}), (1, 2, 1, 1), (2, 0, 9, 9)]
    problem = ReconfigurationProblem.of(make_network(branches, {1: (100, 30), 2: (100, 30)}))
    with pytest.raises(UnsupportedError, match=r"ratings of circuits in parallel: branch 2: current .* exceeds 3.0 A"):
        load_engine("milp").solve(problem, SolveOptions())
    assert load_engine("enumerate").solve(problem, SolveOptions()).status is Status.INFEASIBLE


@pytest.mark.parametrize("seed", range(5))
def test_other_loops_are_not_reduced(seed):
    """A loop with a load in it, or with another branch, is no connection built twice."""
    problem = looped_problem(seed)
    reduced = without_fixed_loops(problem)
    assert reduced is None or not reduced.chords.any()
    ring = make_network([(0, 1, 1, 1, FIXED), (1, 2, 1, 1, FIXED), (2, 0, 1, 1, FIXED)], {1: (100, 30), 2: (100, 30)})
    assert without_fixed_loops(ReconfigurationProblem.of(ring)) is None


def test_transformers_of_unequal_ratio_are_not_reduced():
    """They drive a current through each other."""
    pair = [(0, 1, 1, 1, FIXED | {"ratio": 1.0}), (0, 1, 1, 1, FIXED | {"ratio": 1.02}), (1, 2, 1, 1)]
    unequal = ReconfigurationProblem.of(make_network(pair, {2: (100, 30)}))
    assert without_fixed_loops(unequal) is None
    equal = ReconfigurationProblem.of(make_network([pair[1], pair[1], pair[2]], {2: (100, 30)}))
    assert np.flatnonzero(without_fixed_loops(equal).must_open).size == 1
