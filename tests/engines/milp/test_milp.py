"""Outer approximation: AC optimum and certificate with everything a problem can have, and an honest end otherwise."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from instances import FEATURES, feasible_flows, random_problem

from learnopt.engines import Progress, SolveOptions
from learnopt.engines.exchange import radial_start
from learnopt.engines.milp import highs, rounds, starts
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.milp.highs import CompiledModel, Outcome, SolverRun
from learnopt.engines.milp.relaxation import HighsRelaxation
from learnopt.engines.milp.results import SMALLEST_GAP
from learnopt.engines.milp.rounds import Effort
from learnopt.engines.milp.tangents import Tangents
from learnopt.formulations.distflow_data import DistFlowData
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
from learnopt.physics import evaluate, power_flow


def solve(
    problem: ReconfigurationProblem, start: Configuration | None = None, probing: bool = False, **options
) -> Result:
    """Solve without probing by default.

    Probing alone settles most small problems: here the model is to be tested.
    """
    engine = MilpEngine(Effort(probing=probing))
    return engine.solve(problem, SolveOptions(**options), start)


class Blind:
    """A local search that finds nothing."""

    def __init__(self, problem: ReconfigurationProblem) -> None:
        pass

    def improve(self, start: Configuration, seconds: float = 0.0) -> None:
        """Nothing."""

    def neighbours(self, configuration: Configuration, count: int) -> list[Configuration]:
        """None."""
        return []


@pytest.fixture
def blind(monkeypatch):
    """The normal state is the only heuristic: what is better must come out of the model."""
    monkeypatch.setattr(starts, "find_incumbent", lambda problem, *_: radial_start(problem))
    monkeypatch.setattr(rounds, "LocalSearch", Blind)


@pytest.mark.parametrize("probing", [True, False])
@pytest.mark.parametrize(("name", "loss"), [("case16", 466.127), ("case33", 139.551), ("case70", 301.645)])
def test_published_optima(name, loss, probing):
    """The published optimum, proven for the AC problem within 1e-4 (the 16-bus system has capacitors)."""
    result = solve(ReconfigurationProblem.of(load_case(name), limits=Limits()), probing=probing)
    assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert result.objective_kw == pytest.approx(loss, abs=1.1e-3)
    assert result.gap <= 1e-4
    assert result.engine_version.startswith("HiGHS ")


def check_against_all(problem: ReconfigurationProblem, result: Result, gap: float = 1e-4) -> None:
    """A bound below the objective of every configuration, and an answer within the gap where optimal is claimed."""
    flows = feasible_flows(problem) if not problem.contradictions else []
    values = [1e3 * f.loss + problem.switching_cost * problem.operations(c) for c, f in flows]
    if not values:
        assert result.status in (Status.INFEASIBLE, Status.NO_SOLUTION)
        assert result.configuration is None
        return
    best = min(values)
    assert result.status in (Status.OPTIMAL, Status.FEASIBLE), result.message
    assert problem.admits(result.configuration)
    if result.dual_bound_kw is not None:
        assert result.dual_bound_kw <= best * (1 + 1e-6) + 1e-9
    if result.status is Status.OPTIMAL:
        assert result.certificate is Certificate.AC
        assert best * (1 - 1e-6) - 1e-9 <= result.objective_kw <= best * (1 + gap + 1e-6) + 1e-9


@pytest.mark.parametrize("seed", range(60))
def test_model_without_heuristics_equals_brute_force(seed, blind):
    """Any mixture of features, the normal state as cutoff at best: the optimum comes out of the relaxation."""
    problem = random_problem(seed, n_loops=(1, 6))
    check_against_all(problem, solve(problem, probing=True))
    result = solve(problem)
    check_against_all(problem, result)
    start = radial_start(problem) if not problem.contradictions else None
    if start is not None and problem.admits(start) and evaluate(problem, start).feasible:
        # A loss is known, so currents are bounded, unless branches without resistance are in the way.
        assert result.status is Status.OPTIMAL or (problem.network.r == 0).any()


@pytest.mark.parametrize("seed", range(200, 220))
def test_bound_holds_for_every_configuration_when_stopped(seed, blind, monkeypatch):
    """Interrupted before every mixed-integer round: the bound so far is below every admissible configuration."""
    problem = random_problem(seed, [f for f in FEATURES if f not in ("lock", "outage", "cap")][seed % 4 :: 4])
    flows = feasible_flows(problem)
    best = min((1e3 * f.loss + problem.switching_cost * problem.operations(c) for c, f in flows), default=np.inf)
    real = CompiledModel.solve
    for stop in range(4):
        rounds = iter(range(stop))

        def interrupted(model, rounds=rounds, **options):
            if next(rounds, None) is None:
                raise KeyboardInterrupt
            return real(model, **options)

        monkeypatch.setattr(CompiledModel, "solve", interrupted)
        result = solve(problem)
        if result.dual_bound_kw is not None:
            assert result.dual_bound_kw <= best * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("probing", [True, False])
@pytest.mark.parametrize("gap", [0.0, 1e-9, SMALLEST_GAP])
def test_gaps_that_no_linear_solver_proves(triangle, case16, gap, probing):
    """Gap 0 ends with the smallest provable one; it used to prove the same bound for ever."""
    for network in (triangle, case16):
        result = solve(ReconfigurationProblem.of(network), gap=gap, probing=probing)
        assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
        assert result.gap <= SMALLEST_GAP


def test_a_wide_gap_is_enough(case33, blind):
    """With 20 % the normal state need not be improved to the optimum, and the bound is still one."""
    result = solve(ReconfigurationProblem.of(case33), gap=0.2)
    assert result.status is Status.OPTIMAL
    assert result.dual_bound_kw <= 139.552 <= result.objective_kw + 1e-3
    assert result.gap <= 0.2


def test_branches_without_impedance(blind):
    """Zero-impedance bridges and pairs of couplers: a current without impedance is no column of the model.

    A tangent with a missing column used to throw away all tangents added with it.
    """
    lines = [(0, 1, 0, 0), (1, 2, 1, 1), (2, 3, 1, 1), (1, 3, 1, 1), (3, 4, 0, 0), (2, 3, 0, 0), (2, 3, 0, 0)]
    network = make_network(lines, {2: (500, 0), 3: (1000, 200), 4: (300, 100)})
    problem = ReconfigurationProblem.of(network)
    result = solve(problem)
    check_against_all(problem, result)
    assert result.status is Status.OPTIMAL
    relaxation = HighsRelaxation(data := DistFlowData.of(problem, 0.1))
    np.testing.assert_array_equal(relaxation.cuttable, (network.r + network.x)[data.arcs.branch] > 0)
    tangents = Tangents(data.arcs, relaxation.add_tangents, relaxation.cuttable)
    flow = power_flow(problem, result.configuration)
    fed_by_lines = int((network.r[flow.feed[flow.feed >= 0]] > 0).sum())
    assert tangents.at_power_flow(flow, network) == fed_by_lines
    assert tangents.at_power_flow(flow, network) == 0, "each tangent once"
    used = (flow.feed[data.arcs.head] == data.arcs.branch)[relaxation.choice]
    relaxation.model.fix(relaxation.b, used.astype(float))
    assert relaxation.solve_relaxation().bound == pytest.approx(1e3 * flow.loss, rel=1e-5), "a tangent is missing"


@pytest.mark.parametrize("seed", range(24))
def test_upper_limits_within_and_out_of_reach(seed, blind):
    """Generation against a maximum voltage that some states violate, or none can: the optimum of enumeration."""
    problem = random_problem(seed + 7000, ("generation", "voltages", *(("couplers",) if seed % 2 else ())))
    highest = float(problem.network.substation_vm.max())
    problem = problem.replace(limits=Limits(vm_min=0.8, vm_max=highest + (0.0, 0.002, 0.02, 0.2)[seed % 4]))
    check_against_all(problem, solve(problem))


@pytest.mark.parametrize("seed", range(8))
def test_tangents_of_sampled_trees(seed, blind):
    """With none of them and with many the optimum of enumeration, and the same claim about it."""
    problem = random_problem(seed + 7100, ("generation", "capacitors", "charging", "voltages"), n_loops=(3, 6))
    few, many = (MilpEngine(Effort(probing=False, sampled_trees=n)).solve(problem, SolveOptions()) for n in (0, 60))
    check_against_all(problem, few)
    check_against_all(problem, many)
    assert many.status is few.status


def test_cutting_off_one_configuration_leaves_the_others(case16):
    """The cut excludes exactly the configuration it is made for."""
    problem = ReconfigurationProblem.of(case16, limits=Limits(vm_min=0.9))
    relaxation = HighsRelaxation(data := DistFlowData.of(problem))
    states = [c for c, _ in feasible_flows(problem)][:6]
    relaxation.exclude(states[0])
    for number, state in enumerate(states):
        flow = power_flow(problem, state)
        used = (flow.feed[data.arcs.head] == data.arcs.branch)[relaxation.choice]
        relaxation.model.fix(relaxation.b, used.astype(float))
        assert relaxation.solve_relaxation().outcome is (Outcome.INFEASIBLE if number == 0 else Outcome.OPTIMAL)


def test_infeasible_limits_are_proven(case33):
    """A voltage limit that no configuration meets, an ampacity below the load: a relaxation is infeasible."""
    for limits, network in (
        (Limits(vm_min=0.97), case33),
        (Limits(vm_min=0.5, ampacity=True), replace(case33, i_max=np.full(case33.n_branch, 1e-3))),
    ):
        result = solve(ReconfigurationProblem(network, Situations.of(Scenario.nominal(network)), limits))
        assert (result.status, result.configuration) == (Status.INFEASIBLE, None)
        assert (result.dual_bound_kw, result.certificate) == (None, Certificate.NONE)
        assert "relaxation of the problem is infeasible" in result.message


def test_contradictory_locks_are_named(triangle):
    """Two branches at a bus locked open."""
    scenario = replace(Scenario.nominal(triangle), locked=np.array([0, 0, -1], dtype=np.int8))
    result = solve(ReconfigurationProblem(triangle, Situations.of(scenario)))
    assert result.status is Status.INFEASIBLE
    assert "1 bus cannot be fed with the open and out-of-service branches: bus 1" in result.message


def test_loads_that_nothing_can_feed(case33):
    """Ten times the load: no configuration, no low loss; infeasible where a voltage limit gives constants."""
    nominal = Scenario.nominal(case33)
    scenario = replace(nominal, p_load=10 * nominal.p_load, q_load=10 * nominal.q_load)
    for limits, status in ((Limits(), Status.NO_SOLUTION), (Limits(vm_min=0.5), Status.INFEASIBLE)):
        result = solve(ReconfigurationProblem(case33, Situations.of(scenario), limits))
        assert (result.status, result.configuration, result.objective_kw) == (status, None, None)


@pytest.mark.parametrize("limit", [1e-9, 1e-3, 0.05])
def test_time_limit_with_incumbent(case33, limit):
    """Stopped before, while and after building the model: feasible, any bound below the optimum, no exception."""
    result = solve(ReconfigurationProblem.of(case33), time_limit=limit)
    assert result.status is Status.FEASIBLE
    assert f"Time limit of {limit:g} s reached" in result.message
    assert result.objective_kw >= 139.551
    assert result.dual_bound_kw is None or result.dual_bound_kw < 139.552


def test_a_node_limit_ends_the_rounds(case33):
    """Twice the same answer, bound and nodes, with the limit in the message."""
    problem = ReconfigurationProblem.of(case33)
    first, second = (solve(problem, node_limit=2, gap=0.0) for _ in range(2))
    assert (first.status, first.certificate) == (Status.FEASIBLE, Certificate.AC)
    assert "Node limit of 2 reached" in first.message
    assert first.dual_bound_kw <= 139.552
    assert (first.configuration, first.dual_bound_kw) == (second.configuration, second.dual_bound_kw)


def test_time_limit_without_incumbent(case33, monkeypatch):
    """No solution, no claim of infeasibility, no exception."""
    monkeypatch.setattr(starts, "find_incumbent", lambda *_: None)
    for limits in (Limits(), Limits(vm_min=0.9)):
        result = solve(ReconfigurationProblem.of(case33, limits=limits), time_limit=1e-9)
        assert (result.status, result.configuration, result.gap) == (Status.NO_SOLUTION, None, None)


def test_ctrl_c_returns_the_incumbent(case33, monkeypatch):
    """From Python or from inside HiGHS: interrupted, with the best configuration and the bound proven so far."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    def stopped(*_, **__):
        return SolverRun(Outcome.INTERRUPTED, np.nan, -np.inf, None)

    for stop in (interrupted, stopped):
        monkeypatch.setattr(CompiledModel, "solve", stop)
        result = solve(ReconfigurationProblem.of(case33))
        assert result.status is Status.INTERRUPTED
        assert case33.open_ids(result.configuration) == [7, 9, 14, 32, 37]
        assert result.certificate is Certificate.AC
        assert 120 < result.dual_bound_kw < 139.552
    monkeypatch.setattr(starts, "find_incumbent", interrupted)
    early = solve(ReconfigurationProblem.of(case33))
    assert (early.status, early.configuration, early.dual_bound_kw) == (Status.INTERRUPTED, None, None)


