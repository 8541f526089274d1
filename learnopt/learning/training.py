"""Training: maximise the exact likelihood of the optimal configurations, stop when validation feeders get worse."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from torch import Tensor
from torch_geometric.data import Batch

from learnopt.errors import DataError
from learnopt.learning.config import TrainingConfig
from learnopt.learning.features import extract
from learnopt.learning.likelihood import batch_arrays, cross_entropy, negative_log_likelihood, opened_groups
from learnopt.learning.loading import FeederModule
from learnopt.learning.model import Ensemble, SwitchModel, build_model, one_thread
from learnopt.learning.packed import PackedFeeders
from learnopt.learning.spanning_tree import log_partition_batch
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.physics import LoopSpace

Pair = tuple[ReconfigurationProblem, Configuration]
"""A problem and its optimal configuration."""

_WARM_UP = 0.05
_CLIP = 1.0
_IDENTITY = "learnopt"
_WHERE = ("name", "data", "checkpoint", "accelerator", "devices", "strategy", "accumulate")
"""Settings that may differ when a training is resumed."""
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

    The loss is the negative log-likelihood per loop, so that large feeders do not drown small ones. Of validation
    feeders ``tree_rate`` is the share whose most probable tree is the label, ``branch_accuracy`` the share of undecided
    branches whose state it gets right.

    Parameters
    ----------
    steps
        Steps of the whole training. Told, since Lightning's estimate draws a first batch, of epoch 0 in all cases.
    identity
        What a checkpoint of this training must agree in to be resumed.
    """

    def __init__(self, model: SwitchModel, config: TrainingConfig, steps: int, identity: Mapping[str, str]) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.steps = steps
        self.identity = dict(identity)

    def on_train_epoch_start(self) -> None:
        """What is dropped follows from seed, epoch and device, hence also after a resumption."""
        torch.manual_seed(self.config.seed + 7919 * (self.current_epoch + 1) + 104729 * self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        theta = self.model(batch)
        loss = self._loss(batch, theta, "train")
        if self.config.likelihood == "tree":
            return loss * batch.weight
        return cross_entropy(batch, theta).mean() * batch.branch_weight

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Metrics of one batch of feeders that are not trained on."""
        theta = self.model(batch)
        self._loss(batch, theta, "validation")
        arrays = batch_arrays(batch)
        _, _, tree = log_partition_batch(*arrays, theta.cpu().double().numpy())
        alike = batch.alike.cpu()
        right = (opened_groups(alike, torch.from_numpy(tree)) == opened_groups(alike, batch.closed.cpu())).numpy()
        exact = np.logical_and.reduceat(right, arrays[1][:-1])
        self._log("validation_tree_rate", torch.tensor(exact.mean()), batch.instances)
        self._log("validation_branch_accuracy", torch.tensor(right.mean()), len(right) if batch.instances else 0)

    def _loss(self, batch: Batch, theta: Tensor, stage: str) -> Tensor:
        loss = (negative_log_likelihood(batch, theta) / batch.n_loops).mean()
        self._log(f"{stage}_loss", loss.detach(), batch.instances)
        return loss

    def _log(self, name: str, value: Tensor, count: int) -> None:
        """Record a mean over an epoch and all devices; ``count`` is what it is a mean over."""
        # Lightning averages counts over the devices in whole numbers: multiples of their number stay exact.
        count *= self.trainer.world_size
        value = value.to(self.device)
        self.log(name, value, batch_size=count, on_step=False, on_epoch=True, prog_bar=True, sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say which training this is."""
        checkpoint[_IDENTITY] = self.identity

    def configure_optimizers(self) -> Any:
        """AdamW with a short rise and a cosine fall of the learning rate."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.config.learning_rate, total_steps=max(self.steps, 2), pct_start=_WARM_UP
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Recorder(Callback):
    """Metrics of every epoch and the weights of the best one; part of Lightning's checkpoint."""

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.best_state: dict[str, Tensor] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after the validation of each epoch."""
        assert isinstance(pl_module, TreeLikelihood)
        self.history.append({k: float(v) for k, v in trainer.callback_metrics.items()})
        losses = [row["validation_loss"] for row in self.history]
        if losses[-1] <= min(losses):
            self.best_epoch = len(losses) - 1
            self.best_state = {k: v.detach().cpu().clone() for k, v in pl_module.model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything recorded so far."""
        return {"history": self.history, "best_epoch": self.best_epoch, "best_state": self.best_state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what was recorded."""
        self.history, self.best_epoch = list(state_dict["history"]), state_dict["best_epoch"]
        self.best_state = state_dict["best_state"]


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


def training_data(pairs: Iterable[Pair], partial_states: int, rng: np.random.Generator) -> PackedFeeders | None:
    """Features of labelled pairs and of their partial states; pairs without a decision are left out, None without any.

    Features are smaller than their problems: pairs that are drawn from disk one by one need not fit into memory.
    """
    data = []
    for problem, label in pairs:
        states = [problem, *(partial_state(problem, label, rng) for _ in range(partial_states))]
        data += [extract(state, label) for state in states]
    decided = [feeder for feeder in data if feeder.edge_index.shape[1]]
    return PackedFeeders.of(decided) if decided else None


def fit(
    config: TrainingConfig,
    train_pairs: Iterable[Pair] | PackedFeeders,
    validation_pairs: Iterable[Pair],
    logger: Logger | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    start: SwitchModel | None = None,
    unfinished: Path | None = None,
    resume: bool = False,
) -> TrainedModel:
    """Train a model; the same seed and data give the same weights on one CPU.

    Members of an ensemble see the same partial states; their first weights and the order of their batches differ. With
    several devices the caller's file is imported by each: a script needs ``if __name__ == "__main__"``.

    Parameters
    ----------
    train_pairs, validation_pairs
        Of different feeders (:func:`split_by_feeder`), each gone through once; or features, partial states included.
    logger, callbacks
        Lightning's; nothing is written without them.
    progress
        Show a progress bar.
    start
        Go on from these weights and their feature scaling, which then also decide the architecture; what is usual is
        learned anew. Row 0 of the history is this model, and it is kept where no epoch does better.
    unfinished
        Folder for the state of the training after every epoch; nothing is left of it where absent.
    resume
        Go on from the state in that folder, where there is one: with the same result as without the interruption.

    Raises
    ------
    DataError
        If either side has no pair with a decision, or the state is that of another training.
    """
    if start is not None:
        config = replace(config, model=start.config)
    rng = np.random.default_rng(config.seed)
    if isinstance(train_pairs, PackedFeeders):
        train: PackedFeeders | None = train_pairs
    else:
        train = training_data(train_pairs, config.partial_states, rng)
    validation = training_data(validation_pairs, 0, rng)
    if train is None or validation is None:
        sides = (("training", train), ("validation", validation))
        empty = [f"no {side} pair has a switch to decide" for side, data in sides if data is None]
        raise DataError("training pairs", empty)
    members = config.model.members
    with tempfile.TemporaryDirectory() as scratch:
        runs = [
            _fit_one(
                replace(config, seed=config.seed + k, model=replace(config.model, members=1)),
                train,
                validation,
                logger if k == 0 else None,
                callbacks if k == 0 else (),
                progress,
                _member(start, k),
                (unfinished or Path(scratch)) / f"member-{k}.ckpt",
                resume,
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
    train: PackedFeeders,
    validation: PackedFeeders,
    logger: Logger | None,
    callbacks: Sequence[Callback],
    progress: bool,
    start: SwitchModel | None,
    state: Path,
    resume: bool,
) -> TrainedModel:
    identity = _identity(config, train, validation)
    resumed = resume and state.is_file()
    recorder, stopping = _Recorder(), EarlyStopping("validation_loss", patience=config.patience)
    finished = resumed and _has_stopped(state, identity, stopping)
    with torch.random.fork_rng(devices=[]), one_thread(), _quiet():
        torch.manual_seed(config.seed)
        model = build_model(config.model)
        model.fit_scaling(train)
        if start is not None:
            _continue(model, start)
        trainer = Trainer(
            accelerator=config.accelerator,
            devices=config.devices,
            strategy="ddp_spawn" if config.strategy == "auto" and config.devices > 1 else config.strategy,
            precision=config.precision,
            max_epochs=config.epochs,
            accumulate_grad_batches=config.accumulate,
            logger=logger or False,
            callbacks=[
                stopping,
                recorder,
                *callbacks,
                ModelCheckpoint(state.parent, state.stem, save_on_train_epoch_end=True, enable_version_counter=False),
            ],
            deterministic=config.accelerator == "cpu",
            gradient_clip_val=_CLIP,
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            use_distributed_sampler=False,
        )
        steps = config.epochs * -(-len(train) // config.batch_size)
        module = TreeLikelihood(model, config, steps, identity)
        feeders = FeederModule(train, validation, config.batch_size, config.seed, config.accumulate)
        if start is not None and not resumed:
            trainer.validate(module, feeders, verbose=False)
            recorder.on_train_epoch_end(trainer, module)
        if not finished:
            trainer.fit(module, feeders, ckpt_path=state if resumed else None, weights_only=True)
        # Where several processes trained, what they recorded is in their checkpoint only.
        recorder.load_state_dict(torch.load(state, weights_only=True)["callbacks"][recorder.state_key])
    model.load_state_dict(recorder.best_state)
    return TrainedModel(model.cpu().eval(), config, tuple(recorder.history), recorder.best_epoch)


def _identity(config: TrainingConfig, train: PackedFeeders, validation: PackedFeeders) -> dict[str, str]:
    """What a training is, whatever it runs on: configuration and labels."""
    settings = {k: v for k, v in config.as_dict().items() if k not in _WHERE}
    labels = hashlib.sha256()
    for feeders in (train, validation):
        for part in (feeders.counts, feeders.edge_index, feeders.closed):
            labels.update(part.numpy().tobytes())
    return {"configuration": json.dumps(settings, sort_keys=True), "training data": labels.hexdigest()}


def _has_stopped(state: Path, identity: Mapping[str, str], stopping: EarlyStopping) -> bool:
    """Whether a training that is to be resumed had stopped by itself.

    Raises
    ------
    DataError
        If it is another training.
    """
    found = torch.load(state, weights_only=True)
    differing = [name for name, value in identity.items() if found[_IDENTITY][name] != value]
    if differing:
        problem = f"holds a training that differs in {' and '.join(differing)}: delete it, or train without resuming"
        raise DataError(str(state), [problem])
    return bool(found["callbacks"][stopping.state_key]["wait_count"] >= stopping.patience)


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
