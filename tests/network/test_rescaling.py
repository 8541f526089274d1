"""New per units behind transformers, against the power flow and every configuration of random networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from instances import FEATURES, all_configurations, feasible_flows, random_problem

from learnopt.engines import SolveOptions
from learnopt.engines.tree.coverage import ac_obstacles
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.network import Certificate, ReconfigurationProblem, Status
from learnopt.network.rescaling import without_ratios
from learnopt.physics import evaluate, power_flow


def stepped(seed: int, agree: bool = True) -> ReconfigurationProblem:
    """A random problem, its buses in zones of unlike taps, with iron losses and bus shunts."""
    rng = np.random.default_rng([31, seed])
    has = [f for f in FEATURES if rng.random() < 0.25]
    problem = random_problem(
        seed, has, n_bus=(4, 10), n_loops=(1, 4), load=((0.05, 0.5), (0.2, 1.5), (0.3, 4))[seed % 3]
    )
    net = problem.network
    zone = rng.choice(rng.uniform(0.9, 1.1, 3), net.n_bus)
    ratio = zone[net.from_bus] / zone[net.to_bus]
    if not agree:
        ratio = ratio * np.where(np.arange(net.n_branch) == rng.integers(net.n_branch), 1.05, 1.0)
    net = replace(
        net,
        ratio=ratio,
        g=rng.uniform(0, 0.02, net.n_branch) * (rng.random(net.n_branch) < 0.4),
        g_shunt=rng.uniform(0, 0.05, net.n_bus) * (rng.random(net.n_bus) < 0.3),
    )
    return problem.replace(network=net)


@pytest.mark.parametrize("seed", range(30))
def test_losses_voltages_and_limits_carry_over(seed: int) -> None:
    """Same losses, voltages over the scale; what respects the limits respects the rescaled ones."""
    problem = stepped(seed)
    rescaled = without_ratios(problem)
    assert rescaled is not None
    assert (rescaled.problem.network.ratio == 1).all()
    for configuration in all_configurations(problem):
        flow, same = power_flow(problem, configuration), power_flow(rescaled.problem, configuration)
        assert flow.converged == same.converged
        if flow.converged:
            assert same.loss == pytest.approx(flow.loss, rel=1e-7, abs=1e-12)
            assert np.abs(flow.v / rescaled.scale - same.v).max() < 1e-8
            judged = evaluate(problem, configuration)
            if judged.feasible and not problem.limits.substations:
                assert evaluate(rescaled.problem, configuration).feasible


@pytest.mark.parametrize("certify", [Certificate.AC, Certificate.MODEL])
def test_search_across_transformers_against_enumeration(certify: Certificate) -> None:
    """The AC bound is below the optimum and the AC proof is it; the model finds it nearly always."""
    proven = near = seen = 0
    for seed in range(60):
        problem = stepped(seed)
        flows = feasible_flows(problem)
        if not flows:
            continue
        result = TreeSearchEngine().solve(problem, SolveOptions(certify=certify))
        least = min(evaluate(problem, c).loss_kw + problem.switching_cost * problem.operations(c) for c, _ in flows)
        seen += 1
        near += result.objective_kw is not None and result.objective_kw <= least * 1.02 + 1e-9
        if result.certificate is Certificate.AC:
            assert result.dual_bound_kw is not None
            assert result.dual_bound_kw <= least * (1 + 1e-7) + 1e-9
            if result.status is Status.OPTIMAL:
                assert result.objective_kw == pytest.approx(least, rel=1e-6, abs=1e-9)
                proven += 1
    assert near > 0.9 * seen
    assert proven > 0.8 * seen or certify is Certificate.MODEL


def test_loops_that_disagree_are_named() -> None:
    """One transformer of a loop at another tap is an obstacle of the AC proof, not of the answer."""
    named = 0
    for seed in range(20):
        problem = stepped(seed, agree=False)
        if without_ratios(problem) is None:
            assert any("not all loops agree" in reason for reason in ac_obstacles(problem))
            named += 1
    assert named > 5
