"""Conflicting limits: what is called proven holds for every configuration, what is found is what the judge says."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from instances import all_configurations, random_problem

from learnopt.network import Limits, ReconfigurationProblem, Scenario
from learnopt.physics import evaluate
from learnopt.studies.configuration.explain import explain_infeasibility, total_violation


def percentage(sentence: str) -> float:
    """The share that a sentence states."""
    found = re.search(r"([\d.]+)%", sentence)
    assert found is not None
    return float(found.group(1)) / 100


def test_against_enumeration():
    """The proven total is at most that of the best configuration, the found one is at least that."""
    proofs = 0
    mixes = (
        ("voltage limits",),
        ("voltage limits", "ampacity"),
        ("voltage limits", "charging", "generation"),
        ("ratings",),
    )
    for seed in range(60):
        problem = random_problem(seed, mixes[seed % len(mixes)], n_bus=(4, 8), n_loops=(1, 4), load=(2.0, 9.0))
        totals = [total_violation(problem, evaluate(problem, c)) for c in all_configurations(problem)]
        least = min(totals)
        sentences = explain_infeasibility(problem, time_limit=3.0)
        total = [s for s in sentences if re.search("^Proven: in every radial configuration.*add up to", s)]
        found = [s for s in sentences if s.startswith("Least violation found")]
        if least == 0.0:
            assert not total
        for sentence in total:
            assert percentage(sentence) <= least + 1e-4
            proofs += 1
        for sentence in found:
            assert percentage(sentence) >= least - 1e-4
        if any("misses some limit by" in s for s in sentences):
            assert least > 0.3
    assert proofs > 3


def tail_network():
    """A loop with a long tail: the end of the tail is low in every configuration."""
    branches = [(0, 1, 0.5, 0.5), (1, 2, 0.5, 0.5), (0, 2, 0.5, 0.5, {"normally_open": True}), (2, 3, 3.0, 3.0)]
    return make_network(branches, {1: (300, 100), 2: (300, 100), 3: (1500, 500)})


def test_bus_that_no_configuration_lifts():
    """The voltage named is one that no configuration exceeds, and is below the limit."""
    net = tail_network()
    problem = ReconfigurationProblem.of(net, limits=Limits(vm_min=0.97))
    highest = max(evaluate(problem, c).vm[net.bus_index["3"]] for c in all_configurations(problem))
    sentences = explain_infeasibility(problem)
    bus = next(s for s in sentences if s.startswith("Proven: bus 3 reaches at most"))
    reached = float(re.search(r"at most ([\d.]+) pu", bus).group(1))
    assert highest - 1e-4 <= reached <= highest + 0.01 < 0.97
    assert any(s.startswith("Bus 3 reaches") for s in sentences)


def test_violations_of_every_kind_are_named():
    """Ampacity and substation rating name branch and substation, with current and power of the judge."""
    net = tail_network()
    net = replace(net, i_max=np.full(4, 0.5), substation_s_max=np.array([1.0]))
    problem = ReconfigurationProblem.of(net, limits=Limits(ampacity=True, substations=True))
    text = " ".join(explain_infeasibility(problem))
    assert re.search(r"Branch \d carries [\d.]+ A there, [\d.]+% above", text)
    assert re.search(r"Substation 0 delivers [\d.]+ kVA there, [\d.]+% above 1000.0 kVA", text)


def test_one_configuration(two_bus):
    """Where nothing can be chosen, what is found is all there is."""
    problem = ReconfigurationProblem.of(two_bus, limits=Limits(vm_min=0.999))
    first, second = explain_infeasibility(problem)
    assert first.startswith("The only radial configuration: open nothing; it misses 1 limit, ")
    assert second.startswith("Bus 1 reaches")


def test_contradictory_locks_and_caps(case33):
    """Locks that leave no tree are named; a cap below the operations that an outage forces states how many."""
    out = np.arange(case33.n_branch)
    island = ReconfigurationProblem.of(case33, replace(Scenario.nominal(case33), out_of_service=out == 0))
    assert "32 buses cannot be fed" in explain_infeasibility(island)[0]
    outage = replace(Scenario.nominal(case33), out_of_service=out == 6)
    (sentence,) = explain_infeasibility(ReconfigurationProblem.of(case33, outage, max_operations=0))
    assert sentence == "Proven: a radial configuration needs at least 1 switching operations, the cap allows 0."


def test_limits_that_do_not_conflict(case33):
    """A configuration within the limits is named where there is one."""
    (sentence,) = explain_infeasibility(ReconfigurationProblem.of(case33, limits=Limits(vm_min=0.93)))
    assert sentence.startswith("The limits do not conflict: open ")


def test_loads_that_cannot_be_carried(two_bus):
    """No power flow at all is not called a violation."""
    heavy = replace(Scenario.nominal(two_bus), p_load=two_bus.p_load * 1e4)
    problem = ReconfigurationProblem.of(two_bus, heavy, limits=Limits(vm_min=0.9))
    assert explain_infeasibility(problem) == [
        "No radial configuration with an AC power flow was found: the loads may exceed what the feeder can carry."
    ]
    assert total_violation(problem, evaluate(problem, two_bus.normal_configuration)) == pytest.approx(np.inf)
