"""Predictions are radial whatever the weights, and say nothing about branches without a choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_feeders import labelled_pairs, locked, random_problem, trained

from learnopt.errors import DataError
from learnopt.learning.evaluation import evaluate_predictions
from learnopt.learning.model import ModelConfig, build_model
from learnopt.learning.predict import Predictor
from learnopt.network import Network, ReconfigurationProblem


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    n_loops=st.integers(0, 6),
    n_substations=st.integers(1, 3),
    locks=st.lists(st.tuples(st.integers(0, 10), st.sampled_from([0, 1])), max_size=3),
)
def test_every_configuration_is_admissible(
    seed: int, n_loops: int, n_substations: int, locks: list[tuple[int, int]]
) -> None:
    """Most probable, sampled and stepwise configurations are radial and keep every lock, with untrained weights."""
    problem = locked(random_problem(seed, 14, n_loops, n_substations), dict(locks))
    torch.manual_seed(seed)
    predictor = Predictor(build_model(ModelConfig(hidden=8, layers=1)).eval(), temperature=0.2)
    if problem.contradictions:
        with pytest.raises(DataError):
            predictor.predict(problem)
        return
    prediction = predictor.predict(problem)
    found = [prediction.most_probable, *prediction.sample(5, np.random.default_rng(seed))]
    for configuration in [*found, predictor.predict_step_by_step(problem)]:
        assert problem.faults(configuration) == []
    p = prediction.p_closed
    assert (p[problem.must_close | problem.blocks.bridges] == 1).all()
    assert (p[problem.must_open] == 0).all()
    n_tree = problem.network.n_bus - len(problem.network.substations)
    assert p.sum() == pytest.approx(n_tree, abs=1e-9)
    assert np.isfinite(prediction.theta[prediction.free]).all()
    assert np.isinf(prediction.theta[~prediction.free]).all()


def test_temperature_sharpens_without_changing_the_best() -> None:
    """A lower temperature moves probability to the most probable tree, which stays the same."""
    model = trained().model
    problem = labelled_pairs()[70][0]
    soft, sharp = (Predictor(model, t).predict(problem) for t in (2.0, 0.5))
    assert soft.most_probable == sharp.most_probable
    best = soft.trees.most_probable
    assert sharp.trees.log_probability(best) > soft.trees.log_probability(best)


def test_stepwise_prediction_is_closer_to_stepwise_labels() -> None:
    """Looking again after each opening finds at least as many of the labels (which were made step by step)."""
    predictor = Predictor(trained().model)
    problems, labels = zip(*labelled_pairs()[60:], strict=True)
    once = evaluate_predictions(problems, labels, [predictor.predict(p) for p in problems])
    stepwise = evaluate_predictions(problems, labels, [predictor.predict_step_by_step(p) for p in problems])
    assert stepwise.tree_rate >= once.tree_rate


def test_network_without_loops(two_bus: Network) -> None:
    """Nothing to decide: probability one, one configuration, nothing to fix."""
    prediction = Predictor(trained().model).predict(ReconfigurationProblem.of(two_bus))
    assert prediction.p_closed.tolist() == [1.0]
    assert prediction.most_probable.closed.tolist() == [True]
    assert not prediction.free.any()
