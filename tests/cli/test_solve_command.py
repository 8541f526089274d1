"""``learnopt solve``: the contract of its JSON, its exit codes and its options."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CASES
from invocation import invoke

from learnopt.cli.solve import progress_line
from learnopt.engines import Progress
from learnopt.io import load, network_to_dict
from learnopt.network import GapPoint
from learnopt.report.configuration.gap_curve import gap_rows, gap_story

KEYS = {
    "case", "engine", "status", "open_branches", "loss_kw", "dual_bound_kw", "certificate", "gap", "min_voltage_pu",
    "max_loading", "operations", "solve_time_s", "stage_times_s",
}  # fmt: skip
LEARNED_KEYS = {"checkpoint", "alpha", "fixed_closed", "fixed_open", "free", "reduced_bound_kw"} | {
    "used_alpha",
    "novelty",
    "proven",
    "problem_class",
    "family",
    "threshold",
    "fixed_devices",
    "free_devices",
}
CapSys = pytest.CaptureFixture[str]


@pytest.fixture
def unexplained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the search for conflicting limits, which takes seconds and has tests of its own."""
    monkeypatch.setattr("learnopt.studies.configuration.explain.explain_infeasibility", lambda *_, **__: [])


@pytest.mark.parametrize(("engine", "gap"), [("milp", 1e-4), ("tree", 1e-6), ("auto", 1e-6), ("enumerate", 1e-6)])
def test_published_optimum_with_certificate(capsys: CapSys, engine: str, gap: float) -> None:
    """The 33-bus system: configuration, loss and AC certificate of every engine that proves."""
    outcome = invoke(capsys, "solve", "case33", "--engine", engine, "--certify", "ac", "--json")
    answer = outcome.json
    assert outcome.code == 0
    assert answer.keys() >= KEYS
    assert "learned" not in answer
    assert answer["case"] == "case33"
    assert answer["engine"] == ("tree" if engine == "auto" else engine)
    assert answer["status"] == "optimal"
    assert answer["open_branches"] == [7, 9, 14, 32, 37]
    assert answer["loss_kw"] == pytest.approx(139.551, abs=1e-3)
    assert answer["certificate"] == "ac"
    assert answer["gap"] <= gap
    assert answer["dual_bound_kw"] <= answer["loss_kw"]
    assert answer["min_voltage_pu"] == pytest.approx(0.93782, abs=1e-5)
    assert answer["max_loading"] is None  # the file has no ampacities
    assert [o["step"] for o in answer["operations"]] == list(range(1, 9))
    assert {o["action"] for o in answer["operations"]} == {"open", "close"}
    assert answer["solve_time_s"] > 0
    assert all(seconds >= 0 for seconds in answer["stage_times_s"].values())


def test_default_certificates(capsys: CapSys) -> None:
    """Without ``--certify``: ac for milp, model for tree, none for exchange; no bound without certificate."""
    for engine, certificate in (("milp", "ac"), ("tree", "model"), ("exchange", "none")):
        answer = invoke(capsys, "solve", "case16", "--engine", engine, "--json").json
        assert answer["certificate"] == certificate
        assert (answer["dual_bound_kw"] is None) == (answer["gap"] is None) == (certificate == "none")


