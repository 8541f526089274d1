"""Horizons against brute force over all sequences of radial configurations; bounds, resuming, determinism."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from horizons import brute_force, random_horizon
from instances import PASSIVE, all_configurations, random_problem

from learnopt.engines.tree.currents import tree_loss
from learnopt.engines.tree.priced import priced_bound
from learnopt.errors import DataError
from learnopt.network import Certificate, Limits, Network, ReconfigurationProblem, Scenario, Status
from learnopt.physics import evaluate, power_flow
from learnopt.physics.batch import feasible_losses
from learnopt.studies.horizon import HorizonProblem, by_tree, plan_horizon
from learnopt.studies.horizon.bound import find_prices
from learnopt.studies.horizon.devices import Candidate
from learnopt.studies.horizon.path import cheapest_path, operations_of
from learnopt.studies.horizon.pool import Pool
from learnopt.studies.horizon.work import Work


@pytest.mark.parametrize("seed", range(30))
def test_path_against_all_sequences(seed: int) -> None:
    """Dynamic programming finds the cheapest of all sequences, with caps and with candidates that are not feasible."""
    rng = np.random.default_rng(seed)
    n, n_steps = 5, 4
    states = rng.random((n, 6)) < 0.5
    distance = np.count_nonzero(states[:, None] != states[None], axis=2)
    first = np.count_nonzero(states != (rng.random(6) < 0.5), axis=1)
    loss = rng.uniform(1, 3, (n_steps, n))
    loss[rng.random((n_steps, n)) < 0.2] = np.inf
    cost = float(rng.choice([0.0, 0.1, 0.5]))
    cap = None if rng.random() < 0.3 else int(rng.integers(0, 12))
    step_cap = None if rng.random() < 0.5 else int(rng.integers(0, 6))
    best = math.inf
    for sequence in product(range(n), repeat=n_steps):
        operations = operations_of(np.array(sequence), first, distance)
        if (cap is None or operations.sum() <= cap) and (step_cap is None or operations.max() <= step_cap):
            best = min(best, loss[np.arange(n_steps), sequence].sum() + cost * operations.sum())
    path = cheapest_path(loss, first, distance, cost, cap, step_cap)
    if path is None:
        assert best == math.inf
        return
    operations = operations_of(path, first, distance)
    assert cap is None or operations.sum() <= cap
    assert step_cap is None or operations.max() <= step_cap
    assert loss[np.arange(n_steps), path].sum() + cost * operations.sum() == pytest.approx(best)


@pytest.mark.parametrize("seed", range(40))
def test_plan_against_all_sequences(seed: int) -> None:
    """The plan is within its gap of the true optimum, and the AC bound never above it."""
    rng = np.random.default_rng([seed, 3])
    kinds = [f for f in PASSIVE if f not in ("cost", "cap")]
    rules = {"switching_cost": float(rng.choice([0.0, 0.05, 0.5, 5.0]))}
    if rng.random() < 0.5:
        rules["max_operations"] = int(rng.integers(0, 8))
    if rng.random() < 0.3:
        rules["max_operations_per_step"] = int(rng.integers(0, 5))
    problem = random_horizon(seed, [f for f in kinds if rng.random() < 0.2], **rules)
    best, _ = brute_force(problem)
    plan = plan_horizon(problem, gap=1e-6)
    if not plan.configurations:
        assert best == math.inf or plan.status is Status.NO_SOLUTION
        assert plan.status is not Status.INFEASIBLE or best == math.inf
        return
    assert plan.objective_kwh >= best * (1 - 1e-9)
    if plan.certificate is Certificate.AC:
        assert plan.dual_bound_kwh <= best * (1 + 1e-7) + 1e-9
        assert plan.objective_kwh <= best * (1 + plan.gap) + 1e-9
    assert sum(plan.operations) == sum(
        problem.operations(a, b)
        for a, b in zip((problem.initial, *plan.configurations), plan.configurations, strict=False)
    )
    assert problem.max_operations is None or sum(plan.operations) <= problem.max_operations
    assert problem.max_operations_per_step is None or max(plan.operations) <= problem.max_operations_per_step


@pytest.mark.parametrize("seed", range(30))
def test_priced_bound(seed: int) -> None:
    """Loss plus prices of any sign: the search bounds what enumeration finds, whatever reference it starts from."""
    rng = np.random.default_rng([seed, 5])
    kinds = [f for f in PASSIVE if f not in ("cost",)]
    problem = random_problem(seed, [f for f in kinds if rng.random() < 0.25], n_bus=(4, 9))
    prices = rng.normal(0, 3, problem.network.n_branch)
    trees = [tree for tree in all_configurations(problem) if evaluate(problem, tree).feasible]
    if not trees:
        return
    values = [evaluate(problem, tree).loss_kw + prices[tree.closed].sum() for tree in trees]
    reference = trees[int(rng.integers(len(trees)))]
    found = priced_bound(problem, prices, reference, reference)
    assert found.certificate is Certificate.AC
    scale = abs(prices).sum() + max(evaluate(problem, tree).loss_kw for tree in trees)
    assert found.bound_kw == pytest.approx(min(values), abs=1e-7 * scale)


def test_priced_bound_ends_at_its_nodes(case33: Network) -> None:
    """A limit of nodes holds for a step too; what is bound by then is no higher than the bound of the whole search."""
    problem, held = ReconfigurationProblem.of(case33), case33.normal_configuration
    prices = np.random.default_rng(0).normal(0, 1, case33.n_branch)
    for certify in (Certificate.AC, Certificate.MODEL):
        whole = priced_bound(problem, prices, held, held, certify)
        few = priced_bound(problem, prices, held, held, certify, node_limit=20)
        assert few.nodes <= 20 < whole.nodes
        assert few.bound_kw <= whole.bound_kw * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_prices_bound_every_sequence(seed: int) -> None:
    """With all trees in the pool the Lagrangian value, evaluated exactly, is below every sequence within the cap."""
    problem = random_horizon(seed, switching_cost=0.3, max_operations=None if seed % 2 else 4)
    best, _ = brute_force(problem)
    pool = Pool(problem)
    pool.add(map(Candidate, all_configurations(problem.steps[-1])), known=0)
    prices = find_prices(pool, None, Work(math.inf))
    limit = problem.switching_cost + prices.mu
    assert np.abs(prices.multipliers).max() <= limit * (1 + 1e-12)
    assert not prices.multipliers[-1].any()
    assert prices.value_kwh <= best * (1 + 1e-9)
    assert prices.value_kwh >= pool.energy_kwh.min(axis=1).sum() * 0.9 - 1.0


def day(network: Network, n_steps: int = 6, **rules: object) -> HorizonProblem:
    """A few hours in which the loads of a feeder move from one end to the other."""
    base = Scenario.nominal(network)
    share = np.linspace(0.2, 1.0, network.n_bus)
    scenarios = []
    for t in range(n_steps):
        factor = 0.4 + 0.5 * np.roll(share, 5 * t)
        scenarios.append(replace(base, p_load=base.p_load * factor, q_load=base.q_load * factor, name=f"hour {t}"))
    return HorizonProblem(network, tuple(scenarios), np.ones(n_steps), Limits(), **rules)


def test_interrupted_run_goes_on(case33: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run killed half way proves only what is missing, and ends with the same plan; a torn file counts as missing."""
    problem = day(case33, switching_cost=0.5)
    fresh = plan_horizon(problem)
    solved = []

    class Counting(by_tree.TreeSearchEngine):
        def solve(self, problem, options, start=None):
            solved.append(problem.scenario.name)
            if len(solved) == 4:
                raise KeyboardInterrupt
            return super().solve(problem, options, start)

    monkeypatch.setattr(by_tree, "TreeSearchEngine", Counting)
    with pytest.raises(KeyboardInterrupt):
        plan_horizon(problem, out=tmp_path)
    (tmp_path / "steps" / "00001.json").write_text('{"status": "opt', encoding="utf-8")
    again = plan_horizon(problem, out=tmp_path)
    assert solved[4:8] == ["hour 1", "hour 3", "hour 4", "hour 5"]
    assert again.configurations == fresh.configurations
    assert again.dual_bound_kwh == fresh.dual_bound_kwh
    with pytest.raises(DataError, match="another network, profile, limits or caps"):
        plan_horizon(replace(problem, hours=2 * problem.hours), out=tmp_path)
    cheaper = plan_horizon(replace(problem, switching_cost=0.0), out=tmp_path)
    assert sum(cheaper.operations) >= sum(again.operations)


