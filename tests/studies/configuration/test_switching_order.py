from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_network, random_network
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from learnopt.errors import DataError
from learnopt.io import load
from learnopt.network import Configuration, Limits, Network, ReconfigurationProblem, Scenario, Situations
from learnopt.network.topology import is_radial, maximum_spanning_tree, radiality_faults
from learnopt.physics import evaluate, evaluate_transition, power_flow
from learnopt.report.configuration.order import limits_passed, operation_to_dict
from learnopt.studies.configuration.switching_order import Action, Paralleling, PlanState, normal_state, switching_plan

FIELD_CASES = Path(__file__).parents[2] / "data" / "field_cases"


def states(start: Configuration, plan) -> list[np.ndarray]:
    """The state at the start and after every operation."""
    found = [start.closed.copy()]
    for operation in plan:
        closed = found[-1].copy()
        assert closed[operation.branch] == (operation.action is Action.OPEN), "every operation changes a state"
        closed[operation.branch] = operation.action is Action.CLOSE
        found.append(closed)
    return found


def unfed(net: Network, closed: np.ndarray) -> list[str]:
    """Complaints about buses without supply."""
    return [fault for fault in radiality_faults(net, closed) if "no path" in fault]


def random_tree(rng: np.random.Generator, net: Network, usable: np.ndarray) -> Configuration:
    """A random radial configuration."""
    return Configuration(maximum_spanning_tree(net, usable, rng.random(net.n_branch)))


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), n_bus=st.integers(4, 25), n_loops=st.integers(1, 7), roots=st.integers(1, 3))
def test_plan_between_radial_states(seed: int, n_bus: int, n_loops: int, roots: int) -> None:
    """The plan reaches the target with the fewest operations; every state feeds all, every second one is radial."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, n_bus, n_loops, min(roots, n_bus - 2))
    problem = ReconfigurationProblem.of(net)
    target = random_tree(rng, net, np.ones(net.n_branch, dtype=bool))
    start = normal_state(problem)
    plan = switching_plan(problem, start, target)
    path = states(start, plan)
    assert np.array_equal(path[-1], target.closed)
    assert len(plan) == problem.operations(target)
    assert [o.step for o in plan] == list(range(1, len(plan) + 1))
    assert not any(unfed(net, closed) for closed in path)
    assert all(is_radial(net, closed) for closed in path[::2])
    for operation, closed in zip(plan, path[1:], strict=True):
        radial = is_radial(net, closed)
        assert operation.state is (PlanState.RADIAL if radial else PlanState.LOOPED)
        flow = power_flow(problem, Configuration(closed)) if radial else None
        if flow is not None and flow.converged:
            assert operation.loss_kw == pytest.approx(flow.loss * net.base.kw, rel=1e-6)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_outage_is_restored_first(seed: int) -> None:
    """What is out of service is opened and earthed, then supply only grows, and the target is reached."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, 15, 5)
    out = np.zeros(net.n_branch, dtype=bool)
    for e in rng.permutation(net.n_branch)[:4]:
        out[e] = True
        reached = maximum_spanning_tree(net, ~out, np.ones(net.n_branch))
        out[e] = is_radial(net, reached)
    problem = ReconfigurationProblem.of(net, replace(Scenario.nominal(net), out_of_service=out))
    target = random_tree(rng, net, ~out)
    start = normal_state(problem)
    plan = switching_plan(problem, start, target)
    parted = [o for o in plan if o.state is PlanState.ISOLATING]
    assert plan[: len(parted)] == parted
    assert [(o.action, o.branch) for o in parted] == [
        *((Action.OPEN, e) for e in np.flatnonzero(out & ~net.normally_open)),
        *((Action.EARTH, e) for e in np.flatnonzero(out)),
    ]
    rest = plan[len(parted) :]
    path = states(start, rest)
    assert np.array_equal(path[-1], target.closed)
    assert not any(out[o.branch] for o in rest)
    assert len(rest) == problem.operations(target)
    without = [len(unfed(net, closed)) > 0 for closed in path]
    assert without == sorted(without, reverse=True), "supply, once complete, stays complete"
    for operation, closed in zip(rest, path[1:], strict=True):
        assert (operation.state is PlanState.RESTORING) == bool(unfed(net, closed))


