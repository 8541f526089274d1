"""The first plan, and the bound that ratings give: power flows are counted, nothing is timed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import learnopt
from learnopt.network import Configuration, Limits, ReconfigurationProblem, Status
from learnopt.studies.restoration.fault import Fault
from learnopt.studies.restoration.first_plan import FirstPlan, capacity_bound
from learnopt.studies.restoration.outage import Outage
from learnopt.studies.restoration.search import RestorationSearch
from learnopt.studies.restoration.study import restore


def outage_of(branch, vmin):
    problem = learnopt.problem("case33", vmin=vmin)
    return Outage(problem, Fault(branches=(branch - 1,)), np.ones(problem.network.n_bus))


@pytest.mark.parametrize("branch", [7, 17, 25])
def test_one_tie_restores_everything_where_voltages_allow(branch):
    """A single tie closed, after few power flows."""
    search = RestorationSearch(outage_of(branch, 0.90))
    offered = []

    def accepts(closed, served):
        offered.append(served)
        return search._judged(Configuration(closed), served)

    standing = search.outage.isolated.closed[search.reach.branches]
    first = FirstPlan(search.problem, search.zone, search.value_kw, standing, accepts)
    first.grow()
    assert search.plan is not None
    assert search.plan.served.all()
    assert search.plan.operations == 1
    assert first.trials == len(offered) <= 10


@pytest.mark.parametrize(("branch", "vmin"), [(2, 0.90), (2, 0.93), (22, 0.92), (30, 0.93)])
def test_without_any_time_there_is_a_plan_with_a_bound(branch, vmin):
    """Zones are given up until the judge accepts; nothing more than what connects is proven of it."""
    outage = outage_of(branch, vmin)
    plan = restore(outage.problem, outage.fault, time_limit=0.0)
    assert plan.status is Status.FEASIBLE
    assert plan.evaluation is not None
    assert plan.evaluation.feasible
    assert 0 < plan.restored_kw < plan.total_kw
    assert plan.bound_kw == pytest.approx(float(outage.load_kw[outage.reachable].sum()))
    assert plan.operations


def test_branch_exchange_makes_room_for_more():
    """Behind branch 2 one tie carries all: the first plan alone leaves 1610 kW, with turns no more than is proven."""
    search = RestorationSearch(outage_of(2, 0.92))
    search._grow(search.outage.isolated.closed[search.reach.branches])
    assert search.plan is not None
    alone = search._unserved(search.plan.served)
    search._first_plan()
    assert search._unserved(search.plan.served) == pytest.approx(1460.0)
    assert alone > 1500.0


def test_ratings_bound_the_load(small_source):
    """1 MVA for 3.7 MW: what lies beyond is not served in any plan; nothing is said where something feeds in."""
    problem, zone, value = small_source
    whole = float(problem.p.sum()) * problem.network.base.kw
    assert capacity_bound(problem, zone, value) == pytest.approx(whole - 1000.0)
    dear = np.where(np.arange(len(value)) == value.argmax(), 10 * value, value)
    assert capacity_bound(problem, zone, dear) == pytest.approx(whole - 1000.0)
    feeding = problem.network.p_load.copy()
    feeding[5] = -0.01
    fed = ReconfigurationProblem.of(replace(problem.network, p_load=feeding), limits=problem.limits)
    assert capacity_bound(fed, zone, value) == 0.0


@pytest.fixture
def small_source():
    net = learnopt.load("case33")
    rated = replace(net, substation_s_max=np.full(1, 1000.0 / net.base.kw))
    problem = ReconfigurationProblem.of(rated, limits=Limits(substations=True))
    outage = Outage(problem, Fault(branches=(32,)), np.ones(net.n_bus))
    search = RestorationSearch(outage)
    return search.problem, search.zone, search.value_kw
