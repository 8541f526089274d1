"""Confidence orders switches by belief and by what their change costs, and says where fixing starts to fail."""

from __future__ import annotations

import numpy as np
import pytest
from toy_feeders import labelled_pairs, trained

from learnopt.learning.confidence import Confidence
from learnopt.learning.predict import Prediction, Predictor
from learnopt.network import Configuration


@pytest.fixture(scope="module")
def cases() -> list[tuple[Prediction, Configuration]]:
    """Predictions and labels."""
    predictor = Predictor(trained().model)
    return [(p := predictor.predict(problem), p.graph.canonical(y)) for problem, y in labelled_pairs()[60:75]]


def random_rise(prediction: Prediction, seed: int) -> np.ndarray:
    """Rises of any size, among them negative and infinite ones."""
    rng = np.random.default_rng(seed)
    rise = 10.0 ** rng.uniform(-8, 4, len(prediction.free))
    rise[rng.random(len(rise)) < 0.2] = np.inf
    rise[rng.random(len(rise)) < 0.1] = -1.0
    return rise


def test_by_hand(cases: list[tuple[Prediction, Configuration]]) -> None:
    """At a rise of 1 % doubt is the number of mistakes to expect if all n switches were like this one."""
    prediction, label = cases[0]
    index, n = prediction.graph.branch_index, prediction.graph.n_undecided
    q = np.where(label.closed[index], prediction.p_open, 1 - prediction.p_open)
    for rise, factor in ((0.01, 1.0), (0.0001, 10.0), (np.inf, 0.01), (0.0, 100.0)):
        value = Confidence.of(prediction, label, np.full(len(label.closed), rise)).value[index]
        np.testing.assert_allclose(value, np.where(q < 0.5, 1 / (1 + n * q * factor), 0.0))


def test_fixing_fails_exactly_up_to_the_worst_mistake(cases: list[tuple[Prediction, Configuration]]) -> None:
    """Just above it every fixing is right, at it one is wrong; only free branches are ever fixed, each in one state."""
    mistaken = 0
    for seed, (prediction, label) in enumerate(cases):
        confidence = Confidence.of(prediction, prediction.most_probable, random_rise(prediction, seed))
        worst = confidence.worst_mistake(label)
        for tau, wrong in ((worst, True), (np.nextafter(worst, 2), False)):
            if tau == 0:
                continue
            closed, opened = confidence.fixed(tau)
            assert not (closed & opened).any()
            assert not ((closed | opened) & ~prediction.free).any()
            assert bool(((closed & ~label.closed) | (opened & label.closed)).any()) == wrong
        mistaken += worst > 0
    assert mistaken > 2


def test_what_the_model_disbelieves_is_never_fixed(cases: list[tuple[Prediction, Configuration]]) -> None:
    """However dear its change: the configuration may be a poor one."""
    prediction, _ = cases[1]
    drawn = prediction.sample(1, np.random.default_rng(0))[0]
    confidence = Confidence.of(prediction, drawn, np.full(len(drawn.closed), np.inf))
    closed, opened = confidence.fixed(1e-9)
    assert (prediction.p_closed[closed] > 0.5).all()
    assert (prediction.p_closed[opened] < 0.5).all()
    assert not Confidence.none(prediction).value.any()