def test_costs_and_caps_order_plans(case33: Network) -> None:
    """Dearer switching never means more of it; a cap costs energy; a window of full length changes nothing."""
    free = plan_horizon(day(case33), gap=1e-6)
    assert free.gap <= 1e-6
    dear = plan_horizon(day(case33, switching_cost=2.0), gap=1e-6)
    capped = plan_horizon(day(case33, max_operations=4), gap=1e-6)
    assert sum(dear.operations) <= sum(free.operations)
    assert sum(capped.operations) <= 4
    assert free.energy_kwh <= capped.energy_kwh <= capped.normal_kwh
    assert capped.energy_kwh <= capped.static_kwh + 1e-9
    same = plan_horizon(day(case33, switching_cost=2.0), gap=1e-6, window=6)
    assert same.configurations == dear.configurations
    rolling = plan_horizon(day(case33, switching_cost=2.0), gap=1e-6, window=2)
    assert rolling.objective_kwh >= dear.dual_bound_kwh
    assert rolling.dual_bound_kwh == dear.dual_bound_kwh


def test_same_input_same_plan(case33: Network) -> None:
    """Two runs agree to the last digit."""
    first, second = (plan_horizon(day(case33, switching_cost=1.0)) for _ in range(2))
    assert first.configurations == second.configurations
    assert first.dual_bound_kwh == second.dual_bound_kwh
    assert first.nodes == second.nodes


