"""The comparison on a card comes from feeders that the checkpoint has not seen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from learnopt.errors import DataError
from learnopt.learned.compare import put_on_card
from learnopt.learned.training import evaluate
from learnopt.learning.checkpoint import load_card, load_checkpoint


def test_comparison_is_put_on_the_card(labelled_dataset: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Feeders of the training are refused; others give a row per method, and the card itself stays as it is."""
    checkpoint, data = tmp_path / "checkpoint", tmp_path / "fresh"
    shutil.copytree(tiny_checkpoint, checkpoint)
    shutil.copytree(labelled_dataset, data)
    before = (checkpoint / "card.json").read_bytes()
    metrics = evaluate(load_checkpoint(checkpoint), data)
    with pytest.raises(DataError, match="has seen these feeders"):
        put_on_card(checkpoint, data, metrics)
    manifest = json.loads((data / "manifest.json").read_text())
    (data / "manifest.json").write_text(json.dumps(manifest | {"seed": manifest["seed"] + 1}))
    found = put_on_card(checkpoint, data, metrics)
    assert found.weights_sha256 == load_card(checkpoint).weights_sha256
    assert (checkpoint / "card.json").read_bytes() == before
    text = (checkpoint / "README.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in text for name in metrics)
    assert sum(found.count) > 0
    assert all(0 <= share <= 1 for share in (*found.predicted, *found.observed))
