"""Ratings and modes of generators: every engine against a fine grid of injections in every configuration."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import random_network
from instances import all_configurations

from learnopt.engines.base import SolveOptions, Stopwatch, conclude
from learnopt.engines.benders import BendersEngine
from learnopt.engines.dispatch import Dispatch
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.opf import AcOpf, available
from learnopt.network import (
    Certificate,
    Configuration,
    Controls,
    Generator,
    Limits,
    ReconfigurationProblem,
    Settings,
    Status,
)
from learnopt.network.controls import FIXED_FACTOR, FREE, OFF
from learnopt.physics import evaluate

GRID = 9


def inverter(seed: int, mode: str) -> ReconfigurationProblem:
    """A random feeder of six buses and two loops; the rating, not the box, limits what its inverter injects."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, 6, 2)
    s = float(rng.uniform(0.1, 0.5))
    low = 0.6 * s if seed % 3 == 0 else 0.0  # sun that cannot be curtailed
    generator = Generator(
        "PV",
        int(rng.integers(1, 6)),
        low,
        0.95 * s,
        -s,
        s,
        switchable=bool(seed % 2),
        s_max=s,
        mode=mode,
        power_factor=float(rng.choice([-1, 1]) * rng.uniform(0.7, 1.0)),
    )
    controls = Controls(generators=(generator,))
    limits = Limits(vm_min=0.95 if seed % 4 == 1 else None, vm_max=1.03)
    return ReconfigurationProblem.of(replace(net, controls=controls), controls=controls, limits=limits)


def injections(g: Generator) -> list[tuple[float, float]]:
    """A grid over what the generator can inject while it is on, its rating included."""
    p_min, p_max, _, _ = g.span
    grid = []
    for p in np.linspace(p_min, p_max, GRID):
        low, high = g.q_range(float(p))
        grid += [(float(p), float(q)) for q in np.unique(np.linspace(low, high, GRID))]
    return grid


def least_on_grid(problem: ReconfigurationProblem) -> float:
    """Least loss over all configurations and the grid [kW]."""
    g = problem.controls.generators[0]
    states = [(True, pq) for pq in injections(g)] if g.available else []
    states += [(False, (0.0, 0.0))] if g.switchable or not g.available else []
    best = np.inf
    for on, pq in states:
        settings = Settings(generators=(pq,), on=(on,))
        assert not problem.controls.faults(settings, (), ())
        applied = problem.applied(settings)
        for configuration in all_configurations(problem):
            evaluation = evaluate(applied, configuration)
            if evaluation.feasible:
                best = min(best, evaluation.loss_kw)
    return best


@pytest.mark.parametrize("mode", [FREE, FIXED_FACTOR, OFF])
@pytest.mark.parametrize("seed", range(4))
def test_milp_against_a_grid(seed, mode):
    """Nothing on the grid lies below the bound or much below the answer, which respects rating and mode."""
    problem = inverter(seed, mode)
    best = least_on_grid(problem)
    result = MilpEngine().solve(problem, SolveOptions())
    if result.configuration is None:
        assert np.isinf(best)
        return
    assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert result.dual_bound_kw <= best * (1 + 1e-6)
    assert result.loss_kw <= best * (1 + 1.1e-4)
    assert not problem.faults(result.configuration, result.settings)
    (p, q), g = result.settings[0].generators[0], problem.controls.generators[0]
    assert math.hypot(p, q) <= g.s_max * (1 + 1e-9)
    if mode == OFF:
        assert (p, q, result.settings[0].on) == (0.0, 0.0, (False,))
    if mode == FIXED_FACTOR and p:
        assert q / p == pytest.approx(math.copysign(math.tan(math.acos(abs(g.power_factor))), g.power_factor))


@pytest.mark.skipif(not available(), reason="CasADi is not installed")
@pytest.mark.parametrize("mode", [FREE, FIXED_FACTOR, OFF])
@pytest.mark.parametrize("seed", [1, 3])
def test_dispatch_interior_points_and_benders(seed, mode):
    """Coordinate search and IPOPT find the best of the grid on the normal configuration; Benders' bound holds."""
    problem = inverter(seed, mode).replace(limits=Limits(vm_max=1.05))
    normal = problem.network.normal_configuration
    g = problem.controls.generators[0]
    settings, merit = Dispatch(problem, normal).improve()
    assert not problem.faults(normal, settings)
    states = [(True, pq) for pq in injections(g)] if g.available else []
    losses = [
        evaluate(problem.applied(Settings(generators=(pq,), on=(on,))), normal).loss_kw
        for on, pq in [*states, (False, (0.0, 0.0))]
    ]
    assert merit * problem.network.base.kw <= min(losses) * (1 + 1e-6)
    run = AcOpf(problem).solve(normal, settings, minimise_loss=True)
    assert run.converged
    assert not problem.faults(normal, run.settings)
    assert run.loss == pytest.approx(merit, rel=1e-4)
    result = BendersEngine().solve(problem, SolveOptions(gap=1e-4))
    best = least_on_grid(problem)
    assert result.status is Status.OPTIMAL
    assert result.dual_bound_kw <= best * (1 + 1e-6)
    assert result.loss_kw <= best * (1 + 1.1e-4)


@pytest.mark.parametrize(
    ("pq", "on", "sentence"),
    [
        ((0.3, 0.4001), True, r"generator 'PV': s = 0.50008 lies above the rating of 0.5 \[pu\]"),
        ((0.45, 0.0), True, "p = 0.45 lies outside 0 to 0.4"),
        ((0.1, 0.0), False, "injects though it is off"),
        ((0.0, 0.0), False, "must be on"),
    ],
)
def test_settings_beyond_their_limits_are_no_answer(pq, on, sentence):
    """The door of every engine re-checks the settings and says what is wrong."""
    net = random_network(np.random.default_rng(0), 6, 2)
    controls = Controls(generators=(Generator("PV", 1, 0.0, 0.4, -0.5, 0.5, s_max=0.5),))
    problem = ReconfigurationProblem.of(net, controls=controls, limits=Limits())
    assert problem.controls.faults(Settings(generators=(pq,), on=(on,)), (), ())
    result = conclude(
        problem,
        "x",
        Stopwatch(),
        configuration=Configuration(net.normal_configuration.closed),
        status=Status.FEASIBLE,
        settings=Settings(generators=(pq,), on=(on,)),
    )
    assert result.status is Status.NO_SOLUTION
    assert re.search(sentence, result.message)