def test_step_without_configuration(case33: Network) -> None:
    """A step whose limits no configuration respects makes the horizon infeasible, and is named."""
    problem = replace(day(case33, n_steps=3), limits=Limits(vm_min=0.92))
    heavy = replace(problem.scenarios[1], p_load=3 * case33.p_load, q_load=3 * case33.q_load)
    problem = replace(problem, scenarios=(problem.scenarios[0], heavy, problem.scenarios[2]))
    plan = plan_horizon(problem)
    assert plan.status is Status.INFEASIBLE
    assert "'hour 1'" in plan.message
    assert plan.configurations == ()


def test_charging_is_proven_in_ac(case33: Network) -> None:
    """With charging the looser AC bound applies; parallel ways of unlike ratio have that of the model."""
    network = replace(case33, b=np.full(case33.n_branch, 1e-4))
    plan = plan_horizon(day(network, n_steps=3, switching_cost=0.5), gap=5e-3)
    assert plan.certificate is Certificate.AC
    assert plan.dual_bound_kwh <= plan.objective_kwh
    assert plan.gap <= 5e-3
    assert plan.ac_bound_kwh == plan.dual_bound_kwh
    assert plan.static_bound_kwh is None  # that search held the load currents: no bound of the AC problem
    assert (plan.step_bound_kw <= [e.loss_kw for e in plan.evaluations]).all()
    stepped = replace(network, ratio=np.where(np.arange(case33.n_branch) == 5, 1.05, 1.0))
    plan = plan_horizon(day(stepped, n_steps=2, switching_cost=0.5), gap=1e-3)
    assert plan.certificate is Certificate.MODEL
    assert plan.ac_bound_kwh is None
    assert plan.model_bound_kwh == plan.dual_bound_kwh
    rolling = plan_horizon(day(stepped, n_steps=4, switching_cost=0.5), gap=1e-3, window=1)
    if rolling.model_bound_kwh is None:  # the bound is that for the voltages of another plan
        assert rolling.status is Status.FEASIBLE
        assert "voltages of another plan" in rolling.message


def test_one_model_with_a_window_of_full_length(case33: Network) -> None:
    """A window over all steps is no window: the model of all steps is solved all the same."""
    problem = day(case33, n_steps=2, switching_cost=0.5)
    plan = plan_horizon(problem, gap=1e-3, window=2, milp=True)
    assert "milp" in plan.stage_times_s
    assert plan.gap <= 1e-3


