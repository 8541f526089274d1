"""The judge's power flow: digits, couplers, the normal solution, loops closed between unequal phases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_network
from instances import EQUIPMENT, FEATURES, all_configurations, random_problem

from learnopt.engines import SolveOptions
from learnopt.engines.enumeration import EnumerationEngine
from learnopt.io import load
from learnopt.io.scenario_json import read_scenario_json
from learnopt.network import Configuration, ReconfigurationProblem, Status
from learnopt.physics import evaluate, evaluate_transition, power_flow
from learnopt.physics.nodal import NodalFlow, balance
from learnopt.physics.second_opinion import second_opinion

CASES = Path(__file__).parents[1] / "data" / "field_cases"


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0])
@pytest.mark.parametrize("seed", range(12))
def test_every_digit_from_watts_to_megawatts(seed, scale):
    """Judge and sweep share no code and agree on losses of microwatts as on those of megawatts."""
    problem = random_problem(seed, [*FEATURES[3:5], *(["charging"] if scale == 1 else [])], load=(0.2, 1.5))
    scenario = replace(problem.scenario, p_load=problem.scenario.p_load * scale, q_load=problem.scenario.q_load * scale)
    problem = problem.under(scenario)
    for configuration in all_configurations(problem)[:4]:
        flow, judged = power_flow(problem, configuration), evaluate(problem, configuration)
        assert judged.converged == flow.converged
        if flow.converged:
            assert judged.loss_kw == pytest.approx(flow.loss * problem.network.base.kw, rel=1e-9, abs=1e-21)
            np.testing.assert_allclose(judged.vm, np.abs(flow.v), rtol=1e-10)


@pytest.mark.parametrize("seed", range(8))
def test_another_program_agrees(seed):
    """power-grid-model finds the same loss, with transformers and shunts, or with couplers."""
    features = ["couplers"] if seed % 2 else [*EQUIPMENT, "charging"]
    problem = random_problem(seed + 300, features, load=(0.2, 1.0))
    configuration = all_configurations(problem)[0]
    judged = evaluate(problem, configuration)
    assert judged.converged
    assert second_opinion(problem, configuration) == pytest.approx(judged.loss_kw, rel=1e-6, abs=1e-6)


def test_normal_solution_with_strong_generation():
    """Newton's method from a flat start lands on low voltages (618 kW); the judge follows the loads to 171.58 kW."""
    network = load(CASES / "h_dg_two_solutions.json")
    scenario = read_scenario_json(CASES / "h_dg_two_solutions.scenario.json", network)
    problem = ReconfigurationProblem.of(network, scenario)
    losses = sorted(evaluate(problem, c).loss_kw for c in all_configurations(problem))
    assert losses[0] == pytest.approx(171.58, abs=0.005)
    opinions = [second_opinion(problem, c) for c in all_configurations(problem)]
    assert any(other is not None and other > 600 for other in opinions)
    result = EnumerationEngine().solve(problem, SolveOptions())
    assert (result.status, result.loss_kw) == (Status.OPTIMAL, pytest.approx(171.58, abs=0.005))
    assert "More than one power flow exists" in result.message
    assert "618.118 kW" in result.message
    light = replace(problem.scenario, p_load=0.2 * problem.p, q_load=0.2 * problem.q)
    assert "More than one" not in EnumerationEngine().solve(problem.under(light), SolveOptions()).message


def test_heavy_load_is_followed_to_its_end(two_bus):
    """At 99.9 % of what a line can carry iteration crawls; the voltage is that of the closed formula all the same."""
    r, x, p, q = two_bus.r[0], two_bus.x[0], two_bus.p_load[1], two_bus.q_load[1]
    b, c = 2 * (r * p + x * q), (r**2 + x**2) * (p**2 + q**2)
    most = 1 / (b + 2 * np.sqrt(c))
    share = 0.999 * most
    problem = ReconfigurationProblem.of(replace(two_bus, p_load=share * two_bus.p_load, q_load=share * two_bus.q_load))
    b_at, c_at = b * share - 1, c * share**2
    upper = np.sqrt((-b_at + np.sqrt(b_at**2 - 4 * c_at)) / 2)
    found = evaluate(problem, two_bus.normal_configuration)
    assert found.vm[1] == pytest.approx(upper, rel=1e-8)
    over = 1.001 * most
    collapsed = ReconfigurationProblem.of(replace(two_bus, p_load=over * two_bus.p_load, q_load=over * two_bus.q_load))
    found = evaluate(collapsed, two_bus.normal_configuration)
    assert (found.converged, found.unsettled) == (False, False)
    assert "has no solution" in found.violations[0]


def test_generation_beyond_reach_is_unsettled(two_bus):
    """Where absence cannot be proven it is not claimed."""
    problem = ReconfigurationProblem.of(replace(two_bus, p_load=-1e4 * two_bus.p_load))
    found = evaluate(problem, two_bus.normal_configuration)
    assert (found.converged, found.unsettled) == (False, True)
    assert "may have none" in found.violations[0]


