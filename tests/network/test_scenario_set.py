"""Several scenarios in one problem: weights, mean, and what may not differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learnopt.errors import DataError
from learnopt.network import Network, ReconfigurationProblem, Scenario, Situations


def test_weights_are_normalised_and_weigh_the_mean(triangle: Network) -> None:
    """Weights sum to 1 afterwards, and the mean scenario is theirs."""
    one = Scenario.nominal(triangle)
    both = Situations((one, replace(one, p_load=3 * one.p_load)), np.array([1.0, 3.0]))
    np.testing.assert_allclose(both.weights, [0.25, 0.75])
    np.testing.assert_allclose(both.mean.p_load, 2.5 * one.p_load)
    np.testing.assert_allclose(both.mean.q_load, one.q_load)


def test_every_fault_is_named(triangle: Network) -> None:
    """Bad weights, and outages or locks that differ, are refused together."""
    one = Scenario.nominal(triangle)
    other = replace(one, out_of_service=np.array([True, False, False]), locked=np.array([-1, 1, -1], dtype=np.int8))
    with pytest.raises(DataError) as refused:
        Situations((one, other), np.array([1.0, -1.0]))
    assert len(refused.value.violations) == 3
    for weights in ([], [0.0, 0.0], [1.0, np.inf], [1.0]):
        with pytest.raises(DataError):
            Situations((one, one), np.array(weights))
    with pytest.raises(DataError):
        Situations((), np.array([]))


def test_members_share_what_the_problem_locks(triangle: Network) -> None:
    """Locks and outages live in the problem: a variant of it reaches every member."""
    one = Scenario.nominal(triangle)
    problem = ReconfigurationProblem.of(triangle, Situations((one, one), np.ones(2)))
    locked = np.array([-1, 0, -1], dtype=np.int8)
    variant = problem.replace(locked=locked)
    assert [m.must_open.tolist() for m in variant.members] == [[False, True, False]] * 2
    assert all(len(m.situations) == 1 for m in variant.members)
    assert len(problem.mean.situations) == 1
