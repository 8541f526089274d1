"""Arcs: every radial configuration uses one arc into every bus, and only arcs that exist."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from instances import all_configurations, solvable_problem, used_arcs

from learnopt.formulations.arcs import Arcs
from learnopt.network import ReconfigurationProblem, Scenario
from learnopt.network.topology import merged_nodes
from learnopt.physics import power_flow


@pytest.mark.parametrize("seed", range(60))
def test_arcs_hold_every_configuration(seed):
    """Each bus is fed over an arc in the list, fixed arcs are always in use, and no arc feeds a substation."""
    problem = solvable_problem(seed, ("lock", "outage"), n_loops=(1, 6), load=(0.1, 0.5))
    net, arcs = problem.network, Arcs.of(problem)
    assert not net.is_substation[arcs.head].any()
    assert len(set(zip(arcs.branch, arcs.tail, strict=True))) == len(arcs)
    assert {(a, b) for a, b in zip(arcs.tail, arcs.head, strict=True)} <= {
        *zip(net.from_bus, net.to_bus, strict=True),
        *zip(net.to_bus, net.from_bus, strict=True),
    }
    times_used = np.zeros(len(arcs), dtype=int)
    configurations = all_configurations(problem)
    for configuration in configurations:
        flow = power_flow(problem, configuration)
        used = used_arcs(arcs, flow)
        np.testing.assert_array_equal(np.sort(arcs.head[used]), np.flatnonzero(~net.is_substation))
        np.testing.assert_array_equal(flow.parent[arcs.head[used]], arcs.tail[used])
        times_used[used] += 1
    if not problem.must_close.any():
        assert (times_used > 0).all(), "an arc that no configuration uses"
    assert (times_used[arcs.fixed] == len(configurations)).all()
    # A fixed arc is the only one of its branch, and the branch is always closed.
    assert (np.bincount(arcs.branch)[arcs.branch[arcs.fixed]] == 1).all()


def test_arcs_of_named_networks(triangle, parallel_branches, two_substations, coupler):
    """One arc at an entry of a block, two inside, one fixed arc for a bridge, none towards a substation."""
    expected = {
        triangle: [(1, 0, 1), (2, 1, 2), (2, 2, 1), (3, 0, 2)],
        parallel_branches: [(1, 0, 1), (2, 0, 1), (3, 1, 2)],
        coupler: [(1, 0, 1), (2, 0, 2), (3, 1, 2), (3, 2, 1)],
        two_substations: [(1, "A", 1), (2, 1, 2), (2, 2, 1), (3, "B", 2)],
    }
    for network, listed in expected.items():
        arcs = Arcs.of(ReconfigurationProblem.of(network))
        ids, buses = network.branch_ids, network.bus_ids
        found = zip(arcs.branch, arcs.tail, arcs.head, strict=True)
        assert sorted((ids[e], buses[a], buses[b]) for e, a, b in found) == sorted(listed, key=lambda arc: arc[0])
        bridge = network is parallel_branches
        assert [ids[e] for e in arcs.branch[arcs.fixed]] == ([3] if bridge else [])


def test_a_locked_branch_at_an_entry_is_fixed_and_one_inside_is_not(triangle):
    """Locked closed at the substation: direction known; locked closed between two buses: either may feed."""
    for branch, fixed in ((0, [0]), (1, [])):
        locked = np.where(np.arange(3) == branch, 1, -1).astype(np.int8)
        arcs = Arcs.of(ReconfigurationProblem.of(triangle, replace(Scenario.nominal(triangle), locked=locked)))
        assert arcs.branch[arcs.fixed].tolist() == fixed


def test_outage_leaves_no_arc(case33):
    """A branch out of service has no arc, and what it leaves in no loop is fixed."""
    scenario = replace(Scenario.nominal(case33), out_of_service=np.arange(case33.n_branch) == 6)
    problem = ReconfigurationProblem.of(case33, scenario)
    arcs = Arcs.of(problem)
    assert 6 not in arcs.branch
    assert set(arcs.branch[arcs.fixed]) == set(np.flatnonzero(problem.blocks.bridges))
    assert len(np.unique(merged_nodes(case33)[arcs.head])) == case33.n_bus - 1


def test_reverse_arcs_point_at_each_other(case33):
    """Same branch, ends swapped; none where only one direction is possible."""
    arcs = Arcs.of(ReconfigurationProblem.of(case33))
    both = np.flatnonzero(arcs.reverse >= 0)
    back = arcs.reverse[both]
    assert (arcs.branch[back] == arcs.branch[both]).all()
    assert (arcs.tail[back] == arcs.head[both]).all()
    assert (arcs.head[back] == arcs.tail[both]).all()
    single = np.bincount(arcs.branch)[arcs.branch] == 1
    np.testing.assert_array_equal(arcs.reverse < 0, single)
