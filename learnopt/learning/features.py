"""What the model sees: physics of the meshed network, free of size, units and names.

Everything comes from one linear solve (:class:`learnopt.physics.LoopSpace`) with all usable branches closed, net powers
p + jq at flat voltage as injections, and from the loss relaxed over the spanning tree polytope
(:mod:`learnopt.physics.tree_polytope`), which knows how many branches have to open. Only ratios: scaling all loads, all
impedances or the per-unit base changes nothing.

Left out on purpose: loop numbers (they depend on the spanning tree behind the loops), the answer of a heuristic (the
model would copy it) and the normal state, which is noise on generated feeders and a habit on real ones: what is optimal
does not depend on it. Line charging is left out because it would tie the features to the load level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learnopt.errors import DataError
from learnopt.learning.graph import DecisionGraph, SeriesChains
from learnopt.network import Configuration, Floats, Ints, ReconfigurationProblem
from learnopt.physics import LoopSpace
from learnopt.physics.tree_polytope import fractional_tree

_FLOOR = 1e-8
"""Shares below this are the same to the model; the floor keeps logarithms finite where nothing flows."""


@dataclass(frozen=True)
class Feature:
    """One column: its name, what it means, how the number is scaled (standardised again by the model)."""

    name: str
    meaning: str
    scaling: str


@dataclass(frozen=True)
class FeatureSchema:
    """Ordered columns of nodes and branches. A checkpoint serves only the version it was trained with."""

    version: int
    node: tuple[Feature, ...]
    branch: tuple[Feature, ...]

    def names(self) -> dict[str, list[str]]:
        """Column names, for the checkpoint card."""
        return {"node": [f.name for f in self.node], "branch": [f.name for f in self.branch]}


FEATURE_SCHEMA = FeatureSchema(
    version=2,
    node=(
        Feature("is_root", "the node holds the substations", "0 or 1"),
        Feature("load_p", "net active load of everything contracted here over mean apparent load", "asinh"),
        Feature("load_q", "net reactive load over mean apparent load", "asinh"),
        Feature("potential", "meshed potential drop from the substations over the largest drop", "0 to 1"),
        Feature("degree", "undecided branches at the node", "log2"),
    ),
    branch=(
        Feature("flow", "meshed flow over total apparent load", "log10"),
        Feature("opening_cost", "delta over the meshed loss of all loops", "log10"),
        Feature("opening_cost_order", "delta over the L-th smallest delta, L = branches to open", "log10"),
        Feature("opening_cost_chain", "delta over the smallest delta of its chain", "log10"),
        Feature("loop_conductance", "g r: probability 'open' under conductance-weighted trees", "0 to 1"),
        Feature("resistance", "r over mean r of all branches in loops", "log10"),
        Feature("potential_mean", "mean potential drop of both ends over the largest drop", "0 to 1"),
        Feature("potential_difference", "potential difference of both ends over the largest drop", "log10"),
        Feature("chain_length", "branches in its chain", "log2"),
        Feature("chain_position", "0 at the ends of the chain, 1 in the middle", "0 to 1"),
        Feature("chain_resistance", "r over the resistance of its chain", "0 to 1"),
        Feature("chain_load", "apparent load inside its chain over total apparent load", "log10"),
        Feature("end_load", "apparent load at both end nodes over mean apparent load", "asinh"),
        Feature("fraction_closed", "z of the relaxed loss over the spanning tree polytope", "0 to 1"),
        Feature("fraction_open_chain", "sum of 1 - z over its chain", "0 to 1"),
        Feature("fraction_open_share", "1 - z over its sum over the chain", "0 to 1"),
        Feature("fraction_opening_cost", "rise of the relaxed loss when the branch opens, over that loss", "log10"),
        Feature("block_loops", "independent loops of its block (biconnected component)", "log2"),
        Feature("block_density", "loops over undecided branches of its block", "0 to 1"),
    ),
)
"""The columns of this version; raise ``version`` with every change of a column."""


@dataclass(frozen=True)
class FeederData:
    """One decision graph with features, and the label where there is one.

    Plain tensors, so that a trained model is asked without PyG: loading it takes longer than torch and the answer.
    :func:`learnopt.learning.pyg.graph_data` makes a graph of PyG of it.

    Parameters
    ----------
    x
        Node features, float32, shape (n_nodes, n_node_feature).
    edge_index
        Tail and head of each undecided branch, **one column per branch** (not per direction), shape (2, n_undecided).
    edge_attr
        Branch features, the same from both ends, float32, shape (n_undecided, n_branch_feature).
    flow
        Meshed active flow from tail to head over total apparent load, float32, shape (n_undecided, 1).
    chain, block
        Chain and block (biconnected component) of each branch, shape (n_undecided,).
    branch_index
        Position in its own network, shape (n_undecided,).
    alike
        Place among these branches of the one that stands for each (:attr:`DecisionGraph.alike`), shape (n_undecided,).
    n_chains, n_blocks
        Number of chains and of blocks.
    closed
        Label, bool, shape (n_undecided,); None without a label.
    """

    x: Tensor
    edge_index: Tensor
    edge_attr: Tensor
    flow: Tensor
    chain: Tensor
    block: Tensor
    branch_index: Tensor
    alike: Tensor
    n_chains: int
    n_blocks: int
    closed: Tensor | None = None

    @property
    def label(self) -> Tensor:
        """``closed`` of a feeder that has to have it.

        Raises
        ------
        DataError
            Without a label.
        """
        if self.closed is None:
            raise DataError("feeder", ["has no label to learn from: give extract() the optimal configuration"])
        return self.closed


def extract(problem: ReconfigurationProblem, label: Configuration | None = None) -> FeederData:
    """Features of a problem, and its label if given.

    Raises
    ------
    DataError
        If no radial configuration exists.
    """
    return feeder_data(problem, DecisionGraph.of(problem), label)


def feeder_data(
    problem: ReconfigurationProblem, graph: DecisionGraph, label: Configuration | None = None
) -> FeederData:
    """Features on a decision graph that is already at hand."""
    net = problem.network
    space = LoopSpace.of(problem)
    chains = SeriesChains.of(graph)
    s = problem.p + 1j * problem.q  # per unit, shape (n_bus,)
    total = float(np.abs(s).sum()) or 1.0
    flow = space.meshed_flow(s)
    drop = _potential_drop(space, net.r, flow)
    drop /= drop.max() or 1.0

    load = np.bincount(graph.node, s.real, graph.n_nodes) + 1j * np.bincount(graph.node, s.imag, graph.n_nodes)
    apparent: Floats = np.bincount(graph.node, np.abs(s), graph.n_nodes).astype(float)
    apparent[0] = 0.0  # what the substations feed directly crosses no branch
    mean_load = total / graph.n_nodes
    load[0] = 0.0
    index, tail, head = graph.branch_index, graph.tail, graph.head
    ends = np.concatenate([tail, head])
    end_drop = drop[net.from_bus[index]], drop[net.to_bus[index]]
    touching = np.maximum(np.bincount(ends, minlength=graph.n_nodes), 1)
    node_drop = np.bincount(ends, np.concatenate(end_drop), graph.n_nodes) / touching

    x = np.column_stack(
        [
            np.arange(graph.n_nodes) == 0,
            np.arcsinh(load.real / mean_load),
            np.arcsinh(load.imag / mean_load),
            node_drop,
            np.log2(1 + chains.degree),
        ]
    )
    _, block = np.unique(problem.blocks.block[index], return_inverse=True)
    columns = _branch_columns(problem, graph, chains, block, space, flow / total)
    columns["potential_mean"] = (end_drop[0] + end_drop[1]) / 2
    columns["potential_difference"] = _log(np.abs(end_drop[0] - end_drop[1]))
    columns["chain_load"] = _log(_chain_sum(chains, apparent)[chains.chain] / total)
    columns["end_load"] = np.arcsinh((apparent[tail] + apparent[head]) / mean_load)
    edge_attr = np.column_stack([columns[feature.name] for feature in FEATURE_SCHEMA.branch])
    return FeederData(
        x=torch.from_numpy(x.astype(np.float32)),
        edge_index=torch.from_numpy(np.stack([tail, head])),
        edge_attr=torch.from_numpy(edge_attr.astype(np.float32)),
        flow=torch.from_numpy((flow[index].real / total).astype(np.float32)[:, None]),
        chain=torch.from_numpy(chains.chain),
        block=torch.from_numpy(block),
        branch_index=torch.from_numpy(index),
        alike=torch.from_numpy(np.searchsorted(index, graph.alike[index])),
        n_chains=len(chains.length),
        n_blocks=int(block.max(initial=-1)) + 1,
        closed=None if label is None else torch.from_numpy(label.closed[index]),
    )


def _branch_columns(
    problem: ReconfigurationProblem,
    graph: DecisionGraph,
    chains: SeriesChains,
    block: Ints,
    space: LoopSpace,
    flow: np.ndarray,
) -> dict[str, Floats]:
    """Columns of the undecided branches that come from the loop space and the topology."""
    index = graph.branch_index
    row = np.searchsorted(space.core, index)  # every undecided branch lies in a loop
    conductance = space.loop_conductance[row]
    r = space.r[row]
    delta = space.opening_cost(flow)[row]
    meshed_loss = float(np.sum(space.r * np.abs(flow[space.core]) ** 2)) or 1.0
    cost = _log(delta / meshed_loss)
    order = np.sort(cost)[graph.n_loops - 1] if len(cost) else 0.0
    cheapest = np.full(len(chains.length), np.inf)
    np.minimum.at(cheapest, chains.chain, cost)
    length = chains.length[chains.chain]
    chain_r = np.bincount(chains.chain, r, len(chains.length))
    relaxed = fractional_tree(problem, space, flow)
    z = relaxed.closed[row]
    chain_open = np.bincount(chains.chain, 1.0 - z, len(chains.length))[chains.chain]
    block_branches = np.bincount(block, minlength=1)
    block_loops = _loops_per_block(graph, block, len(block_branches))
    return {
        "flow": _log(np.abs(flow[index])),
        "opening_cost": cost,
        "opening_cost_order": cost - order,
        "opening_cost_chain": cost - cheapest[chains.chain],
        "loop_conductance": conductance * r,
        "resistance": _log(r / (space.r.mean() if len(space.r) else 1.0)),
        "chain_length": np.log2(1.0 + length),
        "chain_position": 1.0 - np.abs(2.0 * (chains.position + 0.5) / length - 1.0),
        "chain_resistance": r / chain_r[chains.chain],
        "fraction_closed": z,
        "fraction_open_chain": chain_open,
        "fraction_open_share": (1.0 - z) / np.maximum(chain_open, _FLOOR),
        "fraction_opening_cost": _log(relaxed.opening_cost[row]),
        "block_loops": np.log2(1.0 + block_loops[block]),
        "block_density": block_loops[block] / block_branches[block],
    }


def _log(share: Floats) -> Floats:
    return np.log10(share + _FLOOR)


def _potential_drop(space: LoopSpace, r: Floats, flow: np.ndarray) -> Floats:
    """Magnitude of the potential drop from the substations to every bus, shape (n_bus,); any tree gives the same."""
    drop = np.zeros(len(space.order), dtype=np.complex128)
    for bus in space.order:
        feed = space.feed[bus]
        if feed >= 0:
            drop[bus] = drop[space.parent[bus]] + r[feed] * space.sign[bus] * flow[feed]
    return np.abs(drop)


def _chain_sum(chains: SeriesChains, value: Floats) -> Floats:
    """Sum of a node quantity over the inner nodes of each chain, shape (n_chain,)."""
    inside = chains.inner >= 0
    return np.bincount(chains.inner[inside], value[inside], len(chains.length)).astype(float)


def _loops_per_block(graph: DecisionGraph, block: Ints, n_blocks: int) -> Ints:
    """Independent loops of the undecided branches of each block: branches - nodes touched + 1, shape (n_block,)."""
    touched = np.unique(np.stack([np.tile(block, 2), np.concatenate([graph.tail, graph.head])]), axis=1)[0]
    return np.bincount(block, minlength=n_blocks) - np.bincount(touched, minlength=n_blocks) + 1
