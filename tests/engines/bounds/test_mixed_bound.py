"""The AC bound for mixed signs against every configuration of random networks, its parts alone, and its mutants.

Equation numbers are those of section 5 of ``docs/methods/ac_bound.md``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from instances import all_configurations, feasible_flows, random_problem

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.bounds import mixed_bound as mixed
from learnopt.engines.bounds.mixed_bound import mixed_metric
from learnopt.engines.bounds.trunk import resistance_times
from learnopt.engines.tree.coverage import mixed_signs
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.engines.tree.probing import fix_by_bounds
from learnopt.network import Certificate, ReconfigurationProblem, Status
from learnopt.physics import PowerFlow, evaluate, power_flow

SIGNS = ("generation", "capacitors", "charging")
RULES = ("shunts", "couplers", "voltages", "voltage limits", "ampacity", "lock", "outage")
LOADS = ((0.05, 0.5), (0.2, 1.5), (0.3, 4.0))


def draw(seed: int) -> tuple[ReconfigurationProblem, np.random.Generator]:
    """A problem of mixed signs: generation from little to more than the load, cables of one or many x/r."""
    rng = np.random.default_rng([9, seed])
    has = [f for f in (*SIGNS, *RULES) if rng.random() < (0.5 if f in SIGNS else 0.3)]
    problem = random_problem(seed, has, n_bus=(4, 11), n_loops=(1, 4), load=LOADS[seed % 3])
    if "generation" in has and seed % 2:
        p, share = problem.scenario.p_load, rng.uniform(0, 0.6)
        scenario = replace(problem.scenario, p_load=np.where(p < 0, share * p, p))
        problem = problem.under(scenario)
    if rng.random() < 0.3:
        network = replace(problem.network, x=problem.network.r * rng.uniform(0, 2))
        problem = problem.replace(network=network)
    return problem, rng


def times(problem: ReconfigurationProblem, flow: PowerFlow, y: np.ndarray) -> np.ndarray:
    """R_T y in units of the largest root voltage."""
    net = problem.network
    length = net.r / float(net.substation_vm.max()) ** 2
    return resistance_times(flow.order, flow.parent, flow.feed, len(net.substations), length, np.ascontiguousarray(y))


def slacks(seeds: range) -> list[float]:
    """Loss less bound, relative to the loss, of every configuration that the bound is for."""
    found = []
    for seed in seeds:
        problem, rng = draw(seed)
        flows = feasible_flows(problem)
        for cutoff in (np.inf, flows[rng.integers(len(flows))][1].loss * (1 + 1e-9)) if flows else ():
            reference = flows[rng.integers(len(flows))][1] if rng.random() < 0.5 else flows[0][1]
            metric = mixed_metric(problem, reference, cutoff)
            if not np.isfinite(metric.constant):
                continue
            for configuration, flow in flows:
                if flow.loss > cutoff:
                    continue
                loss = evaluate(problem, configuration).loss_kw / problem.network.base.kw
                value = metric.constant + sum(float(i @ times(problem, flow, i)) for i in (metric.i1, metric.i2))
                if abs(loss - value) > 1e-10:
                    found.append((loss - value) / max(loss, 1e-12))
    return found


def test_never_exceeds_a_loss_and_is_often_tight() -> None:
    """No configuration within the cutoff is below the bound; a tenth of all bounds is within one percent."""
    found = np.array(slacks(range(100)))
    assert found.min() >= -1e-7
    assert np.mean(found < 0.01) > 0.1
    assert len(found) > 400


@pytest.mark.parametrize("mutant", ["no reverse flow", "no shunts", "half the penalty"])
def test_mutants_are_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound without one of its corrections exceeds some loss."""
    if mutant == "no reverse flow":
        monkeypatch.setattr(mixed._Component, "reverse", lambda *_, **__: mixed.ReverseFlow())
    elif mutant == "no shunts":
        least = mixed._Component.lowest
        monkeypatch.setattr(mixed._Component, "lowest", lambda self, turn, _: least(self, turn, 0.0))
    else:
        tangent = mixed.LateralSums.cubic_tangent

        def halved(self: mixed.LateralSums, *arguments: float) -> tuple[np.ndarray, float]:
            slope, base = tangent(self, *arguments)
            return slope, base / 2

        monkeypatch.setattr(mixed.LateralSums, "cubic_tangent", halved)
    assert min(slacks(range(60))) < -1e-4


