"""A judge or a sweep that fails on some configurations: no bound rises above them, nothing is called infeasible."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from instances import all_configurations, feasible_flows, random_problem, several

from learnopt.engines import SolveOptions, enumeration, load_engine
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.milp.rounds import Effort
from learnopt.engines.opf import available
from learnopt.network import Certificate, Configuration, Evaluation, ReconfigurationProblem, Result, Status
from learnopt.physics import PowerFlow, evaluate, power_flow
from learnopt.physics.sweep import SweepStatus

PLAIN = ("voltage limits", "ampacity", "cost", "generation", "charging")


def handicap(monkeypatch: pytest.MonkeyPatch, refused: Collection[Configuration], sweep: bool = True) -> None:
    """The judge, and the sweep where asked for, find no power flow of these configurations, wherever they are used."""

    def judge(problem: ReconfigurationProblem, configuration: Configuration) -> Evaluation:
        found = evaluate(problem, configuration)
        if configuration not in refused:
            return found
        nothing: dict[str, Any] = {"converged": False, "loss_kw": math.nan, "violations": ("no power flow was found",)}
        return replace(found, vm=np.full_like(found.vm, np.nan), unsettled=True, **nothing)

    def flow(problem: ReconfigurationProblem, configuration: Configuration) -> PowerFlow:
        found = power_flow(problem, configuration)
        return replace(found, status=SweepStatus.NOT_CONVERGED) if configuration in refused else found

    for engine in ("milp", "hybrid", "tree", "benders"):
        load_engine(engine)  # its modules are there to be patched
    for name, module in list(sys.modules.items()):
        if name.startswith("learnopt.") and not name.startswith("learnopt.physics"):
            if getattr(module, "evaluate", None) is evaluate:
                monkeypatch.setattr(module, "evaluate", judge)
            if sweep and getattr(module, "power_flow", None) is power_flow:
                monkeypatch.setattr(module, "power_flow", flow)


def objectives(problem: ReconfigurationProblem) -> dict[Configuration, float]:
    """Objective of every feasible configuration [kW], the best first."""
    kw = problem.network.base.kw
    values = {c: kw * f.loss + problem.switching_cost * problem.operations(c) for c, f in feasible_flows(problem)}
    return dict(sorted(values.items(), key=lambda pair: pair[1]))


def check(problem: ReconfigurationProblem, result: Result, known: dict[Configuration, float], refused: Any) -> None:
    """The bound is below the objective of what was refused; without a proof neither optimal nor infeasible."""
    best = min(known.values())
    others = [value for c, value in known.items() if c not in refused]
    assert result.status is not Status.INFEASIBLE, result.message
    assert result.configuration not in refused
    if not others:
        assert result.status is Status.NO_SOLUTION, result.message
    if result.certificate is Certificate.AC:
        assert result.dual_bound_kw <= best * (1 + 1e-6) + 1e-9
    if result.status is Status.OPTIMAL:
        assert result.objective_kw <= best * (1 + 1.1e-4) + 1e-9


def solve_milp(problem: ReconfigurationProblem) -> Result:
    """Without probing, so that the model itself has to hold the bound down."""
    return MilpEngine(Effort(probing=False)).solve(problem, SolveOptions())


def named(name: str, **options: Any) -> Callable[[ReconfigurationProblem], Result]:
    """Solve by an engine of this name."""
    return lambda problem: load_engine(name).solve(problem, SolveOptions(**options))


ENGINES = {
    "rounds": solve_milp,
    "milp": named("milp"),
    "hybrid": named("hybrid"),
    "exchange": named("exchange"),
    "tree": named("tree", certify=Certificate.AC),
}


@pytest.mark.parametrize("sweep", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(5))
def test_bounds_stay_below_what_is_not_settled(engine, seed, sweep, monkeypatch):
    """The optimum is refused, then all that is feasible: answers may be lost, proofs may not be false."""
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, [f for f in PLAIN if rng.random() < 0.4], (5, 9), (2, 4), (0.3, 1.5))
    known = objectives(problem)
    if not known:
        pytest.skip("nothing is feasible here")
    for refused in ({next(iter(known))}, set(known)):
        with monkeypatch.context() as patch:
            handicap(patch, refused, sweep)
            check(problem, ENGINES[engine](problem), known, refused)


def no_sweep_settles(patch: pytest.MonkeyPatch) -> None:
    """Sweeps of the enumeration fail everywhere, and prove no collapse."""
    kernel = enumeration._enumerate

    def in_python(*arguments: Any) -> bool:
        return kernel.py_func(*arguments)  # looks up what is patched here, as compiled code does not

    patch.setattr(in_python, "patience", lambda _: sys.maxsize, raising=False)
    patch.setattr(enumeration, "_enumerate", in_python)
    patch.setattr(enumeration, "sweep_tree", lambda *_: math.nan)
    patch.setattr(enumeration, "leaf_loss", lambda *_: (math.inf, False))


@pytest.mark.parametrize("seed", range(6))
def test_enumeration_asks_and_proves_nothing_where_no_one_knows(seed, monkeypatch):
    """A sweep that fails everywhere: the judge finds the optimum; a judge that fails too leaves nothing proven."""
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, [f for f in PLAIN if rng.random() < 0.4], (5, 8), (2, 3), (0.3, 1.5))
    known = objectives(problem)
    if not known:
        pytest.skip("nothing is feasible here")
    no_sweep_settles(monkeypatch)
    found = load_engine("enumerate").solve(problem, SolveOptions())
    assert (found.status, found.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert found.objective_kw == pytest.approx(min(known.values()), rel=1e-6)
    for refused in ({next(iter(known))}, set(known)):
        with monkeypatch.context() as patch:
            handicap(patch, refused)
            result = load_engine("enumerate").solve(problem, SolveOptions())
            check(problem, result, known, refused)
            assert "could not be settled" in result.message
            if result.status is not Status.NO_SOLUTION and result.certificate is Certificate.AC:
                assert result.dual_bound_kw == pytest.approx(min(known.values()), rel=1e-3)  # by the relaxation


def test_more_questions_than_the_judge_is_asked(triangle, monkeypatch):
    """Beyond the number of questions all is open: no answer is called optimal."""
    monkeypatch.setattr(enumeration, "MOST_QUESTIONS", 2)
    no_sweep_settles(monkeypatch)
    result = load_engine("enumerate").solve(ReconfigurationProblem.of(triangle), SolveOptions())
    assert result.status is Status.FEASIBLE
    assert "The power flow of 1 could not be settled" in result.message


def test_collapse_is_settled_by_monotone_sweeps(triangle, monkeypatch):
    """Where loads alone exceed what can be fed no question is put to anyone, and the answer is infeasible."""
    problem = ReconfigurationProblem.of(triangle)
    scenario = replace(problem.scenario, p_load=100 * triangle.p_load)
    monkeypatch.setattr(enumeration, "evaluate", None)
    result = load_engine("enumerate").solve(problem.under(scenario), SolveOptions())
    assert result.status is Status.INFEASIBLE


@pytest.mark.skipif(not available(), reason="no CasADi")
def test_benders(monkeypatch):
    """Cuts prove nothing, and what proves is the master before them, and the rounds after."""
    problem = random_problem(2, ("cost",), (5, 7), (2, 3), (0.3, 1.0))
    known = objectives(problem)
    for refused in ({next(iter(known))}, set(known)):
        with monkeypatch.context() as patch:
            handicap(patch, refused)
            check(problem, load_engine("benders").solve(problem, SolveOptions(gap=1e-4)), known, refused)


@pytest.mark.parametrize("worst", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_several_scenarios(seed, worst, monkeypatch):
    """One decision for all: a configuration that one scenario leaves open stays below the bound."""
    problem = several(random_problem(seed, ("cost",), (4, 7), (2, 4), (0.3, 1.5)), seed)
    problem = problem.judged_by("worst" if worst else "expected")
    known = {}
    for configuration in all_configurations(problem):
        if (found := evaluate(problem, configuration)).feasible:
            known[configuration] = found.loss_kw + problem.switching_cost * problem.operations(configuration)
    for refused in ({min(known, key=known.__getitem__)}, set(known)):
        with monkeypatch.context() as patch:
            handicap(patch, refused)
            check(problem, load_engine("milp").solve(problem, SolveOptions()), known, refused)
