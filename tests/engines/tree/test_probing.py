"""Fixing by bounds may lose configurations, but none below the cutoff."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import random_network
from instances import all_configurations, random_problem, several

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.exchange import radial_start
from learnopt.engines.tree.probing import fix_by_bounds
from learnopt.network import Certificate, Limits, ReconfigurationProblem, Status
from learnopt.physics import evaluate, power_flow


@pytest.mark.parametrize("seed", range(40))
def test_optimum_survives_below_the_cutoff(seed: int) -> None:
    """With a poor incumbent the optimum is better than the cutoff and must stay admissible."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, int(rng.integers(5, 14)), int(rng.integers(1, 6)), int(rng.integers(1, 3)))
    problem = ReconfigurationProblem.of(network, limits=Limits())
    optimum = load_engine("enumerate").solve(problem, SolveOptions())
    start = radial_start(problem)
    flow = power_flow(problem, start)
    assert optimum.configuration is not None
    if not flow.converged or start == optimum.configuration:
        pytest.skip("the present configuration is no poor incumbent here")
    reduced = fix_by_bounds(problem, start, flow.loss)
    assert reduced.admits(optimum.configuration)


@pytest.mark.parametrize("features", [(), ("generation",)])
@pytest.mark.parametrize("objective", ["expected", "worst"])
@pytest.mark.parametrize("seed", range(6))
def test_optimum_of_several_situations_survives(seed: int, objective: str, features: tuple[str, ...]) -> None:
    """Whatever costs less than the cutoff in all situations together stays admissible."""
    problem = several(random_problem(seed, features, n_bus=(6, 9), n_loops=(2, 4), load=(0.1, 0.8)), seed)
    problem = problem.replace(situations=replace(problem.situations, objective=objective))
    judged = [(evaluate(problem, tree), tree) for tree in all_configurations(problem)]
    ranked = sorted(((e.loss_kw, k) for k, (e, _) in enumerate(judged) if e.feasible))
    incumbent = judged[ranked[len(ranked) // 2][1]][1]
    cutoff_kw = ranked[len(ranked) // 2][0]
    reduced = fix_by_bounds(problem, incumbent, cutoff_kw / problem.network.base.kw)
    cheaper = [judged[k][1] for loss, k in ranked if loss < cutoff_kw * (1 - 1e-9)]
    assert cheaper
    assert all(reduced.admits(tree) for tree in cheaper)


def test_fixes_most_of_the_33_bus_feeder(case33) -> None:
    """At the optimum, with a cutoff just above it, little is left to decide and the optimum is still there."""
    problem = ReconfigurationProblem.of(case33)
    optimum = case33.configuration([7, 9, 14, 32, 37])
    reduced = fix_by_bounds(problem, optimum, 1.0001 * power_flow(problem, optimum).loss)
    assert reduced.admits(optimum)
    assert np.count_nonzero(reduced.free) <= 5


def test_better_incumbent_found_while_probing_is_no_refutation() -> None:
    """From a poor start the MILP still ends at the enumerated optimum, never with a bound above it."""
    for seed in range(15):
        rng = np.random.default_rng([7, seed])
        problem = ReconfigurationProblem.of(random_network(rng, 12, 5))
        optimum = load_engine("enumerate").solve(problem, SolveOptions())
        result = load_engine("milp").solve(problem, SolveOptions(), radial_start(problem))
        assert result.status is Status.OPTIMAL
        assert result.certificate is Certificate.AC
        assert result.dual_bound_kw <= optimum.objective_kw * (1 + 1e-9)
        assert result.objective_kw <= optimum.objective_kw * (1 + 1e-4)


def test_transformers_are_left_alone(case33) -> None:
    """No AC bound covers off-nominal ratios, so nothing is fixed."""
    ratio = np.ones(case33.n_branch)
    ratio[0] = 1.05
    problem = ReconfigurationProblem.of(replace(case33, ratio=ratio))
    assert fix_by_bounds(problem, case33.normal_configuration, 1.0) is problem


@pytest.mark.parametrize("seed", [42, 51, 56])
def test_cutoff_below_the_optimum_may_leave_nothing(seed: int) -> None:
    """With generation bounds are renewed: where fixings exclude each other that is an answer, and a true one."""
    problem = random_problem(seed, ["generation", "capacitors"], n_bus=(20, 30), n_loops=(3, 7), load=(0.1, 1.0))
    optimum = load_engine("enumerate").solve(problem, SolveOptions())
    assert optimum.configuration is not None
    cutoff = 0.9999 * power_flow(problem, optimum.configuration).loss
    assert fix_by_bounds(problem, optimum.configuration, cutoff).contradictions
    result = load_engine("milp").solve(problem, SolveOptions(gap=1e-4), optimum.configuration)
    assert result.status is Status.OPTIMAL
    assert result.objective_kw == pytest.approx(optimum.objective_kw, rel=1e-6)
    assert result.dual_bound_kw <= optimum.objective_kw


@pytest.mark.parametrize("objective", ["expected", "worst"])
@pytest.mark.parametrize("features", [("cost",), ("generation", "cap")])
@pytest.mark.parametrize("seed", range(10))
def test_of_several_situations_nothing_cheap_is_lost(seed: int, features: tuple[str, ...], objective: str) -> None:
    """Whatever the incumbent and the cutoff: a configuration that fixings exclude costs at least the cutoff."""
    problem = several(random_problem(seed, features, (5, 8), (2, 4), (0.3, 1.5)), seed).judged_by(objective)
    values = {}
    for configuration in all_configurations(problem):
        if (found := evaluate(problem, configuration)).converged:
            values[configuration] = found.loss_kw + problem.switching_cost * problem.operations(configuration)
    kw, rng = problem.network.base.kw, np.random.default_rng(seed)
    incumbent = list(values)[int(rng.integers(len(values)))]
    for cutoff in (min(values.values()) * 1.01, values[incumbent], float(np.median(list(values.values())))):
        reduced = fix_by_bounds(problem, incumbent, cutoff / kw)
        kept = {configuration for configuration in values if reduced.admits(configuration)}
        lost = [value for configuration, value in values.items() if configuration not in kept]
        assert all(value >= cutoff * (1 - 1e-9) for value in lost)
