"""Switches of one and two phases, open and closed: each answer against brute force over all states of the case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from partial_networks import least_loss, partial_case, radial_states

import learnopt
from learnopt.io.case_json import network_from_dict
from learnopt.network import Certificate, Configuration, Status

pytest.importorskip("opendssdirect")

LINE = "r1=.3 x1=.4 r0=.6 x0=1.2 c1=0 c0=0 length=1"
FEEDER = f"""Clear
New Circuit.feeder basekv=12.47 pu=1.02 phases=3 bus1=sub mvasc3=2000 mvasc1=2000
New Line.a bus1=sub bus2=n1 {LINE}
New Line.b bus1=n1 bus2=n2 {LINE}
New Line.c bus1=n1 bus2=n3 {LINE} switch=yes
New Load.x1 bus1=n1.1 phases=1 kv=7.2 kw=100 kvar=30
New Load.x2 bus1=n2 kv=12.47 kw=900 kvar=300 vminpu=0.7
New Load.x3 bus1=n3 kv=12.47 kw=1500 kvar=500 vminpu=0.7
"""
TIES = "".join(
    f"New Line.q{k} bus1=n2 bus2=q{k} {LINE}\nNew Line.t{p} bus1=q{k}.{k} bus2=n3.{k} phases=1 {LINE} switch=yes\n"
    for k, p in enumerate("abc", 1)
)
SOLVE = "Set voltagebases=[12.47]\nCalcVoltageBases\n{}Solve\n"


@pytest.fixture(autouse=True)
def without_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Circuits that are written here crash nothing: no process of its own tries each before."""
    monkeypatch.setattr("learnopt.io.opendss.engine.rehearse", lambda _commands: None)


@pytest.mark.parametrize("seed", range(12))
def test_the_optimum_is_that_of_brute_force(seed: int) -> None:
    """Radial by phase: every state of the switches is tried, trees are counted by phase, OpenDSS solves each."""
    case = partial_case(seed)
    if case is None:
        pytest.skip("no switch to decide")
    solution = learnopt.solve(network_from_dict(case, "case"), limits="none", source_check=False)
    states = list(radial_states(case))
    assert solution.result.certificate is Certificate.AC
    assert solution.open_branches is not None
    assert frozenset(map(str, solution.open_branches)) in states
    assert f"Each of the {len(states)} radial states" in solution.result.message
    with solution.question.imported.circuits(solution.problem) as (circuit,):
        with circuit.closely(1e-7):
            least = least_loss(circuit, solution.problem.network, states)
        live = [solution_state(circuit, solution.problem.network, step) for step in walked(solution)]
    assert solution.loss_kw == pytest.approx(least, rel=1e-6)
    assert all((after >= live[0]).all() for after in live), "a step of the order takes a phase its supply"
    assert live == [] or solution.operations[-1].state.value == "radial"


def walked(solution: learnopt.Solution) -> list[np.ndarray]:
    """The states of the order, present one first."""
    closed = solution.problem.network.normal_configuration.closed.copy()
    states = [closed.copy()]
    for operation in solution.operations:
        closed[operation.branch] = operation.action.value == "close"
        states.append(closed.copy())
    assert solution.configuration is not None
    assert Configuration(closed) == solution.configuration
    return states if solution.operations else []


def solution_state(circuit: object, network: object, closed: np.ndarray) -> np.ndarray:
    assert circuit.solve(closed)  # type: ignore[attr-defined]
    return circuit.state().live  # type: ignore[attr-defined,no-any-return]


def test_three_ties_of_one_phase_stand_for_a_switch_of_three(tmp_path: Path) -> None:
    """They close together or not at all; the order closes all of them before the switch opens, and says so."""
    path = tmp_path / "feeder.dss"
    path.write_text(FEEDER + TIES + SOLVE.format("Open Line.c 1\n"), encoding="utf-8")
    solution = learnopt.solve(path)
    assert solution.problem.network.by_phase
    assert sorted(map(str, solution.open_branches or [])) == ["line.ta", "line.tb", "line.tc"]
    assert "Each of the 2 radial states" in solution.result.message
    actions = [(one.action.value, str(one.branch_id)) for one in solution.operations]
    assert actions == [("close", "line.c"), ("open", "line.ta"), ("open", "line.tb"), ("open", "line.tc")]
    found = learnopt.check(path, ["line.ta", "line.tb"]).result
    assert found.faults == ("1 loop is closed, counted in each phase",)
    assert learnopt.check(path, ["line.c", "line.ta"]).result.faults == (
        "1 part of one phase has no path to a substation in that phase",
    )
    with pytest.raises(learnopt.UnsupportedError, match="paralleling"):
        _ = learnopt.solve(path, paralleling="forbidden").operations


def test_ties_that_no_state_closes_are_left_out(tmp_path: Path) -> None:
    """Two phases of three: whatever opens for them opens in the third as well. A switch of one phase makes a choice."""
    path, opened = tmp_path / "feeder.dss", "Open Line.ta 1\nOpen Line.tb 1\n"
    two = "".join(TIES.splitlines(keepends=True)[:4])
    path.write_text(FEEDER + two + SOLVE.format(opened), encoding="utf-8")
    solution = learnopt.solve(path)
    assert solution.problem.network.n_branch == 6
    assert "Stays open, since it has not all three phases: line.ta, line.tb." in solution.result.message
    lateral = f"New Line.m bus1=n3.1 bus2=m.1 phases=1 {LINE} switch=yes\nNew Load.m bus1=m.1 phases=1 kv=7.2 kw=200\n"
    tie = f"New Line.tm bus1=n2.1 bus2=m.1 phases=1 {LINE} switch=yes\n"
    path.write_text(FEEDER + lateral + tie + SOLVE.format("Open Line.tm 1\n"), encoding="utf-8")
    both = learnopt.solve(path)
    assert "Each of the 2 radial states" in both.result.message
    assert both.result.status is Status.OPTIMAL
    balanced = learnopt.solve(path, balanced=True)
    assert "line.tm" in map(str, balanced.open_branches or [])
    held = learnopt.solve(path, scenario={"locked": {"line.tm": "open"}})
    assert "Each of the 1 radial states" in held.result.message
