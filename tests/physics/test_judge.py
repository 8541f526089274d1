"""The independent judge: known answers, and every limit it must notice."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from conftest import make_network
from instances import all_configurations, random_problem

from learnopt.network import Limits, ReconfigurationProblem, Scenario, Situations
from learnopt.physics import evaluate


def two_bus_w(p: float, q: float, r: float, x: float, v0: float = 1.0) -> float:
    """Squared voltage at the end of one line [pu^2]."""
    half = 2 * (r * p + x * q) - v0**2
    return (-half + sqrt(half**2 - 4 * (r**2 + x**2) * (p**2 + q**2))) / 2


def test_two_bus_closed_formula(two_bus):
    """Loss, voltage, current and substation power of one line in SI units."""
    result = evaluate(ReconfigurationProblem.of(two_bus), two_bus.normal_configuration)
    w = two_bus_w(1.0, 0.4, 0.01, 0.005)
    loss = 0.01 * 1.16 / w
    assert result.feasible
    assert result.loss_kw == pytest.approx(1e3 * loss, rel=1e-8)
    assert result.min_voltage_pu == pytest.approx(sqrt(w), rel=1e-9)
    assert result.current_a[0] == pytest.approx(1e3 * sqrt(1.16 / w) / (sqrt(3) * 10), rel=1e-7)
    delivered = abs(1 + loss + 1j * (0.4 + 0.005 * 1.16 / w))
    assert result.substation_kva[0] == pytest.approx(1e3 * delivered, rel=1e-7)
    assert result.max_loading == 0.0


def test_violations_name_their_objects():
    """Voltage, current and substation limits are each reported with id, value and limit."""
    network = make_network(
        [("S", "a", 1, 1, {"id": "cable 7", "ampacity_a": 50}), ("a", "b", 3, 3)],
        {"a": (500, 100), "b": (900, 100)},
        substations=["S"],
        voltage_limits={"vmin_pu": 0.97, "vmax_pu": 1.0},
        substation_data={"S": {"v_pu": 1.01, "s_max_kva": 1000}},
    )
    result = evaluate(ReconfigurationProblem.of(network), network.normal_configuration)
    assert result.converged
    assert not result.feasible
    text = "\n".join(result.violations)
    assert len(result.violations) == 3
    assert "bus 'b': voltage" in text
    assert "is below 0.97 pu" in text
    assert "branch 'cable 7': current" in text
    assert "exceeds 50.0 A" in text
    assert "substation 'S':" in text
    assert "exceeds 1000.0 kVA" in text
    assert result.loading[0] == pytest.approx(result.current_a[0] / 50)
    assert result.max_loading > 1.6
    relaxed = evaluate(ReconfigurationProblem.of(network, limits=Limits()), network.normal_configuration)
    assert relaxed.feasible
    assert relaxed.loss_kw == result.loss_kw


def test_voltage_above_its_limit_and_minimum_power():
    """Generation lifts the voltage above its limit and the substation falls below its least power."""
    network = make_network(
        [(0, 1, 2, 2)],
        {1: (100, 0)},
        voltage_limits={"vmin_pu": 0.95, "vmax_pu": 1.005},
        substation_data={"0": {"s_min_kva": 2000}},
    )
    scenario = replace(Scenario.nominal(network), p_gen=np.array([0.0, 1.1]))
    result = evaluate(ReconfigurationProblem.of(network, scenario), network.normal_configuration)
    assert result.vm[1] == pytest.approx(sqrt(two_bus_w(-1.0, 0, 0.02, 0.02)), rel=1e-8)
    assert len(result.violations) == 2
    assert "bus 1: voltage" in result.violations[0]
    assert "is above 1.005 pu" in result.violations[0]
    assert "is below 2000.0 kVA" in result.violations[1]


def test_limits_just_met_are_no_violations(two_bus):
    """A limit equal to the value is respected; the accuracy of a power flow is no violation."""
    free = evaluate(ReconfigurationProblem.of(two_bus), two_bus.normal_configuration)
    limits = Limits(vm_min=free.min_voltage_pu * (1 + 1e-8), vm_max=1.1)
    assert evaluate(ReconfigurationProblem.of(two_bus, limits=limits), two_bus.normal_configuration).feasible
    limits = Limits(vm_min=free.min_voltage_pu * (1 + 1e-4), vm_max=1.1)
    assert not evaluate(ReconfigurationProblem.of(two_bus, limits=limits), two_bus.normal_configuration).feasible


def test_coupler_joins_two_feeders_without_loss(coupler):
    """With the coupler closed one line carries both loads; the coupler itself loses nothing."""
    problem = ReconfigurationProblem.of(coupler)
    result = evaluate(problem, coupler.configuration([2]))
    w = two_bus_w(2.0, 0.0, 0.01, 0.01)
    assert result.loss_kw == pytest.approx(1e3 * 0.01 * 4 / w, rel=1e-6)
    assert result.vm[1] == pytest.approx(result.vm[2], abs=1e-7)
    apart = evaluate(problem, coupler.normal_configuration)
    assert apart.loss_kw == pytest.approx(2e3 * 0.01 / two_bus_w(1.0, 0.0, 0.01, 0.01), rel=1e-8)


def test_substation_voltages(two_substations):
    """Each tree has the voltage of its own substation."""
    network = replace(two_substations, substation_vm=np.array([1.05, 0.98]))
    result = evaluate(ReconfigurationProblem.of(network), network.normal_configuration)
    vm = dict(zip(network.bus_ids, result.vm, strict=True))
    assert vm["A"] == pytest.approx(1.05, rel=1e-9)
    assert vm["B"] == pytest.approx(0.98, rel=1e-9)
    assert vm[1] == pytest.approx(sqrt(two_bus_w(0.4, 0.1, 0.01, 0.01, 1.05)), rel=1e-8)
    assert vm[2] == pytest.approx(sqrt(two_bus_w(0.4, 0.1, 0.01, 0.01, 0.98)), rel=1e-8)


def test_charging():
    """An unloaded cable rises by the closed formula; its current is the larger one, at the feeding end."""
    network = make_network([(1, 0, 2.0, 5.0, {"b_us": 4000})], {}, substations=[0])
    z, half_b = (2 + 5j) / 100, 0.5 * 4000e-6 * 100
    v2 = 1 / (1 + z * 1j * half_b)
    result = evaluate(ReconfigurationProblem.of(network), network.normal_configuration)
    assert result.vm[network.bus_index["1"]] == pytest.approx(abs(v2), rel=1e-9)
    assert result.loss_kw == pytest.approx(1e3 * 0.02 * abs(half_b * v2) ** 2, rel=1e-6)
    feeding = abs(1j * half_b * (1 + v2)) * network.base.i_base
    assert result.current_a[0] == pytest.approx(feeding, rel=1e-6)
    bare = evaluate(ReconfigurationProblem.of(network, charging=False), network.normal_configuration)
    assert bare.loss_kw == pytest.approx(0.0, abs=1e-9)


def test_states_that_are_not_radial(triangle):
    """A loop and an unfed bus come back with the reason and NaN, not as an exception."""
    problem = ReconfigurationProblem.of(triangle)
    for opened, reason in (([], "loops close at branch 3"), ([1, 3], "no path to a substation: bus 1, 2")):
        result = evaluate(problem, triangle.configuration(opened))
        assert not result.converged
        assert not result.feasible
        assert reason in result.violations[0]
        assert np.isnan(result.loss_kw)
        assert np.isnan(result.vm).all()


def test_every_situation_of_a_state_without_supply(triangle):
    """One evaluation for each load situation, whatever fails."""
    one = ReconfigurationProblem.of(triangle).scenario
    several = ReconfigurationProblem.of(triangle).under(Situations((one, one, one), np.ones(3)))
    found = evaluate(several, triangle.configuration([1, 3]))
    assert [e.converged for e in found.situations] == [False] * 3


@pytest.mark.parametrize("seed", range(25))
def test_scenarios_together_are_scenarios_one_by_one(seed: int) -> None:
    """The batch gives each scenario exactly what it gets alone, also where one of them has no power flow."""
    rng = np.random.default_rng(seed)
    problem = random_problem(seed)
    scenarios = []
    for k in range(4):
        factor = rng.uniform(0.0, 1.5, len(problem.p)) * (40.0 if k == 3 and seed % 5 == 0 else 1.0) * (seed % 7 > 0)
        base = problem.scenario
        scenarios.append(replace(base, p_load=base.p_load * factor, q_load=base.q_load * factor, name=f"scenario {k}"))
    together = Situations(tuple(scenarios), np.array([1.0, 2.0, 0.0, 1.0]))
    several = problem.under(together)
    for configuration in all_configurations(problem)[:3]:
        found = evaluate(several, configuration)
        for member, batched in zip(several.members, found.scenarios, strict=True):
            alone = evaluate(member, configuration)
            assert batched.converged == alone.converged
            assert batched.violations == alone.violations
            np.testing.assert_allclose(batched.loss_kw, alone.loss_kw, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(batched.vm, alone.vm, rtol=1e-9)
            np.testing.assert_allclose(batched.current_a, alone.current_a, rtol=1e-7, atol=1e-7)
            np.testing.assert_allclose(batched.substation_kva, alone.substation_kva, rtol=1e-9, atol=1e-7)
        assert found.converged == all(e.converged for e in found.scenarios)
