"""A labelled dataset as anybody's model takes it: graphs of torch_geometric, split by feeder."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Constant

import learnopt.datasets
from learnopt.dataset.store import read_labels
from learnopt.errors import DataError
from learnopt.learning.graphs import EDGE_FIELDS, NODE_FIELDS
from learnopt.physics import power_flow


def test_a_graph_is_its_label(labelled_dataset: Path) -> None:
    """Order, shapes and values of every field are those of the problem and of its best configuration."""
    graphs = learnopt.datasets.load(labelled_dataset)
    records = list(read_labels(labelled_dataset))
    assert len(graphs) == len(records) == 60
    for graph, record in zip(graphs, records, strict=True):
        problem, net = record.problem, record.problem.network
        assert record.configuration is not None
        assert graph.x.shape == (net.n_bus, len(NODE_FIELDS))
        assert graph.edge_attr.shape == (net.n_branch, len(EDGE_FIELDS))
        np.testing.assert_allclose(graph.x[:, 0], problem.p * net.base.kw, rtol=1e-5, atol=1e-3)
        assert graph.x[:, 2].nonzero().flatten().tolist() == sorted(net.substations.tolist())
        assert graph.edge_index.tolist() == [net.from_bus.tolist(), net.to_bus.tolist()]
        np.testing.assert_allclose(graph.edge_attr[:, 0], net.r, rtol=1e-5)
        assert graph.free.tolist() == (graph.edge_attr[:, 3] == 1).tolist() == problem.free.tolist()
        assert graph.y.tolist() == record.configuration.closed.tolist()
        assert (int(graph.feeder), int(graph.scenario)) == (record.feeder_index, record.scenario_index)
        assert float(graph.loss_kw) == pytest.approx(record.loss_kw, rel=1e-5)
    first = records[0]
    assert first.configuration is not None
    kw = power_flow(first.problem, first.configuration).loss * first.problem.network.base.kw
    assert float(graphs[0].loss_kw) == pytest.approx(kw, rel=1e-4)


def test_parts_share_no_feeder(labelled_dataset: Path) -> None:
    """Every graph is in one part; the same seed gives the same parts."""
    graphs = learnopt.datasets.load(labelled_dataset)
    parts = graphs.split([0.2, 0.3], seed=1)
    feeders = [{int(graph.feeder) for graph in part} for part in parts]
    assert [len(each) for each in feeders] == [15, 6, 9]
    assert len(set.union(*feeders)) == 30
    assert sum(map(len, parts)) == len(graphs)
    again = graphs.split([0.2, 0.3], seed=1)
    assert [list(part.indices()) for part in again] == [list(part.indices()) for part in parts]


def test_loaders_and_transforms_are_those_of_torch_geometric(labelled_dataset: Path) -> None:
    """Batches have no fields of their own, a transform is applied, and workers can take the dataset along."""
    graphs = learnopt.datasets.load(labelled_dataset, transform=Constant())
    assert graphs[0].x.shape[1] == len(NODE_FIELDS) + 1
    plain = learnopt.datasets.load(labelled_dataset)
    (batch,) = [batch for _, batch in zip(range(1), DataLoader(plain, batch_size=4), strict=False)]
    assert batch.num_graphs == 4
    assert len(batch.y) == batch.edge_index.shape[1] == sum(len(plain[k].y) for k in range(4))
    assert torch.equal(pickle.loads(pickle.dumps(plain))[3].y, plain[3].y)


def test_a_part_knows_its_problems(labelled_dataset: Path) -> None:
    """What a judge needs of a part: the labels behind its graphs, in its order."""
    part = learnopt.datasets.load(labelled_dataset)[10:13]
    assert [record.feeder_index for record in part.records()] == [int(graph.feeder) for graph in part]


def test_tables(labelled_dataset: Path) -> None:
    """All rows of a kind, for pandas in one line."""
    labels = learnopt.datasets.table(labelled_dataset).to_pandas()
    assert len(labels) == 60
    assert set(labels.status) == {"optimal"}
    assert learnopt.datasets.table(labelled_dataset, "feeders").num_rows == 30
    with pytest.raises(DataError, match="'songs' is none: use one of labels"):
        learnopt.datasets.table(labelled_dataset, "songs")  # type: ignore[arg-type]


def test_tables_for_polars(labelled_dataset: Path) -> None:
    """The same for polars, where it is installed."""
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.from_arrow(learnopt.datasets.table(labelled_dataset))
    assert frame.height == 60
    assert polars.read_parquet(str(labelled_dataset / "labels-*.parquet")).equals(frame)


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    """A folder without labels says what to do."""
    with pytest.raises(DataError, match="learnopt generate"):
        learnopt.datasets.load(tmp_path)
