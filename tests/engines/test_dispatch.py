"""Settings for a given configuration: against every combination of discrete values, and against interior points."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from conftest import random_network

from learnopt.engines.dispatch import Dispatch, from_vector, settle_from_each_step, to_vector
from learnopt.engines.exchange import LocalSearch
from learnopt.engines.opf import AcOpf, available
from learnopt.io import load_case
from learnopt.network import Capacitor, Controls, Generator, Limits, ReconfigurationProblem, Settings, Tap
from learnopt.physics import evaluate


def controlled(seed: int) -> ReconfigurationProblem:
    """A random feeder with two banks, a stepped tap and a switchable generator of one possible output."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, 8, 2)
    banks = tuple(Capacitor(int(k), (0.1, 0.3, 0.6)) for k in rng.choice(np.arange(1, 8), 2, replace=False))
    tap = Tap(int(rng.integers(net.n_branch)), 0.95, 1.05, 0.05)
    generator = Generator("G", int(rng.integers(1, 8)), 0.2, 0.2, 0.1, 0.1, True)
    controls = Controls((tap,), banks, (generator,))
    return ReconfigurationProblem.of(replace(net, controls=controls), controls=controls, limits=Limits(vm_max=1.06))


def test_vector_and_settings():
    """A row of numbers and back; a generator that is off injects nothing."""
    controls = load_case("case70").controls
    settings = Settings((1.0, 1.01, 1.02, 1.03), (0.3, 0.0), ((0.5, 0.2), (0.0, 0.0)), (True, False))
    assert from_vector(controls, to_vector(settings)) == settings


@pytest.mark.parametrize("seed", range(10))
def test_discrete_settings_against_all_combinations(seed):
    """The search finds the best of all combinations, or one that no single change improves."""
    problem = controlled(seed)
    normal = problem.network.normal_configuration
    found, merit = Dispatch(problem, normal).improve()
    judged = evaluate(problem.applied(found), normal)
    assert judged.loss_kw == pytest.approx(merit * problem.network.base.kw, rel=1e-6)
    choices = [problem.controls.taps[0].positions, *(c.choices for c in problem.controls.capacitors), (False, True)]
    losses = {}
    for tap, first, second, on in product(*choices):
        power = (0.2, 0.1) if on else (0.0, 0.0)
        settings = Settings((float(tap),), (first, second), (power,), (on,))
        evaluation = evaluate(problem.applied(settings), normal)
        if evaluation.feasible:
            losses[float(tap), first, second, on] = evaluation.loss_kw
    mine = (found.taps[0], *found.capacitors, found.on[0])
    near = [v for key, v in losses.items() if sum(a != b for a, b in zip(key, mine, strict=True)) <= 1]
    assert judged.loss_kw <= min(near) * (1 + 1e-9)


@pytest.mark.skipif(not available(), reason="CasADi is not installed")
def test_continuous_settings_against_interior_points():
    """Coordinate search and IPOPT agree on taps and injections of the 70-bus system, limits respected."""
    network = load_case("case70")
    problem = ReconfigurationProblem.of(network, controls=network.controls, limits=Limits(0.9, 1.05))
    configuration = network.configuration([30, 39, 45, 51, 66, 70, 71, 76])
    settings, merit = Dispatch(problem, configuration).improve()
    run = AcOpf(problem).solve(configuration, settings, minimise_loss=True)
    assert run.converged
    assert run.loss == pytest.approx(merit, rel=1e-4)
    judged = evaluate(problem.applied(run.settings), configuration)
    assert judged.feasible
    assert judged.loss_kw == pytest.approx(run.loss * network.base.kw, rel=1e-4)


@pytest.mark.skipif(not available(), reason="CasADi is not installed")
def test_slacks_tell_infeasible_from_feasible():
    """Alpha is zero where the power flow respects the limits, else positive, and capacitors would lower it."""
    network = load_case("case70")
    problem = ReconfigurationProblem.of(network, controls=network.controls.only("capacitors"), limits=Limits(0.9))
    opf = AcOpf(problem)
    fine = opf.solve(network.configuration([30, 39, 45, 51, 66, 70, 71, 76]))
    poor = opf.solve(network.normal_configuration)
    assert fine.converged
    assert poor.converged
    assert fine.infeasibility == pytest.approx(0.0, abs=1e-6)
    assert poor.infeasibility > 1e-3
    assert poor.capacitor_sensitivity.max() < 1e-6
    assert poor.capacitor_sensitivity.min() < -1e-3


def test_steps_tried_together_beat_steps_tried_one_by_one():
    """Case III of Khodr, printed 287.142 kW: one by one the banks get stuck at 267.457 kW."""
    net = load_case("case70")
    problem = ReconfigurationProblem.of(net, controls=net.controls.only("capacitors"), limits=Limits(vm_min=0.9))
    start = LocalSearch(problem.applied(None)).improve(net.normal_configuration)[0]
    configuration, settings, merit = settle_from_each_step(problem, start)
    assert settings.capacitors == (0.6, 0.6)
    assert evaluate(problem.applied(settings), configuration).loss_kw == pytest.approx(261.705, abs=1e-3)
    assert merit * net.base.kw == pytest.approx(261.705, abs=1e-3)
