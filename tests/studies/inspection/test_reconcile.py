"""Files against their own tool: a difference is refused, accepted or explained, and answers are set in the tool."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from source_tools import Change, FakeTool

from learnopt.errors import DataError
from learnopt.io.source import Loaded, SourceState
from learnopt.network import (
    Certificate,
    Configuration,
    Generator,
    Network,
    ReconfigurationProblem,
    Scenario,
    Situations,
    Status,
    Tap,
)
from learnopt.physics import evaluate
from learnopt.report.configuration.text import result_to_dict, verdict
from learnopt.report.kit.origin import in_source, origin_to_dict
from learnopt.studies.configuration.solve import solve
from learnopt.studies.inspection.reconcile import Origin, heads_kw, reconcile


def loaded(network: Network, change: Change | None = None, explained: tuple[str, ...] = ()) -> Loaded:
    return Loaded(network, (), FakeTool() if change is None else FakeTool(change), explained)


def lowered(state: SourceState) -> SourceState:
    """Every voltage a bit below what it was, the source's not."""
    return replace(state, vm={bus: vm - 0.003 * (vm < 1) for bus, vm in state.vm.items()})


DIFFERENCES: dict[str, tuple[Change, str]] = {
    "load": (lambda s: replace(s, load_kw=1.002 * s.load_kw), "net load"),
    "generation": (lambda s: replace(s, generation_kw=s.generation_kw + 0.002 * s.load_kw), "net load"),
    "loss": (lambda s: replace(s, loss_kw=1.02 * s.loss_kw), "loss"),
    "voltage": (lowered, "lowest voltage"),
    "highest": (lambda s: replace(s, vm={b: v + 0.003 * (v == 1) for b, v in s.vm.items()}), "highest voltage"),
    "head": (lambda s: replace(s, heads_kw={b: 1.02 * p for b, p in s.heads_kw.items()}), "power drawn at"),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_difference_refuses_the_file_by_name(case33: Network, name: str) -> None:
    """One quantity beyond its tolerance, named with both values and what to do; accepted, it is a warning."""
    change, said = DIFFERENCES[name]
    with pytest.raises(DataError) as caught:
        reconcile(loaded(case33, change))
    first, *_, advice = caught.value.messages
    assert said in first
    assert "here" in first
    assert "in Fake" in first
    assert "accept_differences=True" in advice
    accepted = reconcile(loaded(case33, change), accept_differences=True).origin
    assert len(accepted.warnings) == 1
    assert said in accepted.warnings[0]
    explained = reconcile(loaded(case33, change, ("loads are reduced",))).origin
    assert said in explained.warnings[0]
    assert "loads are reduced" in explained.warnings[0]
    assert not explained.equivalent


def test_no_difference_says_nothing(case33: Network, two_substations: Network) -> None:
    """Nor does a difference within the tolerances."""
    for network in (case33, two_substations):
        assert reconcile(loaded(network)).origin == Origin()
        near = reconcile(loaded(network, lambda s: replace(s, loss_kw=1.009 * s.loss_kw, load_kw=1.0009 * s.load_kw)))
        assert near.origin == Origin()
    assert reconcile(Loaded(case33)).origin == Origin()


def test_tool_without_a_solution_is_told(case33: Network) -> None:
    """Nothing was compared, which is no agreement."""
    origin = reconcile(loaded(case33, lambda _: SourceState.failed("Fake", "it does not converge"))).origin
    assert "could not be compared with Fake" in origin.warnings[0]
    assert "it does not converge" in origin.warnings[0]


def test_heads_of_several_substations(two_substations: Network) -> None:
    """What each substation draws adds up to load and loss."""
    problem = ReconfigurationProblem.of(two_substations)
    present = two_substations.normal_configuration
    found = evaluate(problem, present)
    heads = heads_kw(problem, present, found)
    assert len(heads) == 2
    assert sum(heads.values()) == pytest.approx(problem.p.sum() * two_substations.base.kw + found.loss_kw, rel=1e-9)


def test_answer_in_the_source_tool(case33: Network) -> None:
    """Configuration, settings and scenario reach the tool; loads of the file are not sent again."""
    controls = replace(
        case33.controls, taps=(Tap(0, 0.95, 1.05, 0.05),), capacitors=(), generators=(Generator("G", 5, 0, 0.1, 0, 0),)
    )
    network = replace(case33, controls=controls)
    imported = reconcile(loaded(network))
    tool = imported.loaded.source
    assert isinstance(tool, FakeTool)
    problem = ReconfigurationProblem.of(network, controls=controls.only("taps"))
    result = solve(problem, "milp")
    origin = imported.answered(problem, result)
    assert tool.asked[-1] == (result.configuration, result.settings[0], None)
    assert origin.source is not None
    assert (origin.source.name, origin.source.max_loading) == ("Fake", 0.5)
    assert origin.source.loss_kw == pytest.approx(result.loss_kw)
    assert origin.source.difference == pytest.approx(0.0, abs=1e-9)
    answer = result_to_dict(problem, result, origin=origin)
    assert answer["source_tool"]["loss_kw"] == pytest.approx(result.loss_kw)
    assert answer["warnings"] == []
    half = replace(problem.scenario, p_load=0.5 * case33.p_load)
    there = ReconfigurationProblem.of(network, half)
    imported.judged(there, network.normal_configuration, evaluate(there, network.normal_configuration))
    assert tool.asked[-1][2] is half
    before = len(tool.asked)
    assert imported.answered(problem, result, check=False).source is None
    assert len(tool.asked) == before


def told_by(problem: ReconfigurationProblem, state: Configuration, change: Change) -> tuple[Origin, str]:
    """What is said of a state where the tool of the file finds something else."""
    imported = reconcile(loaded(problem.network))
    assert isinstance(imported.loaded.source, FakeTool)
    imported.loaded.source.change = change
    origin = imported.judged(problem, state, evaluate(problem, state))
    return origin, in_source(origin) or ""


def test_answer_that_the_tool_does_not_confirm(case33: Network) -> None:
    """A higher loss is told as a share, no solution with its reason."""
    problem = ReconfigurationProblem.of(case33)
    state = case33.normal_configuration

    told = partial(told_by, problem, state)
    origin, words = told(lambda s: replace(s, loss_kw=1.5 * s.loss_kw))
    assert origin.source is not None
    assert origin.source.difference == pytest.approx(0.5)
    assert "50 % above ours" in words
    origin, words = told(lambda _: SourceState.failed("Fake", "no solution"))
    assert origin_to_dict(origin)["source_tool"]["loss_kw"] is None
    assert "not confirmed: no solution" in words


def test_proof_of_an_unbalanced_file_is_about_its_equivalent(case33: Network) -> None:
    """The first sentence says so, and no other claims more; a balanced file is told as ever."""
    problem = ReconfigurationProblem.of(case33)
    result = solve(problem)
    assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
    origin = reconcile(loaded(case33, explained=("imbalance: phases carry 1, 2, 3 kW",))).origin
    assert origin.equivalent
    assert verdict(problem, result, origin).headline == "Proven optimal (for the balanced equivalent only)."
    words = verdict(problem, result, origin).sentences
    assert words[0].startswith("Proven for the balanced equivalent of this feeder only")
    assert not any("configuration of this feeder" in sentence for sentence in words)
    assert any("full AC power flow of the balanced equivalent" in sentence for sentence in words)
    plain = verdict(problem, result).sentences
    assert any("No radial configuration of this feeder" in sentence for sentence in plain)
    assert not any("equivalent" in sentence for sentence in plain)
    unproven = replace(result, certificate=Certificate.NONE, dual_bound_kw=None, status=Status.FEASIBLE)
    assert "equivalent" in verdict(problem, unproven, origin).sentences[0]


@pytest.mark.parametrize("objective", ["expected", "worst"])
def test_every_scenario_is_set_in_the_tool(case33: Network, objective: str) -> None:
    """Each with its own loads; above them the loss as the objective counts it, the extremes and the first failure."""
    nominal = Scenario.nominal(case33)
    half = replace(nominal, p_load=0.5 * case33.p_load, q_load=0.5 * case33.q_load, name="half")
    several = Situations((nominal, half), np.array([1.0, 3.0]))
    problem = ReconfigurationProblem.of(case33, several, objective=objective)
    result = solve(problem, "tree")
    imported = reconcile(loaded(case33))
    tool = imported.loaded.source
    assert isinstance(tool, FakeTool)
    asked = len(tool.asked)
    origin = imported.answered(problem, result)
    assert [one[2] if one[2] is None else one[2].name for one in tool.asked[asked:]] == [None, "half"]
    assert origin.source is not None
    assert origin.source.loss_kw == pytest.approx(result.loss_kw)
    assert origin.source.difference == pytest.approx(0.0, abs=1e-9)
    assert [one.scenario for one in origin.source.scenarios] == ["nominal", "half"]
    told = origin_to_dict(origin)["source_tool"]
    assert [one["scenario"] for one in told["scenarios"]] == ["nominal", "half"]
    assert told["scenarios"][1]["loss_kw"] < 0.3 * told["scenarios"][0]["loss_kw"]
    assert told["min_voltage_pu"] == told["scenarios"][0]["min_voltage_pu"]
    assert "2 scenarios" in (in_source(origin) or "")


def test_one_scenario_that_the_tool_does_not_confirm(case33: Network) -> None:
    """It is named, whichever it is: without a solution there is no loss of all, a difference is told with its name."""
    nominal = Scenario.nominal(case33)
    problem = ReconfigurationProblem.of(case33, Situations((nominal, replace(nominal, name="again")), np.ones(2)))
    state = case33.normal_configuration

    told = partial(told_by, problem, state)
    calls: list[int] = []

    def second(change: Change) -> Change:
        def changed(state: SourceState) -> SourceState:
            calls.append(1)
            return change(state) if len(calls) % 2 == 0 else state

        return changed

    origin, words = told(second(lambda _: SourceState.failed("Fake", "no solution")))
    assert origin.source is not None
    assert origin.source.loss_kw is None
    assert "scenario 'again': no solution" in words
    origin, words = told(second(lambda s: replace(s, loss_kw=1.5 * s.loss_kw)))
    assert origin.source is not None
    assert origin.source.difference == pytest.approx(0.25)
    assert "farthest in scenario 'again', 50 % above" in words
