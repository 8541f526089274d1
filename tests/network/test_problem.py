"""The reconfiguration problem: what must be open, must be closed, is free, contradicts itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network

from learnopt.errors import DataError
from learnopt.network import Limits, Network, ReconfigurationProblem, Scenario


def scenario(network: Network, out_of_service: tuple = (), opened: tuple = (), closed: tuple = ()) -> Scenario:
    """The nominal scenario with outages and locks by branch id."""
    nominal = Scenario.nominal(network)
    outage, locked = nominal.out_of_service.copy(), nominal.locked.copy()
    outage[network.branches(out_of_service)] = True
    locked[network.branches(opened)] = 0
    locked[network.branches(closed)] = 1
    return replace(nominal, out_of_service=outage, locked=locked)


def problem(network: Network, **states: tuple) -> ReconfigurationProblem:
    """The problem of a network with outages and locks."""
    return ReconfigurationProblem.of(network, scenario(network, **states))


@pytest.fixture
def ring() -> Network:
    """A ring of four with a spur and fixed branches: 1-2-3-4 in the ring, 5 the spur, 6 a fixed open tie."""
    return make_network(
        [
            (0, 1, 1, 1, {"switchable": False}),
            (1, 2, 1, 1),
            (2, 3, 1, 1, {"normally_open": True}),
            (0, 3, 1, 1),
            (3, 4, 1, 1),
            (4, 1, 1, 1, {"normally_open": True, "switchable": False}),
        ],
        dict.fromkeys((1, 2, 3, 4), (100, 40)),
    )


def test_states_that_are_no_decision(ring):
    """Fixed branches keep their normal state, bridges are not listed as must_close but are not free."""
    p = problem(ring)
    assert ring.open_ids(ring.normal_configuration) == [3, 6]
    assert np.flatnonzero(p.must_open).tolist() == [5]
    assert np.flatnonzero(p.must_close).tolist() == [0]
    assert np.flatnonzero(p.blocks.bridges).tolist() == [4]
    assert np.flatnonzero(p.free).tolist() == [1, 2, 3]
    assert p.contradictions == []


def test_locks_override_what_the_file_says(ring):
    """A lock decides, also for a branch that is not switchable."""
    p = problem(ring, closed=(6,), opened=(1,))
    assert np.flatnonzero(p.must_open).tolist() == [0]
    assert np.flatnonzero(p.must_close).tolist() == [5]
    assert p.contradictions == []
    assert np.flatnonzero(p.free).tolist() == [1, 2, 4]


def test_outages_make_bridges(ring):
    """A branch out of service must be open and turns its loop into bridges."""
    p = problem(ring, out_of_service=(2,))
    assert np.flatnonzero(p.must_open).tolist() == [1, 5]
    assert not p.free.any()
    assert np.flatnonzero(p.blocks.bridges).tolist() == [0, 2, 3, 4]


def test_contradictions_by_name(ring, two_substations):
    """Locks and outages that exclude every radial configuration are listed with their objects."""
    p = problem(ring, out_of_service=(5,), closed=(5,))
    assert p.contradictions[0] == "branch 5 is locked closed but out of service"
    assert any("1 bus cannot be fed" in c and "bus 4" in c for c in p.contradictions)
    assert "branch 4 closes a loop" in problem(ring, closed=(2, 3, 4)).contradictions[0]
    assert "bus 2" in problem(ring, opened=(2, 3)).contradictions[0]
    assert problem(two_substations, closed=(1, 2, 3)).contradictions == [
        "branch 3 closes a loop of branches that must all stay closed"
    ]


def test_faults_of_a_configuration(ring):
    """Every reason why a configuration is not admissible is named; an admissible one has none."""
    p = problem(ring).replace(max_operations=1)
    assert p.admits(ring.normal_configuration)
    assert p.faults(ring.configuration([2, 6])) == ["2 switching operations exceed the cap of 1"]
    faults = p.faults(ring.configuration([1, 3]))
    assert faults[:2] == ["branch 6 must be open", "branch 1 must be closed"]
    faults = p.faults(ring.configuration([6]))
    assert len(faults) == 1
    assert "loops close at" in faults[0]


def test_operations_are_counted_from_the_normal_configuration(ring):
    """Each change of state counts one; a branch out of service is not operated."""
    assert problem(ring).operations(ring.normal_configuration) == 0
    assert problem(ring).operations(ring.configuration([2, 6])) == 2
    assert problem(ring, out_of_service=(2,)).operations(ring.configuration([2, 6])) == 1


def test_options_are_checked(ring):
    """Negative costs and caps are bad input, both at once."""
    with pytest.raises(DataError) as error:
        problem(ring).replace(switching_cost=-1.0, max_operations=-2)
    assert len(error.value.violations) == 2
    with pytest.raises(DataError, match="switching_cost = nan"):
        problem(ring).replace(switching_cost=float("nan"))


def test_limits_and_charging_follow_the_file():
    """The limits of the file are in force unless said otherwise; so is its charging."""
    network = make_network(
        [(0, 1, 1, 1, {"ampacity_a": 100, "b_us": 50})], {1: (10, 0)}, voltage_limits={"vmin_pu": 0.95, "vmax_pu": 1.05}
    )
    p = ReconfigurationProblem.of(network)
    assert (p.vm_min.tolist(), p.vm_max.tolist(), p.limits.ampacity) == ([0, 0.95], [np.inf, 1.05], True)
    assert p.i_max[0] < np.inf
    assert p.b[0] > 0
    bare = ReconfigurationProblem.of(network, limits=Limits(), charging=False)
    assert (bare.vm_min.tolist(), bare.vm_max.tolist()) == ([0, 0], [np.inf, np.inf])
    assert bare.i_max[0] == np.inf
    assert bare.b[0] == 0


def test_net_load_is_load_minus_generation(two_bus):
    """Active and reactive power of the problem are those of the scenario."""
    nominal = Scenario.nominal(two_bus)
    s = replace(nominal, p_gen=np.array([0.0, 0.3]), q_gen=np.array([0.0, 0.1]))
    p = ReconfigurationProblem.of(two_bus, s)
    np.testing.assert_allclose(p.p, [0, 0.7])
    np.testing.assert_allclose(p.q, [0, 0.3])
