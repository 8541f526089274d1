"""Restoration after a fault: known answers on case33, what is refused, and steps that hurt nobody."""

from __future__ import annotations

import numpy as np
import pytest

import learnopt
from learnopt.engines.base import SolveOptions
from learnopt.engines.enumeration import EnumerationEngine
from learnopt.errors import DataError, UnsupportedError
from learnopt.network import Certificate, ReconfigurationProblem, Status
from learnopt.studies.restoration.fault import Fault, read_fault
from learnopt.studies.restoration.outage import Outage
from learnopt.studies.restoration.search import Second
from learnopt.studies.restoration.study import restore


@pytest.fixture(scope="module")
def net():
    return learnopt.load("case33")


@pytest.mark.parametrize(
    ("branch", "vmin", "operations", "opened", "loss_kw"),
    [
        (7, 0.90, 1, [7, 33, 34, 36, 37], 156.5293),
        (3, 0.92, 3, [3, 6, 34, 35, 36], 208.1513),
        (16, 0.93, 7, [5, 9, 16, 28, 34], 166.47),
        (31, 0.93, 7, [9, 14, 28, 31, 33], 146.7797),
    ],
)
def test_branch_fault_of_case33(net, branch, vmin, operations, opened, loss_kw):
    """Every bus fed, fewest operations, then least loss: as an enumeration of all trees has it."""
    plan = learnopt.restore(net, f"branch:{branch}", vmin=vmin)
    answer = plan.to_dict()
    assert (plan.status, plan.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert answer["restored_kw"] == pytest.approx(3715.0) == answer["bound_kw"]
    assert answer["unserved_kw"] == 0.0
    assert answer["not_served"] == []
    assert answer["n_operations"] == operations
    assert answer["loss_kw"] == pytest.approx(loss_kw, abs=1e-3)
    assert answer["open_branches"] == opened


def test_bus_fault_agrees_with_enumeration_of_what_is_left(net):
    """A dead bus and its branches leave a smaller network; every tree of it is looked at."""
    problem = learnopt.problem(net, vmin=0.92)
    fault = read_fault(net, ["bus:20"])
    found = restore(problem, fault, second=Second.LOSS)
    left = Outage(problem, fault, np.ones(net.n_bus)).reach.problem
    oracle = EnumerationEngine().solve(left, SolveOptions(certify=Certificate.AC))
    assert found.not_served == [(net.bus_index["20"], "fault")]
    assert found.loss_kw == pytest.approx(oracle.loss_kw, rel=1e-9)
    assert found.status is Status.OPTIMAL


def test_page_of_a_plan_that_supplies_all_draws_the_network_with_its_fault(net, tmp_path):
    """The judge knows what is left of the network, the picture shows all of it."""
    plan = learnopt.restore(net, "branch:7", vmin=0.9)
    assert plan.result.served.all()
    plan.report(tmp_path / "plan.html")
    assert "One-line diagram" in (tmp_path / "plan.html").read_text(encoding="utf-8")


def test_feeder_head_leaves_nothing_to_restore(net):
    """Behind the only branch of the substation nothing can be supplied, and that is proven by counting."""
    plan = learnopt.restore(net, "branch:1")
    assert (plan.status, plan.bound_kw, plan.restored_kw) == (Status.OPTIMAL, 0.0, 0.0)
    assert len(plan.not_served) == 32
    without_source = learnopt.restore(net, "substation:1")
    assert without_source.bound_kw == 0.0
    assert without_source.status is Status.OPTIMAL


def test_steps_isolate_first_and_never_touch_the_fault(net):
    """Devices around the fault open before anything closes, and nothing that is dead comes under voltage."""
    plan = learnopt.restore(net, ["branch:7", "bus:12"], vmin=0.9)
    actions = [(o.action.value, o.branch_id) for o in plan.operations]
    assert {branch for action, branch in actions if action == "open"} == {7, 11, 12}
    first_closing = next(k for k, (action, _) in enumerate(actions) if action == "close")
    assert all(action in ("open", "earth") for action, _ in actions[:first_closing])
    assert {branch for action, branch in actions if action == "close"}.isdisjoint({7, 11, 12})
    assert plan.operations[-1].interrupted_kw == pytest.approx(60.0)


def test_partial_service_is_proven_and_within_limits(small):
    """A tie that cannot carry both zones: the one of more load is supplied, by proof."""
    plan = learnopt.restore(small, "branch:L1")
    answer = plan.to_dict()
    assert (plan.status, plan.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert plan.not_served == ["A"]
    assert answer["restored_kw"] == answer["bound_kw"] == pytest.approx(1300.0)
    assert answer["not_served"][0]["reason"] == "limits"
    assert answer["violations"] == []


def test_priority_turns_the_choice(small):
    """A kW of the small zone worth three of the other: it is supplied instead."""
    plan = learnopt.restore(small, "branch:L1", priority={"A": 3.0})
    assert plan.not_served == ["B"]
    assert plan.to_dict()["restored_weighted_kw"] == pytest.approx(1800.0)


@pytest.fixture
def small():
    """S feeds A and B by L1, and C by L4; a tie T1 from C to each of them may carry one only."""
    from learnopt.io import network_from_dict

    loads = {"A": 400.0, "B": 700.0, "C": 600.0, "J": 0.0}

    def branch(name, a, b, rating=None, is_open=False):
        record = {"id": name, "from": a, "to": b, "r_ohm": 0.1, "x_ohm": 0.1, "normally_open": is_open}
        return record | ({} if rating is None else {"ampacity_a": rating})

    return network_from_dict(
        {
            "name": "small",
            "base_kv": 10.0,
            "substations": ["S"],
            "buses": [
                {"id": "S"},
                *({"id": k, "p_kw": p} for k, p in loads.items()),
            ],
            "branches": [
                branch("L1", "S", "J"),
                branch("L2", "J", "A"),
                branch("L3", "J", "B"),
                branch("L4", "S", "C", 78.0),
                branch("T1", "C", "J", is_open=True),
            ],
        },
        "small",
    )


def test_least_loss_over_several_situations_is_that_of_all_of_them():
    """Zones of equal mean load, one fits: the one that loses less on the mean loses more in the heavier situation."""
    from learnopt.io import network_from_dict

    def branch(name, a, b, r, **more):
        return {"id": name, "from": a, "to": b, "r_ohm": r, "x_ohm": 0.01, "normally_open": False, **more}

    heads = [branch("L1", "S", "A0", 0.1), branch("L2", "S", "B0", 0.1), branch("L3", "S", "C", 0.01, ampacity_a=35.0)]
    inside = [branch("LA", "A0", "A", 0.25, switchable=False), branch("LB", "B0", "B", 1.0, switchable=False)]
    ties = [branch("TA", "C", "A0", 0.02, ampacity_a=40.0), branch("TB", "C", "B0", 0.01)]
    network = network_from_dict(
        {
            "name": "two zones",
            "base_kv": 10.0,
            "substations": ["S"],
            "buses": [{"id": k, "p_kw": 100.0 if k in "AB" else 0.0} for k in ("S", "A0", "A", "B0", "B", "C")],
            "branches": heads + inside + [tie | {"normally_open": True} for tie in ties],
        },
        "two zones",
    )
    scenarios = {
        "scenarios": [
            {"name": "peak", "weight": 0.1, "loads": {"A": {"p_kw": 550.0}, "B": {"p_kw": 100.0}}},
            {"name": "usual", "weight": 0.9, "loads": {"A": {"p_kw": 50.0}, "B": {"p_kw": 100.0}}},
        ]
    }
    plan = learnopt.restore(network, ["branch:L1", "branch:L2"], scenario=scenarios)
    assert plan.unserved_kw == pytest.approx(100.0)
    assert (plan.not_served, plan.status) == (["B0", "B"], Status.OPTIMAL)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["7"], "say branch:7 or bus:7"),
        (["branch:99"], "branch '99' is not in network"),
        (["substation:5"], "no substation"),
        (["nowhere"], "no branch, bus or substation"),
        ([], "no fault is named"),
    ],
)
def test_fault_that_names_nothing_is_refused(net, texts, said):
    """With what to write instead."""
    with pytest.raises(DataError, match=said):
        read_fault(net, texts)


def test_faults_are_read_in_lists(net):
    """Parted by commas or one by one."""
    assert read_fault(net, ["branch:7,bus:12"]) == read_fault(net, ["bus:12", "branch:7"])
    assert read_fault(net, ["37"]) == Fault(branches=(36,))


def test_what_is_not_carried_is_refused_by_name(net):
    """Controls, prices and caps of operations."""
    problem = ReconfigurationProblem.of(net, switching_cost=1.0)
    with pytest.raises(UnsupportedError, match="counts operations after the load"):
        learnopt.restore(problem, "branch:7")
