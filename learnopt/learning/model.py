"""Networks that give every undecided branch one weight theta; a spanning tree adds up the weights of its branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import scatter

from learnopt.errors import DataError
from learnopt.generator.config import FORBID_UNKNOWN
from learnopt.learning.features import FEATURE_SCHEMA, FeederData


@dataclass(frozen=True)
class ModelConfig:
    """Hyper-parameters of a model.

    Parameters
    ----------
    kind
        ``gnn``: message passing over buses and branches. ``mlp``: each branch alone, the baseline.
    hidden
        Width. 32 is enough for a demonstration, 64 for the reference model.
    layers
        Rounds of message passing (gnn) or hidden layers (mlp); chains are pooled in every round, so that four rounds
        see past long feeders.
    dropout
        Share of hidden values dropped while training.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = FORBID_UNKNOWN

    kind: Literal["gnn", "mlp"] = "gnn"
    hidden: int = 64
    layers: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        problems = []
        if self.kind not in ("gnn", "mlp"):
            problems.append(f"kind = {self.kind!r} must be 'gnn' or 'mlp'")
        if self.hidden < 1:
            problems.append(f"hidden = {self.hidden} must be >= 1")
        if self.layers < 1:
            problems.append(f"layers = {self.layers} must be >= 1")
        if not 0 <= self.dropout < 1:
            problems.append(f"dropout = {self.dropout} must be in [0, 1)")
        if problems:
            raise DataError("model configuration", problems)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the card."""
        return asdict(self)


class Standardiser(nn.Module):
    """Subtract the mean and divide by the standard deviation of the training feeders; stored with the weights."""

    mean: Tensor
    scale: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def fit(self, rows: Tensor) -> None:
        """Take mean and scale from rows, shape (n, n_features); a constant column keeps scale 1."""
        self.mean.copy_(rows.mean(0))
        spread = rows.std(0, correction=0)
        self.scale.copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def forward(self, rows: Tensor) -> Tensor:
        """Standardised rows, cut at ten standard deviations: unseen feeders do not extrapolate further."""
        return ((rows - self.mean) / self.scale).clamp(-10.0, 10.0)


def _mlp(n_in: int, hidden: int, n_out: int, dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, n_out))


class SwitchModel(nn.Module):
    """What every model shares: standardised features in, one theta per undecided branch out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.standardise_node = Standardiser(len(FEATURE_SCHEMA.node))
        self.standardise_branch = Standardiser(len(FEATURE_SCHEMA.branch))

    def fit_scaling(self, feeders: list[FeederData]) -> None:
        """Take the feature scaling from training feeders."""
        self.standardise_node.fit(torch.cat([f.x for f in feeders]))
        self.standardise_branch.fit(torch.cat([f.edge_attr for f in feeders]))


class MessageRound(MessagePassing):
    r"""One round: branches tell their end buses, buses tell their branches, chains average over their branches.

    .. math::
        m_{ij} &= \mathrm{MLP}_m(h_j, e_{ij}, f_{j \to i}), \qquad
        h_i \leftarrow h_i + \mathrm{MLP}_h(h_i, \mathrm{mean}_j m_{ij}) \\
        e_{ij} &\leftarrow e_{ij} + \mathrm{MLP}_e(e_{ij}, h_i + h_j, |h_i - h_j|, \mathrm{mean}_{chain} e)

    f is signed by direction, everything else is the same from both ends, so the orientation of a branch in the file
    has no influence.
    """

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__(aggr="mean")
        self.message_mlp = _mlp(2 * hidden + 1, hidden, hidden, dropout)
        self.node_mlp = _mlp(2 * hidden, hidden, hidden, dropout)
        self.branch_mlp = _mlp(4 * hidden, hidden, hidden, dropout)
        self.node_norm = nn.LayerNorm(hidden)
        self.branch_norm = nn.LayerNorm(hidden)

    def forward(self, h: Tensor, e: Tensor, batch: FeederData | Batch, n_chains: int) -> tuple[Tensor, Tensor]:
        """Updated nodes (n_nodes, hidden) and branches (n_undecided, hidden)."""
        tail, head = batch.edge_index
        both_ways = torch.cat([batch.edge_index, batch.edge_index.flip(0)], dim=1)
        flow = torch.cat([batch.flow, -batch.flow])
        heard = self.propagate(both_ways, h=h, e=torch.cat([e, e]), flow=flow, size=(len(h), len(h)))
        h = self.node_norm(h + self.node_mlp(torch.cat([h, heard], dim=1)))
        chain = scatter(e, batch.chain, dim=0, dim_size=n_chains, reduce="mean")[batch.chain]
        ends = torch.cat([e, h[tail] + h[head], (h[tail] - h[head]).abs(), chain], dim=1)
        return h, self.branch_norm(e + self.branch_mlp(ends))

    def message(self, h_j: Tensor, e: Tensor, flow: Tensor) -> Tensor:
        """Message along each direction of each branch, shape (2 n_undecided, hidden)."""
        message: Tensor = self.message_mlp(torch.cat([h_j, e, flow], dim=1))
        return message


class SwitchGNN(SwitchModel):
    """Message passing on the decision graph."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.node_in = nn.Linear(len(FEATURE_SCHEMA.node), config.hidden)
        self.branch_in = nn.Linear(len(FEATURE_SCHEMA.branch), config.hidden)
        self.rounds = nn.ModuleList(MessageRound(config.hidden, config.dropout) for _ in range(config.layers))
        self.readout = _mlp(config.hidden + len(FEATURE_SCHEMA.branch), config.hidden, 1)

    def forward(self, batch: FeederData | Batch) -> Tensor:
        """theta, shape (n_undecided,)."""
        features = self.standardise_branch(batch.edge_attr)
        h, e = self.node_in(self.standardise_node(batch.x)), self.branch_in(features)
        n_chains = int(torch.as_tensor(batch.n_chains).sum())
        for layer in self.rounds:
            h, e = layer(h, e, batch, n_chains)
        theta: Tensor = self.readout(torch.cat([e, features], dim=1)).squeeze(1)
        return theta


class EdgeMLP(SwitchModel):
    """Each branch judged by its own features and those of its two ends: what the graph adds is the difference."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        layers: list[nn.Module] = []
        width = len(FEATURE_SCHEMA.branch) + 2 * len(FEATURE_SCHEMA.node)
        for _ in range(config.layers):
            layers += [nn.Linear(width, config.hidden), nn.SiLU(), nn.Dropout(config.dropout)]
            width = config.hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, batch: FeederData | Batch) -> Tensor:
        """theta, shape (n_undecided,)."""
        x = self.standardise_node(batch.x)
        tail, head = batch.edge_index
        ends = [self.standardise_branch(batch.edge_attr), x[tail] + x[head], (x[tail] - x[head]).abs()]
        theta: Tensor = self.layers(torch.cat(ends, dim=1)).squeeze(1)
        return theta


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: these tensors are too small to share, and threads that wait cost most on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def build_model(config: ModelConfig) -> SwitchModel:
    """The model that a configuration describes, with fresh weights."""
    return SwitchGNN(config) if config.kind == "gnn" else EdgeMLP(config)
