"""A checkpoint calibrated anew on feeders that no model was trained on: temperature, thresholds, novelty, metrics.

Weights are one thing, the risk that is stated for them another: it takes thousands of feeders of its own, and it has to
be made again when the rule of fixing changes. Feeders are drawn independently, so the sides are taken in their order:
what is on a side stays there when the dataset grows or one more label is proven.
"""

from __future__ import annotations

from pathlib import Path

from learnopt.dataset.store import read_labels, read_manifest
from learnopt.errors import DataError
from learnopt.learning.calibration import calibrate
from learnopt.learning.card import ModelCard
from learnopt.learning.checkpoint import load_card, load_weights, save_checkpoint
from learnopt.learning.predict import Predictor
from learnopt.pipeline.starts import judge
from learnopt.pipeline.train import measure, proven_pairs, summary_of

SHARES = (0.15, 0.55)
"""Shares of the feeders for the temperature and for the thresholds; the rest is the test."""
HELD_OUT = "held_out"
"""Key of the card's data: the dataset of the calibration."""


def recalibrate(source: Path | str, data: Path, checkpoint: Path) -> ModelCard:
    """Calibrate a checkpoint on a dataset that it was not trained on, measure it there, save it; returns its card.

    Parameters
    ----------
    source, checkpoint
        Folder (or name) to read and folder to write; the same one is replaced.

    Raises
    ------
    DataError
        If the checkpoint was trained on this dataset, or the labelled feeders are too few for three sides.
    """
    card, manifest = load_card(source), read_manifest(data)
    if manifest.seed in _seeds(card):
        advice = "label feeders drawn from another seed to calibrate on"
        raise DataError(str(data), [f"has the seed {manifest.seed} of the training data: {advice}"])
    pairs, feeders, certificates = proven_pairs(read_labels(data))
    last = 1 + max((int(feeder) for feeder in feeders), default=-1)
    ends = [round(share * last) for share in (SHARES[0], sum(SHARES))]
    side = [sum(int(feeder) >= end for end in ends) for feeder in feeders]
    warming, thresholds, test = ([k for k, each in enumerate(side) if each == number] for number in range(3))
    if not (warming and thresholds and test):
        raise DataError(str(data), [f"{len(set(feeders))} feeders with a proven label are too few: label more"])
    model = load_weights(source, card)
    calibration = calibrate(
        Predictor(model),
        [pairs[k] for k in warming],
        [pairs[k] for k in thresholds],
        [feeders[k] for k in thresholds],
        judge,
    )
    predictor = calibration.apply(Predictor(model, name=card.name))
    measured, _ = measure(predictor, [pairs[k] for k in test], [certificates[k] for k in test])
    sides = {"temperature": len(warming), "thresholds": len(thresholds), "test": len(test)}
    card = card.calibrated(calibration, {HELD_OUT: {**summary_of(manifest), "pairs": sides}}, measured)
    return save_checkpoint(checkpoint, model, card)


def _seeds(card: ModelCard) -> set[int]:
    """Seeds of the datasets that a checkpoint was trained on."""
    several = [each for key, each in card.data.items() if isinstance(each, dict) and key != HELD_OUT]
    return {each["seed"] for each in (card.data, *several) if "seed" in each}
