"""A trained model is asked without PyG, and answers as the same layers do that are built of PyG."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import scatter
from toy_feeders import random_problem

from learnopt.io import load
from learnopt.learning.checkpoint import load_checkpoint
from learnopt.learning.features import FeederData, extract
from learnopt.learning.model import MessageRound, SwitchGNN
from learnopt.learning.predict import Predictor
from learnopt.learning.pyg import GraphData, graph_data
from learnopt.network import ReconfigurationProblem


class RoundOfPyG(MessagePassing):
    """The equation of :class:`MessageRound` as it is written there: every layer on joined rows, the mean by PyG."""

    def __init__(self, ours: MessageRound) -> None:
        super().__init__(aggr="mean")
        self.ours = ours

    def forward(self, h: Tensor, e: Tensor, graph: GraphData | Batch, groups: dict[str, int]) -> tuple[Tensor, Tensor]:
        """Updated nodes and branches."""
        ours, (tail, head) = self.ours, graph.edge_index
        both_ways = torch.cat([graph.edge_index, graph.edge_index.flip(0)], dim=1)
        flow = torch.cat([graph.flow, -graph.flow])
        heard = self.propagate(both_ways, h=h, e=torch.cat([e, e]), flow=flow, size=(len(h), len(h)))
        h = ours.node_norm(h + ours.node_mlp(torch.cat([h, heard], dim=1)))
        means = [scatter(e, graph[k], dim=0, dim_size=groups[k], reduce="mean")[graph[k]] for k in ours.pools]
        around = torch.cat([e, h[tail] + h[head], (h[tail] - h[head]).abs(), *means], dim=1)
        return h, ours.branch_norm(e + ours.branch_mlp(around))

    def message(self, h_j: Tensor, e: Tensor, flow: Tensor) -> Tensor:
        """Message along each direction of each branch."""
        message: Tensor = self.ours.message_mlp(torch.cat([h_j, e, flow], dim=1))
        return message


class ModelOfPyG(nn.Module):
    """A model whose rounds are those of PyG, asked with graphs of PyG."""

    def __init__(self, ours: SwitchGNN) -> None:
        super().__init__()
        self.ours = ours
        self.rounds = [RoundOfPyG(layer) for layer in ours.rounds]  # type: ignore[arg-type]

    def forward(self, feeder: FeederData) -> Tensor:
        """Theta of each undecided branch."""
        ours, graph = self.ours, graph_data(feeder)
        features = ours.standardise_branch(graph.edge_attr)
        h, e = ours.node_in(ours.standardise_node(graph.x)), ours.branch_in(features)
        for layer in self.rounds:
            h, e = layer(h, e, graph, {"chain": graph.n_chains, "block": graph.n_blocks})
        theta: Tensor = ours.readout(torch.cat([e, features], dim=1)).squeeze(1)
        return theta

    @property
    def novelty(self) -> nn.Module:
        """As ours."""
        return self.ours.novelty


def feeders() -> list[ReconfigurationProblem]:
    """Published feeders, one without a decision among random ones."""
    named = [ReconfigurationProblem.of(load(name)) for name in ("case16", "case33", "case69", "case119", "case136")]
    return named + [random_problem(seed, 8 + 3 * seed, seed % 5, 1 + seed % 3) for seed in range(10)]


def test_marginals_are_those_of_layers_of_pyg() -> None:
    """The weights that travel with learnopt, on published and on random feeders."""
    predictor = load_checkpoint()
    assert isinstance(predictor.model, SwitchGNN)
    reference = Predictor(ModelOfPyG(predictor.model), predictor.temperature)  # type: ignore[arg-type]
    most = 0.0
    for problem in feeders():
        found, expected = predictor.predict(problem), reference.predict(problem)
        most = max(most, float(np.abs(found.p_closed - expected.p_closed).max(initial=0.0)))
        assert found.novelty == expected.novelty
    assert most < 1e-6


ASKED = """
import sys
from learnopt.cli.app import run
try:
    run(["solve", "case33", "--engine", "learned"])
except SystemExit as end:
    assert not end.code
print("loaded:", *sorted(set(%r) & sys.modules.keys()))
"""
HEAVY = ("torch", "torch_geometric", "lightning", "mlflow", "sklearn", "pandas", "scipy.stats", "scipy.spatial")


def test_a_solve_with_the_model_loads_torch_and_nothing_else_of_learning() -> None:
    """Each of the others takes as long to load as the answer takes."""
    done = subprocess.run([sys.executable, "-c", ASKED % (HEAVY,)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: torch"


@pytest.mark.parametrize("pools", [(), ("chain",), ("chain", "block")])
def test_a_round_is_its_equation(pools: tuple[str, ...]) -> None:
    """In double precision, where the order of the sums does not show; several feeders joined."""
    torch.manual_seed(0)
    ours = MessageRound(16, 0.0, pools).double().eval()
    graphs = [graph_data(extract(random_problem(seed, 9 + seed, 2 + seed % 3))) for seed in range(6)]
    batch = Batch.from_data_list(graphs)
    batch.flow = batch.flow.double()
    h, e = (torch.randn(n, 16, dtype=torch.float64) for n in (batch.num_nodes, batch.edge_index.shape[1]))
    groups = {"chain": sum(g.n_chains for g in graphs), "block": sum(g.n_blocks for g in graphs)}
    with torch.no_grad():
        for found, expected in zip(ours(h, e, batch, groups), RoundOfPyG(ours)(h, e, batch, groups), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
