"""Enumeration, the oracle of the other engines: itself checked against brute force with the independent judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from instances import all_configurations, random_problem

from learnopt.engines import SolveOptions, enumeration
from learnopt.engines.enumeration import EnumerationEngine, count_configurations
from learnopt.errors import UnsupportedError
from learnopt.io import load_case
from learnopt.network import Certificate, Limits, ReconfigurationProblem, Scenario, Status
from learnopt.physics import evaluate


@pytest.mark.parametrize("seed", range(150))
def test_equals_brute_force_with_the_judge(seed):
    """Same optimum, same number of configurations, as trying all sets of open branches with Newton-Raphson."""
    problem = random_problem(seed, n_loops=(1, 5))
    candidates = all_configurations(problem.replace(max_operations=None)) if not problem.contradictions else []
    assert count_configurations(problem) == pytest.approx(len(candidates))
    judged = [(evaluate(problem, c), problem.operations(c)) for c in candidates if problem.admits(c)]
    values = [e.loss_kw + problem.switching_cost * operations for e, operations in judged if e.feasible]
    result = EnumerationEngine().solve(problem, SolveOptions())
    if not values:
        assert result.status is Status.INFEASIBLE
        assert result.configuration is None
        return
    assert result.status is Status.OPTIMAL
    assert result.certificate is Certificate.AC
    assert result.nodes == len(candidates)
    assert problem.admits(result.configuration)
    # The judge stands a micro-ohm in for couplers, hence not closer.
    assert result.objective_kw == pytest.approx(min(values), rel=1e-6, abs=1e-9)
    assert result.dual_bound_kw == pytest.approx(min(values), rel=1e-6, abs=1e-9)


def test_numbers_of_configurations(two_bus, triangle, parallel_branches, two_substations, coupler, case16, case33):
    """Spanning trees by hand and as published: 190 for the 16-bus, 50751 for the 33-bus system."""
    counts = {two_bus: 1, triangle: 3, parallel_branches: 2, two_substations: 3, coupler: 3, case16: 190, case33: 50751}
    for network, count in counts.items():
        problem = ReconfigurationProblem.of(network)
        assert count_configurations(problem) == pytest.approx(count, rel=1e-9)


def test_33_bus(case33):
    """All 50751 configurations, 6072 of them without power flow; more than one chunk of the compiled search."""
    result = EnumerationEngine().solve(ReconfigurationProblem.of(case33, limits=Limits()), SolveOptions())
    assert result.status is Status.OPTIMAL
    assert case33.open_ids(result.configuration) == [7, 9, 14, 32, 37]
    assert result.objective_kw == pytest.approx(139.5513, abs=1e-4)
    assert result.message == "50751 radial configurations evaluated, 44679 feasible."


def test_too_large_is_refused_with_advice(case33):
    """More configurations than allowed: an error that says how many there are and what to use instead."""
    with pytest.raises(UnsupportedError, match=r"'case119'.* has .* radial configurations.*use engine=.milp."):
        EnumerationEngine().solve(ReconfigurationProblem.of(load_case("case119")), SolveOptions())
    with pytest.raises(UnsupportedError, match=r"5\.08e"):
        EnumerationEngine(max_configurations=50_000).solve(ReconfigurationProblem.of(case33), SolveOptions())


def test_time_limit_with_and_without_incumbent(case33):
    """Stopped early: the best so far without any bound, or no solution; never an exception, never infeasible."""
    options = SolveOptions(time_limit=1e-9)
    result = EnumerationEngine().solve(ReconfigurationProblem.of(case33), options)
    assert (result.status, result.certificate, result.dual_bound_kw) == (Status.FEASIBLE, Certificate.NONE, None)
    assert result.objective_kw >= 139.55
    strict = ReconfigurationProblem.of(case33, limits=Limits(vm_min=0.99))
    result = EnumerationEngine().solve(strict, options)
    assert (result.status, result.configuration, result.dual_bound_kw) == (Status.NO_SOLUTION, None, None)
    result = EnumerationEngine().solve(strict, SolveOptions())
    assert (result.status, result.configuration) == (Status.INFEASIBLE, None)
    assert "0 feasible" in result.message


def test_contradictions_are_infeasible_and_named(case33):
    """A radial line out of service and locked closed."""
    scenario = replace(
        Scenario.nominal(case33),
        out_of_service=np.arange(case33.n_branch) == 0,
        locked=np.where(np.arange(case33.n_branch) == 0, 1, -1).astype(np.int8),
    )
    result = EnumerationEngine().solve(ReconfigurationProblem.of(case33, scenario), SolveOptions())
    assert result.status is Status.INFEASIBLE
    assert "branch 1 is locked closed but out of service" in result.message
    assert count_configurations(ReconfigurationProblem.of(case33, scenario)) == 0


def test_ctrl_c_returns_the_best_so_far(case33, monkeypatch):
    """Interrupted after the first batch: its best configuration, no claim about the others."""
    real, calls = enumeration._enumerate, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(interrupted, "patience", real.patience, raising=False)
    monkeypatch.setattr(enumeration, "_enumerate", interrupted)
    result = EnumerationEngine().solve(ReconfigurationProblem.of(case33), SolveOptions())
    assert (result.status, result.dual_bound_kw) == (Status.INTERRUPTED, None)
    assert result.configuration is not None


def test_node_limit_counts_configurations(case33):
    """So many configurations are evaluated, the best of them is returned, and nothing is proven."""
    result = EnumerationEngine().solve(ReconfigurationProblem.of(case33), SolveOptions(node_limit=100))
    assert (result.status, result.certificate) == (Status.FEASIBLE, Certificate.NONE)
    assert "100 radial configurations evaluated" in result.message