def test_learned_engine_on_a_file_never_seen(capsys: CapSys, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A user's own case file: fast mode claims nothing, certified mode proves, both report what was fixed."""
    case = network_to_dict(load("case33"))
    case["name"] = "my feeder"
    for bus in case["buses"]:
        bus["p_kw"] *= 1.1
    path = tmp_path / "feeder.json"
    path.write_text(json.dumps(case))
    learned = "solve", path, "--engine", "learned", "--checkpoint", tiny_checkpoint, "--json"
    fast = invoke(capsys, *learned)
    assert fast.code == 0
    assert fast.json.keys() >= KEYS
    assert (fast.json["status"], fast.json["certificate"]) == ("feasible", "none")
    assert fast.json["dual_bound_kw"] is None
    assert fast.json["gap"] is None
    assert fast.json["learned"].keys() == LEARNED_KEYS
    assert fast.json["learned"]["checkpoint"] == "tiny"
    summary = fast.json["learned"]
    assert summary["fixed_closed"] + summary["fixed_open"] + summary["free"] == 36  # branch 1 is in no loop
    exact = invoke(capsys, "solve", path, "--certify", "ac", "--json").json
    proven = invoke(capsys, *learned, "--certify", "ac").json
    assert (proven["engine"], proven["certificate"], proven["status"]) == ("learned", "ac", "optimal")
    assert proven["open_branches"] == exact["open_branches"]
    assert proven["loss_kw"] <= fast.json["loss_kw"] * (1 + 1e-9)
    model = invoke(capsys, *learned, "--certify", "model").json
    assert model["certificate"] == "model"


def test_table_for_people(capsys: CapSys) -> None:
    """Without ``--json``: a table on stdout, nothing that parses as one."""
    outcome = invoke(capsys, "solve", "case33")
    assert outcome.code == 0
    assert "139.6 kW" in outcome.out
    assert "open branches: 7, 9, 14, 32, 37" in outcome.out
    assert "auto chose tree" in outcome.out


def test_scenario_with_outage_and_lock(capsys: CapSys, tmp_path: Path) -> None:
    """An outage counts as open and is not operated, a lock is kept; ids in the file are numbers or text."""
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"out_of_service": ["6"], "locked": {"33": "open"}, "loads": {"18": {"p_kw": 300}}}))
    outcome = invoke(capsys, "solve", "case33", "--scenario", path, "--engine", "milp", "--json")
    answer = outcome.json
    assert outcome.code == 0
    assert {6, 33} <= set(answer["open_branches"])
    touched = [(o["action"], o["branch"]) for o in answer["operations"] if o["branch"] in (6, 33)]
    assert touched == [("open", 6), ("earth", 6)]
    assert answer["initial_loss_kw"] is None  # before reconfiguration the outage leaves buses unfed
    ids = ",".join(map(str, answer["open_branches"]))
    check = invoke(capsys, "check", "case33", "--scenario", path, "--open", ids, "--json").json
    assert check["violations"] == []
    assert check["loss_kw"] == pytest.approx(answer["loss_kw"])
    exact = invoke(capsys, "solve", "case33", "--scenario", path, "--engine", "enumerate", "--json").json
    assert answer["open_branches"] == exact["open_branches"]


def test_contradictory_scenario_is_exit_code_1(capsys: CapSys, tmp_path: Path) -> None:
    """Locked closed and out of service: not bad input but infeasible, with the reason."""
    path = tmp_path / "s.json"
    path.write_text('{"out_of_service": [6], "locked": {"6": "closed"}}')
    outcome = invoke(capsys, "solve", "case33", "--scenario", path, "--json")
    assert outcome.code == 1
    assert outcome.json["status"] == "infeasible"
    assert "branch 6 is locked closed but out of service" in outcome.json["message"]


@pytest.mark.parametrize("engine", ["auto", "tree", "milp", "enumerate", "exchange"])
@pytest.mark.usefixtures("unexplained")
def test_impossible_voltage_limit_is_exit_code_1(capsys: CapSys, engine: str) -> None:
    """An object is printed all the same: status, no configuration, no bound, no certificate."""
    outcome = invoke(capsys, "solve", "case16", "--vmin", "1.2", "--engine", engine, "--json")
    answer = outcome.json
    assert outcome.code == 1
    assert answer.keys() >= KEYS
    assert answer["status"] in (("no_solution",) if engine == "exchange" else ("infeasible", "no_solution"))
    assert (answer["open_branches"], answer["loss_kw"], answer["dual_bound_kw"]) == (None, None, None)
    assert answer["certificate"] == "none"
    assert answer["operations"] == []
    assert invoke(capsys, "solve", "case16", "--vmin", "1.2", "--engine", engine).code == 1


