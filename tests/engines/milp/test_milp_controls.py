"""Switches and controls together: against every configuration with every combination of settings."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from conftest import random_network
from instances import all_configurations

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.dispatch import Dispatch
from learnopt.engines.milp import coupled, rounds, starts
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.milp.rounds import Effort
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
    Status,
    Tap,
)
from learnopt.physics import evaluate


def controlled(seed: int, stepped: bool) -> ReconfigurationProblem:
    """A random feeder of six buses and two loops with a bank, a tap changer and a generator, and sometimes limits."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, 6, 2)
    bank = Capacitor(int(rng.integers(1, 6)), (0.1, 0.4))
    tap = Tap(int(rng.integers(net.n_branch)), 0.95, 1.05, 0.05 if stepped else None)
    p, q = rng.uniform(0.05, 0.4, 2).round(2)
    low = (p, q) if stepped else (0.0, 0.0)
    generator = Generator("G", int(rng.integers(1, 6)), low[0], p, low[1], q, True)
    controls = Controls((tap,), (bank,), (generator,))
    limits = Limits(vm_min=0.97 if seed % 2 else None, vm_max=1.04)
    return ReconfigurationProblem(
        replace(net, controls=controls), ReconfigurationProblem.of(net).situations, limits, controls=controls
    )


def least_loss(problem: ReconfigurationProblem) -> float:
    """Over all configurations and settings [kW], infinite where none is admissible."""
    tap, bank, generator = problem.controls.taps[0], problem.controls.capacitors[0], problem.controls.generators[0]
    best = np.inf
    for configuration in all_configurations(problem):
        for ratio, step, on in product(tap.positions, bank.choices, (False, True)):
            power = (generator.p_max, generator.q_max) if on else (0.0, 0.0)
            settings = Settings((float(ratio),), (step,), (power,), (on,))
            evaluation = evaluate(problem.applied(settings), configuration)
            if evaluation.feasible:
                best = min(best, evaluation.loss_kw)
    return best


@pytest.mark.parametrize("seed", [0, 2, 4, 5, 6])
def test_first_admissible_configuration(seed, monkeypatch):
    """Where no setting of the configuration proposed is admissible another one is; the bound stays below both."""
    problem = controlled(seed, stepped=True)
    best = MilpEngine().solve(problem, SolveOptions())

    def judge(problem, configuration):
        found = evaluate(problem, configuration)
        return replace(found, violations=("refused",)) if configuration == best.configuration else found

    monkeypatch.setattr(coupled, "evaluate", judge)
    for module, name in ((starts, "find_incumbent"), (starts, "_more_starts"), (rounds, "round_relaxation")):
        monkeypatch.setattr(module, name, lambda *_, **__: None)
    monkeypatch.setattr(rounds, "settle", lambda *_, **__: None)
    stuck = MilpEngine(Effort(proposals=0)).solve(problem, SolveOptions())
    result = MilpEngine().solve(problem, SolveOptions())
    assert stuck.status is Status.NO_SOLUTION
    assert result.configuration not in (None, best.configuration), result.message
    assert result.dual_bound_kw is None or result.dual_bound_kw <= best.objective_kw * (1 + 1e-6)
    if result.objective_kw > best.objective_kw * (1 + 1e-3):
        assert result.status is Status.FEASIBLE


@pytest.mark.parametrize("seed", range(10))
def test_discrete_controls_against_enumeration(seed):
    """The optimum over all configurations and settings, proven; or proven that there is none."""
    problem = controlled(seed, stepped=True)
    best = least_loss(problem)
    result = MilpEngine().solve(problem, SolveOptions())
    assert result.dual_bound_kw is None or result.dual_bound_kw <= best * (1 + 1e-6) + 1e-9
    if np.isinf(best):
        assert result.configuration is None
        return
    assert result.certificate is Certificate.AC
    assert result.loss_kw >= best * (1 - 1e-6)
    assert evaluate(problem.applied(result.settings), result.configuration).feasible
    if result.status is Status.OPTIMAL:
        assert result.loss_kw <= best * (1 + 1.1e-4) + 1e-6


@pytest.mark.parametrize("seed", range(10, 18))
def test_continuous_controls_against_search(seed):
    """No configuration with settings found by search lies below the bound, and the answer is one of the best."""
    problem = controlled(seed, stepped=False)
    found = []
    for configuration in all_configurations(problem):
        settings, _ = Dispatch(problem, configuration).improve()
        evaluation = evaluate(problem.applied(settings), configuration)
        if evaluation.feasible:
            found.append(evaluation.loss_kw)
    result = MilpEngine().solve(problem, SolveOptions())
    if not found:
        return
    assert result.certificate is Certificate.AC
    assert result.dual_bound_kw <= min(found) * (1 + 1e-6) + 1e-9
    assert result.loss_kw <= min(found) * (1 + 1.1e-4) + 1e-6
    if result.status is Status.OPTIMAL:
        assert result.gap <= 1e-4


def test_taps_of_the_70_bus_system():
    """Khodr's case II with the same topology, taps at their top, proven."""
    network = load_case("case70")
    problem = ReconfigurationProblem.of(network, controls=network.controls.only("taps"), limits=Limits(0.9, 1.05))
    result = MilpEngine().solve(problem, SolveOptions())
    assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert network.open_ids(result.configuration) == [30, 39, 45, 51, 66, 70, 71, 76]
    assert result.loss_kw == pytest.approx(269.881, abs=1e-3)


def test_engines_without_controls_say_so():
    """Another engine would silently ignore them."""
    network = load_case("case70")
    problem = ReconfigurationProblem.of(network, controls=network.controls)
    for engine in ("tree", "enumerate", "exchange"):
        with pytest.raises(UnsupportedError, match='has controls: use engine="milp"'):
            load_engine(engine).solve(problem, SolveOptions())
