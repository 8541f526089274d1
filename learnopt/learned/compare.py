"""A checkpoint beside its rivals, for its card: on feeders that neither training nor calibration has seen."""

from __future__ import annotations

from pathlib import Path

from learnopt.dataset.manifest import read_manifest
from learnopt.dataset.snapshots import is_snapshots
from learnopt.dataset.store import read_labels
from learnopt.errors import DataError
from learnopt.io.places import Place
from learnopt.learned.evaluate import Evaluated
from learnopt.learned.training import proven_pairs, summary_of
from learnopt.learning.calibration import reliability
from learnopt.learning.checkpoint import add_comparison, load_card, load_checkpoint
from learnopt.learning.comparison import Comparison


def check_comparable(data: Place) -> None:
    """Refuse a dataset that does not go on the card of a checkpoint.

    Raises
    ------
    DataError
        If it holds snapshots of one feeder.
    """
    if is_snapshots(read_manifest(data)):
        problem = "snapshots of one feeder: the card that `learnopt train --from` wrote has the rivals already"
        raise DataError(str(data), [problem])


def put_on_card(checkpoint: Path | str, data: Place, measured: Evaluated) -> Comparison:
    """Keep what ``evaluate`` measured beside the card, with the reliability on the same feeders.

    Raises
    ------
    DataError
        As in :func:`check_comparable`.
    """
    check_comparable(data)
    pairs, _, _ = proven_pairs(read_labels(data, measured.feeders))
    predictor = load_checkpoint(checkpoint)
    diagram = reliability([predictor.predict(problem) for problem, _ in pairs], [label for _, label in pairs])
    summary = summary_of(read_manifest(data))
    comparison = Comparison.of(load_card(checkpoint).weights_sha256, summary, measured.methods, diagram)
    add_comparison(checkpoint, comparison)
    return comparison
