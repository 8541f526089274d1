"""Decisions follow the thresholds, and whatever is decided leaves a radial configuration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import solvable_problem
from oracles import certain, worst_of_many

from learnopt.engines.exchange import radial_start
from learnopt.errors import DataError
from learnopt.learned.policy import Decision, FixingPolicy, consistent, surest_half
from learnopt.learned.reduction import Reduction
from learnopt.learning.confidence import Confidence
from learnopt.learning.predict import Prediction
from learnopt.network import Network, ReconfigurationProblem

CLOSED, OPEN, FREE = Decision.FIX_CLOSED, Decision.FIX_OPEN, Decision.FREE


@pytest.fixture
def prediction(case33: Network) -> Prediction:
    """A sure one."""
    problem = ReconfigurationProblem.of(case33)
    return certain(problem, worst_of_many(problem))


def sure(prediction: Prediction) -> Confidence:
    """In the most probable tree, every change of which costs a percent."""
    return Confidence.of(prediction, prediction.most_probable, np.full(len(prediction.free), 0.01))


def test_unknown_alpha_names_the_known_ones(prediction: Prediction) -> None:
    """A risk for which the checkpoint has no threshold is bad input, and the message lists those it has."""
    with pytest.raises(DataError, match=r"alpha = 0\.02 has no threshold: the checkpoint has 0\.01, 0\.1"):
        FixingPolicy(0.02).decide(prediction, sure(prediction))
    with pytest.raises(DataError, match="the checkpoint has none"):
        FixingPolicy().decide(replace(prediction, thresholds={}), sure(prediction))


def test_no_threshold_fixes_nothing(prediction: Prediction) -> None:
    """Too few calibration feeders, or a threshold above one: every switch stays free, however sure the model is."""
    for tau in (None, 1.1):
        strict = replace(prediction, thresholds={0.01: tau})
        assert (FixingPolicy().decide(strict, sure(prediction)) == FREE).all()


def test_sure_switches_are_fixed_as_predicted(prediction: Prediction) -> None:
    """A prediction without doubt fixes every free switch in its state and nothing else."""
    decisions = FixingPolicy().decide(prediction, sure(prediction))
    closed = prediction.most_probable.closed
    assert np.array_equal(decisions == CLOSED, prediction.free & closed)
    assert np.array_equal(decisions == OPEN, prediction.free & ~closed)


@settings(max_examples=100)
@given(seed=st.integers(0, 10_000))
def test_consistent_decisions_leave_a_radial_configuration(seed: int) -> None:
    """Random decisions, contradictions included: what is kept is a part of them that some configuration agrees with."""
    problem = solvable_problem(seed)
    rng = np.random.default_rng(seed)
    n = problem.network.n_branch
    decisions = rng.choice(np.array([FREE, OPEN, CLOSED], dtype=np.int8), n, p=rng.dirichlet([1, 1, 1]))
    p_closed = rng.random(n).round(1)  # rounded, so that there are ties
    kept = consistent(problem, decisions, p_closed)
    assert ((kept == decisions) | (kept == FREE)).all()
    reduced = Reduction.apply(problem, kept).reduced
    assert reduced.contradictions == []
    found = radial_start(reduced)
    assert problem.replace(max_operations=None).admits(found)
    assert (found.closed[kept == CLOSED]).all()
    assert not (found.closed[kept == OPEN]).any()


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000))
def test_decisions_without_contradiction_are_all_kept(seed: int) -> None:
    """States of one radial configuration contradict nothing, whatever their probabilities."""
    problem = solvable_problem(seed)
    rng = np.random.default_rng(seed)
    states = np.where(radial_start(problem).closed, CLOSED, OPEN)
    decisions = np.where(problem.free & (rng.random(len(states)) < 0.7), states, FREE).astype(np.int8)
    assert np.array_equal(consistent(problem, decisions, rng.random(len(states))), decisions)


def test_surer_closed_decision_wins(triangle: Network) -> None:
    """Three closed switches make a loop: the least sure one is freed."""
    problem = ReconfigurationProblem.of(triangle)
    kept = consistent(problem, np.full(3, CLOSED, dtype=np.int8), np.array([0.97, 0.99, 0.98]))
    assert kept.tolist() == [FREE, CLOSED, CLOSED]


def test_surer_open_decision_wins(triangle: Network) -> None:
    """With all three open no bus is fed: the surest one stays open, the others are freed."""
    problem = ReconfigurationProblem.of(triangle)
    kept = consistent(problem, np.full(3, OPEN, dtype=np.int8), np.array([0.03, 0.01, 0.02]))
    assert kept.tolist() == [FREE, OPEN, FREE]


def test_decisions_about_branches_without_choice_are_dropped(two_bus: Network) -> None:
    """A line that feeds a bus alone is no decision."""
    problem = ReconfigurationProblem.of(two_bus)
    for decision in (OPEN, CLOSED):
        assert consistent(problem, np.array([decision], dtype=np.int8), np.ones(1)).tolist() == [FREE]


def test_surest_half_keeps_the_surest() -> None:
    """Two of five decisions stay, by distance from one half in either direction; one decision alone is freed."""
    decisions = np.array([CLOSED, OPEN, FREE, CLOSED, OPEN, CLOSED], dtype=np.int8)
    kept = surest_half(decisions, np.array([0.9, 0.01, 1.0, 0.98, 0.2, 0.95]))
    assert kept.tolist() == [FREE, OPEN, FREE, CLOSED, FREE, FREE]
    assert surest_half(np.array([FREE, CLOSED], dtype=np.int8), np.ones(2)).tolist() == [FREE, FREE]
