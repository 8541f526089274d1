r"""Heads of a model that see the relaxation of the very problem that is solved, beside a plan that is known.

The model of :mod:`learnopt.learning.model` sees topology, loads and impedances. What limits, controls, charging or
generation change, the linear relaxation of the problem knows: per undecided branch and per choice of a device (a step
of a bank, a position of a tap changer, a generator off or on) it gives a share, a price and flows, and a plan is at
hand. One head gives each branch a weight :math:`\theta_e`, so that configurations are spanning trees
(:mod:`learnopt.learning.spanning_tree`); the other scores the choices of each device, a softmax over its own ones. Both
see one branch, or one choice, at a time and ratios only: they do not depend on size, order or names.

*Confidence*: what the plan has is kept where the heads give everything else there a small probability q,

.. math:: c = 1 / (1 + n\,q)

with n the number of branches and devices to decide, so that one threshold accepts as many mistakes at every size.
Thresholds are conformal, per class of problem (:mod:`learnopt.learning.classes`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from learnopt.learning.features import Feature
from learnopt.learning.model import Standardiser, one_thread
from learnopt.learning.spanning_tree import SpanningTrees
from learnopt.network import Bools, Floats, Ints

MOST_THETA = 20.0
"""Weights of branches are cut there: nothing is surer than the heads were ever shown."""


@dataclass(frozen=True)
class RootSchema:
    """Ordered columns of branches and of choices. Heads serve only the version they were trained with."""

    version: int
    branch: tuple[Feature, ...]
    choice: tuple[Feature, ...]


ROOT_SCHEMA = RootSchema(
    version=1,
    branch=(
        Feature("share", "share by which the relaxation closes the branch", "0 to 1"),
        Feature("planned", "closed in the plan", "0 or 1"),
        Feature("agreement", "1 - |share - planned|", "0 to 1"),
        Feature("price", "reduced cost of the state the plan does not have over the gap of plan and bound", "log10"),
        Feature("belief", "log odds of the state in the plan by the model that sees loads and impedances", "-8 to 8"),
        Feature("rise", "rise of the objective by the cheapest exchange that changes it, controls held", "log10"),
        Feature("flow", "flow in the relaxation over total apparent load", "log10"),
        Feature("flow_planned", "flow in the plan over total apparent load", "log10"),
        Feature("loss", "loss in the relaxation over its bound", "log10"),
        Feature("chain_open", "sum of 1 - share over its chain", "0 to 1"),
        Feature("chain_share", "1 - share over its sum over the chain", "0 to 1"),
        Feature("chain_planned", "the plan opens a branch of its chain", "0 or 1"),
        Feature("gap", "gap of plan and bound over the objective of the plan", "log10"),
        Feature("branches", "undecided branches", "log2"),
        Feature("loops", "branches that are to be opened", "log2"),
        Feature("devices", "devices with a choice", "log2"),
    ),
    choice=(
        Feature("share", "share of the choice in the relaxation", "0 to 1"),
        Feature("planned", "the plan has it", "0 or 1"),
        Feature("price", "its reduced cost over the gap of plan and bound", "asinh"),
        Feature("from_relaxed", "distance from the mean of the relaxation over the range of the device", "0 to 1"),
        Feature("from_planned", "distance from the plan over the range of the device", "0 to 1"),
        Feature("place", "place in the range of the device", "0 to 1"),
        Feature("effect", "rise of the objective when the plan changes to it and nothing else, relative", "asinh"),
        Feature("best_effect", "the same of the best other choice of the device", "asinh"),
        Feature("capacitor", "step of a bank", "0 or 1"),
        Feature("tap", "position of a tap changer", "0 or 1"),
        Feature("choices", "choices of the device", "log2"),
        Feature("gap", "gap of plan and bound over the objective of the plan", "log10"),
        Feature("devices", "devices with a choice", "log2"),
    ),
)
"""The columns of this version; raise ``version`` with every change of a column."""


@dataclass(frozen=True)
class RootData:
    """One problem at its root, and the label where there is one.

    Parameters
    ----------
    n_nodes, tail, head, branch_index
        Of the decision graph, branches alike not joined.
    branch
        Branch features, float32, shape (n_undecided, n_branch_feature).
    choice
        Choice features, float32, shape (n_choice, n_choice_feature).
    device
        Device of each choice, in blocks from 0, shape (n_choice,).
    closed
        bool, shape (n_undecided,): state in the plan.
    planned
        bool, shape (n_choice,): choices of the plan.
    best_closed, best_chosen
        The same of the label; None without one.
    """

    n_nodes: int
    tail: Ints
    head: Ints
    branch_index: Ints
    branch: Floats
    choice: Floats
    device: Ints
    closed: Bools
    planned: Bools
    best_closed: Bools | None = None
    best_chosen: Bools | None = None

    @property
    def n_devices(self) -> int:
        """Devices with a choice."""
        return int(self.device.max(initial=-1)) + 1

    @property
    def n_decisions(self) -> int:
        """Branches and devices to decide."""
        return len(self.tail) + self.n_devices


@dataclass(frozen=True)
class RootBelief:
    """What the heads believe of a plan.

    Parameters
    ----------
    branch
        Confidence in the state of each undecided branch in the plan, shape (n_undecided,).
    device
        Confidence in the choice of each device in the plan, shape (n_device,).
    likely_closed
        bool, shape (n_undecided,): the most probable configuration.
    likely_chosen
        bool, shape (n_choice,): the most probable choice of each device.
    """

    branch: Floats
    device: Floats
    likely_closed: Bools
    likely_chosen: Bools

    def worst_mistake(self, data: RootData) -> float:
        """Largest confidence in something that the label contradicts; every threshold up to it holds it wrongly."""
        assert data.best_closed is not None
        assert data.best_chosen is not None
        wrong = np.zeros(data.n_devices, dtype=bool)
        wrong[data.device[data.planned & ~data.best_chosen]] = True
        mistakes = np.concatenate([self.branch[data.best_closed != data.closed], self.device[wrong]])
        return float(mistakes.max(initial=0.0))


class RelaxationHeads(nn.Module):
    """A small perceptron per branch, another per choice.

    Parameters
    ----------
    hidden
        Width of the two hidden layers; 0 = none, logistic regression.
    """

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.hidden = hidden
        n_branch, n_choice = len(ROOT_SCHEMA.branch), len(ROOT_SCHEMA.choice)
        self.standardise_branch, self.standardise_choice = Standardiser(n_branch), Standardiser(n_choice)
        self.branch_head, self.choice_head = _perceptron(n_branch, hidden), _perceptron(n_choice, hidden)

    def forward(self, branch: Tensor, choice: Tensor, closed: Tensor) -> tuple[Tensor, Tensor]:
        """Weight of each branch, score of each choice.

        Parameters
        ----------
        closed
            1 where the plan closes a branch, else -1: the head scores what the plan has.
        """
        agreed = self.branch_head(self.standardise_branch(branch)).squeeze(-1).clamp(-MOST_THETA, MOST_THETA)
        return agreed * closed, self.choice_head(self.standardise_choice(choice)).squeeze(-1)

    def believe(self, data: RootData) -> RootBelief:
        """What the heads say of one problem."""
        with torch.inference_mode(), one_thread():
            tensors = (torch.from_numpy(each) for each in (data.branch, data.choice))
            theta, score = self(*tensors, torch.from_numpy(np.where(data.closed, 1.0, -1.0)))
        trees = SpanningTrees.of(data.n_nodes, data.tail, data.head, theta.double().numpy())
        chances = softmax_by(score.double().numpy(), data.device)
        likely = np.zeros(len(chances), dtype=bool)
        order = np.lexsort((-chances, data.device))
        likely[order[np.unique(data.device[order], return_index=True)[1]]] = True
        other = np.where(data.closed, trees.p_open, trees.p_closed)
        missed = np.bincount(data.device, np.where(data.planned, 0.0, chances), data.n_devices).astype(float)
        n = data.n_decisions
        return RootBelief(_confidence(other, n), _confidence(missed, n), trees.most_probable, likely)


def softmax_by(score: Floats, group: Ints) -> Floats:
    """Softmax over each group, shape (n,)."""
    if not len(score):
        return score
    most = np.full(int(group.max()) + 1, -np.inf)
    np.maximum.at(most, group, score)
    weight = np.exp(score - most[group])
    return weight / np.bincount(group, weight)[group]


def _confidence(other: Floats, n: int) -> Floats:
    """Confidence in what everything else has this probability of; 0 from one half on."""
    return np.where(other < 0.5, 1.0 / (1.0 + n * np.maximum(other, 0.0)), 0.0)


def _perceptron(n_in: int, hidden: int) -> nn.Sequential:
    if not hidden:
        return nn.Sequential(nn.Linear(n_in, 1))
    return nn.Sequential(nn.Linear(n_in, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1))
