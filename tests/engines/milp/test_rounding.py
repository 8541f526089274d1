"""Incumbents of controls from the linear relaxation: the relaxation dispatches, and is itself again afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import random_network

from learnopt.engines.base import SolveOptions, Stopwatch
from learnopt.engines.dispatch import Dispatch
from learnopt.engines.milp.coupled import Plan
from learnopt.engines.milp.model import JointModel
from learnopt.engines.milp.results import searching
from learnopt.engines.milp.rounding import dispatched, round_relaxation
from learnopt.network import Capacitor, Controls, Generator, Limits, ReconfigurationProblem, Tap
from learnopt.physics import evaluate


@pytest.mark.parametrize("seed", range(4))
def test_the_relaxation_dispatches_a_discrete_point(seed):
    """As good as coordinate search at its discrete point; then bounds are released and the bound is what it was."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, 7, 2)
    controls = Controls(
        (Tap(0, 0.95, 1.05, 0.05), Tap(2, 0.97, 1.03)),
        (Capacitor(3, (0.1, 0.3)),),
        (Generator("PV", 5, 0.0, 0.3, -0.3, 0.3, switchable=True, s_max=0.3),),
    )
    problem = ReconfigurationProblem.of(replace(net, controls=controls), controls=controls, limits=Limits(vm_max=1.06))
    normal = net.normal_configuration
    found, merit = Dispatch(problem, normal).improve()
    kw = problem.network.base.kw
    search = searching(problem, "milp", 1e-4, SolveOptions(), Stopwatch())
    coupled = search.coupled
    model = JointModel(coupled, coupled.horizon.steps, np.full(1, 1.2 * merit * kw), merit * kw, 1e-8)

    point = Plan((normal,), (found,))
    (settings,) = dispatched(search, model, point, 60).settings
    assert not problem.faults(normal, settings)
    assert (settings.taps[0], settings.capacitors, settings.on) == (found.taps[0], found.capacitors, found.on)
    judged = evaluate(problem.applied(settings), normal)
    assert judged.loss_kw <= merit * kw * (1 + 1e-4)
    free = model.solve_relaxation()
    assert free.bound < judged.loss_kw * (1 - 1e-3)  # other trees and steps are there again
    search.offer(point)
    before = search.objective
    round_relaxation(search, model, free, 40)
    assert search.objective <= before
    assert model.solve_relaxation().bound <= search.objective * (1 + 1e-6)
