"""Classes of problems: each trait is named, and fixes nothing unless the calibration had it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from instances import random_problem, several
from oracles import THRESHOLDS, optimum, sure_of

from learnopt.engines import SolveOptions
from learnopt.learned.engine import LearnedEngine
from learnopt.learned.problem_class import OPERATING, ProblemClass
from learnopt.learning.coverage import Coverage
from learnopt.network import Capacitor, Controls, Limits, ReconfigurationProblem, Status
from learnopt.physics import evaluate


def plain() -> ReconfigurationProblem:
    return random_problem(11, [], n_bus=(8, 9), n_loops=(3, 4), load=(0.5, 1.0))


def variants() -> dict[str, ReconfigurationProblem]:
    """A problem of each class."""
    problem = plain()
    net, scenario = problem.network, problem.scenario
    generation = replace(scenario, p_gen=np.where(np.arange(net.n_bus) == 3, scenario.p_load.sum(), 0.0))
    return {
        "line charging": problem.replace(network=replace(net, b=np.full(net.n_branch, 0.02))),
        "shunts, ratios or iron losses": problem.replace(network=replace(net, b_shunt=np.full(net.n_bus, 0.01))),
        "strong generation": problem.under(generation),
        "cost or cap of operations": problem.replace(switching_cost=0.1),
        "controls": problem.replace(controls=Controls(capacitors=(Capacitor(4, (0.1,)),))),
        "several load situations": several(problem, 3),
    }


def test_topology_is_what_every_calibration_covers() -> None:
    kind = ProblemClass.of(plain(), Coverage())
    assert (kind.name, kind.calibrated, kind.sentence) == ("topology", True, "")


@pytest.mark.parametrize("trait", variants())
def test_uncovered_traits_fix_nothing(trait: str) -> None:
    """A predictor that is sure of everything fixes nothing, states no risk, and says why."""
    problem = variants()[trait]
    kind = ProblemClass.of(problem, Coverage())
    assert (kind.traits, kind.uncovered) == ((trait,), (trait,))
    result = LearnedEngine(sure_of(optimum_without_controls, "sure")).solve(problem, SolveOptions())
    assert result.status is Status.FEASIBLE
    learned = result.learned
    assert (learned.alpha, learned.used_alpha, learned.fixed_closed, learned.fixed_open) == (None, None, 0, 0)
    assert (learned.problem_class, learned.threshold) == (trait, None)
    assert trait in (learned.family, *learned.family.split(", ")) or learned.family == OPERATING
    assert trait in result.message


def optimum_without_controls(problem: ReconfigurationProblem):
    return optimum(problem.applied(None))


def test_covered_traits_are_fixed() -> None:
    """With charging in the calibration the same predictor fixes switches, at its stated risk."""
    problem = variants()["line charging"]
    assert ProblemClass.of(problem, Coverage(charging=True)).calibrated
    predictor = replace(sure_of(optimum, "sure"), coverage=Coverage(charging=True))
    learned = LearnedEngine(predictor).solve(problem, SolveOptions()).learned
    assert learned.alpha == next(iter(THRESHOLDS))
    assert learned.fixed_closed + learned.fixed_open > 0


def test_limits_count_where_they_bind() -> None:
    """Wide limits leave the class as it is; those that the unlimited optimum violates make it another."""
    problem = plain()
    engine = LearnedEngine(sure_of(optimum, "sure"))
    free = engine.solve(problem, SolveOptions())
    lowest = free.evaluation.min_voltage_pu
    wide = engine.solve(problem.replace(limits=Limits(vm_min=lowest - 0.01)), SolveOptions())
    assert wide.learned.problem_class == "topology"
    assert wide.learned.fixed_closed + wide.learned.fixed_open > 0
    carried = free.evaluation.current_a / problem.network.i_base
    branch = int(np.flatnonzero(problem.free & free.configuration.closed & (carried > 0))[0])
    rated = np.where(np.arange(problem.network.n_branch) == branch, 0.9 * carried[branch], np.inf)
    tight = problem.replace(network=replace(problem.network, i_max=rated), limits=Limits(ampacity=True))
    learned = engine.solve(tight, SolveOptions()).learned
    assert learned.problem_class == "limits that bind"
    assert learned.fixed_closed + learned.fixed_open == 0


@pytest.mark.parametrize("change", ["ratio", "g", "g_shunt", "q_load"])
def test_equipment_is_a_class_of_its_own(change: str) -> None:
    """Ratios, iron losses, shunts and capacitors: no calibration had any."""
    problem = plain()
    net = problem.network
    if change == "q_load":
        scenario = replace(problem.scenario, q_load=-problem.scenario.q_load)
        equipped = problem.under(scenario)
    else:
        size = net.n_bus if change == "g_shunt" else net.n_branch
        equipped = problem.replace(network=replace(net, **{change: np.full(size, 1.02 if change == "ratio" else 1e-3)}))
    kind = ProblemClass.of(equipped, Coverage(charging=True, limits=True, generation=1.0))
    assert kind.uncovered == ("shunts, ratios or iron losses",)


def test_limit_that_binds_after_fixing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found without limits in the reduced problem breaks one: nothing is fixed, and no risk is stated."""
    problem = plain()
    best = optimum(problem)
    carried = evaluate(problem, best).current_a / problem.network.i_base
    branch = int(np.flatnonzero(problem.free & best.closed & (carried > 0))[0])
    rated = np.where(np.arange(problem.network.n_branch) == branch, 0.9 * carried[branch], np.inf)
    limited = problem.replace(network=replace(problem.network, i_max=rated), limits=Limits(ampacity=True))
    start = optimum(limited)
    assert start != best
    engine = LearnedEngine(sure_of(optimum, "sure"))

    def only(_problem, _prediction, _start, _options, found) -> bool:
        found.offer(start)
        return False

    monkeypatch.setattr(engine, "_starts", only)
    monkeypatch.setattr(engine, "_decisions", lambda p, *_: np.full(p.network.n_branch, -1, dtype=np.int8))
    result = engine.solve(limited, SolveOptions())
    assert result.learned.problem_class == "limits that bind"
    assert result.learned.alpha is None
    assert result.configuration == start
    assert result.evaluation.feasible
