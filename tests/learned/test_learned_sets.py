"""The learned engine with controls and several scenarios: whatever the model believes, nothing false is claimed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from instances import random_problem, several
from oracles import PREDICTORS, certain, optimum, sure_of, untrained, worst_of_many

from learnopt.engines import SolveOptions
from learnopt.engines.dispatch import settle_from_each_step
from learnopt.engines.exchange import find_incumbent
from learnopt.engines.milp.engine import MilpEngine
from learnopt.learned.belief import Belief
from learnopt.learned.engine import LearnedEngine
from learnopt.learned.horizon import learned_suggestions
from learnopt.network import (
    Capacitor,
    Certificate,
    Controls,
    Generator,
    Limits,
    ReconfigurationProblem,
    Situations,
    Status,
    Tap,
)
from learnopt.physics import evaluate
from learnopt.studies.horizon import HorizonProblem, plan_horizon

FAST, PROOF = SolveOptions(), SolveOptions(certify=Certificate.AC)


def problem_of(seed: int) -> ReconfigurationProblem:
    """By turns: controls, scenarios, both."""
    rng = np.random.default_rng([seed, 41])
    limits = ("voltage limits",) if seed % 2 else ()
    problem = random_problem(seed, limits, n_bus=(5, 8), n_loops=(2, 4), load=(0.3, 1.5))
    if seed % 3:
        base = problem.scenario
        factors = rng.uniform(0.2, 1.5, (3, len(base.p_load)))
        scenarios = tuple(
            replace(base, p_load=base.p_load * f, q_load=base.q_load * f, name=str(k)) for k, f in enumerate(factors)
        )
        together = Situations(scenarios, np.array([1.0, 2.0, 0.0]))
        problem = problem.under(together)
    if seed % 3 != 1:
        buses = np.flatnonzero(~problem.network.is_substation)
        load = float(np.abs(problem.q).sum()) + 0.05
        controls = Controls(
            (Tap(int(rng.integers(problem.network.n_branch)), 0.975, 1.025, 0.05),),
            (Capacitor(int(rng.choice(buses)), (0.4 * load,)),),
            (Generator("G", int(rng.choice(buses)), 0.0, 0.2 * load, 0.0, 0.0),),
        )
        problem = problem.replace(controls=controls)
    return problem


@pytest.mark.parametrize("predictor", PREDICTORS)
@pytest.mark.parametrize("seed", range(6))
def test_sound_whatever_is_believed(seed: int, predictor: str) -> None:
    """Fast mode claims nothing; certified mode reaches the optimum of the MILP on the full problem."""
    problem = problem_of(seed)
    oracle = MilpEngine().solve(problem, PROOF)
    fast = LearnedEngine(PREDICTORS[predictor]).solve(problem, FAST)
    assert (fast.certificate, fast.dual_bound_kw) == (Certificate.NONE, None)
    assert fast.status is not Status.OPTIMAL
    assert (fast.configuration is None) == (oracle.configuration is None)
    proof = LearnedEngine(PREDICTORS[predictor]).solve(problem, PROOF)
    if oracle.configuration is None:
        return
    for result in (fast, proof):
        judged = evaluate(problem.applied(result.settings), result.configuration)
        assert judged.feasible
        cost = problem.switching_cost * problem.operations(result.configuration)
        assert result.objective_kw == pytest.approx(judged.loss_kw + cost)
        assert result.engine == "learned"
        assert result.learned is not None
        assert (result.learned.alpha, result.learned.fixed_closed, result.learned.fixed_open) == (None, 0, 0)
        assert "Nothing was fixed" in result.message
        if oracle.certificate is Certificate.AC:
            assert result.objective_kw >= oracle.dual_bound_kw * (1 - 1e-6) - 1e-9
    if proof.certificate is Certificate.AC:
        assert proof.dual_bound_kw <= oracle.objective_kw * (1 + 1e-6) + 1e-9
    if proof.status is Status.OPTIMAL:
        assert proof.objective_kw <= oracle.objective_kw * (1 + 1.1e-4) + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_exact_engines_agree_on_several_situations(seed: int) -> None:
    """Which engine solves what is left makes no difference to the answer, nor to what is claimed."""
    base = random_problem(seed, [], n_bus=(6, 9), n_loops=(2, 3), load=(0.2, 0.9))
    problem = several(base, seed)
    tree, milp = (LearnedEngine(PREDICTORS["wrong"], exact=name).solve(problem, FAST) for name in ("tree", "milp"))
    assert tree.objective_kw == pytest.approx(milp.objective_kw, rel=2e-4)
    assert tree.status is milp.status is Status.FEASIBLE
    assert tree.dual_bound_kw is milp.dual_bound_kw is None


def test_probabilities_of_scenarios_are_averaged() -> None:
    """The mean of two opposite beliefs is weighted, and its most probable tree is that of the heavier one."""
    problem = problem_of(1)
    first, second = optimum(problem.members[0]), worst_of_many(problem.members[0])
    assert first != second
    predictions = tuple(certain(problem.members[0], c) for c in (first, second))
    belief = Belief((problem.members[0],) * 2, predictions, np.array([0.25, 0.75]))
    place = int(np.flatnonzero((first.closed != second.closed) & first.closed)[0])
    assert belief.p_closed[place] == pytest.approx(0.25)
    assert belief.most_probable == second


@pytest.mark.parametrize("seed", [0, 6, 12])
def test_controls_are_never_worse_than_in_turns(seed: int) -> None:
    """With controls fast mode returns at least what switches and controls improved in turns reach without a model."""
    problem = problem_of(seed).replace(limits=Limits())
    start = find_incumbent(problem.applied(None), None, np.random.default_rng(0))
    rival = settle_from_each_step(problem, start)
    assert rival is not None
    for predictor in PREDICTORS.values():
        fast = LearnedEngine(predictor).solve(problem, SolveOptions())
        assert fast.objective_kw <= rival[2] * problem.network.base.kw * (1 + 1e-9)
        assert fast.learned.problem_class == "controls"


@pytest.mark.parametrize("predictor", [*PREDICTORS.values(), sure_of(worst_of_many, "again"), untrained()])
@pytest.mark.parametrize("controlled", [False, True])
def test_horizon_with_suggestions(predictor, controlled: bool) -> None:
    """Starts and candidates of any quality leave the bound of the horizon what it is."""
    problem = problem_of(0 if controlled else 1)
    base, n = problem.members[0].scenario, 3
    scenarios = tuple(replace(base, p_load=base.p_load * f, name=str(f)) for f in (0.5, 1.0, 0.7))
    horizon = HorizonProblem(
        problem.network, scenarios, np.ones(n), problem.limits, switching_cost=0.02, controls=problem.controls
    )
    plain = plan_horizon(horizon, gap=1e-3)
    helped = plan_horizon(horizon, gap=1e-3, suggest=learned_suggestions(predictor))
    assert helped.dual_bound_kwh <= plain.objective_kwh * (1 + 1e-9)
    assert plain.dual_bound_kwh <= helped.objective_kwh * (1 + 1e-9)
    assert helped.candidates >= 1
