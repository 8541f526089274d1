"""Tree search: the optimum with its proof, with and without heuristics in front, and an honest end whatever happens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from instances import EQUIPMENT, FEATURES, PASSIVE, all_configurations, feasible_flows, random_problem

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.exchange import radial_start
from learnopt.engines.tree import depth_first, incumbent
from learnopt.engines.tree import engine as tree_search
from learnopt.engines.tree import proof as tree_proof
from learnopt.engines.tree.coverage import ac_obstacles, mixed_signs
from learnopt.engines.tree.currents import load_currents, tree_loss
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.io import load_case
from learnopt.network import (
    Certificate,
    Configuration,
    Limits,
    ReconfigurationProblem,
    Result,
    Scenario,
    Situations,
    Status,
)
from learnopt.physics import evaluate, loop_space, power_flow

PUBLISHED = {"case33": 139.551, "case69": 98.605, "case70": 301.645, "case119": 869.730, "case136": 280.193}
"""Least losses in the literature [kW], sources in ``datasets/README.md``."""


def solve(problem: ReconfigurationProblem, certify: Certificate = Certificate.AC, **options) -> Result:
    """Tree search with a node limit that ends an endless loop, not one that is ever reached."""
    return TreeSearchEngine().solve(problem, SolveOptions(certify=certify, **{"node_limit": 10**6, **options}))


class Blind:
    """A local search that finds nothing."""

    def __init__(self, problem: ReconfigurationProblem) -> None:
        pass

    def improve(self, start: Configuration, seconds: float = 0.0) -> None:
        """Nothing."""


@pytest.fixture
def blind(monkeypatch):
    """No incumbent to begin with and no improvement on the way: the search is on its own."""
    monkeypatch.setattr(tree_search, "find_incumbent", lambda *_: None)
    monkeypatch.setattr(incumbent, "LocalSearch", Blind)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_optima(name):
    """The published optimum, proven for the AC problem within 1e-6."""
    result = solve(ReconfigurationProblem.of(load_case(name), limits=Limits()))
    assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert result.objective_kw == pytest.approx(PUBLISHED[name], abs=1.1e-3)
    assert result.gap <= 1e-6


@pytest.mark.parametrize("name", ["case33", "case69", "case70"])
def test_published_optima_without_heuristics(name, blind, order):
    """The search finds and proves them alone, from metric A at first, and with many restarts of the metric."""
    result = solve(ReconfigurationProblem.of(load_case(name), limits=Limits()))
    assert result.status is Status.OPTIMAL
    assert result.objective_kw == pytest.approx(PUBLISHED[name], abs=1.1e-3)


@pytest.mark.parametrize(("budget", "chunk"), [(1, 1), (3, 2), (10**6, 10**6)])
def test_restarts_change_nothing(case33, blind, monkeypatch, budget, chunk):
    """Whatever the budgets of the runs, the same optimum and proof."""
    monkeypatch.setattr(tree_proof, "FRESH", budget)
    monkeypatch.setattr(SearchSpace, "chunk", chunk)
    result = solve(ReconfigurationProblem.of(case33))
    assert result.status is Status.OPTIMAL
    assert case33.open_ids(result.configuration) == [7, 9, 14, 32, 37]
    assert result.gap <= 1e-6


def check_against_all(problem: ReconfigurationProblem, result: Result, subject: object) -> None:
    """A bound never above the objective of any configuration, and the least objective where optimal is claimed."""
    flows = feasible_flows(problem) if not problem.contradictions else []
    values = [1e3 * f.loss + problem.switching_cost * problem.operations(c) for c, f in flows]
    if not values:
        assert result.status in (Status.INFEASIBLE, Status.NO_SOLUTION), subject
        assert result.configuration is None
        return
    best = min(values)
    assert result.status is Status.OPTIMAL, (subject, result.message)
    assert result.certificate is Certificate.AC
    # The judge lends couplers a micro-ohm, hence 1e-6; the last term is 1 microwatt.
    assert result.objective_kw == pytest.approx(best, rel=1e-6, abs=1e-9), subject
    assert result.dual_bound_kw <= best * (1 + 1e-9) + 1e-9, subject
    assert result.gap <= 1e-6 or best < 1e-6, subject


@pytest.fixture(params=["depth first", "best first"])
def order(request, monkeypatch):
    """Both searches; the second one from the first node on."""
    if request.param == "best first":
        monkeypatch.setattr(tree_proof, "HAND_OVER", 0)


@pytest.mark.parametrize("seed", range(150))
def test_search_without_heuristics_equals_brute_force(seed, blind, order):
    """Couplers, unequal substations, limits, locks, outages, switching cost and caps, all by the search itself."""
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, [f for f in PASSIVE if rng.random() < 0.3], n_loops=(1, 6))
    check_against_all(problem, solve(problem), seed)


@pytest.mark.parametrize("decades", [3, 6, 9, 12])
@pytest.mark.parametrize("seed", range(12))
def test_extreme_resistance_ratios(seed, decades, blind, order):
    """Resistances over up to twelve decades, with couplers of none at all between them."""
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, ("couplers",) if seed % 2 else (), n_loops=(2, 6), load=(0.1, 1.0))
    shrink = 10.0 ** -rng.uniform(0, decades, problem.network.n_branch)
    if seed % 3 == 0:
        shrink = np.where(rng.random(len(shrink)) < 0.5, 10.0**-decades, 1.0)
    network = replace(problem.network, r=problem.network.r * shrink, x=problem.network.x * shrink)
    problem = problem.replace(network=network)
    result = solve(problem)
    best = feasible_flows(problem)[0][1].loss * 1e3
    assert result.status is Status.OPTIMAL
    assert result.dual_bound_kw <= best * (1 + 1e-6) + 1e-9
    assert result.objective_kw == pytest.approx(best, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_raised_resistances_do_not_raise_the_bound(seed, blind, monkeypatch):
    """Couplers get a floor of resistance so that loops have an inverse; even a coarse one leaves bound and optimum."""
    monkeypatch.setattr(loop_space, "RELATIVE_FLOOR", 0.3)
    problem = random_problem(seed, ("couplers",), n_loops=(2, 6), load=(0.1, 1.5))
    check_against_all(problem, solve(problem), seed)


@pytest.mark.parametrize("ohm", [0.0, 1e-12, 1e-10, 1e-6])
@pytest.mark.parametrize("certify", [Certificate.AC, Certificate.MODEL])
def test_loops_of_couplers_all_open(ohm, certify, blind, order):
    """Where all other couplers are open the last one may open too: it is no bridge while feeders join its ends.

    A bridge test relative to the first conductance declared it one and certified twice the least loss.
    """
    ring = [(1, 2, ohm, 0), (2, 3, ohm, 0), (1, 3, ohm, 0)]
    network = make_network([(0, k, 1, 1) for k in (1, 2, 3)] + ring, dict.fromkeys((1, 2, 3), (1000, 0)))
    pair = make_network([(0, 1, 1, 1), (0, 2, 1, 1), *[(1, 2, ohm, 0)] * 2], {1: (1000, 0), 2: (1000, 0)})
    for net, opened in ((network, [4, 5, 6]), (pair, [3, 4])):
        result = solve(problem := ReconfigurationProblem.of(net), certify)
        if result.status is Status.OPTIMAL:
            assert net.open_ids(result.configuration) == opened
            assert result.objective_kw == pytest.approx(evaluate(problem, net.configuration(opened)).loss_kw)
        assert certify is Certificate.MODEL or result.status is Status.OPTIMAL


@pytest.mark.parametrize("seed", range(25))
def test_ac_bound_holds_for_every_configuration_when_stopped(seed, blind, monkeypatch):
    """Stopped after every single node: the bound so far is below the objective of every admissible configuration."""
    problem = random_problem(seed, ("couplers", "voltages", "cost"), n_loops=(3, 6), load=(1.0, 4.0))
    flows = feasible_flows(problem)
    best = min((1e3 * f.loss + problem.switching_cost * problem.operations(c) for c, f in flows), default=np.inf)
    monkeypatch.setattr(SearchSpace, "chunk", 1)
    real, left = depth_first.search, [0]

    def counting(*arguments):
        left[0] -= 1
        return real(*arguments)

    counting.patience = real.patience
    monkeypatch.setattr(depth_first, "search", counting)
    # The clock runs out when the searches that are left have been made.
    monkeypatch.setattr(tree_search.Stopwatch, "elapsed", property(lambda _: 0.0 if left[0] > 0 else 1e9))
    bounds = []
    for stop in range(12):
        left[0] = stop
        result = solve(problem, time_limit=60.0)
        if result.dual_bound_kw is not None:
            assert result.certificate is Certificate.AC
            assert result.dual_bound_kw <= best * (1 + 1e-9) + 1e-9
            bounds.append(result.dual_bound_kw)
    assert bounds or best == np.inf
    assert (np.diff(bounds) >= -1e-12).all()


def test_ac_is_refused_where_no_bound_covers(triangle):
    """A transformer off its ratio: certificate model, and the message says which and what to use."""
    problem = ReconfigurationProblem.of(replace(triangle, ratio=np.array([1.0, 1.05, 1.0])))
    result = solve(problem)
    assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.MODEL)
    assert "No AC certificate from the tree search" in result.message
    assert "transformers off their nominal ratio in 1 branch" in result.message
    assert "Use engine milp" in result.message
    assert "No AC certificate" not in solve(problem, Certificate.MODEL).message


def test_mixed_signs_are_named_and_proven_in_ac(triangle, case16):
    """Generation, capacitors, charging: what is named takes the other bound, and the certificate is AC."""
    nominal = Scenario.nominal(triangle)
    generation = replace(nominal, p_gen=np.array([0.0, 0.0, 0.4]))
    capacitor = replace(nominal, q_gen=np.array([0.0, 0.3, 0.0]))
    charged = replace(triangle, b=np.array([0.0, 0.01, 0.0]))
    limits = Limits(vm_min=0.9, vm_max=1.1)
    for problem, reason in (
        (
            ReconfigurationProblem(triangle, Situations.of(generation), limits),
            "negative active load at 1 bus (for instance bus 2)",
        ),
        (
            ReconfigurationProblem(triangle, Situations.of(capacitor), limits),
            "negative reactive load at 1 bus (for instance bus 1)",
        ),
        (ReconfigurationProblem(charged, Situations.of(nominal), limits), "line charging of 1 branch"),
        (ReconfigurationProblem.of(case16), "negative reactive load"),
    ):
        assert any(reason in named for named in mixed_signs(problem))
        assert ac_obstacles(problem) == []
        result = solve(problem)
        assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
        best = load_engine("enumerate").solve(problem, SolveOptions()).objective_kw
        assert result.dual_bound_kw <= best * (1 + 1e-9)
    assert mixed_signs(ReconfigurationProblem(charged, Situations.of(nominal), charging=False)) == []
    at_substation = replace(nominal, p_gen=np.array([5.0, 0.0, 0.0]))
    assert mixed_signs(ReconfigurationProblem(triangle, Situations.of(at_substation))) == []


def test_model_certificate_means_what_it_says(order):
    """No configuration is below the bound both for the answer's load currents and by AC power flow."""
    features = ("generation", "capacitors", "charging", "couplers", "voltages", "cost", "lock")
    optimal = 0
    for seed in range(60):
        problem = random_problem(seed, features, n_loops=(2, 6), load=(0.2, 1.5))
        result = solve(problem, Certificate.MODEL)
        if result.status is not Status.OPTIMAL:
            continue
        optimal += 1
        assert result.certificate is Certificate.MODEL
        assert "calibrated-current model" in result.message
        injection = load_currents(problem, result.configuration, power_flow(problem, result.configuration))
        values = {}
        for c in all_configurations(problem):
            if (flow := power_flow(problem, c)).converged:
                larger = max(tree_loss(problem, c, injection), flow.loss)
                values[c] = 1e3 * larger + problem.switching_cost * problem.operations(c)
        assert values[result.configuration] == pytest.approx(min(values.values()), rel=1e-6, abs=1e-6), seed
        assert result.dual_bound_kw == pytest.approx(min(values.values()), rel=1e-6, abs=1e-6), seed
    assert optimal > 40


