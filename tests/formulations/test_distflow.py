"""Directed perspective DistFlow: a relaxation, because it contains the AC state of every admissible configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from conftest import make_network
from instances import feasible_flows, just_rated, random_problem, used_arcs

from learnopt.engines.milp.highs import CompiledModel, Outcome
from learnopt.engines.milp.relaxation import HighsRelaxation
from learnopt.engines.milp.tangents import Tangents
from learnopt.formulations.bounds import orphan_candidates
from learnopt.formulations.distflow import build_reconfiguration
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.distflow_terms import tangent_row
from learnopt.network import Limits, ReconfigurationProblem, Scenario, Situations
from learnopt.physics import PowerFlow, power_flow

MIXES = {
    "passive": ("couplers", "lock", "outage", "cost", "cap"),
    "generation": ("generation", "capacitors", "voltages", "voltage limits", "cap"),
    "charging": ("charging", "couplers", "voltages", "ampacity"),
    "charging and generation": ("charging", "generation", "capacitors", "ampacity", "voltage limits"),
    "ratings": ("ratings", "voltages", "cost"),
    "ratings, charging, generation": ("ratings", "charging", "generation", "capacitors", "ampacity"),
    "equipment": ("transformers", "shunts", "charging", "generation", "voltage limits"),
    "everything": None,
}


def place(model: Any, data: DistFlowData, flow: PowerFlow) -> None:
    """Give the variables of the model the values of an AC state."""
    arcs = data.arcs
    used = set(used_arcs(arcs, flow).tolist())
    drawing = orphan_candidates(data.problem).astype(float)
    for bus in flow.order[::-1]:
        if flow.parent[bus] >= 0:
            drawing[flow.parent[bus]] += drawing[bus]
    for a in model.arcs:
        tail, head = arcs.tail[a], arcs.head[a]
        sending = flow.v[tail] * np.sqrt(arcs.sending_scale[a])
        power = sending * np.conj(flow.current[head]) if a in used else 0j
        model.P[a].set_value(float(power.real), skip_validation=True)
        model.Q[a].set_value(float(power.imag), skip_validation=True)
        model.ell[a].set_value(float(abs(flow.current[head]) ** 2) if a in used else 0.0, skip_validation=True)
        if a in model.choice:
            model.b[a].set_value(int(a in used))
            model.w_arc[a].set_value(float(abs(flow.v[tail]) ** 2) if a in used else 0.0, skip_validation=True)
        else:
            assert a in used
        if hasattr(model, "commodity"):
            model.commodity[a].set_value(float(drawing[head]) if a in used else 0.0, skip_validation=True)
    for bus in model.buses:
        model.v_bus[bus].set_value(float(abs(flow.v[bus]) ** 2), skip_validation=True)


def violated(model: Any, tolerance: float = 1e-8) -> list[str]:
    """Names of the constraints and variable bounds that the values of the model break."""
    found = []
    for constraint in model.component_data_objects(pyo.Constraint, active=True):
        body, low, high = pyo.value(constraint.body), constraint.lb, constraint.ub
        slack = tolerance * (1 + abs(body))
        if (low is not None and body < low - slack) or (high is not None and body > high + slack):
            found.append(constraint.name)
    for variable in model.component_data_objects(pyo.Var):
        if variable.value is None:
            continue
        slack = tolerance * (1 + abs(variable.value))
        if (variable.lb is not None and variable.value < variable.lb - slack) or (
            variable.ub is not None and variable.value > variable.ub + slack
        ):
            found.append(variable.name)
    return found


@pytest.mark.parametrize("mix", MIXES)
def test_model_contains_every_ac_state(mix):
    """The AC state of every admissible configuration below the cutoff satisfies every row, with its AC objective."""
    checked = 0
    for seed in range(60):
        problem = random_problem(seed, MIXES[mix], n_bus=(4, 10), n_loops=(1, 5))
        pairs = feasible_flows(problem) if not problem.contradictions else []
        if not pairs:
            continue
        for cutoff in (pairs[0][1].loss * (1 + 1e-10), pairs[-1][1].loss * (1 + 1e-10), np.inf):
            data = DistFlowData.of(problem, cutoff)
            if not data.bounds.proven:
                continue
            model = build_reconfiguration(data)
            for configuration, flow in pairs if cutoff == np.inf else [p for p in pairs if p[1].loss <= cutoff][-6:]:
                place(model, data, flow)
                assert violated(model) == [], (mix, seed, cutoff)
                objective = 1e3 * flow.loss + problem.switching_cost * problem.operations(configuration)
                assert pyo.value(model.objective) == pytest.approx(objective, rel=1e-9, abs=1e-12)
                checked += 1
    assert checked > 60


@pytest.mark.parametrize("mix", MIXES)
def test_fixed_configuration_costs_its_ac_objective(mix):
    """Compiled, with tangents at the AC state and b fixed: feasible for HiGHS, and the optimum is the AC objective.

    Not above it, since tangents never cut off an AC state; not below either where nothing makes it pay to waste current
    (a limit, reverse flow), since the AC state is then the optimum of this convex program.
    """
    checked = 0
    for seed in range(60, 90):
        problem = random_problem(seed, MIXES[mix], n_bus=(4, 10), n_loops=(1, 5))
        pairs = feasible_flows(problem) if not problem.contradictions else []
        data = DistFlowData.of(problem, pairs[-1][1].loss * (1 + 1e-9)) if pairs else None
        if data is None or not data.bounds.proven:
            continue
        for configuration, flow in pairs[:: max(1, len(pairs) // 3)]:
            relaxation = HighsRelaxation(data, size=1e3 * flow.loss)
            tangents = Tangents(data.arcs, relaxation.add_tangents, relaxation.cuttable)
            for _, other in pairs:  # tangents of other configurations must not cut this one off
                tangents.at_power_flow(other, problem.network)
            relaxation.model.fix(relaxation.b, np.isin(relaxation.choice, used_arcs(data.arcs, flow)).astype(float))
            run = relaxation.solve_relaxation()
            assert run.outcome is Outcome.OPTIMAL, (mix, seed)
            objective = 1e3 * flow.loss + problem.switching_cost * problem.operations(configuration)
            assert run.objective <= objective * (1 + 1e-6) + 1e-6, (mix, seed)
            if data.bounds.passive_p and data.bounds.passive_q and problem.limits == Limits():
                assert run.objective == pytest.approx(objective, rel=1e-5, abs=1e-6), (mix, seed)
            checked += 1
    assert checked > 8


def test_tangents_lie_below_the_cone():
    """Every point of the cone P^2 + Q^2 = l w satisfies every tangent, with equality where it touches."""
    rng = np.random.default_rng(0)
    alpha, beta, p, q = rng.normal(size=(4, 2000))
    w = rng.uniform(0.01, 2, 2000)
    ell = (p**2 + q**2) / w
    row = np.array(np.broadcast_arrays(*tangent_row(alpha, beta)))
    assert (np.sum(row * np.array([ell, p, q, w]), axis=0) >= -1e-9 * (1 + ell)).all()
    touching = np.array([(alpha**2 + beta**2) * w, alpha * w, beta * w, w])
    np.testing.assert_allclose(np.sum(row * touching, axis=0), 0, atol=1e-10)


def test_parent_relation_is_a_tree():
    """A ring of buses without load, away from the substation, must not feed itself: only spanning trees are left.

    Without the commodity the three buses could be each other's parents at no cost.
    """
    lines = [(0, 1, 1, 1), (1, 2, 5, 5), (2, 3, 0.1, 0.1), (3, 4, 0.1, 0.1), (2, 4, 0.1, 0.1), (0, 4, 5, 5)]
    for loads in ({1: (500, 100)}, {1: (500, 100), 3: (-200, 0)}):
        problem = ReconfigurationProblem.of(make_network(lines, loads), limits=Limits(vm_min=0.9, vm_max=1.1))
        data = DistFlowData.of(problem)
        assert data.bounds.proven
        pyomo_model = build_reconfiguration(data)
        b = {(int(data.arcs.branch[a]), int(data.arcs.head[a])): pyomo_model.b[a] for a in pyomo_model.choice}
        bus = problem.network.bus_index
        ring = [b[2, bus["3"]], b[3, bus["4"]], b[4, bus["2"]]]
        model = CompiledModel(pyomo_model)
        model.fix(model.columns(ring), np.ones(3))
        assert model.solve().outcome is Outcome.INFEASIBLE
        ring[0].fix(1)
        free = CompiledModel(build_reconfiguration(data))
        assert free.solve().outcome is Outcome.OPTIMAL


def test_operations_are_counted_from_the_normal_state(triangle):
    """Cap 0 leaves the normal state, cap 1 too (an exchange takes two), cap 2 all; an outage is not an operation."""
    scenario = Scenario.nominal(triangle)
    for cap, expected in ((0, {2}), (1, {2}), (2, {0, 1, 2}), (None, {0, 1, 2})):
        problem = ReconfigurationProblem(triangle, Situations.of(scenario), Limits(vm_min=0.5), max_operations=cap)
        pyomo_model = build_reconfiguration(data := DistFlowData.of(problem))
        found = set()
        for opened in range(3):
            model = CompiledModel(pyomo_model)
            closed = [a for a in pyomo_model.choice if data.arcs.branch[a] == opened]
            model.fix(model.columns([pyomo_model.b[a] for a in closed]), np.zeros(len(closed)))
            if model.solve().outcome is Outcome.OPTIMAL:
                found.add(opened)
        assert found == expected
    outage = replace(scenario, out_of_service=np.array([True, False, False]))
    for cap, outcome in ((0, Outcome.INFEASIBLE), (1, Outcome.OPTIMAL)):
        problem = ReconfigurationProblem(triangle, Situations.of(outage), Limits(vm_min=0.5), max_operations=cap)
        assert CompiledModel(build_reconfiguration(DistFlowData.of(problem))).solve().outcome is outcome


def test_minimum_draw_with_a_generator_at_the_substation(triangle):
    """A substation that only exports meets its minimum apparent power; P + Q is no bound for it."""
    p = triangle.p_load.copy()
    p[0] = -5.0
    network = replace(triangle, p_load=p, substation_s_min=np.array([1.0]))
    problem = ReconfigurationProblem(network, Situations.of(Scenario.nominal(network)), Limits(substations=True))
    (_, flow), *_ = feasible_flows(problem)
    data = DistFlowData.of(problem, flow.loss * (1 + 1e-9))
    model = build_reconfiguration(data)
    place(model, data, flow)
    assert violated(model) == []


def test_states_that_just_meet_their_ratings_are_inside():
    """Ampacities equal to the larger end current of a state with charging: the rows at both ends hold, nearly equal."""
    tight = 0
    for seed in range(25):
        problem = random_problem(seed, ("charging", "capacitors", "generation"), n_bus=(3, 8), load=(0.05, 1.0))
        for _, flow in feasible_flows(problem)[:2]:
            data = DistFlowData.of(just_rated(problem, flow), flow.loss * (1 + 1e-9))
            model = build_reconfiguration(data)
            place(model, data, flow)
            assert violated(model) == [], seed
            tight += sum(abs(pyo.value(row.body - row.upper)) < 1e-5 for row in model.current_limit.values())
    assert tight > 100


def test_ampacity_is_at_both_ends(two_bus):
    """With charging the two end currents differ: a limit between them is enforced, one above both is no restriction."""
    network = replace(two_bus, b=np.array([0.3]))
    flow = power_flow(ReconfigurationProblem.of(network), network.normal_configuration)
    half = 0.5j * 0.3
    ends = sorted((abs(flow.current[1] + half * flow.v[0]), abs(flow.current[1] - half * flow.v[1])))
    assert ends[1] > 1.01 * ends[0]
    for limit, outcome in ((np.mean(ends), Outcome.INFEASIBLE), (1.001 * ends[1], Outcome.OPTIMAL)):
        rated = replace(network, i_max=np.array([limit]))
        problem = ReconfigurationProblem(
            rated, Situations.of(Scenario.nominal(rated)), Limits(vm_min=0.9, ampacity=True)
        )
        relaxation = HighsRelaxation(data := DistFlowData.of(problem))
        Tangents(data.arcs, relaxation.add_tangents, relaxation.cuttable).at_power_flow(flow, network)
        assert relaxation.solve_relaxation().outcome is outcome


def test_rows_of_an_upper_limit_only_where_voltages_may_reach_it():
    """Generation that can lift a bus above the limit keeps the rows; where it is proven that nothing does, they go."""
    lines = [(0, 1, 1, 1), (1, 2, 1, 1), (0, 2, 2, 2)]
    for limit, generated, kept in ((1.05, 0, False), (1.0, 0, False), (1.05, 500, False), (1.001, 500, True)):
        network = make_network(lines, {1: (500, 200), 2: (-generated, 100)})
        problem = ReconfigurationProblem.of(network, limits=Limits(vm_min=0.9, vm_max=limit))
        assert hasattr(build_reconfiguration(DistFlowData.of(problem, 1.0)), "voltage_not_below") == kept
