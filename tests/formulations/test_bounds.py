"""Constants of the relaxation: they contain the AC state of every configuration they speak of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from instances import all_configurations, feasible_flows, just_rated, random_problem, solvable_problem, used_arcs

from learnopt.formulations.arcs import Arcs
from learnopt.formulations.bounds import (
    Bounds,
    block_path_weight,
    derive_bounds,
    derive_closer_bounds,
    fed_through_block,
)
from learnopt.network import Limits, ReconfigurationProblem
from learnopt.physics import PowerFlow, power_flow

MIXES = {
    "passive": ("couplers", "voltages"),
    "passive with limits": ("couplers", "voltage limits", "ampacity", "voltages"),
    "generation": ("generation", "capacitors"),
    "generation with limits": ("generation", "capacitors", "couplers", "voltage limits", "ampacity"),
    "charging": ("charging", "voltages"),
    "charging with limits": ("charging", "couplers", "voltage limits", "ampacity"),
    "equipment": ("transformers", "shunts", "charging", "generation", "voltage limits"),
    "everything": None,
}


def outside(problem: ReconfigurationProblem, arcs: Arcs, bounds: Bounds, flow: PowerFlow) -> list[str]:
    """Names of the bounds that an AC state is not within, to rounding."""
    used = used_arcs(arcs, flow)
    tail, head = arcs.tail[used], arcs.head[used]
    power = flow.v[tail] * np.sqrt(arcs.sending_scale[used]) * flow.current[head].conj()  # into the series impedance
    w, ell = np.abs(flow.v) ** 2, np.abs(flow.current[head]) ** 2
    within = {
        "w_min": (bounds.w_min, w),
        "w_max": (w, bounds.w_max),
        "p_min": (bounds.p_min[used], power.real),
        "p_max": (power.real, bounds.p_max[used]),
        "q_min": (bounds.q_min[used], power.imag),
        "q_max": (power.imag, bounds.q_max[used]),
        "ell_max": (ell, bounds.ell_max[used]),
    }
    return [name for name, (low, high) in within.items() if (low > high + 1e-9 * (1 + np.abs(high))).any()]


@pytest.mark.parametrize("mix", MIXES)
def test_bounds_contain_every_ac_state(mix):
    """Every configuration with loss at most the cutoff lies inside, for cutoffs at, between and beyond the losses.

    The cutoff equals a loss exactly, where a bound has no room, and is infinite, where limits alone must do.
    """
    proven = checked = 0
    for seed in range(90):
        problem = random_problem(seed, MIXES[mix], n_bus=(4, 11), n_loops=(1, 4))
        if problem.contradictions:
            continue
        arcs = Arcs.of(problem)
        flows = [flow for _, flow in feasible_flows(problem)]
        middle = flows[len(flows) // 2 : len(flows) // 2 + 1]
        for cutoff in [*(f.loss for f in flows[:1] + middle + flows[-1:]), np.inf]:
            bounds = derive_bounds(problem, arcs, cutoff * (1 + 1e-12))
            closer = derive_closer_bounds(problem, arcs, cutoff * (1 + 1e-12))
            assert bounds.proven or bounds.reason
            if not bounds.proven:
                continue
            proven += 1
            for flow in flows:
                if flow.loss <= cutoff:
                    checked += 1
                    assert outside(problem, arcs, bounds, flow) == [], (mix, seed, cutoff)
                    assert outside(problem, arcs, closer, flow) == [], (mix, seed, cutoff)
    assert proven > 80, "hardly anything was proven: the test would see nothing"
    assert checked > 400


def test_bounds_leave_room_for_charging_at_the_rating():
    """A state that just meets its ampacities at the ends of its branches is inside, series currents and all."""
    for seed in range(40):
        problem = random_problem(seed, ("charging", "capacitors"), n_bus=(3, 8), load=(0.05, 1.0))
        for _, flow in feasible_flows(problem)[:3]:
            rated = just_rated(problem, flow)
            arcs = Arcs.of(rated)
            bounds = derive_bounds(rated, arcs, flow.loss * (1 + 1e-12))
            assert bounds.proven
            assert outside(rated, arcs, bounds, flow) == []


def test_useful_on_published_cases(case16, case33):
    """With a good incumbent the bounds are proven and of the order of the flows, not of anything large."""
    for network, loss_kw in ((case16, 466.13), (case33, 139.56)):
        problem = ReconfigurationProblem.of(network, limits=Limits())
        arcs = Arcs.of(problem)
        bounds = derive_bounds(problem, arcs, loss_kw / network.base.kw)
        assert bounds.proven
        assert bounds.passive_p
        assert bounds.w_max.max() <= 1.0 or not bounds.passive_q
        total = np.abs(problem.p + 1j * problem.q).sum()
        assert (bounds.p_max <= problem.p.sum() + loss_kw / network.base.kw + 1e-12).all()
        assert (np.sqrt(bounds.ell_max) <= 2 * total).all()
        assert bounds.w_min.min() > 0.3


def test_nothing_is_proven_without_limit_or_incumbent(triangle):
    """No voltage limit, no ampacity, no loss: currents could be anything, and the reason says what would help."""
    problem = ReconfigurationProblem.of(triangle, limits=Limits())
    arcs = Arcs.of(problem)
    unproven = derive_bounds(problem, arcs, np.inf)
    assert not unproven.proven
    assert "minimum voltage or ampacities" in unproven.reason
    assert np.isfinite([*unproven.ell_max, *unproven.w_max, *unproven.p_max, *unproven.q_max]).all()
    rated = problem.replace(network=replace(triangle, i_max=np.full(3, 2.0)), limits=Limits(ampacity=True))
    for helped in (
        derive_bounds(problem, arcs, 0.02),
        derive_bounds(problem.replace(limits=Limits(vm_min=0.9)), arcs, np.inf),
        derive_bounds(rated, arcs, np.inf),
    ):
        assert helped.proven
        assert helped.reason == ""


@pytest.mark.parametrize("cutoff", [0.0, -1e-15])
def test_no_load_no_current(triangle, cutoff):
    """Without loads every bound is zero, also where the judge rounds the loss of nothing below zero."""
    problem = ReconfigurationProblem.of(replace(triangle, p_load=np.zeros(3), q_load=np.zeros(3)), limits=Limits())
    bounds = derive_bounds(problem, Arcs.of(problem), cutoff)
    assert bounds.proven
    assert (bounds.ell_max == 0).all()
    np.testing.assert_array_equal(bounds.w_min, bounds.w_max)


def test_passive_is_judged_where_it_matters():
    """Negative load off the substations, or charging, ends passivity; a substation's own load does not."""
    lines = [(0, 1, 1, 1), (1, 2, 1, 1), (0, 2, 1, 1, {"normally_open": True, "b_us": 100})]
    for loads, charging, passive in (
        ({1: (100, 40), 2: (100, 0)}, False, (True, True)),
        ({0: (-900, -900), 1: (100, 40)}, False, (True, True)),
        ({1: (-1, 40), 2: (100, 0)}, False, (False, True)),
        ({1: (100, -1), 2: (100, 0)}, False, (True, False)),
        ({1: (100, 40), 2: (100, 0)}, True, (True, False)),
    ):
        problem = ReconfigurationProblem.of(make_network(lines, loads), charging=charging)
        bounds = derive_bounds(problem, Arcs.of(problem), 0.1)
        assert (bounds.passive_p, bounds.passive_q) == passive