@pytest.mark.parametrize("gap", [None, 1e-3, 3e-2])
@pytest.mark.parametrize("seed", range(40))
def test_an_optimal_model_has_the_gap_asked_for(seed, gap):
    """Ratios that loops disagree on, iron losses, limits that the first configuration breaks: the gap holds as told."""
    rng = np.random.default_rng([seed, 9])
    features = [f for f in (*FEATURES, *EQUIPMENT) if rng.random() < 0.3]
    problem = random_problem(seed, features, n_loops=(2, 6), load=(0.3, 2.5))
    flows = feasible_flows(problem) if not problem.contradictions else []
    result = solve(problem, Certificate.MODEL, gap=gap)
    if not flows:
        assert result.status in (Status.INFEASIBLE, Status.NO_SOLUTION)
        return
    assert result.status in (Status.OPTIMAL, Status.FEASIBLE), result.message
    if result.status is Status.OPTIMAL:
        assert result.gap <= max(gap or 0.0, 1e-6)
    else:
        assert "settled" in result.message


def test_tree_loss_is_the_loss_for_its_own_currents(case33):
    """For the currents of a power flow it is the loss of that power flow."""
    problem = ReconfigurationProblem.of(case33)
    for opened in ([7, 9, 14, 32, 37], [33, 34, 35, 36, 37]):
        configuration = case33.configuration(opened)
        flow = power_flow(problem, configuration)
        injection = load_currents(problem, configuration, flow)
        assert tree_loss(problem, configuration, injection) == pytest.approx(flow.loss, rel=1e-9)


