"""Circuits side by side as one: the same power flows, the same optimum, and proofs for trees that hold for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from loop_oracle import looped_problem, meshed_flow, states

from learnopt.engines import SolveOptions, load_engine
from learnopt.network import Certificate, Configuration, Limits, ReconfigurationProblem, Status
from learnopt.network.loop_reduction import without_fixed_loops
from learnopt.physics import evaluate, power_flow

FIXED = {"switchable": False}


def twin_problem(seed: int, limits: bool = False, mixed: bool = False) -> ReconfigurationProblem:
    """A random ring system in which some lines without a switch are built two or three times, some behind couplers."""
    rng = np.random.default_rng([30, seed])
    n = int(rng.integers(5, 9))
    branches = [(k - 1 if k < 3 else int(rng.integers(0, k)), k, *rng.uniform(0.1, 1.5, 2), {}) for k in range(1, n)]
    for _ in range(int(rng.integers(2, 5))):
        a, b = (int(k) for k in rng.choice(n, 2, replace=False))
        branches.append((a, b, *rng.uniform(0.1, 1.5, 2), {"normally_open": True}))
    for k in rng.choice(n - 1, 2, replace=False):
        a, b = branches[k][:2]
        branches[k] = (*branches[k][:4], FIXED)
        for copy in range(int(rng.integers(1, 3))):
            far = f"bay {k} {copy}" if rng.random() < 0.4 else b
            branches.append((*((a, far) if rng.random() < 0.5 else (far, a)), *rng.uniform(0.1, 1.5, 2), FIXED))
            if far != b:
                branches.append((far, b, 0.0, 0.0, FIXED))
    loads = {k: (float(rng.uniform(0, 300)), float(rng.uniform(0, 150))) for k in range(1, n)}
    net = make_network(branches, loads)
    if limits:
        net = replace(net, i_max=np.where(rng.random(net.n_branch) < 0.5, rng.uniform(0.02, 0.2, net.n_branch), np.inf))
    if mixed:
        b = np.where((net.r > 0) & (rng.random(net.n_branch) < 0.5), rng.uniform(0, 0.05, net.n_branch), 0.0)
        g = np.where((net.r > 0) & (rng.random(net.n_branch) < 0.3), rng.uniform(0, 0.01, net.n_branch), 0.0)
        net = replace(net, b=b, g=g, p_load=net.p_load * np.where(rng.random(net.n_bus) < 0.2, -0.5, 1.0))
    return ReconfigurationProblem.of(net, limits=Limits(ampacity=limits))


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