def simple_path_weights(problem: ReconfigurationProblem, weight: np.ndarray) -> np.ndarray:
    """Largest weight of the path to each bus over all configurations."""
    heaviest = np.zeros(problem.network.n_bus)
    for configuration in all_configurations(problem):
        flow = power_flow(problem, configuration)
        along = np.zeros(problem.network.n_bus)
        for bus in flow.order:
            if flow.parent[bus] >= 0:
                along[bus] = along[flow.parent[bus]] + weight[flow.feed[bus]]
        heaviest = np.maximum(heaviest, along)
    return heaviest


@pytest.mark.parametrize("seed", range(25))
def test_path_weight_and_feeding_through_blocks(seed):
    """No tree has a heavier path than ``block_path_weight`` or feeds more over a branch than ``fed_through_block``."""
    problem = solvable_problem(seed, ("lock",), n_bus=(5, 11), n_loops=(1, 5), load=(0.05, 0.2))
    rng = np.random.default_rng(seed)
    net = problem.network
    weight, value = rng.uniform(0, 1, net.n_branch), rng.uniform(0, 1, net.n_bus)
    limit = block_path_weight(problem, weight)
    assert (simple_path_weights(problem, weight) <= limit + 1e-12).all()
    total = np.append(fed_through_block(problem, value, weight), 0.0)[problem.blocks.block]
    for configuration in all_configurations(problem):
        flow = power_flow(problem, configuration)
        below = np.where(net.is_substation, 0.0, value)
        for bus in flow.order[::-1]:
            if flow.parent[bus] >= 0:
                below[bus] += weight[flow.feed[bus]]
                assert below[bus] <= total[flow.feed[bus]] + 1e-12
                below[flow.parent[bus]] += below[bus]