def test_infeasible_limits_are_proven(case33, order):
    """A voltage limit that no configuration meets, an ampacity below the load, both with the status, no exception."""
    for limits, network in (
        (Limits(vm_min=0.95), case33),
        (Limits(ampacity=True), replace(case33, i_max=np.full(case33.n_branch, 1e-3))),
    ):
        result = solve(ReconfigurationProblem(network, Situations.of(Scenario.nominal(network)), limits))
        assert (result.status, result.configuration) == (Status.INFEASIBLE, None)
        assert "excluded them all" in result.message


def test_contradictory_locks_are_named(triangle):
    """All branches of a loop locked closed."""
    scenario = replace(Scenario.nominal(triangle), locked=np.ones(3, dtype=np.int8))
    result = solve(ReconfigurationProblem(triangle, Situations.of(scenario)))
    assert result.status is Status.INFEASIBLE
    assert "branch 3 closes a loop of branches that must all stay closed" in result.message


@pytest.mark.parametrize("certify", [Certificate.AC, Certificate.MODEL])
def test_loads_that_nothing_can_feed(case33, certify, order):
    """Ten times the load: no configuration and never a low loss, proven also where the model has no start."""
    nominal = Scenario.nominal(case33)
    scenario = replace(nominal, p_load=10 * nominal.p_load, q_load=10 * nominal.q_load)
    result = solve(ReconfigurationProblem(case33, Situations.of(scenario), Limits()), certify)
    assert (result.status, result.configuration, result.objective_kw) == (Status.INFEASIBLE, None, None)


