from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network

from learnopt.network import Limits, Network, ReconfigurationProblem, Scenario
from learnopt.physics import evaluate
from learnopt.studies.configuration.switching_order import normal_state, switching_plan
from learnopt.studies.configuration.validity import MOST, validity

OPTIMUM = [7, 9, 14, 32, 37]


def test_the_upper_end_is_where_the_voltage_limit_is_reached(case33: Network) -> None:
    """At the end the limit holds, a little beyond it does not; the lower end is no load at all."""
    problem = ReconfigurationProblem.of(case33, limits=Limits(vm_min=0.90))
    target = case33.configuration(OPTIMUM)
    found = validity(problem, target, [])
    on_the_way = validity(problem, target, switching_plan(problem, normal_state(problem), target))
    assert found is not None
    assert on_the_way is not None
    assert on_the_way.high_kw < found.high_kw, "the first steps have lower voltages than the target"
    assert found.load_kw == pytest.approx(3715.0)
    assert found.low_kw == 0.0

    def kept(load_kw: float) -> bool:
        one = Scenario.nominal(case33)
        factor = load_kw / found.load_kw
        scaled = problem.under(replace(one, p_load=factor * one.p_load, q_load=factor * one.q_load))
        return not evaluate(scaled, target).violations

    assert kept(found.high_kw)
    assert not kept(found.high_kw + found.load_kw * (MOST - 1) / 32)
    assert "not proven between" in found.sentence


def test_generation_that_stays_bounds_the_load_from_below() -> None:
    """With PV at the end of a line the voltage rises as the load falls."""
    net = make_network([(0, 1, 4, 1), (1, 2, 4, 1), (0, 2, 4, 1, {"normally_open": True})], {1: (400, 0), 2: (500, 0)})
    p_gen = np.array([0.0, 0.0, 700.0]) / net.base.kw
    scenario = replace(Scenario.nominal(net), p_gen=p_gen)
    problem = ReconfigurationProblem.of(net, scenario, limits=Limits(vm_max=1.005))
    now = net.normal_configuration
    found = validity(problem, now, [])
    assert found is not None
    assert 0 < found.low_kw < found.load_kw


def test_nothing_is_stated_where_limits_are_broken_now(case33: Network) -> None:
    """An order whose target violates a limit has no range."""
    problem = ReconfigurationProblem.of(case33, limits=Limits(vm_min=0.99))
    assert validity(problem, case33.configuration(OPTIMUM), []) is None
