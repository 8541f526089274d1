"""Hours until the repair, cold-load pickup and emergency ratings."""

from __future__ import annotations

import numpy as np
import pytest

import learnopt
from learnopt.errors import DataError
from learnopt.io import Profiles, network_from_dict
from learnopt.network import Certificate, Situations, Status
from learnopt.studies.restoration.fault import read_fault
from learnopt.studies.restoration.outage import Outage, Strain

TIMES = np.array(["2026-01-05T17:00:00", "2026-01-05T18:00:00"], dtype="datetime64[s]")


@pytest.fixture
def small():
    """S feeds A and B by L1, and C by L4, which carries 1351 kW; a tie T1 leads from C to A and B."""
    loads = {"A": 400.0, "B": 700.0, "C": 600.0, "J": 0.0}

    def branch(name, a, b, **more):
        return {"id": name, "from": a, "to": b, "r_ohm": 0.1, "x_ohm": 0.1, **more}

    return network_from_dict(
        {
            "name": "small",
            "base_kv": 10.0,
            "substations": ["S"],
            "buses": [{"id": "S"}, *({"id": k, "p_kw": p} for k, p in loads.items())],
            "branches": [
                branch("L1", "S", "J"),
                branch("L2", "J", "A"),
                branch("L3", "J", "B"),
                branch("L4", "S", "C", ampacity_a=78.0),
                branch("T1", "C", "J", normally_open=True),
            ],
        },
        "small",
    )


def profile(net, *factors):
    """The loads of a network times a factor in each hour."""
    p = np.outer(factors, net.p_load)
    return Profiles.net(TIMES[: len(factors)], p, 0 * p, (), net.n_branch)


def test_a_plan_holds_in_every_hour(small):
    """Half the load fits as a whole; in the hour of full load A does not, so it is not tied in before."""
    hours = {"profile": profile(small, 0.5, 1.0)}
    first = learnopt.restore(small, "branch:L1", hours=1, **hours)
    assert (first.not_served, first.result.unserved_kwh) == ([], 0.0)
    both = learnopt.restore(small, "branch:L1", hours=2, **hours)
    answer = both.to_dict()
    assert both.not_served == ["A"]
    assert (both.status, both.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert [answer["restored_kw"], answer["bound_kw"]] == pytest.approx([975.0, 975.0])
    assert answer["unserved_kwh"] == pytest.approx(600.0)
    assert [one["name"] for one in answer["situations"]] == [str(time) for time in TIMES]
    assert max(one["max_loading"] for one in answer["situations"]) == pytest.approx(answer["max_loading"])


def test_pickup_counts_for_what_was_dark_in_the_first_hour(small):
    """Twice 550 kW beside the 300 that kept their supply do not fit; load is told without pickup."""
    plan = learnopt.restore(small, "branch:L1", hours=1, profile=profile(small, 0.5), pickup=2.0)
    assert plan.not_served == ["A"]
    assert [plan.restored_kw, plan.bound_kw] == pytest.approx([650.0, 650.0])
    # Later hours are as usual: 17:00 with pickup of 1.5 fits, and so does the next without.
    later = learnopt.restore(small, "branch:L1", hours=2, profile=profile(small, 0.5, 0.75), pickup=1.5)
    assert later.not_served == []


def test_emergency_ratings_hold_until_the_repair(small):
    """1700 kW fit into 1.3 times 1351; the answer says so, and is judged so."""
    assert learnopt.restore(small, "branch:L1").not_served == ["A"]
    plan = learnopt.restore(small, "branch:L1", emergency=1.3)
    assert plan.not_served == []
    assert plan.to_dict()["violations"] == []
    assert not any(o.violations for o in plan.operations)
    assert "ratings 1.300 times those of the network" in plan._repr_html_()


def test_emergency_ratings_hold_in_every_situation(small):
    """Also where the network differs between situations, as with taps set apart."""
    problem = learnopt.problem(small)
    two = Situations((problem.scenario,) * 2, np.ones(2), networks=(small, small))
    outage = Outage(problem.replace(situations=two), read_fault(small, ["branch:L1"]), np.ones(small.n_bus))
    strained = outage.under(Strain(emergency=1.3)).problem
    assert all(np.array_equal(net.i_max, 1.3 * small.i_max) for net in (strained.network, *strained.networks))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hours": 0, "profile": "synthetic"}, "hours = 0 must be"),
        ({"hours": 2}, "no loads over time"),
        ({"profile": "synthetic"}, "without the hours until the repair"),
        ({"pickup": 0.5}, "pickup = 0.5 must be"),
        ({"emergency": float("nan")}, "emergency = nan must be"),
    ],
)
def test_bad_hours_and_factors_are_refused(small, options, said):
    """By name and value."""
    with pytest.raises(DataError, match=said):
        learnopt.restore(small, "branch:L1", **options)


@pytest.mark.parametrize("fault", ["branch:7", "bus:20", "substation:1", "bus:12"])
def test_way_back_ends_in_the_state_before_and_interrupts_nobody(fault):
    """Each step keeps what has supply; the last leaves the switches as they were."""
    plan = learnopt.restore("case33", fault, vmin=0.9)
    steps, why = plan.result.way_back
    assert (bool(steps), why) == (True, "")
    closed = plan.result.outage.repaired(plan.configuration.closed).closed.copy()
    dark = {k for k, _ in plan.result.not_served}
    for step in steps:
        closed[step.branch] = step.action.value == "close"
        assert set(step.unfed) <= dark
        dark = set(step.unfed)
    assert not dark
    assert np.array_equal(closed, plan.result.outage.before.closed)
    assert len(plan.to_dict()["return"]) == len(steps)
    assert "Back after the repair, no supply is interrupted: close" in plan._repr_html_()


def test_no_way_back_to_a_state_without_supply(small):
    """Where something was dark before the fault already, there is no order, and the answer says why."""
    plan = learnopt.restore(small, "branch:L1", scenario={"out_of_service": ["L2"]})
    assert plan.result.way_back[0] == []
    assert "no path to a substation" in plan.to_dict()["return_message"]