def test_a_load_at_the_nose_is_not_called_infeasible():
    """A billionth beyond what a line can carry sweeps neither solve nor refute: no solution, and a valid bound."""
    line = make_network([(0, 1, 1.0, 0.0)], {1: (25_000, 0)})  # p = v (1 - v) / r is largest at v = 1/2
    for factor, status in ((1 - 1e-4, Status.OPTIMAL), (1 + 1e-9, Status.NO_SOLUTION), (1.01, Status.INFEASIBLE)):
        scenario = replace(Scenario.nominal(line), p_load=factor * line.p_load)
        result = solve(ReconfigurationProblem(line, Situations.of(scenario)))
        assert result.status is status
        assert (result.configuration is None) == (status is not Status.OPTIMAL)
        if status is Status.NO_SOLUTION:
            assert "as far as power flows could be settled" in result.message
            assert result.dual_bound_kw <= 25_000


@pytest.mark.parametrize("certify", [Certificate.AC, Certificate.MODEL])
@pytest.mark.parametrize("limit", [1, 3, 50])
def test_a_node_limit_gives_the_same_answer_for_any_number_of_threads(certify, limit, blind, order):
    """Ended by a node limit: a valid bound, and answer, bound and nodes do not depend on threads."""
    problem = ReconfigurationProblem.of(load_case("case70"), limits=Limits())
    runs = [solve(problem, certify, node_limit=limit, threads=threads) for threads in (1, 3)]
    assert runs[0].configuration == runs[1].configuration
    assert (runs[0].dual_bound_kw, runs[0].nodes) == (runs[1].dual_bound_kw, runs[1].nodes)
    stopped = f"Node limit of {limit} reached" in runs[0].message
    assert stopped == (runs[0].status is not Status.OPTIMAL)
    assert stopped or limit > 1
    assert runs[0].nodes < limit + 40
    assert runs[0].dual_bound_kw <= 301.65


