from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from report_results import failed, solved
from rich.console import Console

from learnopt.network import Certificate, LearnedSummary, Network, ReconfigurationProblem, Scenario, Status
from learnopt.report.configuration.text import result_table, result_to_dict, verdict
from learnopt.report.kit.numbers import number, percent

OPTIMUM = [7, 9, 14, 32, 37]
KEYS = {
    "case", "engine", "engine_version", "status", "message", "open_branches", "loss_kw", "initial_loss_kw",
    "objective_kw", "dual_bound_kw", "certificate", "gap", "min_voltage_pu", "max_loading", "violations", "operations",
    "manual_operations", "held_limits", "warnings", "balanced_equivalent", "source_tool", "as_operated", "order",
    "nodes", "solve_time_s", "stage_times_s", "feeder_currents_a", "load_balance_index", "open_branch_names",
    "powers", "gap_curve", "leave_as_it_is",
}  # fmt: skip
OF_A_CONFIGURATION = {"load_balance_index", "feeder_currents_a"}
LEARNED = LearnedSummary("reference", 0.05, fixed_closed=20, fixed_open=2, free=10, reduced_bound_kw=139.0)


def test_json_contract(case33: Network) -> None:
    """The JSON answer has exactly the promised keys, the ids of the file and an ordered plan."""
    problem = ReconfigurationProblem.of(case33)
    answer = result_to_dict(problem, solved(problem, case33.configuration(OPTIMUM)))
    assert set(answer) == KEYS | OF_A_CONFIGURATION
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert answer["open_branches"] == OPTIMUM
    assert answer["loss_kw"] == pytest.approx(139.551, abs=1e-3)
    assert answer["initial_loss_kw"] == pytest.approx(202.677, abs=1e-3)
    assert answer["gap"] == pytest.approx(1e-3)
    assert all(set(o) >= {"step", "branch", "action", "loss_kw"} for o in answer["operations"])
    assert [o["state"] for o in answer["operations"]] == ["looped", "radial"] * 4
    assert [o["interrupted_buses"] for o in answer["operations"]] == [[]] * 8
    assert answer["operations"][-1]["loss_kw"] == pytest.approx(answer["loss_kw"], rel=1e-6)


def test_json_has_no_nan(case33: Network) -> None:
    """Whatever is not known is null: a failed power flow, an infinite bound, a result without configuration."""
    heavy = replace(Scenario.nominal(case33), p_load=100 * case33.p_load)
    problem = ReconfigurationProblem.of(case33, heavy)
    collapsed = solved(problem, case33.configuration(OPTIMUM), dual_bound_kw=-math.inf)
    answer = result_to_dict(problem, collapsed)
    json.dumps(answer, allow_nan=False)
    assert answer["loss_kw"] is None
    assert answer["min_voltage_pu"] is None
    assert answer["dual_bound_kw"] is None
    assert answer["gap"] is None
    nothing = result_to_dict(problem, failed(Status.INFEASIBLE, "locked"))
    json.dumps(nothing, allow_nan=False)
    assert nothing["open_branches"] is None
    assert nothing["operations"] == []
    assert set(nothing) == KEYS - {"feeder_currents_a", "load_balance_index"}


def test_no_bound_without_certificate(case33: Network) -> None:
    """A bound of the reduced problem is never reported as the bound of the problem."""
    problem = ReconfigurationProblem.of(case33)
    result = solved(
        problem, case33.configuration(OPTIMUM), status=Status.FEASIBLE, certificate=Certificate.NONE, learned=LEARNED
    )
    answer = result_to_dict(problem, result)
    assert answer["dual_bound_kw"] is None
    assert answer["gap"] is None
    assert answer["learned"] == {
        "checkpoint": "reference", "alpha": 0.05, "fixed_closed": 20, "fixed_open": 2, "free": 10,
        "reduced_bound_kw": 139.0, "used_alpha": None, "novelty": 0.0, "proven": 0,
        "problem_class": "topology", "family": "topology", "threshold": None, "fixed_devices": 0, "free_devices": 0,
    }  # fmt: skip
    words = " ".join(verdict(problem, result).sentences)
    assert "nothing is proven for the full problem" in words
    assert "No radial configuration" not in words


def test_verdict_claims_what_the_certificate_says(case33: Network) -> None:
    """Only an AC certificate speaks of every radial configuration without restriction to a model."""
    problem = ReconfigurationProblem.of(case33)
    configuration = case33.configuration(OPTIMUM)
    exact = verdict(problem, solved(problem, configuration))
    assert exact.sentences[0] == "No radial configuration of this feeder can lose less than 139.412 kW."
    assert exact.headline == "Proven optimal within 0.1 %."
    model = verdict(problem, solved(problem, configuration, certificate=Certificate.MODEL))
    assert "in the model that was solved" in model.sentences[0]
    assert "Proven" not in model.headline
    none = verdict(problem, solved(problem, configuration, certificate=Certificate.NONE))
    assert "nothing is proven" in none.headline
    found = verdict(problem, solved(problem, configuration, status=Status.FEASIBLE))
    assert "optimal" not in found.headline.lower()


def test_verdict_names_the_conditions(case33: Network) -> None:
    """A bound under limits, locks, outages and a cap says so; limits that the case does not have are not named."""
    scenario = Scenario.nominal(case33)
    locked, out = scenario.locked.copy(), scenario.out_of_service.copy()
    locked[4] = 1
    out[36] = True
    problem = ReconfigurationProblem.of(
        case33, replace(scenario, locked=locked, out_of_service=out), max_operations=10, switching_cost=0.1
    )
    words = verdict(problem, solved(problem, case33.configuration(OPTIMUM))).sentences[0]
    assert "that respects the locked switches, outages and cap on operations of this study" in words
    assert "loss and switching together" in words


@pytest.mark.parametrize("status", [Status.INFEASIBLE, Status.NO_SOLUTION, Status.INTERRUPTED])
def test_verdict_without_configuration(case33: Network, status: Status) -> None:
    """Only infeasibility is called proven; the reason is passed on."""
    words = verdict(ReconfigurationProblem.of(case33), failed(status, "branch 3 is locked open"))
    assert not words.good
    assert ("Proven" in words.headline) == (status is Status.INFEASIBLE)
    assert "branch 3 is locked open" in words.sentences


def test_table_prints_any_id(case33: Network) -> None:
    """The terminal table shows ids that look like markup as they are."""
    ids = ("[red]1[/red]", *case33.branch_ids[1:6], "[/]", *case33.branch_ids[7:])
    net = replace(case33, branch_ids=ids)
    problem = ReconfigurationProblem.of(net)
    console = Console(width=120)
    configuration = case33.configuration(OPTIMUM)
    with console.capture() as captured:
        console.print(result_table(problem, solved(problem, configuration)))
        console.print(result_table(problem, failed(Status.NO_SOLUTION, "time limit")))
    text = captured.get()
    assert "[/]" in text
    assert "139.6 kW" in text
    assert "time limit" in text


def test_numbers() -> None:
    """Numbers for people: significant digits, whole thousands, dash for the unknown, no false zero."""
    assert number(139.5513) == "139.6"
    assert number(17373.89) == "17\u202f374"
    assert number(0.0432, 3) == "0.0432"
    assert number(np.nan) == number(None) == "–"
    assert percent(1e-4) == "0.01 %"
    assert percent(0.3115) == "31 %"
    assert percent(1e-9) == "less than 0.0001 %"
