"""Batches for training: gathered on the device that uses them, equal parts for several devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler
from torch_geometric.data import Batch

from learnopt.learning.packed import BRANCH, PackedFeeders
from learnopt.network import Ints


class Share(NamedTuple):
    """Graphs of a batch, and those of them that this device takes, or takes now; positions."""

    whole: Ints
    mine: Ints


class Batches(Sampler[Share]):
    """The batches of one pass, the same for any number of devices; each device takes its part of every batch.

    So all devices take equally many steps, and none waits for one that has finished.

    Parameters
    ----------
    n, size
        Graphs, and graphs per batch over all devices; the last batch may be smaller.
    seed
        Of the order; in the order of the pack where None.
    epoch
        Tells the number of the pass that begins, on which the order depends too.
    parts
        Shares of each device in a batch, which it takes one after the other.
    """

    def __init__(
        self, n: int, size: int, seed: int | None = None, epoch: Callable[[], int] = int, parts: int = 1
    ) -> None:
        self.n, self.size, self.seed, self.epoch, self.parts = n, size, seed, epoch, parts

    def __len__(self) -> int:
        return -(-self.n // self.size) * self.parts

    def __iter__(self) -> Iterator[Share]:
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, devices = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if several else (0, 1)
        order = np.arange(self.n)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch()]).permutation(self.n)
        for first in range(0, self.n, self.size):
            whole = order[first : first + self.size]
            for part in range(self.parts):
                yield Share(whole, whole[rank + devices * part :: devices * self.parts])


class BatchSource(Dataset[Batch]):
    """Gathers shares of batches, with what the mean over a share counts for in the mean over the devices.

    A batch of this source has besides the fields of :meth:`PackedFeeders.batch`: ``instances``, the graphs of this
    share; ``weight`` and ``branch_weight``, by which means over its graphs and over its branches are multiplied, so
    that the mean over all shares is that over the whole batch. A share that a small batch leaves without a graph
    takes its first one with weight 0.

    Parameters
    ----------
    shares
        Of a batch: devices, times the parts that each takes one after the other.
    """

    def __init__(self, pack: PackedFeeders, shares: int) -> None:
        self.pack, self.shares = pack, shares

    def __len__(self) -> int:
        return len(self.pack)

    def __getitem__(self, share: Share) -> Batch:
        counts = self.pack.counts[:, BRANCH].numpy()
        batch = self.pack.batch(share.mine if len(share.mine) else share.whole[:1])
        batch.instances = len(share.mine)
        batch.weight = self.shares * len(share.mine) / len(share.whole)
        batch.branch_weight = self.shares * counts[share.mine].sum() / counts[share.whole].sum()
        return batch


class FeederModule(LightningDataModule):
    """Training and validation feeders, held on the device of each process.

    Parameters
    ----------
    size
        Graphs per batch over all devices.
    seed
        Of the order of the training feeders.
    parts
        In which a device goes through its share of a training batch.
    """

    def __init__(self, train: PackedFeeders, validation: PackedFeeders, size: int, seed: int, parts: int = 1) -> None:
        super().__init__()
        self.feeders = {"train": train, "validation": validation}
        self.size, self.seed, self.parts = size, seed, parts

    def train_dataloader(self) -> DataLoader[Batch]:
        """In an order that seed and epoch decide."""
        return self._loader("train", self.seed, self.parts)

    def val_dataloader(self) -> DataLoader[Batch]:
        """In order."""
        return self._loader("validation", None, 1)

    def _loader(self, side: str, seed: int | None, parts: int) -> DataLoader[Batch]:
        assert self.trainer is not None
        trainer = self.trainer
        pack = self.feeders[side].to(trainer.strategy.root_device)

        def epoch() -> int:
            """Not `current_epoch`: that is one behind when a resumed training draws its first batch."""
            return int(trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]

        # Batches are gathered whole by one call: no workers, no collation. A generator of its own, since a loader draws
        # a number whenever it starts, which a resumed training does at another time.
        return DataLoader(
            BatchSource(pack, trainer.world_size * parts),
            sampler=Batches(len(pack), self.size, seed, epoch, parts),
            batch_size=None,
            generator=torch.Generator(),
        )