@pytest.mark.usefixtures("unexplained")
def test_limits_of_options_and_file(capsys: CapSys, tmp_path: Path) -> None:
    """The file's limits are enforced, ``--no-limits`` drops them, ``--vmin`` replaces them and holds even then."""
    case = network_to_dict(load("case33"))
    case["voltage_limits"] = {"vmin_pu": 0.99, "vmax_pu": None}
    path = tmp_path / "tight.json"
    path.write_text(json.dumps(case))
    assert invoke(capsys, "solve", path, "--json").code == 1
    assert invoke(capsys, "solve", path, "--no-limits", "--json").json["open_branches"] == [7, 9, 14, 32, 37]
    assert invoke(capsys, "solve", path, "--vmin", "0.9", "--json").code == 0
    assert invoke(capsys, "solve", path, "--no-limits", "--vmin", "0.99", "--json").code == 1


def test_operations_cap_and_cost(capsys: CapSys) -> None:
    """At most four operations; a prohibitive price leaves everything as it is."""
    capped = invoke(capsys, "solve", "case33", "--max-operations", "4", "--json").json
    assert len(capped["operations"]) <= 4
    assert capped["loss_kw"] > 139.6
    stay = invoke(capsys, "solve", "case33", "--switching-cost", "1000", "--json").json
    assert stay["operations"] == []
    assert stay["loss_kw"] == stay["objective_kw"] == pytest.approx(202.677, abs=1e-2)
    priced = invoke(capsys, "solve", "case33", "--switching-cost", "2", "--json").json
    assert priced["objective_kw"] == pytest.approx(priced["loss_kw"] + 2 * len(priced["operations"]))


def test_line_charging_can_be_ignored(capsys: CapSys, tmp_path: Path) -> None:
    """The file's charging is used unless told otherwise, and decides what ``auto`` can prove with."""
    case = network_to_dict(load("case33"))
    for branch in case["branches"]:
        branch["b_us"] = 50.0
    path = tmp_path / "cables.json"
    path.write_text(json.dumps(case))
    charged = invoke(capsys, "solve", path, "--json").json
    ignored = invoke(capsys, "solve", path, "--no-charging", "--json").json
    assert (charged["engine"], ignored["engine"]) == ("milp", "tree")
    assert "line charging" in charged["message"]
    assert ignored["loss_kw"] == pytest.approx(139.551, abs=1e-3)
    assert charged["loss_kw"] != pytest.approx(ignored["loss_kw"], rel=1e-6)


@pytest.mark.parametrize("ids", [lambda k: k, str, lambda k: f"bus {k} [x]", lambda k: k + 0.5])
def test_ids_keep_their_type(capsys: CapSys, tmp_path: Path, ids: object) -> None:
    """Numbers stay numbers and text stays text, brackets that look like markup included; options take both."""
    case = network_to_dict(load("case33"))
    for bus in case["buses"]:
        bus["id"] = ids(bus["id"])  # type: ignore[operator]
    for branch in case["branches"]:
        branch.update({key: ids(branch[key]) for key in ("id", "from", "to")})  # type: ignore[operator]
    case["substations"] = [ids(s) for s in case["substations"]]  # type: ignore[operator]
    del case["substation_data"]
    path = tmp_path / "ids.json"
    path.write_text(json.dumps(case))
    expected = [ids(k) for k in (7, 9, 14, 32, 37)]  # type: ignore[operator]
    answer = invoke(capsys, "solve", path, "--certify", "ac", "--json").json
    assert answer["open_branches"] == expected
    assert [type(k) for k in answer["open_branches"]] == [type(k) for k in expected]
    check = invoke(capsys, "check", path, "--open", ",".join(map(str, expected)), "--json").json
    assert check["open_branches"] == expected
    assert invoke(capsys, "solve", path, "--engine", "tree").code == 0
    assert invoke(capsys, "check", path).code == 0


def test_report_is_a_page(capsys: CapSys, tmp_path: Path) -> None:
    """``--report`` writes HTML that needs no network, and stdout stays one JSON object."""
    path = tmp_path / "odd [name].html"
    outcome = invoke(capsys, "solve", "case33", "--report", path, "--json")
    assert outcome.json["status"] == "optimal"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "case33" in text
    assert 'src="http' not in text
    assert str(path) in outcome.err.replace("\n", "")


