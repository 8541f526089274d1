"""Sizes after the reductions: by hand, and against the number of configurations that there are."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_network, random_network
from instances import all_configurations

import learnopt
from learnopt.network import ReconfigurationProblem
from learnopt.studies.inspection.decision_size import decision_size


def test_two_rings_a_lateral_and_a_fixed_line() -> None:
    """0-1-2-0 with a line that cannot be switched, 2-3-4-2, and a lateral of two buses at 4."""
    fixed = {"switchable": False}
    ends = [(0, 2), (2, 3), (3, 4), (2, 4), (4, 5), (5, 6)]
    network = make_network([(0, 1, 1, 1), (1, 2, 1, 1, fixed), *((a, b, 1, 1) for a, b in ends)], {6: (100, 10)})
    size = decision_size(ReconfigurationProblem.of(network))
    assert (size.buses, size.branches, size.laterals) == (7, 8, 2)
    assert (size.nodes, size.switches, size.loops) == (4, 5, 2)
    assert (size.chains, size.parts) == (2, 2)
    assert 10**size.log10_configurations == pytest.approx(2 * 3)


@pytest.mark.parametrize("seed", range(5))
def test_configurations_are_counted(seed: int) -> None:
    """The matrix-tree theorem against enumeration, with locks and branches that cannot be switched."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, 8, 4, n_substations=1 + seed % 2)
    locked = {str(e): "closed" for e in rng.choice(network.branch_ids[:6], 2, replace=False)}
    problem = learnopt.problem(network, {"locked": locked})
    size = decision_size(problem)
    assert 10**size.log10_configurations == pytest.approx(len(all_configurations(problem)))
    assert size.loops == size.switches - size.nodes + 1


def test_a_tree_leaves_nothing() -> None:
    """No loop, no decision, one configuration."""
    size = decision_size(ReconfigurationProblem.of(make_network([(0, 1, 1, 1), (1, 2, 1, 1)], {2: (1, 0)})))
    assert (size.nodes, size.switches, size.loops, size.chains, size.parts) == (0, 0, 0, 0, 0)
    assert size.log10_configurations == 0
