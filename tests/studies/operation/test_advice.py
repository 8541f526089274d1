"""Advice: when switching pays, when it waits, and what it never does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from feeder_of_tests import NOON, loads_measured

from learnopt.engines import SolveOptions
from learnopt.errors import DataError
from learnopt.io import load_case
from learnopt.network import Certificate, Configuration, Limits, Network, ReconfigurationProblem, Scenario
from learnopt.physics import evaluate
from learnopt.studies.configuration.solve import solve
from learnopt.studies.operation.advice import History, Policy, Verdict, advise
from learnopt.studies.operation.measurements import Latest, Measurement, Point, Quantity
from learnopt.studies.operation.picture import Picture, Trust, picture_of


def picture(network: Network, present: Configuration | None = None, *more: Measurement) -> Picture:
    """Exact measurements of the loads of the case."""
    nominal, latest = Scenario.nominal(network), Latest()
    latest.take([*loads_measured(network, nominal), *more], NOON)
    return picture_of(network, nominal, latest, NOON, Trust(), present or network.normal_configuration)


def test_a_saving_is_proposed_with_its_proof() -> None:
    """The optimum of the case where operations are free; the saving is the judge's, and no state saves more."""
    net = load_case("case33")
    seen = picture(net)
    advice = advise(seen, [seen.scenario] * 3, Policy(operation_cost_kwh=0.0, gap=1e-6), History())
    assert advice.verdict is Verdict.PROPOSE
    assert advice.certificate is Certificate.AC
    assert advice.target == net.configuration([7, 9, 14, 32, 37])
    problem = ReconfigurationProblem.of(net, limits=Limits())
    losses = [evaluate(problem, state).loss_kw for state in (net.normal_configuration, advice.target)]
    assert advice.saving_kwh == pytest.approx(4 * (losses[0] - losses[1]), rel=1e-2)
    assert advice.at_most_kwh is not None
    assert advice.saving_kwh <= advice.at_most_kwh * (1 + 1e-6)
    assert len(advice.steps) == 8


def test_operations_have_a_price() -> None:
    """Dearer operations, fewer of them; at last it is better to stay, and the reason says so."""
    net = load_case("case33")
    seen = picture(net)
    counts = []
    for price in (0.0, 30.0, 500.0):
        advice = advise(seen, [], Policy(hours=1, operation_cost_kwh=price, least_saving_kwh=1.0), History())
        counts.append(len(advice.steps))
        assert advice.cost_kwh == price * len(advice.steps)
        assert advice.target is None or advice.saving_kwh - advice.cost_kwh >= 1.0
    assert counts[0] > counts[1] >= counts[2] == 0


def test_at_the_best_state_it_stays() -> None:
    """Nothing to gain."""
    net = load_case("case33")
    best = net.configuration([7, 9, 14, 32, 37])
    advice = advise(picture(net, best), [], Policy(hours=1), History())
    assert (advice.verdict, advice.target) == (Verdict.STAY, None)
    assert advice.at_most_kwh == pytest.approx(0.0, abs=0.2)


def test_hold_off_and_devices_that_moved_often() -> None:
    """After a change it waits; a device that moved twice today stays where it is."""
    net = load_case("case33")
    seen, history = picture(net), History()
    other = net.configuration([6, 34, 35, 36, 37])
    history.record(NOON - timedelta(minutes=30), net.normal_configuration, other)
    held = advise(seen, [], Policy(hours=1), history)
    assert (held.verdict, "hold-off" in held.reason) == (Verdict.STAY, True)
    history.record(NOON - timedelta(minutes=29), other, net.normal_configuration)
    late = advise(seen, [], Policy(hours=1, hold_off_s=60, operation_cost_kwh=0), history)
    assert late.target is not None
    spent = [net.branch_index["6"], net.branch_index["33"]]
    assert history.spent(NOON, 2) == spent
    assert (late.target.closed[spent] == net.normal_configuration.closed[spent]).all()
    assert history.spent(NOON + timedelta(days=2), 2) == []


def test_tags_are_never_touched() -> None:
    """The switches of the optimum bear tags: something else is proposed, or nothing."""
    net = load_case("case33")
    tags = [Measurement(Point("branch", net.branch_index[b], Quantity.TAG), 1.0, NOON) for b in ("7", "14", "33")]
    advice = advise(picture(net, None, *tags), [], Policy(hours=1, operation_cost_kwh=0), History())
    assert advice.target is not None
    moved = np.flatnonzero(advice.target.closed != net.normal_configuration.closed)
    assert not {net.branch_ids[e] for e in moved} & {7, 14, 33}


def test_broken_limits_are_a_reason_at_any_time() -> None:
    """In the hold-off, and at any price: what is proposed keeps the limit."""
    net = load_case("case33")
    history = History([(NOON - timedelta(minutes=5), 0)])
    advice = advise(picture(net), [], Policy(hours=1, operation_cost_kwh=100.0), history, Limits(vm_min=0.93))
    assert advice.verdict is Verdict.PROPOSE
    assert advice.present_broken
    assert advice.target is not None
    kept = ReconfigurationProblem.of(net, limits=Limits(vm_min=0.93))
    assert evaluate(kept, advice.target).feasible
    hopeless = advise(picture(net), [], Policy(hours=1), history, Limits(vm_min=0.99))
    assert (hopeless.verdict, hopeless.target) == (Verdict.STAY, None)
    assert "No state within the limits was found" in hopeless.reason


def test_no_advice_on_an_unfit_picture() -> None:
    """Nothing is measured."""
    net = load_case("case33")
    seen = picture_of(net, Scenario.nominal(net), Latest(), NOON, Trust(), net.normal_configuration)
    advice = advise(seen, [], Policy(), History())
    assert (advice.verdict, advice.problem, advice.target) == (Verdict.UNFIT, None, None)
    assert "0 % of the load is known" in advice.reason


def test_the_hours_ahead_count() -> None:
    """What saves now and loses later is not proposed: the sum over the hours is that of the search."""
    net = load_case("case33")
    seen = picture(net)
    turned = replace(seen.scenario, p_load=seen.scenario.p_load[::-1].copy(), q_load=seen.scenario.q_load[::-1].copy())
    free = Policy(hours=3, operation_cost_kwh=0.0, gap=1e-6)
    advice = advise(seen, [turned, turned], free, History(), Limits())
    assert advice.target is not None
    assert advice.problem is not None
    again = solve(advice.problem, options=SolveOptions(gap=1e-6))
    assert again.configuration is not None
    best = evaluate(advice.problem, again.configuration).loss_kw
    assert evaluate(advice.problem, advice.target).loss_kw == pytest.approx(best, rel=1e-5)
    least, most = advice.saving_range_kwh
    assert least <= advice.saving_kwh <= most


def test_a_bad_policy_is_refused_by_name() -> None:
    """Every violation at once."""
    with pytest.raises(DataError, match=r"(?s)hours = 0.*least_saving_kwh = nan"):
        Policy(hours=0, least_saving_kwh=float("nan"))