def trees(seed: int) -> tuple[mixed._Component, np.ndarray, list[PowerFlow], np.random.Generator]:
    """A component, injections of mixed signs, and the trees of all configurations."""
    rng = np.random.default_rng([3, seed])
    problem = random_problem(seed, ["couplers"] if seed % 4 == 0 else [], n_bus=(5, 12), n_loops=(1, 4))
    net = problem.network
    flows = [power_flow(problem, configuration) for configuration in all_configurations(problem)]
    component = mixed._Component(problem, flows[0], np.inf)
    g = rng.normal(size=net.n_bus) + rng.uniform(0, 2)
    g[net.is_substation | (rng.random(net.n_bus) < 0.2)] = 0.0
    return component, 0.01 * g, flows, rng


@pytest.mark.parametrize("mutant", ["", "chord", "factor"])
def test_cubic_and_quadratic_tangents_hold_on_every_tree(mutant: str) -> None:
    """(30) and (31), with the smallest box of potentials that holds all trees; touching where nothing is negative."""
    broken = 0
    for seed in range(60):
        component, g, flows, rng = trees(seed)
        problem, laterals = component.problem, component.lateral_sums(g)
        potentials = [times(problem, flow, g) for flow in flows]
        low, high = min(b.min() for b in potentials), max(b.max() for b in potentials)
        slope, base = laterals.cubic_tangent(potentials[0], low, low if mutant == "chord" else high)
        bent = slope * rng.uniform(0, 1 / max(slope.max(), 1.0))
        factor, lost = laterals.factors(bent, component.block_path)
        if mutant == "factor":
            factor = (1 + bent)[laterals.group]
        for flow, b in zip(flows, potentials, strict=True):
            cubic = float(g @ b**2) - 2 * float((g * slope[laterals.group]) @ b) - base
            scaled = times(problem, flow, factor * g)
            square = float(g @ b) + 2 * float((bent[laterals.group] * g) @ b) + lost - float(factor * g @ scaled)
            scale = float(np.abs(g) @ np.abs(b)) + 1e-12
            broken += cubic < -1e-9 * scale or square < -1e-9 * scale
    assert (broken > 0) == bool(mutant)


def test_reverse_flows_stay_where_they_are_said_to() -> None:
    """(29): reverse flows of every tree, the potentials that they lift and the losses below them."""
    seen = 0
    for seed in range(80):
        component, g, flows, _ = trees(seed)
        problem, net = component.problem, component.problem.network
        g += 0.02 * (g > 0)
        component.s = g.astype(complex)
        component.v_low = 1.0
        lumped = np.where(net.is_substation, 0.0, component.lateral_sums(g).load)
        core = np.setdiff1d(np.arange(net.n_bus), [k for k, _, _ in component.laterals])
        most, part = component.reach(lumped) if (lumped < 0).any() else (np.zeros(net.n_bus), np.full(net.n_bus, -1))
        bound = component.reverse(g, np.zeros(net.n_bus), np.zeros(0), 1.0)
        for flow in flows:
            below = g.copy()
            for k in flow.order[::-1]:
                if flow.parent[k] >= 0:
                    below[flow.parent[k]] += below[k]
            b = times(problem, flow, g)
            assert b.min() >= -bound.rise - 1e-12
            back = np.flatnonzero((below < 0) & (flow.parent >= 0))
            inside = np.intersect1d(back, core)
            assert (part[inside] >= 0).all()
            assert (-below[inside] <= most[inside] * (1 + 1e-9)).all()
            # Each branch below a reverse one, times what lifts its upper end.
            lifted = np.zeros(net.n_bus)
            total = 0.0
            reverse_above = np.zeros(net.n_bus, dtype=bool)
            for k in flow.order:
                up = flow.parent[k]
                if up < 0:
                    continue
                length = component.r[flow.feed[k]]
                reverse_above[k] = reverse_above[up] or below[k] < 0
                lifted[k] = lifted[up] + length * max(0.0, -below[k])
                total += reverse_above[k] * length * below[k] ** 2 * lifted[k]
            assert total <= bound.rise_loss * (1 + 1e-9) + 1e-15
            seen += len(back)
    assert seen > 200