@pytest.mark.parametrize("certify", [Certificate.AC, Certificate.MODEL])
def test_time_limit_with_incumbent(case33, certify):
    """Feasible, with a bound below the optimum."""
    result = solve(ReconfigurationProblem.of(case33), certify, time_limit=1e-9)
    assert (result.status, result.certificate) == (Status.FEASIBLE, certify)
    assert 0 < result.dual_bound_kw < 139.552 <= result.objective_kw + 1e-3
    assert "Time limit of 1e-09 s reached" in result.message


def test_time_limit_without_incumbent(case33, blind):
    """No solution, with the bound that is known, and no claim of infeasibility."""
    result = solve(ReconfigurationProblem.of(case33), time_limit=1e-9)
    assert (result.status, result.configuration, result.gap) == (Status.NO_SOLUTION, None, None)
    assert 0 < result.dual_bound_kw < 139.552


@pytest.mark.parametrize("certify", [Certificate.AC, Certificate.MODEL])
def test_ctrl_c_returns_the_incumbent(case33, certify, monkeypatch):
    """Interrupted in the search: the best configuration so far, and no bound that was not proven."""

    def interrupted(*_):
        raise KeyboardInterrupt

    interrupted.patience = depth_first.search.patience
    monkeypatch.setattr(depth_first, "search", interrupted)
    result = solve(ReconfigurationProblem.of(case33), certify)
    assert result.status is Status.INTERRUPTED
    assert case33.open_ids(result.configuration) == [7, 9, 14, 32, 37]
    assert (result.dual_bound_kw, result.certificate) == (None, Certificate.NONE)


