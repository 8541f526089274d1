"""Small networks on which proofs were false once, with their right answers, by every engine that applies."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnopt.engines import SolveOptions
from learnopt.io.case_json import read_case_json
from learnopt.io.scenario_json import read_scenario_json
from learnopt.network import Certificate, ReconfigurationProblem, Status
from learnopt.studies.configuration.solve import solve

CASES = Path(__file__).parents[1] / "data" / "field_cases"
RIGHT = {
    "b_false_infeasible_110kv": 392.698,
    "c_bound_lv_coupler": 213.514,
    "d_bound_94pct": 2.911e-4,
    "e_nosolution_40of40": 0.4302,
    "f_kbest_rest_inf": 0.143768,
    "h_dg_two_solutions": 171.580,
}
"""Least loss [kW] by enumeration with a power flow of other code."""


def field_case(name: str) -> ReconfigurationProblem:
    """The problem of a file, its scenario beside it included."""
    network = read_case_json(CASES / f"{name}.json")
    path = CASES / f"{name}.scenario.json"
    scenario = read_scenario_json(path, network) if path.exists() else None
    cap = {"max_operations": 1} if name.startswith("b_") else {}
    return ReconfigurationProblem.of(network, scenario, **cap)


@pytest.mark.parametrize("engine", ["auto", "milp", "tree", "enumerate", "hybrid", "exchange"])
@pytest.mark.parametrize("name", RIGHT)
def test_least_loss(name, engine):
    """The optimum is found; what is proven lies below it, and optimal means within the gap."""
    problem, right = field_case(name), RIGHT[name]
    gap = 1e-6 if (name, engine) == ("c_bound_lv_coupler", "milp") else None
    result = solve(problem, engine, SolveOptions(gap=gap))
    assert result.status in (Status.OPTIMAL, Status.FEASIBLE), result.message
    if engine in ("tree", "exchange"):  # of the model, of a neighbourhood
        assert right * (1 - 2e-4) <= result.objective_kw <= 1.06 * right
    else:
        assert result.objective_kw == pytest.approx(right, rel=2e-4)
        assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC) or engine in ("milp", "hybrid")
    if result.certificate is Certificate.AC:
        assert result.dual_bound_kw <= right * (1 + 2e-4)
    if result.status is Status.OPTIMAL:
        assert result.gap <= max(gap or 0.0, 1e-4)


def test_all_or_not_claimed_complete():
    """41 configurations respect everything: all come, or the rest is bounded by something finite."""
    result = solve(field_case("f_kbest_rest_inf"), "auto", SolveOptions(), k_best=50)
    assert result.rest_bound_kw is not None
    assert len(result.alternatives) == 41 or result.rest_bound_kw < float("inf")
