"""Backward/forward sweep: against closed formulas and against the judge, which shares no code with it."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from conftest import make_network, random_network
from instances import EQUIPMENT, all_configurations, random_problem

from learnopt.io import case_names, load_case
from learnopt.network import Configuration, Limits, ReconfigurationProblem, Scenario
from learnopt.network.topology import maximum_spanning_tree
from learnopt.physics import SweepStatus, evaluate, power_flow, power_flow_batch
from learnopt.physics.limits import limit_arrays, total_violation
from learnopt.physics.sweep import grid_of


def test_two_bus_closed_formula(two_bus):
    """One line: v^4 + (2 (r p + x q) - v0^2) v^2 + (r^2 + x^2)(p^2 + q^2) = 0 and loss = r (p^2 + q^2) / v^2."""
    p, q, r, x = 1.0, 0.4, 0.01, 0.005
    half = 2 * (r * p + x * q) - 1.0
    w = (-half + sqrt(half**2 - 4 * (r**2 + x**2) * (p**2 + q**2))) / 2
    flow = power_flow(ReconfigurationProblem.of(two_bus), two_bus.normal_configuration)
    assert flow.converged
    assert abs(flow.v[1]) == pytest.approx(sqrt(w), rel=1e-12)
    assert flow.loss == pytest.approx(r * (p**2 + q**2) / w, rel=1e-12)
    assert flow.parent.tolist() == [-1, 0]
    assert flow.feed.tolist() == [-1, 0]
    assert abs(flow.current[0]) == pytest.approx(sqrt((p**2 + q**2) / w))


def test_charging_without_load():
    """An unloaded line rises: v2 = v1 / (1 + z j b / 2), and loses r |j b v2 / 2|^2 (an open line does neither)."""
    network = make_network(
        [(0, 1, 2.0, 5.0, {"b_us": 4000}), (0, 1, 2.0, 5.0, {"b_us": 9000, "normally_open": True})], {}
    )
    flow = power_flow(ReconfigurationProblem.of(network), network.normal_configuration)
    z, half_b = (2 + 5j) / 100, 0.5 * 4000e-6 * 100
    v2 = 1 / (1 + z * 1j * half_b)
    assert abs(v2) > 1.005
    assert flow.v[1] == pytest.approx(v2, rel=1e-10)
    assert flow.loss == pytest.approx(0.02 * abs(half_b * v2) ** 2, rel=1e-10)
    bare = power_flow(ReconfigurationProblem.of(network, charging=False), network.normal_configuration)
    assert (bare.loss, bare.v[1]) == (0.0, 1.0)


@pytest.mark.parametrize("name", case_names())
def test_equals_the_judge_on_named_cases(name):
    """Voltages and loss of the normal and of a least-resistance configuration agree with Newton-Raphson.

    The second has no power flow on two of the cases: then both say so.
    """
    network = load_case(name)
    problem = ReconfigurationProblem.of(network, limits=Limits())
    least = Configuration(maximum_spanning_tree(network, problem.usable, -network.r))
    for configuration in (network.normal_configuration, least):
        flow, judged = power_flow(problem, configuration), evaluate(problem, configuration)
        assert flow.converged == judged.converged
        np.testing.assert_allclose(1e3 * flow.loss, judged.loss_kw, rtol=1e-8)
        if flow.converged:
            np.testing.assert_allclose(np.abs(flow.v), judged.vm, atol=1e-9)
    assert power_flow(problem, network.normal_configuration).converged


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_judge_on_random_networks(seed):
    """Two substations at different voltages, generation beyond the load, capacitors and charging."""
    rng = np.random.default_rng(seed)
    data = {"0": {"v_pu": 1.03}, "1": {"v_pu": 0.99}}
    network = random_network(rng, int(rng.integers(5, 25)), 4, n_substations=2, substation_data=data)
    network = replace(network, b=rng.uniform(0, 0.02, network.n_branch))
    nominal = Scenario.nominal(network)
    scenario = replace(
        nominal,
        p_gen=rng.uniform(0, 0.6, network.n_bus) * (rng.random(network.n_bus) < 0.4),
        q_gen=rng.uniform(0, 0.2, network.n_bus) * (rng.random(network.n_bus) < 0.2),
    )
    problem = ReconfigurationProblem.of(network, scenario)
    configuration = Configuration(maximum_spanning_tree(network, problem.usable, rng.random(network.n_branch)))
    flow, judged = power_flow(problem, configuration), evaluate(problem, configuration)
    assert flow.converged == judged.converged
    assert flow.converged
    assert 1e3 * flow.loss == pytest.approx(judged.loss_kw, rel=1e-7)
    np.testing.assert_allclose(np.abs(flow.v), judged.vm, atol=1e-8)
    np.testing.assert_allclose(
        1e3 * np.abs(flow.current[network.substations]) * network.substation_vm,
        judged.substation_kva,
        rtol=0.2,
        atol=60,
    )


def test_energy_is_conserved(case33):
    """What the substation delivers is load plus loss."""
    problem = ReconfigurationProblem.of(case33, charging=False)
    flow = power_flow(problem, case33.normal_configuration)
    root = case33.substations[0]
    delivered = (flow.v[root] * np.conj(flow.current[root])).real
    assert delivered == pytest.approx(problem.p.sum() + flow.loss, rel=1e-9)


@pytest.mark.parametrize("opened", [[5, 6, 8, 13, 24], [5, 8, 12, 33, 37]])
def test_no_solution_is_a_failure(case33, opened):
    """Radial states of the 33-bus system without power flow; a sweep stopped early reports 70 and 113 kW for these."""
    problem = ReconfigurationProblem.of(case33)
    configuration = case33.configuration(opened)
    assert problem.admits(configuration)
    flow = power_flow(problem, configuration)
    assert flow.status is SweepStatus.NOT_CONVERGED
    assert np.isnan(flow.loss)
    batch = power_flow_batch(case33, (problem.p + 1j * problem.q)[None], configuration.closed[None])
    assert batch.status.tolist() == [SweepStatus.NOT_CONVERGED]
    assert np.isnan(batch.loss[0])
    assert np.isnan(batch.vm_min[0])
    judged = evaluate(problem, configuration)
    assert not judged.converged
    assert not judged.feasible
    assert "no solution" in judged.violations[0]
    assert np.isnan(judged.loss_kw)


def test_states_that_are_not_radial(case33, two_substations, parallel_branches):
    """A loop, an unfed bus, a path between substations and two closed parallels are NOT_RADIAL, whatever the count."""
    for network, opened in (
        (case33, [33, 34, 35, 36]),
        (case33, [1, 33, 34, 35, 36, 37]),
        (case33, [1, 33, 34, 35, 36]),
        (two_substations, []),
        (parallel_branches, []),
        (parallel_branches, [3]),
    ):
        problem = ReconfigurationProblem.of(network)
        flow = power_flow(problem, network.configuration(opened))
        assert flow.status is SweepStatus.NOT_RADIAL
        assert np.isnan(flow.loss)
        assert not evaluate(problem, network.configuration(opened)).converged


def test_batch_equals_single(case33):
    """Many configurations, many scenarios and pairs of both give what single power flows give."""
    rng = np.random.default_rng(0)
    usable = np.ones(case33.n_branch, dtype=bool)
    closed = np.array([maximum_spanning_tree(case33, usable, rng.random(37) - 10 * case33.r) for _ in range(20)])
    closed[7] = True  # not radial
    loads = rng.uniform(0.5, 1.2, (20, 1)) * (case33.p_load + 1j * case33.q_load)
    for s, states in ((loads, closed), (loads[:1], closed), (loads, closed[:1])):
        batch = power_flow_batch(case33, s, states)
        for i in range(20):
            load, state = s[min(i, len(s) - 1)], states[min(i, len(states) - 1)]
            scenario = replace(Scenario.nominal(case33), p_load=load.real.copy(), q_load=load.imag.copy())
            flow = power_flow(ReconfigurationProblem.of(case33, scenario), Configuration(state))
            assert batch.status[i] == flow.status
            np.testing.assert_array_equal(batch.loss[i], flow.loss)
            if flow.converged:
                assert batch.vm_min[i] == pytest.approx(np.abs(flow.v).min(), rel=1e-14)
    with pytest.raises(ValueError, match="do not pair"):
        power_flow_batch(case33, loads[:3], closed)


@pytest.mark.parametrize("seed", range(12))
def test_sweep_and_judge_agree_on_all_equipment(seed):
    """Transformers, iron losses, voltage levels and shunts: two power flows, one answer, the same violations."""
    problem = random_problem(seed, ["generation", "charging", "ampacity", "voltage limits", *EQUIPMENT])
    for configuration in all_configurations(problem)[:20]:
        flow, judged = power_flow(problem, configuration), evaluate(problem, configuration)
        assert flow.converged == judged.converged
        if not flow.converged:
            continue
        assert judged.loss_kw == pytest.approx(flow.loss * problem.network.base.kw, rel=1e-6)
        np.testing.assert_allclose(np.abs(flow.v), judged.vm, rtol=1e-7)
        grid = grid_of(problem.network, problem.charging)
        excess = total_violation(grid, limit_arrays(problem), flow.tree)
        assert (excess == 0) == judged.feasible
