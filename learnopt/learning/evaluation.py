"""One yardstick for every predictor and baseline: exact configurations, AC regret, risk of what would be fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.special import betaincinv

from learnopt.errors import DataError
from learnopt.learning.calibration import reliability
from learnopt.learning.confidence import Confidence
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.predict import Prediction
from learnopt.network import Bools, Configuration, ReconfigurationProblem
from learnopt.physics import power_flow


@dataclass(frozen=True)
class FixingMetrics:
    """What fixing at one stored threshold would do.

    Parameters
    ----------
    tau
        The threshold; None = nothing may be fixed.
    coverage
        Share of free switches that are fixed.
    risk
        Share of the fixed switches that differ from the label (0 when none is fixed).
    failure_rate
        Share of instances with at least one wrong fixing: what alpha bounds.
    failure_low, failure_high
        Its 95 % interval (Clopper and Pearson), as if instances were independent: true with one per feeder.
    free_per_loop
        Mean over instances of switches left free over branches to open.
    """

    tau: float | None
    coverage: float
    risk: float
    failure_rate: float
    failure_low: float
    failure_high: float
    free_per_loop: float


@dataclass(frozen=True)
class Metrics:
    """Quality of predicted configurations against labels.

    Parameters
    ----------
    n
        Instances.
    tree_rate
        Share of instances predicted exactly.
    branch_accuracy
        Share of free switches predicted in the right state, over all instances.
    mean_regret_percent, median_regret_percent, max_regret_percent
        (loss - loss of label) / loss of label [%], by AC power flow, over the ``n_compared`` instances where both
        converge; NaN without one. Negative where a prediction beats its label.
    n_compared
        Instances behind the regret.
    n_not_admissible
        Predictions that are not radial, or break a lock or an outage.
    n_not_converged
        Predictions without a power flow, those that are not radial among them: in no regret, and failures.
    n_label_not_converged
        Labels without power flow.
    distinct_labels, distinct_predictions
        Different configurations among labels and predictions: few distinct labels make any rate look good.
    ece
        Expected calibration error, None for plain configurations.
    fixing
        By alpha; empty for plain configurations.
    """

    n: int
    tree_rate: float
    branch_accuracy: float
    mean_regret_percent: float
    median_regret_percent: float
    max_regret_percent: float
    n_compared: int
    n_not_admissible: int
    n_not_converged: int
    n_label_not_converged: int
    distinct_labels: int
    distinct_predictions: int
    ece: float | None = None
    fixing: dict[float, FixingMetrics] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain nested values, NaN as None, for JSON."""
        values = asdict(self)
        for key, value in values.items():
            if isinstance(value, float) and not np.isfinite(value):
                values[key] = None
        values["fixing"] = {f"{alpha:g}": asdict(row) for alpha, row in self.fixing.items()}
        return values


