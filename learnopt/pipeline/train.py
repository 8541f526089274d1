"""From a labelled dataset to a calibrated checkpoint, and the same metrics for it and for its rivals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from learnopt.dataset.manifest import Manifest
from learnopt.dataset.records import LabelRecord
from learnopt.dataset.store import read_labels, read_manifest
from learnopt.errors import DataError
from learnopt.learning.baselines import Baseline, all_baselines
from learnopt.learning.calibration import Reliability, calibrate, reliability
from learnopt.learning.card import ModelCard
from learnopt.learning.checkpoint import save_checkpoint
from learnopt.learning.config import TrainingConfig
from learnopt.learning.evaluation import Metrics, evaluate_predictions
from learnopt.learning.predict import Predictor
from learnopt.learning.training import Pair, fit, split_by_feeder
from learnopt.network import Status
from learnopt.pipeline.baselines import solving_baselines


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
    manifest
        Of the dataset.
    """

    predictor: Predictor
    card: ModelCard
    history: Sequence[Mapping[str, float]]
    reliability: Reliability
    manifest: Manifest


def proven_pairs(records: Sequence[LabelRecord]) -> tuple[list[Pair], list[str]]:
    """Pairs with a proven label, and the feeder of each; failures and unproven labels are left out."""
    pairs, feeders = [], []
    for record in records:
        if record.status is Status.OPTIMAL and record.configuration is not None:
            pairs.append((record.problem, record.configuration))
            feeders.append(str(record.feeder_index))
    return pairs, feeders


def train(
    config: TrainingConfig,
    data: Path,
    checkpoint: Path,
    logger: Logger | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
) -> TrainingOutcome:
    """Train on the proven labels of a dataset, calibrate, measure on test feeders, save.

    No feeder is on two of the four sides: training, early stopping and temperature, thresholds, test.

    Raises
    ------
    DataError
        If the dataset has too few labelled feeders for the shares of the configuration.
    """
    manifest = read_manifest(data)
    pairs, feeders = proven_pairs(list(read_labels(data)))
    if not pairs:
        raise DataError(str(data), ["no proven labels: run `learnopt label` on the folder first"])
    rng = np.random.default_rng(config.seed)
    shares = [config.validation_share, config.calibration_share, config.test_share]
    sides = split_by_feeder(feeders, shares, rng)
    if not sides[3]:
        raise DataError("training configuration", ["test_share = 0 leaves nothing to measure the card on: raise it"])
    training, validation, thresholds, test = ([pairs[i] for i in side] for side in sides)
    model = fit(config, training, validation, logger, callbacks, progress)
    raw = Predictor(model.model, name=config.name)
    calibration = calibrate(raw, validation, thresholds, [feeders[i] for i in sides[2]])
    predictor = calibration.apply(raw)
    problems, labels = [p for p, _ in test], [y for _, y in test]
    predictions = [predictor.predict(p) for p in problems]
    metrics = evaluate_predictions(problems, labels, predictions)
    summary = {
        "seed": manifest.seed,
        "limits": manifest.limits,
        "charging": manifest.charging,
        "config": manifest.config,
        "labels": None if manifest.labels is None else asdict(manifest.labels),
        "pairs": {"training": len(training), "validation": len(validation), "thresholds": len(thresholds)},
    }
    card = ModelCard.of(config, calibration, summary, {"test": metrics.as_dict(), "best_epoch": model.best_epoch})
    card = save_checkpoint(checkpoint, model.model, card)
    return TrainingOutcome(predictor, card, model.history, reliability(predictions, labels), manifest)


def evaluate(predictor: Predictor, data: Path, baselines: bool = True, seed: int = 0) -> dict[str, Metrics]:
    """Metrics of a model and of its rivals on the proven labels of a dataset.

    Baselines that learn are fitted on half of the feeders and everything is measured on the other half, so that all see
    the same feeders for the first time.

    Returns
    -------
    By method: ``model`` (most probable tree), ``model, step by step``, then the baselines.
    """
    pairs, feeders = proven_pairs(list(read_labels(data)))
    if not pairs:
        raise DataError(str(data), ["no proven labels: run `learnopt label` on the folder first"])
    rivals: list[Baseline] = solving_baselines() if baselines else []
    test = pairs
    if baselines and len(set(feeders)) > 1:
        sides = split_by_feeder(feeders, [0.5], np.random.default_rng(seed))
        fitted, test = ([pairs[i] for i in side] for side in sides)
        learning = all_baselines(seed)
        for rival in learning:
            rival.fit(fitted)
        rivals += learning
    problems, labels = [p for p, _ in test], [y for _, y in test]
    methods: dict[str, Any] = {
        "model": [predictor.predict(p) for p in problems],
        "model, step by step": [predictor.predict_step_by_step(p) for p in problems],
    }
    methods.update({rival.name: [rival.predict(p) for p in problems] for rival in rivals})
    return {name: evaluate_predictions(problems, labels, answers) for name, answers in methods.items()}
