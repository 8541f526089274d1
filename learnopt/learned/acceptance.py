"""A challenger against the model in use: both on the same feeders, which neither has learned from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from learnopt.dataset.manifest import read_manifest
from learnopt.dataset.snapshots import is_snapshots
from learnopt.errors import DataError
from learnopt.io.places import Place
from learnopt.learned.evaluate import proven_of
from learnopt.learned.starts import confidence_for_fixing
from learnopt.learned.unseen import unseen
from learnopt.learning.checkpoint import load_card, load_checkpoint
from learnopt.learning.evaluation import Metrics, evaluate_predictions
from learnopt.learning.training import Pair


@dataclass(frozen=True)
class Acceptance:
    """What was measured, and whether the challenger takes the place.

    Parameters
    ----------
    accepted
        Whether it does.
    reasons
        Why, or why not; whole sentences.
    challenger, champion
        On the same instances; None where nobody holds the place.
    sentence
        What they were measured on.
    """

    accepted: bool
    reasons: tuple[str, ...]
    challenger: Metrics
    champion: Metrics | None
    sentence: str


def accept(challenger: Path, champion: Path | None, data: Place) -> Acceptance:
    """Measure two checkpoints on the feeders of a dataset that neither has learned from.

    Parameters
    ----------
    challenger, champion
        Folders; without a champion the challenger only has to keep its risk.

    Raises
    ------
    DataError
        If no feeder with a proven label is left to measure on, or the dataset holds snapshots of one feeder.
    """
    if is_snapshots(read_manifest(data)):
        raise DataError(str(data), ["snapshots of one feeder: give a labelled dataset of many feeders"])
    both = [challenger] if champion is None else [challenger, champion]
    sides = [unseen(load_card(each), data).measured for each in both]
    feeders = frozenset.intersection(*sides)
    pairs, owners = proven_of(data, feeders)
    if not pairs:
        raise DataError(str(data), ["no feeder with a proven label that neither model has learned from: label others"])
    measured = [measure(each, pairs) for each in both]
    ours, theirs = measured[0], measured[1] if champion is not None else None
    accepted, reasons = decide(ours, theirs)
    sentence = f"{len(pairs)} instances of {len(set(owners))} feeders that none of them has learned from"
    return Acceptance(accepted, tuple(reasons), ours, theirs, sentence)


def measure(checkpoint: Path, pairs: list[Pair]) -> Metrics:
    """Metrics of a model alone: its most probable trees, and what its thresholds would fix."""
    predictor = load_checkpoint(checkpoint)
    problems, labels = [p for p, _ in pairs], [y for _, y in pairs]
    predictions = [predictor.predict(p) for p in problems]
    confidences = [confidence_for_fixing(p, prediction) for p, prediction in zip(problems, predictions, strict=True)]
    return evaluate_predictions(problems, labels, predictions, confidences)


def broken_risks(metrics: Metrics) -> list[str]:
    """Stated risks that the measurement contradicts: alpha lies below the 95 % interval of the failure rate."""
    return [
        f"states a risk of {100 * alpha:g} % and fails in {100 * row.failure_rate:.2f} % of the instances "
        f"(95 % interval {100 * row.failure_low:.2f} to {100 * row.failure_high:.2f} %)"
        for alpha, row in metrics.fixing.items()
        if row.tau is not None and row.failure_low > alpha
    ]


def decide(challenger: Metrics, champion: Metrics | None) -> tuple[bool, list[str]]:
    """Whether the challenger takes the place, and the reasons.

    It has to keep every risk it states (:func:`broken_risks`), to have no more predictions without a power flow, and a
    smaller mean regret; at equal regret, to keep its risks where the champion does not, or to fix more at equal risks.
    """
    reasons = [f"The challenger {each}." for each in broken_risks(challenger)]
    if champion is None:
        return not reasons, reasons or ["There is no champion yet, and the challenger keeps the risks it states."]
    if challenger.n_not_converged > champion.n_not_converged:
        reasons.append(
            f"The challenger has no power flow in {challenger.n_not_converged} instances, the champion in "
            f"{champion.n_not_converged}."
        )
    if reasons:
        return False, reasons
    new, old = challenger.mean_regret_percent, champion.mean_regret_percent
    figures = f"mean regret {new:.4f} % against {old:.4f} % of the champion"
    if new < old:
        return True, [f"The challenger is better: {figures}; it keeps the risks it states."]
    if new > old or new != old:
        return False, [f"The challenger is not better: {figures}."]
    if broken_risks(champion):
        return True, [f"The champion breaks a risk it states, the challenger keeps its own; {figures}."]
    alike = challenger.fixing.keys() & champion.fixing.keys()
    fixed = [(challenger.fixing[alpha].coverage, champion.fixing[alpha].coverage) for alpha in alike]
    if fixed and all(ours >= theirs for ours, theirs in fixed) and any(ours > theirs for ours, theirs in fixed):
        return True, [f"The challenger fixes more at the same risks; {figures}."]
    return False, [f"The challenger is not better: {figures}, and it fixes no more at the same risks."]
