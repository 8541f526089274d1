"""The fractional tree lies in the spanning tree polytope, near the least relaxed loss, below every radial loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from instances import random_problem

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.tree.currents import tree_loss
from learnopt.network import Network, ReconfigurationProblem
from learnopt.physics import LoopSpace
from learnopt.physics.tree_polytope import fractional_tree


def relaxed_loss(problem: ReconfigurationProblem, space: LoopSpace, z: np.ndarray) -> float:
    """F(z) by a dense solve of Kirchhoff's laws, branches outside loops included."""
    flow = space.meshed_flow(problem.p + 1j * problem.q)
    resistance, cycles = space.r / z, space.cycles
    around = np.linalg.solve(cycles.T @ (resistance[:, None] * cycles), cycles.T @ (resistance * flow[space.core]))
    inside = np.sum(resistance * np.abs(flow[space.core] - cycles @ around) ** 2)
    outside = np.ones(len(flow), dtype=bool)
    outside[space.core] = False
    return float(inside + np.sum(problem.network.r[outside] * np.abs(flow[outside]) ** 2))


def test_polytope_and_bound() -> None:
    """Sums of z are those of trees, locks are kept, steps lower F, and no tree loses less than the least F."""
    checked = 0
    for seed in range(60):
        problem = random_problem(seed, ["locks"], load=(0.2, 0.5), n_bus=(6, 12), n_loops=(2, 4))
        if problem.contradictions or not problem.core.branches.size:
            continue
        space = LoopSpace.of(problem)
        s = problem.p + 1j * problem.q
        if space.n_loops == 0:
            continue
        flow = space.meshed_flow(s)
        few, many = fractional_tree(problem, space, flow), fractional_tree(problem, space, flow, 400)
        for z in (few.closed, many.closed):
            assert np.all((z > 0) & (z <= 1 + 1e-12))
            assert z.sum() == pytest.approx(len(space.core) - space.n_loops, abs=1e-3)
            assert np.allclose(z[problem.must_close[space.core]], 1.0)
        least = relaxed_loss(problem, space, many.closed)
        assert relaxed_loss(problem, space, few.closed) < 1.15 * least
        optimum = load_engine("enumerate").solve(problem, SolveOptions()).configuration
        if optimum is not None:
            injection = np.where(problem.network.is_substation, 0.0, s)
            assert least <= tree_loss(problem, optimum, injection) * (1 + 1e-2)
            checked += 1
    assert checked > 15


def test_opening_cost_on_a_ring(two_substations: Network) -> None:
    """Equal loads between two substations: the middle opens, both ends stay; without load nothing is preferred."""
    problem = ReconfigurationProblem.of(two_substations)
    space = LoopSpace.of(problem)
    tree = fractional_tree(problem, space, space.meshed_flow(problem.p + 1j * problem.q))
    assert np.argmin(tree.closed) == np.argmin(tree.opening_cost) == 1
    assert tree.closed[1] < 0.1
    dark = problem.under(replace(problem.scenario, p_load=0 * problem.p, q_load=0 * problem.q))
    tree = fractional_tree(dark, space, space.meshed_flow(dark.p + 1j * dark.q))
    np.testing.assert_allclose(tree.closed, 2 / 3)
    assert not tree.opening_cost.any()


def test_no_loops() -> None:
    """A radial network has nothing to open."""
    problem = ReconfigurationProblem.of(make_network([(0, 1, 1, 1), (1, 2, 1, 1)], {2: (100, 10)}))
    space = LoopSpace.of(problem)
    assert len(fractional_tree(problem, space, space.meshed_flow(problem.p + 1j * problem.q)).closed) == 0
