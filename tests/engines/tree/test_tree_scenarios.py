"""Several scenarios, one configuration: the tree search against brute force, each scenario judged on its own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from instances import FEATURES, PASSIVE, all_configurations, random_problem, several

from learnopt.engines import SolveOptions, engine_names, load_engine
from learnopt.engines.base import AGREEMENT
from learnopt.engines.tree.currents import tree_loss
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.errors import UnsupportedError
from learnopt.network import Certificate, Configuration, Network, ReconfigurationProblem, Situations, Status
from learnopt.physics import evaluate, power_flow

AC = SolveOptions(certify=Certificate.AC)


def oracle(problem: ReconfigurationProblem) -> tuple[float, Configuration | None]:
    """Least objective [kW] of all configurations that are feasible in every scenario, each scenario a problem alone."""
    best, answer = math.inf, None
    for configuration in all_configurations(problem):
        single = [evaluate(member, configuration) for member in problem.members]
        if all(e.feasible for e in single):
            losses = [e.loss_kw for e in single]
            loss = max(losses) if problem.objective == "worst" else float(problem.weights @ losses)
            value = loss + problem.switching_cost * problem.operations(configuration)
            if value < best:
                best, answer = value, configuration
    return best, answer


@pytest.mark.parametrize("objective", ["expected", "worst"])
@pytest.mark.parametrize("seed", range(60))
def test_ac_optimum_of_several_scenarios(seed: int, objective: str) -> None:
    """The AC certificate of the mean or worst loss is the optimum of brute force, in every kind of passive problem."""
    rng = np.random.default_rng([seed, 2])
    features = [f for f in PASSIVE if rng.random() < 0.3]
    problem = several(random_problem(seed, features), seed).judged_by(objective)
    best, _ = oracle(problem)
    result = TreeSearchEngine().solve(problem, AC)
    if result.configuration is None:
        assert best == math.inf
        assert result.status is Status.INFEASIBLE
        return
    assert result.status is Status.OPTIMAL
    assert result.certificate is Certificate.AC
    assert result.objective_kw == pytest.approx(best, rel=1e-7, abs=1e-9)
    assert result.dual_bound_kw <= best * (1 + 1e-9) + 1e-12


def currents_at(problem: ReconfigurationProblem, configuration: Configuration) -> np.ndarray | None:
    """Load and charging currents of each scenario, in the mean times the root of its weight, (n_bus, n_scenario)."""
    columns = []
    weights = np.ones(len(problem.members)) if problem.objective == "worst" else problem.weights
    for member, weight in zip(problem.members, weights, strict=True):
        flow = power_flow(member, configuration)
        if not flow.converged:
            return None
        half = np.where(configuration.closed, member.b / 2, 0.0)
        shunt = np.bincount(member.network.from_bus, half, len(flow.v))
        shunt += np.bincount(member.network.to_bus, half, len(flow.v))
        current = np.conj((member.p + 1j * member.q) / flow.v) + 1j * shunt * flow.v
        columns.append(math.sqrt(weight) * np.where(member.network.is_substation, 0.0, current))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("objective", ["expected", "worst"])
@pytest.mark.parametrize("seed", range(40))
def test_model_optimum_of_several_scenarios(seed: int, objective: str) -> None:
    """The model bound is the least calibrated loss of all trees, for the currents of one of them as reference."""
    rng = np.random.default_rng([seed, 3])
    kinds = [f for f in FEATURES if f not in ("voltage limits", "ampacity", "ratings", "cost", "cap", "couplers")]
    features = [f for f in kinds if rng.random() < 0.3]
    problem = several(random_problem(seed, features, n_loops=(1, 3), load=(0.3, 1.5)), seed)
    problem = problem.judged_by(objective)
    result = TreeSearchEngine().solve(problem, SolveOptions())
    if problem.contradictions:
        assert result.status is Status.INFEASIBLE
        return
    assert result.status is (Status.OPTIMAL if result.gap <= AGREEMENT else Status.FEASIBLE)
    trees, kw = all_configurations(problem), problem.network.base.kw
    assert result.configuration in trees
    references = [c for c in (currents_at(problem, tree) for tree in trees) if c is not None]
    least = [min(tree_loss(problem, tree, currents) for tree in trees) * kw for currents in references]
    bounds = np.minimum(least, result.objective_kw)
    assert np.min(np.abs(result.dual_bound_kw - bounds) / (bounds + 1e-9)) < 1e-6


def test_equal_scenarios_are_one(case33: Network) -> None:
    """A day of equal hours has the optimum, the loss and the bound of one hour."""
    one = ReconfigurationProblem.of(case33)
    day = ReconfigurationProblem.of(case33, Situations((one.scenario,) * 4, np.ones(4)))
    expected, found = (TreeSearchEngine().solve(problem, AC) for problem in (one, day))
    assert found.configuration == expected.configuration
    assert found.loss_kw == pytest.approx(expected.loss_kw, rel=1e-9)
    assert found.dual_bound_kw == pytest.approx(expected.dual_bound_kw, rel=1e-8)
    assert len(found.evaluation.scenarios) == 4


def test_limit_in_one_scenario_counts() -> None:
    """A configuration that violates a voltage limit in one scenario only is not an answer, however small its weight."""
    problem = random_problem(3, ())
    low = problem.under(replace(problem.scenario, p_load=problem.p * 0.2, q_load=problem.q * 0.2))
    best = TreeSearchEngine().solve(problem, AC)
    limits = replace(problem.limits, vm_min=best.evaluation.min_voltage_pu + 1e-4)
    weights = np.array([1.0, 1e-6])
    both = Situations((low.scenario, replace(problem.scenario, name="peak")), weights)
    result = TreeSearchEngine().solve(problem.under(both).replace(limits=limits), AC)
    assert TreeSearchEngine().solve(low.replace(limits=limits), AC).configuration == best.configuration
    assert result.configuration != best.configuration
    verdict = evaluate(problem.under(both).replace(limits=limits), best.configuration)
    assert all("peak" in sentence for sentence in verdict.violations)
    assert verdict.violations


@pytest.mark.parametrize("name", [name for name in engine_names() if name not in ("tree", "milp", "hybrid")])
def test_other_engines_refuse_several_scenarios(name: str) -> None:
    """An engine that would solve the mean loads instead says so."""
    with pytest.raises(UnsupportedError, match="takes one scenario"):
        load_engine(name).solve(several(random_problem(1, ()), 1), SolveOptions())
