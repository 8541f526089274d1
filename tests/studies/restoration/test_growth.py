"""Partial service by growing forests: known answers, several situations, and what it leaves to the relaxation."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import learnopt
from learnopt.io import network_from_dict
from learnopt.network import Limits, ReconfigurationProblem, Situations, Status
from learnopt.studies.restoration import growth
from learnopt.studies.restoration.fault import Fault, read_fault
from learnopt.studies.restoration.growth import Growth
from learnopt.studies.restoration.outage import Outage
from learnopt.studies.restoration.search import RestorationSearch
from learnopt.studies.restoration.study import restore

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
import restoration as random_networks


def _search(problem: ReconfigurationProblem, fault: Fault) -> RestorationSearch:
    return RestorationSearch(Outage(problem, fault, np.ones(problem.network.n_bus)))


def _growth(problem: ReconfigurationProblem) -> Growth | None:
    search = _search(problem, Fault(branches=(0,)))
    return Growth.of(search.problem, search.zone, search.value_kw, lambda: True)


def _line(**changed: float) -> ReconfigurationProblem:
    """A source and three loads in a row, with a tie to the last one."""
    switch = {"switchable": True, "normally_open": False, "r_ohm": 1.0, "x_ohm": 0.5}
    ends = [("S", "A"), ("A", "B"), ("B", "C"), ("S", "C")]
    branches = [{"id": f"{a}{b}", "from": a, "to": b, **switch} for a, b in ends]
    branches[3] |= {"normally_open": True, "r_ohm": 4.0}
    loads = [
        {"id": name, "p_kw": kw, "q_kvar": 0.3 * kw} for name, kw in zip("ABC", (300.0, 200.0, 150.0), strict=True)
    ]
    loads[1] |= changed
    record = {
        "name": "line",
        "base_kv": 10.0,
        "substations": ["S"],
        "buses": [{"id": "S"}, *loads],
        "branches": branches,
    }
    return ReconfigurationProblem.of(network_from_dict(record, "line"), limits=Limits(vm_min=0.985))


def test_partial_service_of_case33_is_that_of_the_relaxation():
    """The figures are those that the relaxation on HiGHS proves in 20 s."""
    problem = learnopt.problem("case33", vmin=0.93)
    found = restore(problem, read_fault(problem.network, ["branch:2"])).found
    assert found.status is Status.OPTIMAL
    assert found.runs == 0
    assert (found.unserved.value, found.operations.value) == (1670.0, 5.0)
    assert found.loss.value == pytest.approx(98.7716, abs=1e-4)


def test_several_situations_count_each():
    """Twice the same is the same; a plan of a heavy and a light hour holds in the heavy one."""
    problem = _line()
    fault = Fault(branches=(0,))
    once = restore(problem, fault)
    twice = restore(problem.replace(situations=Situations((problem.scenario,) * 2, np.array([1.0, 3.0]))), fault)
    assert once.not_served
    assert [k for k, _ in once.not_served] == [k for k, _ in twice.not_served]
    assert twice.loss_kw == pytest.approx(once.loss_kw, rel=1e-9)
    light = replace(problem.scenario, p_load=0.1 * problem.scenario.p_load, q_load=0.1 * problem.scenario.q_load)
    both = restore(problem.replace(situations=Situations((light, problem.scenario), np.ones(2))), fault)
    assert both.status is Status.OPTIMAL
    assert both.evaluation is not None
    assert both.evaluation.feasible
    assert [k for k, _ in both.not_served] == [k for k, _ in once.not_served]


def test_what_limits_itself_is_left_to_the_relaxation():
    """More load may help where something feeds in, and where a capacitor lifts the voltage."""
    assert _growth(_line()) is not None
    assert _growth(_line(q_kvar=-50.0)) is None
    assert _growth(_line(p_kw=-50.0)) is None
    low = _line()
    assert _growth(low.replace(limits=Limits(vm_min=0.9, vm_max=0.99))) is None


def test_a_search_without_an_end_goes_on_with_the_relaxation(monkeypatch):
    """Neither the plan nor its proof depends on who found it."""
    problem, fault = _line(), Fault(branches=(0,))
    grown = restore(problem, fault).found
    monkeypatch.setattr(growth, "MOST_STEPS", 0.0)
    relaxed = restore(problem, fault).found
    assert grown.unserved == relaxed.unserved
    assert grown.operations == relaxed.operations
    assert grown.loss.value == pytest.approx(relaxed.loss.value, rel=1e-6)


@pytest.mark.parametrize("draw", [3, 4])
def test_the_relaxation_agrees_on_random_networks(draw, monkeypatch):
    """Zones, ratings of lines and sources, priorities."""
    problem, fault, worth = random_networks.random_case(np.random.default_rng([0, draw]))
    best = random_networks.enumerated(problem, fault, worth)
    monkeypatch.setattr(Growth, "of", lambda *_: None)
    assert random_networks.differences(restore(problem, fault, worth), best) == []


def test_sums_of_values_differ_by_their_divisor():
    assert growth._least_step(np.array([60.0, 90.0, 210.0])) == 30.0
    assert growth._least_step(np.array([60.0, 40.4])) == pytest.approx(0.4)
    assert growth._least_step(np.array([60.0, np.pi])) == 0.0