def test_couplers_in_a_loop_share_the_current(coupler):
    """Two couplers side by side, closed for a moment: half each, and no loss."""
    network = make_network(
        [(0, 1, 1, 1), (0, 2, 1, 1), (1, 2, 0, 0), (1, 2, 0, 0)], {1: (1000, 0), 2: (1000, 0)}, substations=[0]
    )
    problem = ReconfigurationProblem.of(network)
    one = evaluate_transition(problem, network.configuration([2, 4]))
    both = evaluate_transition(problem, network.configuration([2]))
    assert both.loss_kw == pytest.approx(one.loss_kw, rel=1e-9)
    assert both.current_a[2] == pytest.approx(one.current_a[2] / 2, rel=1e-6)
    assert both.current_a[3] == pytest.approx(one.current_a[2] / 2, rel=1e-6)


def test_angles_drive_a_current_where_a_loop_is_closed():
    """Two sources 25 degrees apart: nothing to see while radial, |V1 - V2| / |z| where they are paralleled."""
    network = make_network(
        [("A", 1, 1, 1), (1, 2, 1, 1, {"normally_open": True}), (2, "B", 1, 1)],
        {},
        ["A", "B"],
        substation_data={"B": {"va_deg": 25.0}},
    )
    problem = ReconfigurationProblem.of(network)
    radial = evaluate(problem, network.normal_configuration)
    assert radial.loss_kw == pytest.approx(0.0, abs=1e-9)
    both = evaluate_transition(problem, Configuration(np.ones(3, dtype=bool)))
    between = abs(1 - np.exp(1j * np.radians(25))) / abs(3 * (0.01 + 0.01j))
    assert both.current_a[1] == pytest.approx(between * network.base.i_base, rel=1e-6)
    turned = replace(network, shift=np.array([0.0, 0.0, np.radians(25.0)]))  # and a transformer that turns it back
    back = evaluate_transition(ReconfigurationProblem.of(turned), Configuration(np.ones(3, dtype=bool)))
    assert min(back.current_a.max(), _reversed(turned).current_a.max()) == pytest.approx(0.0, abs=1e-6)


def _reversed(network):
    return evaluate_transition(
        ReconfigurationProblem.of(replace(network, shift=-network.shift)), Configuration(np.ones(3, dtype=bool))
    )


def test_shift_is_what_the_from_end_leads_by():
    """A transformer whose from end leads by 30 degrees: its to end lags, behind a source at angle 0."""
    network = make_network([(0, 1, 1, 1, {"shift_deg": 30.0})], {1: (10, 0)})
    flow = NodalFlow(ReconfigurationProblem.of(network), np.array([True]))
    (state,) = flow.solve((network.p_load + 1j * network.q_load)[None])
    assert np.degrees(np.angle(state.v[1])) == pytest.approx(-30.0, abs=0.1)


@pytest.mark.parametrize(
    ("name", "loss_kw", "solved"),
    [
        ("c_bound_lv_coupler", 213.514, 8),
        ("d_bound_94pct", 2.911e-4, 13),
        ("e_nosolution_40of40", 0.430, 40),
        ("b_false_infeasible_110kv", 392.698, 1),
    ],
)
def test_couplers_from_low_voltage_to_110_kv(name, loss_kw, solved):
    """What a milliohm in place of a coupler left unsettled or inexact; the sweep agrees on every configuration."""
    network = load(CASES / f"{name}.json")
    beside = CASES / f"{name}.scenario.json"
    scenario = read_scenario_json(beside, network) if beside.exists() else None
    problem = ReconfigurationProblem.of(network, scenario)
    if name.startswith("b_"):
        problem = problem.replace(max_operations=1)
    configurations = all_configurations(problem)
    found = [evaluate(problem, c) for c in configurations]
    assert min(e.loss_kw for e in found if e.feasible) == pytest.approx(loss_kw, rel=1e-3)
    assert sum(e.converged for e in found) >= solved
    assert not any(e.unsettled for e in found)
    for c, e in zip(configurations, found, strict=True):
        flow = power_flow(problem, c)
        if e.converged and flow.converged:
            assert e.loss_kw == pytest.approx(flow.loss * network.base.kw, rel=1e-9)


def test_imbalance_is_seen(triangle):
    """A state that is no solution leaves power missing."""
    problem = ReconfigurationProblem.of(triangle)
    s = problem.p + 1j * problem.q
    flow = NodalFlow(problem, triangle.normal_configuration.closed)
    (state,) = flow.solve(s[None])
    assert balance(flow, state, problem, s).max() < 1e-14
    assert balance(flow, replace(state, v=state.v * 1.001), problem, s).max() > 1e-4