def drawn(problem: ReconfigurationProblem, closed: np.ndarray, flow: PowerFlow) -> np.ndarray:
    """Power that loads and shunts draw at the voltages of a power flow [pu], shape (n_bus,)."""
    net = problem.network
    half = np.where(closed, (net.g - 1j * problem.b) / 2, 0.0)
    shunt = net.g_shunt - 1j * net.b_shunt
    np.add.at(shunt, net.from_bus, half)
    np.add.at(shunt, net.to_bus, half)
    return problem.p + 1j * problem.q + shunt * np.abs(flow.v) ** 2


@pytest.mark.parametrize("mutant", ["", "no rise of the voltage", "voltages of at most one"])
def test_no_bus_draws_less_than_the_least_injections(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """(22): eps, eps' >= 0 in every power flow, also where voltages rise above the root's; in whatever direction."""
    least, calls = mixed._Component.lowest, []

    def recorded(self: mixed._Component, turn: complex, v_high: float) -> tuple[np.ndarray, np.ndarray]:
        v_high = min(v_high, 1.0) if mutant == "voltages of at most one" else v_high
        g, m = least(self, turn, v_high)
        calls.append((turn, g + 1j * m))
        return g, m

    monkeypatch.setattr(mixed._Component, "lowest", recorded)
    if mutant == "no rise of the voltage":
        monkeypatch.setattr(mixed._Component, "reverse", lambda *_, **__: mixed.ReverseFlow())
    raised, broken = 0, 0
    for seed in range(60):
        problem, _ = draw(seed)
        flows = feasible_flows(problem)
        calls.clear()
        if flows:
            mixed_metric(problem, flows[0][1], flows[-1][1].loss * (1 + 1e-9))
        fed, top = ~problem.network.is_substation, float(problem.network.substation_vm.max())
        for configuration, flow in flows:
            raised += np.abs(flow.v[fed]).max() > top * 1.001
            true = drawn(problem, configuration.closed, flow)[fed]
            for turn, lowest in calls:
                over = true * np.conj(turn) - lowest[fed]
                broken += min(over.real.min(), over.imag.min()) < -1e-9
    assert (broken > 0) == bool(mutant)
    assert raised > 20


@pytest.mark.parametrize("mutant", ["", "too little of the other component"])
def test_losses_below_reverse_flows_count_both_components(mutant: str) -> None:
    """The losses below reverse flows of n = m + aid g are those of g and of m."""
    broken = seen = 0
    for seed in range(120):
        component, g, flows, rng = trees(seed)
        aid = float(rng.choice([0.5, 2.0, 10.0]))
        g = np.abs(g) * (rng.random(len(g)) < 0.7)
        m = -aid * g * rng.uniform(0.5, 1.2, len(g))
        component.s, component.v_low = g + 1j * m, 1.0
        aided = component.reverse(m + aid * g, g, np.zeros(0), 1.0) if mutant else component.aided(g, m, aid, 1.0)
        for flow in flows:
            below = np.stack([g, m, m + aid * g], axis=1)
            for k in flow.order[::-1]:
                if flow.parent[k] >= 0:
                    below[flow.parent[k]] += below[k]
            lifted, total = np.zeros(len(g)), 0.0
            for k in flow.order:
                if (up := flow.parent[k]) >= 0:
                    length = component.r[flow.feed[k]]
                    lifted[k] = lifted[up] + length * max(0.0, -below[k, 2])
                    total += length * float(np.sum(below[k, :2] ** 2)) * lifted[k]
            seen += total > 0
            broken += total > aided.rise_loss * (1 + 1e-9) + 1e-15
    assert (broken > 0) == bool(mutant)
    assert seen > 100


def test_fixing_keeps_what_is_below_the_cutoff() -> None:
    """Switches are fixed, and no configuration below the cutoff is lost with them."""
    fixed = 0
    for seed in range(100, 180):
        problem, rng = draw(seed)
        flows = feasible_flows(problem)
        if not flows or not mixed_signs(problem):
            continue
        poor = flows[rng.integers(len(flows))]
        reduced = fix_by_bounds(problem, poor[0], poor[1].loss)
        assert all(reduced.admits(c) for c, flow in flows if flow.loss < poor[1].loss * (1 - 1e-7))
        fixed += np.count_nonzero(problem.free) - np.count_nonzero(reduced.free)
    assert fixed > 50


def test_tree_search_proves_what_enumeration_finds() -> None:
    """With the AC certificate the answer is the optimum of enumeration and the bound is below it."""
    proven = 0
    for seed in range(200, 260):
        problem, _ = draw(seed)
        if not mixed_signs(problem):
            continue
        oracle = load_engine("enumerate").solve(problem, SolveOptions())
        result = TreeSearchEngine().solve(problem, SolveOptions(certify=Certificate.AC))
        if result.certificate is not Certificate.AC or oracle.configuration is None:
            continue
        proven += 1
        assert result.dual_bound_kw <= oracle.objective_kw * (1 + 1e-7) + 1e-9
        assert result.status is Status.OPTIMAL
        assert result.objective_kw == pytest.approx(oracle.objective_kw, rel=1e-6, abs=1e-9)
    assert proven > 15


@pytest.mark.parametrize("coupler", [0.0, 0.3])
def test_losses_of_couplers_of_reactance_alone_count(coupler: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Powers below reverse flows are bounded with |z| l of every branch, r = 0 < x included, not with a ratio to r."""
    problem = random_problem(4, ["generation"], n_bus=(6, 9), n_loops=(2, 4))
    net = problem.network
    ohmless = np.arange(net.n_branch) % 3 == 0
    network = replace(net, r=np.where(ohmless, 0.0, net.r), x=np.where(ohmless, coupler * net.x, net.x))
    problem = problem.replace(network=network)
    component = mixed._Component(problem, power_flow(problem, all_configurations(problem)[0]), np.inf)
    walk, lengths = mixed.longest_walk, []

    def recorded(*arguments: object) -> tuple[float, float, float, float]:
        lengths.append(arguments[5])
        return walk(*arguments)

    monkeypatch.setattr(mixed, "longest_walk", recorded)
    g, m = component.lowest(1.0, 1.0)
    component.reverse(np.where(net.is_substation, 0.0, g - 0.01), m, component.shunt.real, 1.0, component.x)
    assert lengths
    for length in lengths:
        assert np.array_equal(length[:, 0], np.hypot(component.r, component.x))
        assert np.array_equal(length[:, 1], component.x)


def test_voltages_beyond_sqrt_two_lose_no_more_than_the_first_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """(25): the share V_high^2 - 1 of a row that is not negative is lost, at most all of it; the other row stays."""
    problem = random_problem(4, [], n_bus=(6, 9), n_loops=(2, 4), load=(0.3, 0.5))
    flow = feasible_flows(problem)[0][1]
    values = []
    for rise in (0.0, 2.0, 20.0):  # reverse flows that may lift voltages so far, and cost nothing else
        monkeypatch.setattr(mixed._Component, "reverse", lambda *_, up=rise, **__: mixed.ReverseFlow(rise=up))
        component = mixed._Component(problem, flow, np.inf)
        component.v_low, component.v_high = 0.9, 100.0
        values.append(component.metric(0.0, 0.0, False).value)
    lossless = float(np.real(component.lowest(1.0, 1.0)[0]) @ times(problem, flow, component.lowest(1.0, 1.0)[0]))
    assert values[0] > values[1] > lossless
    assert np.isfinite(values[2])