def test_an_error_of_the_solver_is_no_exception(case33, monkeypatch):
    """What was known before is returned, with the bound of the relaxation."""
    monkeypatch.setattr(CompiledModel, "solve", lambda *_, **__: SolverRun(Outcome.FAILED, np.nan, -np.inf, None))
    result = solve(ReconfigurationProblem.of(case33))
    assert (result.status, result.certificate) == (Status.FEASIBLE, Certificate.AC)
    assert "solver reported an error" in result.message
    assert 120 < result.dual_bound_kw < 139.552


def test_a_late_incumbent_brings_the_certificate(triangle, case33, monkeypatch):
    """No limit and no start: nothing can be proven, until the model has found a configuration; then all is."""
    monkeypatch.setattr(starts, "find_incumbent", lambda *_: None)
    for network, opened in ((triangle, [2]), (case33, [7, 9, 14, 32, 37])):
        problem = ReconfigurationProblem.of(network, limits=Limits())
        assert not DistFlowData.of(problem).bounds.proven
        for probing in (True, False):
            result = solve(problem, probing=probing)
            assert network.open_ids(result.configuration) == opened
            assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
            assert result.gap <= 1e-4


@pytest.mark.parametrize("seed", range(300, 325))
def test_without_a_start_equals_brute_force(seed, blind, monkeypatch):
    """Any features, exchange finds nothing: what the model finds first must not spoil what it proves later."""
    monkeypatch.setattr(starts, "find_incumbent", lambda *_: None)
    problem = random_problem(seed, n_loops=(1, 6))
    check_against_all(problem, solve(problem))


