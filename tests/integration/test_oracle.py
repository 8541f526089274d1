"""Every engine against enumeration: named small networks, and random problems with everything a problem can have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network, random_network
from instances import BUS_LIMITS, EQUIPMENT, FEATURES, PASSIVE, all_configurations, random_problem

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.enumeration import EnumerationEngine
from learnopt.network import (
    Certificate,
    Configuration,
    Limits,
    Network,
    ReconfigurationProblem,
    Result,
    Scenario,
    Situations,
    Status,
)
from learnopt.physics import evaluate

ENGINES = ("enumerate", "tree", "milp", "exchange")
NAMED = ("two_bus", "triangle", "parallel_branches", "two_substations", "coupler", "case16", "case33")


def solve(engine: str, problem: ReconfigurationProblem) -> Result:
    """The result of an engine asked for an AC certificate, with a time limit that only an endless loop would meet."""
    return load_engine(engine).solve(problem, SolveOptions(certify=Certificate.AC))


def check(engine: str, problem: ReconfigurationProblem, result: Result, oracle: Result) -> None:
    """What the result claims holds, given the result of enumeration."""
    if oracle.status is Status.INFEASIBLE:
        assert result.status in (Status.INFEASIBLE, Status.NO_SOLUTION)
        assert (result.configuration, result.loss_kw, result.gap) == (None, None, None)
        return
    best = oracle.objective_kw
    assert result.status is not Status.INFEASIBLE
    if result.certificate is Certificate.AC:
        assert result.dual_bound_kw <= best * (1 + 1e-6) + 1e-9
    if result.configuration is None:
        assert result.status is Status.NO_SOLUTION
        return
    judged = evaluate(problem, result.configuration)
    assert judged.feasible
    assert problem.admits(result.configuration)
    cost = problem.switching_cost * problem.operations(result.configuration)
    assert result.objective_kw == pytest.approx(judged.loss_kw + cost)
    assert result.objective_kw >= best * (1 - 1e-6) - 1e-9, "better than the best of all"
    if result.status is Status.OPTIMAL and result.certificate is Certificate.AC:
        assert result.gap <= (1e-4 if engine == "milp" else 1e-6) or best < 1e-6
        assert result.objective_kw <= best * (1 + (1.01e-4 if engine == "milp" else 1e-6)) + 1e-9
    if engine == "exchange":
        assert (result.status, result.certificate) == (Status.FEASIBLE, Certificate.NONE)


@pytest.mark.parametrize("name", NAMED)
def test_named_networks(name, request):
    """Every engine gives the optimum of enumeration (the heuristic too on these), the exact ones prove it."""
    network: Network = request.getfixturevalue(name)
    problem = ReconfigurationProblem.of(network)
    oracle = EnumerationEngine().solve(problem, SolveOptions())
    assert oracle.status is Status.OPTIMAL
    for engine in ENGINES[1:]:
        result = solve(engine, problem)
        check(engine, problem, result, oracle)
        assert result.objective_kw == pytest.approx(oracle.objective_kw, rel=1e-6)
        proven = engine in ("milp", "tree")
        assert (result.certificate is Certificate.AC) == proven
        assert (result.status is Status.OPTIMAL) == (engine != "exchange")


def special_cases() -> dict[str, ReconfigurationProblem]:
    """Problems with nothing to lose, nothing to decide or nothing to find."""
    lines = [(0, 1, 1, 1), (1, 2, 1, 1), (0, 2, 2, 2), (2, 3, 1, 1)]
    ring = make_network(lines, {1: (500, 200), 2: (0, 0), 3: (300, 100)})
    nominal = Scenario.nominal(ring)
    island = replace(nominal, out_of_service=np.array([False, False, False, True]))
    clash = replace(nominal, locked=np.array([0, 0, -1, -1], dtype=np.int8))
    idle = replace(nominal, p_load=np.zeros(4), q_load=np.zeros(4))
    huge = replace(nominal, p_load=1000 * ring.p_load)
    lossless = replace(ring, r=np.zeros(4))
    return {
        "islanded by an outage": ReconfigurationProblem(ring, Situations.of(island)),
        "contradictory locks": ReconfigurationProblem(ring, Situations.of(clash)),
        "no load": ReconfigurationProblem(ring, Situations.of(idle)),
        "collapse": ReconfigurationProblem(ring, Situations.of(huge)),
        "voltage out of reach": ReconfigurationProblem(ring, Situations.of(nominal), Limits(vm_min=0.999)),
        "without resistance": ReconfigurationProblem(lossless, Situations.of(nominal), Limits(vm_min=0.5)),
        "no impedance at all": ReconfigurationProblem(replace(lossless, x=np.zeros(4)), Situations.of(nominal)),
        "a single bus": ReconfigurationProblem.of(make_network([], {0: (100, 50)})),
        "two substations and a tie": ReconfigurationProblem.of(make_network([(0, 1, 1, 1)], {}, [0, 1])),
        "cap of no operation": ReconfigurationProblem(
            ring, Situations.of(nominal), locked=np.array([-1, 1, 1, 1], dtype=np.int8), max_operations=0
        ),
    }


@pytest.mark.parametrize("name", special_cases())
@pytest.mark.parametrize("engine", ENGINES)
def test_special_cases(name, engine):
    """Status, not exception, from every engine, and the loss of enumeration where there is one."""
    problem = special_cases()[name]
    oracle = solve("enumerate", problem)
    result = solve(engine, problem)
    check(engine if engine != "enumerate" else "tree", problem, result, oracle)
    if name in ("islanded by an outage", "contradictory locks"):
        assert result.status is Status.INFEASIBLE
        assert "cannot be fed" in result.message
    if oracle.status is Status.OPTIMAL:
        assert result.objective_kw == pytest.approx(oracle.objective_kw, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(60))
def test_random_problems(seed):
    """Generation, capacitors, charging, couplers, limits, locks, outages, costs and caps, a random mixture of them."""
    problem = random_problem(seed + 1000, n_loops=(1, 6))
    oracle = EnumerationEngine().solve(problem, SolveOptions())
    for engine in ENGINES[1:]:
        check(engine, problem, solve(engine, problem), oracle)


def best_by_hand(problem: ReconfigurationProblem) -> tuple[float, int]:
    """Least objective [kW] among configurations whose voltages are within the limits of their bus, and how many are."""
    net, found = problem.network, []
    free = problem.replace(limits=Limits())
    for configuration in all_configurations(problem):
        flow = evaluate(free, configuration)
        pairs = zip(flow.vm, net.vm_min, net.vm_max, net.is_substation, strict=True)
        if flow.converged and all(s or (low <= v * (1 + 1e-6) and v <= high * (1 + 1e-6)) for v, low, high, s in pairs):
            found.append(flow.loss_kw + problem.switching_cost * problem.operations(configuration))
    return min(found, default=np.inf), len(found)


@pytest.mark.parametrize("seed", range(30))
def test_random_bus_limits(seed):
    """Voltage limits of single buses, against enumeration and a check that reads them bus by bus."""
    rng = np.random.default_rng([seed, 3])
    kinds = ("generation", "capacitors", "charging", "couplers", "voltages", "lock", "cost", "transformers")
    features = [BUS_LIMITS, *(f for f in kinds if rng.random() < 0.2)]
    problem = random_problem(seed + 6000, features, n_loops=(1, 6))
    best, _ = best_by_hand(problem)
    oracle = EnumerationEngine().solve(problem, SolveOptions())
    if np.isinf(best):
        assert oracle.configuration is None
    else:
        assert oracle.objective_kw == pytest.approx(best, rel=1e-6, abs=1e-6)
    for engine in ENGINES[1:]:
        check(engine, problem, solve(engine, problem), oracle)


def test_bus_limits_decide():
    """Among the random problems are many in which limits of single buses exclude the best configuration, or some."""
    excluded = binding = 0
    for seed in range(30):
        problem = random_problem(seed + 6000, [BUS_LIMITS], n_loops=(1, 6))
        best, count = best_by_hand(problem)
        free = EnumerationEngine().solve(problem.replace(limits=Limits()), SolveOptions())
        excluded += free.objective_kw is not None and best > free.objective_kw * (1 + 1e-6)
        binding += 0 < count < len(all_configurations(problem))
    assert excluded >= 8
    assert binding >= 10


@pytest.mark.parametrize("seed", range(30))
def test_random_equipment(seed):
    """Transformers off nominal, iron losses, several voltage levels and bus shunts, with anything else."""
    rng = np.random.default_rng(seed)
    features = [
        *(f for f in FEATURES if rng.random() < 0.2),
        *(EQUIPMENT if seed % 3 == 0 else [EQUIPMENT[seed % 3 - 1]]),
    ]
    problem = random_problem(seed + 4000, features, n_loops=(1, 6))
    oracle = EnumerationEngine().solve(problem, SolveOptions())
    for engine in ENGINES[1:]:
        check(engine, problem, solve(engine, problem), oracle)


@pytest.mark.parametrize("seed", range(40))
def test_random_passive_problems_are_settled(seed):
    """Without generation and charging the tree search proves every problem, infeasible ones too, and milp agrees."""
    rng = np.random.default_rng(seed)
    problem = random_problem(seed + 2000, [f for f in PASSIVE if rng.random() < 0.35], n_loops=(1, 7))
    oracle = EnumerationEngine().solve(problem, SolveOptions())
    tree, milp = solve("tree", problem), solve("milp", problem)
    for engine, result in (("tree", tree), ("milp", milp)):
        check(engine, problem, result, oracle)
    assert tree.status is oracle.status
    if oracle.status is Status.OPTIMAL and problem.network.r.all():
        assert milp.status is Status.OPTIMAL


def relabelled(network: Network, buses: np.ndarray, branches: np.ndarray, flipped: np.ndarray) -> Network:
    """The same network with buses and branches in another order and some branches named from the other end."""
    position = np.argsort(buses)
    tail, head = position[network.from_bus[branches]], position[network.to_bus[branches]]
    by_branch = {k: getattr(network, k)[branches] for k in ("r", "x", "b", "i_max", "switchable", "normally_open")}
    return replace(
        network,
        bus_ids=tuple(network.bus_ids[k] for k in buses),
        branch_ids=tuple(network.branch_ids[e] for e in branches),
        p_load=network.p_load[buses],
        q_load=network.q_load[buses],
        from_bus=np.where(flipped, head, tail),
        to_bus=np.where(flipped, tail, head),
        substations=position[network.substations],
        **by_branch,
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("engine", ["enumerate", "tree", "milp"])
def test_order_and_direction_do_not_matter(engine, seed):
    """Buses and branches in another order, branches turned round: the same open branches by id, the same loss."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, 10, 4, 2)
    changed = relabelled(
        network,
        rng.permutation(network.n_bus),
        rng.permutation(network.n_branch),
        rng.random(network.n_branch) < 0.5,
    )
    first, second = (solve(engine, ReconfigurationProblem.of(n)) for n in (network, changed))
    assert second.objective_kw == pytest.approx(first.objective_kw, rel=1e-4 if engine == "milp" else 1e-9)
    if engine in ("enumerate", "tree"):
        assert sorted(changed.open_ids(second.configuration)) == sorted(network.open_ids(first.configuration))
    assert isinstance(first.configuration, Configuration)
