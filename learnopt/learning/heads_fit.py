"""Training of the heads: likelihood of whole configurations and of the choices of devices, all problems at once.

Problems are few and small, since every label is a proof with controls; a step goes over all of them: a training is
a function of data and seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learnopt.errors import DataError
from learnopt.learning.heads import RelaxationHeads, RootData
from learnopt.learning.likelihood import log_partition_of
from learnopt.learning.model import one_thread
from learnopt.network import Ints

PATIENCE = 60
"""Steps without a better likelihood of the validation problems after which training stops."""


@dataclass(frozen=True)
class _Packed:
    """All problems in a row."""

    branch: Tensor
    choice: Tensor
    closed: Tensor
    best_closed: Tensor
    best_chosen: Tensor
    device: Tensor
    problem_of_branch: Tensor
    problem_of_device: Tensor
    n_loops: Tensor
    node_start: Ints
    edge_start: Ints
    tail: Ints
    head: Ints

    @classmethod
    def of(cls, items: Sequence[RootData]) -> _Packed:
        nodes = np.cumsum([0, *(item.n_nodes for item in items)])
        edges = np.cumsum([0, *(len(item.tail) for item in items)])
        devices = np.cumsum([0, *(item.n_devices for item in items)])
        labels = [(item.best_closed, item.best_chosen) for item in items]
        if any(closed is None or chosen is None for closed, chosen in labels):
            raise DataError("training problems", ["one has no label"])

        def joined(arrays: Sequence[np.ndarray | None]) -> Tensor:
            return torch.from_numpy(np.concatenate([each for each in arrays if each is not None]))

        return cls(
            branch=joined([item.branch for item in items]),
            choice=joined([item.choice for item in items]),
            closed=joined([np.where(item.closed, 1.0, -1.0).astype(np.float32) for item in items]),
            best_closed=joined([closed for closed, _ in labels]),
            best_chosen=joined([chosen for _, chosen in labels]),
            device=joined([item.device + first for item, first in zip(items, devices, strict=False)]),
            problem_of_branch=torch.from_numpy(np.repeat(np.arange(len(items)), np.diff(edges))),
            problem_of_device=torch.from_numpy(np.repeat(np.arange(len(items)), np.diff(devices))),
            n_loops=torch.tensor([max(len(item.tail) - item.n_nodes + 1, 1) for item in items], dtype=torch.float64),
            node_start=nodes.astype(np.int64),
            edge_start=edges.astype(np.int64),
            tail=np.concatenate([item.tail + first for item, first in zip(items, nodes, strict=False)]),
            head=np.concatenate([item.head + first for item, first in zip(items, nodes, strict=False)]),
        )

    def loss(self, model: RelaxationHeads, weight: Tensor) -> Tensor:
        """Negative log-likelihood per loop, and per device, weighted by problem."""
        theta, score = model(self.branch, self.choice, self.closed)
        theta, score = theta.double(), score.double()
        log_z = log_partition_of(theta, self.node_start, self.edge_start, self.tail, self.head)
        states = torch.zeros_like(log_z).index_add(0, self.problem_of_branch, torch.where(self.best_closed, theta, 0.0))
        trees = (log_z - states) / self.n_loops
        n = len(self.problem_of_device)
        most = torch.full((n,), -torch.inf, dtype=torch.float64).scatter_reduce(0, self.device, score.detach(), "amax")
        total = torch.zeros(n, dtype=torch.float64).index_add(0, self.device, torch.exp(score - most[self.device]))
        chosen = torch.zeros(n, dtype=torch.float64).index_add(
            0, self.device, torch.where(self.best_chosen, score, 0.0)
        )
        devices = most + torch.log(total) - chosen
        return (weight @ trees + weight[self.problem_of_device] @ devices) / weight.sum()


def fit_heads(
    training: Sequence[RootData],
    validation: Sequence[RootData],
    *,
    hidden: int = 32,
    steps: int = 1000,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    emphasis: float = 1.0,
    seed: int = 0,
) -> RelaxationHeads:
    """Heads of the step with the best likelihood of the validation problems.

    Parameters
    ----------
    training, validation
        Problems with labels, of different feeders.
    emphasis
        Weight of a problem whose plan is not its label: those are what heads are for, and rare.

    Raises
    ------
    DataError
        If a side is empty or a problem has no label.
    """
    if not (training and validation):
        raise DataError("training problems", [f"{len(training)} and {len(validation)} to validate on: both are needed"])
    torch.manual_seed(seed)
    model = RelaxationHeads(hidden)
    sides = [_Packed.of(training), _Packed.of(validation)]
    weights = [
        torch.tensor([emphasis if _differs(item) else 1.0 for item in items], dtype=torch.float64)
        for items in (training, validation)
    ]
    model.standardise_branch.fit(sides[0].branch)
    model.standardise_choice.fit(sides[0].choice)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    best, kept, idle = np.inf, {}, 0
    with one_thread():
        for _ in range(steps):
            optimizer.zero_grad()
            sides[0].loss(model, weights[0]).backward()
            optimizer.step()
            with torch.no_grad():
                value = float(sides[1].loss(model, weights[1]))
            idle += 1
            if value < best:
                best, idle = value, 0
                kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            if idle == PATIENCE:
                break
    model.load_state_dict(kept)
    return model.eval()


def _differs(item: RootData) -> bool:
    pairs = ((item.best_closed, item.closed), (item.best_chosen, item.planned))
    return any(label is not None and not np.array_equal(label, own) for label, own in pairs)
