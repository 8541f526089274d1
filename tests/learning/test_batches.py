"""Batches without Python per graph hold what single graphs hold; their likelihood on a device is the compiled one."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from test_alike import sparse
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch_geometric.data import Batch
from toy_feeders import random_problem

from learnopt.learning.features import FeederData, extract
from learnopt.learning.likelihood import cross_entropy, negative_log_likelihood
from learnopt.learning.loading import Batches, BatchSource, Share
from learnopt.learning.model import ModelConfig, build_model
from learnopt.learning.packed import PackedFeeders
from learnopt.learning.pyg import graph_data


@pytest.fixture(scope="module")
def feeders() -> list[FeederData]:
    """Feeders of 6 to 60 buses with one to three substations, chains, rings, several blocks; any labels."""
    rng = np.random.default_rng(0)
    problems = [random_problem(k, 8 + k, 2 + k % 14, 1 + k % 3) if k % 2 else sparse(k) for k in range(50)]
    found = [data for data in map(extract, problems) if data.edge_index.shape[1]]
    return [replace(data, closed=torch.from_numpy(rng.random(data.edge_index.shape[1]) < 0.5)) for data in found]


def test_a_packed_batch_is_that_of_the_graphs(feeders: list[FeederData]) -> None:
    """Chosen graphs in any order, from a pack that was joined from parts and passed between processes."""
    pack = PackedFeeders.join([PackedFeeders.of(feeders[:20]), PackedFeeders.of(feeders[20:])])
    pack = pickle.loads(pickle.dumps(pack))
    chosen = np.random.default_rng(1).permutation(len(feeders))[:15]
    found, expected = pack.batch(chosen), Batch.from_data_list([graph_data(feeders[k]) for k in chosen])
    for key in ("x", "edge_index", "edge_attr", "flow", "chain", "block", "alike", "closed", "batch", "ptr"):
        assert torch.equal(found[key], expected[key]), key
    assert found.num_graphs == 15
    assert (found.n_chains, found.n_blocks) == (sum(expected.n_chains), sum(expected.n_blocks))
    assert found.n_loops.tolist() == [feeders[k].edge_index.shape[1] - len(feeders[k].x) + 1 for k in chosen]


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 250.0])
def test_elimination_is_the_compiled_determinant(feeders: list[FeederData], spread: float) -> None:
    """Loss and gradient to 1e-10 relative, at any spread of the weights; rings, chains and blocks among the graphs."""
    pack = PackedFeeders.of(feeders)
    everyone = np.arange(len(feeders))
    batch, reference = pack.batch(everyone, eliminate=True), pack.batch(everyone, eliminate=False)
    assert len(set(batch.junctions.left)) > 5  # blocks of many sizes, so that some stop earlier
    values = np.random.default_rng(2).uniform(-spread, spread, len(batch.closed))
    theta = torch.from_numpy(values).requires_grad_()
    found, expected = negative_log_likelihood(batch, theta), negative_log_likelihood(reference, theta)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    weights = torch.linspace(0.1, 2.0, len(found), dtype=torch.float64)  # a gradient of its own for every graph
    slopes = [torch.autograd.grad((loss * weights).sum(), theta)[0] for loss in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-10)


def means(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean losses over graphs and over branches of a model that looks at the flow alone."""
    theta = torch.tanh(batch.edge_attr[:, 0].double())
    return negative_log_likelihood(batch, theta).mean(), cross_entropy(batch, theta).mean()


def test_the_batches_of_several_devices_are_those_of_one(feeders: list[FeederData]) -> None:
    """All take as many steps; weighted means over their shares average to the mean over the batch, uneven or not."""
    pack = PackedFeeders.of(feeders)
    plan = Batches(len(pack), 8, seed=3, epoch=lambda: 2)
    whole = [share.whole for share in plan]
    assert sorted(np.concatenate(whole)) == list(range(len(pack)))
    assert len(whole) == len(plan) == -(-len(pack) // 8)
    other = Batches(len(pack), 8, seed=3)
    assert not np.array_equal(next(iter(other)).whole, whole[0])  # another epoch, another order
    source = BatchSource(pack, shares=3)
    for graphs in (whole[0], whole[0][:4], whole[0][:1]):  # of three devices the last leaves two without a graph
        shares = [source[Share(graphs, graphs[rank::3])] for rank in range(3)]
        expected = means(pack.batch(graphs))
        found = [means(share) for share in shares]
        assert sum(share.instances for share in shares) == len(graphs)
        for k, weight in enumerate(("weight", "branch_weight")):
            mean = sum(f[k] * share[weight] for f, share in zip(found, shares, strict=True)) / 3
            torch.testing.assert_close(mean, expected[k])


class _Devices(TorchDispatchMode):
    """Names of the operations that mix tensors of several devices; numbers may be anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = [x for x in tree_leaves(args) if isinstance(x, torch.Tensor) and x.dim()]
        if len({x.device.type for x in inputs}) > 1 and "copy" not in str(func):
            self.mixed.add(str(func))
        return func(*args, **(kwargs or {}))


def test_a_step_stays_on_its_device(feeders: list[FeederData]) -> None:
    """Batch, network, likelihood and gradient read no value back: run where there are no values, only shapes."""
    pack, nowhere = PackedFeeders.of(feeders), torch.device("meta")
    model = build_model(ModelConfig(hidden=8, layers=2, pooling="blocks")).to(nowhere)
    with _Devices() as devices:
        batch = pack.to(nowhere).batch(np.arange(20))
        loss = (negative_log_likelihood(batch, model(batch)) / batch.n_loops).mean()
        loss.backward()
    assert loss.device == nowhere
    assert not devices.mixed
