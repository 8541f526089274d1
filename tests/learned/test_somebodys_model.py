"""Somebody else's model: trained on our graphs, judged by our evaluation, with nothing of ours in between."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from learnopt.learned.evaluate import evaluate
from learnopt.learning.rival import OwnModel

EXAMPLES = Path(__file__).parents[2] / "training" / "examples"


def test_a_plain_gcn_is_trained_and_judged(
    labelled_dataset: Path, other_dataset: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of the docs: every answer is radial, and it has learned more than to leave things as they are."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from plain_gcn import PlainGCN

    torch.manual_seed(0)
    model = OwnModel(PlainGCN(labelled_dataset, epochs=15), "plain_gcn:PlainGCN")
    found = evaluate(tiny_checkpoint, other_dataset, baselines=False, rivals=[model]).methods
    gcn = found["plain GCN"]
    assert gcn.n == 60
    assert gcn.n_not_admissible == 0
    assert gcn.branch_accuracy > 0.6
    assert "plain_gcn" in sys.modules
