"""The comparison on a card comes from feeders that the checkpoint has not seen."""

from __future__ import annotations

import shutil
from pathlib import Path

from learnopt.learned.compare import put_on_card
from learnopt.learned.evaluate import evaluate
from learnopt.learning.checkpoint import load_card


def test_comparison_is_put_on_the_card(other_dataset: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A row per method, of the feeders that were measured on; the card itself stays as it is."""
    checkpoint = shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint")
    before = (checkpoint / "card.json").read_bytes()
    measured = evaluate(checkpoint, other_dataset)
    found = put_on_card(checkpoint, other_dataset, measured)
    assert found.weights_sha256 == load_card(checkpoint).weights_sha256
    assert (checkpoint / "card.json").read_bytes() == before
    text = (checkpoint / "README.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in text for name in measured.methods)
    assert sum(found.count) > 0
    assert all(0 <= share <= 1 for share in (*found.predicted, *found.observed))
