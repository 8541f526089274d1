"""From a labelled dataset to a calibrated checkpoint."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.records import LabelRecord
from learnopt.dataset.store import labelled_feeders, read_labels
from learnopt.errors import DataError, UnsupportedError
from learnopt.io.places import Place, Remote
from learnopt.learned.starts import confidence_for_fixing
from learnopt.learned.unseen import SIDES, TRAINING, Side, entries
from learnopt.learning.calibration import Reliability, calibrate, reliability
from learnopt.learning.card import ModelCard
from learnopt.learning.checkpoint import save_checkpoint
from learnopt.learning.config import TrainingConfig
from learnopt.learning.evaluation import evaluate_predictions
from learnopt.learning.packed import PackedFeeders
from learnopt.learning.predict import Predictor
from learnopt.learning.training import Pair, fit, split_by_feeder, training_data
from learnopt.network import Certificate, Status
from learnopt.parallel import Workers, run_tasks

AC_LABELS = "test_ac_labels"
"""Key of the metrics on labels that are proven in AC."""
UNFINISHED = "unfinished"
"""Folder within that of the checkpoint for the state of a training until it is saved."""


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training run leaves behind.

    Parameters
    ----------
    predictor, card
        The calibrated model and its card, as saved.
    history
        Metrics per epoch.
    reliability
        On the test feeders.
    """

    predictor: Predictor
    card: ModelCard
    history: Sequence[Mapping[str, float]]
    reliability: Reliability


def proven_pairs(records: Iterable[LabelRecord]) -> tuple[list[Pair], list[str], list[Certificate]]:
    """Pairs with a proven label, the feeder of each and what is proven; failures and unproven labels are left out.

    Labels of the calibrated-current model (``model``: scenarios with generation, which the AC bound of the tree search
    does not cover) are kept: without them a model would know no generation. They miss the AC optimum seldom and by
    little (``datasets/build.py verify`` measures it); the card states metrics for AC labels alone besides all.

    Raises
    ------
    UnsupportedError
        For labels in all phases: what a model sees of a feeder is balanced.
    """
    pairs, feeders, certificates = [], [], []
    for record in records:
        _refuse_phases(record)
        if record.status is Status.OPTIMAL and record.configuration is not None:
            pairs.append((record.problem, record.configuration))
            feeders.append(str(record.feeder_index))
            certificates.append(record.certificate)
    return pairs, feeders, certificates


def _refuse_phases(record: LabelRecord) -> None:
    phases = record.problem.network.phases
    if phases is not None and not phases.balanced:
        raise UnsupportedError(
            f"{record.problem.network.name}: its labels are answers in all its phases, and models learn and are "
            "measured on balanced feeders only: take a dataset without [phases]"
        )


def _by_dataset(feeders: Iterable[tuple[Place, int]]) -> Side:
    """Feeders of each dataset."""
    side: dict[Place, set[int]] = defaultdict(set)
    for folder, feeder in feeders:
        side[folder].add(feeder)
    return side


def _proven(side: Side) -> tuple[list[Pair], list[str], list[Certificate]]:
    """:func:`proven_pairs` of some feeders of several datasets."""
    pairs, feeders, certificates = [], [], []
    for folder, chosen in side.items():
        found = proven_pairs(read_labels(folder, chosen))
        pairs += found[0]
        feeders += [f"{folder.name} {feeder}" for feeder in found[1]]
        certificates += found[2]
    return pairs, feeders, certificates


def training_pair(record: LabelRecord, gap: float) -> Pair | None:
    """The pair of a label that is proven, or known to be within a relative gap; None for any other."""
    _refuse_phases(record)
    near = record.status is Status.OPTIMAL or (record.gap is not None and record.gap <= gap)
    return (record.problem, record.configuration) if near and record.configuration is not None else None


@dataclass(frozen=True)
class _Piece:
    """Training feeders that begin in one shard, read and turned into features in one go."""

    folder: Place
    feeders: frozenset[int]
    config: TrainingConfig
    number: int

    def features(self) -> tuple[PackedFeeders | None, Counter[Status]]:
        """Features of the pairs and of partial states, the same in every run; the pairs by status of their labels."""
        drawn: Counter[Status] = Counter()

        def pairs() -> Iterator[Pair]:
            for record in read_labels(self.folder, self.feeders):
                if (pair := training_pair(record, self.config.label_gap)) is not None:
                    drawn[record.status] += 1
                    yield pair

        rng = np.random.default_rng([self.config.seed, self.number])
        return training_data(pairs(), self.config.partial_states, rng), drawn


def _by_parts(piece: tuple[Place, int]) -> tuple[list[str], int]:
    """The order of pieces: folders as paths are ordered, then shards."""
    return str(piece[0]).split("/"), piece[1]


