"""The same model on other solvers: enumeration is the oracle, an absent solver is named, no limit raises."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import make_network
from instances import feasible_flows, random_problem

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.milp import pyomo_solver
from learnopt.engines.milp.pyomo_solver import PyomoEngine, gurobi_engine, scip_engine
from learnopt.errors import UnsupportedError
from learnopt.formulations.arcs import Arcs
from learnopt.formulations.bounds import derive_bounds
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.network import Certificate, Limits, ReconfigurationProblem, Status

ENGINES = [
    # HiGHS comes with learnopt: the generic route is tested everywhere.
    pytest.param(lambda: PyomoEngine("highs"), id="highs"),
    pytest.param(scip_engine, id="scip", marks=pytest.mark.skipif(not find_spec("pyscipopt"), reason="no pyscipopt")),
    pytest.param(gurobi_engine, id="gurobi", marks=pytest.mark.skipif(not find_spec("gurobipy"), reason="no gurobipy")),
]


@pytest.mark.parametrize("make_engine", ENGINES)
def test_against_enumeration(make_engine):
    """An optimum is the least AC objective of all configurations, no bound lies above it, infeasible means none."""
    ended = set()
    for seed in range(25):
        problem = random_problem(seed, n_bus=(4, 8), n_loops=(1, 3))
        flows = feasible_flows(problem)
        kw = problem.network.base.kw
        best = min((f.loss * kw + problem.switching_cost * problem.operations(c) for c, f in flows), default=np.inf)
        result = make_engine().solve(problem, SolveOptions())
        ended.add(result.status)
        if result.dual_bound_kw is not None:
            assert result.certificate is Certificate.AC
            assert result.dual_bound_kw <= best + 1e-6 * abs(best) + 1e-6
        if result.status is Status.OPTIMAL:
            assert result.objective_kw == pytest.approx(best, rel=2e-4, abs=1e-4)
        elif result.configuration is None:
            assert not flows
        else:
            assert result.objective_kw >= best - 1e-6
    assert {Status.OPTIMAL, Status.INFEASIBLE} <= ended


@pytest.mark.parametrize("make_engine", ENGINES)
def test_case16_is_solved(make_engine, case16):
    """The published optimum of the 16-bus system, 466.13 kW with 7, 8, 16 open, is proven."""
    result = make_engine().solve(ReconfigurationProblem.of(case16), SolveOptions())
    assert result.status is Status.OPTIMAL
    assert result.certificate is Certificate.AC
    assert case16.open_ids(result.configuration) == [7, 8, 16]
    assert result.loss_kw == pytest.approx(466.127, abs=2e-3)
    assert 0 <= result.gap <= 1e-4


@pytest.mark.parametrize("make_engine", ENGINES)
def test_limits_are_statuses(make_engine, case33):
    """A voltage that no configuration reaches is proven infeasible; a time limit returns the incumbent."""
    tight = ReconfigurationProblem.of(case33, limits=Limits(vm_min=0.99))
    assert make_engine().solve(tight, SolveOptions()).status is Status.INFEASIBLE
    result = make_engine().solve(ReconfigurationProblem.of(case33), SolveOptions(gap=0.0, time_limit=0.05))
    assert result.status is Status.FEASIBLE
    assert result.loss_kw == pytest.approx(139.55, abs=0.01)


def test_nothing_to_decide(two_bus):
    """One configuration is its own proof; where it violates a limit the sentence names it."""
    engine = PyomoEngine("highs")
    result = engine.solve(ReconfigurationProblem.of(two_bus), SolveOptions())
    assert result.status is Status.OPTIMAL
    assert result.dual_bound_kw == result.loss_kw
    limited = engine.solve(ReconfigurationProblem.of(two_bus, limits=Limits(vm_min=0.999)), SolveOptions())
    assert limited.status is Status.INFEASIBLE
    assert "bus 1: voltage" in limited.message


def test_feeder_without_resistance():
    """An objective without variables: the cutoff has nothing to act on and must not make the model invalid."""
    net = make_network([(0, 1, 0, 1), (1, 2, 0, 1), (0, 2, 0, 1, {"normally_open": True})], {1: (100, 50), 2: (80, 40)})
    problem = ReconfigurationProblem.of(net, limits=Limits(vm_min=0.9))
    result = PyomoEngine("highs").solve(problem, SolveOptions())
    assert result.configuration is not None
    assert result.loss_kw == pytest.approx(0.0, abs=1e-6)


def test_absent_solver_says_what_to_install(monkeypatch, triangle):
    """Neither a name Pyomo does not know nor one that is not installed is a traceback."""
    problem = ReconfigurationProblem.of(triangle)
    with pytest.raises(UnsupportedError, match="the solver 'cplex_of_nobody' is not there"):
        PyomoEngine("cplex_of_nobody").solve(problem, SolveOptions())
    absent = SimpleNamespace(available=lambda exception_flag: False)
    monkeypatch.setattr(pyomo_solver.pyo, "SolverFactory", lambda name: absent)
    with pytest.raises(UnsupportedError, match=r"pip install 'learnopt\[scip\]'"):
        load_engine("scip").solve(problem, SolveOptions())


def test_licence_is_named(monkeypatch, case33):
    """A model beyond a restricted licence names the licence and the engine that needs none."""

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("Model too large for size-limited license")

    solver = SimpleNamespace(available=lambda exception_flag: True, solve=refuse, version=lambda: (1, 0))
    monkeypatch.setattr(pyomo_solver.pyo, "SolverFactory", lambda name: solver)
    with pytest.raises(UnsupportedError, match="use engine milp"):
        load_engine("gurobi").solve(ReconfigurationProblem.of(case33), SolveOptions())


def test_bound_is_withheld_where_constants_are_not_proven(monkeypatch, triangle):
    """The optimum is found, but no bound leaves the engine, and the message says why."""

    def unproven(problem: ReconfigurationProblem, loss_cutoff: float) -> DistFlowData:
        arcs = Arcs.of(problem)
        bounds = derive_bounds(problem, arcs, loss_cutoff)
        return DistFlowData(problem, arcs, replace(bounds, proven=False, reason="not proven here"))

    monkeypatch.setattr(pyomo_solver.DistFlowData, "of", unproven)
    result = PyomoEngine("highs").solve(ReconfigurationProblem.of(triangle), SolveOptions())
    assert result.status is Status.FEASIBLE
    assert result.certificate is Certificate.NONE
    assert result.dual_bound_kw is None
    assert "not proven here" in result.message
