"""From a problem to what the model believes; what is done with it is decided elsewhere (``learnopt.pipeline``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from learnopt.learning.classes import CalibratedHeads
from learnopt.learning.coverage import Coverage
from learnopt.learning.features import feeder_data
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.model import SwitchModel, one_thread
from learnopt.learning.spanning_tree import SpanningTrees
from learnopt.network import Bools, Configuration, Floats, ReconfigurationProblem


@dataclass(frozen=True)
class Prediction:
    """A calibrated distribution over the radial configurations of one problem.

    Parameters
    ----------
    graph
        The undecided part of the problem, branches that are alike joined.
    trees
        Distribution over its spanning trees.
    thresholds
        Confidence threshold tau for each stated risk alpha, None where the calibration feeders were too few for it.
    others
        Distributions of the further members of an ensemble; the belief is the mean over all of them.
    novelty
        How unlike the training feeders this one is: above 1 for one in a hundred of the calibration feeders.
    """

    graph: DecisionGraph
    trees: SpanningTrees
    thresholds: Mapping[float, float | None] = field(default_factory=dict)
    others: tuple[SpanningTrees, ...] = ()
    novelty: float = 0.0

    @cached_property
    def free(self) -> Bools:
        """bool, shape (n_branch,): branches that are a decision; only these can be fixed."""
        mask = np.zeros(len(self.graph.forced_closed), dtype=bool)
        mask[self.graph.branch_index] = True
        return mask

    @cached_property
    def p_closed(self) -> Floats:
        """Probability that a branch is closed, shape (n_branch,); 1 or 0 where the problem leaves no choice."""
        return self.graph.spread(1.0 - self.p_open, 1.0, 0.0)

    @cached_property
    def p_open(self) -> Floats:
        """Probability that an undecided branch is open, precise where it is small, shape (n_undecided,)."""
        return np.mean([trees.p_open for trees in (self.trees, *self.others)], axis=0)

    @cached_property
    def theta(self) -> Floats:
        """Weight of each branch (first member), shape (n_branch,); inf or -inf where the problem leaves no choice."""
        return self.graph.spread(self.trees.theta, np.inf, -np.inf)

    @cached_property
    def most_probable(self) -> Configuration:
        """The configuration of largest probability, in the geometric mean of the members of an ensemble; radial."""
        if not self.others:
            return self.graph.expand(self.trees.most_probable)
        graph = self.graph
        theta = np.mean([trees.theta for trees in (self.trees, *self.others)], axis=0)
        return graph.expand(SpanningTrees.of(graph.n_nodes, graph.tail, graph.head, theta).most_probable)

    def sample(self, n: int, rng: np.random.Generator) -> list[Configuration]:
        """Independent draws, in turn from each member of an ensemble; radial."""
        members = (self.trees, *self.others)
        each = [trees.sample(len(range(k, n, len(members))), rng) for k, trees in enumerate(members)]
        return [self.graph.expand(each[k % len(members)][k // len(members)]) for k in range(n)]


@dataclass(frozen=True)
class Predictor:
    """A trained model with its calibration, ready to serve.

    Parameters
    ----------
    model
        In evaluation mode.
    temperature
        Divides theta (:mod:`learnopt.learning.calibration`).
    thresholds
        See :class:`Prediction`.
    name
        Name of the checkpoint.
    coverage
        What the feeders had that the thresholds were calibrated on.
    heads
        What sees the relaxation, calibrated by class; None where a checkpoint has none.
    """

    model: SwitchModel
    temperature: float = 1.0
    thresholds: Mapping[float, float | None] = field(default_factory=dict)
    name: str = "model"
    coverage: Coverage = field(default_factory=Coverage)
    heads: CalibratedHeads | None = None

    def predict(self, problem: ReconfigurationProblem) -> Prediction:
        """What the model believes about a problem: one forward pass and one small determinant (per member).

        Raises
        ------
        DataError
            If no radial configuration exists.
        """
        graph = DecisionGraph.of(problem)
        with torch.inference_mode(), one_thread():
            data = feeder_data(problem, graph)
            theta = np.atleast_2d(self.model(data).double().numpy() / self.temperature)
            novelty = self.model.novelty(data)
        joined = graph.joined
        # Probabilities of "open" add up over branches that are alike.
        log_open = np.full_like(theta, -np.inf)
        for row, values in zip(log_open, theta, strict=True):
            np.logaddexp.at(row, data.alike.numpy(), -values)
        weight = -log_open[:, np.isin(graph.branch_index, joined.branch_index)]
        first, *others = (SpanningTrees.of(joined.n_nodes, joined.tail, joined.head, row) for row in weight)
        return Prediction(joined, first, self.thresholds, tuple(others), novelty)

    def predict_step_by_step(
        self, problem: ReconfigurationProblem, at_once: float = 1.0, rounds: int | None = None
    ) -> Configuration:
        """Open the surest branch, look again at the network without it, and so on until it is radial.

        Closer to the optimum than :attr:`Prediction.most_probable`: each opening moves the flows that the next one
        depends on. As many forward passes as there are loops, unless branches that are open with probability
        >= ``at_once`` are opened together, or no more than so many ``rounds`` are allowed. Train with
        ``partial_states`` for this use.
        """
        state = problem
        left = rounds or problem.network.n_branch
        while True:
            prediction = self.predict(state)
            graph = prediction.graph
            if graph.n_loops == 0:
                return prediction.most_probable
            # Branches that one tree opens leave every bus connected, whichever of them are opened.
            chords = ~prediction.most_probable.closed[graph.branch_index]
            p_open = np.where(chords, prediction.p_open, -1.0)
            least = -(-graph.n_loops // max(left, 1))
            left -= 1
            opened = p_open >= at_once
            opened[np.argsort(-p_open, kind="stable")[:least]] = True
            locked = state.locked.copy()
            locked[graph.branch_index[opened]] = 0
            state = state.replace(locked=locked)
