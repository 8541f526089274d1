"""A model for one feeder: tuned on its snapshots, measured on its last days against the start and persistence.

Snapshots of one feeder are not feeders: the sides are whole days in the order of time, training first and test last.
The thresholds count days where :mod:`learnopt.learning.calibration` counts feeders, so their risk is stated for a
further day that is exchangeable with the calibration days. A season, new load or generation breaks that; the card says
so.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from learnopt.dataset.identity import data_checksum, given_origin
from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.snapshots import SNAPSHOTS, is_snapshots, snapshot_time, split_days
from learnopt.dataset.store import read_labels, read_network
from learnopt.errors import DataError
from learnopt.io.places import Place
from learnopt.io.profiles.clock import Times
from learnopt.learned.baselines import PresentConfiguration
from learnopt.learned.evaluate import Evaluated, measure_rivals, told_apart
from learnopt.learned.starts import confidence_for_fixing
from learnopt.learned.training import UNFINISHED, TrainingOutcome, measure, proven_pairs
from learnopt.learned.unseen import CALIBRATION, LEARNED_UNTIL, SIDES, TRAINING, learned_until, of_training
from learnopt.learning.baselines import MajorityLabel, NearestNeighbour, SwitchRegression
from learnopt.learning.calibration import calibrate, reliability
from learnopt.learning.card import LIMITS_OF_USE, ModelCard
from learnopt.learning.checkpoint import (
    REFERENCE,
    directory_of,
    load_card,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from learnopt.learning.config import TrainingConfig
from learnopt.learning.coverage import CALIBRATED_ON
from learnopt.learning.evaluation import Metrics, evaluate_predictions
from learnopt.learning.predict import Predictor
from learnopt.learning.rival import OwnModel
from learnopt.learning.training import Pair, fit
from learnopt.network import Configuration
from learnopt.wording import counted

TUNING = TrainingConfig(
    name="own-feeder",
    epochs=30,
    patience=6,
    batch_size=16,
    learning_rate=5e-4,
    validation_share=0.1,
    calibration_share=0.2,
    test_share=0.2,
)
"""Used where no configuration is given: small steps from weights that are good already; shares are shares of days."""

RECALIBRATION = (0.1, 0.2)
"""Shares of the days for the temperature and for the test of a recalibration; the rest is for the thresholds."""
LEAST_DAYS = 3
DAY = np.timedelta64(1, "D")
TUNED_FROM = "tuned_from"
"""Key of the card's data: the checkpoint that tuning started from."""


def read_snapshots(directory: Place) -> tuple[list[Pair], Times, Manifest]:
    """Proven pairs of a dataset of snapshots in the order of time, and the instant of each, shape (n,).

    Raises
    ------
    DataError
        If the dataset holds something else, or no proven labels.
    """
    manifest = read_manifest(directory)
    if not is_snapshots(manifest):
        advice = "make one of its case file and load profile with `learnopt generate`"
        raise DataError(str(directory), [f"does not hold the snapshots of one feeder: {advice}"])
    pairs = proven_pairs(read_labels(directory))[0]
    if not pairs:
        raise DataError(str(directory), ["no proven labels: run `learnopt label` on the folder first"])
    return pairs, np.array([snapshot_time(problem) for problem, _ in pairs]), manifest


def tune(
    start: Path | str,
    data: Place,
    checkpoint: Path,
    config: TrainingConfig = TUNING,
    logger: Logger | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    resume: bool = False,
) -> TrainingOutcome:
    """Go on training a checkpoint on the snapshots of one feeder, calibrate, measure on the last days, save.

    Parameters
    ----------
    start
        Folder or name of the checkpoint to start from; its architecture is kept.
    config
        The shares are shares of days.
    resume
        Go on from the state that an interrupted training left, where there is one.

    Raises
    ------
    DataError
        If the snapshots cover too few days for the shares, or nothing is left to measure on.
    """
    pairs, times, manifest = read_snapshots(data)
    if config.label_gap:
        raise DataError("training configuration", ["label_gap is for many feeders, not for one: leave it out"])
    if config.test_share == 0:
        raise DataError("training configuration", ["test_share = 0 leaves nothing to measure the card on: raise it"])
    shares = [config.validation_share, config.calibration_share, config.test_share]
    sides = split_days(times, shares)
    training, validation, thresholds, test = ([pairs[i] for i in side] for side in sides)
    start = directory_of(start)
    before, origin = load_checkpoint(start), load_card(start)
    unfinished = checkpoint / UNFINISHED
    model = fit(config, training, validation, logger, callbacks, progress, before.model, unfinished, resume)
    config = replace(config, model=before.model.config)
    raw = Predictor(model.model, name=config.name)
    calibration = calibrate(raw, validation, thresholds, [_day(times[i]) for i in sides[2]], confidence_for_fixing)
    predictor = calibration.apply(raw)
    problems, labels = [p for p, _ in test], [y for _, y in test]
    predictions = [predictor.predict(p) for p in problems]
    confidences = [confidence_for_fixing(p, prediction) for p, prediction in zip(problems, predictions, strict=True)]
    measured: dict[str, Any] = {
        "test": evaluate_predictions(problems, labels, predictions, confidences).as_dict(),
        "best_epoch": model.best_epoch,
    }
    rivals = _rivals(pairs, times, sides[3], [*training, *validation, *thresholds], before)
    measured["test_rivals"] = {
        name: _short(evaluate_predictions(problems, labels, found)) for name, found in rivals.items()
    }
    summary = {
        SNAPSHOTS: manifest.config[SNAPSHOTS],
        "feeder": pairs[0][0].network.name,
        "limits": manifest.limits,
        TUNED_FROM: {"name": origin.name, "weights_sha256": origin.weights_sha256},
        "days": {
            name: len({_day(times[i]) for i in side})
            for name, side in zip(("training", "validation", "thresholds", "test"), sides, strict=True)
        },
        "pairs": {"training": len(training), "validation": len(validation), "thresholds": len(thresholds)},
    }
    card = ModelCard.of(config, calibration, summary, measured, _split(origin, data, times, sides))
    card = replace(card, limits_of_use=(*LIMITS_OF_USE[:-1], _only_for(summary["feeder"])))
    card = save_checkpoint(checkpoint, model.model, card)
    shutil.rmtree(unfinished)
    return TrainingOutcome(predictor, card, model.history, reliability(predictions, labels))


