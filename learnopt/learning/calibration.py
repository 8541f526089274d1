r"""Calibration on held-out feeders: probabilities that mean what they say, thresholds with a stated risk.

*Temperature*: one number divides theta, chosen to maximise the likelihood of held-out labels. A tree distribution stays
one, unlike under isotonic regression of single probabilities.

*Threshold*: a switch is fixed when the confidence in its state (:mod:`learnopt.learning.confidence`) is >= tau. An
instance fails when any fixed switch is wrong. Raising tau never turns a success into a failure, so conformal risk
control applies: over n exchangeable feeders, with :math:`L_i(\tau)` the share of failures among the instances of feeder
i, the smallest tau with

.. math:: \frac{1}{n + 1} \Bigl(\sum_{i=1}^n L_i(\tau) + 1\Bigr) \le \alpha

fails on an instance of a new feeder with probability at most alpha. No tau can claim less than 1/(n + 1): alpha = 0.01
takes 99 feeders, 0.001 takes 999. Many scenarios of one feeder are not many feeders, which is why n counts feeders. The
claim is for feeders like those of the calibration, on average over them *and over calibrations*.

*Spread*: the risk of the threshold that one calibration happens to find differs from alpha. With one instance per
feeder and k feeders lost at tau it is Beta(k + 1, n - k) distributed, whatever the distribution of the confidences (an
order statistic of n uniform numbers): its mean is what the formula bounds, its 95 % quantile is stated beside it. A
failure rate measured on test feeders spreads further, by their own number.

References
----------
Guo, Pleiss, Sun & Weinberger (2017), arXiv:1706.04599; Angelopoulos, Bates, Fisch, Lei & Schuster (2022),
arXiv:2208.02814; Vovk (2012), arXiv:1209.2673 (the Beta distribution of the risk).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import betaincinv

from learnopt.errors import DataError
from learnopt.learning.confidence import Confidence
from learnopt.learning.features import extract
from learnopt.learning.predict import Prediction, Predictor
from learnopt.learning.spanning_tree import log_partition_batch
from learnopt.network import Bools, Configuration, Floats, ReconfigurationProblem

Judge = Callable[[ReconfigurationProblem, Prediction], Confidence]
"""Finds a good configuration of a problem and says how sure one may be of it; it takes an optimiser, hence is given."""
ALPHAS = (0.001, 0.01, 0.05, 0.1)
"""Risks for which a threshold is stored."""
LEAST_TAU = 1e-9
"""Above 0, the confidence of what is never fixed, and below every other confidence."""
N_BINS = 15
"""Bins of the reliability diagram and of the expected calibration error."""
_TEMPERATURES = (0.05, 20.0)
_TOLERANCE = 1e-9
"""Rounding must not cost a feeder that the formula grants."""


@dataclass(frozen=True)
class Reliability:
    """Frequency of "closed" against predicted probability, over the free branches of many instances.

    Parameters
    ----------
    predicted, observed
        Mean probability and share of closed branches of each bin that is not empty.
    count
        Branches in each of these bins.
    """

    predicted: Floats
    observed: Floats
    count: Floats

    @classmethod
    def of(cls, p_closed: Floats, closed: Bools, n_bins: int = N_BINS) -> Reliability:
        """Reliability with bins of equal width."""
        if not len(p_closed):
            return cls(np.zeros(0), np.zeros(0), np.zeros(0))
        from sklearn.calibration import calibration_curve  # takes long to load: not for who asks a model

        observed, predicted = calibration_curve(closed, np.clip(p_closed, 0, 1), n_bins=n_bins)
        edges = np.linspace(0.0, 1.0, n_bins + 1)
        count = np.bincount(np.searchsorted(edges[1:-1], p_closed), minlength=n_bins)
        return cls(predicted, observed, count[count > 0].astype(float))

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of frequency and probability, weighted by branches."""
        total = self.count.sum()
        return float(np.sum(self.count * np.abs(self.observed - self.predicted)) / total) if total else 0.0


@dataclass(frozen=True)
class Calibration:
    """Outcome of :func:`calibrate`.

    Parameters
    ----------
    temperature
        Divides theta.
    thresholds
        tau for each alpha, None where the feeders are too few to claim it: then fix nothing.
    n_feeders, n_instances
        What the thresholds rest on.
    ece_before, ece
        Expected calibration error on these instances, without and with the temperature.
    risks
        :func:`risk_quantile` of each threshold.
    """

    temperature: float
    thresholds: Mapping[float, float | None] = field(default_factory=dict)
    n_feeders: int = 0
    n_instances: int = 0
    ece_before: float = 0.0
    ece: float = 0.0
    risks: Mapping[float, float] = field(default_factory=dict)

    def apply(self, predictor: Predictor) -> Predictor:
        """The predictor with this calibration."""
        return Predictor(predictor.model, self.temperature, self.thresholds, predictor.name)