def _training_features(side: Side, config: TrainingConfig, workers: int) -> tuple[PackedFeeders, Counter[Status]]:
    """Features of all training pairs, and the pairs by the status of their labels; the same for any number of workers.

    Raises
    ------
    DataError
        If no pair has a switch to decide.
    """
    shards: dict[tuple[Place, int], set[int]] = defaultdict(set)
    for folder, chosen in side.items():
        manifest = read_manifest(folder)
        for feeder in chosen:  # by its first shard: the scenarios of one feeder may lie in two
            shards[folder, feeder * manifest.scenarios_per_feeder // manifest.shard_size].add(feeder)
    ordered = [(folder, frozenset(shards[folder, shard])) for folder, shard in sorted(shards, key=_by_parts)]
    pieces = [_Piece(folder, feeders, config, k) for k, (folder, feeders) in enumerate(ordered)]
    found = run_tasks(_Piece.features, pieces, Workers(0 if workers == 1 else workers))
    parts = [features for features, _ in found if features is not None]
    if not parts:
        raise DataError("training pairs", ["no training pair has a switch to decide"])
    return PackedFeeders.join(parts), sum((drawn for _, drawn in found), Counter())


def train(
    config: TrainingConfig,
    data: Place | Sequence[Place],
    checkpoint: Path,
    logger: Logger | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    resume: bool = False,
    workers: int = 1,
) -> TrainingOutcome:
    """Train on the labels of one or more datasets, calibrate, measure on test feeders, save.

    No feeder is on two of the four sides: training, early stopping and temperature, thresholds, test. Problems of the
    first are read one by one, so that memory is what their features take. The state after every epoch is kept beside
    the checkpoint until that is saved.

    Parameters
    ----------
    resume
        Go on from the state that an interrupted training left, where there is one.
    workers
        Processes that read labels and compute features.

    Raises
    ------
    DataError
        If the datasets have too few labelled feeders for the shares of the configuration, or the state is that of
        another training.
    """
    folders = [data] if isinstance(data, Path | Remote) else list(data)
    manifests = manifests_of(folders)
    feeders = [(folder, feeder) for folder in folders for feeder in labelled_feeders(folder)]
    if not feeders:
        raise DataError(", ".join(map(str, folders)), ["no labels: run `learnopt label` on the folder first"])
    shares = [config.validation_share, config.calibration_share, config.test_share]
    names = [f"{folder.name} {feeder}" for folder, feeder in feeders]
    split = split_by_feeder(names, shares, np.random.default_rng(config.seed))
    pairs, owners, certificates = _proven(_by_dataset(feeders[i] for side in split[1:] for i in side))
    side_of = {names[i]: number for number, side in enumerate(split) for i in side}
    sides = [[k for k, owner in enumerate(owners) if side_of[owner] == number] for number in (1, 2, 3)]
    validation, thresholds, test = ([pairs[k] for k in side] for side in sides)
    if not test:
        raise DataError(
            "training configuration",
            [f"test_share = {config.test_share:g} leaves no proven label to measure the card on: raise it"],
        )
    features, drawn = _training_features(_by_dataset(feeders[i] for i in split[0]), config, workers)
    unfinished = checkpoint / UNFINISHED
    model = fit(config, features, validation, logger, callbacks, progress, unfinished=unfinished, resume=resume)
    raw = Predictor(model.model, name=config.name)
    calibration = calibrate(raw, validation, thresholds, [owners[k] for k in sides[1]], confidence_for_fixing)
    predictor = calibration.apply(raw)
    measured, diagram = measure(predictor, test, {AC_LABELS: of_ac([certificates[k] for k in sides[2]])})
    measured["best_epoch"] = model.best_epoch
    summaries = {name: summary_of(manifest) for name, manifest in manifests.items()}
    counts = {"training": drawn.total(), "validation": len(validation), "thresholds": len(thresholds)}
    summary = {
        **(summaries if len(summaries) > 1 else next(iter(summaries.values()))),
        "pairs": {**counts, "training_not_proven": drawn.total() - drawn[Status.OPTIMAL]},
    }
    seen = entries([_by_dataset(feeders[i] for i in side) for side in split], TRAINING)
    told = ", ".join(f"{len(side)} {name}" for name, side in zip(SIDES, split, strict=True))
    rule = f"whole feeders, shuffled with seed {config.seed}: {told}"
    card = ModelCard.of(config, calibration, summary, measured, {"rule": rule, "seen": seen})
    card = save_checkpoint(checkpoint, model.model, card)
    shutil.rmtree(unfinished)
    return TrainingOutcome(predictor, card, model.history, diagram)


def of_ac(certificates: Sequence[Certificate]) -> list[int]:
    """Places of the labels that are proven in AC."""
    return [k for k, certificate in enumerate(certificates) if certificate is Certificate.AC]


def measure(
    predictor: Predictor, test: Sequence[Pair], subsets: Mapping[str, Sequence[int]]
) -> tuple[dict[str, Any], Reliability]:
    """Metrics of a card on test pairs, once more on subsets of them where not empty, and the reliability."""
    problems, labels = [p for p, _ in test], [y for _, y in test]
    predictions = [predictor.predict(p) for p in problems]
    confidences = [confidence_for_fixing(p, prediction) for p, prediction in zip(problems, predictions, strict=True)]

    def metrics(chosen: Sequence[int]) -> dict[str, Any]:
        return evaluate_predictions(
            [problems[k] for k in chosen],
            [labels[k] for k in chosen],
            [predictions[k] for k in chosen],
            [confidences[k] for k in chosen],
        ).as_dict()

    measured = {"test": metrics(range(len(test)))}
    measured |= {name: metrics(chosen) for name, chosen in subsets.items() if chosen}
    return measured, reliability(predictions, labels)


def manifests_of(folders: Sequence[Place]) -> dict[str, Manifest]:
    """Manifest of each dataset by the name of its folder, which is what a card calls it.

    Raises
    ------
    DataError
        If two folders have one name, or one holds no dataset.
    """
    manifests = {folder.name: read_manifest(folder) for folder in folders}
    if len(manifests) < len(folders):
        raise DataError(", ".join(map(str, folders)), ["two datasets of one name: rename a folder"])
    return manifests


def summary_of(manifest: Manifest) -> dict[str, Any]:
    """What a card says about a dataset."""
    return {
        "seed": manifest.seed,
        "limits": manifest.limits,
        "charging": manifest.charging,
        "config": manifest.config,
        "labels": None if manifest.labels is None else asdict(manifest.labels),
    }