def test_certificate_is_withdrawn_where_a_constant_is_not_proven(triangle, monkeypatch):
    """The optimum may be found, but nothing is claimed, and the message says why."""
    real = DistFlowData.of

    def unproven(problem: ReconfigurationProblem, *rest: object) -> DistFlowData:
        data = real(problem, *rest)
        return replace(data, bounds=replace(data.bounds, proven=False, reason="not proven here"))

    monkeypatch.setattr(DistFlowData, "of", unproven)
    for start in (None, triangle.normal_configuration):
        result = solve(ReconfigurationProblem.of(triangle, limits=Limits()), start)
        assert triangle.open_ids(result.configuration) == [2]
        assert (result.status, result.certificate, result.dual_bound_kw) == (Status.FEASIBLE, Certificate.NONE, None)
        assert "not proven here" in result.message


def test_a_start_is_used_and_a_bad_one_ignored(case33, monkeypatch):
    """The start is offered with the other incumbents; an inadmissible or infeasible one changes nothing."""
    problem = ReconfigurationProblem.of(case33, limits=Limits(vm_min=0.93))
    optimum = case33.configuration([7, 9, 14, 32, 37])
    for start in (optimum, case33.configuration([1, 2, 3]), case33.normal_configuration):
        result = solve(problem, start)
        assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
        assert result.configuration == optimum


