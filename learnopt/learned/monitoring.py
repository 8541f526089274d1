"""A model in use against exact answers, over time: as good as on its card, and the risks that it states kept.

Risks, and the share of unusual instances, are tested by :mod:`learnopt.learned.claims`, with feeders or days as units.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learnopt.dataset.identity import given_origin
from learnopt.dataset.manifest import read_manifest
from learnopt.dataset.snapshots import is_snapshots, snapshot_time
from learnopt.dataset.store import read_labels
from learnopt.errors import DataError
from learnopt.io.places import Place
from learnopt.learned.claims import RiskCheck, check_risk, fewer
from learnopt.learned.starts import confidence_for_fixing
from learnopt.learned.training import proven_pairs
from learnopt.learned.unseen import learned_until, unseen
from learnopt.learning.card import ModelCard
from learnopt.learning.checkpoint import directory_of, load_card, load_checkpoint
from learnopt.learning.confidence import Confidence
from learnopt.learning.evaluation import Metrics, evaluate_predictions, wrong_fixings
from learnopt.learning.features import FEATURE_SCHEMA, extract
from learnopt.learning.novelty import UNUSUAL_SHARE, describe
from learnopt.learning.predict import Prediction, Predictor
from learnopt.learning.training import Pair

LEVEL = 0.01
"""Chance of a false alarm that one look may have."""
DRIFTED = 1.0
"""Shift of a feature from which on it is named: spreads of the training feeders."""
NAMED = 5
"""Features that are named at most."""


class Verdict(StrEnum):
    """What to do about a model."""

    KEEP = "keep"
    """Nothing speaks against it."""
    RECALIBRATE = "recalibrate"
    """Its answers are as good as they were, the risk that it states is not kept: thresholds from newer answers."""
    RETRAIN = "retrain"
    """Its answers are worse than when it was made."""


class Every(StrEnum):
    """Periods of one's own feeder."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class Period:
    """What was measured in a period.

    Parameters
    ----------
    name
        Its days, or the dataset.
    units
        Feeders or days.
    metrics
        Of the model alone.
    unusual
        Share of the instances beyond novelty 1.
    """

    name: str
    units: int
    metrics: Metrics
    unusual: float


@dataclass(frozen=True)
class Shift:
    """How far a feature has moved.

    Parameters
    ----------
    feature
        Its name, and which moment of it over the feeder.
    spreads
        Mean over the instances less that of the training feeders, in their standard deviations.
    """

    feature: str
    spreads: float


