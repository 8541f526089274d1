"""Networks that give every undecided branch one weight theta; a spanning tree adds up the weights of its branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from learnopt.errors import DataError
from learnopt.generator.config import FORBID_UNKNOWN
from learnopt.learning.features import FEATURE_SCHEMA, FeederData
from learnopt.learning.novelty import Novelty

if TYPE_CHECKING:
    # Neither is needed to ask a model, and PyG takes longer to load than everything else that is.
    from torch_geometric.data import Batch

    from learnopt.learning.packed import PackedFeeders

_POOLS = {"none": (), "chains": ("chain",), "blocks": ("chain", "block")}
"""Groups of branches that are averaged in every round."""


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
        Rounds of message passing (gnn) or hidden layers (mlp).
    dropout
        Share of hidden values dropped while training.
    pooling
        What a branch hears from in every round besides its two buses: ``none``; the mean of its chain (``chains``), so
        that four rounds see past long feeders; the mean of its block too (``blocks``). Of no effect on an mlp.
    members
        Networks that are trained apart, from different seeds; their probabilities are averaged.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = FORBID_UNKNOWN

    kind: Literal["gnn", "mlp"] = "gnn"
    hidden: int = 64
    layers: int = 4
    dropout: float = 0.0
    pooling: Literal["none", "chains", "blocks"] = "chains"
    members: int = 1

    def __post_init__(self) -> None:
        problems = []
        if self.kind not in ("gnn", "mlp"):
            problems.append(f"kind = {self.kind!r} must be 'gnn' or 'mlp'")
        if self.hidden < 1:
            problems.append(f"hidden = {self.hidden} must be >= 1")
        if self.layers < 1:
            problems.append(f"layers = {self.layers} must be >= 1")
        if self.pooling not in _POOLS:
            problems.append(f"pooling = {self.pooling!r} must be one of {', '.join(_POOLS)}")
        if self.members < 1:
            problems.append(f"members = {self.members} must be >= 1")
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


def _split(mlp: nn.Sequential, *widths: int) -> tuple[Tensor, ...]:
    """Weights of the first layer that belong to each part of a concatenated input, then its bias."""
    first = mlp[0]
    assert isinstance(first, nn.Linear)
    return *first.weight.split(widths, dim=1), first.bias


class SwitchModel(nn.Module):
    """What every model shares: standardised features in, one theta per undecided branch and member out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.standardise_node = Standardiser(len(FEATURE_SCHEMA.node))
        self.standardise_branch = Standardiser(len(FEATURE_SCHEMA.branch))
        self.novelty = Novelty()

    def fit_scaling(self, feeders: PackedFeeders) -> None:
        """Take the feature scaling, and what is usual, from training feeders."""
        self.novelty.fit(feeders.description)
        self.standardise_node.fit(feeders.x)
        self.standardise_branch.fit(feeders.edge_attr)


def mean_of(rows: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """Mean of the rows of each group, shape (n_groups, width); 0 where a group has none."""
    count = rows.new_zeros(n_groups).index_add(0, group, rows.new_ones(len(group)))
    total = rows.new_zeros(n_groups, rows.shape[1]).index_add(0, group, rows)
    return total / count.clamp(min=1.0)[:, None]


class MessageRound(nn.Module):
    r"""One round: branches tell their end buses, buses tell their branches, chains average over their branches.

    .. math::
        m_{ij} &= \mathrm{MLP}_m(h_j, e_{ij}, f_{j \to i}), \qquad
        h_i \leftarrow h_i + \mathrm{MLP}_h(h_i, \mathrm{mean}_j m_{ij}) \\
        e_{ij} &\leftarrow e_{ij} + \mathrm{MLP}_e(e_{ij}, h_i + h_j, |h_i - h_j|, \mathrm{mean}_{chain} e,
        \mathrm{mean}_{block} e)

    f is signed by direction, everything else is the same from both ends, so the orientation of a branch in the file
    has no influence.
    """

    def __init__(self, hidden: int, dropout: float, pools: tuple[str, ...]) -> None:
        super().__init__()
        self.pools = pools
        self.message_mlp = _mlp(2 * hidden + 1, hidden, hidden, dropout)
        self.node_mlp = _mlp(2 * hidden, hidden, hidden, dropout)
        self.branch_mlp = _mlp((3 + len(pools)) * hidden, hidden, hidden, dropout)
        self.node_norm = nn.LayerNorm(hidden)
        self.branch_norm = nn.LayerNorm(hidden)

    def forward(self, h: Tensor, e: Tensor, batch: FeederData | Batch, groups: dict[str, int]) -> tuple[Tensor, Tensor]:
        """Updated nodes (n_nodes, hidden) and branches (n_undecided, hidden)."""
        tail, head = batch.edge_index
        sender, receiver = torch.cat([tail, head]), torch.cat([head, tail])
        flow = torch.cat([batch.flow, -batch.flow])
        # Each layer is applied where it has fewest rows: the first to nodes, branches and groups before they are
        # gathered, the last of a message after the mean. Up to rounding the same as on concatenated rows.
        of_node, of_branch, of_flow, bias = _split(self.message_mlp, h.shape[1], e.shape[1], 1)
        told = e @ of_branch.T + bias
        message = self.message_mlp[1:-1]((h @ of_node.T)[sender] + torch.cat([told, told]) + flow @ of_flow.T)
        heard = self.message_mlp[-1](mean_of(message, receiver, len(h)))
        h = self.node_norm(h + self.node_mlp(torch.cat([h, heard], dim=1)))
        of_branch, of_sum, of_difference, *of_pools, bias = _split(
            self.branch_mlp, *[e.shape[1]] * (3 + len(self.pools))
        )
        ends = h @ of_sum.T
        around = e @ of_branch.T + bias + ends[tail] + ends[head]
        around = around + (h[tail] - h[head]).abs() @ of_difference.T
        for k, of_pool in zip(self.pools, of_pools, strict=True):
            group = getattr(batch, k)
            around = around + (mean_of(e, group, groups[k]) @ of_pool.T)[group]
        return h, self.branch_norm(e + self.branch_mlp[1:](around))


class SwitchGNN(SwitchModel):
    """Message passing on the decision graph."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.node_in = nn.Linear(len(FEATURE_SCHEMA.node), config.hidden)
        self.branch_in = nn.Linear(len(FEATURE_SCHEMA.branch), config.hidden)
        pools = _POOLS[config.pooling]
        self.rounds = nn.ModuleList(MessageRound(config.hidden, config.dropout, pools) for _ in range(config.layers))
        self.readout = _mlp(config.hidden + len(FEATURE_SCHEMA.branch), config.hidden, 1)

    def forward(self, batch: FeederData | Batch) -> Tensor:
        """theta, shape (n_undecided,)."""
        features = self.standardise_branch(batch.edge_attr)
        h, e = self.node_in(self.standardise_node(batch.x)), self.branch_in(features)
        groups = {k: int(torch.as_tensor(getattr(batch, f"n_{k}s")).sum()) for k in ("chain", "block")}
        for layer in self.rounds:
            h, e = layer(h, e, batch, groups)
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


class Ensemble(SwitchModel):
    """Networks that were trained apart; they share the scaling of the first."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.members = nn.ModuleList(build_model(replace(config, members=1)) for _ in range(config.members))

    def forward(self, batch: FeederData | Batch) -> Tensor:
        """The theta of every member, shape (n_members, n_undecided)."""
        return torch.stack([member(batch) for member in self.members])


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
    if config.members > 1:
        return Ensemble(config)
    return SwitchGNN(config) if config.kind == "gnn" else EdgeMLP(config)
