"""The package in a notebook: light to import, ids and pictures without further arguments, HTML that is escaped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import learnopt

ROOT = Path(__file__).parents[1]
CASE = ROOT / "datasets" / "cases" / "case33.json"


@pytest.fixture(scope="module")
def solution() -> learnopt.Solution:
    return learnopt.solve("case33")


def test_public_names_load_and_are_listed() -> None:
    """Every name of ``__all__`` exists and is in ``dir``; another is an AttributeError."""
    assert {name for name in learnopt.__all__ if getattr(learnopt, name).__name__ == name} == set(learnopt.__all__)
    assert set(learnopt.__all__) <= set(dir(learnopt))
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        _ = learnopt.optimise


def test_solve_loads_neither_torch_nor_pictures() -> None:
    """Solving from Python loads no torch, MLflow, matplotlib or plotly; plotting does load matplotlib."""
    code = """
import learnopt, sys
assert not {"numpy", "numba", "matplotlib"} & sys.modules.keys()
solution = learnopt.solve("case16", engine="exchange", certify="none")
assert not {"torch", "mlflow", "matplotlib", "plotly"} & sys.modules.keys()
solution.plot()
assert "matplotlib" in sys.modules and "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_solution_knows_the_known_optimum(solution: learnopt.Solution) -> None:
    """33-bus system: the optimum of the literature, in ids, words and plain values."""
    assert solution.open_branches == [7, 9, 14, 32, 37]
    assert (solution.status, solution.certificate) == (learnopt.Status.OPTIMAL, learnopt.Certificate.AC)
    assert solution.loss_kw == pytest.approx(139.551, abs=1e-3)
    assert solution.gap is not None
    assert solution.gap <= 1e-8
    changed = {o.branch_id for o in solution.operations}
    assert changed == {7, 9, 14, 32, 33, 34, 35, 36}
    assert repr(solution).startswith(
        "Solution('case33': optimal, certificate ac; 139.551 kW, before 202.677 kW; open 7"
    )
    assert json.loads(json.dumps(solution.to_dict(), allow_nan=False))["open_branches"] == [7, 9, 14, 32, 37]


def test_solution_shows_itself(solution: learnopt.Solution, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pictures are PNG in a notebook and what their ending says in a file; the table is that of the command line."""
    for kind in ("diagram", "voltages"):
        assert solution.plot(kind)._repr_png_().startswith(b"\x89PNG")
    assert solution.plot().save(tmp_path / "a.svg").read_bytes().startswith(b"<?xml")
    assert solution.report(tmp_path / "a.html").stat().st_size > 0
    solution.table()
    assert "Proven optimal" in capsys.readouterr().out
    page = solution._repr_html_()
    assert "Proven optimal" in page
    assert page.count("<tr>") == 5 + 9  # figures before and after, eight operations, two heads
    with pytest.raises(learnopt.DataError, match=r"\.png, \.svg or \.pdf"):
        solution.plot().save(tmp_path / "a.gif")
    with pytest.raises(learnopt.DataError, match="'map' must be"):
        solution.plot("map")


def test_records_show_themselves_escaped() -> None:
    """Texts of a file cannot bring HTML into a notebook."""
    net = learnopt.load("case33")
    evil = json.loads(CASE.read_text()) | {"name": "<script>", "title": "<script>"}
    from learnopt.io import network_from_dict

    bad = network_from_dict(evil, "evil")
    found = learnopt.solve(bad, engine="exchange")
    for record in (bad, found.problem, found.result, found):
        page = record._repr_html_()
        assert "<script>" not in page
        assert "<table" in page
    assert "33, 34, 35, 36, 37" in net._repr_html_()
    assert "3,715 kW, 2,300 kvar" in net._repr_html_()


def test_problem_takes_what_is_at_hand(tmp_path: Path) -> None:
    """A mapping, a file and a record of a scenario are the same problem; limits and controls by name."""
    raw = {"out_of_service": [22], "loads": {"18": {"p_kw": 900, "q_kvar": 300}}}
    (tmp_path / "now.json").write_text(json.dumps(raw))
    by_mapping = learnopt.problem("case33", scenario=raw)
    by_file = learnopt.problem(str(CASE), scenario=tmp_path / "now.json")
    by_record = learnopt.problem(by_mapping.network, scenario=by_mapping.scenario)
    assert (by_mapping.p == by_file.p).all()
    assert (by_mapping.p == by_record.p).all()
    assert by_file.scenario.out_of_service.sum() == 1
    both = {"scenarios": [raw, {**raw, "loads": {"18": {"p_kw": 500}}}]}
    assert len(learnopt.problem("case33", scenario=both).members) == 2
    assert learnopt.problem("case33", limits="none").limits == learnopt.Limits()
    assert learnopt.solve(by_mapping).open_branches == learnopt.solve("case33", scenario=raw).open_branches


def test_notes_of_a_profile_are_kept(tmp_path: Path) -> None:
    """What was assumed while a profile was read stays with the solution."""
    (tmp_path / "day.csv").write_text("time,18.p_kw\n2026-01-05T00:00,40\n2026-01-05T01:00,90\n")
    found = learnopt.solve("case33", scenario=tmp_path / "day.csv")
    assert any("power factor" in note for note in found.notes)
    assert "power factor" in found._repr_html_()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": "off"}, "'off' must be 'file', 'none'"),
        ({"certify": "always"}, "'always' must be one of 'ac', 'model', 'none'"),
        ({"engine": "magic"}, "'magic' is not an engine"),
        ({"scenario": {"out_of_service": [99]}}, "99"),
    ],
)
def test_bad_options_are_data_errors(options: dict[str, object], message: str) -> None:
    """With the value and what is allowed."""
    with pytest.raises(learnopt.DataError, match=message):
        learnopt.solve("case33", **options)


def test_options_of_a_given_problem_are_refused() -> None:
    """They would be ignored in silence."""
    with pytest.raises(learnopt.DataError, match="switching_cost: part of the problem"):
        learnopt.solve(learnopt.problem("case33"), switching_cost=1.0)


def test_infeasible_is_a_status_with_reasons() -> None:
    """No exception; the limits that conflict are named, and there is nothing to draw."""
    found = learnopt.solve("case33", limits=learnopt.Limits(vm_min=0.99))
    assert found.status is learnopt.Status.INFEASIBLE
    assert (found.open_branches, found.operations) == (None, [])
    assert found.conflicts
    assert "infeasible" in repr(found)
    with pytest.raises(learnopt.DataError, match="no configuration to draw"):
        found.plot()
