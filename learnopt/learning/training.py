"""Training: maximise the exact likelihood of the optimal configurations, stop when validation feeders get worse."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import Logger
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from learnopt.errors import DataError
from learnopt.learning.config import TrainingConfig
from learnopt.learning.features import FeederData, extract
from learnopt.learning.likelihood import batch_arrays, cross_entropy, negative_log_likelihood, opened_groups
from learnopt.learning.model import Ensemble, SwitchModel, build_model, one_thread
from learnopt.learning.spanning_tree import log_partition_batch
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.physics import LoopSpace

Pair = tuple[ReconfigurationProblem, Configuration]
"""A problem and its optimal configuration."""

_WARM_UP = 0.05
_CLIP = 1.0
_ORDER_NOISE = 1.5
"""Standard deviation of the logarithm of opening costs when partial states are drawn."""


@dataclass(frozen=True)
class TrainedModel:
    """Outcome of :func:`fit`.

    Parameters
    ----------
    model
        The weights of the epoch with the best validation loss, in evaluation mode.
    config
        What it was trained with.
    history
        One row of metrics per epoch, of the first member where there are several.
    best_epoch
        The epoch that was kept, from 0, likewise.
    """

    model: SwitchModel
    config: TrainingConfig
    history: tuple[dict[str, float], ...]
    best_epoch: int

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the epoch that was kept."""
        return self.history[self.best_epoch]


