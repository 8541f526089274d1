"""Many decision graphs in a few arrays: a batch is gathered on the device it is needed on, without Python per graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from learnopt.learning.elimination import Junctions, chain_ends
from learnopt.learning.features import FeederData
from learnopt.learning.novelty import describe
from learnopt.network import Ints

NODE, BRANCH, CHAIN, BLOCK = range(4)
_ON_CPU = ("description", "junctions", "counts")


@dataclass(frozen=True)
class PackedFeeders:
    """Decision graphs with features and labels, joined row by row; indices count within their own graph.

    Parameters
    ----------
    x
        Node features, shape (n_node, n_node_feature), of all graphs one after the other.
    edge_index, edge_attr, flow, chain, block, alike, closed
        Of the branches, as in :class:`FeederData`; ``edge_index`` has one row per branch here, shape (n_branch, 2).
    ends, owner
        Of the chains: junctions at both ends, numbered within the block, shape (n_chain, 2); block, shape (n_chain,).
    description
        What novelty is judged by (:func:`learnopt.learning.novelty.describe`), shape (n_graph, n).
    junctions, counts
        Junctions of each block, shape (n_block,); nodes, branches, chains and blocks of each graph, shape (n_graph, 4).
        Both stay on the CPU, which knows the size of every batch from them without waiting for the device.
    """

    x: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    flow: Tensor
    chain: Tensor
    block: Tensor
    alike: Tensor
    closed: Tensor
    ends: Tensor
    owner: Tensor
    description: Tensor
    junctions: Tensor
    counts: Tensor

    @classmethod
    def of(cls, feeders: Sequence[FeederData]) -> PackedFeeders:
        """Pack graphs with labels; at least one."""
        counts = torch.tensor([[len(f.x), f.edge_index.shape[1], f.n_chains, f.n_blocks] for f in feeders])
        names = ("x", "edge_attr", "flow", "chain", "block", "alike")
        joined = {name: torch.cat([getattr(f, name) for f in feeders]) for name in names}
        edge_index = torch.cat([f.edge_index for f in feeders], dim=1).T.contiguous()
        starts = torch.cumsum(counts, 0) - counts
        node, _, chain, block = starts.repeat_interleave(counts[:, BRANCH], dim=0).T
        found = chain_ends(
            (edge_index + node[:, None]).numpy(),
            (joined["chain"] + chain).numpy(),
            (joined["block"] + block).numpy(),
            starts[:, NODE].numpy(),
            *counts[:, CHAIN:].sum(0).tolist(),
        )
        ends, owner, junctions = (torch.from_numpy(a) for a in found)
        owner = owner - starts[:, BLOCK].repeat_interleave(counts[:, CHAIN])
        return cls(
            **joined,
            edge_index=edge_index,
            closed=torch.cat([f.label for f in feeders]),
            ends=ends,
            owner=owner,
            description=torch.stack([describe(f) for f in feeders]),
            junctions=junctions,
            counts=counts,
        )

    @classmethod
    def join(cls, parts: Sequence[PackedFeeders]) -> PackedFeeders:
        """One pack of several, in order."""
        return cls(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def __reduce__(self) -> tuple[Callable[..., PackedFeeders], tuple[dict[str, np.ndarray]]]:
        """By value, as arrays: torch would pass tensors between processes through shared memory, which may be small."""
        return _unpickled, ({f.name: getattr(self, f.name).cpu().numpy() for f in fields(self)},)

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def starts(self) -> Tensor:
        """First node, branch, chain and block of each graph, shape (n_graph, 4)."""
        return torch.cumsum(self.counts, 0) - self.counts

    def to(self, device: torch.device) -> PackedFeeders:
        """The same with features and labels on a device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name not in _ON_CPU}
        return replace(self, **moved)

    def batch(self, graphs: Ints, eliminate: bool | None = None) -> Batch:
        """Some graphs as one block-diagonal graph, on the device of this pack.

        Parameters
        ----------
        eliminate
            Add the ``junctions`` with which the likelihood is computed on the device; by default unless that is a CPU,
            where the compiled search is faster.
        """
        counts = self.counts[torch.from_numpy(graphs)]
        ends = torch.cumsum(counts, 0)
        first = self.starts[torch.from_numpy(graphs)]
        totals = counts.sum(0).tolist()
        device = self.x.device

        def rows(level: int, device: torch.device) -> tuple[Tensor, Tensor]:
            """Rows in the pack, and the place in the batch of the graph of each."""
            count, shift = torch.stack([counts[:, level], first[:, level] - (ends - counts)[:, level]]).to(device)
            graph = torch.repeat_interleave(count, output_size=totals[level])
            return shift[graph] + torch.arange(totals[level], device=device), graph

        nodes, node_graph = rows(NODE, device)
        branches, branch_graph = rows(BRANCH, device)
        start = (ends - counts).to(device)
        shift = start[branch_graph]
        batch = Batch(
            x=self.x[nodes],
            batch=node_graph,
            ptr=torch.cat([start[:, NODE], start.new_tensor(totals[NODE : NODE + 1])]),
            edge_index=(self.edge_index[branches] + shift[:, NODE, None]).T.contiguous(),
            edge_attr=self.edge_attr[branches],
            flow=self.flow[branches],
            chain=self.chain[branches] + shift[:, CHAIN],
            block=self.block[branches] + shift[:, BLOCK],
            alike=self.alike[branches] + shift[:, BRANCH],
            closed=self.closed[branches],
            n_chains=totals[CHAIN],
            n_blocks=totals[BLOCK],
            n_loops=(counts[:, BRANCH] - counts[:, NODE] + 1).to(device),
        )
        if device.type != "cpu" if eliminate is None else eliminate:
            chains, chain_graph = rows(CHAIN, device)
            blocks, block_graph = (part.numpy() for part in rows(BLOCK, self.counts.device))
            batch.junctions = Junctions.of(
                self.ends[chains],
                self.owner[chains] + start[chain_graph, BLOCK],
                self.junctions.numpy()[blocks],
                chain_graph,
                block_graph,
                branch_graph,
            )
        return batch


def _unpickled(arrays: dict[str, np.ndarray]) -> PackedFeeders:
    return PackedFeeders(**{name: torch.from_numpy(array) for name, array in arrays.items()})