@pytest.mark.parametrize("seed", range(24))
def test_plan_with_mixed_signs_against_all_sequences(seed: int) -> None:
    """Generation, capacitors, charging and iron losses: an AC bound is never above the true optimum."""
    rng = np.random.default_rng([seed, 17])
    has = [f for f in ("generation", "capacitors", "charging", "voltage limits", "voltages") if rng.random() < 0.4]
    problem = random_horizon(seed, has, switching_cost=float(rng.choice([0.05, 0.5, 5.0])))
    net = problem.network
    iron = rng.uniform(0, 0.02, net.n_branch) * (rng.random(net.n_branch) < 0.3)
    problem = replace(problem, network=replace(net, g=iron))
    best, _ = brute_force(problem)
    plan = plan_horizon(problem, gap=1e-4)
    if plan.configurations:
        assert plan.objective_kwh >= best * (1 - 1e-9) - 1e-9
        assert plan.ac_bound_kwh is None or plan.ac_bound_kwh <= best * (1 + 1e-7) + 1e-9
    if plan.certificate is Certificate.AC:
        least = feasible_losses(problem.together, all_configurations(problem.steps[-1])).min(axis=0)
        assert not (plan.step_bound_kw > least * (1 + 1e-7) + 1e-9).any()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"switching_cost": -1.0}, "switching_cost = -1.0 must be"),
        ({"switching_cost": math.nan}, "switching_cost = nan must be"),
        ({"max_operations": -1}, "max_operations = -1 must be >= 0"),
        ({"max_operations_per_step": -2}, "max_operations_per_step = -2"),
        ({"hours": np.array([1.0, 0.0, 1.0])}, "must be finite and > 0"),
        ({"hours": np.ones(2)}, "2 durations for 3 steps"),
        ({"scenarios": ()}, "give at least one"),
    ],
)
def test_bad_horizon(case33: Network, changes: dict, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        replace(day(case33, n_steps=3), **changes)


@pytest.mark.parametrize("options", [{"window": 0}, {"window": 7}, {"gap": -1.0}, {"time_limit": 0.0}, {"k_best": 0}])
def test_bad_options(case33: Network, options: dict) -> None:
    with pytest.raises(DataError, match=f"{next(iter(options))} = "):
        plan_horizon(day(case33), **options)


@pytest.mark.parametrize("seed", range(20))
def test_priced_model_with_iron_losses(seed: int) -> None:
    """Currents and iron losses held at one configuration: the bound is the least value of all configurations."""
    rng = np.random.default_rng([seed, 9])
    problem = random_problem(seed, (), n_bus=(4, 9))
    iron = rng.uniform(0, 0.05, problem.network.n_branch) * (rng.random(problem.network.n_branch) < 0.3)
    problem = problem.replace(network=replace(problem.network, g=iron))
    trees = all_configurations(problem)
    held, reference = (trees[int(k)] for k in rng.integers(len(trees), size=2))
    flow, kw = power_flow(problem, held), problem.network.base.kw
    if not flow.converged or not evaluate(problem, held).feasible:
        return
    prices = rng.normal(0, 2, problem.network.n_branch)
    squared = np.abs(flow.v) ** 2
    loss = 0.5 * iron * (squared[problem.network.from_bus] + squared[problem.network.to_bus]) * kw
    currents = np.where(problem.network.is_substation, 0, np.conj((problem.p + 1j * problem.q) / flow.v))
    half = np.where(held.closed, iron / 2, 0.0)
    shunt = np.bincount(problem.network.from_bus, half, len(flow.v))
    shunt += np.bincount(problem.network.to_bus, half, len(flow.v))
    currents = np.where(problem.network.is_substation, 0, currents + shunt * flow.v)
    feasible = [tree for tree in trees if evaluate(problem, tree).feasible]
    values = [tree_loss(problem, tree, currents) * kw + (prices + loss)[tree.closed].sum() for tree in feasible]
    found = priced_bound(problem, prices, reference, held, Certificate.MODEL)
    reach = tree_loss(problem, reference, currents) * kw + (prices + loss)[reference.closed].sum()
    scale = abs(prices).sum() + loss.sum() + max(values) - min(values)
    assert found.certificate is Certificate.MODEL
    assert found.bound_kw == pytest.approx(min(*values, reach), abs=1e-7 * scale)
