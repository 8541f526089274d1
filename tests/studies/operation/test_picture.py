"""The picture against a truth that is known: loads, feeders that allot, wrong values, contradictions, age."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from feeder_of_tests import NOON, flow_measured, loads_measured, truth_of

from learnopt.io import load_case
from learnopt.network import Network, Scenario
from learnopt.studies.operation.measurements import Latest, Measurement, Point, Quantity
from learnopt.studies.operation.picture import Picture, Trust, picture_of


def looked(network: Network, some: list[Measurement], now=NOON, trust: Trust | None = None) -> Picture:
    """The picture of the present state, with the loads of the case expected."""
    latest = Latest()
    latest.take(some, now)
    expected = Scenario.nominal(network)
    return picture_of(network, expected, latest, now, trust or Trust(), network.normal_configuration)


@pytest.mark.parametrize("case", ["case33", "case16", "case136"])
def test_exact_measurements_give_the_truth(case: str) -> None:
    """All loads measured without noise: the estimate is the truth."""
    net = load_case(case)
    truth = truth_of(net, np.random.default_rng(1))
    picture = looked(net, loads_measured(net, truth))
    assert picture.measured == pytest.approx(1.0)
    assert picture.unfit(Trust()) == []
    size = np.abs(truth.p).max()
    assert picture.scenario.p == pytest.approx(truth.p, abs=1e-3 * size)
    assert picture.scenario.q == pytest.approx(truth.q, abs=1e-3 * size)


def test_a_measured_head_allots_what_nobody_measures() -> None:
    """Half the load expected, the flow into the feeder measured: the total is right, and known."""
    net = load_case("case33")
    nominal = Scenario.nominal(net)
    truth = replace(nominal, p_load=0.5 * nominal.p_load, q_load=0.5 * nominal.q_load)
    head = list(flow_measured(net, truth, net.normal_configuration, 0))
    picture = looked(net, head)
    assert (picture.measured, picture.allotted) == (0.0, pytest.approx(1.0))
    assert picture.scenario.p.sum() == pytest.approx(truth.p.sum(), rel=0.02)
    assert picture.scenario.q.sum() == pytest.approx(truth.q.sum(), rel=0.02)
    assert looked(net, []).unfit(Trust())[0].startswith("0 % of the load is known")


def test_a_wrong_value_that_others_contradict_stays_out() -> None:
    """One load three times too large beside an exact head: it is found, and the picture hardly moves."""
    net = load_case("case33")
    truth = truth_of(net, np.random.default_rng(2))
    wrong = Point("bus", net.bus_index["24"], Quantity.P)
    some = [
        replace(one, value=3 * one.value) if one.point == wrong else one
        for one in (*loads_measured(net, truth), *flow_measured(net, truth, net.normal_configuration, 0))
    ]
    picture = looked(net, some)
    assert wrong in picture.rejected
    right = np.delete(np.arange(net.n_bus), wrong.place)
    assert picture.scenario.p[right] == pytest.approx(truth.p[right], abs=0.05 * truth.p.max())
    assert abs(picture.scenario.p[wrong.place] - truth.p[wrong.place]) < 0.2 * truth.p[wrong.place]


def test_an_impossible_value_stays_out_without_any_other() -> None:
    """A hundred times what is expected of a load."""
    net = load_case("case33")
    point = Point("bus", 5, Quantity.P)
    picture = looked(net, [Measurement(point, 6000.0, NOON)])
    assert picture.rejected == (point,)
    assert picture.scenario.p == pytest.approx(Scenario.nominal(net).p, rel=1e-3)


def test_states_that_cannot_be_are_told() -> None:
    """A closed loop, an island, and a flow through what is open; no proposal on any of them."""
    net = load_case("case33")
    tie, first = int(np.flatnonzero(net.normally_open)[0]), 0
    closed = looked(net, [Measurement(Point("branch", tie, Quantity.CLOSED), 1.0, NOON)])
    island = looked(net, [Measurement(Point("branch", first, Quantity.CLOSED), 0.0, NOON)])
    through = looked(net, [Measurement(Point("branch", tie, Quantity.P), 80.0, NOON)])
    for picture, word in ((closed, "loop"), (island, "no path"), (through, "carries 80 kW")):
        assert word in " ".join(picture.contradictions)
        assert picture.unfit(Trust())
        assert not picture.estimated


def test_values_age() -> None:
    """Fresh, then less and less certain, then no longer used."""
    net = load_case("case33")
    truth = truth_of(net, np.random.default_rng(3))
    some, trust = loads_measured(net, truth), Trust(fresh_s=900, kept_s=3600)
    fresh, old, gone = (looked(net, some, NOON + timedelta(seconds=s), trust) for s in (60, 1800, 4000))
    assert (fresh.measured, old.measured, gone.measured) == (pytest.approx(1.0), 0.0, 0.0)
    assert (fresh.oldest_s, old.oldest_s, gone.oldest_s) == (60, 1800, None)
    assert gone.scenario.p == pytest.approx(Scenario.nominal(net).p, rel=1e-3)
    assert np.abs(old.scenario.p - truth.p).max() < np.abs(Scenario.nominal(net).p - truth.p).max()
    assert old.unfit(trust)


def test_tagged_switches_are_locked_as_they_stand() -> None:
    """Whatever they are: open stays open, closed stays closed."""
    net = load_case("case33")
    tie = int(np.flatnonzero(net.normally_open)[0])
    tags = [Measurement(Point("branch", e, Quantity.TAG), 1.0, NOON) for e in (tie, 4)]
    locked = looked(net, tags).scenario.locked
    assert (locked[tie], locked[4]) == (0, 1)
    assert (np.delete(locked, [tie, 4]) == -1).all()


def test_telemetry_of_switches_is_the_present_state() -> None:
    """An exchange that telemetry tells of moves the normal state of the picture."""
    net = load_case("case33")
    some = [
        Measurement(Point("branch", net.branch_index[name], Quantity.CLOSED), value, NOON)
        for name, value in (("7", 0.0), ("33", 1.0))
    ]
    picture = looked(net, some)
    assert picture.present == net.configuration([7, 34, 35, 36, 37])
