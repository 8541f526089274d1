"""Looking around a plan: it gets better where improving in turns is stuck, and nothing is claimed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import random_network

from learnopt.engines import SolveOptions, Stopwatch
from learnopt.engines.dispatch import settle_from_each_step
from learnopt.engines.exchange import find_incumbent
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.milp.incumbent import Incumbent
from learnopt.engines.milp.neighbourhoods import Neighbourhoods
from learnopt.engines.milp.results import searching
from learnopt.network import Capacitor, Controls, Generator, ReconfigurationProblem, Status, Tap
from learnopt.physics import evaluate

BUSES = np.arange(1, 14)


def controlled(seed: int) -> ReconfigurationProblem:
    """14 buses, four loops, two banks, a tap changer with positions, two generators."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, 14, 4)
    banks = tuple(Capacitor(int(b), (0.05, 0.1, 0.2)) for b in rng.choice(BUSES, 2, replace=False))
    tap = Tap(int(rng.integers(net.n_branch)), 0.95, 1.05, 0.025)
    p, q = rng.uniform(0.1, 0.5, 2)
    places = rng.choice(BUSES, 2, replace=False)
    generators = tuple(Generator(f"G{b}", int(b), 0.0, p, 0.0, q, switchable=True) for b in places)
    controls = Controls((tap,), banks, generators)
    return ReconfigurationProblem.of(replace(net, controls=controls), controls=controls)


def in_turns(problem: ReconfigurationProblem) -> Incumbent:
    """What is known after switches and controls were improved in turns."""
    search = searching(problem, "test", 3e-4, SolveOptions(), Stopwatch())
    found = find_incumbent(problem.mean, None, np.random.default_rng(0))
    configuration, settings, _ = settle_from_each_step(problem.mean, found)
    search.offer(search.coupled.served(configuration, settings))
    return search


@pytest.mark.parametrize("seed", [5, 7, 8])
def test_better_than_in_turns(seed):
    """The proven optimum, where turns end 0.08 to 1.2 % above it; no bound is taken from what assumes voltages."""
    problem = controlled(seed)
    search = in_turns(problem)
    stuck = search.objective
    Neighbourhoods(search).improve()
    best = MilpEngine().solve(problem, SolveOptions())
    assert best.status is Status.OPTIMAL
    assert stuck > best.objective_kw * (1 + 5e-4)
    assert search.objective == pytest.approx(best.objective_kw, rel=1e-4)
    assert search.bound == -math.inf
    plan = search.plan
    assert evaluate(problem.applied(plan.settings), plan.configurations[0]).loss_kw == pytest.approx(search.objective)


def test_time_and_interrupt_lose_nothing(monkeypatch):
    """Without time left, and after Ctrl-C in the middle, the plan is at least as good as before."""
    late = in_turns(controlled(7))
    stuck, late.options = late.objective, SolveOptions(time_limit=1e-9)
    Neighbourhoods(late).improve()
    assert late.objective <= stuck
    search = in_turns(controlled(7))

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Neighbourhoods, "_improved_within", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Neighbourhoods(search).improve()
    assert search.objective <= stuck
    assert search.plan is not None