@dataclass(frozen=True)
class Monitored:
    """What :func:`monitor` found.

    Parameters
    ----------
    verdict, reasons
        What to do, and why; whole sentences.
    periods
        In the order of time.
    whole
        All of them together.
    risks, novelty
        Each stated risk, and the share of unusual instances, over all.
    exact_before, exact_p_value
        Share of exact answers on the card, and the chance of so few now if it were the same; None without a card's.
    shifts
        Features that have moved most.
    unit
        ``feeder`` or ``day``.
    sentence
        What was measured on.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    periods: tuple[Period, ...]
    whole: Period
    risks: tuple[RiskCheck, ...]
    novelty: RiskCheck
    exact_before: float | None
    exact_p_value: float | None
    shifts: tuple[Shift, ...]
    unit: str
    sentence: str

    def as_dict(self) -> dict[str, Any]:
        """Plain nested values, for JSON."""

        def plain(period: Period) -> dict[str, Any]:
            return {
                "name": period.name,
                "units": period.units,
                "unusual": period.unusual,
                "metrics": period.metrics.as_dict(),
            }

        return {
            "verdict": self.verdict.value,
            "reasons": list(self.reasons),
            "measured_on": self.sentence,
            "unit": self.unit,
            "risks": [asdict(each) for each in self.risks],
            "novelty": asdict(self.novelty),
            "exact_before": self.exact_before,
            "exact_p_value": self.exact_p_value,
            "shifts": [asdict(each) for each in self.shifts],
            "whole": plain(self.whole),
            "periods": [plain(each) for each in self.periods],
        }


@dataclass(frozen=True)
class _Answer:
    """An instance, what the model says of it, and where it belongs."""

    pair: Pair
    prediction: Prediction
    confidence: Confidence
    unit: str
    period: str

    def fails(self, tau: float | None) -> bool:
        """A switch that is fixed at a threshold is wrong."""
        return tau is not None and wrong_fixings(self.prediction, self.confidence, self.pair[1], tau) > 0


def monitor(
    checkpoint: Path | str, data: Sequence[Place], every: Every = Every.WEEK, level: float = LEVEL
) -> Monitored:
    """Compare a model with exact answers that it has not learned from.

    Parameters
    ----------
    data
        Labelled datasets in the order of time: of many feeders each is a period, of one's own feeder days make them.
    every
        Length of the periods of one's own feeder.
    level
        Chance of a false alarm of each kind: risk, novelty, exactness.

    Raises
    ------
    DataError
        If there is no proven label that the model has not learned from, or datasets of both kinds are mixed.
    """
    if not 0 < level < 1:
        raise DataError("options", [f"level = {level:g} must be between 0 and 1"])
    checkpoint = directory_of(checkpoint)
    card, predictor = load_card(checkpoint), load_checkpoint(checkpoint)
    kinds = {is_snapshots(read_manifest(folder)) for folder in data}
    if len(kinds) != 1:
        names = ", ".join(map(str, data)) or "no dataset"
        raise DataError(names, ["give datasets of many feeders, or snapshots of one's own feeder, not both"])
    of_one = kinds.pop()
    answers = list(_answers(predictor, card, data, every if of_one else None))
    if not answers:
        problem = f"no proven label that the checkpoint {card.name!r} has not learned from: label later ones"
        raise DataError(", ".join(map(str, data)), [problem])
    groups: dict[str, list[_Answer]] = defaultdict(list)
    for answer in answers:
        groups[answer.period].append(answer)
    whole = _period("all", answers)
    risks = _risks(answers, predictor.thresholds, level)
    unusual = check_risk([float(a.prediction.novelty > 1.0) for a in answers], _units(answers), UNUSUAL_SHARE, level)
    before, p_exact = _less_exact(card, answers)
    unit = "day" if of_one else "feeder"
    verdict, reasons = judge(card, whole, risks, unusual, p_exact, level, unit)
    return Monitored(
        verdict=verdict,
        reasons=tuple(reasons),
        periods=tuple(_period(name, group) for name, group in groups.items()),
        whole=whole,
        risks=tuple(risks),
        novelty=unusual,
        exact_before=before,
        exact_p_value=p_exact,
        shifts=tuple(shifts(predictor, [a.pair for a in answers])),
        unit=unit,
        sentence=f"{len(answers)} instances of {whole.units} {unit}s that the checkpoint has not learned from",
    )


def _answers(predictor: Predictor, card: ModelCard, data: Sequence[Place], every: Every | None) -> Iterator[_Answer]:
    """What the model says of every instance that it has not learned from, in the order of the data and of time."""
    for folder in data:
        if every is None:
            pairs, owners, _ = proven_pairs(read_labels(folder, unseen(card, folder).measured))
            places = [(f"{folder.name} {owner}", folder.name) for owner in owners]
        else:
            pairs = sorted(proven_pairs(read_labels(folder))[0], key=lambda pair: snapshot_time(pair[0]))
            until = learned_until(card, given_origin(pairs[0][0].network)) if pairs else None
            days = [snapshot_time(problem).astype("datetime64[D]") for problem, _ in pairs]
            later = [k for k, day in enumerate(days) if until is None or day > until]
            pairs, places = [pairs[k] for k in later], [(str(days[k]), _period_of(days[k], every)) for k in later]
        for (problem, label), (unit, period) in zip(pairs, places, strict=True):
            prediction = predictor.predict(problem)
            confidence = confidence_for_fixing(problem, prediction)
            yield _Answer((problem, label), prediction, confidence, unit, period)


def _period_of(day: np.datetime64, every: Every) -> str:
    """Name of the period of a day: the day, the Monday of its week, or its month."""
    if every is Every.MONTH:
        return str(day.astype("datetime64[M]"))
    number = int(day.astype(int))
    monday = day - np.timedelta64((number + 3) % 7, "D")  # day 0 was a Thursday
    return str(day) if every is Every.DAY else f"week of {monday}"


def _period(name: str, answers: Sequence[_Answer]) -> Period:
    metrics = evaluate_predictions(
        [a.pair[0] for a in answers],
        [a.pair[1] for a in answers],
        [a.prediction for a in answers],
        [a.confidence for a in answers],
    )
    unusual = float(np.mean([a.prediction.novelty > 1.0 for a in answers]))
    return Period(name, len({a.unit for a in answers}), metrics, unusual)


def _units(answers: Sequence[_Answer]) -> list[str]:
    return [answer.unit for answer in answers]


def _risks(answers: Sequence[_Answer], thresholds: Mapping[float, float | None], level: float) -> list[RiskCheck]:
    """Every risk that the checkpoint states; they share the level."""
    stated = {alpha: tau for alpha, tau in sorted(thresholds.items()) if tau is not None}
    units = _units(answers)
    return [
        check_risk([float(a.fails(tau)) for a in answers], units, alpha, level / len(stated))
        for alpha, tau in stated.items()
    ]


def _less_exact(card: ModelCard, answers: Sequence[_Answer]) -> tuple[float | None, float | None]:
    """Share of exact answers on the card, and Fisher's chance of so few now if they were from the same model.

    Units count once each here, with the share of their instances that are exact, rounded up.
    """
    known = card.metrics.get("test", {})
    rate, n = known.get("tree_rate"), known.get("n")
    if rate is None or not n:
        return None, None
    _, unit, size = np.unique(np.asarray(_units(answers)), return_inverse=True, return_counts=True)
    exact = [
        a.prediction.graph.canonical(a.prediction.most_probable) == a.prediction.graph.canonical(a.pair[1])
        for a in answers
    ]
    now = math.ceil(float((np.bincount(unit, weights=np.array(exact, dtype=float)) / size).sum()) - 1e-9)
    return float(rate), fewer(now, len(size), round(rate * n), n)


def judge(
    card: ModelCard,
    whole: Period,
    risks: Sequence[RiskCheck],
    unusual: RiskCheck,
    p_exact: float | None,
    level: float,
    unit: str,
) -> tuple[Verdict, list[str]]:
    """What to do about a model, and why."""
    reasons, verdict = [], Verdict.KEEP
    for risk in risks:
        if risk.broken:
            verdict = Verdict.RECALIBRATE
            reasons.append(
                f"It states a risk of {100 * risk.alpha:g} % and fails on {100 * risk.rate:.2f} % of {risk.units} "
                f"{unit}s (p = {risk.p_value:.2g})."
            )
    if unusual.broken:
        verdict = Verdict.RECALIBRATE
        reasons.append(
            f"{100 * unusual.rate:.1f} % are unlike the feeders of its calibration, where one in a hundred was "
            f"(p = {unusual.p_value:.2g}): the risk is stated for others."
        )
    known = card.metrics.get("test", {}).get("mean_regret_percent")
    regret = whole.metrics.mean_regret_percent
    if p_exact is not None and p_exact <= level and known is not None and not regret <= known:
        verdict = Verdict.RETRAIN
        reasons.append(
            f"Its answers are worse than when it was made: mean regret {regret:.3f} % (card: {known:.3f} %), exact in "
            f"{100 * whole.metrics.tree_rate:.1f} % (card: {100 * card.metrics['test']['tree_rate']:.1f} %, "
            f"p = {p_exact:.2g})."
        )
    if not risks:
        reasons.append("It states no risk, so that none can be broken: calibrate it on more feeders or days.")
    return verdict, reasons or ["The risks it states are kept, and its answers are as good as on its card."]


def shifts(predictor: Predictor, pairs: Sequence[Pair]) -> list[Shift]:
    """Features that have moved from those of the training, the farthest first."""
    known = predictor.model.novelty
    feeders = [data for data in (extract(problem) for problem, _ in pairs) if data.edge_index.shape[1]]
    if not feeders:
        return []
    mean = torch.stack([describe(feeder) for feeder in feeders]).double().mean(0)
    moved = ((mean - known.mean) / known.scale).tolist()
    order = np.argsort(-np.abs(moved), kind="stable")
    names = _described()
    return [Shift(names[k], float(moved[k])) for k in order[:NAMED] if abs(moved[k]) >= DRIFTED]


def _described() -> list[str]:
    """Names of what :func:`describe` gives."""
    names = FEATURE_SCHEMA.names()
    columns = [*names["node"], *names["branch"]]
    moments = [f"{moment} of {column}" for moment in ("mean", "spread") for column in columns]
    return [*moments, "undecided branches", "loops"]