def evaluate_predictions(
    problems: Sequence[ReconfigurationProblem],
    labels: Sequence[Configuration],
    predictions: Sequence[Prediction | Configuration],
    confidences: Sequence[Confidence] | None = None,
) -> Metrics:
    """Compare predictions of a model, or configurations of anything else, with labels.

    Configurations that differ only in which of several branches in series without load between them is open are the
    same (:attr:`DecisionGraph.alike`).

    Parameters
    ----------
    confidences
        What fixing goes by, for predictions of a model; without them there are no metrics of fixing.

    Raises
    ------
    DataError
        If the three sequences differ in length or are empty.
    """
    if not len(problems) == len(labels) == len(predictions) or not len(problems):
        sizes = f"{len(problems)} problems, {len(labels)} labels and {len(predictions)} predictions"
        raise DataError("evaluation", [f"{sizes}: equal numbers, at least one, are needed"])
    # Up to which of several branches in series without load between them is open.
    graphs = [
        prediction.graph if isinstance(prediction, Prediction) else DecisionGraph.of(problem).joined
        for problem, prediction in zip(problems, predictions, strict=True)
    ]
    labels = [graph.canonical(label) for graph, label in zip(graphs, labels, strict=True)]
    answers = [p.most_probable if isinstance(p, Prediction) else p for p in predictions]
    states = [graph.canonical(answer) for graph, answer in zip(graphs, answers, strict=True)]
    right = free = 0
    regret = []
    failed = label_failed = 0
    for problem, label, graph, state in zip(problems, labels, graphs, states, strict=True):
        index = graph.branch_index
        free += len(index)
        right += int(np.count_nonzero(state.closed[index] == label.closed[index]))
        reference = power_flow(problem, label)
        predicted = reference if state == label else power_flow(problem, state)
        failed += not predicted.converged
        label_failed += not reference.converged
        if predicted.converged and reference.converged:
            rise = predicted.loss - reference.loss
            regret.append(100.0 * rise / reference.loss if reference.loss > 0 else 0.0)
    whole = [p for p in predictions if isinstance(p, Prediction)]
    probabilistic = len(whole) == len(predictions)
    names = [problem.network.branch_ids for problem in problems]
    return Metrics(
        n=len(problems),
        tree_rate=float(np.mean([state == label for state, label in zip(states, labels, strict=True)])),
        branch_accuracy=right / free if free else 1.0,
        mean_regret_percent=float(np.mean(regret)) if regret else float("nan"),
        median_regret_percent=float(np.median(regret)) if regret else float("nan"),
        max_regret_percent=float(np.max(regret)) if regret else float("nan"),
        n_compared=len(regret),
        n_not_admissible=sum(not p.admits(y) for p, y in zip(problems, answers, strict=True)),
        n_not_converged=failed,
        n_label_not_converged=label_failed,
        distinct_labels=len({(i, y) for i, y in zip(names, labels, strict=True)}),
        distinct_predictions=len({(i, y) for i, y in zip(names, states, strict=True)}),
        ece=reliability(whole, labels).ece if probabilistic else None,
        fixing={alpha: _fixing(whole, confidences, labels, tau) for alpha, tau in whole[0].thresholds.items()}
        if probabilistic and confidences is not None
        else {},
    )


def wrong_fixings(prediction: Prediction, confidence: Confidence, label: Configuration, tau: float) -> int:
    """Switches that fixing at a threshold would get wrong."""
    return _mistakes(*confidence.fixed(tau), prediction.graph.canonical(label))


def _mistakes(closed: Bools, opened: Bools, label: Configuration) -> int:
    """Of the switches that are fixed closed and open those that the (canonical) label contradicts."""
    return int(np.count_nonzero((closed & ~label.closed) | (opened & label.closed)))


def _fixing(
    predictions: Sequence[Prediction],
    confidences: Sequence[Confidence],
    labels: Sequence[Configuration],
    tau: float | None,
) -> FixingMetrics:
    free = fixed = wrong = failures = 0
    left = []
    for prediction, confidence, label in zip(predictions, confidences, labels, strict=True):
        closed, opened = confidence.fixed(np.inf if tau is None else tau)
        mistakes = _mistakes(closed, opened, label)
        decided = int(closed.sum() + opened.sum())
        free += int(prediction.free.sum())
        fixed += decided
        wrong += mistakes
        failures += mistakes > 0
        if prediction.graph.n_loops:
            left.append((prediction.graph.n_undecided - decided) / prediction.graph.n_loops)
    n = len(predictions)
    return FixingMetrics(
        tau=tau,
        coverage=fixed / free if free else 0.0,
        risk=wrong / fixed if fixed else 0.0,
        failure_rate=failures / n,
        failure_low=float(betaincinv(failures, n - failures + 1, 0.025)) if failures else 0.0,
        failure_high=float(betaincinv(failures + 1, n - failures, 0.975)) if failures < n else 1.0,
        free_per_loop=float(np.mean(left)) if left else 0.0,
    )