def test_supply_is_restored_where_voltages_are_best() -> None:
    """Of two ties that both feed a dead bus the strong one is closed first, whatever their order in the file."""
    weak, strong = (20.0, 10.0), (0.5, 0.3)
    net = make_network(
        [
            (0, 1, *strong),
            (0, 4, *strong),
            (1, 2, *strong),
            (2, 3, *strong),
            (4, 3, *weak, {"normally_open": True}),
            (4, 2, *strong, {"normally_open": True}),
        ],
        {1: (200, 50), 2: (800, 200), 3: (100, 20), 4: (100, 20)},
    )
    out = np.array([False, False, True, False, False, False])
    limits = Limits(vm_min=0.95, vm_max=1.05)
    problem = ReconfigurationProblem.of(net, replace(Scenario.nominal(net), out_of_service=out)).replace(limits=limits)
    target = Configuration(np.array([True, True, False, False, True, True]))
    plan = switching_plan(problem, normal_state(problem), target)
    assert [o.branch for o in plan if o.action is Action.CLOSE] == [5, 4]
    assert not any(o.violations for o in plan[:-1])


def test_a_step_that_passes_a_limit_is_named() -> None:
    """One dead part and one weak tie: the order has no better way, and says where a limit is passed."""
    net = make_network(
        [(0, 1, 0.5, 0.3), (1, 2, 0.5, 0.3), (0, 2, 20.0, 10.0, {"normally_open": True})], {1: (200, 50), 2: (800, 200)}
    )
    scenario = replace(Scenario.nominal(net), out_of_service=np.array([False, True, False]))
    problem = ReconfigurationProblem.of(net, scenario).replace(limits=Limits(vm_min=0.95, vm_max=1.05))
    plan = switching_plan(problem, normal_state(problem), Configuration(np.array([True, False, True])))
    sentence = limits_passed(plan)
    assert len(sentence) == 1
    assert f"after step {plan[-1].step};" in sentence[0]
    assert "is below 0.95 pu" in sentence[0]
    assert operation_to_dict(problem, plan[-1])["violations"] == list(plan[-1].violations)
    assert limits_passed(plan[:-1]) == []


def test_loops_of_the_start_are_opened(case33: Network) -> None:
    """From the fully closed feeder the plan only opens."""
    problem = ReconfigurationProblem.of(case33)
    target = case33.configuration([7, 9, 14, 32, 37])
    plan = switching_plan(problem, Configuration(np.ones(case33.n_branch, dtype=bool)), target)
    assert [o.action for o in plan] == [Action.OPEN] * 5
    assert [o.state for o in plan] == [PlanState.LOOPED] * 4 + [PlanState.RADIAL]
    assert plan[-1].loss_kw == pytest.approx(139.551, abs=1e-3)


