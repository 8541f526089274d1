"""What the model believes about a problem: one prediction per load situation; of one situation it is the prediction.

The model sees switches and loads only, so controls are neutral in what it sees. Marginals are averaged by weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from learnopt.learning.graph import DecisionGraph
from learnopt.learning.predict import Prediction, Predictor
from learnopt.network import Configuration, Floats, ReconfigurationProblem
from learnopt.network.topology import maximum_spanning_tree


@dataclass(frozen=True)
class Belief:
    """Predictions of the load situations of one problem.

    Parameters
    ----------
    members
        The problem of each situation that has a weight, controls neutral.
    predictions, weights
        Of these situations; the weights have the sum 1.
    """

    members: tuple[ReconfigurationProblem, ...]
    predictions: tuple[Prediction, ...]
    weights: Floats

    @classmethod
    def of(cls, predictor: Predictor, problem: ReconfigurationProblem) -> Belief:
        """Predictions of every situation of a problem that has a weight, controls neutral."""
        plain = problem.applied(None)
        chosen = np.flatnonzero(plain.weights > 0)
        members = tuple(plain.members[k] for k in chosen)
        weights = plain.weights[chosen]
        return cls(members, tuple(map(predictor.predict, members)), weights / weights.sum())

    @property
    def graph(self) -> DecisionGraph:
        """What is undecided, in every situation alike; which of its branches are alike is that of the first."""
        return self.predictions[0].graph

    @cached_property
    def p_closed(self) -> Floats:
        """Mean probability that a branch is closed, shape (n_branch,)."""
        return np.tensordot(self.weights, np.stack([p.p_closed for p in self.predictions]), 1)

    @property
    def novelty(self) -> float:
        """That of the least familiar situation."""
        return max(p.novelty for p in self.predictions)

    @cached_property
    def most_probable(self) -> Configuration:
        """The radial configuration of largest mean probabilities; of one situation its most probable one."""
        if len(self.predictions) == 1:
            return self.predictions[0].most_probable
        problem = self.members[0]
        return Configuration(maximum_spanning_tree(problem.network, problem.usable, self.p_closed, problem.must_close))

    def sample(self, n: int, rng: np.random.Generator) -> list[Configuration]:
        """Independent draws, of situations by weight and then of their predictions; radial."""
        if len(self.predictions) == 1:
            return self.predictions[0].sample(n, rng)
        counts = rng.multinomial(n, self.weights)
        return [tree for p, count in zip(self.predictions, counts, strict=True) for tree in p.sample(int(count), rng)]

    def canonical(self, configuration: Configuration) -> Configuration:
        """The configuration of equal loss that the predictions speak of; of several situations itself."""
        return self.graph.canonical(configuration) if len(self.predictions) == 1 else configuration
