"""Feeders as graphs of PyG, for its loaders, layers and batches, and for models that somebody builds of these."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch_geometric.data import Data

from learnopt.learning.features import FeederData


class GraphData(Data):
    """A feeder with the attributes of :class:`FeederData`; its indices are offset when PyG joins several."""

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> int:
        """Offset of the indices of the next graph in a batch: explicit, because names ending in ``index`` get one.

        Positions in its own network (``branch_index``) stay.
        """
        if key == "edge_index":
            return int(self.num_nodes or 0)
        if key == "alike":
            return int(self.edge_index.shape[1])
        if key in ("chain", "block"):
            return int(self.n_chains if key == "chain" else self.n_blocks)
        return 0

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> int:
        """Dimension along which graphs are joined."""
        return 1 if key == "edge_index" else 0


def graph_data(feeder: FeederData) -> GraphData:
    """A feeder as PyG has graphs, label included where there is one.

    ``edge_index`` keeps **one column per branch**: ``torch_geometric.transforms`` or ``to_undirected`` add the other
    direction where a layer wants both.
    """
    values = {field.name: getattr(feeder, field.name) for field in fields(feeder)}
    return GraphData(**{name: value for name, value in values.items() if value is not None})
