"""One configuration under uncertainty: risks against brute force, and the identities that price them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from instances import PASSIVE, all_configurations, random_problem
from scipy.optimize import linprog

from learnopt.engines import SolveOptions
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.errors import DataError
from learnopt.network import Certificate, ReconfigurationProblem, Situations, Status
from learnopt.physics import evaluate
from learnopt.studies.configuration import risk as risk_module
from learnopt.studies.configuration.risk import Risk, risk_of, solve_risk


def uncertain(seed: int, features: tuple[str, ...] | list[str] = (), n: int = 5) -> ReconfigurationProblem:
    """A random problem whose loads move independently from bus to bus between scenarios of unequal weight."""
    rng = np.random.default_rng([seed, 11])
    problem = random_problem(seed, features, n_bus=(5, 11), n_loops=(2, 4), load=(0.3, 2.0))
    base, scenarios = problem.scenario, []
    for k in range(n):
        p, q = (load * rng.uniform(0.0, 2.0, len(load)) for load in (base.p_load, base.q_load))
        scenarios.append(replace(base, p_load=p, q_load=q, name=f"scenario {k}"))
    together = Situations(tuple(scenarios), rng.integers(0, 4, n) + np.eye(n)[0])
    return problem.under(together)


def cvar_by_definition(losses: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The linear program of Rockafellar and Uryasev: least z + E[max(loss - z, 0)] / (1 - level)."""
    n = len(losses)
    cost = np.concatenate([[1.0], weights / (1 - level)])
    rows = -np.hstack([np.ones((n, 1)), np.eye(n)])
    return float(linprog(cost, A_ub=rows, b_ub=-losses, bounds=[(None, None), *[(0, None)] * n]).fun)


@pytest.mark.parametrize("seed", range(20))
def test_cvar_is_the_textbook_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    losses, weights = rng.uniform(0, 10, 6), rng.dirichlet(np.ones(6))
    level = float(rng.uniform(0.05, 0.99))
    expected = cvar_by_definition(losses, weights, level)
    assert risk_of(losses, weights, Risk.CVAR, level) == pytest.approx(expected, rel=1e-7)
    assert weights @ losses <= expected + 1e-9 <= losses.max() + 2e-9


@pytest.mark.parametrize("risk", [Risk.CVAR, Risk.WORST, Risk.EXPECTED])
@pytest.mark.parametrize("seed", range(20))
def test_least_risk_against_brute_force(seed: int, risk: Risk) -> None:
    """The proven optimum is that of all configurations, also across the duality gap of the weights."""
    rng = np.random.default_rng([seed, 4])
    problem = uncertain(seed, [f for f in PASSIVE if rng.random() < 0.2])
    level = float(rng.choice([0.3, 0.6, 0.9]))
    best = math.inf
    for configuration in [] if problem.contradictions else all_configurations(problem):
        single = [evaluate(member, configuration) for member in problem.members]
        if all(e.feasible for e in single):
            value = risk_of(np.array([e.loss_kw for e in single]), problem.weights, risk, level)
            best = min(best, value + problem.switching_cost * problem.operations(configuration))
    result = solve_risk(problem, risk, level)
    if result.configuration is None:
        assert best == math.inf
        return
    assert result.status is Status.OPTIMAL
    assert result.certificate is Certificate.AC
    assert result.objective_kw == pytest.approx(best, rel=1e-7)
    assert result.dual_bound_kw <= best * (1 + 1e-9)


def test_duality_gap_is_closed_by_enumeration(monkeypatch) -> None:
    """Weights alone leave the CVaR of some instances open; enumeration closes each of them."""
    monkeypatch.setattr(risk_module, "LAST_K", 0)
    problems = [uncertain(seed) for seed in range(20)]
    still_open = [p for p in problems if solve_risk(p, Risk.CVAR, 0.95).status is Status.FEASIBLE]
    assert still_open
    monkeypatch.undo()
    assert all(solve_risk(p, Risk.WORST).status is Status.OPTIMAL for p in still_open)


@pytest.mark.parametrize("seed", range(8))
def test_price_of_uncertainty(seed: int) -> None:
    """Value of the stochastic solution and of perfect information by their definitions, and their signs."""
    problem = uncertain(seed, ["cost"])
    summary = solve_risk(problem, Risk.CVAR, 0.7).risk
    options = SolveOptions(certify=Certificate.AC)
    neutral = TreeSearchEngine().solve(problem, options).objective_kw
    alone = [TreeSearchEngine().solve(member, options).objective_kw for member in problem.members]
    assert summary.perfect_information_kw == pytest.approx(neutral - problem.weights @ alone, abs=1e-6)
    of_mean = TreeSearchEngine().solve(problem.mean, options).configuration
    cost = evaluate(problem, of_mean).loss_kw + problem.switching_cost * problem.operations(of_mean)
    assert summary.stochastic_solution_kw == pytest.approx(cost - neutral, abs=1e-6)
    assert min(summary.stochastic_solution_kw, summary.perfect_information_kw) >= -1e-6
    assert summary.price_of_robustness_kw >= 0
    assert summary.expected_kw <= summary.cvar_kw + 1e-9 <= summary.worst_kw + 2e-9


def test_bad_risk() -> None:
    """A level outside (0, 1) and a single scenario are reported together."""
    with pytest.raises(DataError) as caught:
        solve_risk(random_problem(1, ()), Risk.CVAR, 1.0)
    assert len(caught.value.violations) == 2


def test_objective_of_the_problem_does_not_matter() -> None:
    """A problem that names the worst case itself gives the same CVaR: its bounds are not taken for those of means."""
    problem = uncertain(3)
    expected, named = (solve_risk(problem.judged_by(o), Risk.CVAR, 0.6) for o in ("expected", "worst"))
    assert named.objective_kw == pytest.approx(expected.objective_kw, rel=1e-9)
    assert named.dual_bound_kw == pytest.approx(expected.dual_bound_kw, rel=1e-7)
    worst = TreeSearchEngine().solve(problem.judged_by("worst"), SolveOptions(certify=Certificate.AC))
    assert solve_risk(problem, Risk.WORST).objective_kw == pytest.approx(worst.objective_kw, rel=1e-7)