def fit_temperature(predictions: Sequence[Prediction], labels: Sequence[Configuration]) -> float:
    """Temperature of largest likelihood per loop, relative to that of the predictions; members count like instances."""
    from scipy.optimize import minimize_scalar  # likewise

    decided = [
        (p.graph, trees, y)
        for p, y in zip(predictions, labels, strict=True)
        if p.graph.n_loops
        for trees in (p.trees, *p.others)
    ]
    if not decided:
        return 1.0
    graphs = [graph for graph, _, _ in decided]
    node_start = np.concatenate([[0], np.cumsum([g.n_nodes for g in graphs])])
    edge_start = np.concatenate([[0], np.cumsum([g.n_undecided for g in graphs])])
    tail = np.concatenate([g.tail + k for g, k in zip(graphs, node_start, strict=False)])
    head = np.concatenate([g.head + k for g, k in zip(graphs, node_start, strict=False)])
    theta = np.concatenate([trees.theta for _, trees, _ in decided])
    closed = np.concatenate([graph.canonical(y).closed[graph.branch_index] for graph, _, y in decided])
    score = np.add.reduceat(theta * closed, edge_start[:-1])
    loops = np.array([g.n_loops for g in graphs])

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        log_z, _, _ = log_partition_batch(node_start, edge_start, tail, head, theta * scale)
        return float(np.mean((log_z - score * scale) / loops))

    return float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded").x))


def conformal_threshold(mistakes: Sequence[float], feeders: Sequence[str], alpha: float) -> float | None:
    """Smallest tau whose risk on a new feeder is at most alpha; None when the feeders are too few to claim that.

    Parameters
    ----------
    mistakes
        :meth:`Confidence.worst_mistake` of each instance.
    feeders
        Feeder of each instance. Feeders count, however many instances they have.
    """
    worst = np.asarray(mistakes, dtype=float)
    _, feeder, size = np.unique(np.asarray(feeders), return_inverse=True, return_counts=True)
    allowed = alpha * (len(size) + 1) - 1
    if allowed < -_TOLERANCE:
        return None
    order = np.argsort(-worst, kind="stable")
    failures = np.cumsum(1.0 / size[feeder[order]])  # feeders lost when tau is at the k-th largest mistake
    lost = np.flatnonzero(failures > allowed + _TOLERANCE)
    largest = worst[order[lost[0]]] if len(lost) else 0.0
    return float(max(np.nextafter(largest, 2.0), LEAST_TAU))


def risk_quantile(mistakes: Sequence[float], feeders: Sequence[str], tau: float, level: float = 0.95) -> float:
    """Bound that the true risk of a threshold found on these feeders exceeds in 1 - ``level`` of all calibrations.

    Exact for one instance per feeder and confidences without ties, else a rounded-up number of lost feeders.
    """
    worst = np.asarray(mistakes, dtype=float)
    _, feeder, size = np.unique(np.asarray(feeders), return_inverse=True, return_counts=True)
    lost = np.ceil(np.sum((worst >= tau) / size[feeder]) - _TOLERANCE)
    return float(betaincinv(lost + 1, len(size) - lost, level)) if lost < len(size) else 1.0


def calibrate(
    predictor: Predictor,
    temperature_pairs: Sequence[tuple[ReconfigurationProblem, Configuration]],
    threshold_pairs: Sequence[tuple[ReconfigurationProblem, Configuration]],
    threshold_feeders: Sequence[str],
    judge: Judge,
    alphas: Sequence[float] = ALPHAS,
) -> Calibration:
    """Temperature from one set of feeders, thresholds and novelty from another that nothing was fitted to.

    The novelty belongs to the model and is set there.

    Parameters
    ----------
    temperature_pairs
        Pairs not trained on; those of early stopping serve.
    threshold_pairs, threshold_feeders
        Pairs of further feeders, and the feeder of each.
    judge
        As fixing will use it.

    Raises
    ------
    DataError
        If pairs and feeders do not match.
    """
    if len(threshold_pairs) != len(threshold_feeders):
        raise DataError(
            "calibration pairs", [f"{len(threshold_pairs)} pairs but {len(threshold_feeders)} feeder names"]
        )
    raw = Predictor(predictor.model)
    temperature = fit_temperature([raw.predict(p) for p, _ in temperature_pairs], [y for _, y in temperature_pairs])
    cooled = Predictor(predictor.model, temperature)
    labels = [y for _, y in threshold_pairs]
    further = [extract(problem) for problem, _ in threshold_pairs]
    predictor.model.novelty.calibrate([feeder for feeder in further if feeder.edge_index.shape[1]])
    before = [raw.predict(p) for p, _ in threshold_pairs]
    after = [cooled.predict(p) for p, _ in threshold_pairs]
    mistakes = [
        judge(problem, p).worst_mistake(p.graph.canonical(label))
        for (problem, label), p in zip(threshold_pairs, after, strict=True)
    ]
    thresholds = {alpha: conformal_threshold(mistakes, threshold_feeders, alpha) for alpha in alphas}
    return Calibration(
        temperature=temperature,
        thresholds=thresholds,
        n_feeders=len(set(threshold_feeders)),
        n_instances=len(threshold_pairs),
        ece_before=reliability(before, labels).ece,
        ece=reliability(after, labels).ece,
        risks={a: risk_quantile(mistakes, threshold_feeders, t) for a, t in thresholds.items() if t is not None},
    )


def reliability(predictions: Sequence[Prediction], labels: Sequence[Configuration]) -> Reliability:
    """Reliability over the free branches of many instances."""
    p_closed = [p.p_closed[p.free] for p in predictions]
    closed = [p.graph.canonical(y).closed[p.free] for p, y in zip(predictions, labels, strict=True)]
    return Reliability.of(np.concatenate([*p_closed, np.zeros(0)]), np.concatenate([*closed, np.zeros(0, dtype=bool)]))
