"""A checkpoint beside its rivals, for its card: on feeders that neither training nor calibration has seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learnopt.dataset.manifest import read_manifest
from learnopt.dataset.snapshots import is_snapshots
from learnopt.dataset.store import read_labels
from learnopt.errors import DataError
from learnopt.learned.training import proven_pairs, summary_of
from learnopt.learning.calibration import reliability
from learnopt.learning.checkpoint import add_comparison, load_card, load_checkpoint
from learnopt.learning.comparison import Comparison
from learnopt.learning.evaluation import Metrics


def check_unseen(checkpoint: Path | str, data: Path) -> None:
    """Refuse a dataset that cannot tell how a checkpoint compares.

    Raises
    ------
    DataError
        If the checkpoint was trained or calibrated on feeders of its seed, or if it holds snapshots of one feeder.
    """
    manifest = read_manifest(data)
    if is_snapshots(manifest):
        problem = "snapshots of one feeder: the card that `learnopt train --from` wrote has the rivals already"
        raise DataError(str(data), [problem])
    if manifest.seed in _seeds(load_card(checkpoint).data):
        problem = f"seed {manifest.seed}: the checkpoint has seen these feeders; generate some from another seed"
        raise DataError(str(data), [problem])


def put_on_card(checkpoint: Path | str, data: Path, metrics: Mapping[str, Metrics]) -> Comparison:
    """Keep what ``evaluate`` measured beside the card, with the reliability on all proven labels of the dataset.

    Raises
    ------
    DataError
        As in :func:`check_unseen`.
    """
    check_unseen(checkpoint, data)
    pairs, _, _ = proven_pairs(read_labels(data))
    predictor = load_checkpoint(checkpoint)
    diagram = reliability([predictor.predict(problem) for problem, _ in pairs], [label for _, label in pairs])
    summary = summary_of(read_manifest(data))
    comparison = Comparison.of(load_card(checkpoint).weights_sha256, summary, metrics, diagram)
    add_comparison(checkpoint, comparison)
    return comparison


def _seeds(data: Mapping[str, Any]) -> set[int]:
    """Seeds of all datasets that a card names: of training, and of calibration."""
    inner = (_seeds(each) for each in data.values() if isinstance(each, Mapping))
    return set().union(*inner) | ({data["seed"]} if "seed" in data else set())
