"""A checkpoint calibrated anew on feeders that no model was trained on: temperature, thresholds, novelty, metrics.

Weights are one thing, the risk that is stated for them another: it takes thousands of feeders of its own, and it has to
be made again when the rule of fixing changes. Feeders are drawn independently, so the sides are taken in their order:
what is on a side stays there when the dataset grows or one more label is proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from learnopt.dataset.store import read_labels
from learnopt.errors import DataError
from learnopt.io.places import Place, Remote
from learnopt.learned.starts import confidence_for_fixing
from learnopt.learned.training import AC_LABELS, manifests_of, measure, of_ac, proven_pairs, summary_of
from learnopt.learned.unseen import CALIBRATION, TRAINING, entries, of_training, sides_seen, training_seeds
from learnopt.learning.calibration import calibrate
from learnopt.learning.card import ModelCard
from learnopt.learning.checkpoint import directory_of, load_card, load_weights, save_checkpoint
from learnopt.learning.coverage import CALIBRATED_ON
from learnopt.learning.predict import Predictor
from learnopt.learning.training import Pair
from learnopt.network import Certificate

SHARES = (0.15, 0.55)
"""Shares of the feeders for the temperature and for the thresholds; the rest is the test."""


def recalibrate(source: Path | str, data: Place | Sequence[Place], checkpoint: Path) -> ModelCard:
    """Calibrate a checkpoint on datasets that it was not trained on, measure it there, save it; returns its card.

    Parameters
    ----------
    source, checkpoint
        Folder (or name) to read and folder to write; the same one is replaced.
    data
        One labelled dataset or several. The stated risk is that of a feeder drawn from all of them alike; metrics are
        given of each besides.

    Raises
    ------
    DataError
        If the checkpoint was trained on a dataset, two of them have one seed, or the labelled feeders are too few for
        three sides.
    """
    folders = [data] if isinstance(data, Path | Remote) else list(data)
    source = directory_of(source)
    card, manifests = load_card(source), manifests_of(folders)
    taken = dict.fromkeys(training_seeds(card), "the training data")
    for folder in folders:
        seed = manifests[folder.name].seed
        if seed in taken:
            advice = "label feeders drawn from another seed to calibrate on"
            raise DataError(str(folder), [f"has the seed {seed} of {taken[seed]}: {advice}"])
        taken[seed] = str(folder)
        known = sum(side is not None for side in sides_seen(card, folder, TRAINING))
        if known:
            raise DataError(str(folder), [f"has {known} feeders of the training data: label others to calibrate on"])
    pairs: list[Pair] = []
    origins: list[tuple[str, str]] = []
    certificates: list[Certificate] = []
    side: list[int] = []
    aside: list[dict[Place, range]] = [{} for _ in range(3)]
    for folder in folders:
        found, feeders, proven = proven_pairs(read_labels(folder))
        last = 1 + max((int(feeder) for feeder in feeders), default=-1)
        ends = [round(share * last) for share in (SHARES[0], sum(SHARES))]
        for number, (begin, end) in enumerate(pairwise((0, *ends, manifests[folder.name].n_feeders))):
            aside[number][folder] = range(begin, end)
        pairs += found
        origins += [(folder.name, feeder) for feeder in feeders]
        certificates += proven
        side += [sum(int(feeder) >= end for end in ends) for feeder in feeders]
    warming, thresholds, test = ([k for k, each in enumerate(side) if each == number] for number in range(3))
    if not (warming and thresholds and test):
        problem = f"{len(set(origins))} feeders with a proven label are too few: label more"
        raise DataError(", ".join(map(str, folders)), [problem])
    model = load_weights(source, card)
    calibration = calibrate(
        Predictor(model),
        [pairs[k] for k in warming],
        [pairs[k] for k in thresholds],
        [" ".join(origins[k]) for k in thresholds],
        confidence_for_fixing,
    )
    predictor = calibration.apply(Predictor(model, name=card.name))
    subsets = {AC_LABELS: of_ac([certificates[k] for k in test])}
    if len(folders) > 1:
        subsets |= {f"test_{name}": [n for n, k in enumerate(test) if origins[k][0] == name] for name in manifests}
    measured, _ = measure(predictor, [pairs[k] for k in test], subsets)
    summaries = {name: summary_of(manifest) for name, manifest in manifests.items()}
    summary = summaries if len(summaries) > 1 else next(iter(summaries.values()))
    sides = {"temperature": len(warming), "thresholds": len(thresholds), "test": len(test)}
    split = {**card.split, "seen": [*of_training(card), *entries([{}, *aside], CALIBRATION)]} if card.split else {}
    card = card.calibrated(calibration, {CALIBRATED_ON: {**summary, "pairs": sides}}, measured, split)
    return save_checkpoint(checkpoint, model, card)