def test_no_decision_at_all(two_bus):
    """A single line, a single bus, an unloaded loop, a tie between two substations."""
    bus = make_network([], {0: (100, 50)})
    idle = make_network([(0, 1, 1, 1), (1, 2, 1, 1), (0, 2, 1, 1)], {})
    tie = make_network([(0, 1, 1, 1)], {}, [0, 1])
    for network in (two_bus, bus, idle, tie):
        result = solve(ReconfigurationProblem.of(network))
        assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
        assert result.objective_kw == pytest.approx(result.dual_bound_kw, rel=1e-4, abs=1e-9)


def test_cap_below_what_must_be_operated():
    """A line that is normally open, with a cap of zero: the only configuration is not admissible."""
    network = make_network([(0, 1, 1, 0.5, {"normally_open": True})], {1: (1000, 400)})
    for limits in (Limits(), Limits(vm_min=0.9)):
        result = solve(ReconfigurationProblem.of(network, limits=limits, max_operations=0))
        assert (result.status, result.configuration) == (Status.INFEASIBLE, None)
        assert "switching operations exceed the cap" in result.message
        assert solve(ReconfigurationProblem.of(network, limits=limits, max_operations=1)).status is Status.OPTIMAL


@pytest.mark.parametrize("scale", [1e-2, 1e-4, 1e-6])
def test_light_loads(scale, blind):
    """A feeder of watts on a base of megawatts: the solver's absolute tolerances must not turn into false bounds."""
    for seed in range(5):
        problem = random_problem(seed, (), n_loops=(2, 4))
        scenario = replace(
            problem.scenario, p_load=scale * problem.scenario.p_load, q_load=scale * problem.scenario.q_load
        )
        problem = problem.under(scenario)
        best = feasible_flows(problem)[0][1].loss * 1e3
        result = solve(problem)
        assert result.status is Status.OPTIMAL
        assert result.objective_kw <= best * (1 + 1.1e-4)
        assert result.dual_bound_kw is None or result.dual_bound_kw <= best * (1 + 1e-6)