def test_case33_voltages_never_fall(case33: Network) -> None:
    """On the way to the optimum of the 33-bus feeder the lowest voltage only rises."""
    problem = ReconfigurationProblem.of(case33)
    plan = switching_plan(problem, case33.normal_configuration, case33.configuration([7, 9, 14, 32, 37]))
    voltages = [round(o.min_voltage_pu or 0, 6) for o in plan if o.state is PlanState.RADIAL]
    assert len(plan) == 8
    assert voltages == sorted(voltages)
    assert voltages[0] > 0.9131


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), roots=st.integers(1, 3))
def test_open_first_where_paralleling_is_forbidden(seed: int, roots: int) -> None:
    """No loop is ever closed, and what is said to be interrupted is what has no path to a substation meanwhile."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, 14, 5, roots)
    net = replace(net, customers=rng.integers(0, 50, net.n_bus))
    problem = ReconfigurationProblem.of(net)
    target = random_tree(rng, net, np.ones(net.n_branch, dtype=bool))
    start = normal_state(problem)
    plan = switching_plan(problem, start, target, Paralleling.FORBIDDEN)
    path = states(start, plan)
    assert np.array_equal(path[-1], target.closed)
    assert len(plan) == problem.operations(target)
    assert [o.action for o in plan] == [Action.OPEN, Action.CLOSE] * (len(plan) // 2)
    assert all(is_radial(net, closed) for closed in path[::2])
    for operation, closed in zip(plan, path[1:], strict=True):
        ends = (net.from_bus[closed], net.to_bus[closed])
        graph = coo_array((np.ones(closed.sum()), ends), shape=(net.n_bus, net.n_bus))
        part = connected_components(graph, directed=False)[1]
        dark = np.flatnonzero(~np.isin(part, part[net.substations]))
        assert operation.customers == net.customers[dark].sum()
        assert set(operation.unfed) == {k for k in dark if problem.p[k] != 0 or problem.q[k] != 0}
        assert operation.state is (PlanState.INTERRUPTED if len(dark) else PlanState.RADIAL)


def test_an_exchange_that_interrupts_nobody_comes_first() -> None:
    """Of two ways round, the branch with only an empty bus behind it is opened first, and customers count before load.

    Ring 0-1-2-3-0, open between 3 and 0; the target opens 1-2, behind which the customers of 2 and 3 hang.
    """
    rows = [(0, 1, 1, 1), (1, 2, 1, 1), (2, 3, 1, 1), (3, 0, 1, 1, {"normally_open": True})]
    rows += [(1, 4, 1, 1), (4, 0, 1, 1, {"normally_open": True})]
    net = make_network(rows, {1: (100, 30), 2: (50, 10), 3: (20, 5)})
    customers = {0: 0, 1: 9, 2: 7, 3: 2, 4: 0}
    net = replace(net, customers=np.array([customers[i] for i in net.bus_ids]))
    closed = np.array([True, False, True, True, False, True])
    problem = ReconfigurationProblem.of(net)
    plan = switching_plan(problem, net.normal_configuration, Configuration(closed), Paralleling.FORBIDDEN)
    assert [o.customers for o in plan] == [0, 0, 9, 0]
    assert [o.interrupted_kw for o in plan] == pytest.approx([0, 0, 70, 0])
    allowed = switching_plan(problem, net.normal_configuration, Configuration(closed))
    assert [o.customers for o in allowed] == [0, 0, 0, 0]


def test_currents_while_a_loop_is_closed() -> None:
    """Two equal paths of a closed ring share the load: half the current of one, half of its loss."""
    net = make_network(
        [(0, 1, 1, 1, {"ampacity_a": 100.0}), (0, 1, 1, 1, {"normally_open": True, "ampacity_a": 100.0})],
        {1: (100, 0)},
    )
    problem = ReconfigurationProblem.of(net)
    target = Configuration(np.array([False, True]))
    closing, opening = switching_plan(problem, net.normal_configuration, target)
    assert (closing.state, opening.state) == (PlanState.LOOPED, PlanState.RADIAL)
    assert closing.max_loading == pytest.approx(0.5 * (opening.max_loading or 0), rel=1e-2)
    assert closing.loss_kw == pytest.approx(0.5 * (opening.loss_kw or 0), rel=1e-2)


def test_locked_devices_are_not_operated(case33: Network) -> None:
    """A target that moves a locked device, or one without a switch, is refused by name."""
    switchable = case33.switchable.copy()
    switchable[case33.branches([9])] = False
    locked = Scenario.nominal(case33).locked.copy()
    locked[case33.branches([37])] = 0
    problem = ReconfigurationProblem.of(
        replace(case33, switchable=switchable), replace(Scenario.nominal(case33), locked=locked)
    )
    with pytest.raises(DataError) as caught:
        switching_plan(problem, case33.normal_configuration, case33.configuration([7, 9, 14, 32, 28]))
    assert [sentence.split(":")[0] for sentence in caught.value.violations] == [
        "branch 37 must stay open",
        "branch 9 must stay closed",
    ]


def test_nothing_to_do(case33: Network) -> None:
    """A plan to where one is has no operations."""
    normal = case33.normal_configuration
    assert switching_plan(ReconfigurationProblem.of(case33), normal, normal) == []


def test_impossible_target_is_an_error(case33: Network) -> None:
    """A target that is not radial, or that uses a branch out of service, is refused with all reasons."""
    scenario = Scenario.nominal(case33)
    out = scenario.out_of_service.copy()
    out[0] = True
    problem = ReconfigurationProblem.of(case33, replace(scenario, out_of_service=out))
    with pytest.raises(DataError) as caught:
        switching_plan(problem, case33.normal_configuration, case33.configuration([7, 9, 14, 32]))
    assert len(caught.value.violations) == 2
    assert "out of service" in caught.value.violations[0]


def test_plan_of_several_scenarios_ends_at_their_mean_loss(case33: Network) -> None:
    """Losses along the plan are the weighted mean, voltages the lowest of all scenarios."""
    one = Scenario.nominal(case33)
    day = Situations((one, replace(one, p_load=1.5 * one.p_load)), np.array([3.0, 1.0]))
    problem = ReconfigurationProblem.of(case33, day)
    target = case33.configuration([7, 9, 14, 32, 37])
    last = switching_plan(problem, case33.normal_configuration, target)[-1]
    judged = evaluate(problem, target)
    assert last.loss_kw == pytest.approx(judged.loss_kw, rel=1e-6)
    assert last.min_voltage_pu == pytest.approx(judged.min_voltage_pu, abs=1e-6)


def two_angles(*more: tuple, va_deg: float = 25.0, **case) -> Network:
    """Sources A and B, 25 degrees apart, at the two ends of a line of three buses, open between 2 and 3."""
    rows = [("A", 1, 1, 1), (1, 2, 1, 1), (2, 3, 1, 1, {"normally_open": True}), (3, "B", 1, 1), *more]
    loads = {1: (100, 30), 2: (80, 20), 3: (60, 10)}
    return make_network(rows, loads, ["A", "B"], substation_data={"B": {"va_deg": va_deg}}, **case)


def joins_unequal_phases(problem: ReconfigurationProblem, closed: np.ndarray) -> bool:
    """Whether angles alone drive a current that loses more than a watt."""
    net = problem.network
    idle = problem.under(replace(problem.scenario, p_load=0 * problem.p, q_load=0 * problem.q))
    idle = idle.replace(limits=Limits())
    equal = idle.replace(network=replace(net, shift=0 * net.shift, substation_va=0 * net.substation_va))
    found, expected = (evaluate_transition(one, Configuration(closed)).loss_kw for one in (idle, equal))
    return not found < expected + 1e-3


def test_a_tie_between_unequal_phases_is_not_closed_first() -> None:
    """The plan opens first, tells the interruption and its reason; in phase nothing is interrupted."""
    net = two_angles()
    problem = ReconfigurationProblem.of(net)
    target = net.configuration([2])
    opening, closing = switching_plan(problem, net.normal_configuration, target)
    assert (opening.action, closing.action) == (Action.OPEN, Action.CLOSE)
    assert (opening.state, closing.state) == (PlanState.INTERRUPTED, PlanState.RADIAL)
    assert opening.interrupted_kw == pytest.approx(80)
    assert opening.reason == "opened first: branch 3 would join phases that are 25 degrees apart"
    assert closing.reason == ""
    for va_deg in (0.0, 360.0, 0.4):
        net = two_angles(va_deg=va_deg)
        closing, opening = switching_plan(ReconfigurationProblem.of(net), net.normal_configuration, target)
        assert (closing.action, closing.state, closing.reason) == (Action.CLOSE, PlanState.LOOPED, "")


def test_exchanges_between_equal_phases_come_first() -> None:
    """A tie inside one feeder is closed first as ever; only the one between the sources interrupts."""
    net = two_angles((1, 4, 1, 1), (4, 2, 1, 1, {"normally_open": True}))
    problem = ReconfigurationProblem.of(net)
    plan = switching_plan(problem, net.normal_configuration, net.configuration([2, 5]))
    assert not any(joins_unequal_phases(problem, closed) for closed in states(net.normal_configuration, plan))
    plan = switching_plan(problem, net.normal_configuration, net.configuration([2, 3]))
    assert [o.state for o in plan] == [PlanState.LOOPED, PlanState.RADIAL]


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), roots=st.integers(2, 3))
def test_no_step_ever_joins_unequal_phases(seed: int, roots: int) -> None:
    """Random sources and vector groups: every state of the plan is free of such loops, and the target is reached."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, 12, 5, roots)
    net = replace(
        net,
        substation_va=rng.choice([0.0, np.pi / 6], roots),
        shift=np.where(rng.random(net.n_branch) < 0.2, rng.choice([-5, 1, 5], net.n_branch) * np.pi / 6, 0.0),
        substation_vm=np.ones(roots),
    )
    problem = ReconfigurationProblem.of(net)
    target = random_tree(rng, net, np.ones(net.n_branch, dtype=bool))
    plan = switching_plan(problem, normal_state(problem), target)
    path = states(normal_state(problem), plan)
    assert np.array_equal(path[-1], target.closed)
    assert len(plan) == problem.operations(target)
    assert not any(joins_unequal_phases(problem, closed) for closed in path)
    for o in plan:
        assert bool(o.reason) == (o.action is Action.OPEN and o.state is PlanState.INTERRUPTED)


def test_two_sources_of_a_pandapower_net_at_different_angles() -> None:
    """Source behind a transformer of 150 degrees and a source at 25: 175 degrees apart, never joined."""
    problem = ReconfigurationProblem.of(load(FIELD_CASES / "pp_two_slack_angles.json"))
    target = problem.network.configuration(["line 2", "line 5"])
    plan = switching_plan(problem, normal_state(problem), target)
    path = states(normal_state(problem), plan)
    assert np.array_equal(path[-1], target.closed)
    assert not any(joins_unequal_phases(problem, closed) for closed in path)
    assert [o.reason for o in plan if o.reason] == [
        "opened first: branch 'line 8' would join phases that are 175 degrees apart"
    ]
