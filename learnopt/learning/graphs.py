"""Labelled datasets as graphs of torch_geometric: the network as it is, for models that are not ours.

Our own model takes the decision graph and its features (:mod:`learnopt.learning.features`); here is what anybody would
start from: buses, branches, loads, impedances, and the state of every branch in the best configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch_geometric.data import Data, Dataset

from learnopt.dataset.manifest import read_manifest
from learnopt.dataset.records import LabelRecord
from learnopt.dataset.store import labelled_shards, read_shard_labels, read_status
from learnopt.errors import DataError
from learnopt.io.places import Place, place_of
from learnopt.learning.training import split_by_feeder
from learnopt.network import Configuration, ReconfigurationProblem, Status

NODE_FIELDS = ("p_kw", "q_kvar", "substation")
"""Columns of ``x``: net active and reactive load, 1 at substations."""
EDGE_FIELDS = ("r_pu", "x_pu", "normally_closed", "free")
"""Columns of ``edge_attr``: series impedance, present state, 1 where the state is to be decided."""
_SHARDS_HELD = 4


class FeederGraphs(Dataset):
    """The labels of a dataset, a graph each; shards are read when they are needed.

    Each graph has a node per bus and an edge per branch, in the order of the case file; ``edge_index`` names every
    branch once, from and to, whose order is no direction. A layer that wants both takes
    ``torch.cat([edge_index, edge_index.flip(0)], dim=1)``; branches in parallel stay two edges that way.

    ==================  =========================  ====================================================================
    field               shape                      meaning
    ==================  =========================  ====================================================================
    ``x``               (n_bus, 3)                 :data:`NODE_FIELDS`
    ``edge_index``      (2, n_branch)              buses at both ends
    ``edge_attr``       (n_branch, 4)              :data:`EDGE_FIELDS`
    ``free``            (n_branch,) bool           the state is to be decided: not locked, not out of service, in a loop
    ``y``               (n_branch,) bool           closed in the best configuration; absent without a label
    ``loss_kw``         (1,)                       AC loss of that configuration
    ``dual_bound_kw``   (1,)                       no radial configuration has less
    ``feeder``          (1,)                       number of the feeder: split by it (:meth:`split`)
    ``scenario``        (1,)                       number of the load situation
    ==================  =========================  ====================================================================

    Parameters
    ----------
    directory
        Folder of a dataset with labels, or its address in an object store.
    proven
        Only labels that are proven best; else all with a configuration.
    transform
        Of torch_geometric, applied to every graph that is taken.

    Raises
    ------
    DataError
        If the folder holds no dataset, or no such label.
    """

    def __init__(self, directory: Place | str, proven: bool = True, transform: object = None) -> None:
        super().__init__(None, transform)
        self.directory = place_of(directory)
        manifest = read_manifest(self.directory)
        wanted = {Status.OPTIMAL} if proven else {Status.OPTIMAL, Status.FEASIBLE}
        self._rows: list[tuple[int, int]] = []
        self._feeders: list[int] = []
        for shard in labelled_shards(self.directory):
            labels = zip(manifest.places(shard), read_status(self.directory, shard), strict=True)
            for row, ((feeder, _), (status, solved)) in enumerate(labels):
                if status in wanted and solved:
                    self._rows.append((shard, row))
                    self._feeders.append(feeder)
        if not self._rows:
            kind = "proven labels" if proven else "labels with a configuration"
            raise DataError(str(directory), [f"no {kind}: run `learnopt label` on the folder"])
        self._shard = lru_cache(maxsize=_SHARDS_HELD)(self._read)

    def len(self) -> int:
        """Number of graphs."""
        return len(self._rows)

    def get(self, idx: int) -> Data:
        """One graph."""
        shard, row = self._rows[idx]
        return graph_of_label(self._shard(shard)[row])

    def split(self, shares: Sequence[float], seed: int = 0) -> list[Dataset]:
        """The rest, and a part for each share of the feeders; no feeder is in two of them.

        Raises
        ------
        DataError
            If there are fewer feeders than parts.
        """
        feeders = [str(self._feeders[k]) for k in self.indices()]
        parts = split_by_feeder(feeders, shares, np.random.default_rng(seed))
        return [self.index_select(part) for part in parts]

    def records(self) -> Iterator[LabelRecord]:
        """The labels behind the graphs, in their order: the problem itself, for a judge."""
        for k in self.indices():
            shard, row = self._rows[k]
            yield self._shard(shard)[row]

    def _read(self, shard: int) -> list[LabelRecord]:
        return list(read_shard_labels(self.directory, shard))

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in vars(self).items() if key != "_shard"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._shard = lru_cache(maxsize=_SHARDS_HELD)(self._read)


def graph_of_label(record: LabelRecord) -> Data:
    """The graph of a label (:class:`FeederGraphs`)."""
    data = graph_of(record.problem, record.configuration)
    data.loss_kw = torch.tensor([np.nan if record.loss_kw is None else record.loss_kw])
    data.dual_bound_kw = torch.tensor([np.nan if record.dual_bound_kw is None else record.dual_bound_kw])
    data.feeder = torch.tensor([record.feeder_index])
    data.scenario = torch.tensor([record.scenario_index])
    return data


def graph_of(problem: ReconfigurationProblem, label: Configuration | None = None) -> Data:
    """The graph of a problem of one load situation, with the fields of :class:`FeederGraphs` that it has."""
    net = problem.network
    root = np.zeros(net.n_bus, dtype=bool)
    root[net.substations] = True
    nodes = [problem.p * net.base.kw, problem.q * net.base.kw, root]
    edges = [net.r, net.x, net.normal_configuration.closed, problem.free]
    data = Data(
        x=torch.from_numpy(np.column_stack(nodes).astype(np.float32)),
        edge_index=torch.from_numpy(np.stack([net.from_bus, net.to_bus]).astype(np.int64)),
        edge_attr=torch.from_numpy(np.column_stack(edges).astype(np.float32)),
        free=torch.from_numpy(problem.free.copy()),
    )
    if label is not None:
        data.y = torch.from_numpy(label.closed.copy())
    return data
