"""``learnopt solve --risk`` from the outside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import CASES
from invocation import invoke

from learnopt.io import load
from learnopt.io.scenario_json import scenario_to_dict
from learnopt.network import Network, Scenario


def test_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, case33: Network) -> None:
    """``solve --risk``: keys of the answer, and what it does not go with."""
    rng = np.random.default_rng(0)
    base, listed = Scenario.nominal(case33), []
    for k in range(4):
        factor = rng.uniform(0.3, 1.2, case33.n_bus)
        scenario = replace(base, p_load=base.p_load * factor, q_load=base.q_load * factor, name=f"s{k}")
        listed.append(scenario_to_dict(scenario, case33))
    path = tmp_path / "several.json"
    path.write_text(json.dumps({"scenarios": listed}), encoding="utf-8")
    given = ("solve", "case33", "--scenario", path, "--risk", "cvar", "--risk-level", 0.75, "--json")
    answer = invoke(capsys, *given).json
    assert answer["certificate"] == "ac"
    assert answer["risk"]["measure"] == "cvar"
    assert answer["risk"]["cvar_kw"] == pytest.approx(answer["objective_kw"])
    assert answer["loss_kw"] == pytest.approx(answer["risk"]["expected_kw"])
    assert invoke(capsys, *given, "--pareto").code == 2
    assert invoke(capsys, *given, "--engine", "milp").code == 2
    assert "several scenarios" in invoke(capsys, "solve", "case33", "--risk", "worst", "--json").json["errors"][0]


def test_controls_for_several_scenarios(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Banks are one decision for all scenarios, injections follow each; the worst case too is proven in AC."""
    case = json.loads((CASES / "case16.json").read_text(encoding="utf-8"))
    case["capacitors"] = [{"bus": 9, "steps_kvar": [1200, 2400]}]
    case["generators"] = [{"id": "g", "bus": 12, "p_max_kw": 4000}]
    path, loads, page = tmp_path / "case.json", tmp_path / "loads.json", tmp_path / "page.html"
    path.write_text(json.dumps(case), encoding="utf-8")
    network = load(str(path))
    base = Scenario.nominal(network)
    listed = [
        scenario_to_dict(replace(base, p_load=base.p_load * f, q_load=base.q_load * f, name=f"s{f}"), network)
        for f in (0.2, 1.0)
    ]
    loads.write_text(json.dumps({"scenarios": listed}), encoding="utf-8")
    given = ("solve", path, "--scenario", loads, "--controls", "all")
    answer = invoke(capsys, *given, "--report", page, "--json").json
    assert (answer["engine"], answer["certificate"]) == ("milp", "ac")
    assert answer["gap"] <= 1e-3  # surplus reactive power leaves the cone a slack
    each = [entry["generators"][0]["p_kw"] for entry in answer["scenarios"]]
    assert each[0] < each[1]
    assert answer["generators"][0]["p_kw"] is None
    assert {entry["capacitors"][0]["kvar"] for entry in answer["scenarios"]} == {answer["capacitors"][0]["kvar"]}
    assert "differs between the scenarios" in page.read_text(encoding="utf-8")
    worst = invoke(capsys, *given, "--risk", "worst", "--json").json
    assert worst["risk"]["worst_kw"] == pytest.approx(worst["objective_kw"])
    assert worst["risk"]["worst_kw"] <= max(entry["loss_kw"] for entry in answer["scenarios"]) * (1 + 1e-3)
    assert invoke(capsys, *given, "--risk", "cvar", "--json").code == 2
    assert invoke(capsys, *given).code == 0
