"""One decision for several scenarios by the MILP: against every configuration, with and without controls."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from instances import all_configurations, random_problem

from learnopt.engines import SolveOptions
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.milp.highs import CompiledModel
from learnopt.engines.milp.rounds import Effort
from learnopt.network import (
    Capacitor,
    Certificate,
    Controls,
    Generator,
    Network,
    ReconfigurationProblem,
    Scenario,
    Settings,
    Situations,
    Status,
    Tap,
)
from learnopt.physics import evaluate
from learnopt.studies.configuration.risk import Risk, solve_risk

OPTIONS = SolveOptions()


def several(seed: int, features: tuple[str, ...] = (), n: int = 3) -> ReconfigurationProblem:
    """A random feeder whose loads move between scenarios; one of them may have no weight."""
    rng = np.random.default_rng([seed, 29])
    problem = random_problem(seed, features, n_bus=(4, 7), n_loops=(1, 3), load=(0.3, 2.0))
    base = problem.scenario
    loads = (rng.uniform(0.0, 2.0, (2, len(base.p_load))) for _ in range(n))
    scenarios = tuple(
        replace(base, p_load=base.p_load * p, q_load=base.q_load * q, name=f"s{k}") for k, (p, q) in enumerate(loads)
    )
    together = Situations(scenarios, rng.integers(0, 4, n) + np.eye(n)[0])
    return problem.under(together).judged_by(("expected", "worst")[seed % 2])


def controlled(seed: int) -> ReconfigurationProblem:
    """The same with a bank, a tap with positions and a generator that is on or off at fixed output."""
    problem = several(seed, ("voltage limits",) if seed % 3 == 0 else ())
    rng, net = np.random.default_rng([seed, 31]), problem.network
    load = float(np.abs(problem.q).sum()) + 0.05
    buses = np.flatnonzero(~net.is_substation)
    generator = Generator("G", int(rng.choice(buses)), 0.2 * load, 0.2 * load, 0.1 * load, 0.1 * load, True)
    controls = Controls(
        (Tap(int(rng.integers(net.n_branch)), 0.975, 1.025, 0.05),),
        (Capacitor(int(rng.choice(buses)), (0.4 * load, 0.8 * load)),),
        (generator,),
    )
    return problem.replace(controls=controls)


@pytest.mark.parametrize("seed", range(14))
def test_against_every_configuration(seed: int) -> None:
    """Weighted mean and worst case with generation and charging: proven in AC."""
    rng = np.random.default_rng([seed, 37])
    kinds = ("generation", "charging", "voltage limits", "outage", "cost", "cap")
    problem = several(seed, tuple(f for f in kinds if rng.random() < 0.35))
    best = math.inf
    for tree in [] if problem.contradictions else all_configurations(problem):
        found = evaluate(problem, tree)
        if found.feasible:
            best = min(best, found.loss_kw + problem.switching_cost * problem.operations(tree))
    result = MilpEngine().solve(problem, OPTIONS)
    if result.certificate is Certificate.AC:
        assert result.dual_bound_kw <= best * (1 + 1e-6) + 1e-9
    if result.configuration is None:
        assert best == math.inf
        return
    assert result.objective_kw >= best * (1 - 1e-6) - 1e-9
    assert result.objective_kw <= best * (1 + 1.1e-4) + 1e-6


@pytest.mark.parametrize("seed", [*range(12), 20042])  # the last: presolve of HiGHS cut off the optimum
def test_controls_against_every_setting(seed: int) -> None:
    """Positions, steps and on or off are the same in all scenarios, and the best of all choices, proven."""
    problem = controlled(seed)
    (tap,), (bank,), (g,) = problem.controls.taps, problem.controls.capacitors, problem.controls.generators
    best = math.inf
    for tree in all_configurations(problem):
        for ratio, step, on in product(tap.positions, bank.choices, (False, True)):
            power = (g.p_max, g.q_max) if on else (0.0, 0.0)
            found = evaluate(problem.applied(Settings((float(ratio),), (step,), (power,), (on,))), tree)
            if found.feasible:
                best = min(best, found.loss_kw + problem.switching_cost * problem.operations(tree))
    result = MilpEngine().solve(problem, OPTIONS)
    if result.certificate is Certificate.AC:
        assert result.dual_bound_kw <= best * (1 + 1e-6) + 1e-9
    if result.configuration is None:
        assert best == math.inf
        return
    assert len(set(result.settings)) == 1
    assert evaluate(problem.applied(result.settings), result.configuration).feasible
    assert best * (1 - 1e-6) - 1e-9 <= result.objective_kw
    if result.status is Status.OPTIMAL:
        assert result.objective_kw <= best * (1 + 1.1e-4) + 1e-6


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_recourse(seed: int) -> None:
    """Injections and continuous taps follow each scenario: the bound lies below any one setting for all."""
    fixed = controlled(seed)
    tap, generator = fixed.controls.taps[0], fixed.controls.generators[0]
    free = replace(generator, p_min=0.0, q_min=0.0, p_max=2 * generator.p_max, switchable=False)
    controls = Controls((replace(tap, step=None),), fixed.controls.capacitors, (free,))
    problem = fixed.replace(controls=controls).judged_by("expected")
    result = MilpEngine().solve(problem, OPTIONS)
    if result.configuration is None:
        return
    assert len(result.settings) == len(problem.members)
    assert len({s.capacitors for s in result.settings}) == 1
    single = [
        evaluate(member.applied(settings), result.configuration).loss_kw
        for member, settings in zip(problem.members, result.settings, strict=True)
    ]
    assert result.loss_kw == pytest.approx(float(problem.weights @ single))
    together = evaluate(problem.applied(result.settings[0]), result.configuration)
    assert result.certificate is Certificate.AC
    if together.feasible:
        assert result.dual_bound_kw <= together.loss_kw + problem.switching_cost * problem.operations(
            result.configuration
        )


@pytest.mark.parametrize("objective", ["expected", "worst"])
def test_two_situations_as_quickly_as_one(case33: Network, objective: str) -> None:
    """Bounds of both together fix the switches of the 33-bus feeder before any model; whoever listens hears of it."""
    one, heard = Scenario.nominal(case33), []
    both = Situations((one, replace(one, p_load=1.5 * one.p_load)), np.ones(2), objective)
    problem = ReconfigurationProblem.of(case33, both)
    result = MilpEngine().solve(problem, SolveOptions(progress=heard.append))
    assert (result.status, result.certificate, result.nodes) == (Status.OPTIMAL, Certificate.AC, 0)
    assert "by bounds alone" in result.message
    assert heard[-1].incumbent_kw == pytest.approx(result.objective_kw)
    assert heard[-1].gap <= 1e-4


def test_ctrl_c_and_limits_with_several_situations(case33: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with one: the best configuration, the bound so far, and progress from inside the rounds."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    one, heard = Scenario.nominal(case33), []
    both = Situations((one, replace(one, p_load=1.5 * one.p_load)), np.ones(2))
    problem, engine = ReconfigurationProblem.of(case33, both), MilpEngine(Effort(probing=False))
    with monkeypatch.context() as patch:
        patch.setattr(CompiledModel, "solve", interrupted)
        result = engine.solve(problem, SolveOptions(progress=heard.append))
    assert result.status is Status.INTERRUPTED
    assert result.certificate is Certificate.AC
    assert 0.8 * result.objective_kw < result.dual_bound_kw <= result.objective_kw
    assert heard[-1].bound_kw == pytest.approx(result.dual_bound_kw)
    stopped = engine.solve(problem, SolveOptions(node_limit=1, gap=0.0))
    assert stopped.status is Status.FEASIBLE
    assert "Node limit of 1 reached" in stopped.message


@pytest.mark.parametrize("risk", [Risk.EXPECTED, Risk.WORST])
def test_risk_with_controls(risk: Risk) -> None:
    """The price of uncertainty with controls: signs by definition, the risk is the objective."""
    problem = controlled(4).judged_by("expected")
    result = solve_risk(problem, risk, options=OPTIONS)
    assert result.certificate is Certificate.AC
    value = result.risk.expected_kw if risk is Risk.EXPECTED else result.risk.worst_kw
    assert result.objective_kw == pytest.approx(
        value + problem.switching_cost * problem.operations(result.configuration)
    )
    slack = 2e-4 * result.objective_kw
    assert result.risk.perfect_information_kw is None or result.risk.perfect_information_kw >= -slack
    assert result.risk.stochastic_solution_kw is None or result.risk.stochastic_solution_kw >= -slack
