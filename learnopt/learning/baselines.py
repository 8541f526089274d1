"""What a sceptic would try before a neural network, through one interface: fit on pairs, predict a configuration.

Baselines that need power flows or an optimiser (present configuration, sequential opening, branch exchange) live in
``learnopt.learned.baselines``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from learnopt.dataset.identity import feeder_key
from learnopt.errors import DataError
from learnopt.learning.features import FEATURE_SCHEMA, extract
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.training import Pair
from learnopt.network import Configuration, Floats, Ints, ReconfigurationProblem
from learnopt.network.topology import maximum_spanning_tree


def tree_of(problem: ReconfigurationProblem, score: Floats) -> Configuration:
    """Radial configuration of largest total score, shape (n_branch,), among those that a problem admits."""
    graph = DecisionGraph.of(problem)
    return Configuration(maximum_spanning_tree(problem.network, ~graph.forced_open, score, graph.forced_closed))


class Baseline(ABC):
    """A predictor of configurations without a neural network."""

    name: str

    @abstractmethod
    def fit(self, pairs: Sequence[Pair]) -> None:
        """Learn from labelled pairs."""

    @abstractmethod
    def predict(self, problem: ReconfigurationProblem) -> Configuration:
        """A configuration that is radial and keeps every lock of the problem."""


class OpeningCostTree(Baseline):
    """Keep the tree of largest total log opening cost: no learning, one linear solve."""

    name = "opening cost tree"

    def fit(self, pairs: Sequence[Pair]) -> None:
        """Nothing to learn."""

    def predict(self, problem: ReconfigurationProblem) -> Configuration:
        """Maximum spanning tree on log delta."""
        data = extract(problem)
        column = [f.name for f in FEATURE_SCHEMA.branch].index("opening_cost")
        score = np.zeros(problem.network.n_branch)
        score[data.branch_index.numpy()] = data.edge_attr[:, column].numpy()
        return tree_of(problem, score)


class MajorityLabel(Baseline):
    """The most frequent label of the same feeder; the opening cost tree on feeders never seen."""

    name = "majority label"

    def __init__(self) -> None:
        self._labels: dict[str, list[Configuration]] = {}

    def fit(self, pairs: Sequence[Pair]) -> None:
        """Rank the labels of each feeder by how often they occur, earlier ones first among equals."""
        seen: dict[str, Counter[Configuration]] = defaultdict(Counter)
        for problem, label in pairs:
            seen[feeder_key(problem.network)][label] += 1
        self._labels = {key: [label for label, _ in count.most_common()] for key, count in seen.items()}

    def predict(self, problem: ReconfigurationProblem) -> Configuration:
        """The most frequent label that the locks and outages of the problem admit."""
        for label in self._labels.get(feeder_key(problem.network), []):
            if problem.admits(label):
                return label
        return OpeningCostTree().predict(problem)


class NearestNeighbour(Baseline):
    """The label of the training scenario with the nearest loads on the same feeder; see :class:`MajorityLabel`."""

    name = "nearest neighbour"

    def __init__(self) -> None:
        self._scenarios: dict[str, list[tuple[Floats, Configuration]]] = {}

    def fit(self, pairs: Sequence[Pair]) -> None:
        """Remember loads and labels."""
        scenarios = defaultdict(list)
        for problem, label in pairs:
            scenarios[feeder_key(problem.network)].append((_loads(problem), label))
        self._scenarios = dict(scenarios)

    def predict(self, problem: ReconfigurationProblem) -> Configuration:
        """Nearest in Euclidean distance of all net loads, among the labels that the problem admits."""
        loads = _loads(problem)
        known = self._scenarios.get(feeder_key(problem.network), [])
        for _, label in sorted(known, key=lambda row: float(np.sum((row[0] - loads) ** 2))):
            if problem.admits(label):
                return label
        return OpeningCostTree().predict(problem)


class SwitchRegression(Baseline):
    """One logistic regression per switch of a feeder, from all its net loads; see :class:`MajorityLabel`.

    In the manner of MIPLearn: one classifier per binary variable, fitted on instances of one model (Santos Xavier, Qiu
    & Ahmed 2021, doi:10.1287/ijoc.2020.0976). Of a feeder never seen it knows nothing: the opening cost tree.
    """

    name = "logistic regression per switch"
    _CERTAIN = 10.0
    """Log-odds of a state that all labels agree on."""

    def __init__(self) -> None:
        self._pairs: dict[str, list[Pair]] = {}
        self._fitted: dict[str, tuple[Pipeline | None, Ints, Floats]] = {}

    def fit(self, pairs: Sequence[Pair]) -> None:
        """Remember the pairs of each feeder; its regressions are made when it is first asked for."""
        found = defaultdict(list)
        for problem, label in pairs:
            found[feeder_key(problem.network)].append((problem, label))
        self._pairs, self._fitted = dict(found), {}

    def predict(self, problem: ReconfigurationProblem) -> Configuration:
        """Maximum spanning tree on the log-odds of "closed"."""
        key = feeder_key(problem.network)
        if key not in self._pairs:
            return OpeningCostTree().predict(problem)
        if key not in self._fitted:
            self._fitted[key] = self._regressions(self._pairs[key])
        model, varying, score = self._fitted[key]
        if model is not None:
            score = score.copy()
            score[varying] = np.ravel(model.decision_function(_loads(problem)[None]))
        return tree_of(problem, score)

    def _regressions(self, pairs: Sequence[Pair]) -> tuple[Pipeline | None, Ints, Floats]:
        """Classifier of the switches whose state differs between labels, these switches, log-odds of the others."""
        closed = np.array([label.closed for _, label in pairs])
        varying = np.flatnonzero(closed.any(axis=0) & ~closed.all(axis=0))
        score = np.where(closed[0], self._CERTAIN, -self._CERTAIN)
        if not len(varying):
            return None, varying, score
        model = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(max_iter=1000)))
        return model.fit(np.array([_loads(p) for p, _ in pairs]), closed[:, varying].astype(int)), varying, score


class BoostedTrees(Baseline):
    """Gradient-boosted decision trees judge each switch by its features; a maximum spanning tree makes it radial."""

    name = "gradient boosting"

    def __init__(self, seed: int = 0) -> None:
        self._classifier = HistGradientBoostingClassifier(random_state=seed)
        self._fitted = False

    def fit(self, pairs: Sequence[Pair]) -> None:
        """Train on all free branches of all pairs.

        Raises
        ------
        DataError
            If no pair has a switch to decide.
        """
        data = [extract(problem, label) for problem, label in pairs]
        data = [feeder for feeder in data if feeder.edge_index.shape[1]]
        if not data:
            raise DataError("training pairs", ["no training pair has a switch to decide"])
        rows = np.concatenate([feeder.edge_attr.numpy() for feeder in data])
        self._classifier.fit(rows, np.concatenate([feeder.label.numpy() for feeder in data]))
        self._fitted = True

    def predict(self, problem: ReconfigurationProblem) -> Configuration:
        """Maximum spanning tree on the log-odds of "closed"."""
        if not self._fitted:
            raise DataError(self.name, ["fit it on labelled pairs before predicting"])
        data = extract(problem)
        score = np.zeros(problem.network.n_branch)
        if data.edge_index.shape[1]:
            score[data.branch_index.numpy()] = self._classifier.decision_function(data.edge_attr.numpy())
        return tree_of(problem, score)


def all_baselines(seed: int = 0) -> list[Baseline]:
    """Every learning-only baseline, untrained."""
    return [OpeningCostTree(), MajorityLabel(), NearestNeighbour(), SwitchRegression(), BoostedTrees(seed)]


def _loads(problem: ReconfigurationProblem) -> Floats:
    return np.concatenate([problem.p, problem.q])
