"""The spanning-tree distribution as a differentiable layer: log Z and its gradient, the probabilities "closed"."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch_geometric.data import Batch
from torch_geometric.utils import scatter

from learnopt.learning.elimination import log_partition
from learnopt.learning.spanning_tree import log_partition_batch
from learnopt.network import Ints


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, theta: Tensor, node_start: Ints, edge_start: Ints, tail: Ints, head: Ints) -> Tensor:
        log_z, p_closed, _ = log_partition_batch(
            node_start, edge_start, tail, head, theta.detach().to("cpu", torch.float64).numpy()
        )
        ctx.save_for_backward(torch.from_numpy(p_closed).to(theta), torch.from_numpy(edge_start).to(theta.device))
        return torch.from_numpy(log_z).to(theta)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        p_closed, edge_start = ctx.saved_tensors
        return p_closed * upstream.repeat_interleave(edge_start.diff()), None, None, None, None


def log_partition_of(theta: Tensor, node_start: Ints, edge_start: Ints, tail: Ints, head: Ints) -> Tensor:
    """Log Z of many graphs, differentiable in theta; arguments as those of :func:`log_partition_batch`."""
    log_z: Tensor = _LogPartition.apply(theta, node_start, edge_start, tail, head)  # type: ignore[no-untyped-call]
    return log_z


def batch_arrays(batch: Batch) -> tuple[Ints, Ints, Ints, Ints]:
    """First node and first branch of each graph with the totals, tails and heads of a batch of feeders."""
    tail, head = batch.edge_index.cpu().numpy()
    node_start = batch.ptr.cpu().numpy()
    # Branches of one graph are contiguous, like its nodes.
    return node_start, np.searchsorted(batch.batch.cpu().numpy()[tail], np.arange(len(node_start))), tail, head


def negative_log_likelihood(batch: Batch, theta: Tensor) -> Tensor:
    r"""-log P(label or a configuration of equal loss) of every feeder of a batch, in float64, shape (n_graph,).

    Of branches in series with no load between them it makes no difference which one is open, so their probabilities are
    added: a group g that the label opens contributes :math:`\log \sum_{e \in g} e^{-\theta_e}` in place of one term.

    Parameters
    ----------
    batch
        Feeders with labels. Where it has ``junctions`` (:meth:`PackedFeeders.batch`) everything stays on its device.
    theta
        Weight of each undecided branch, shape (n_branch of the batch,).
    """
    weight = theta.double()
    junctions = batch.get("junctions")
    if junctions is None:
        log_z = log_partition_of(weight, *batch_arrays(batch))
    else:
        log_z = log_partition(weight, batch.chain, junctions, batch.num_graphs)
    graph = batch.batch[batch.edge_index[0]]
    opened = opened_groups(batch.alike, batch.closed)
    least = scatter(weight.detach(), batch.alike, dim=0, dim_size=len(weight), reduce="min")
    total = torch.zeros_like(weight).index_add(0, batch.alike, torch.exp(least[batch.alike] - weight))
    group_weight = least - torch.log(total.clamp(min=1e-300))
    score = torch.zeros_like(log_z).index_add(0, graph, weight)
    return log_z - score.index_add(0, graph, torch.where(opened, -group_weight, 0.0))


def opened_groups(alike: Tensor, closed: Tensor) -> Tensor:
    """bool, shape (n_branch,): true at the branch that stands for a group of which one is open."""
    opened: Tensor = scatter((~closed).to(torch.int32), alike, dim=0, dim_size=len(closed), reduce="max")
    return opened.bool()


def cross_entropy(batch: Batch, theta: Tensor) -> Tensor:
    """-log P(state) of each branch when it is judged alone, theta being its log-odds, shape (n_branch,)."""
    loss: Tensor = torch.nn.functional.binary_cross_entropy_with_logits(theta, batch.closed.to(theta), reduction="none")
    return loss
