"""Hand-operated switches: read from every format, locked on request, told apart in the switching order."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_network

import learnopt
from learnopt.cli.app import run
from learnopt.errors import DataError
from learnopt.io.case_json import network_from_dict, network_to_dict
from learnopt.io.csv_folder import write_csv_folder
from learnopt.network import Network, ReconfigurationProblem
from learnopt.report.configuration.export import write_export
from learnopt.report.configuration.order import travels
from learnopt.studies.configuration.switching_order import Action, normal_state, switching_plan

MANUAL = {"operation": "manual"}


@pytest.fixture
def ring() -> Network:
    """A ring of four lines whose best opening, line 2, is operated by hand; line 3 is remote and nearly as good."""
    return make_network(
        [(0, 1, 1, 1), (1, 2, 1, 1, MANUAL), (2, 3, 1, 1), (0, 3, 1, 1, {"normally_open": True})],
        {1: (500, 100), 2: (300, 50), 3: (450, 80)},
    )


def test_case_file_and_folder_keep_the_flag(ring: Network, tmp_path: Path) -> None:
    """Written and read again, as JSON and as tables; a word that means neither is named."""
    assert ring.manual.tolist() == [False, True, False, False]
    raw = network_to_dict(ring)
    assert np.array_equal(network_from_dict(raw, "again").manual, ring.manual)
    write_csv_folder(ring, tmp_path / "folder")
    assert np.array_equal(learnopt.load(tmp_path / "folder").manual, ring.manual)
    raw["branches"][0]["operation"] = "by horse"
    with pytest.raises(DataError, match="operation"):
        network_from_dict(raw, "again")


def test_remote_only_leaves_hand_operated_switches_alone(ring: Network) -> None:
    """The optimum moves to the best configuration without the crew, proven; locks and outages of the scenario stay."""
    free = learnopt.solve(ring, certify="ac")
    assert free.open_branches == [2]
    assert free.to_dict()["manual_operations"] == 1
    stay = learnopt.solve(ring, certify="ac", remote_only=True)
    assert stay.open_branches == [3]
    assert stay.to_dict()["manual_operations"] == 0
    assert stay.certificate == "ac"
    assert (free.loss_kw or 0) < (stay.loss_kw or 0) < (stay.initial.loss_kw or 0)
    scenario = learnopt.problem(ring, {"locked": {"2": "open"}}, remote_only=True).scenario
    assert scenario.locked.tolist() == [-1, 0, -1, -1]
    out = learnopt.problem(ring, {"out_of_service": [2]}, remote_only=True)
    assert out.scenario.locked.tolist() == [-1, -1, -1, -1]
    assert learnopt.solve(out).status == "optimal"


def test_order_tells_crew_and_remote_apart(ring: Network) -> None:
    """Steps of the crew are numbered and placed in their order; without any there is nothing to say."""
    problem = ReconfigurationProblem.of(ring)
    plan = switching_plan(problem, normal_state(problem), ring.configuration([2]))
    assert [o.manual for o in plan] == [False, True]
    assert travels(ring, plan) == ["1 of 2 steps by a crew on the spot (step 2), 1 place in this order: 2: 1 – 2."]
    assert travels(ring, []) == []


def test_command_line_page_and_steps(ring: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Table, page, CSV and inspection say who operates what."""
    case = tmp_path / "ring.json"
    case.write_text(json.dumps(network_to_dict(ring)), encoding="utf-8")
    page, steps = tmp_path / "out.html", tmp_path / "steps.csv"

    def printed(*arguments: object) -> str:
        with pytest.raises(SystemExit):
            run([str(a) for a in arguments])
        return capsys.readouterr().out

    table = printed("solve", case, "--report", page, "--export", steps)
    assert "crew" in table
    assert "by a crew on the spot" in table
    assert "by a crew on the spot" in page.read_text(encoding="utf-8")
    cells = [line.split(",")[2] for line in steps.read_text(encoding="utf-8").splitlines()]
    assert cells == ["manual", "False", "True"]
    assert "crew" not in printed("solve", case, "--remote-only")
    assert json.loads(printed("inspect", case, "--json"))["manual"] == 1


def test_an_export_is_walked_once_more(ring: Network, tmp_path: Path) -> None:
    """An order put together by hand that closes onto the fault is refused with the number of its step."""
    problem = learnopt.problem(ring, {"out_of_service": [2]})
    answer = learnopt.solve(problem)
    spoilt = [replace(o, step=k, action=Action.CLOSE) for k, o in enumerate(answer.operations[:1], 1)]
    with pytest.raises(DataError, match="step 1, close branch 2: it is out of service"):
        write_export(tmp_path / "steps.csv", "", problem, answer.result, spoilt)
    assert not (tmp_path / "steps.csv").exists()