def test_progress_is_streamed(case33, blind):
    """Incumbents only fall, bounds only rise, they meet in the result; what the callback raises ends the solve."""
    heard = []
    result = solve(ReconfigurationProblem.of(case33), progress=heard.append)
    assert {p.engine for p in heard} == {"milp"}
    for name, ahead in (("incumbent_kw", -1), ("bound_kw", 1), ("elapsed_s", 1), ("nodes", 1)):
        values = [ahead * getattr(p, name) for p in heard if getattr(p, name) is not None]
        assert values == sorted(values)
        assert len(set(values)) > 1
    assert heard[-1].incumbent_kw == result.objective_kw
    assert all(p.bound_kw <= result.objective_kw for p in heard if p.bound_kw is not None)

    def stop(progress: Progress) -> None:
        if progress.bound_kw is not None:
            raise KeyboardInterrupt

    stopped = solve(ReconfigurationProblem.of(case33), progress=stop)
    assert stopped.status is Status.INTERRUPTED
    assert stopped.configuration is not None
    assert 0 < stopped.dual_bound_kw <= 139.552


def test_bound_streams_out_of_one_round(case33, blind, monkeypatch):
    """Inside a mixed-integer round too; an error of the callback comes out, Ctrl-C there returns what is known."""
    monkeypatch.setattr(highs, "REPORT_INTERVAL", 0.0)
    rounds: list[int] = []
    real = CompiledModel.solve
    monkeypatch.setattr(CompiledModel, "solve", lambda model, **options: rounds.append(1) or real(model, **options))

    def fail(progress: Progress) -> None:
        if rounds:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        solve(ReconfigurationProblem.of(case33), progress=fail)

    def ctrl_c(progress: Progress) -> None:
        if rounds and progress.nodes > 0:
            signal.raise_signal(signal.SIGINT)

    rounds.clear()
    handler = signal.getsignal(signal.SIGINT)  # a suite started in the background ignores the signal
    result = solve(ReconfigurationProblem.of(case33), progress=ctrl_c)
    assert (result.status, len(rounds)) == (Status.INTERRUPTED, 1)
    assert result.certificate is Certificate.AC
    assert 120 < result.dual_bound_kw < 139.552 <= result.objective_kw + 1e-3
    assert signal.getsignal(signal.SIGINT) is handler


def test_same_seed_same_result(case33):
    """Twice the same run: configuration, bound and node count."""
    engine, problem = MilpEngine(Effort(probing=False, random_starts=2)), ReconfigurationProblem.of(case33)
    first, second = engine.solve(problem, SolveOptions()), engine.solve(problem, SolveOptions())
    assert first.configuration == second.configuration
    assert (first.dual_bound_kw, first.nodes) == (second.dual_bound_kw, second.nodes)
    assert highs.VERSION in first.engine_version