def recalibrate_on_days(source: Path | str, data: Place, checkpoint: Path) -> ModelCard:
    """Calibrate a checkpoint on the days of one feeder that its weights have not learned from; weights stay.

    Temperature on the first of these days, thresholds on most, metrics on the last (:data:`RECALIBRATION`).

    Parameters
    ----------
    source, checkpoint
        Folder (or name) to read and folder to write; the same one is replaced.

    Raises
    ------
    DataError
        If there are too few such days, or the card does not say what the weights have learned from.
    """
    source = directory_of(source)
    card = load_card(source)
    if not card.split:
        problem = f"the card of {card.name!r} does not say what its weights have learned from: train it again"
        raise DataError(str(source), [problem])
    weights_of = replace(card, split={**card.split, "seen": of_training(card)})
    pairs, times, manifest = read_snapshots(data)
    until = learned_until(weights_of, given_origin(pairs[0][0].network))
    later = np.flatnonzero(times >= until + DAY) if until is not None else np.arange(len(times))
    days = len({_day(times[k]) for k in later})
    if days < LEAST_DAYS:
        known = "" if until is None else f" after {until}, the last that its weights have learned from"
        raise DataError(str(data), [f"{counted(days, 'day')}{known}: {LEAST_DAYS} are needed, give more snapshots"])
    pairs, times = [pairs[k] for k in later], times[later]
    warm, last = (max(1, round(share * days)) for share in RECALIBRATION)
    sides = split_days(times, [(days - warm - last) / days, last / days])
    warming, thresholds, test = ([pairs[k] for k in side] for side in sides)
    model = load_weights(source, card)
    owners = [_day(times[k]) for k in sides[1]]
    calibration = calibrate(Predictor(model), warming, thresholds, owners, confidence_for_fixing)
    predictor = calibration.apply(Predictor(model, name=card.name))
    measured, _ = measure(predictor, test, {})
    feeder = pairs[0][0].network.name
    counts = {"temperature": len(warming), "thresholds": len(thresholds), "test": len(test)}
    summary = {
        SNAPSHOTS: manifest.config[SNAPSHOTS],
        "feeder": feeder,
        "limits": manifest.limits,
        "days": {name: len({_day(times[k]) for k in side}) for name, side in zip(counts, sides, strict=True)},
        "pairs": counts,
    }
    split = {**_split(weights_of, data, times, [[], *sides], CALIBRATION), "rule": card.split["rule"]}
    card = card.calibrated(calibration, {CALIBRATED_ON: summary}, measured, split)
    card = replace(card, limits_of_use=(*LIMITS_OF_USE[:-1], _only_for(feeder)))
    return save_checkpoint(checkpoint, model, card)


