"""Somebody else's model: a plain graph convolution on the graphs of a dataset, judged by ``learnopt evaluate``.

learnopt evaluate --data other --rival plain_gcn:PlainGCN      # in this folder; trained on the folder ``small``
"""

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv

import learnopt.datasets


class PlainGCN(torch.nn.Module):
    """Whether a branch is closed, from both of its buses and its impedance; decoded to the likeliest radial state."""

    name = "plain GCN"

    def __init__(self, data="small", epochs=20):
        super().__init__()
        self.first, self.second, self.last = GCNConv(3, 32), GCNConv(32, 32), torch.nn.Linear(2 * 32 + 4, 1)
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        for _ in range(epochs):
            for batch in DataLoader(learnopt.datasets.load(data), batch_size=16):
                optimizer.zero_grad()
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    self(batch)[batch.free], batch.y[batch.free].float()
                )
                loss.backward()
                optimizer.step()

    def forward(self, graph):
        """Logit of closed, per branch."""
        both_ways = torch.cat([graph.edge_index, graph.edge_index.flip(0)], dim=1)
        x = torch.asinh(graph.x / 100)
        x = self.second(self.first(x, both_ways).relu(), both_ways).relu()
        ends = x[graph.edge_index[0]] + x[graph.edge_index[1]], (x[graph.edge_index[0]] - x[graph.edge_index[1]]).abs()
        return self.last(torch.cat([*ends, graph.edge_attr], dim=1)).squeeze(1)

    @torch.no_grad()
    def predict(self, problem):
        """Ids of the branches to open: those outside the spanning tree of the likeliest closed ones."""
        net, cost = problem.network, torch.sigmoid(-self(learnopt.datasets.graph_of(problem))).numpy() + 1e-3
        cost[~problem.free] = np.where(problem.must_open[~problem.free], 1e6, 1e-6)
        roots = np.isin(np.arange(net.n_bus), net.substations)
        node = np.where(roots, 0, np.cumsum(~roots))
        best = {}
        for k in np.argsort(cost, kind="stable"):  # of branches in parallel the likeliest
            best.setdefault(tuple(sorted((node[net.from_bus[k]], node[net.to_bus[k]]))), k)
        ends = np.array([pair for pair in best if pair[0] != pair[1]])
        chosen = np.array([best[tuple(pair)] for pair in ends])
        tree = minimum_spanning_tree(coo_array((cost[chosen], ends.T), shape=(node.max() + 1,) * 2)).tocoo()
        kept = {best[pair] for pair in zip(tree.row, tree.col, strict=True)}
        return [net.branch_ids[k] for k in range(net.n_branch) if k not in kept]