class TreeLikelihood(LightningModule):
    """Spanning-tree likelihood of a model, or for comparison the likelihood of each switch alone.

    The loss is the negative log-likelihood per loop, so that large feeders do not drown small ones. ``tree_rate`` is
    the share of feeders whose most probable tree is the label, ``branch_accuracy`` the share of undecided branches
    whose state it gets right.
    """

    def __init__(self, model: SwitchModel, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.config = config

    def _step(self, batch: Batch, stage: str) -> Tensor:
        theta = self.model(batch)
        graphs = batch.num_graphs
        nll = negative_log_likelihood(batch, theta)
        arrays = batch_arrays(batch)
        branches = torch.from_numpy(np.diff(arrays[1])).to(nll.device)
        loops = branches - batch.ptr.diff() + 1
        loss = (nll / loops).mean()
        objective = loss if self.config.likelihood == "tree" else cross_entropy(batch, theta).mean()
        _, _, tree = log_partition_batch(*arrays, theta.detach().cpu().double().numpy())
        alike = batch.alike.cpu()
        found = opened_groups(alike, torch.from_numpy(tree))
        right = (found == opened_groups(alike, batch.closed.cpu())).numpy()
        exact = np.logical_and.reduceat(right, arrays[1][:-1])
        self.log(f"{stage}_loss", loss, batch_size=graphs, on_step=False, on_epoch=True, prog_bar=True)
        self.log(f"{stage}_tree_rate", float(exact.mean()), batch_size=graphs, on_step=False, on_epoch=True)
        self.log(f"{stage}_branch_accuracy", float(right.mean()), batch_size=len(right), on_step=False, on_epoch=True)
        return objective

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Metrics of one batch of feeders that are not trained on."""
        self._step(batch, "validation")

    def configure_optimizers(self) -> Any:
        """AdamW with a short rise and a cosine fall of the learning rate."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.config.learning_rate, total_steps=max(steps, 2), pct_start=_WARM_UP
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Recorder(Callback):
    """Keep the metrics of every epoch, and the weights of the best one, in memory."""

    def __init__(self, model: SwitchModel) -> None:
        self._model = model
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.best_state: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after the validation of each epoch."""
        self.history.append({k: float(v) for k, v in trainer.callback_metrics.items()})
        losses = [row["validation_loss"] for row in self.history]
        if losses[-1] <= min(losses):
            self.best_epoch = len(losses) - 1
            self.best_state = copy.deepcopy(self._model.state_dict())


def split_by_feeder(feeders: Sequence[str], shares: Sequence[float], rng: np.random.Generator) -> list[list[int]]:
    """Split pairs so that no feeder is on two sides.

    Parameters
    ----------
    feeders
        Id of the feeder of each pair.
    shares
        Share of the *feeders* of each side but the first, which takes the rest.

    Returns
    -------
    Positions of the pairs of each side, in order. A share > 0 gets one feeder at least.

    Raises
    ------
    DataError
        If there are fewer feeders than sides.
    """
    names = sorted(set(feeders))
    counts = [max(1, round(share * len(names))) if share > 0 else 0 for share in shares]
    if sum(counts) >= len(names):
        raise DataError(
            "split by feeder",
            [f"{len(names)} feeders do not suffice for shares {list(shares)} and training: label more feeders"],
        )
    order = [names[k] for k in rng.permutation(len(names))]
    side = dict.fromkeys(names, 0)
    for number, count in enumerate(counts, 1):
        for name in order[:count]:
            side[name] = number
        del order[:count]
    return [[i for i, name in enumerate(feeders) if side[name] == number] for number in range(len(counts) + 1)]


def partial_state(
    problem: ReconfigurationProblem, label: Configuration, rng: np.random.Generator
) -> ReconfigurationProblem:
    """The problem after a random part of the branches that the label opens was locked open; the label still solves it.

    The number of branches locked is uniform from none to all but one. Those of small opening cost are opened first, up
    to noise: what sequential prediction is sure of early, so that training meets the states that prediction does.
    """
    to_open = np.flatnonzero(problem.free & ~label.closed)
    count = int(rng.integers(0, max(len(to_open), 1)))
    space = LoopSpace.of(problem)
    cost = np.ones(problem.network.n_branch)
    cost[space.core] = space.opening_cost(space.meshed_flow(problem.p + 1j * problem.q))
    order = np.log(cost[to_open] + cost.max() * 1e-12) + rng.normal(scale=_ORDER_NOISE, size=len(to_open))
    locked = problem.locked.copy()
    locked[to_open[np.argsort(order, kind="stable")[:count]]] = 0
    return problem.replace(locked=locked)


def training_data(pairs: Iterable[Pair], partial_states: int, rng: np.random.Generator) -> list[FeederData]:
    """Features of labelled pairs and of their partial states; pairs without a decision are left out.

    Features are smaller than their problems: pairs that are drawn from disk one by one need not fit into memory.
    """
    data = []
    for problem, label in pairs:
        states = [problem, *(partial_state(problem, label, rng) for _ in range(partial_states))]
        data += [extract(state, label) for state in states]
    return [feeder for feeder in data if feeder.edge_index.shape[1]]


def fit(
    config: TrainingConfig,
    train_pairs: Iterable[Pair],
    validation_pairs: Iterable[Pair],
    logger: Logger | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    start: SwitchModel | None = None,
) -> TrainedModel:
    """Train a model; the same seed and data give the same weights on one CPU.

    Members of an ensemble see the same partial states; their first weights and the order of their batches differ.

    Parameters
    ----------
    train_pairs, validation_pairs
        Of different feeders (:func:`split_by_feeder`); each is gone through once.
    logger, callbacks
        Lightning's; nothing is written without them.
    progress
        Show a progress bar.
    start
        Go on from these weights and their feature scaling, which then also decide the architecture; what is usual is
        learned anew. Row 0 of the history is this model, and it is kept where no epoch does better.

    Raises
    ------
    DataError
        If either side has no pair with a decision.
    """
    if start is not None:
        config = replace(config, model=start.config)
    rng = np.random.default_rng(config.seed)
    train = training_data(train_pairs, config.partial_states, rng)
    validation = training_data(validation_pairs, 0, rng)
    sides = (("training", train), ("validation", validation))
    if empty := [f"no {side} pair has a switch to decide" for side, data in sides if not data]:
        raise DataError("training pairs", empty)
    members = config.model.members
    runs = [
        _fit_one(
            replace(config, seed=config.seed + k, model=replace(config.model, members=1)),
            train,
            validation,
            logger if k == 0 else None,
            callbacks if k == 0 else (),
            progress,
            _member(start, k),
        )
        for k in range(members)
    ]
    if members == 1:
        return replace(runs[0], config=config)
    model = build_model(config.model)
    assert isinstance(model, Ensemble)
    model.members = torch.nn.ModuleList(run.model for run in runs)
    model.fit_scaling(train)
    return TrainedModel(model.eval(), config, runs[0].history, runs[0].best_epoch)


def _fit_one(
    config: TrainingConfig,
    train: list[FeederData],
    validation: list[FeederData],
    logger: Logger | None,
    callbacks: Sequence[Callback],
    progress: bool,
    start: SwitchModel | None = None,
) -> TrainedModel:
    with torch.random.fork_rng(devices=[]), one_thread(), _quiet():
        torch.manual_seed(config.seed)
        model = build_model(config.model)
        model.fit_scaling(train)
        if start is not None:
            _continue(model, start)
        order = torch.Generator().manual_seed(config.seed)
        recorder = _Recorder(model)
        trainer = Trainer(
            accelerator=config.accelerator,
            devices=1,
            max_epochs=config.epochs,
            logger=logger or False,
            callbacks=[EarlyStopping("validation_loss", patience=config.patience), recorder, *callbacks],
            deterministic=config.accelerator == "cpu",
            gradient_clip_val=_CLIP,
            enable_checkpointing=False,
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        module = TreeLikelihood(model, config)
        held_out = DataLoader(validation, batch_size=config.batch_size)
        if start is not None:
            trainer.validate(module, held_out, verbose=False)
            recorder.on_train_epoch_end(trainer, module)
        trainer.fit(
            module,
            DataLoader(train, batch_size=config.batch_size, shuffle=True, generator=order),
            held_out,
        )
    model.load_state_dict(recorder.best_state)
    return TrainedModel(model.cpu().eval(), config, tuple(recorder.history), recorder.best_epoch)


def _member(model: SwitchModel | None, k: int) -> SwitchModel | None:
    """Network k of an ensemble; a single network is its only member."""
    found = model.members[k] if isinstance(model, Ensemble) else model
    assert found is None or isinstance(found, SwitchModel)
    return found


def _continue(model: SwitchModel, start: SwitchModel) -> None:
    """Weights and scaling of another model; what is usual stays that of the training feeders."""
    state = {k: v for k, v in start.state_dict().items() if not k.startswith("novelty.")}
    model.load_state_dict(state, strict=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning announces hardware and advises on workers; neither helps here."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [log.level for log in loggers]
    deterministic = torch.are_deterministic_algorithms_enabled()
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning|torch")
            yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)
        torch.use_deterministic_algorithms(deterministic)
