r"""Spanning-tree sums of many graphs at once by tensor operations on any device, exact at any spread of the weights.

Chains and blocks are reduced as in :mod:`learnopt.learning.spanning_tree`, so that what is left of each block is a
graph of junctions with one weight :math:`w` per chain. Eliminating junction k (star-mesh transform, an elimination step
of its Laplacian) takes

.. math:: s = \sum_i w_{ik}, \qquad \log Z \mathrel{+}= \log s, \qquad w_{ij} \mathrel{+}= w_{ik} w_{kj} / s .

No number is ever subtracted (the diagonal of the Laplacian is not stored but summed anew), hence each step loses no
more than rounding, whatever the weights, where an ordinary factorisation of the Laplacian is lost beyond
:math:`\theta \approx \pm 15`. Run backward, the same factors :math:`c_i = w_{ik} / s` give the effective resistance
between any two junctions,

.. math:: R_{ik} = 1 / s + \sum_j c_j R_{ij} - \tfrac12 \sum_{ij} c_i c_j R_{ij},

and :math:`w_e R_e` is the probability that e is in a tree: the gradient of log Z. All blocks of a batch take a step
together; sorted by size, those that still have a junction to eliminate are the leading ones.

References
----------
Grassmann, Taksar & Heyman (1985), doi:10.1287/opre.33.5.1107; O'Cinneide (1993), doi:10.1007/BF01385737 (elimination
without subtraction, and its accuracy).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch_geometric.utils import scatter

from learnopt.network import Ints

_LEAST = -600.0
"""Logarithm of a chain's weight over the largest of its block below which all weights are alike: float64 ends there."""


def chain_ends(
    edges: Ints, chain: Ints, block: Ints, first_node: Ints, n_chains: int, n_blocks: int
) -> tuple[Ints, Ints, Ints]:
    """Where chains end, in the junctions of their block; of one graph, or of several that are counted through.

    Parameters
    ----------
    edges
        End nodes of each branch, shape (n_branch, 2).
    chain, block
        Of each branch, shape (n_branch,).
    first_node
        Node 0 of each graph, which ends chains always, shape (n_graph,).

    Returns
    -------
    Junctions at both ends of each chain, shape (n_chains, 2), block of each chain, junctions of each block
    """
    size = int(edges.max(initial=-1)) + 1
    passing = np.bincount(edges.ravel(), minlength=size) == 2
    passing[first_node[first_node < size]] = False
    side, branch = np.nonzero(~passing[edges.T])
    order = np.argsort(chain[branch], kind="stable")  # every chain ends twice
    node = edges[branch[order], side[order]].reshape(n_chains, 2)
    owner = np.empty(n_chains, dtype=np.int64)
    owner[chain] = block
    key, place = np.unique(owner[:, None] * size + node, return_inverse=True)
    junctions = np.bincount(key // max(size, 1), minlength=n_blocks)
    first = np.cumsum(junctions) - junctions
    return place.reshape(n_chains, 2) - first[owner][:, None], owner, junctions


@dataclass(frozen=True)
class Junctions:
    """The graphs of junctions of a batch, blocks sorted by falling size.

    Parameters
    ----------
    block, tail, head
        Of each chain: its block in that order, junctions at its ends, shape (n_chain,). Chains that end where they
        began have no part in any sum.
    left
        Number of blocks that have a junction k, for each k of the largest block.
    chain_graph, block_graph, branch_graph
        Graph of each chain, of each block in that order, and of each branch.
    """

    block: Tensor
    tail: Tensor
    head: Tensor
    left: tuple[int, ...]
    chain_graph: Tensor
    block_graph: Tensor
    branch_graph: Tensor

    @classmethod
    def of(
        cls,
        ends: Tensor,
        owner: Tensor,
        junctions: Ints,
        chain_graph: Tensor,
        block_graph: Ints,
        branch_graph: Tensor,
    ) -> Junctions:
        """From :func:`chain_ends`; tensors on the device to use, arrays on the host."""
        order = np.argsort(-junctions, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        left = np.searchsorted(-junctions[order], -np.arange(junctions.max(initial=0)), side="left")
        moved = torch.from_numpy(np.stack([place, block_graph[order]])).to(ends.device)
        left_over = tuple(left.tolist())
        return cls(moved[0][owner], ends[:, 0], ends[:, 1], left_over, chain_graph, moved[1], branch_graph)


def log_partition(theta: Tensor, chain: Tensor, junctions: Junctions, n_graphs: int) -> Tensor:
    """Log Z of every graph, differentiable, shape (n_graphs,); theta in float64 and chain of each branch."""
    n_chains, n_blocks = len(junctions.block), len(junctions.block_graph)
    least = scatter(theta.detach(), chain, dim=0, dim_size=n_chains, reduce="min")
    total = torch.zeros_like(least).index_add(0, chain, torch.exp(least[chain] - theta))
    weight = least - torch.log(total)
    top = scatter(weight.detach(), junctions.block, dim=0, dim_size=n_blocks, reduce="max")
    log_sum = _BlockSums.apply(weight, top, junctions)  # type: ignore[no-untyped-call]
    log_z = theta.new_zeros(n_graphs).index_add(0, junctions.branch_graph, theta)
    log_z = log_z.index_add(0, junctions.chain_graph, -weight)
    return log_z.index_add(0, junctions.block_graph, log_sum)


class _BlockSums(torch.autograd.Function):
    """Log of the sum over the spanning trees of each block's junctions, shape (n_block,)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, top: Tensor, junctions: Junctions) -> Tensor:
        block, tail, head = junctions.block, junctions.tail, junctions.head
        size, left = len(junctions.left), junctions.left
        relative = torch.exp((weight - top[block]).clamp(min=_LEAST))
        # All that is read is the lower triangle. What gathers on the diagonal are loops, which no tree has.
        mesh = torch.zeros(len(top), size, size, dtype=weight.dtype, device=weight.device)
        mesh.index_put_((block, torch.maximum(tail, head), torch.minimum(tail, head)), relative, accumulate=True)
        total = torch.ones(len(top), size, dtype=weight.dtype, device=weight.device)
        for k in range(size - 1, 0, -1):
            row = mesh[: left[k], k, :k]
            torch.sum(row, dim=1, out=total[: left[k], k])
            part = row / total[: left[k], k, None]
            mesh[: left[k], :k, :k].addcmul_(part[:, :, None], row[:, None, :])
            row.copy_(part)
        resistance = torch.zeros_like(mesh)
        for k in range(1, size):
            part = mesh[: left[k], k, :k]
            heard = (resistance[: left[k], :k, :k] @ part[:, :, None]).squeeze(2)
            between = total[: left[k], k, None].reciprocal() + heard - 0.5 * (part * heard).sum(1, keepdim=True)
            resistance[: left[k], k, :k] = between
            resistance[: left[k], :k, k] = between
        ctx.save_for_backward(relative * resistance[block, tail, head], block)
        eliminated = torch.tensor(left, device=weight.device)
        count = (torch.arange(len(top), device=weight.device)[:, None] < eliminated[1:]).sum(1)
        return total.log().sum(1) + top * count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        p_closed, block = ctx.saved_tensors
        return p_closed * upstream[block], None, None
