"""What the model believes about a problem with controls or several scenarios: one prediction per scenario.

The model sees switches and loads only, so controls are neutral in what it sees. Marginals are averaged by weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.learning.predict import Prediction, Predictor
from learnopt.network import Configuration, Floats, ReconfigurationProblem
from learnopt.network.topology import maximum_spanning_tree


@dataclass(frozen=True)
class Belief:
    """Predictions of the scenarios of one problem.

    Parameters
    ----------
    members
        The problem of each scenario that has a weight, controls neutral.
    predictions, weights
        Of these scenarios; the weights have the sum 1.
    """

    members: tuple[ReconfigurationProblem, ...]
    predictions: tuple[Prediction, ...]
    weights: Floats

    @property
    def p_closed(self) -> Floats:
        """Mean probability that a branch is closed, shape (n_branch,)."""
        return np.tensordot(self.weights, np.stack([p.p_closed for p in self.predictions]), 1)

    @property
    def novelty(self) -> float:
        """That of the least familiar scenario."""
        return max(p.novelty for p in self.predictions)

    @property
    def most_probable(self) -> Configuration:
        """The radial configuration of largest mean probabilities; of one scenario its most probable one."""
        if len(self.predictions) == 1:
            return self.predictions[0].most_probable
        problem = self.members[0]
        return Configuration(maximum_spanning_tree(problem.network, problem.usable, self.p_closed, problem.must_close))


def predict_together(predictor: Predictor, problem: ReconfigurationProblem) -> Belief:
    """Predictions of every scenario of a problem that has a weight, controls neutral."""
    plain = problem.applied(None)
    chosen = np.flatnonzero(plain.weights > 0)
    weights = plain.weights[chosen]
    members = tuple(plain.members[k] for k in chosen)
    return Belief(members, tuple(map(predictor.predict, members)), weights / weights.sum())
