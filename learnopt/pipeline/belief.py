"""What the model believes about a problem with controls or several scenarios: one prediction per scenario.

The model sees switches and loads only, so controls are neutral in what it sees. Marginals are averaged by weight, and a
switch is fixed only where the predictions of all scenarios that have a weight agree on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learnopt.learning.predict import Prediction, Predictor
from learnopt.network import Configuration, Floats, ReconfigurationProblem
from learnopt.network.topology import maximum_spanning_tree
from learnopt.pipeline.policy import Decision, FixingPolicy
from learnopt.pipeline.starts import judge


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

    def used_alpha(self, policy: FixingPolicy) -> float | None:
        """The least risk used in any scenario; None where one of them fixes nothing."""
        used = [policy.used_alpha(p) for p in self.predictions]
        return None if None in used else min(alpha for alpha in used if alpha is not None)

    def decide(self, policy: FixingPolicy) -> NDArray[np.int8]:
        """Decision per branch, shape (n_branch,): where all scenarios take the same one."""
        pairs = zip(self.members, self.predictions, strict=True)
        each = np.stack([policy.decide(prediction, judge(member, prediction)) for member, prediction in pairs])
        agreed = (each == each[0]).all(axis=0)
        return np.where(agreed, each[0], np.int8(Decision.FREE)).astype(np.int8)

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
