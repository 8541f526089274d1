"""``learnopt solve --risk`` from the outside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from invocation import invoke

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
    assert "several scenarios" in invoke(capsys, "solve", "case33", "--risk", "worst", "--json").json["errors"][0]