def test_ctrl_c_before_anything_was_found(case33, monkeypatch):
    """Interrupted at once: the status and nothing else."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tree_search, "find_incumbent", interrupted)
    result = solve(ReconfigurationProblem.of(case33))
    assert (result.status, result.configuration, result.dual_bound_kw) == (Status.INTERRUPTED, None, None)


def test_what_the_judge_refuses_does_not_stop_the_search(triangle, blind, order):
    """A limit between the two power flows' rounding: the sweep accepts the leaf, the judge does not, all goes on.

    Offering the same leaf again and again hung the search.
    """
    free = ReconfigurationProblem.of(triangle, limits=Limits())
    best = triangle.configuration([2])
    accepted = np.abs(power_flow(free, best).v).min() / (1 - 1e-6)
    refused = evaluate(free, best).vm.min() * (1 + 1e-6)
    assert refused < accepted
    border = free.replace(limits=Limits(vm_min=float(refused + accepted) / 2))
    result = solve(border)
    assert (result.status, result.configuration) == (Status.INFEASIBLE, None)


def test_two_power_flows_that_disagree_settle_nothing(triangle, blind, order, monkeypatch):
    """A leaf that the sweep solves and the judge does not is no answer, and its loss stays a bound."""
    best, real = triangle.configuration([2]), incumbent.evaluate

    def doubtful(problem, configuration):
        judged = real(problem, configuration)
        return replace(judged, converged=False, unsettled=True, violations=("no",)) if configuration == best else judged

    monkeypatch.setattr(incumbent, "evaluate", doubtful)
    result = solve(ReconfigurationProblem.of(triangle))
    assert result.status is Status.FEASIBLE
    assert result.configuration != best
    assert result.dual_bound_kw <= power_flow(ReconfigurationProblem.of(triangle), best).loss * 1e3 * (1 + 1e-9)


@pytest.mark.parametrize("certify", [Certificate.AC, Certificate.MODEL])
def test_cap_below_what_must_be_operated(certify):
    """One line, normally open: it takes an operation, which a cap of zero forbids. No endless search."""
    network = make_network([(0, 1, 1, 0.5, {"normally_open": True})], {1: (1000, 400)})
    problem = ReconfigurationProblem.of(network, max_operations=0)
    result = solve(problem, certify)
    assert (result.status, result.configuration) == (Status.INFEASIBLE, None)
    allowed = solve(problem.replace(max_operations=1), certify)
    assert allowed.status is Status.OPTIMAL


def test_a_start_is_used_and_a_bad_one_ignored(case33, monkeypatch):
    """A given optimum is the first incumbent; an inadmissible start changes nothing."""
    problem = ReconfigurationProblem.of(case33)
    optimum = case33.configuration([7, 9, 14, 32, 37])
    options = SolveOptions(certify=Certificate.AC)
    started = TreeSearchEngine().solve(problem, options, optimum)
    ignored = TreeSearchEngine().solve(problem, options, case33.configuration([1, 2, 3]))
    plain = TreeSearchEngine().solve(problem, options)
    assert started.configuration == ignored.configuration == plain.configuration == optimum
    assert ignored.nodes == plain.nodes


def test_a_gap_stops_early_and_holds(blind, order):
    """With a gap of 5 % the answer is within 5 % of the bound, and the bound below the optimum."""
    network = load_case("case70")
    result = solve(ReconfigurationProblem.of(network, limits=Limits()), gap=0.05)
    assert result.status is Status.OPTIMAL
    assert result.gap <= 0.05 + 1e-9
    assert result.dual_bound_kw <= 301.65
    assert result.objective_kw <= 301.645 / 0.95


def test_no_decision_at_all(two_bus, order):
    """A single line, a single bus and an unloaded loop are solved, with a bound equal to the loss."""
    bus = make_network([], {0: (100, 50)})
    idle = make_network([(0, 1, 1, 1), (1, 2, 1, 1), (0, 2, 1, 1)], {})
    for network, loss in ((two_bus, None), (bus, 0.0), (idle, 0.0)):
        problem = ReconfigurationProblem.of(network)
        for certify in (Certificate.AC, Certificate.MODEL):
            result = solve(problem, certify)
            assert (result.status, result.certificate) == (Status.OPTIMAL, certify)
            assert result.objective_kw == pytest.approx(result.dual_bound_kw, rel=1e-6, abs=1e-9)
            assert loss is None or result.objective_kw == pytest.approx(loss, abs=1e-9)


def test_same_seed_same_result(case33):
    """Twice the same run: configuration, bound and node count."""
    problem = ReconfigurationProblem.of(case33)
    runs = [
        TreeSearchEngine(random_starts=3).solve(problem, SolveOptions(certify=Certificate.AC, seed=5)) for _ in "ab"
    ]
    assert runs[0].configuration == runs[1].configuration
    assert (runs[0].dual_bound_kw, runs[0].nodes) == (runs[1].dual_bound_kw, runs[1].nodes)


def test_normal_state_is_the_reference_without_incumbent(case33, blind):
    """Blind, the calibrated model starts from the normal state and still ends at the optimum of its model."""
    problem = ReconfigurationProblem.of(case33)
    assert radial_start(problem) == case33.normal_configuration
    result = solve(problem, Certificate.MODEL)
    assert result.status is Status.OPTIMAL
    assert case33.open_ids(result.configuration) == [7, 9, 14, 32, 37]