def evaluate_snapshots(
    checkpoint: Path | str, data: Place, baselines: bool = True, rivals: Sequence[OwnModel] = ()
) -> Evaluated:
    """Metrics on the last days of a dataset of snapshots, by method, ``model`` first.

    The last days are those that tuning kept for its test; for a checkpoint that was not tuned, the share of ``TUNING``.
    Days up to the last one that the checkpoint has learned from are left out, however the dataset grew or was cut.

    Parameters
    ----------
    baselines
        Measure the reference model, persistence and what a sceptic would try on the days before.
    rivals
        Somebody's own models, fitted on the days before; each is measured with exchange after it besides.

    Raises
    ------
    DataError
        If the checkpoint has learned from all of the last days.
    """
    pairs, times, _ = read_snapshots(data)
    card, predictor = load_card(checkpoint), load_checkpoint(checkpoint)
    tuned = TUNED_FROM in card.data
    earlier, last = split_days(times, [card.training["test_share"] if tuned else TUNING.test_share])
    until = learned_until(card, given_origin(pairs[0][0].network))
    if until is not None:
        last = [k for k in last if times[k] >= until + DAY]
    if not last:
        problem = f"the checkpoint {card.name!r} has learned from every day up to {until}"
        raise DataError(str(data), [f"{problem}: measure it on later snapshots"])
    measured, before = [pairs[k] for k in last], [pairs[k] for k in earlier]
    problems, labels = [p for p, _ in measured], [y for _, y in measured]
    methods: dict[str, Any] = {"model": [predictor.predict(p) for p in problems]}
    if baselines:
        reference = load_checkpoint(REFERENCE) if str(checkpoint) != REFERENCE else None
        methods |= _rivals(pairs, times, last, before, reference)
    told_apart((*methods, *(rival.name for rival in rivals)))
    confidences = [
        confidence_for_fixing(p, prediction) for p, prediction in zip(problems, methods["model"], strict=True)
    ]
    metrics = {
        name: evaluate_predictions(problems, labels, found, confidences if name == "model" else None)
        for name, found in methods.items()
    }
    for rival in rivals:
        rival.fit(before)
    days = f"{_day(times[last[0]])} to {_day(times[last[-1]])}"
    known = "" if until is None else f"; the checkpoint has learned from days up to {until}"
    sentence = f"{len(last)} instances, measured on the last days, {days}{known}"
    return Evaluated(metrics | measure_rivals(rivals, measured), sentence)


def _split(
    start: ModelCard, data: Place, times: Times, sides: Sequence[Sequence[int]], use: str = TRAINING
) -> dict[str, Any]:
    """What the card says about the days of every side, and about the feeders that the start had seen."""
    days = {
        name: f"{_day(times[side].min())} to {_day(times[side].max())}"
        for name, side in zip(SIDES, map(np.array, sides), strict=True)
        if len(side)
    }
    own = {
        "dataset": data.name,
        "origin": given_origin(read_network(data, 0)),
        "sha256": data_checksum(read_manifest(data)),
        "use": use,
        "days": days,
        LEARNED_UNTIL: _day(max(times[k] for side in sides[:3] for k in side)),
    }
    rule = "whole days of one feeder, in the order of time: " + ", ".join(f"{k} {v}" for k, v in days.items())
    return {"rule": rule, "seen": [*start.split.get("seen", ()), own]}


def persistence(pairs: Sequence[Pair], times: Times, wanted: Sequence[int], lag: np.timedelta64) -> list[Configuration]:
    """The best configuration of a while ago, known exactly, for each wanted snapshot.

    That of the latest snapshot at least ``lag`` older; where there is none, or it is not admissible now (an outage),
    the present configuration as far as it is. It flatters persistence: whoever knew past optima has solved them.
    """
    found = []
    for k in wanted:
        problem = pairs[k][0]
        past = int(np.searchsorted(times, times[k] - lag, side="right")) - 1
        known = past >= 0 and problem.admits(pairs[past][1])
        found.append(pairs[past][1] if known else PresentConfiguration().predict(problem))
    return found


def _rivals(
    pairs: Sequence[Pair], times: Times, test: Sequence[int], earlier: Sequence[Pair], start: Predictor | None
) -> dict[str, Any]:
    """What a tuned model must beat, on the test snapshots."""
    problems = [pairs[i][0] for i in test]
    rivals: dict[str, Any] = {} if start is None else {f"{start.name} model": [start.predict(p) for p in problems]}
    step = np.diff(times).min() if len(times) > 1 else DAY
    rivals["present configuration"] = [PresentConfiguration().predict(p) for p in problems]
    rivals["optimum of yesterday"] = persistence(pairs, times, test, DAY)
    rivals["last optimum"] = persistence(pairs, times, test, step)
    for baseline in (MajorityLabel(), NearestNeighbour(), SwitchRegression()):
        baseline.fit(earlier)
        rivals[baseline.name] = [baseline.predict(p) for p in problems]
    return rivals


def _short(metrics: Metrics) -> dict[str, Any]:
    """The figures of a rival that a card keeps."""
    values = metrics.as_dict()
    return {k: values[k] for k in ("n", "tree_rate", "mean_regret_percent", "max_regret_percent", "n_not_converged")}


def _day(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]"))


def _only_for(feeder: str) -> str:
    return (
        f"Tuned to feeder {feeder!r} and made for no other. The stated risks hold on average over days that are "
        "exchangeable with the calibration days; after a season, new loads or new lines, tune and calibrate again."
    )