@pytest.mark.usefixtures("unexplained")
def test_report_where_nothing_was_found(capsys: CapSys, tmp_path: Path) -> None:
    """An infeasible problem gets its page too, and exit code 1."""
    path = tmp_path / "r.html"
    assert invoke(capsys, "solve", "case33", "--vmin", "1.2", "--report", path, "--json").code == 1
    assert path.stat().st_size > 0


def test_markup_in_names_is_text(capsys: CapSys, tmp_path: Path) -> None:
    """A feeder named like a closing tag is printed as it is."""
    case = network_to_dict(load("case16"))
    case["name"] = "[/feeder] [red]North"
    path = tmp_path / "f.json"
    path.write_text(json.dumps(case))
    for command in ("solve", "check"):
        outcome = invoke(capsys, command, path)
        assert outcome.code == 0
        assert "[/feeder] [red]North" in outcome.out


def test_no_time_is_no_crash(capsys: CapSys) -> None:
    """A limit that is over at once: a configuration without proof, or none, never an error."""
    for engine in ("tree", "milp", "exchange", "enumerate"):
        arguments = "solve", "case119" if engine != "enumerate" else "case33", "--engine", engine
        outcome = invoke(capsys, *arguments, "--time-limit", "1e-6", "--json")
        assert outcome.code == (0 if outcome.json["open_branches"] is not None else 1)
        assert outcome.json["status"] in ("optimal", "feasible", "no_solution")


SCRIPT = """
import sys
from learnopt.cli.app import run
heavy = {"torch", "lightning", "mlflow", "pyomo", "highspy", "matplotlib"}
try:
    run(["solve", "case33", "--engine", "tree", "--json"])
finally:
    print(*sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""


def test_tree_search_loads_neither_torch_nor_other_solvers() -> None:
    """In a fresh process; the command line starts fast because of it."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=CASES)
    assert json.loads(done.stdout)["status"] == "optimal"
    assert done.stderr.splitlines()[-1] == ""


def test_terminal_without_unicode(tmp_path: Path) -> None:
    """A stream that knows ASCII only gets escapes, not an error after the work is done."""
    command = "from learnopt.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "solve", "case16", "--engine", "tree"],
        capture_output=True,
        text=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": "", "HOME": str(tmp_path)},
        cwd=CASES.parents[1],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "466.1 kW" in done.stdout


def test_progress_in_one_line() -> None:
    """What is not known yet is not in it."""
    assert progress_line("case33", Progress("milp", 0.2)) == "Solving case33 ... 0 s"
    known = Progress("milp", 3.4, incumbent_kw=139.5513, bound_kw=139.0, gap=0.00395, nodes=12)
    expected = "Solving case33 ... 3 s, best 139.551 kW, bound 139.000 kW, gap 0.40%, 12 nodes"
    assert progress_line("case33", known) == expected


def test_progress_tells_how_the_gap_fell() -> None:
    """The points at which it had halved, not the present one; of many the last three."""
    gaps = (None, 0.08, 0.07, 0.03, 0.02, 0.014, 0.004, 0.002, 0.0019)
    curve = tuple(GapPoint(float(k), 10 * k, 100.0, None, gap) for k, gap in enumerate(gaps))
    line = progress_line("case33", Progress("tree", 8.2, 100.0, 99.81, 0.0019, 80, curve))
    assert line == (
        "Solving case33 ... 8 s, best 100.000 kW, bound 99.810 kW, gap 0.19%, "
        "before: 1.4 % at 5 s, 0.4 % at 6 s, 0.2 % at 7 s, 80 nodes"
    )
    assert gap_story(curve) == (
        "Gap on the way: 1.4 % after 5.0 s, 0.4 % after 6.0 s, 0.2 % after 7.0 s, 0.19 % after 8.0 s."
    )
    assert gap_story(curve[:2]) == ""
    assert gap_rows(curve) == []  # nothing is known of a bound
