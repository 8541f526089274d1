"""Controls in case files and problems: what is read, what is refused, what settings do."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network

from learnopt.errors import DataError
from learnopt.io import load_case, network_from_dict, network_to_dict
from learnopt.network import Capacitor, Controls, Generator, ReconfigurationProblem, Settings, Tap
from learnopt.physics import evaluate

CASE = {
    "name": "controlled",
    "base_kv": 10.0,
    "substations": ["S"],
    "buses": [{"id": "S"}, {"id": 1, "p_kw": 400, "q_kvar": 300}, {"id": 2, "p_kw": 200, "q_kvar": 100}],
    "branches": [
        {"id": "a", "from": "S", "to": 1, "r_ohm": 1.0, "x_ohm": 1.0},
        {"id": 2, "from": 1, "to": 2, "r_ohm": 1.0, "x_ohm": 1.0},
        {"id": 3, "from": 2, "to": "S", "r_ohm": 2.0, "x_ohm": 2.0, "normally_open": True},
    ],
    "capacitors": [{"bus": 2, "steps_kvar": [100, 200]}],
    "taps": [{"branch": "a", "min_pu": 0.95, "max_pu": 1.05, "step_pu": 0.025}],
    "generators": [{"id": "G", "bus": 1, "p_max_kw": 300, "q_min_kvar": -50, "q_max_kvar": 50, "switchable": True}],
}


def test_controls_are_read_and_written():
    """Units, defaults and the way back to a file."""
    network = network_from_dict(CASE, "case")
    controls = network.controls
    assert controls.capacitors == (Capacitor(2, (0.1, 0.2)),)
    assert controls.taps == (Tap(0, 0.95, 1.05, 0.025),)
    assert controls.generators == (Generator("G", 1, 0.0, 0.3, -0.05, 0.05, True),)
    np.testing.assert_allclose(controls.taps[0].positions, [0.95, 0.975, 1.0, 1.025, 1.05])
    assert network_from_dict(network_to_dict(network), "again").controls == controls


def test_taps_by_their_positions():
    """Positions that are not equidistant, there and back; they replace limits and step."""
    case = copy.deepcopy(CASE)
    case["taps"] = [{"branch": "a", "positions_pu": [0.96, 0.99, 1.01]}]
    network = network_from_dict(case, "case")
    assert network.controls.taps == (Tap(0, 0.96, 1.01, None, (0.96, 0.99, 1.01)),)
    np.testing.assert_allclose(network.controls.taps[0].positions, [0.96, 0.99, 1.01])
    assert network_from_dict(network_to_dict(network), "again").controls == network.controls
    case["taps"][0] |= {"min_pu": 0.9, "positions_pu": [1.0, 0.9]}
    with pytest.raises(DataError) as error:
        network_from_dict(case, "case")
    assert "tap of branch 'a': give min_pu, max_pu and step_pu, or positions_pu, not both" in str(error.value)
    assert "positions_pu = [1.0, 0.9] must increase" in str(error.value)


def test_ratings_and_modes_of_generators():
    """Without limits of its own q goes as far as the rating or the power factor; the box is the smallest one."""
    case = copy.deepcopy(CASE)
    case["generators"] = [
        {"id": "free", "bus": 1, "p_max_kw": 300, "s_max_kva": 200},
        {"id": "sun", "bus": 1, "p_min_kw": 120, "p_max_kw": 300, "s_max_kva": 200, "q_min_kvar": -50},
        {"id": "fixed", "bus": 2, "p_max_kw": 300, "s_max_kva": 200, "power_factor": -0.8},
        {"id": "off", "bus": 2, "p_max_kw": 300, "mode": "off"},
    ]
    controls = network_from_dict(case, "case").controls
    free, sun, fixed, off = controls.generators
    np.testing.assert_allclose(free.span, (0, 0.2, -0.2, 0.2))
    np.testing.assert_allclose(sun.span, (0.12, 0.2, -0.05, 0.16))
    np.testing.assert_allclose(fixed.span, (0, 0.16, -0.12, 0))
    assert (fixed.mode, off.reach) == ("power_factor", (0.0, 0.0, 0.0, 0.0))
    np.testing.assert_allclose(sun.nearest(0.3, 0.3), (0.2, 0.0))
    np.testing.assert_allclose(fixed.nearest(0.1, 0.1), (0.1, -0.075))
    assert controls.neutral.generators == ((0.0, 0.0), (0.12, 0.0), (0.0, 0.0), (0.0, 0.0))
    assert controls.neutral.on == (True, True, True, False)
    written = network_to_dict(network_from_dict(case, "case"))
    assert network_to_dict(network_from_dict(written, "again")) == written


def test_settings_change_the_network_they_belong_to():
    """Neutral settings change nothing; a tap lifts the voltage behind it, a capacitor gives q v^2, a generator p, q."""
    network = network_from_dict(CASE, "case")
    problem = ReconfigurationProblem.of(network, controls=network.controls)
    normal = network.normal_configuration
    plain = evaluate(ReconfigurationProblem.of(network), normal)
    assert evaluate(problem.applied(None), normal).loss_kw == plain.loss_kw
    assert not problem.applied(None).controls
    lifted = evaluate(problem.applied(Settings((1.05,), (0.0,), ((0.0, 0.0),), (False,))), normal)
    assert lifted.vm[1] == pytest.approx(1.05 * plain.vm[1], rel=5e-3)
    assert lifted.loss_kw < plain.loss_kw / 1.05
    helped = problem.applied(Settings((1.0,), (0.2,), ((0.3, 0.05),), (True,)))
    assert helped.network.b_shunt[2] == pytest.approx(0.2)
    assert (helped.p[1], helped.q[1]) == pytest.approx((0.1, 0.25))


def test_kinds_are_chosen_by_name():
    """``--controls``: all, none, a list; anything else is refused with what there is."""
    controls = network_from_dict(CASE, "case").controls
    assert controls.only("all") == controls
    assert not controls.only("none")
    assert controls.only("taps, generators") == replace(controls, capacitors=())
    with pytest.raises(DataError, match="'tap' is not a kind of control: use all, none, or some of taps, capacitors"):
        controls.only("tap")


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("capacitors", {"bus": 9}, "capacitor at bus 9: 9 is not a bus"),
        ("capacitors", {"steps_kvar": []}, "capacitor at bus 2: steps_kvar = [] must be numbers > 0"),
        ("capacitors", {"steps_kvar": [-5]}, "steps_kvar = [-5.0] must be numbers > 0"),
        ("taps", {"branch": 9}, "tap of branch 9: 9 is not a branch"),
        ("taps", {"min_pu": 1.2}, "tap of branch 'a': min_pu = 1.2 and max_pu = 1.05 must increase"),
        ("taps", {"step_pu": 0}, "tap of branch 'a': step_pu = 0.0 must be >= 0.0001"),
        ("generators", {"bus": 9}, "generator 'G': 9 is not a bus"),
        ("generators", {"p_min_kw": 400}, "generator 'G': p_min_kw = 400.0 and p_max_kw = 300.0 must be finite"),
        ("generators", {"q_min_kvar": 60}, "generator 'G': q_min_kvar = 60.0 and q_max_kvar = 50.0 must be finite"),
        ("generators", {"s_max_kva": 0}, "generator 'G': s_max_kva = 0.0 must be a finite number > 0"),
        ("generators", {"mode": "volt-var"}, "mode = 'volt-var' must be one of off, power_factor, free"),
        ("generators", {"mode": "power_factor"}, "generator 'G': mode = 'power_factor' needs a power_factor"),
        ("generators", {"power_factor": 1.2}, "generator 'G': power_factor = 1.2 must lie in (0, 1]"),
        ("generators", {"power_factor": 0}, "generator 'G': power_factor = 0.0 must lie in (0, 1]"),
        ("generators", {"p_min_kw": 250, "s_max_kva": 200}, "no injection respects p_min_kw = 250.0, p_max_kw = 300.0"),
        ("generators", {"p_min_kw": 250, "power_factor": 0.8}, "q_max_kvar = 50.0, power_factor = 0.8 at once"),
    ],
)
def test_contradictory_limits_name_the_control(key, change, message):
    """Every rule names the control, its values and what is expected."""
    case = copy.deepcopy(CASE)
    case[key][0].update(change)
    with pytest.raises(DataError) as error:
        network_from_dict(case, "case")
    assert message in str(error.value)


def test_the_same_control_twice():
    """Two entries for one tap changer would overwrite each other."""
    case = copy.deepcopy(CASE)
    case["taps"] *= 2
    with pytest.raises(DataError, match="tap of branch 'a' is there twice"):
        network_from_dict(case, "case")


def test_named_case_has_the_controls_of_the_paper():
    """Khodr et al.: banks at 49 and 64, taps of the four feeder heads, generators at 15 and 29; not used by default."""
    network = load_case("case70")
    assert [network.bus_ids[c.bus] for c in network.controls.capacitors] == [49, 64]
    assert {int(network.bus_ids[network.from_bus[t.branch]]) for t in network.controls.taps} == {1, 70}
    assert [network.bus_ids[g.bus] for g in network.controls.generators] == [15, 29]
    assert not ReconfigurationProblem.of(network).controls
    assert Controls() == make_network([(0, 1, 1, 1)], {1: (1, 1)}).controls
