"""The answer to one problem: ids and pictures without further arguments, HTML that is escaped, every option."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import learnopt

ROOT = Path(__file__).parents[2]
CASE = ROOT / "datasets" / "cases" / "case33.json"


@pytest.fixture(scope="module")
def solution() -> learnopt.Solution:
    return learnopt.solve("case33")


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


def test_several_situations_of_a_mapping_are_those_of_the_file(tmp_path: Path) -> None:
    """The text of a scenario file given in Python: all its situations are served, not the nominal loads."""
    raw = {"scenarios": [{}, {"loads": {"18": {"p_kw": 900, "q_kvar": 300}}}]}
    (tmp_path / "two.json").write_text(json.dumps(raw))
    found, read = (learnopt.solve("case33", scenario=given) for given in (raw, tmp_path / "two.json"))
    assert found.loss_kw == pytest.approx(209.264, abs=1e-3)
    assert (found.status, found.certificate) == (learnopt.Status.OPTIMAL, learnopt.Certificate.AC)
    assert (found.loss_kw, found.open_branches) == (read.loss_kw, read.open_branches)
    assert len(found.to_dict()["scenarios"]) == 2


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
        ({"risk": "tail"}, "risk = 'tail' must be one of 'expected', 'cvar', 'worst'"),
        ({"paralleling": "yes"}, "'yes' must be one of 'allowed', 'forbidden'"),
        ({"risk": "worst"}, "several scenarios"),
        ({"scenario": {"lods": {18: {"p_kw": 1}}}}, "'lods' is not a key of a scenario file; 'loads' is"),
        ({"scenario": {"scenaros": [{}]}}, "'scenaros' is not a key of a scenario file; 'scenarios' is"),
        ({"scenario": {"scenarios": [{"lods": {}}]}}, "'lods' is not a key of a scenario file; 'loads' is"),
        ({"hour": 3.0}, "an hour belongs to an OpenDSS file"),
        ({"start": [7, 99]}, "branch 99 is not in network"),
        ({"engine": "magic"}, "'magic' is not an engine"),
        ({"scenario": {"out_of_service": [99]}}, "99"),
    ],
)
def test_bad_options_are_data_errors(options: dict[str, Any], message: str) -> None:
    """With the value and what is allowed."""
    with pytest.raises(learnopt.DataError, match=message):
        learnopt.solve("case33", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k_best": 2, "engine": "milp"}, 'not by .milp.: use engine="tree"'),
        ({"balance_weight": 1.0, "k_best": 2}, "balance of the feeders .*: leave out k_best"),
        ({"balance_weight": 1.0, "engine": "milp"}, 'balance of the feeders .*: use engine="tree"'),
        ({"balance_weight": 1.0, "risk": "worst"}, "leave out risk"),
        ({"risk": "cvar", "engine": "exchange", "k_best": 2}, 'use engine="auto", "tree" or "milp", without k_best'),
    ],
)
def test_options_that_exclude_each_other(options: dict[str, Any], message: str) -> None:
    """What to do instead is said in the words of Python."""
    with pytest.raises(learnopt.UnsupportedError, match=message):
        learnopt.solve("case33", **options)


def test_options_of_a_given_problem_are_refused() -> None:
    """They would be ignored in silence."""
    with pytest.raises(learnopt.DataError, match="switching_cost: part of the problem"):
        learnopt.solve(learnopt.problem("case33"), switching_cost=1.0)


def test_infeasible_is_a_status_with_reasons() -> None:
    """No exception; the limits that conflict are named, and there is nothing to draw."""
    found = learnopt.solve("case16", limits=learnopt.Limits(vm_min=0.985))
    assert found.status is learnopt.Status.INFEASIBLE
    assert (found.open_branches, found.operations) == (None, [])
    assert found.conflicts
    assert "infeasible" in repr(found)
    with pytest.raises(learnopt.DataError, match="no configuration to draw"):
        found.plot()


def test_a_start_and_progress(solution: learnopt.Solution) -> None:
    """A start is a configuration or ids, and changes nothing of what is proven; progress tells of better and better."""
    seen: list[learnopt.Progress] = []
    by_ids = learnopt.solve("case33", engine="milp", start=[7, 9, 14, 32, 37], progress=seen.append)
    by_record = learnopt.solve("case33", engine="exchange", certify="none", start=solution.configuration, seed=3)
    assert by_ids.open_branches == by_record.open_branches == solution.open_branches
    assert by_ids.certificate is learnopt.Certificate.AC
    incumbents = [one.incumbent_kw for one in seen if one.incumbent_kw is not None]
    assert incumbents
    assert min(incumbents) == pytest.approx(139.551, abs=1e-2)


def test_ids_of_a_mapping_may_be_numbers() -> None:
    """As they are in the case: keys of a JSON file are text, those of Python need not be."""
    by_number = learnopt.problem("case33", {"loads": {18: {"p_kw": 500}}, "locked": {7: "open"}})
    by_text = learnopt.problem("case33", {"loads": {"18": {"p_kw": 500}}, "locked": {"7": "open"}})
    assert (by_number.p == by_text.p).all()
    assert (by_number.must_open == by_text.must_open).all()


def test_voltage_limits_by_value() -> None:
    """They stand in for those of the case, also where none of it is enforced."""
    for limits in ("file", "none", learnopt.Limits(ampacity=True)):
        asked = learnopt.problem("case33", limits=limits, vmin=0.93, vmax=1.05).limits
        assert (asked.vm_min, asked.vm_max, asked.ampacity) == (0.93, 1.05, limits != "none")


def test_a_risk_and_a_weight_of_the_balance() -> None:
    """As wide as the command line: several scenarios with their price, and feeders in balance."""
    several = {"scenarios": [{}, {"weight": 2, "loads": {30: {"p_kw": 900, "q_kvar": 600}}}]}
    averse = learnopt.solve("case33", scenario=several, limits="none", risk="worst")
    assert averse.result.risk is not None
    assert averse.result.risk.measure == "worst"
    assert averse.to_dict()["risk"]["price_of_robustness_kw"] >= 0
    balanced = learnopt.solve("case16", balance_weight=0.0)
    assert balanced.open_branches == learnopt.solve("case16").open_branches


def test_paralleling_changes_the_order_only(solution: learnopt.Solution) -> None:
    """Opened first: the same switches, and somebody is without supply in between."""
    apart = learnopt.solve("case33", paralleling="forbidden")
    assert {o.branch_id for o in apart.operations} == {o.branch_id for o in solution.operations}
    assert any(o.unfed for o in apart.operations)


def test_export_writes_what_the_ending_says(solution: learnopt.Solution, tmp_path: Path) -> None:
    """A case that loads in its new state; nothing without a configuration."""
    after = learnopt.load(solution.export(tmp_path / "after.json"))
    assert after.open_ids(after.normal_configuration) == solution.open_branches
    assert solution.export(tmp_path / "steps.csv").read_text().count("\n") == 1 + len(solution.operations)
    with pytest.raises(learnopt.UnsupportedError, match=r"\.json, \.dss, \.csv"):
        solution.export(tmp_path / "after.txt")
    nothing = learnopt.solve("case33", vmin=0.99)
    with pytest.raises(learnopt.DataError, match="no configuration to write"):
        nothing.export(tmp_path / "none.json")


def test_the_front_of_all_trade_offs(tmp_path: Path) -> None:
    """Rising operations, falling loss; the last point is the answer, and the JSON that of the command."""
    front = learnopt.pareto("case33")
    answer = front.to_dict()
    assert [point["operations"] for point in answer["pareto"]] == [0, 2, 4, 6, 8]
    assert answer["open_branches"] == [7, 9, 14, 32, 37]
    assert repr(front) == (
        "ParetoFront('case33': 5 points, 202.677 kW with 0 operations to 139.551 kW with 8 operations)"
    )
    assert front._repr_html_().count("<tr>") == 1 + 5
    assert front.plot()._repr_png_().startswith(b"\x89PNG")
    assert "Loss against operations" in front.report(tmp_path / "front.html").read_text()
    with pytest.raises(learnopt.UnsupportedError, match="leave out switching_cost"):
        learnopt.pareto(learnopt.problem("case33", switching_cost=1.0))
