"""``solve`` with several scenarios, ``--k-best`` and ``--pareto``: what the JSON says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnopt.cli.app import run


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict]:
    """Exit code and the object printed."""
    with pytest.raises(SystemExit) as ended:
        run(["solve", "case33", *arguments, "--json"])
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


def test_pareto(capsys: pytest.CaptureFixture[str]) -> None:
    """Points of rising operations and falling loss, each with its bound; the answer is the last."""
    code, found = answer(capsys, "--pareto")
    points = found["pareto"]
    assert code == 0
    assert [point["operations"] for point in points] == [0, 2, 4, 6, 8]
    assert points[0]["loss_kw"] == pytest.approx(202.677, abs=1e-3)
    assert all(point["certificate"] == "ac" for point in points)
    assert all(point["dual_bound_kw"] == pytest.approx(point["loss_kw"], rel=1e-6) for point in points)
    assert points[-1]["open_branches"] == found["open_branches"] == [7, 9, 14, 32, 37]


def test_k_best(capsys: pytest.CaptureFixture[str]) -> None:
    """Best first, the answer in front, and a bound of the rest."""
    code, found = answer(capsys, "--k-best", "3")
    assert code == 0
    assert [len(a["open_branches"]) for a in found["alternatives"]] == [5, 5, 5]
    assert found["alternatives"][0]["open_branches"] == found["open_branches"]
    assert [a["operations"] for a in found["alternatives"]] == [8, 10, 8]
    losses = [a["loss_kw"] for a in found["alternatives"]]
    assert losses == sorted(losses)
    assert found["rest_bound_kw"] == pytest.approx(losses[-1], rel=1e-6)


def test_several_scenarios(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One configuration; the loss is the weighted mean of what is listed."""
    path = tmp_path / "day.json"
    peak = {"name": "peak", "loads": {"30": {"p_kw": 900, "q_kvar": 600}}}
    path.write_text(json.dumps({"scenarios": [{"name": "now", "weight": 2}, peak]}))
    code, found = answer(capsys, "--scenario", str(path), "--no-limits")
    now, peak = found["scenarios"]
    assert code == 0
    assert found["certificate"] == "ac"
    assert found["loss_kw"] == pytest.approx(2 / 3 * now["loss_kw"] + 1 / 3 * peak["loss_kw"])
    assert found["min_voltage_pu"] == pytest.approx(min(now["min_voltage_pu"], peak["min_voltage_pu"]))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--k-best", "0"),
        ("--k-best", "2", "--engine", "milp"),
        ("--pareto", "--engine", "exchange"),
        ("--pareto", "--switching-cost", "1"),
    ],
)
def test_what_does_not_go_together(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    """Bad input: a reason and exit code 2."""
    code, found = answer(capsys, *arguments)
    assert code == 2
    assert found["errors"]
