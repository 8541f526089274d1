"""Benders decomposition against every configuration with every combination of settings."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from conftest import random_network
from instances import all_configurations, random_problem

from learnopt.engines import SolveOptions, benders, load_engine
from learnopt.engines.benders import CAUTION, BendersEffort, BendersEngine
from learnopt.engines.opf import available
from learnopt.errors import UnsupportedError
from learnopt.io import load_case
from learnopt.network import (
    Capacitor,
    Certificate,
    Controls,
    Generator,
    Limits,
    ReconfigurationProblem,
    Settings,
    Situations,
    Status,
    Tap,
)
from learnopt.physics import evaluate

needs_casadi = pytest.mark.skipif(not available(), reason="CasADi is not installed")


def controlled(seed: int, vm_min: float | None) -> ReconfigurationProblem:
    """A random feeder with a bank, a stepped tap changer and a switchable generator of one possible output."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, 7, 3)
    bank = Capacitor(int(rng.integers(1, 7)), (0.1, 0.4))
    tap = Tap(int(rng.integers(net.n_branch)), 0.95, 1.05, 0.05)
    p, q = rng.uniform(0.05, 0.3, 2).round(2)
    controls = Controls((tap,), (bank,), (Generator("G", int(rng.integers(1, 7)), p, p, q, q, True),))
    limits = Limits(vm_min=vm_min, vm_max=1.06)
    return ReconfigurationProblem.of(replace(net, controls=controls), controls=controls, limits=limits)


def least_loss(problem: ReconfigurationProblem) -> float:
    """Least loss over all configurations and settings [kW]."""
    tap, bank, generator = problem.controls.taps[0], problem.controls.capacitors[0], problem.controls.generators[0]
    best = np.inf
    for ratio, step, on in product(tap.positions, bank.choices, (False, True)):
        power = (generator.p_max, generator.q_max) if on else (0.0, 0.0)
        applied = problem.applied(Settings((float(ratio),), (step,), (power,), (on,)))
        for configuration in all_configurations(problem):
            evaluation = evaluate(applied, configuration)
            if evaluation.feasible:
                best = min(best, evaluation.loss_kw)
    return best


@needs_casadi
@pytest.mark.parametrize("seed", range(6))
def test_bound_and_incumbent_against_enumeration(seed):
    """The bound is below the optimum, the answer a point of it; with a gap asked for both meet there."""
    problem = controlled(seed, vm_min=0.96 if seed % 2 else None)
    best = least_loss(problem)
    result = load_engine("benders").solve(problem, SolveOptions())
    assert np.isfinite(best) == (result.configuration is not None)
    if result.configuration is None:
        return
    assert result.dual_bound_kw <= best * (1 + 1e-6)
    assert best <= result.objective_kw * (1 + 1e-6)
    assert result.certificate is Certificate.AC
    assert result.settings
    proven = load_engine("benders").solve(problem, SolveOptions(gap=1e-4))
    assert proven.status is Status.OPTIMAL
    assert proven.objective_kw == pytest.approx(best, rel=1e-4)


@needs_casadi
@pytest.mark.parametrize("seed", [40, 46, 56, 59, 66])
def test_cuts_move_a_blind_master_to_a_feasible_topology(seed, monkeypatch):
    """Without a start and tangents it proposes what violates limits; its bound holds, and a gap asked for is proven."""
    monkeypatch.setattr(benders, "find_incumbent", lambda *_: None)
    problem = random_problem(seed, ("voltage limits", "ampacity"), (5, 10), (2, 4))
    judged = (evaluate(problem, configuration) for configuration in all_configurations(problem))
    best = min(evaluation.loss_kw for evaluation in judged if evaluation.feasible)
    engine = BendersEngine(BendersEffort(neighbours=0, root_rounds=0))
    result = engine.solve(problem, SolveOptions())
    assert CAUTION in result.message
    assert len(result.iterations) > 1
    assert result.iterations[0].infeasibility_kw > 1
    assert result.iterations[-1].infeasibility_kw < 0.1
    assert result.dual_bound_kw <= best * (1 + 1e-6)
    assert best <= result.objective_kw * (1 + 1e-6)
    proven = engine.solve(problem, SolveOptions(gap=1e-4))
    assert proven.status is Status.OPTIMAL
    assert proven.objective_kw == pytest.approx(best, rel=1e-4)


@needs_casadi
def test_topology_alone():
    """The 33-bus system: one iteration, proven, and no caution where there was no cut."""
    result = BendersEngine().solve(ReconfigurationProblem.of(load_case("case33")), SolveOptions())
    assert result.status is Status.OPTIMAL
    assert result.objective_kw == pytest.approx(139.551, abs=1e-3)
    assert [i.number for i in result.iterations] == [0, 1]
    assert CAUTION not in result.message


@needs_casadi
def test_limits_nobody_can_respect():
    """Proven infeasible by the master alone."""
    problem = ReconfigurationProblem.of(load_case("case33"), limits=Limits(vm_min=0.999))
    result = BendersEngine().solve(problem, SolveOptions())
    assert result.status is Status.INFEASIBLE
    assert result.configuration is None


def test_several_scenarios_or_no_casadi(monkeypatch):
    """Both are said in a sentence."""
    problem = ReconfigurationProblem.of(load_case("case33"))
    two = problem.replace(situations=Situations((problem.scenario, problem.scenario), np.array([0.5, 0.5])))
    with pytest.raises(UnsupportedError, match="one scenario"):
        BendersEngine().solve(two, SolveOptions())
    with pytest.raises(UnsupportedError, match="does not set controls for several scenarios"):
        load_engine("tree").solve(two.replace(controls=Controls(taps=(Tap(0, 0.95, 1.05),))), SolveOptions())
    monkeypatch.setitem(sys.modules, "casadi", None)
    with pytest.raises(UnsupportedError, match="learnopt\\[benders\\]"):
        BendersEngine().solve(problem, SolveOptions())
