"""Temperature finds the scale of the truth; thresholds keep the risk they state."""

from __future__ import annotations

import numpy as np
import pytest
from toy_feeders import labelled_pairs, random_problem, trained

from learnopt.errors import DataError
from learnopt.learning.calibration import (
    LEAST_TAU,
    Reliability,
    calibrate,
    conformal_threshold,
    fit_temperature,
    reliability,
    risk_quantile,
)
from learnopt.learning.confidence import Confidence
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.predict import Prediction, Predictor
from learnopt.learning.spanning_tree import SpanningTrees
from learnopt.network import Configuration, ReconfigurationProblem


def drawn_from(temperature: float, n: int) -> tuple[list[Prediction], list[Configuration]]:
    """Predictions, and labels drawn from the same distributions at another temperature."""
    rng = np.random.default_rng(0)
    predictions, labels = [], []
    for seed in range(n):
        graph = DecisionGraph.of(random_problem(seed, 12, 3))
        theta = rng.normal(0, 3, graph.n_undecided)
        truth = SpanningTrees.of(graph.n_nodes, graph.tail, graph.head, theta / temperature)
        predictions.append(Prediction(graph, SpanningTrees.of(graph.n_nodes, graph.tail, graph.head, theta)))
        labels.append(graph.expand(truth.sample(1, rng)[0]))
    return predictions, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(temperature: float) -> None:
    """Labels drawn at a known temperature give it back."""
    assert fit_temperature(*drawn_from(temperature, 300)) == pytest.approx(temperature, rel=0.15)


def test_calibrated_predictions_are_reliable() -> None:
    """Labels drawn from the prediction itself give a small calibration error, overconfident ones a large one."""
    assert reliability(*drawn_from(1.0, 300)).ece < 0.02
    assert reliability(*drawn_from(4.0, 300)).ece > 0.05


def test_calibration_error_by_hand() -> None:
    """Two bins: |0.1 - 0.5| for two branches and |0.9 - 1| for three give 0.22."""
    p, closed = np.array([0.1, 0.1, 0.9, 0.9, 0.9]), np.array([True, False, True, True, True])
    assert Reliability.of(p, closed).ece == pytest.approx((2 * 0.4 + 3 * 0.1) / 5)
    assert Reliability.of(np.zeros(0), np.zeros(0, dtype=bool)).ece == 0.0


def test_threshold_by_hand() -> None:
    """19 feeders allow alpha = 0.05 without a failure, alpha = 0.1 with one; 0.01 cannot be claimed."""
    mistakes = [0.5 + k / 100 for k in range(19)]
    feeders = [str(k) for k in range(19)]
    assert conformal_threshold(mistakes, feeders, 0.01) is None
    assert conformal_threshold(mistakes, feeders, 0.05) == np.nextafter(mistakes[18], 1)
    assert conformal_threshold(mistakes, feeders, 0.1) == np.nextafter(mistakes[17], 1)
    assert conformal_threshold([0.2] * 19, feeders, 0.05) == np.nextafter(0.2, 1)
    assert conformal_threshold([0.0] * 19, feeders, 0.05) == LEAST_TAU
    assert conformal_threshold([0.7] * 19, feeders, 0.1) == np.nextafter(0.7, 1)


def test_scenarios_of_one_feeder_do_not_count_as_feeders() -> None:
    """A thousand scenarios of ten feeders claim no more than ten feeders do."""
    feeders = [str(k % 10) for k in range(1000)]
    assert conformal_threshold([0.6] * 1000, feeders, 0.05) is None
    # One bad scenario in a hundred loses a hundredth of a feeder, and alpha = 0.1 allows 11 alpha - 1 = 0.1 feeders.
    mistakes = [0.99] + [0.6] * 999
    assert conformal_threshold(mistakes, feeders, 0.1) == np.nextafter(0.6, 1)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_stated_risk_holds_on_average(alpha: float) -> None:
    """Over many calibration sets, a new instance fails with probability at most alpha, and not much less."""
    rng = np.random.default_rng(1)
    n, repeats = 40, 4000
    failures = 0
    for _ in range(repeats):
        mistakes = rng.beta(2, 2, n + 1)
        tau = conformal_threshold(mistakes[:-1], [str(k) for k in range(n)], alpha)
        assert tau is not None
        failures += mistakes[-1] >= tau
    error = 3 * np.sqrt(alpha * (1 - alpha) / repeats)
    assert alpha - 1 / (n + 1) - error <= failures / repeats <= alpha + error


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_risk_quantile_covers_95_percent_of_calibrations(alpha: float) -> None:
    """The true risk of a threshold (known here: confidences are uniform) is below the quantile in 95 % of them."""
    rng = np.random.default_rng(2)
    feeders = [str(k) for k in range(60)]
    below = 0
    for _ in range(2000):
        mistakes = rng.random(60)
        tau = conformal_threshold(mistakes, feeders, alpha)
        assert tau is not None
        below += 1 - tau <= risk_quantile(mistakes, feeders, tau)
    assert 0.95 - 0.015 <= below / 2000 <= 0.95 + 0.015


def belief(problem: ReconfigurationProblem, prediction: Prediction) -> Confidence:
    """In the most probable tree, by belief alone."""
    return Confidence.of(prediction, prediction.most_probable, np.ones(problem.network.n_branch))


def test_calibrate_a_model() -> None:
    """Temperature and thresholds come from different feeders; too few feeders give no threshold."""
    pairs = labelled_pairs()
    predictor = Predictor(trained().model)
    calibration = calibrate(predictor, pairs[50:60], pairs[60:80], [str(k) for k in range(20)], belief)
    assert 0.05 < calibration.temperature < 20
    assert calibration.thresholds[0.001] is None
    assert calibration.thresholds[0.01] is None
    low, high = calibration.thresholds[0.1], calibration.thresholds[0.05]
    assert low is not None
    assert high is not None
    assert 0 < low <= high
    assert calibration.risks.keys() == {0.05, 0.1}
    assert calibration.n_feeders == 20
    applied = calibration.apply(predictor)
    assert applied.predict(pairs[0][0]).thresholds == calibration.thresholds
    assert applied.temperature == calibration.temperature
    with pytest.raises(DataError, match="20 pairs but 1 feeder"):
        calibrate(predictor, pairs[50:60], pairs[60:80], ["a"], belief)
