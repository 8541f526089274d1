"""Baselines answer every problem with an admissible configuration; the yardstick counts what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_feeders import labelled_pairs, locked, random_problem, sequential_opening, trained

from learnopt.dataset.identity import feeder_key
from learnopt.errors import DataError
from learnopt.learning.baselines import (
    BoostedTrees,
    MajorityLabel,
    NearestNeighbour,
    OpeningCostTree,
    SwitchRegression,
    all_baselines,
)
from learnopt.learning.confidence import Confidence
from learnopt.learning.evaluation import evaluate_predictions
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.predict import Predictor
from learnopt.network import Configuration, Network, ReconfigurationProblem
from learnopt.physics import power_flow


def scaled(problem: ReconfigurationProblem, factor: np.ndarray) -> ReconfigurationProblem:
    """Another load scenario of the same feeder."""
    return problem.under(replace(problem.scenario, p_load=problem.scenario.p_load * factor))


@pytest.mark.parametrize("baseline", all_baselines(), ids=lambda b: b.name)
def test_baselines_return_admissible_configurations(baseline: object) -> None:
    """On unseen feeders, with locks, and on networks without loops."""
    baseline.fit(labelled_pairs()[:40])  # type: ignore[attr-defined]
    for seed in range(100, 110):
        problem = random_problem(seed, 16, seed % 4, 2)
        assert problem.faults(baseline.predict(problem)) == []  # type: ignore[attr-defined]
        if problem.free.any():
            free = np.flatnonzero(problem.free)
            tied = locked(problem, {int(free[0]): 1})
            assert tied.faults(baseline.predict(tied)) == []  # type: ignore[attr-defined]


def test_majority_and_nearest_neighbour_recall_their_feeder() -> None:
    """On a feeder seen in training one returns the most frequent label, the other that of the nearest loads."""
    problem = random_problem(3, 14, 3)
    label = sequential_opening(problem)
    free = np.flatnonzero(problem.free & ~label.closed)
    other = sequential_opening(locked(problem, {int(free[0]): 1}))
    assert other != label
    light, heavy = scaled(problem, np.full(14, 0.5)), scaled(problem, np.full(14, 2.0))
    pairs = [(light, label), (scaled(problem, np.full(14, 0.6)), label), (heavy, other)]
    majority, nearest = MajorityLabel(), NearestNeighbour()
    for baseline in (majority, nearest):
        baseline.fit(pairs)
    query = scaled(problem, np.full(14, 1.9))
    assert majority.predict(query) == label
    assert nearest.predict(query) == other
    # A lock that the remembered label breaks sends the baseline to the next admissible one.
    tied = locked(query, {int(free[0]): 1})
    assert majority.predict(tied) == other


def test_regressions_know_their_feeder_only() -> None:
    """Light loads have one optimum, heavy ones another: between them the nearer; elsewhere the opening cost tree."""
    problem = random_problem(3, 14, 3)
    label = sequential_opening(problem)
    other = sequential_opening(locked(problem, {int(np.flatnonzero(problem.free & ~label.closed)[0]): 1}))
    levels = [0.3, 0.5, 0.7, 1.6, 1.8, 2.0]
    regression = SwitchRegression()
    regression.fit([(scaled(problem, np.full(14, k)), label if k < 1 else other) for k in levels])
    assert regression.predict(scaled(problem, np.full(14, 0.4))) == label
    assert regression.predict(scaled(problem, np.full(14, 1.9))) == other
    unseen = random_problem(4, 14, 3)
    assert regression.predict(unseen) == OpeningCostTree().predict(unseen)
    regression.fit([(problem, label)])  # one label: nothing to regress
    assert regression.predict(scaled(problem, np.full(14, 1.9))) == label


def test_feeder_key_ignores_scenarios() -> None:
    """Loads do not change the key of a feeder, impedances do."""
    net = random_problem(1).network
    assert feeder_key(net) == feeder_key(replace(net, p_load=2 * net.p_load))
    assert feeder_key(net) != feeder_key(replace(net, r=2 * net.r))


def test_boosted_trees_need_training() -> None:
    """Predicting before fitting is refused."""
    with pytest.raises(DataError, match="fit it"):
        BoostedTrees().predict(random_problem(0))


def test_perfect_and_wrong_predictions() -> None:
    """The label scores perfectly; another tree scores its AC regret, worked out here by the power flow."""
    problems, labels = (list(x) for x in zip(*labelled_pairs()[:10], strict=True))
    perfect = evaluate_predictions(problems, labels, labels)
    assert (perfect.tree_rate, perfect.branch_accuracy, perfect.max_regret_percent) == (1.0, 1.0, 0.0)
    assert perfect.distinct_labels == 10
    normal = problems[0].network.normal_configuration
    assert normal != labels[0]
    metrics = evaluate_predictions(problems[:1], labels[:1], [normal])
    loss, best = (power_flow(problems[0], c).loss for c in (normal, labels[0]))
    assert metrics.mean_regret_percent == pytest.approx(100 * (loss - best) / best)
    assert metrics.tree_rate == 0.0
    wrong = np.count_nonzero(normal.closed != labels[0].closed)
    assert metrics.branch_accuracy == pytest.approx(1 - wrong / problems[0].free.sum())


def test_power_flow_without_solution_is_counted_not_dropped(two_bus: Network) -> None:
    """A load that cannot be fed counts as not converged, stays out of the regret, and is reported."""
    good = ReconfigurationProblem.of(two_bus)
    hopeless = scaled(good, np.full(2, 1e4))
    label = two_bus.normal_configuration
    metrics = evaluate_predictions([good, hopeless], [label, label], [label, label])
    assert (metrics.n, metrics.n_compared, metrics.n_not_converged, metrics.n_label_not_converged) == (2, 1, 1, 1)
    alone = evaluate_predictions([hopeless], [label], [label])
    assert alone.as_dict()["mean_regret_percent"] is None


def test_answers_that_are_no_answer_are_counted() -> None:
    """Everything closed is no tree; a tree that closes a branch locked open is none of the problem."""
    problems, labels = (list(x) for x in zip(*labelled_pairs()[:3], strict=True))
    loops = Configuration(np.ones_like(labels[0].closed))
    decided = DecisionGraph.of(problems[1]).branch_index
    barred = locked(problems[1], {int(decided[labels[1].closed[decided]][0]): 0})
    metrics = evaluate_predictions(
        [problems[0], barred, problems[2]], [labels[0], sequential_opening(barred), labels[2]], [loops, *labels[1:]]
    )
    assert (metrics.n_not_admissible, metrics.n_not_converged, metrics.n_compared) == (2, 1, 2)


def test_fixing_metrics_count_mistakes() -> None:
    """Coverage, risk and failures follow from the confident branches at the stored threshold."""
    problems, labels = (list(x) for x in zip(*labelled_pairs()[60:], strict=True))
    predictor = Predictor(trained().model, thresholds={0.1: 0.2, 0.01: None})
    predictions = [predictor.predict(p) for p in problems]
    confidences = [
        Confidence.of(prediction, prediction.most_probable, np.full(len(prediction.free), 0.01))
        for prediction in predictions
    ]
    metrics = evaluate_predictions(problems, labels, predictions, confidences)
    wrong = fixed = failed = 0
    for prediction, label in zip(predictions, labels, strict=True):
        chosen = prediction.most_probable.closed
        belief = np.where(chosen, prediction.p_closed, 1 - prediction.p_closed)
        sure = prediction.free & (belief > 0.5) & (1 / (1 + prediction.graph.n_undecided * (1 - belief)) >= 0.2)
        mistakes = np.sum((chosen != label.closed) & sure)
        wrong, failed = wrong + mistakes, failed + (mistakes > 0)
        fixed += np.sum(sure)
    row = metrics.fixing[0.1]
    assert fixed > 0
    assert row.risk == pytest.approx(wrong / fixed)
    assert row.failure_rate == pytest.approx(failed / len(problems))
    assert row.failure_low <= row.failure_rate <= row.failure_high
    assert metrics.fixing[0.01].tau is None
    assert metrics.fixing[0.01].coverage == 0.0
    assert metrics.ece is not None
    assert evaluate_predictions(problems, labels, predictions).fixing == {}


def test_sizes_must_match() -> None:
    """Unequal or empty sequences are refused."""
    with pytest.raises(DataError, match="0 problems"):
        evaluate_predictions([], [], [])
